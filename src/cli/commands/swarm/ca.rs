//! `hoist swarm ca`

use std::time::Duration;

use super::{inspect, nanoseconds, put};
use crate::cli::{Context, Exit, Outcome, args::swarm::CaArgs, failure::Failure};

const PAUSE: Duration = Duration::from_millis(300);

/// Shows the root certificate, or replaces it and waits until all nodes have followed.
pub async fn run(cx: &Context, args: CaArgs) -> Outcome {
    if !args.external_ca.is_empty() {
        return Err(Failure::new("--external-ca is not supported: the cluster issues its own certificates"));
    }
    if !args.rotate {
        for (given, flag) in [
            (args.ca_cert.is_some(), "--ca-cert"),
            (args.ca_key.is_some(), "--ca-key"),
            (args.cert_expiry.is_some(), "--cert-expiry"),
        ] {
            if given {
                return Err(Failure::new(format!("{flag} goes with --rotate")));
            }
        }
    }
    let mut swarm = inspect(cx).await?;
    if args.rotate {
        let ca = &mut swarm["Spec"]["CAConfig"];
        if let Some(text) = &args.cert_expiry {
            ca["NodeCertExpiry"] = nanoseconds("cert-expiry", text)?.into();
        }
        match (&args.ca_cert, &args.ca_key) {
            (Some(certificate), Some(key)) => {
                ca["SigningCACert"] = fs_err::read_to_string(certificate)?.into();
                ca["SigningCAKey"] = fs_err::read_to_string(key)?.into();
            }
            (None, None) => {}
            _ => return Err(Failure::new("a root needs both --ca-cert and --ca-key")),
        }
        let count = ca["ForceRotate"].as_u64().unwrap_or_default();
        ca["ForceRotate"] = (count + 1).into();
        put(cx, &swarm, &[]).await?;
        if args.detach {
            return Ok(Exit::OK);
        }
        if !args.quiet {
            cx.printer.say("waiting until every node has a certificate of the new root");
        }
        loop {
            swarm = inspect(cx).await?;
            if swarm["RootRotationInProgress"] != true {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    cx.printer.text(swarm["TLSInfo"]["TrustRoot"].as_str().unwrap_or_default())?;
    Ok(Exit::OK)
}
