//! One task, from accepted to its end, one step at a time.
//!
//! [`Driver`] is the loop: it compares what is desired with what is, takes one step, reports, and looks
//! again. `container` holds the steps that touch the engine.

mod checkpoint;
mod container;
mod devices;
mod driver;
mod labels;
mod prepare;
mod status;
mod template;

pub(crate) use checkpoint::forget_old as forget_old_checkpoints;
pub(crate) use driver::Driver;
pub(crate) use labels::TASK;
