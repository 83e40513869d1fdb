//! The web service: one thread a connection, one answer a connection.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{USAGE, resolve};

const TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_REQUEST: u64 = 64 * 1024;

/// What `serve` was told on its command line.
pub struct Options {
    listen: String,
    peer: Option<String>,
    visits: Option<PathBuf>,
    show: Vec<PathBuf>,
}

impl Options {
    /// Reads the arguments after `serve`.
    pub fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let mut options = Self { listen: "0.0.0.0:80".into(), peer: None, visits: None, show: Vec::new() };
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let (name, given) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || given.clone().or_else(|| rest.next()).ok_or(format!("{name} needs a value\n{USAGE}"));
            match name.as_str() {
                "--listen" => options.listen = value()?,
                "--peer" => options.peer = Some(value()?),
                "--visits" => options.visits = Some(value()?.into()),
                "--show" => options.show.push(value()?.into()),
                _ => return Err(format!("unknown option {name:?}\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

/// Serves until the process is told to end.
pub fn run(options: &Options) -> Result<(), String> {
    #[cfg(not(test))]
    super::signals::end_on_signals();
    let listener =
        TcpListener::bind(&options.listen).map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    println!("listening on {}", options.listen);
    let writing = Mutex::new(());
    thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            let writing = &writing;
            scope.spawn(move || {
                // A client that goes away early is no news.
                let _ = answer(stream, options, writing);
            });
        }
    });
    Ok(())
}

fn answer(stream: TcpStream, options: &Options, writing: &Mutex<()>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let remote = stream.peer_addr()?;
    let mut lines = BufReader::new(stream.try_clone()?.take(LARGEST_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        headers.push(line);
    }
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, body) = match path {
        "/healthz" => ("200 OK", "ok\n".to_owned()),
        "/" => page(options, writing, remote, &request, &headers),
        _ => ("404 Not Found", format!("nothing at {path}\n")),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn page(
    options: &Options,
    writing: &Mutex<()>,
    remote: SocketAddr,
    request: &str,
    headers: &[String],
) -> (&'static str, String) {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| "-".into());
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut body = format!(
        "Hello from Hoist!\n\nhostname:  {}\nservice:   {}\ntask:      {}\nnode:      {}\naddresses: {}\nclient:    {remote}\n",
        hostname.trim(),
        variable("HOIST_SERVICE"),
        variable("HOIST_TASK"),
        variable("HOIST_NODE"),
        addresses().iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
    );
    if let Some(path) = &options.visits {
        let guard = writing.lock().unwrap_or_else(PoisonError::into_inner);
        let visits = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0) + 1;
        if let Err(error) = fs::write(path, format!("{visits}\n")) {
            return ("500 Internal Server Error", format!("cannot count the visit in {}: {error}\n", path.display()));
        }
        drop(guard);
        body.push_str(&format!("visits:    {visits}\n"));
    }
    for path in &options.show {
        match fs::read_to_string(path) {
            Ok(text) => body.push_str(&format!("\n{}:\n{}\n", path.display(), text.trim_end())),
            Err(error) => return ("500 Internal Server Error", format!("cannot read {}: {error}\n", path.display())),
        }
    }
    body.push_str(&format!("\n{request}\n"));
    for header in headers {
        body.push_str(&format!("{header}\n"));
    }
    if let Some(peer) = &options.peer {
        match fetch(peer, "/") {
            Ok(answer) => {
                body.push_str(&format!("\n{peer} says:\n"));
                for line in answer.lines() {
                    body.push_str(&format!("    {line}\n"));
                }
            }
            Err(error) => return ("502 Bad Gateway", format!("{body}\n{error}\n")),
        }
    }
    ("200 OK", body)
}

/// The body of `http://target/path`; anything but status 200 is an error.
pub fn fetch(target: &str, path: &str) -> Result<String, String> {
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| format!("{target:?} has no valid port"))?)
        }
        _ => (target, 80),
    };
    let fail = |error: std::io::Error| format!("cannot reach {target}: {error}");
    let mut last = format!("cannot resolve {host:?}");
    for address in resolve::lookup(host)? {
        let mut stream = match TcpStream::connect_timeout(&(address, port).into(), TIMEOUT) {
            Ok(stream) => stream,
            Err(error) => {
                last = format!("cannot reach {target} at {address}: {error}");
                continue;
            }
        };
        stream.set_read_timeout(Some(TIMEOUT)).map_err(fail)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n").map_err(fail)?;
        let mut answer = String::new();
        stream.take(1 << 20).read_to_string(&mut answer).map_err(fail)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(format!("{target} sent no HTTP answer"))?;
        let status = head.lines().next().unwrap_or_default();
        return match status.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(format!("{target} answered {status:?}: {}", body.trim())),
        };
    }
    Err(last)
}

/// This host's addresses, loopback and link-local ones left out.
fn addresses() -> Vec<IpAddr> {
    let four = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let six = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut found: Vec<IpAddr> = Vec::new();
    let mut previous = "";
    for line in four.lines().map(str::trim) {
        if line == "/32 host LOCAL" {
            found.extend(previous.trim_start_matches("|-- ").parse::<IpAddr>().ok());
        }
        previous = line;
    }
    found.extend(six.lines().filter_map(|line| {
        let bits = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        let address = Ipv6Addr::from(bits);
        (address.segments()[0] & 0xffc0 != 0xfe80).then_some(IpAddr::V6(address))
    }));
    found.retain(|address| !address.is_loopback());
    found.sort();
    found.dedup();
    found
}
