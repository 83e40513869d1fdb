//! Compiles the program of the built-in image (one static executable, with the compiler that compiles Hoist), and the
//! messages of BuildKit's protocol.
#![allow(clippy::print_stdout)] // a build script speaks to cargo through its output

use std::{env, error::Error, path::Path, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    buildkit()?;
    const SOURCE: &str = "src/builtin/web";
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    // A program at a fixed place has no addresses to correct at each start: about fifty thousand, on 240 pages that every
    // process would then have for itself. Libraries, heap and stack stay at random places.
    if env::var("CARGO_CFG_TARGET_OS")? == "linux" && env::var("CARGO_CFG_TARGET_ENV")? == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Path::new(&env::var("OUT_DIR")?).join("hello");
    let status = Command::new(rustc)
        .args(["--crate-name=hello", "--crate-type=bin", "--edition=2024", "--target", &env::var("TARGET")?])
        .args(["-Copt-level=z", "-Clto=fat", "-Ccodegen-units=1", "-Cpanic=abort", "-Cstrip=symbols"])
        .args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static"])
        .arg("-o")
        .arg(&out)
        .arg(Path::new(SOURCE).join("main.rs"))
        .status()?;
    if !status.success() {
        return Err(
            "the program of the built-in image did not compile (are the static C library's files there?)".into()
        );
    }
    Ok(())
}

/// The messages of BuildKit's protocol. The daemon serves its services; those of a client's session it calls by name.
fn buildkit() -> Result<(), Box<dyn Error>> {
    const WORDS: &str = "src/api/buildkit/words";
    println!("cargo:rerun-if-changed={WORDS}");
    let descriptors = protox::compile(["control.proto", "gateway.proto", "session.proto"], [WORDS])?;
    tonic_prost_build::configure().build_client(false).compile_fds(descriptors)?;
    Ok(())
}
