//! The contexts of one build.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::dockerfile::IgnoreFile;
use crate::tree::Root;
use crate::{BuildError, BuildRequest, Context, NamedContext};

/// A directory, and what of it is not there.
#[derive(Clone)]
pub(super) struct Source {
    pub root: PathBuf,
    pub ignore: Option<IgnoreFile>,
    /// Layers may share its files.
    pub lasting: bool,
}

impl Source {
    fn new(context: &Context) -> Result<Self, BuildError> {
        let ignore = IgnoreFile::parse(".dockerignore", &context.ignore.join("\n"))?;
        let ignore = Some(ignore).filter(|ignore| !ignore.is_empty());
        Ok(Self { root: context.root.clone(), ignore, lasting: context.lasting })
    }

    pub(super) fn open(&self) -> Result<Root, BuildError> {
        Root::at(&self.root).map_err(|error| BuildError::io("open the context", &self.root, error))
    }
}

pub(super) struct Contexts {
    main: Option<Source>,
    named: BTreeMap<String, Source>,
}

impl Contexts {
    pub(super) fn new(request: &BuildRequest) -> Result<Self, BuildError> {
        let mut named = BTreeMap::new();
        for (name, context) in &request.contexts {
            if let NamedContext::Directory(context) = context {
                named.insert(name.clone(), Source::new(context)?);
            }
        }
        Ok(Self { main: request.context.as_ref().map(Source::new).transpose()?, named })
    }

    pub(super) fn get(&self, name: Option<&str>) -> Result<&Source, BuildError> {
        match name {
            None => self.main.as_ref().ok_or_else(|| BuildError::Request("this build has no context".into())),
            Some(name) => {
                self.named.get(name).ok_or_else(|| BuildError::Request(format!("there is no context {name:?}")))
            }
        }
    }
}
