//! Ports of a job's container on this machine: each connection goes through the daemon to wherever the job runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::follow;
use crate::cli::{
    Context, Exit, Outcome,
    args::job::ForwardArgs,
    client::{Client, path_segment},
    failure::Failure,
};

/// A port here, and one in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    here: SocketAddr,
    there: u16,
}

impl Forward {
    /// `8888`, `9000:8888`, `0.0.0.0:9000:8888`; without an address, only programs of this machine may connect.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let fail = |why: &str| Failure::usage(format!("-p {text:?} {why}")).hint("such as -p 8888 or -p 9000:8888");
        if text.ends_with("/udp") || text.ends_with("/sctp") {
            return Err(fail("cannot be forwarded: only TCP is"));
        }
        let plain = text.strip_suffix("/tcp").unwrap_or(text);
        let (head, there) = plain.rsplit_once(':').unwrap_or(("", plain));
        let port = |text: &str| text.parse::<u16>().ok();
        let there = port(there).filter(|port| *port > 0).ok_or_else(|| fail("is not [[IP:]PORT:]PORT"))?;
        let (address, here) = match head.rsplit_once(':') {
            Some((address, here)) => (address.trim_start_matches('[').trim_end_matches(']'), here),
            None => ("", head),
        };
        let address = match address {
            "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            text => text.parse().map_err(|_| fail("names no address"))?,
        };
        let here = if here.is_empty() { there } else { port(here).ok_or_else(|| fail("is not [[IP:]PORT:]PORT"))? };
        Ok(Self { here: SocketAddr::new(address, here), there })
    }
}

/// Listens, before a job is asked for: a port that is taken is told at once.
pub async fn listen(forwards: &[Forward]) -> Result<Vec<(TcpListener, u16)>, Failure> {
    let mut listeners = Vec::new();
    for Forward { here, there } in forwards {
        let listener = TcpListener::bind(here).await;
        let listener = listener.map_err(|error| Failure::new(format!("cannot listen on {here}: {error}")))?;
        listeners.push((listener, *there));
    }
    Ok(listeners)
}

/// Passes connections on until what it gives is dropped.
pub fn serve(
    cx: &Context,
    listeners: Vec<(TcpListener, u16)>,
    container: &str,
) -> Result<Vec<AbortOnDropHandle<()>>, Failure> {
    let mut running = Vec::new();
    for (listener, port) in listeners {
        let here = listener.local_addr()?;
        cx.printer.say(format!("http://{here} is port {port} of the job"));
        let (client, container) = (cx.client.clone(), container.to_owned());
        running.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        let (client, container) = (client.clone(), container.clone());
                        talks.spawn(async move { talk(&client, stream, &container, port).await });
                    }
                    Some(_) = talks.join_next() => {}
                    else => return,
                }
            }
        })));
    }
    Ok(running)
}

/// One connection; who cannot be connected sees his connection end.
async fn talk(client: &Client, mut stream: TcpStream, container: &str, port: u16) {
    let path = format!("/hoist/v1/containers/{}/connect", path_segment(container));
    let asked = client.post(path).query("port", port.to_string()).upgrade("hoist-frames").await;
    match asked {
        Ok((mut upgraded, _)) => {
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut upgraded).await;
        }
        Err(error) => tracing::debug!("a connection could not be forwarded: {error}"),
    }
}

/// `hoist job forward`
pub async fn run(cx: &Context, args: ForwardArgs) -> Outcome {
    let forwards = args.ports.iter().map(|port| Forward::parse(port)).collect::<Result<Vec<_>, _>>()?;
    let tasks = follow::tasks(cx, &args.job).await?;
    let task = tasks.iter().find(|task| task.slot == args.rank + 1);
    let container = task
        .and_then(|task| task.status.container_id.clone())
        .ok_or_else(|| Failure::new(format!("task {} of job {} does not run", args.rank, args.job)))?;
    let _serving = serve(cx, listen(&forwards).await?, &container)?;
    tokio::select! {
        ended = cx.client.post(format!("{}/wait", super::path(&args.job))).done() => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let parse = |text: &str| Forward::parse(text).map(|one| (one.here.to_string(), one.there)).ok();
        assert_eq!(parse("8888"), Some(("127.0.0.1:8888".into(), 8888)));
        assert_eq!(parse("9000:8888/tcp"), Some(("127.0.0.1:9000".into(), 8888)));
        assert_eq!(parse("0.0.0.0:9000:80"), Some(("0.0.0.0:9000".into(), 80)));
        assert_eq!(parse("[::1]:9000:80"), Some(("[::1]:9000".into(), 80)));
        assert_eq!(parse("::1:9000:80"), Some(("[::1]:9000".into(), 80)));
        for wrong in ["", "0", "x", "53/udp", "1-3", "x:80", "nowhere:1:2", "1:x"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
