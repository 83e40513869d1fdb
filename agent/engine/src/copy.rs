//! Files in and out of containers, by name: which tree is looked into, and what is published.

use std::path::PathBuf;

use hoist_proto::spec::MountKind;
use tokio::io::AsyncRead;

use crate::container::Handle;
use crate::files::{self, Place};
use crate::inner::Inner;
use crate::model::{CopyOptions, PathStat};
use crate::{EngineError, Result};

impl Inner {
    fn place(&self, handle: &Handle, name: &str) -> Place {
        let record = handle.record();
        let source = |kind: MountKind, source: &str| match kind {
            MountKind::Volume => self.options.volumes.inspect(source).ok().map(|volume| volume.mountpoint),
            MountKind::Bind => Some(PathBuf::from(source)),
            _ => None,
        };
        let mounts = record.mounts.iter().filter_map(|planned| {
            let mount = &planned.mount;
            let path = source(mount.kind, mount.source.as_deref().unwrap_or_default())?;
            Some((mount.target.clone(), path, mount.read_only))
        });
        let pid = handle.cell().state.pid;
        Place { name: name.to_owned(), id: handle.id.to_string(), pid, mounts: mounts.collect() }
    }

    pub(crate) async fn stat_path(&self, name: &str, path: &str) -> Result<PathStat> {
        let handle = self.registry.find(name)?;
        files::stat_path(&self.options.images, &self.place(&handle, name), path).await
    }

    pub(crate) async fn copy_from(
        &self,
        name: &str,
        path: &str,
    ) -> Result<(PathStat, Box<dyn AsyncRead + Send + Unpin>)> {
        let handle = self.registry.find(name)?;
        let found = files::copy_from(&self.options.images, &self.place(&handle, name), path).await?;
        self.publish(&handle, "archive-path", &[]);
        Ok(found)
    }

    pub(crate) async fn copy_to(
        &self,
        name: &str,
        path: &str,
        source: Box<dyn AsyncRead + Send + Unpin>,
        options: CopyOptions,
    ) -> Result<()> {
        let handle = self.registry.find(name)?;
        if handle.record().spec.read_only && !handle.status().is_up() {
            return Err(EngineError::Conflict(format!("container {name}: its root file system is read-only")));
        }
        files::copy_to(&self.options.images, &self.place(&handle, name), path, source, options).await?;
        self.publish(&handle, "extract-to-dir", &[]);
        Ok(())
    }

    pub(crate) async fn export(&self, name: &str) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
        let handle = self.registry.find(name)?;
        let stream = files::export(&self.options.images, &self.place(&handle, name)).await?;
        self.publish(&handle, "export", &[]);
        Ok(stream)
    }
}
