//! Calls to whichever manager leads, and the certificate that is renewed before it ends.

use std::{path::Path, sync::Arc, time::Duration};

use hoist_agent::Dispatchers;
use hoist_link::{Credentials, Link, NodeKey};
use hoist_proto::{
    clock::SharedClock,
    wire::{Certificate, EnlistRequest, RenewRequest, membership_client::MembershipClient},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};

use super::{Member, MemberError, Wish, remotes::Remotes};

const PAUSE: Duration = Duration::from_millis(300);
/// A certificate is renewed when this part of its life is over.
const WHEN: f64 = 0.6;
/// What the clocks' differences add to the front of a life.
const SKEW: Duration = Duration::from_secs(3600);

/// Calls the leader: tries managers until one is it, for as long as `patience`.
pub async fn leader<R, F>(
    remotes: &Remotes,
    patience: Duration,
    call: impl Fn(MembershipClient<Channel>) -> F,
) -> Result<R, Status>
where
    F: Future<Output = Result<tonic::Response<R>, Status>>,
{
    let until = tokio::time::Instant::now() + patience;
    loop {
        let client = MembershipClient::new(remotes.next());
        let outcome = tokio::time::timeout_at(until, call(client)).await;
        let status = match outcome {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => return Err(Status::deadline_exceeded("no manager that leads has answered")),
        };
        let again =
            matches!(status.code(), Code::Unavailable | Code::FailedPrecondition | Code::Unknown | Code::Aborted);
        if !again {
            return Err(status);
        }
        if remotes.ended(&status) {
            continue;
        }
        if tokio::time::Instant::now() + PAUSE >= until {
            return Err(status);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Puts a certificate in use.
pub fn take(member: &Member, key: NodeKey, certificate: &Certificate, dir: &Path) -> Result<Credentials, MemberError> {
    let credentials = Credentials::new(key, &certificate.chain, &certificate.roots)?;
    credentials.save(dir, |key| member.inner.lock.seal(key))?;
    Ok(credentials)
}

/// Renews the certificate when it is time, or when the leader wants it; runs until cancelled.
pub async fn run(
    member: Member,
    link: Link,
    remotes: Arc<Remotes>,
    dir: std::path::PathBuf,
    clock: SharedClock,
    wishes: mpsc::Sender<Wish>,
    cancel: CancellationToken,
) {
    loop {
        let wait = {
            let credentials = link.credentials();
            let identity = credentials.identity();
            let life = identity.not_after.as_second() - identity.not_before.as_second() - SKEW.as_secs() as i64;
            let due = identity.not_after.as_second() - (life.max(1) as f64 * (1.0 - WHEN)) as i64;
            Duration::from_secs((due - clock.now().as_second()).max(0) as u64)
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = remotes.renew.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let before = link.credentials().identity().subject.role;
        let renewed = tokio::select! {
            () = cancel.cancelled() => return,
            renewed = renew(&member, &remotes, &dir) => renewed,
        };
        match renewed {
            Ok(credentials) => {
                let role = credentials.identity().subject.role;
                tracing::info!(?role, "the node's certificate is renewed");
                link.replace(credentials);
                if role != before {
                    // The supervisor ends this loop and begins another.
                    let _ = wishes.send(Wish::Role).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the node's certificate could not be renewed"),
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PAUSE * 3) => {}
        }
    }
}

async fn renew(member: &Member, remotes: &Remotes, dir: &Path) -> Result<Credentials, MemberError> {
    let key = NodeKey::generate()?;
    let request = key.request()?;
    let certificate = leader(remotes, Duration::from_secs(20), |mut client| {
        let request = RenewRequest { request: request.clone() };
        async move { client.renew(request).await }
    })
    .await
    .map_err(|status| MemberError::Refused(status.message().to_owned()))?;
    take(member, key, &certificate, dir)
}

/// Asks for a place among the managers until there is one.
pub async fn enlist(remotes: Arc<Remotes>, raft_id: u64, address: String, cancel: CancellationToken) {
    loop {
        let asked = leader(&remotes, Duration::from_secs(20), |mut client| {
            let request = EnlistRequest { raft_id, address: address.clone() };
            async move { client.enlist(request).await }
        });
        let answer = tokio::select! {
            () = cancel.cancelled() => return,
            answer = asked => answer,
        };
        match answer {
            Ok(answer) => {
                remotes.learn(answer.managers);
                return;
            }
            Err(status) => tracing::warn!("no place among the managers yet: {}", status.message()),
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
