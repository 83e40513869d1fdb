//! Devices of a build's command: held while it runs. Commands of builds wait for each other, but not for containers,
//! which may hold a device for days.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hoist_build::BuildError;
use hoist_device::cdi::Edits;
use hoist_device::{DeviceError, Devices};
use hoist_proto::id::ContainerId;
use hoist_proto::spec::DeviceRequest;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::inner::Inner;
use crate::rootfs::Union;
use crate::{EngineError, Result};

/// Commands of builds that hold devices.
#[derive(Default)]
pub(super) struct Turns {
    /// One after the other asks, so that who is refused knows whether a build has it.
    asking: tokio::sync::Mutex<()>,
    holders: AtomicUsize,
    returned: Notify,
}

/// What a command was given; given back when it is dropped.
pub(super) struct Held {
    pub edits: Edits,
    devices: Devices,
    id: ContainerId,
    turns: Arc<Turns>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.devices.release(self.id.as_str());
        self.turns.holders.fetch_sub(1, Ordering::SeqCst);
        self.turns.returned.notify_waiters();
    }
}

/// Takes devices by their whole names; `None` when there are none to take.
pub(super) async fn take(
    engine: &Inner,
    turns: &Arc<Turns>,
    (id, names, env): (&ContainerId, &[String], &[String]),
    root: &Union,
    cancel: &CancellationToken,
) -> Result<Option<Held>> {
    if names.is_empty() {
        return Ok(None);
    }
    let request = DeviceRequest { driver: Some("cdi".into()), device_ids: names.to_vec(), ..DeviceRequest::default() };
    let mut grant = loop {
        let returned = turns.returned.notified();
        tokio::pin!(returned);
        // From here on nothing that is given back is missed.
        returned.as_mut().enable();
        let asking = turns.asking.lock().await;
        let others = turns.holders.load(Ordering::SeqCst) > 0;
        let (devices, id, request, env) =
            (engine.options.devices.clone(), id.to_string(), request.clone(), env.to_vec());
        let names: Vec<(String, String)> =
            engine.registry.all().iter().map(|handle| (handle.id.to_string(), handle.record().name.clone())).collect();
        let claim = move || {
            let name = |holder: &str| {
                let known = names.iter().find(|(id, _)| id == holder);
                known.map_or_else(|| "a build".to_owned(), |(_, name)| name.clone())
            };
            devices.claim(&id, &[request], &[], &env, &name)
        };
        let claimed = tokio::task::spawn_blocking(claim).await;
        match claimed.map_err(|error| EngineError::Internal(error.to_string()))? {
            Ok(grant) => {
                turns.holders.fetch_add(1, Ordering::SeqCst);
                break grant;
            }
            Err(DeviceError::Held(_)) if others => {
                drop(asking);
                tokio::select! {
                    () = returned => {}
                    () = cancel.cancelled() => return Err(BuildError::Canceled.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    };
    grant.place_libraries(|dir| root.is_dir(dir));
    Ok(Some(Held {
        edits: grant.edits,
        devices: engine.options.devices.clone(),
        id: id.clone(),
        turns: Arc::clone(turns),
    }))
}
