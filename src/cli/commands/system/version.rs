//! `hoist version`

use serde_json::{Value, json};

use crate::{
    api::version::ApiVersion,
    cli::{Context, Exit, Outcome, args::system::VersionArgs, format::inspect},
};

/// Shows the versions of this program and of the daemon; a daemon that cannot be reached is said last.
pub async fn run(cx: &Context, args: VersionArgs) -> Outcome {
    let (server, failure) = match cx.client.get("/version").read::<Value>().await {
        Ok(server) => (server, None),
        Err(err) => (Value::Null, Some(err)),
    };
    let client = client(cx);
    if let Some(format) = args.format.as_deref().filter(|format| !format.is_empty()) {
        let mut both = json!({ "Client": client });
        if failure.is_none() {
            both["Server"] = server;
            // Left out of the answer when it is false.
            both["Server"]["Experimental"] = Value::Bool(both["Server"]["Experimental"].as_bool().unwrap_or(false));
        }
        match (inspect::one(format, both), failure) {
            (Ok(text), failure) => {
                cx.printer.text(text)?;
                return failure.map_or(Ok(Exit::OK), |err| Err(err.into()));
            }
            // A field of a server that cannot be reached is not the template's mistake.
            (Err(_), Some(err)) => return Err(err.into()),
            (Err(mistake), None) => return Err(mistake),
        }
    } else {
        let mut out = format!(
            "Client: Hoist\n Version:       {}\n OS/Arch:       {}/{}\n",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            arch()
        );
        if failure.is_none() {
            out.push_str("\nServer: Hoist\n");
            for (label, key) in
                [("Version", "Version"), ("API version", "ApiVersion"), ("OS/Arch", ""), ("Kernel", "KernelVersion")]
            {
                let value = match key {
                    "" => format!("{}/{}", text(&server["Os"]), text(&server["Arch"])),
                    "ApiVersion" => {
                        format!("{} (minimum version {})", text(&server[key]), text(&server["MinAPIVersion"]))
                    }
                    key => text(&server[key]),
                };
                out.push_str(&format!(" {:<14} {value}\n", format!("{label}:")));
            }
            for component in server["Components"].as_array().into_iter().flatten().skip(1) {
                out.push_str(&format!(
                    " {}:\n  Version:      {}\n",
                    text(&component["Name"]),
                    text(&component["Version"])
                ));
            }
        }
        cx.printer.text(out)?;
    }
    match failure {
        Some(err) => Err(err.into()),
        None => Ok(Exit::OK),
    }
}

/// This program, as `version` and `info` describe it.
pub fn client(cx: &Context) -> Value {
    let newest = ApiVersion::NEWEST.to_string();
    json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": newest,
        "DefaultAPIVersion": newest,
        "GitCommit": "",
        "GoVersion": "",
        "Os": std::env::consts::OS,
        "Arch": arch(),
        "BuildTime": "",
        "Context": cx.name,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The architecture by its name in images.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
