//! Owns what runs, and changes it one wish at a time.

use std::sync::{Arc, OnceLock, RwLock};

use hoist_link::UnlockKey;
use hoist_manager::ManagerError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Inner, Member, MemberError, Now, Parts, Wish, change,
    lock::Lock,
    restore,
    running::{Beginning, Running},
};

/// Owns what runs. [`Member`] is its handle.
pub struct Supervisor {
    pub(super) member: Member,
    running: Option<Running>,
    wishes: mpsc::Receiver<Wish>,
    sender: mpsc::Sender<Wish>,
}

impl Supervisor {
    /// Starts what this node is by its files.
    ///
    /// # Errors
    /// When that cannot run.
    pub async fn start(parts: Parts) -> Result<Self, MemberError> {
        let (sender, wishes) = mpsc::channel(8);
        let lock = Lock::new(parts.data_root.join("cluster"));
        let inner = Inner { parts, now: RwLock::default(), wishes: sender.clone(), router: OnceLock::new(), lock };
        let member = Member { inner: Arc::new(inner) };
        let mut supervisor = Self { member, running: None, wishes, sender };
        match supervisor.begin().await {
            Err(MemberError::Locked) => supervisor.wait_locked(),
            outcome => outcome?,
        }
        Ok(supervisor)
    }

    /// The handle.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The keys are locked: until a person brings the key, containers run on and nothing else does.
    fn wait_locked(&self) {
        tracing::warn!("the manager's keys are locked: hoist swarm unlock starts it");
        let node = hoist_agent::node_id(&self.member.inner.parts.data_root).ok();
        self.member.set(Now { node, locked: true, ..Now::default() });
    }

    async fn unlock(&mut self, key: UnlockKey) -> Result<(), MemberError> {
        if !self.member.now().locked {
            return Err(MemberError::NotLocked);
        }
        let lock = &self.member.inner.lock;
        lock.learn(Some(key));
        let checked = lock.check();
        if checked.is_err() {
            lock.learn(None);
            return checked;
        }
        self.begin().await
    }

    /// Starts what the files say.
    pub(super) async fn begin(&mut self) -> Result<(), MemberError> {
        self.begin_with(Beginning::Log).await
    }

    /// The same, with something else than the log that is there.
    pub(super) async fn begin_with(&mut self, beginning: Beginning) -> Result<(), MemberError> {
        let (running, now) = Running::start(&self.member, self.sender.clone(), beginning).await?;
        self.running = Some(running);
        self.member.set(now);
        Ok(())
    }

    /// Stops what runs.
    pub(super) async fn end(&mut self) {
        self.member.set(Now { node: self.member.node(), ..Now::default() });
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Takes wishes until the token is cancelled, or what runs fails for good.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), MemberError> {
        let ended = loop {
            let failed = async {
                match &mut self.running {
                    Some(running) => running.failed().await,
                    None => std::future::pending::<ManagerError>().await,
                }
            };
            let wish = tokio::select! {
                () = stop.cancelled() => break Ok(()),
                error = failed => break Err(error.into()),
                wish = self.wishes.recv() => wish,
            };
            match wish {
                None => break Ok(()),
                Some(Wish::Unlock(key, done)) => {
                    let outcome = self.unlock(key).await;
                    let _ = done.send(outcome);
                }
                Some(Wish::Init(init, done)) => {
                    let outcome = change::init(&mut self, *init).await;
                    let _ = done.send(outcome);
                }
                Some(Wish::Join(join, done)) => {
                    let outcome = change::join(&mut self, *join).await;
                    let _ = done.send(outcome);
                }
                Some(Wish::Restore(restore, done)) => {
                    let outcome = restore::restore(&mut self, *restore).await;
                    let _ = done.send(outcome);
                }
                Some(Wish::Leave { force, done }) => {
                    let outcome = change::leave(&mut self, force).await;
                    let _ = done.send(outcome);
                }
                Some(Wish::Role) => {
                    self.end().await;
                    self.begin_again().await;
                }
            }
        };
        self.end().await;
        ended
    }

    /// Starts what the files say; when that fails the node is out of order, and says so.
    pub(super) async fn begin_again(&mut self) {
        if let Err(error) = self.begin().await {
            let error = crate::api::error_chain(&error);
            tracing::error!("this node's part of the cluster cannot run: {error}");
            self.member.set(Now { node: self.member.node(), error, ..Now::default() });
        }
    }
}
