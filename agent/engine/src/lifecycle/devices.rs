//! Devices that a container is given: checked when it is made, held while it runs.

use std::sync::Arc;

use hoist_device::cdi::Edits;
use hoist_device::{Assigned, DeviceError};
use hoist_proto::spec::{ContainerSpec, DeviceRequest};

use crate::container::{Handle, Record};
use crate::inner::Inner;
use crate::rootfs::Union;
use crate::{EngineError, Result};

impl Inner {
    /// What could not be met even if nobody held anything is told when the container is made.
    pub(super) async fn check_devices(&self, spec: &ContainerSpec) -> Result<()> {
        if !asks(spec) {
            return Ok(());
        }
        let devices = self.options.devices.clone();
        let requests = spec.resources.device_requests.clone();
        blocking(move || devices.check(&requests)).await
    }

    /// Gives a container its devices, and says what it must see. What it has is written down before it runs, so that
    /// an engine that comes after knows.
    pub(super) async fn claim_devices(
        self: &Arc<Self>,
        handle: &Arc<Handle>,
        record: &Arc<Record>,
        root: &Union,
    ) -> Result<Edits> {
        if !asks(&record.spec) {
            return Ok(Edits::default());
        }
        let (engine, id, record) = (self.clone(), handle.id.clone(), record.clone());
        let previous = handle.cell().state.devices.clone();
        let mut grant = blocking(move || {
            let devices = &engine.options.devices;
            let requests = requests(&engine, &record.spec);
            let name = |holder: &str| match engine.registry.find(holder) {
                Ok(other) => other.record().name.clone(),
                Err(_) => holder.to_owned(),
            };
            devices.claim(id.as_str(), &requests, &previous, &record.effective.env, &name)
        })
        .await?;
        grant.place_libraries(|dir| root.is_dir(dir));
        handle.change(false, |cell| cell.state.devices = grant.assigned)?;
        Ok(grant.edits)
    }

    /// Nothing is held any more; what was is remembered for the next start.
    pub(super) fn release_devices(&self, handle: &Handle) {
        self.options.devices.release(handle.id.as_str());
    }

    /// A container that runs from before has what its state says.
    pub(super) async fn restore_devices(&self, handle: &Handle) {
        let assigned: Vec<Assigned> = handle.cell().state.devices.clone();
        if assigned.is_empty() {
            return;
        }
        let (devices, id) = (self.options.devices.clone(), handle.id.to_string());
        let _ = tokio::task::spawn_blocking(move || devices.restore(&id, &assigned)).await;
    }
}

/// Whether a container asks for devices in any way; most do not, and pay nothing.
fn asks(spec: &ContainerSpec) -> bool {
    !spec.resources.device_requests.is_empty() || spec.env.iter().any(|variable| variable.starts_with(VISIBLE))
}

const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES=";

/// The container's requests. A person who sets NVIDIA's variable asks for GPUs as well; an image that has it does not,
/// as it would have all of them for itself.
fn requests(engine: &Inner, spec: &ContainerSpec) -> Vec<DeviceRequest> {
    let mut requests = spec.resources.device_requests.clone();
    let said = spec.env.iter().rev().find_map(|variable| variable.strip_prefix(VISIBLE)).unwrap_or_default();
    if !requests.is_empty() || matches!(said, "" | "none" | "void") || !engine.options.devices.has_nvidia() {
        return requests;
    }
    let mut request = DeviceRequest { driver: Some("nvidia".into()), ..DeviceRequest::default() };
    match said {
        "all" => request.count = Some(-1),
        names => {
            let named = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            request.device_ids = named.map(str::to_owned).collect();
        }
    }
    requests.push(request);
    requests
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, DeviceError> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| EngineError::Internal(error.to_string()))??)
}
