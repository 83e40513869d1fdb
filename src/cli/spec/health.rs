//! Health checks.

use hoist_proto::unit;

use super::SpecError;
use crate::{api::dto::config::HealthConfig, cli::args::create::LifecycleFlags};

pub fn check(flags: &LifecycleFlags) -> Result<Option<HealthConfig>, SpecError> {
    let health = HealthConfig {
        test: flags
            .health_cmd
            .as_ref()
            .filter(|command| !command.is_empty())
            .map(|command| vec!["CMD-SHELL".to_owned(), command.clone()])
            .unwrap_or_default(),
        interval: nanos("health-interval", flags.health_interval.as_ref())?,
        timeout: nanos("health-timeout", flags.health_timeout.as_ref())?,
        start_period: nanos("health-start-period", flags.health_start_period.as_ref())?,
        start_interval: nanos("health-start-interval", flags.health_start_interval.as_ref())?,
        retries: flags.health_retries.unwrap_or(0),
    };
    if health.retries < 0 {
        return Err(SpecError::value("health-retries", &health.retries.to_string(), "it cannot be negative"));
    }
    if flags.no_healthcheck {
        if health != HealthConfig::default() {
            return Err(SpecError::conflict("no-healthcheck", "cannot be combined with other --health flags"));
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() }));
    }
    Ok((health != HealthConfig::default()).then_some(health))
}

fn nanos(flag: &'static str, value: Option<&String>) -> Result<i64, SpecError> {
    let Some(text) = value else { return Ok(0) };
    let duration = unit::parse_duration(text)
        .map_err(|_| SpecError::value(flag, text, "expected a duration, such as 1m30s or 500ms"))?;
    i64::try_from(duration.as_nanos()).map_err(|_| SpecError::value(flag, text, "too long"))
}
