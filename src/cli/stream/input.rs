//! Standard input, read on a thread of its own: a read of a terminal cannot be called off.

use std::io::Read;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::DetachKeys;

/// What came from standard input.
#[derive(Debug)]
pub enum Input {
    Bytes(Bytes),
    /// Its end.
    End,
    /// The keys that detach.
    Detach,
}

/// Starts reading. With keys, they are looked for and not passed on.
pub fn read(mut keys: Option<DetachKeys>) -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 32 << 10];
        loop {
            let read = match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(err) if err.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let (bytes, detach) = match &mut keys {
                Some(keys) => keys.filter(&buffer[..read]),
                None => (buffer[..read].to_vec(), false),
            };
            if !bytes.is_empty() && sender.blocking_send(Input::Bytes(bytes.into())).is_err() {
                return;
            }
            if detach {
                let _ = sender.blocking_send(Input::Detach);
                return;
            }
        }
        let _ = sender.blocking_send(Input::End);
    });
    receiver
}
