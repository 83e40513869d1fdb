//! The OCI command line as a program of its own: `oci create --bundle … id`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hoist_runtime::guard();
    let code = hoist_runtime::cli::main(std::env::args_os().skip(1));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
