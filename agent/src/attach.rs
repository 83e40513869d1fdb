//! Containers that are not tasks, on networks that span nodes: the cluster gives them addresses too.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use hoist_engine::{Joining, WideNetworks};
use hoist_proto::{
    spec::ClusterNetwork,
    wire::{
        AttachRequest, DetachRequest, FindNetworkRequest, KeepAttachmentsRequest, dispatcher_client::DispatcherClient,
    },
};
use tonic::{Status, transport::Channel};

use crate::worker::Worker;

const TASK: &str = "hoist.task.id";

/// The session that questions go through, and who has come by hand.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    session: Mutex<Option<(DispatcherClient<Channel>, String)>>,
    /// Containers that were given addresses.
    containers: Mutex<BTreeSet<String>>,
}

impl Attachments {
    pub(crate) fn session(&self) -> Result<(DispatcherClient<Channel>, String), String> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session.ok_or_else(|| "no manager of the cluster answers".to_owned())
    }

    pub(crate) fn open(&self, client: DispatcherClient<Channel>, session: &str) {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some((client, session.to_owned()));
    }

    pub(crate) fn close(&self) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note(&self, container: &str) {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).insert(container.to_owned());
    }

    fn forget(&self, container: &str) -> bool {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).remove(container)
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

fn told(error: Status) -> String {
    error.message().to_owned()
}

impl Worker {
    /// Tells the manager which containers are still there, so that what others had is free again.
    pub(crate) async fn keep_attachments(&self) {
        let networks = self.inner.engine.networks();
        let mut containers = BTreeSet::new();
        for network in networks.list().await.into_iter().filter(|network| network.overlay.is_some()) {
            for endpoint in networks.endpoints(&network.id).await {
                containers.insert(endpoint.container);
            }
        }
        let Ok((mut client, session_id)) = self.inner.attachments.session() else { return };
        {
            // Those that are about to come have addresses already, and no endpoint yet.
            let mut known = self.inner.attachments.containers.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(containers);
            containers = known.clone();
        }
        let request = KeepAttachmentsRequest { session_id, containers: containers.into_iter().collect() };
        if let Err(error) = client.keep_attachments(request).await {
            tracing::warn!("cannot tell which containers are on networks that span nodes: {}", error.message());
        }
    }

    async fn find_network(&self, name: &str) -> Result<Option<ClusterNetwork>, String> {
        let (mut client, session_id) = self.inner.attachments.session()?;
        let request = FindNetworkRequest { session_id, name: name.to_owned() };
        let answer = client.find_network(request).await.map_err(told)?.into_inner();
        if answer.network.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&answer.network).map(Some).map_err(|error| format!("a malformed record: {error}"))
    }

    /// Whether the container is a task's, whose addresses were given with it.
    fn is_task(&self, asked: &Joining) -> bool {
        let given = asked.labels.get(TASK).and_then(|id| self.addresses_of_task(id));
        given.is_some_and(|given| {
            let own = |address: IpAddr| given.contains(&address);
            asked.ipv4.is_some_and(|v4| own(v4.into())) || asked.ipv6.is_some_and(|v6| own(v6.into()))
        })
    }
}

impl WideNetworks for Worker {
    fn provide(&self, network: &str) -> BoxFuture<'_, Result<bool, String>> {
        let name = network.to_owned();
        Box::pin(async move {
            // A machine alone knows of no others, and need not be asked.
            if self.data_path().is_none() {
                return Ok(false);
            }
            let Some(record) = self.find_network(&name).await? else { return Ok(false) };
            self.keep_network(&record);
            self.network(&record).await.map(|()| true)
        })
    }

    fn join(&self, asked: Joining) -> BoxFuture<'_, Result<Vec<IpAddr>, String>> {
        Box::pin(async move {
            if self.is_task(&asked) {
                return Ok(Vec::new());
            }
            let (mut client, session_id) = self.inner.attachments.session()?;
            let request = AttachRequest {
                session_id,
                network: asked.network.clone(),
                container: asked.container.clone(),
                names: asked.names,
                ipv4: asked.ipv4.map(|address| address.to_string()).unwrap_or_default(),
                ipv6: asked.ipv6.map(|address| address.to_string()).unwrap_or_default(),
            };
            self.inner.attachments.note(&asked.container);
            let answer = client.attach(request).await.map_err(told)?.into_inner();
            let addresses = answer.addresses.iter().map(|text| text.parse::<IpAddr>());
            addresses.collect::<Result<_, _>>().map_err(|error| format!("a malformed address: {error}"))
        })
    }

    fn leave(&self, container: &str, network: Option<&str>) {
        if network.is_none() && !self.inner.attachments.forget(container) {
            return;
        }
        // What cannot be told now is told with the next session.
        let Ok((mut client, session_id)) = self.inner.attachments.session() else { return };
        let network = network.unwrap_or_default().to_owned();
        let request = DetachRequest { session_id, container: container.to_owned(), network };
        tokio::spawn(async move {
            if let Err(error) = client.detach(request).await {
                tracing::debug!("a container's leave was not heard: {}", error.message());
            }
        });
    }
}
