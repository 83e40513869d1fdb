//! `hoist info`

use hoist_proto::unit;
use serde_json::Value;

use super::version;
use crate::cli::{Context, Exit, Outcome, args::system::InfoArgs, format::inspect};

/// Shows what the daemon is and has.
pub async fn run(cx: &Context, args: InfoArgs) -> Outcome {
    let mut info: Value = cx.client.get("/info").read().await?;
    match args.format.as_deref().filter(|format| !format.is_empty()) {
        Some(format) => {
            info["ClientInfo"] = client(cx);
            cx.printer.text(inspect::one(format, info)?)?;
        }
        None => {
            cx.printer.text(text(&info))?;
            for warning in list(&info["Warnings"]) {
                cx.printer.say(warning);
            }
        }
    }
    Ok(Exit::OK)
}

/// What `version` says of this program, and what Docker's client adds to it.
fn client(cx: &Context) -> Value {
    let mut client = version::client(cx);
    client["Debug"] = Value::Bool(false);
    client["Plugins"] = Value::Array(Vec::new());
    client["Warnings"] = Value::Null;
    client
}

fn text(info: &Value) -> String {
    let mut out = format!("Client: Hoist\n Version: {}\n\nServer:\n", env!("CARGO_PKG_VERSION"));
    let mut line = |indent: usize, name: &str, value: String| {
        out.push_str(&format!("{:indent$}{name}: {value}\n", ""));
    };
    let plain = |key: &str| show(&info[key]);
    line(1, "Containers", plain("Containers"));
    line(2, "Running", plain("ContainersRunning"));
    line(2, "Paused", plain("ContainersPaused"));
    line(2, "Stopped", plain("ContainersStopped"));
    line(1, "Images", plain("Images"));
    line(1, "Server Version", plain("ServerVersion"));
    line(1, "Storage Driver", plain("Driver"));
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        line(2, &show(&pair[0]), show(&pair[1]));
    }
    line(1, "Logging Driver", plain("LoggingDriver"));
    line(1, "Cgroup Driver", plain("CgroupDriver"));
    line(1, "Cgroup Version", plain("CgroupVersion"));
    line(1, "Plugins", String::new());
    line(2, "Volume", list(&info["Plugins"]["Volume"]).join(" "));
    line(2, "Network", list(&info["Plugins"]["Network"]).join(" "));
    line(2, "Log", list(&info["Plugins"]["Log"]).join(" "));
    line(1, "Swarm", show(&info["Swarm"]["LocalNodeState"]));
    let runtimes: Vec<String> = info["Runtimes"].as_object().into_iter().flat_map(|map| map.keys().cloned()).collect();
    line(1, "Runtimes", runtimes.join(" "));
    line(1, "Default Runtime", plain("DefaultRuntime"));
    line(1, "Security Options", String::new());
    for option in list(&info["SecurityOptions"]) {
        let name = option.split(',').next().unwrap_or_default().trim_start_matches("name=").to_owned();
        let details: Vec<&str> = option.split(',').skip(1).collect();
        // Most have a name and nothing more.
        line(2, &name, details.join(" "));
    }
    line(1, "Kernel Version", plain("KernelVersion"));
    line(1, "Operating System", plain("OperatingSystem"));
    line(1, "OSType", plain("OSType"));
    line(1, "Architecture", plain("Architecture"));
    line(1, "CPUs", plain("NCPU"));
    line(1, "Total Memory", unit::format_bytes_binary(info["MemTotal"].as_u64().unwrap_or(0)));
    line(1, "Name", plain("Name"));
    line(1, "ID", plain("ID"));
    line(1, "Data Root", plain("DockerRootDir"));
    for label in list(&info["Labels"]) {
        line(1, "Label", label);
    }
    let insecure = list(&info["RegistryConfig"]["InsecureRegistryCIDRs"]).join(" ");
    line(1, "Insecure Registries", insecure);
    out.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect::<String>()
        .replace("  cgroupns:\n", "  cgroupns\n")
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(show).collect()
}
