//! How repositories are fetched.
//!
//! The program `git` does the fetching: it knows every server's ways, and its users have set it up for theirs. It is
//! needed only by builds that name a repository, and those say so where it is not installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::GitSource;
use crate::{BuildError, Secret};

/// What a fetch may use.
#[derive(Debug, Clone, Default)]
pub struct GitAccess {
    /// The socket of an SSH agent on this machine.
    pub agent: Option<PathBuf>,
    /// A token for repositories over HTTP (the secret `GIT_AUTH_TOKEN`).
    pub token: Option<Secret>,
    /// A whole `Authorization` header (the secret `GIT_AUTH_HEADER`).
    pub header: Option<Secret>,
}

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The directory that counts, absolute and without symbolic links.
    pub root: PathBuf,
    /// When the commit was made, in seconds since 1970.
    pub committed_at: i64,
}

impl GitSource {
    /// What the server is asked for.
    fn wanted(&self) -> &str {
        let commit = self.checksum.as_deref().filter(|commit| is_commit(commit));
        self.reference.as_deref().or(commit).unwrap_or("HEAD")
    }

    /// The commit that the reference means now. A whole commit means itself, and nobody is asked.
    ///
    /// # Errors
    /// What the server says; a reference that it does not have, or that is at another commit than the address says.
    pub async fn resolve(&self, access: &GitAccess) -> Result<String, BuildError> {
        let commit = self.meaning(access).await?;
        match &self.checksum {
            Some(checksum) if !commit.starts_with(checksum) => {
                Err(BuildError::Request(format!("{} is at the commit {commit}, its address says {checksum}", self.url)))
            }
            _ => Ok(commit),
        }
    }

    async fn meaning(&self, access: &GitAccess) -> Result<String, BuildError> {
        let wanted = self.wanted();
        if is_commit(wanted) {
            return Ok(wanted.to_ascii_lowercase());
        }
        self.check()?;
        let listed = self.git(access, None, ["ls-remote", "--", &self.url]).await?;
        let lines = || listed.lines().filter_map(|line| line.split_once('\t'));
        let find = |name: &str| lines().find(|(_, other)| *other == name).map(|(commit, _)| commit.to_owned());
        // In this order: the short name of a tag or branch, or a whole one such as `refs/pull/7/head`, also without `refs/`.
        let names = [
            // Of a tag with a message, the commit that it is about.
            format!("refs/tags/{wanted}^{{}}"),
            format!("refs/tags/{wanted}"),
            format!("refs/heads/{wanted}"),
            format!("{wanted}^{{}}"),
            wanted.to_owned(),
            format!("refs/{wanted}"),
        ];
        names.iter().find_map(|name| find(name)).ok_or_else(|| {
            let short = |name: &str| {
                name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).map(str::to_owned)
            };
            let there: Vec<String> =
                lines().filter_map(|(_, name)| short(name)).filter(|n| !n.ends_with("^{}")).collect();
            let hint = match crate::dockerfile::near(wanted, there.iter().map(String::as_str)) {
                Some(near) => format!("; did you mean {near}?"),
                None if wanted.len() >= 4 && wanted.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    "; a commit must be written with all its 40 digits".to_owned()
                }
                None => String::new(),
            };
            BuildError::NotFound(format!("{} has no branch or tag {wanted:?}{hint}", self.url))
        })
    }

    /// Checks a commit out into an empty directory. Without `keep_git_dir`, which the address may say as well, nothing of
    /// git's own stays there.
    ///
    /// # Errors
    /// What git says; a directory that the commit has not, or that leads out of it.
    pub async fn checkout(
        &self,
        commit: &str,
        into: &Path,
        keep_git_dir: bool,
        access: &GitAccess,
    ) -> Result<Checkout, BuildError> {
        self.check()?;
        let git = |args: Vec<String>| async move { self.git(access, Some(into), args).await };
        let words = |args: &[&str]| args.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        git(words(&["init", "--quiet", "."])).await?;
        git(words(&["remote", "add", "origin", "--", &self.url])).await?;
        let wanted = self.wanted();
        let shallow = git(words(&["fetch", "--quiet", "--depth", "1", "--no-tags", "origin", "--", wanted])).await;
        let here = git(words(&["cat-file", "-e", &format!("{commit}^{{commit}}")])).await.is_ok();
        if !here {
            // Not every server gives a commit away that no reference names, and a branch may have moved on.
            let whole = git(words(&[
                "fetch",
                "--quiet",
                "origin",
                "+refs/heads/*:refs/remotes/origin/*",
                "+refs/tags/*:refs/tags/*",
            ]));
            if let Err(error) = whole.await {
                return Err(shallow.err().unwrap_or(error));
            }
        }
        git(words(&["checkout", "--quiet", "--detach", commit])).await?;
        if self.submodules.unwrap_or(true) && into.join(".gitmodules").exists() {
            git(words(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"])).await?;
        }
        let committed_at =
            git(words(&["show", "--no-patch", "--format=%ct", "HEAD"])).await?.trim().parse().unwrap_or(0);
        if !self.keep_git_dir.unwrap_or(keep_git_dir) {
            fs_err::remove_dir_all(into.join(".git"))
                .map_err(|error| BuildError::io("remove", into.join(".git"), error))?;
        }
        let whole = fs_err::canonicalize(into).map_err(|error| BuildError::io("open", into, error))?;
        let Some(directory) = &self.directory else { return Ok(Checkout { root: whole, committed_at }) };
        let root = fs_err::canonicalize(whole.join(directory.trim_start_matches('/')))
            .ok()
            .filter(|root| root.starts_with(&whole) && root.is_dir())
            .ok_or_else(|| BuildError::NotFound(format!("{} has no directory {directory:?} at {commit}", self.url)))?;
        Ok(Checkout { root, committed_at })
    }

    /// Nothing of an address may be taken for a flag.
    fn check(&self) -> Result<(), BuildError> {
        let wrong = [self.url.as_str(), self.wanted()].into_iter().find(|text| text.starts_with('-'));
        match wrong {
            Some(text) => Err(BuildError::Request(format!("{text:?} is no address or reference of a git repository"))),
            None => Ok(()),
        }
    }

    async fn git<S: AsRef<OsStr>>(
        &self,
        access: &GitAccess,
        dir: Option<&Path>,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String, BuildError> {
        let mut command = Command::new("git");
        // Modes are the repository's own, whatever the daemon's mask.
        command
            .args(args)
            .current_dir(dir.unwrap_or(Path::new("/")))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .env("LC_ALL", "C")
            .env_remove("GIT_DIR")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(agent) = &access.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        if let Some(header) = access.authorization()? {
            // Through the environment: what is on a command line everybody can read.
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", format!("http.{}.extraHeader", self.url));
            command.env("GIT_CONFIG_VALUE_0", format!("Authorization: {header}"));
        }
        let output = command.output().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BuildError::Request(format!(
                "{} is a git repository, and the program git, which fetches those, is not installed on the daemon's machine",
                self.url
            )),
            _ => BuildError::io("start", "git", error),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.trim().lines().collect::<Vec<_>>().join("; ");
        let ssh = self.url.starts_with("git@") || self.url.starts_with("ssh://");
        let hint = if ssh && access.agent.is_none() { " (no agent was given: build with --ssh default)" } else { "" };
        Err(BuildError::Request(format!("cannot fetch {}: {words}{hint}", self.url)))
    }
}

impl GitAccess {
    fn authorization(&self) -> Result<Option<String>, BuildError> {
        use base64::Engine as _;
        let text = |secret: &Secret, name: &str| {
            let text = String::from_utf8(secret.0.clone()).ok().map(|text| text.trim().to_owned());
            text.filter(|text| !text.contains(char::is_control))
                .ok_or_else(|| BuildError::Request(format!("the secret {name} is not one line of text")))
        };
        if let Some(header) = &self.header {
            return text(header, "GIT_AUTH_HEADER").map(Some);
        }
        let Some(token) = &self.token else { return Ok(None) };
        let pair = format!("x-access-token:{}", text(token, "GIT_AUTH_TOKEN")?);
        Ok(Some(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))))
    }
}

/// Whether a reference is a whole commit (SHA-1 or SHA-256).
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_no_flags() {
        let source = GitSource::parse("git://x/y#--upload-pack=x").unwrap().unwrap();
        assert!(source.check().is_err());
        assert!(is_commit(&"a".repeat(40)) && !is_commit("abc") && !is_commit(&"g".repeat(40)));
    }
}
