//! A process's own properties: user, capabilities, limits, labels, scheduling; and its execution.

pub(crate) mod apply;
pub(crate) mod caps;
pub(crate) mod lsm;
pub(crate) mod plan;

pub(crate) use plan::ProcessPlan;
