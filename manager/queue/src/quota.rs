//! The most that an account may hold at once.

use std::collections::BTreeMap;

use crate::{Account, Lab, Shape, Usage};

/// Bounds for a user or a project; `None` is without.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quota {
    /// Devices of all kinds that run at once.
    pub devices: Option<u32>,
    /// Jobs that run at once.
    pub jobs: Option<u32>,
    /// Device hours, of which older ones count less (see [`Usage`]).
    pub device_hours: Option<f64>,
}

/// All bounds, and what is held.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    pub users: BTreeMap<String, Quota>,
    pub projects: BTreeMap<String, Quota>,
    /// Device hours used, by user and by project.
    pub user_hours: BTreeMap<String, f64>,
    pub project_hours: BTreeMap<String, f64>,
}

/// Parts of devices add up to whole ones but for so much.
const ROUNDING: f64 = 1e-6;

/// `2`, or `1.5` where parts are held.
fn rounded(devices: f64) -> f64 {
    (devices * 100.0).round() / 100.0
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    devices: f64,
    jobs: u32,
}

/// What is held while a pass goes on.
pub(crate) struct Ledger<'a> {
    quotas: &'a Quotas,
    users: BTreeMap<String, Held>,
    projects: BTreeMap<String, Held>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(quotas: &'a Quotas) -> Self {
        Self { quotas, users: BTreeMap::new(), projects: BTreeMap::new() }
    }

    /// Whether any bound exists for the account; most have none.
    fn bounds<'b>(
        &'b self,
        account: &'b Account,
    ) -> impl Iterator<Item = (&'static str, &'b str, &'b Quota, Held, f64)> {
        let user = self.quotas.users.get(&account.user).map(|quota| {
            let held = self.users.get(&account.user).copied().unwrap_or_default();
            let hours = self.quotas.user_hours.get(&account.user).copied().unwrap_or(0.0);
            ("user", account.user.as_str(), quota, held, hours)
        });
        let project = account.project.as_ref().and_then(|project| {
            let quota = self.quotas.projects.get(project)?;
            let held = self.projects.get(project).copied().unwrap_or_default();
            let hours = self.quotas.project_hours.get(project).copied().unwrap_or(0.0);
            Some(("project", project.as_str(), quota, held, hours))
        });
        user.into_iter().chain(project)
    }

    /// Why the account may not start one more job of that size now.
    pub(crate) fn refuses(&self, account: &Account, devices: f64) -> Option<String> {
        self.bounds(account).find_map(|(kind, name, quota, held, hours)| {
            if let Some(most) = quota.jobs
                && held.jobs >= most
            {
                return Some(format!("quota of {kind} {name}: {} of {most} jobs run", held.jobs));
            }
            if let Some(most) = quota.devices
                && devices > 0.0
                && held.devices + devices > f64::from(most) + ROUNDING
            {
                return Some(format!("quota of {kind} {name}: {} of {most} devices are held", rounded(held.devices)));
            }
            if let Some(most) = quota.device_hours
                && devices > 0.0
                && hours >= most
            {
                return Some(format!("quota of {kind} {name}: {hours:.1} of {most:.1} device hours are used"));
            }
            None
        })
    }

    pub(crate) fn take(&mut self, account: &Account, devices: f64) {
        let add = |held: &mut Held| {
            held.devices += devices;
            held.jobs += 1;
        };
        if self.quotas.users.contains_key(&account.user) {
            add(self.users.entry(account.user.clone()).or_default());
        }
        if let Some(project) = account.project.as_ref().filter(|project| self.quotas.projects.contains_key(*project)) {
            add(self.projects.entry(project.clone()).or_default());
        }
    }
}

impl Quotas {
    /// Why a job of that size can never run for the account, whatever ends.
    pub fn forbid(&self, account: &Account, shape: &Shape, lab: &Lab) -> Option<String> {
        let devices = shape.devices(lab);
        let user = self.users.get(&account.user).map(|quota| ("user", &account.user, quota));
        let project = account.project.as_ref().and_then(|p| self.projects.get(p).map(|quota| ("project", p, quota)));
        user.into_iter().chain(project).find_map(|(kind, name, quota)| {
            let most = quota.devices.filter(|most| devices > f64::from(*most) + ROUNDING)?;
            let wanted = shape.words(lab, shape.tasks);
            Some(format!("{wanted} is more than {kind} {name} may ever hold: {most} devices"))
        })
    }

    /// Counts device hours for an account, from its fading use.
    pub fn count_hours(&mut self, account: &Account, usage: f64) {
        let hours = usage / 3_600_000.0;
        *self.user_hours.entry(account.user.clone()).or_default() += hours;
        if let Some(project) = &account.project {
            *self.project_hours.entry(project.clone()).or_default() += hours;
        }
    }

    /// As [`count_hours`](Self::count_hours), from the record.
    pub fn count(&mut self, account: &Account, usage: &Usage, now: crate::Millis, half_life: crate::Millis) {
        self.count_hours(account, usage.at(now, half_life));
    }
}
