//! A second machine at the end of a wire, with a daemon of its own.

use std::future::Future;
use std::path::PathBuf;

use hoist_network::{Networks, Options};

use super::Inside;

pub const NEAR: &str = "198.51.100.1";
pub const FAR: &str = "198.51.100.2";

/// The machine at the wire's other end.
pub struct Other {
    pub inside: Inside,
    /// Its threads are born in the machine's namespace.
    runtime: Option<tokio::runtime::Runtime>,
    pub networks: Networks,
}

impl Drop for Other {
    fn drop(&mut self) {
        // A test that fails drops it where waiting is not allowed.
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Other {
    pub fn new(root: PathBuf) -> Self {
        Self::with(root, |_| {})
    }

    /// One whose daemon is set up otherwise.
    pub fn with(root: PathBuf, change: impl FnOnce(&mut Options) + Send) -> Self {
        let inside = Inside::neighbour(&format!("{NEAR}/24"), &format!("{FAR}/24"));
        let (runtime, networks) = inside.run(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let mut options = Options::new(root.join("data"), root.join("run"));
            options.dns.servers = vec!["127.0.0.1".parse().unwrap()];
            change(&mut options);
            let networks = runtime.block_on(Networks::open(options)).unwrap();
            (runtime, networks)
        });
        Self { inside, runtime: Some(runtime), networks }
    }

    pub fn on<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        self.inside.run(|| self.runtime.as_ref().unwrap().block_on(call))
    }

    /// Takes back what it pinned.
    pub fn end(&self) {
        self.on(self.networks.reconcile(&[])).unwrap();
    }
}
