//! What accounts have used. Old use counts less: it is halved with every half-life.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Who a job is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    pub user: String,
    pub project: Option<String>,
}

/// Use that fades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Device milliseconds (or a processor's, for jobs without devices, weighed less), as of `at`.
    pub amount: f64,
    pub at: Millis,
}

impl Usage {
    /// What is left of it at `now`. A clock that went back adds nothing.
    pub fn at(&self, now: Millis, half_life: Millis) -> f64 {
        if half_life == 0 {
            return self.amount;
        }
        let gone = now.saturating_sub(self.at) as f64 / half_life as f64;
        self.amount * (-gone).exp2()
    }

    /// Adds what was used up to `now`.
    pub fn add(&mut self, amount: f64, now: Millis, half_life: Millis) {
        self.amount = self.at(now, half_life) + amount;
        self.at = self.at.max(now);
    }
}

/// What each account has used as of now, in device milliseconds, and its share of the lab.
#[derive(Debug, Clone, Default)]
pub struct Usages {
    users: BTreeMap<Account, f64>,
    projects: BTreeMap<Option<String>, f64>,
    user_shares: BTreeMap<String, u32>,
    project_shares: BTreeMap<String, u32>,
}

impl Usages {
    /// Counts use for an account and its project.
    pub fn add(&mut self, account: &Account, amount: f64) {
        *self.users.entry(account.clone()).or_default() += amount;
        *self.projects.entry(account.project.clone()).or_default() += amount;
    }

    /// Gives a user or a project other than one share.
    pub fn share_of_user(&mut self, user: &str, share: u32) {
        self.user_shares.insert(user.to_owned(), share);
    }

    pub fn share_of_project(&mut self, project: &str, share: u32) {
        self.project_shares.insert(project.to_owned(), share);
    }

    /// Use over share; the smallest goes first.
    pub(crate) fn of_project(&self, project: Option<&String>) -> (f64, f64) {
        let used = self.projects.get(&project.cloned()).copied().unwrap_or(0.0);
        (used, share(project.and_then(|project| self.project_shares.get(project))))
    }

    pub(crate) fn of_user(&self, account: &Account) -> (f64, f64) {
        let used = self.users.get(account).copied().unwrap_or(0.0);
        (used, share(self.user_shares.get(&account.user)))
    }
}

/// Nobody has no share at all: a share of nothing would be a wait without end.
fn share(given: Option<&u32>) -> f64 {
    f64::from(given.copied().unwrap_or(1).max(1))
}
