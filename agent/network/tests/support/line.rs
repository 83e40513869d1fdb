//! What goes over a line.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Inside;

/// Hears all frames of a machine's link, both ways.
pub struct Line {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    pub fn listen(machine: &Inside, link: &str) -> Self {
        let (socket, index) = machine.run(|| {
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
            (socket, nix::net::if_::if_nametoindex(link).unwrap() as usize)
        });
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50)).unwrap();
        let (frames, stop) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (frames, stop) = (frames.clone(), stop.clone());
            move || {
                let mut buffer = [0; 65536];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) else {
                        continue;
                    };
                    // The machine's other links carry the same in the clear.
                    if from.ifindex() == index {
                        frames.lock().unwrap().push(buffer[..length].to_vec());
                    }
                }
            }
        });
        Self { frames, stop, thread: Some(thread) }
    }

    /// Whether a frame had these bytes.
    pub fn carried(&self, bytes: &[u8]) -> bool {
        self.count(|frame| frame.windows(bytes.len()).any(|window| window == bytes)) > 0
    }

    /// Waits until a frame with these bytes was heard.
    pub fn carries(&self, bytes: &[u8]) -> bool {
        within(|| self.carried(bytes))
    }

    /// The UDP datagrams to a port, by IPv4 and IPv6.
    pub fn datagrams(&self, port: u16) -> usize {
        self.count(|frame| {
            let udp = match frame.get(12..14) {
                Some([0x08, 0x00]) if frame.get(23) == Some(&17) => 34,
                Some([0x86, 0xdd]) if frame.get(20) == Some(&17) => 54,
                _ => return false,
            };
            frame.get(udp + 2..udp + 4) == Some(&port.to_be_bytes())
        })
    }

    pub fn count(&self, which: impl Fn(&[u8]) -> bool) -> usize {
        self.frames.lock().unwrap().iter().filter(|frame| which(frame)).count()
    }

    /// Waits until a frame to this UDP port was heard.
    pub fn heard(&self, port: u16) -> bool {
        within(|| self.datagrams(port) > 0)
    }
}

fn within(so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while !so() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}
