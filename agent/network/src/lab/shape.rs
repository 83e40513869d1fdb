//! How well a machine sends: rate by a token bucket, delay and loss by netem.

use std::{io, time::Duration};

use crate::netlink::{Attributes, Batch, Rtnl};

/// What is wrong with a machine's line; the default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shape {
    /// Added to the way of each packet.
    pub delay: Duration,
    /// The delay varies by so much.
    pub jitter: Duration,
    /// The part of packets that is lost, from 0 to 1.
    pub loss: f64,
    /// Bytes a second at most.
    pub rate: Option<u32>,
}

impl Shape {
    pub(super) fn needs_netem(&self) -> bool {
        !self.delay.is_zero() || !self.jitter.is_zero() || self.loss > 0.0
    }
}

/// `TC_H_ROOT`
const ROOT: u32 = u32::MAX;
const HANDLE: u32 = 1 << 16;

fn request(batch: &mut Batch, kind: u16, flags: i32, index: u32, parent: u32, more: impl FnOnce(&mut Attributes<'_>)) {
    batch.push(kind, flags, |out| {
        // struct tcmsg: family and padding, interface, handle, parent, info.
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&index.to_ne_bytes());
        let handle = if kind == libc::RTM_DELQDISC {
            0
        } else if parent == ROOT {
            HANDLE
        } else {
            HANDLE * 2
        };
        out.extend_from_slice(&handle.to_ne_bytes());
        out.extend_from_slice(&parent.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        more(&mut Attributes(out));
    });
}

/// Replaces what was set on the link before.
pub(super) fn replace(rtnl: &mut Rtnl, index: u32, shape: Shape) -> io::Result<()> {
    const KIND: u16 = 1;
    const OPTIONS: u16 = 2;
    let mut batch = Batch::default();
    request(&mut batch, libc::RTM_DELQDISC, 0, index, ROOT, |_| {});
    match rtnl.send(batch) {
        Ok(()) => {}
        // Nothing was set.
        Err((_, refusal)) if matches!(refusal.errno as i32, libc::ENOENT | libc::EINVAL) => {}
        Err((_, refusal)) => return Err(refusal.into()),
    }
    let create = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let mut batch = Batch::default();
    let mut parent = ROOT;
    if let Some(rate) = shape.rate {
        request(&mut batch, libc::RTM_NEWQDISC, create, index, parent, |a| {
            a.text(KIND, "tbf").nest(OPTIONS, |options| token_bucket(options, rate));
        });
        // The bucket's inner queue is its class 1.
        parent = HANDLE | 1;
    }
    if shape.needs_netem() {
        request(&mut batch, libc::RTM_NEWQDISC, create, index, parent, |a| {
            a.text(KIND, "netem").nest(OPTIONS, |options| emulation(options, shape));
        });
    }
    if batch.is_empty() {
        return Ok(());
    }
    rtnl.send(batch).map_err(|(_, refusal)| refusal.into())
}

/// `struct tc_tbf_qopt`, and the burst in bytes.
fn token_bucket(options: &mut Attributes<'_>, rate: u32) {
    const PARAMETERS: u16 = 1;
    const BURST: u16 = 6;
    const ETHERNET: u8 = 1;
    let burst = (rate / 100).max(16 << 10);
    let mut parameters = Vec::with_capacity(36);
    // struct tc_ratespec: cell log, link layer, overhead, cell align, smallest packet, rate.
    parameters.extend_from_slice(&[0, ETHERNET, 0, 0, 0, 0, 0, 0]);
    parameters.extend_from_slice(&rate.to_ne_bytes());
    parameters.extend_from_slice(&[0; 12]);
    // What waits: up to half a second's worth.
    parameters.extend_from_slice(&(burst + rate / 2).to_ne_bytes());
    parameters.extend_from_slice(&[0; 8]);
    options.bytes(PARAMETERS, &parameters).bytes(BURST, &burst.to_ne_bytes());
}

/// `struct tc_netem_qopt`, and the times in nanoseconds.
fn emulation(options: &mut Attributes<'_>, shape: Shape) {
    const LATENCY: u16 = 10;
    const JITTER: u16 = 11;
    const WAITING: u32 = 10_000;
    let loss = (shape.loss.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
    for word in [0, WAITING, loss, 0, 0, 0] {
        options.0.extend_from_slice(&u32::to_ne_bytes(word));
    }
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    options.bytes(LATENCY, &nanos(shape.delay).to_ne_bytes()).bytes(JITTER, &nanos(shape.jitter).to_ne_bytes());
}
