//! A container's beginning and end.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::{Container, Core, Kind, Live, check_container_id, refused_batch};
use crate::dns::{Scope, Server};
use crate::error::Error;
use crate::model::{AttachRequest, Attached, ConnectRequest, DnsConfig, Endpoint, PortRequest, PublishedPort, Sandbox};
use crate::netlink::Batch;
use crate::netns;
use crate::sandbox::{Prepared, ResolverSockets};
use crate::store::Record;

impl Core {
    /// Everything that a start needs. What an earlier run of the container left is released first.
    pub(crate) fn attach(&mut self, container: &str, request: AttachRequest) -> Result<Attached, Error> {
        check_container_id(container)?;
        self.release(container)?;
        let mut networks = request.networks;
        networks.sort_by_key(|r| std::cmp::Reverse(r.priority));
        let mut kinds = Vec::new();
        for request in &networks {
            kinds.push(&self.find(&request.network)?.kind);
        }
        // A ready pair has the first network's name inside.
        let bridged = matches!(kinds.first(), Some(Kind::Bridge(_)));
        let result = self.open_sandbox(container, bridged, request.dns).and_then(|sandbox| {
            let endpoints = networks.into_iter().map(|r| self.join(container, r)).collect::<Result<Vec<_>, _>>()?;
            let ports = self.publish_ports(container, &request.ports)?;
            self.serve(container);
            self.save(container)?;
            Ok(Attached { sandbox, endpoints, ports })
        });
        let result = self.undo_unless(container, result);
        self.pool.refill();
        result
    }

    /// The sandbox that the container has.
    pub(crate) fn sandbox(&self, container: &str) -> Result<Sandbox, Error> {
        match self.containers.get(container) {
            Some(held) if held.live.is_some() => Ok(self.sandbox_of(container)),
            _ => Err(Error::NoSandbox(container.to_owned())),
        }
    }

    fn undo_unless<T>(&mut self, container: &str, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            // The first error is the one to report.
            let _ = self.release(container);
        }
        result
    }

    fn sandbox_of(&self, container: &str) -> Sandbox {
        Sandbox { container: container.to_owned(), path: self.store.namespace(container) }
    }

    fn open_sandbox(&mut self, container: &str, with_pair: bool, dns: DnsConfig) -> Result<Sandbox, Error> {
        let path = self.store.namespace(container);
        let failed = |action| {
            let path = path.clone();
            move |source| Error::Namespace { path, action, source }
        };
        let prepared = match with_pair.then(|| self.pool.take()).flatten() {
            Some(prepared) => prepared,
            None => Prepared::make(with_pair.then_some(&mut self.rtnl)).map_err(failed("create"))?,
        };
        let sandbox = self.sandbox_of(container);
        netns::pin(prepared.namespace.as_fd(), &sandbox.path).map_err(failed("pin"))?;
        let record = Record { container: container.to_owned(), sandbox: true, dns, ..Record::default() };
        let (live, resolver) = Live::new(prepared);
        self.containers.insert(container.to_owned(), Container { record, live: Some(live), resolver: Some(resolver) });
        Ok(sandbox)
    }

    /// Starts the container's name server once it is on a network that has names.
    pub(super) fn serve(&mut self, container: &str) {
        let Some(held) = self.containers.get_mut(container) else { return };
        let Some(live) = &mut held.live else { return };
        let scope = Scope {
            container: container.to_owned(),
            dns: held.record.dns.clone(),
            outside: held.record.endpoints.iter().any(|e| e.gateway4.is_some() || e.gateway6.is_some()),
            namespace: live.namespace.clone(),
        };
        match (&live.server, held.resolver.take()) {
            (Some(server), _) => server.set_scope(scope),
            (None, Some(sockets)) if held.record.endpoints.iter().any(|e| e.interface.is_some()) => {
                match Server::start(sockets, scope, self.directory.clone()) {
                    Ok(server) => live.server = Some(server),
                    Err(error) => tracing::error!(%error, container, "the container has no name service"),
                }
            }
            (None, sockets) => held.resolver = sockets,
        }
    }

    /// Puts a container on one more network.
    pub(crate) fn connect(&mut self, container: &str, request: ConnectRequest) -> Result<Endpoint, Error> {
        let before = self.containers.get(container).map(|c| self.target(&c.record));
        let endpoint = self.join(container, request)?;
        let finish = self.repoint(container, before.as_ref()).and_then(|()| self.save(container));
        if let Err(error) = finish {
            let _ = self.leave(container, &endpoint.network);
            return Err(error);
        }
        self.serve(container);
        Ok(endpoint)
    }

    /// Takes a container off a network.
    pub(crate) fn disconnect(&mut self, container: &str, network: &str) -> Result<(), Error> {
        let network = self.find(network)?.network.clone();
        let held = self.containers.get(container);
        let Some(held) = held.filter(|c| c.record.endpoints.iter().any(|e| e.network == network.id)) else {
            return Err(Error::NotConnected { container: container.to_owned(), network: network.spec.name });
        };
        let before = self.target(&held.record);
        let left = self.leave(container, &network.id);
        let repointed = self.repoint(container, Some(&before));
        let routed = self.route(container);
        self.serve(container);
        left.and(repointed).and(routed).and_then(|()| self.save(container))
    }

    /// Publishes further ports.
    pub(crate) fn publish(&mut self, container: &str, ports: &[PortRequest]) -> Result<Vec<PublishedPort>, Error> {
        let ports = self.publish_ports(container, ports)?;
        self.save(container).map(|()| ports)
    }

    pub(crate) fn set_resolver(&mut self, container: &str, dns: DnsConfig) -> Result<(), Error> {
        let held = self.containers.get_mut(container).ok_or_else(|| Error::NoSandbox(container.to_owned()))?;
        held.record.dns = dns;
        self.serve(container);
        self.save(container)
    }

    pub(crate) fn set_healthy(&mut self, container: &str, healthy: bool) -> Result<(), Error> {
        let Some(held) = self.containers.get_mut(container) else { return Ok(()) };
        if held.record.unhealthy != healthy {
            return Ok(());
        }
        held.record.unhealthy = !healthy;
        self.directory.set_healthy(container, healthy);
        self.save(container)
    }

    pub(crate) fn rename(&mut self, container: &str, old: &str, new: &str) -> Result<(), Error> {
        let Some(held) = self.containers.get_mut(container) else { return Ok(()) };
        for endpoint in &mut held.record.endpoints {
            self.directory.leave(endpoint);
            for name in endpoint.names.iter_mut().chain(&mut endpoint.request.names).filter(|n| *n == old) {
                new.clone_into(name);
            }
            if endpoint.interface.is_some() {
                self.directory.join(endpoint);
            }
        }
        let healthy = !held.record.unhealthy;
        self.directory.set_healthy(container, healthy);
        self.save(container)
    }

    /// Gives all back that a container has; goes on when something fails, and reports the first failure.
    pub(crate) fn release(&mut self, container: &str) -> Result<(), Error> {
        if !self.containers.contains_key(container) {
            return Ok(());
        }
        let unpublished = self.unpublish_all(container);
        let Some(mut held) = self.containers.remove(container) else { return Ok(()) };
        let mut live = held.live.take();
        let mut batch = Batch::default();
        for endpoint in &held.record.endpoints {
            self.directory.leave(endpoint);
            self.release_addresses(endpoint);
            // The links go with the namespace, a little later. Until then nothing may pass: the
            // addresses can have a new owner at once.
            if let Some(host) = &endpoint.host_interface {
                batch.cut_port(host);
            } else if let (Some(inside), Some(live)) = (&endpoint.interface, &mut live) {
                let mut batch = Batch::default();
                batch.delete_link(inside);
                if let Err((_, refusal)) = live.rtnl.send(batch) {
                    tracing::debug!(container, inside, ?refusal, "a link that should go is gone");
                }
            }
        }
        let cut = match self.rtnl.send(batch) {
            // Somebody removed the link, or took it off the bridge.
            Err((_, r)) if matches!(r.errno, nix::errno::Errno::ENODEV | nix::errno::Errno::EINVAL) => Ok(()),
            Err(refusal) => Err(refused_batch(format!("cut off container {container}"))(refusal)),
            Ok(()) => Ok(()),
        };
        let path = self.store.namespace(container);
        let forgotten = self.store.remove_record(container);
        // Closing what is open in the namespace lets it end.
        drop((held, live));
        let unpinned = netns::unpin(&path).map_err(|source| Error::Namespace { path, action: "unpin", source });
        unpublished.and(cut).and(forgotten).and(unpinned)
    }
}

impl Live {
    pub(super) fn new(prepared: Prepared) -> (Self, ResolverSockets) {
        let Prepared { namespace, rtnl, pair, resolver } = prepared;
        (
            Self {
                namespace: Arc::new(namespace),
                rtnl,
                spare: pair,
                links: HashMap::new(),
                server: None,
                balancer: None,
            },
            resolver,
        )
    }
}
