//! syslog: on this machine, or over UDP, TCP or TLS on another.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::protocol::{SyslogAddress, SyslogFormat, SyslogSettings};
use super::Line;
use super::tls::{self, TlsStream};

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where a machine's own syslog listens.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const ERROR: u8 = 3;
const INFORMATION: u8 = 6;

/// A connection to a server.
pub(super) struct Syslog {
    settings: SyslogSettings,
    zone: TimeZone,
    tls: Option<Arc<rustls::ClientConfig>>,
    stream: Stream,
    message: Vec<u8>,
}

enum Stream {
    Datagram(UnixDatagram),
    Local(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

impl Syslog {
    pub(super) fn open(settings: SyslogSettings) -> io::Result<Self> {
        // Read now, while the files are there to be read.
        let tls = match &settings.address {
            SyslogAddress::Tls(_, wanted) => Some(tls::config(wanted)?),
            _ => None,
        };
        let stream = connect(&settings.address, tls.as_ref())?;
        Ok(Self { settings, zone: TimeZone::system(), tls, stream, message: Vec::new() })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.stream.descriptor()
    }

    pub(super) fn send(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.message.clear();
        format(&mut self.message, &self.settings, &self.zone, line)?;
        if self.stream.write(&self.message).is_ok() {
            return Ok(());
        }
        // A server that was started anew wants a new connection; the descriptor keeps its number.
        self.stream = connect(&self.settings.address, self.tls.as_ref())?;
        self.stream.write(&self.message)
    }
}

impl Stream {
    fn descriptor(&self) -> RawFd {
        match self {
            Self::Datagram(socket) => socket.as_raw_fd(),
            Self::Local(socket) => socket.as_raw_fd(),
            Self::Udp(socket) => socket.as_raw_fd(),
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Tls(stream) => stream.sock.as_raw_fd(),
        }
    }

    fn write(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => socket.send(message).map(drop),
            Self::Local(socket) => socket.write_all(message),
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(socket) => socket.write_all(message),
            Self::Tls(stream) => tls::write(stream, message),
        }
    }
}

fn connect(address: &SyslogAddress, tls: Option<&Arc<rustls::ClientConfig>>) -> io::Result<Stream> {
    let failed = |what: String| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    match address {
        SyslogAddress::Local => {
            let found = LOCAL.iter().find_map(|path| {
                let path = Path::new(path);
                datagram(path).map(Stream::Datagram).or_else(|_| UnixStream::connect(path).map(Stream::Local)).ok()
            });
            found.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no syslog listens on this machine at {}", LOCAL.join(", ")),
                )
            })
        }
        SyslogAddress::Datagram(path) => {
            datagram(path).map(Stream::Datagram).map_err(failed(format!("cannot reach syslog at {}", path.display())))
        }
        SyslogAddress::Stream(path) => UnixStream::connect(path)
            .map(Stream::Local)
            .map_err(failed(format!("cannot reach syslog at {}", path.display()))),
        SyslogAddress::Udp(host) => {
            udp(host).map(Stream::Udp).map_err(failed(format!("cannot reach syslog at {host}")))
        }
        SyslogAddress::Tcp(host) => {
            tcp(host).map(Stream::Tcp).map_err(failed(format!("cannot reach syslog at {host}")))
        }
        SyslogAddress::Tls(host, _) => tcp(host)
            .and_then(|stream| {
                let config = tls.ok_or_else(|| io::Error::other("its certificates were not read"))?;
                // A server that speaks no TLS may wait for us as we wait for it.
                stream.set_read_timeout(Some(PATIENCE))?;
                tls::connect(config, host, stream)
            })
            .map(|stream| Stream::Tls(Box::new(stream)))
            .map_err(failed(format!("cannot reach syslog at {host} over TLS"))),
    }
}

fn datagram(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn udp(host: &str) -> io::Result<UdpSocket> {
    let to = first(host)?;
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    Ok(socket)
}

fn tcp(host: &str) -> io::Result<TcpStream> {
    let mut last = None;
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

fn first(host: &str) -> io::Result<std::net::SocketAddr> {
    host.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Writes one message as the server wants it.
fn format(out: &mut Vec<u8>, settings: &SyslogSettings, zone: &TimeZone, line: &Line<'_>) -> io::Result<()> {
    let priority = settings.facility * 8 + if line.error { ERROR } else { INFORMATION };
    let (host, tag, pid) = (&settings.host_name, &settings.tag, std::process::id());
    let now = line.time.to_zoned(zone.clone());
    let plain = || now.strftime("%b %e %H:%M:%S");
    match settings.format {
        SyslogFormat::Unix => write!(out, "<{priority}>{} {tag}[{pid}]: ", plain())?,
        SyslogFormat::Rfc3164 => write!(out, "<{priority}>{} {host} {tag}[{pid}]: ", plain())?,
        SyslogFormat::Rfc5424 | SyslogFormat::Rfc5424Micro => {
            let micro = settings.format == SyslogFormat::Rfc5424Micro;
            let moment = now.strftime(if micro { "%Y-%m-%dT%H:%M:%S%.6f%:z" } else { "%Y-%m-%dT%H:%M:%S%:z" });
            let moment = utc(&moment.to_string());
            write!(out, "<{priority}>1 {moment} {host} {tag} {pid} {tag} - ")?;
        }
    }
    out.extend_from_slice(line.text);
    out.push(b'\n');
    Ok(())
}

/// RFC 3339 has a letter for no difference from UTC.
fn utc(moment: &str) -> String {
    moment.strip_suffix("+00:00").map_or_else(|| moment.to_owned(), |moment| format!("{moment}Z"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn settings(format: SyslogFormat) -> SyslogSettings {
        SyslogSettings {
            address: SyslogAddress::Local,
            format,
            facility: 3,
            tag: "web/1".into(),
            host_name: "machine".into(),
        }
    }

    #[test]
    fn messages_have_the_form_that_was_asked_for() {
        let pid = std::process::id();
        let time: Timestamp = "2026-03-04T05:06:07.123456789Z".parse().unwrap();
        for (form, error, expected) in [
            (SyslogFormat::Unix, false, format!("<30>Mar  4 05:06:07 web/1[{pid}]: hi\n")),
            (SyslogFormat::Rfc3164, true, format!("<27>Mar  4 05:06:07 machine web/1[{pid}]: hi\n")),
            (SyslogFormat::Rfc5424, false, format!("<30>1 2026-03-04T05:06:07Z machine web/1 {pid} web/1 - hi\n")),
            (
                SyslogFormat::Rfc5424Micro,
                false,
                format!("<30>1 2026-03-04T05:06:07.123456Z machine web/1 {pid} web/1 - hi\n"),
            ),
        ] {
            let mut out = Vec::new();
            super::format(&mut out, &settings(form), &TimeZone::UTC, &Line { error, time, text: b"hi", part: None })
                .unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_server_that_comes_back_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut wanted = settings(SyslogFormat::Unix);
        wanted.address = SyslogAddress::Datagram(path.clone());
        assert!(Syslog::open(wanted.clone()).err().unwrap().to_string().contains("cannot reach syslog"));
        let server = UnixDatagram::bind(&path).unwrap();
        let mut sender = Syslog::open(wanted).unwrap();
        let line = Line { error: false, time: Timestamp::now(), text: b"one", part: None };
        sender.send(&line).unwrap();
        let mut buffer = [0; 100];
        let count = server.recv(&mut buffer).unwrap();
        assert!(buffer[..count].ends_with(b"]: one\n"));
        drop(server);
        std::fs::remove_file(&path).unwrap();
        assert!(sender.send(&line).is_err());
        let server = UnixDatagram::bind(&path).unwrap();
        sender.send(&line).unwrap();
        assert!(server.recv(&mut buffer).unwrap() > 0);
    }
}
