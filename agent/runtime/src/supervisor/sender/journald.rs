//! systemd's journal, by its own protocol: a datagram of fields.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::super::protocol::JournaldSettings;
use super::Line;

/// A connection to the journal.
pub(super) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    /// The fields that are the same for all lines, ready to be sent.
    fields: Vec<u8>,
    /// Names this run of the container.
    epoch: String,
    ordinal: u64,
    message: Vec<u8>,
}

impl Journald {
    pub(super) fn open(settings: JournaldSettings) -> io::Result<Self> {
        let JournaldSettings { socket: path, fields } = settings;
        let failed = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("journald is not enabled on this host: cannot reach its socket {}: {error}", path.display()),
            )
        };
        let socket =
            UnixDatagram::unbound().and_then(|socket| socket.connect(&path).map(|()| socket)).map_err(failed)?;
        let mut ready = Vec::new();
        for (name, value) in &fields {
            put(&mut ready, name, value.as_bytes());
        }
        let now = jiff::Timestamp::now();
        let epoch = format!("{:x}{:x}", now.as_nanosecond(), std::process::id());
        Ok(Self { socket, path, fields: ready, epoch, ordinal: 0, message: Vec::new() })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn send(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.ordinal += 1;
        let message = &mut self.message;
        message.clear();
        message.extend_from_slice(&self.fields);
        put(message, "PRIORITY", if line.error { b"3" } else { b"6" });
        put(message, "SYSLOG_TIMESTAMP", line.time.to_string().as_bytes());
        put(message, "CONTAINER_LOG_EPOCH", self.epoch.as_bytes());
        put(message, "CONTAINER_LOG_ORDINAL", self.ordinal.to_string().as_bytes());
        if let Some(part) = &line.part {
            put(message, "CONTAINER_PARTIAL_ID", format!("{}-{}", self.epoch, part.id).as_bytes());
            put(message, "CONTAINER_PARTIAL_ORDINAL", part.ordinal.to_string().as_bytes());
            put(message, "CONTAINER_PARTIAL_LAST", part.last.to_string().as_bytes());
            if !part.last {
                put(message, "CONTAINER_PARTIAL_MESSAGE", b"true");
            }
        }
        put(message, "MESSAGE", line.text);
        match self.socket.send(message) {
            Ok(_) => Ok(()),
            // The journal has been started anew.
            Err(_) => {
                self.socket.connect(&self.path)?;
                self.socket.send(message).map(drop)
            }
        }
    }
}

/// Appends a field; a value with line ends has its length before it.
fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        let _ = out.write_all(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let fields = vec![("CONTAINER_NAME".to_owned(), "web".to_owned()), ("NOTE".to_owned(), "a\nb".to_owned())];
        let open = |fields| Journald::open(JournaldSettings { socket: path.clone(), fields });
        assert!(open(Vec::new()).err().unwrap().to_string().contains("journald is not enabled"));
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut sender = open(fields).unwrap();
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        sender.send(&Line { error: true, time, text: b"hi = there", part: None }).unwrap();
        let mut buffer = [0; 4096];
        let count = journal.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(text.starts_with("CONTAINER_NAME=web\nNOTE\n\u{3}\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n"), "{text:?}");
        assert!(text.contains("\nCONTAINER_LOG_ORDINAL=1\n"), "{text:?}");
        assert!(text.ends_with("\nMESSAGE=hi = there\n"), "{text:?}");
        // A journal that comes back is found again.
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        assert!(sender.send(&Line { error: false, time, text: b"lost", part: None }).is_err());
        let journal = UnixDatagram::bind(&path).unwrap();
        sender.send(&Line { error: false, time, text: b"again", part: None }).unwrap();
        let count = journal.recv(&mut buffer).unwrap();
        assert!(buffer[..count].ends_with(b"\nMESSAGE=again\n"));
    }
}
