//! Limits per process.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    /// -1 is unlimited.
    pub soft: i64,
    pub hard: i64,
}

impl Ulimit {
    /// Those that can be named, as Docker has them.
    pub const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
}

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUlimit {
    #[error("expected NAME=SOFT[:HARD]")]
    Form,
    #[error("{0:?} is not one of {names}", names = Ulimit::NAMES.join(", "))]
    Name(String),
    #[error("{0:?} is not a number")]
    Number(String),
    #[error("the soft limit is above the hard one")]
    Order,
}

/// `NAME=SOFT[:HARD]`; `unlimited` and -1 are the same.
impl FromStr for Ulimit {
    type Err = BadUlimit;
    fn from_str(text: &str) -> Result<Self, BadUlimit> {
        let (name, limits) = text.split_once('=').ok_or(BadUlimit::Form)?;
        if !Self::NAMES.contains(&name) {
            return Err(BadUlimit::Name(name.to_owned()));
        }
        let number = |text: &str| match text {
            "unlimited" => Ok(-1),
            text => text.parse::<i64>().map_err(|_| BadUlimit::Number(text.to_owned())),
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(BadUlimit::Order);
        }
        Ok(Self { name: name.to_owned(), soft, hard })
    }
}

#[cfg(test)]
mod tests {
    use super::{BadUlimit, Ulimit};

    #[test]
    fn limits_are_read() {
        let read = |text: &str| text.parse::<Ulimit>().map(|limit| (limit.name, limit.soft, limit.hard));
        assert_eq!(read("nofile=10:20"), Ok(("nofile".into(), 10, 20)));
        assert_eq!(read("core=-1"), Ok(("core".into(), -1, -1)));
        assert_eq!(read("memlock=5:unlimited"), Ok(("memlock".into(), 5, -1)));
        assert_eq!(read("nofile"), Err(BadUlimit::Form));
        assert_eq!(read("nofile=20:10"), Err(BadUlimit::Order));
        assert_eq!(read("nofile=unlimited:10"), Err(BadUlimit::Order));
        assert_eq!(read("nofile=x"), Err(BadUlimit::Number("x".into())));
        assert!(read("files=1").unwrap_err().to_string().starts_with("\"files\" is not one of core, cpu,"));
    }
}
