//! Machines of a laboratory: network namespaces on one switch, that can be cut off from each other and slowed down.
//!
//! Each machine is a namespace pinned to a path, with one link `eth0` and one address. The switch is a namespace with
//! a bridge. The caller's own namespace is one more port of it, so that what a machine publishes can be reached from
//! outside. Everything lives without a process, and goes with [`Lab::remove`].

mod barrier;
mod error;
mod shape;

pub use error::LabError;
pub use shape::Shape;

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use crate::{
    model::MacAddress,
    netlink::{Batch, Rtnl, VethEnd},
    netns,
    subnet::Subnet,
};

const SWITCH: &str = "switch";
const BRIDGE: &str = "br0";
/// The one link of a machine.
const LINK: &str = "eth0";

/// The machines whose namespaces are pinned in one directory.
#[derive(Debug, Clone)]
pub struct Lab {
    dir: PathBuf,
}

/// A machine's place on the switch.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub address: IpAddr,
    /// The switch's subnet.
    pub subnet: Subnet,
    /// Where everything else is: the caller's own end.
    pub gateway: IpAddr,
}

impl Lab {
    /// The lab in that directory, which need not exist yet.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    fn pin_of(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.ns"))
    }

    /// Whether a machine of that name is there.
    pub fn has(&self, name: &str) -> bool {
        netns::is_pinned(&self.pin_of(name))
    }

    /// Makes the switch, and the caller's own port of it: a link of that name with that address.
    pub fn make_switch(&self, link: &str, address: IpAddr, subnet: Subnet) -> Result<(), LabError> {
        let failed = |source| LabError::Switch { link: link.to_owned(), source };
        fs_err::create_dir_all(&self.dir).map_err(failed)?;
        let mut here = Rtnl::open().map_err(failed)?;
        if here.link(link).map_err(|refusal| failed(refusal.into()))?.is_some() {
            return Err(LabError::LinkTaken(link.to_owned()));
        }
        let (switch, ()) = netns::create(|| {
            let mut rtnl = Rtnl::open()?;
            let mut batch = Batch::default();
            batch.add_bridge(BRIDGE, mac(0xffff), None);
            batch.set_up(BRIDGE);
            batch.set_up("lo");
            send(&mut rtnl, batch)
        })
        .map_err(failed)?;
        netns::pin(&switch, &self.pin_of(SWITCH)).map_err(failed)?;
        let mut batch = Batch::default();
        let outside = VethEnd { name: link, mac: None, mtu: None };
        batch.add_veth(outside, VethEnd { name: "outside", mac: None, mtu: None }, switch.as_fd());
        batch.set_up(link);
        send(&mut here, batch).map_err(failed)?;
        address_of(&mut here, link, address, subnet.prefix()).map_err(failed)?;
        plug(&switch, "outside").map_err(failed)
    }

    /// Makes a machine and connects it to the switch.
    pub fn add(&self, name: &str, number: u16, place: Place) -> Result<(), LabError> {
        let failed = |source| LabError::Machine { name: name.to_owned(), doing: "made", source };
        let switch = File::open(self.pin_of(SWITCH)).map_err(failed)?;
        let (namespace, ()) = netns::create(|| {
            let mut rtnl = Rtnl::open()?;
            let mut batch = Batch::default();
            batch.set_up("lo");
            send(&mut rtnl, batch)
        })
        .map_err(failed)?;
        netns::pin(&namespace, &self.pin_of(name)).map_err(failed)?;
        let port = format!("port{number}");
        netns::within(switch.as_fd(), || {
            let mut batch = Batch::default();
            let inside = VethEnd { name: LINK, mac: Some(mac(number)), mtu: None };
            batch.add_veth(VethEnd { name: &port, mac: None, mtu: None }, inside, namespace.as_fd());
            send(&mut Rtnl::open()?, batch)
        })
        .map_err(failed)?;
        plug(&switch, &port).map_err(failed)?;
        self.within(name, || {
            let mut rtnl = Rtnl::open()?;
            let mut batch = Batch::default();
            batch.set_up(LINK);
            send(&mut rtnl, batch)?;
            let index = address_of(&mut rtnl, LINK, place.address, place.subnet.prefix())?;
            let mut batch = Batch::default();
            batch.set_default_route(index, place.gateway);
            send(&mut rtnl, batch)
        })
        .map_err(failed)
    }

    /// Runs `f` in a thread of its own on a machine's network and under its name; processes that it starts live there.
    ///
    /// # Errors
    /// When the machine is not there, and what `f` gives.
    pub fn within<T: Send>(&self, name: &str, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let namespace = fs_err::File::open(self.pin_of(name))?;
        netns::within(namespace.as_fd(), || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)?;
            nix::unistd::sethostname(name)?;
            f()
        })
    }

    /// From now on a machine hears nothing from these addresses, and from all others again. What it sends goes out.
    pub fn deafen(&self, name: &str, to: &[IpAddr]) -> Result<(), LabError> {
        self.within(name, || barrier::replace(to)).map_err(|source| LabError::Machine {
            name: name.to_owned(),
            doing: "cut off",
            source,
        })
    }

    /// Slows down what a machine sends; the default shape takes everything back.
    pub fn shape(&self, name: &str, shape: Shape) -> Result<(), LabError> {
        self.within(name, || {
            let mut rtnl = Rtnl::open()?;
            let link = rtnl.link(LINK)?.ok_or(io::ErrorKind::NotFound)?;
            shape::replace(&mut rtnl, link.index, shape)
        })
        .map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound && shape.needs_netem() {
                LabError::NoNetem
            } else {
                LabError::Machine { name: name.to_owned(), doing: "slowed down", source }
            }
        })
    }

    /// The processes whose network is a machine's own, by id.
    pub fn processes(&self, name: &str) -> io::Result<Vec<i32>> {
        let wanted = inode(&self.pin_of(name))?;
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process that has ended meanwhile is in no namespace.
            if inode(&entry.path().join("ns/net")).is_ok_and(|inode| inode == wanted) {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Takes everything away. What is left, all the same, is named; the rest has gone.
    pub fn remove(&self, link: &str) -> Result<(), LabError> {
        let failed = |source| LabError::Remove { dir: self.dir.clone(), source };
        let mut here = Rtnl::open().map_err(failed)?;
        let mut first = None;
        if let Ok(Some(_)) = here.link(link) {
            let mut batch = Batch::default();
            batch.delete_link(link);
            first = send(&mut here, batch).err();
        }
        let entries = match fs_err::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return first.map_or(Ok(()), |err| Err(failed(err))),
            Err(err) => return Err(failed(err)),
        };
        for entry in entries.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "ns") {
                first = netns::unpin(&entry.path()).err().or(first);
            }
        }
        first.map_or(Ok(()), |err| Err(failed(err)))
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs_err::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn mac(number: u16) -> MacAddress {
    let [high, low] = number.to_be_bytes();
    MacAddress([0x02, 0x1a, 0xb0, 0x00, high, low])
}

fn send(rtnl: &mut Rtnl, batch: Batch) -> io::Result<()> {
    rtnl.send(batch).map_err(|(_, refusal)| refusal.into())
}

/// Gives a link its address; gives back the link's index.
fn address_of(rtnl: &mut Rtnl, link: &str, address: IpAddr, prefix: u8) -> io::Result<u32> {
    let index = rtnl.link(link)?.ok_or(io::ErrorKind::NotFound)?.index;
    let mut batch = Batch::default();
    batch.add_address(index, address, prefix);
    send(rtnl, batch)?;
    Ok(index)
}

/// Makes a link of the switch a port of its bridge.
fn plug(switch: &File, port: &str) -> io::Result<()> {
    netns::within(switch.as_fd(), || {
        let mut rtnl = Rtnl::open()?;
        let bridge = rtnl.link(BRIDGE)?.ok_or(io::ErrorKind::NotFound)?.index;
        let mut batch = Batch::default();
        batch.no_automatic_ipv6(port);
        batch.set_master(port, bridge);
        batch.set_up(port);
        send(&mut rtnl, batch)
    })
}
