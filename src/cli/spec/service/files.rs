//! Ids of secrets and configs by their names.

use std::collections::BTreeMap;

use super::parse;
use crate::{
    api::dto::service::{ConfigReference, SecretReference},
    cli::spec::SpecError,
};

/// What flags may name.
#[derive(Debug, Clone, Default)]
pub struct Files {
    pub secrets: BTreeMap<String, String>,
    pub configs: BTreeMap<String, String>,
}

impl Files {
    pub fn secret(&self, flag: &'static str, text: &str) -> Result<SecretReference, SpecError> {
        let (name, file) = parse::file(flag, text)?;
        let id = self.secrets.get(&name).ok_or_else(|| SpecError::value(flag, text, "there is no such secret"))?;
        Ok(SecretReference { file: Some(file), secret_id: id.clone(), secret_name: name })
    }

    pub fn config(&self, flag: &'static str, text: &str) -> Result<ConfigReference, SpecError> {
        let (name, file) = parse::file(flag, text)?;
        let id = self.configs.get(&name).ok_or_else(|| SpecError::value(flag, text, "there is no such config"))?;
        Ok(ConfigReference { file: Some(file), runtime: None, config_id: id.clone(), config_name: name })
    }
}
