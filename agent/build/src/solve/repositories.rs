//! Git repositories as sources of `ADD`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Solve, blocking};
use crate::dockerfile::IgnoreFile;
use crate::graph::Remote;
use crate::tree::{Destination, Root, Wish, copy, select};
use crate::{BuildError, BuildRequest, GitAccess, GitSource, Worker};

/// A repository at a commit. It is fetched when its files are copied, and not if they are known already.
pub(super) struct Repository {
    source: GitSource,
    commit: String,
    keep_git_dir: bool,
}

impl Repository {
    /// Its address, and the commit.
    pub(super) fn material(&self) -> (String, String) {
        (self.source.url.clone(), format!("sha1:{}", self.commit))
    }

    /// What its files depend on.
    pub(super) fn identity(&self) -> String {
        let directory = self.source.directory.as_deref().unwrap_or_default();
        let git = if self.keep_git_dir { self.source.url.as_str() } else { "" };
        let alone = if self.source.submodules == Some(false) { " alone" } else { "" };
        format!("git {} {directory:?} {git:?}{alone}", self.commit)
    }
}

/// What the build was given for a repository: the agent `default`, and secrets as BuildKit calls them.
fn access(request: &BuildRequest, source: &GitSource) -> GitAccess {
    let host = source.url.split_once("://").map(|(_, rest)| rest.split(['/', '@']).next().unwrap_or_default());
    let secret = |name: &str| {
        let own = host.and_then(|host| request.secrets.get(&format!("{name}.{host}")));
        own.or_else(|| request.secrets.get(name)).cloned()
    };
    GitAccess {
        agent: request.ssh.get("default").cloned(),
        token: secret("GIT_AUTH_TOKEN"),
        header: secret("GIT_AUTH_HEADER"),
    }
}

impl<W: Worker> Solve<W> {
    /// Finds out what a repository's reference means now.
    pub(super) async fn repository(&self, source: GitSource, remote: &Remote) -> Result<Repository, BuildError> {
        let access = access(&self.request, &source);
        let commit = tokio::select! {
            commit = source.resolve(&access) => commit?,
            () = self.cancel.cancelled() => return Err(BuildError::Canceled),
        };
        if let Some(wanted) = &remote.checksum {
            let hex = !wanted.is_empty() && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hex {
                let url = &source.url;
                return Err(BuildError::Request(format!(
                    "--checksum={wanted}: expected a commit of {url} or its beginning"
                )));
            }
            if !commit.starts_with(&wanted.to_ascii_lowercase()) {
                let message = format!("{} is at the commit {commit}, --checksum says {wanted}", remote.url);
                return Err(BuildError::Request(message));
            }
        }
        let keep_git_dir = source.keep_git_dir.unwrap_or(remote.keep_git_dir);
        Ok(Repository { source, commit, keep_git_dir })
    }

    /// Puts a repository's files into a tree. None is younger than its commit.
    pub(super) async fn add_repository(
        &self,
        repository: &Repository,
        exclude: &[String],
        tree: &Arc<Root>,
        to: &Destination,
    ) -> Result<(), BuildError> {
        let tmp = self.shared.options.root.join("tmp");
        let dir = tempfile::Builder::new()
            .prefix("git-")
            .tempdir_in(&tmp)
            .map_err(|error| BuildError::io("create a directory in", &tmp, error))?;
        let Repository { source, commit, keep_git_dir } = repository;
        let access = access(&self.request, source);
        let checkout = tokio::select! {
            checkout = source.checkout(commit, dir.path(), *keep_git_dir, &access) => checkout?,
            () = self.cancel.cancelled() => return Err(BuildError::Canceled),
        };
        let exclude = IgnoreFile::from_patterns(exclude.iter().map(String::as_str)).map_err(BuildError::Request)?;
        let exclude = Some(exclude).filter(|exclude| !exclude.is_empty());
        let latest = to.latest.map_or(checkout.committed_at, |latest| latest.min(checkout.committed_at));
        let to = Destination { directory: true, latest: Some(latest), ..to.clone() };
        let (tree, cancel, root): (_, _, PathBuf) = (Arc::clone(tree), self.cancel.clone(), checkout.root);
        blocking(move || {
            let _until_copied = dir;
            let from = Root::at(&root).map_err(|error| BuildError::io("open", &root, error))?;
            let sources = [".".to_owned()];
            let wish = Wish { sources: &sources, parents: false, ignore: None, exclude: exclude.as_ref() };
            copy(&from, &select(&from, &wish)?, &tree, &to, &|| cancel.is_cancelled()).map(drop)
        })
        .await
    }
}
