//! Generic netlink: families that the kernel numbers as they come.

use std::io;

use super::attributes::{Attributes, attributes};
use super::socket::{Batch, Family, Refusal, Socket};

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID` and `CTRL_ATTR_FAMILY_NAME` of linux/genetlink.h.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// Command, version, and two bytes that are reserved.
const HEADER: usize = 4;

/// One family's socket, in one network namespace.
#[derive(Debug)]
pub(crate) struct Generic {
    socket: Socket,
    family: u16,
}

impl Generic {
    /// For the network namespace of the calling thread; asks the kernel for the family's number.
    pub(crate) fn open(family: &str) -> io::Result<Self> {
        let mut socket = Socket::open(Family::Generic)?;
        let mut number = None;
        socket.dump(
            CONTROL,
            0,
            |out| request(out, GET_FAMILY, |a| _ = a.text(FAMILY_NAME, family)),
            |_, answer| {
                let found = attributes(answer.get(HEADER..).unwrap_or_default()).find(|(kind, _)| *kind == FAMILY_ID);
                number = number.or(found.and_then(|(_, id)| id.first_chunk().map(|id| u16::from_ne_bytes(*id))));
            },
        )?;
        let family = number.ok_or_else(|| io::Error::other(format!("the kernel does not number {family}")))?;
        Ok(Self { socket, family })
    }

    /// One change.
    pub(crate) fn change(&mut self, command: u8, body: impl FnOnce(&mut Attributes<'_>)) -> Result<(), Refusal> {
        let mut batch = Batch::default();
        batch.push(self.family, 0, |out| request(out, command, body));
        self.socket.send(batch).map_err(|(_, refusal)| refusal)
    }

    /// Gives the attributes of every answer to `each`.
    pub(crate) fn dump(
        &mut self,
        command: u8,
        body: impl FnOnce(&mut Attributes<'_>),
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Refusal> {
        self.socket.dump(
            self.family,
            libc::NLM_F_DUMP,
            |out| request(out, command, body),
            |_, answer| each(answer.get(HEADER..).unwrap_or_default()),
        )
    }
}

fn request(out: &mut Vec<u8>, command: u8, body: impl FnOnce(&mut Attributes<'_>)) {
    const VERSION: u8 = 1;
    out.extend_from_slice(&[command, VERSION, 0, 0]);
    body(&mut Attributes(out));
}
