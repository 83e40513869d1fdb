//! Capabilities: names to bits.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

/// In the order of their numbers.
const ORDER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// All capabilities that this crate knows, in the order of their numbers.
pub(crate) fn all() -> impl Iterator<Item = Capability> {
    ORDER.into_iter()
}

/// The five sets, one bit a capability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CapPlan {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

impl CapPlan {
    /// The sets of a spec; a set that is not given is empty.
    pub(crate) fn new(caps: &LinuxCapabilities) -> Self {
        let bits = |set: &Option<Capabilities>| set.as_ref().map_or(0, mask);
        Self {
            bounding: bits(caps.bounding()),
            effective: bits(caps.effective()),
            permitted: bits(caps.permitted()),
            inheritable: bits(caps.inheritable()),
            ambient: bits(caps.ambient()),
        }
    }

    /// What is left of the sets where the process may only have `available`: a capability that cannot be
    /// granted is no error (config.md, "Linux Process"). The kernel's own rules hold afterwards: effective
    /// within permitted, ambient within permitted and inheritable.
    pub(crate) fn within(self, available: u64) -> Self {
        let permitted = self.permitted & available;
        let inheritable = self.inheritable & available;
        Self {
            bounding: self.bounding,
            permitted,
            effective: self.effective & permitted,
            inheritable,
            ambient: self.ambient & permitted & inheritable,
        }
    }
}

fn mask(set: &Capabilities) -> u64 {
    set.iter().fold(0, |bits, cap| bits | 1 << number(*cap))
}

fn number(cap: Capability) -> usize {
    ORDER.iter().position(|known| *known == cap).expect("the table has every capability of the enum")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(number(Capability::Chown), 0);
        assert_eq!(number(Capability::SysAdmin), 21);
        assert_eq!(number(Capability::Setfcap), 31);
        assert_eq!(number(Capability::Bpf), 39);
        assert_eq!(number(Capability::CheckpointRestore), 40);
    }

    #[test]
    fn what_cannot_be_granted_is_left_out() {
        let plan = CapPlan { bounding: 7, effective: 7, permitted: 7, inheritable: 3, ambient: 7 };
        let left = plan.within(5);
        assert_eq!(left, CapPlan { bounding: 7, effective: 5, permitted: 5, inheritable: 1, ambient: 1 });
    }
}
