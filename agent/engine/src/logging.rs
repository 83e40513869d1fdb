//! What log drivers and their options mean for the supervisor, which writes and sends.

use std::path::{Path, PathBuf};

use hoist_proto::spec::Logging;
use hoist_proto::unit;
use hoist_runtime::supervisor::{
    JournaldSettings, LogSettings, SendSettings, SendTarget, SyslogAddress, SyslogFormat, SyslogSettings, SyslogTls,
};

use crate::container::Record;
use crate::{EngineError, Result};

mod tag;

/// Rotation when a container does not say otherwise: bytes a file, and files.
const MAX_SIZE: u64 = 20 << 20;
const MAX_FILES: u32 = 5;
/// What may wait for a server in the mode that does not block, when nothing is said.
const MAX_BUFFER: u64 = 1 << 20;
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Docker's further drivers.
const OTHERS: [&str; 7] = ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "logentries", "splunk"];
/// The numbers of syslog's facilities are their places here.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Where a container's output goes.
#[derive(Debug, Default)]
pub(crate) struct Destination {
    /// Kept on this machine, for `logs`.
    pub log: Option<LogSettings>,
    /// Sent besides.
    pub send: Option<SendSettings>,
}

/// Options as they were given, each understood or refused.
#[derive(Debug, Clone, PartialEq)]
struct Options {
    driver: Driver,
    file: LogSettings,
    /// Sent lines are kept here too.
    cache: bool,
    non_blocking: bool,
    max_buffer: Option<u64>,
    tag: String,
    details: Details,
    address: SyslogAddress,
    tls: SyslogTls,
    format: SyslogFormat,
    facility: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    None,
    /// `json-file` and `local`, which keep the same file here.
    File,
    Syslog,
    Journald,
}

/// Which of a container's labels and variables go with its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Details {
    labels: Vec<String>,
    labels_regex: Option<String>,
    env: Vec<String>,
    env_regex: Option<String>,
}

/// Whether output can be kept or sent as asked.
///
/// # Errors
/// `InvalidParameter` for a driver, an option or a value that is not supported.
pub(crate) fn check(logging: &Logging) -> Result<()> {
    let options = Options::of(logging)?;
    tag::check(&options.tag)?;
    for (key, regex) in [("labels-regex", &options.details.labels_regex), ("env-regex", &options.details.env_regex)] {
        if let Some(text) = regex {
            compile(key, text)?;
        }
    }
    Ok(())
}

/// Whether what is sent is kept on this machine too.
pub(crate) fn caches(logging: &Logging) -> bool {
    Options::of(logging).is_ok_and(|options| options.cache)
}

/// What the supervisor is told.
pub(crate) fn settings(record: &Record, log: &Path) -> Result<Destination> {
    let options = Options::of(&record.spec.logging)?;
    let file = LogSettings { path: log.to_owned(), ..options.file.clone() };
    let target = match options.driver {
        Driver::None => return Ok(Destination::default()),
        Driver::File => return Ok(Destination { log: Some(file), send: None }),
        Driver::Syslog => SendTarget::Syslog(SyslogSettings {
            address: options.address.clone(),
            format: options.format,
            facility: options.facility,
            tag: tag::expand(&options.tag, record)?,
            host_name: host_name(),
        }),
        Driver::Journald => {
            SendTarget::Journald(JournaldSettings { socket: JOURNAL.into(), fields: fields(&options, record)? })
        }
    };
    let buffer = options.max_buffer.unwrap_or(MAX_BUFFER);
    let buffer = options.non_blocking.then(|| usize::try_from(buffer).unwrap_or(usize::MAX));
    Ok(Destination { log: options.cache.then_some(file), send: Some(SendSettings { target, buffer }) })
}

/// What `logs --details` shows: labels, variables and the tag that the options name.
///
/// # Errors
/// `InvalidParameter` for options that are not supported.
pub(crate) fn details(record: &Record) -> Result<Vec<(String, String)>> {
    let options = Options::of(&record.spec.logging)?;
    let mut found = options.details.of(record)?;
    if !options.tag.is_empty() {
        found.push(("tag".into(), tag::expand(&options.tag, record)?));
    }
    found.sort();
    Ok(found)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn fields(options: &Options, record: &Record) -> Result<Vec<(String, String)>> {
    let tag = tag::expand(&options.tag, record)?;
    let mut fields = vec![
        ("CONTAINER_ID".to_owned(), record.id.short().to_owned()),
        ("CONTAINER_ID_FULL".to_owned(), record.id.to_string()),
        ("CONTAINER_NAME".to_owned(), record.name.clone()),
        ("CONTAINER_TAG".to_owned(), tag.clone()),
        ("IMAGE_NAME".to_owned(), record.spec.image.clone()),
        ("SYSLOG_IDENTIFIER".to_owned(), tag),
    ];
    for (name, value) in options.details.of(record)? {
        fields.push((field_name(&name), value));
    }
    fields.retain(|(name, _)| !name.is_empty());
    Ok(fields)
}

/// The journal knows upper-case letters, digits and underscores, and keeps names that begin with one for itself.
fn field_name(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let name: String = upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    name.trim_start_matches('_').to_owned()
}

fn compile(key: &str, text: &str) -> Result<regex::Regex> {
    let bad = |error| EngineError::InvalidParameter(format!("invalid value {text:?} of log option {key:?}: {error}"));
    regex::Regex::new(text).map_err(bad)
}

impl Details {
    fn of(&self, record: &Record) -> Result<Vec<(String, String)>> {
        let labels = record.effective.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let env = record.effective.env.iter().filter_map(|line| line.split_once('='));
        let mut found = std::collections::BTreeMap::new();
        pick(&mut found, labels, &self.labels, self.labels_regex.as_deref(), "labels-regex")?;
        pick(&mut found, env, &self.env, self.env_regex.as_deref(), "env-regex")?;
        Ok(found.into_iter().collect())
    }
}

fn pick<'a>(
    found: &mut std::collections::BTreeMap<String, String>,
    all: impl Iterator<Item = (&'a str, &'a str)>,
    names: &[String],
    regex: Option<&str>,
    key: &str,
) -> Result<()> {
    let regex = regex.map(|text| compile(key, text)).transpose()?;
    for (name, value) in all {
        if names.iter().any(|wanted| wanted == name) || regex.as_ref().is_some_and(|regex| regex.is_match(name)) {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

impl Options {
    fn of(logging: &Logging) -> Result<Self> {
        let name = logging.driver.as_deref().filter(|name| !name.is_empty()).unwrap_or("json-file");
        let refuse = |why: String| Err(EngineError::InvalidParameter(why));
        let driver = match name {
            "none" => Driver::None,
            "json-file" | "local" => Driver::File,
            "syslog" => Driver::Syslog,
            "journald" => Driver::Journald,
            other => {
                let known = if OTHERS.contains(&other) { "is not supported" } else { "is unknown" };
                return refuse(format!(
                    "logging driver {other:?} {known}: use json-file, local, syslog, journald or none"
                ));
            }
        };
        let mut options = Self::new(driver);
        for (key, value) in &logging.options {
            let bad = |why: &str| {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                Err(EngineError::InvalidParameter(format!("invalid value {value:?} of log option {key:?}{why}")))
            };
            match options.set(key, value) {
                Ok(true) => {}
                Ok(false) => {
                    return refuse(format!("unknown log opt {key:?} for {name} log driver (value {value:?})"));
                }
                Err(why) => return bad(&why),
            }
        }
        if options.tls.cert.is_some() != options.tls.key.is_some() {
            return refuse("log options \"syslog-tls-cert\" and \"syslog-tls-key\" go together".into());
        }
        match &mut options.address {
            SyslogAddress::Tls(_, tls) => tls.clone_from(&options.tls),
            _ if options.tls != SyslogTls::default() => {
                return refuse("log options \"syslog-tls-…\" go with a syslog-address of tcp+tls:// only".into());
            }
            _ => {}
        }
        if options.max_buffer.is_some() && !options.non_blocking {
            return refuse("log option \"max-buffer-size\" goes with mode=non-blocking only".into());
        }
        if options.file.compress && (options.file.max_files < 2 || options.file.max_size.is_none()) {
            return refuse("log option \"compress\" needs a max-size, and a max-file of more than 1".into());
        }
        Ok(options)
    }

    fn new(driver: Driver) -> Self {
        Self {
            driver,
            file: LogSettings {
                path: Default::default(),
                max_size: Some(MAX_SIZE),
                max_files: MAX_FILES,
                compress: false,
            },
            cache: true,
            non_blocking: false,
            max_buffer: None,
            tag: String::new(),
            details: Details::default(),
            address: SyslogAddress::Local,
            tls: SyslogTls::default(),
            format: SyslogFormat::Unix,
            facility: 3,
        }
    }

    /// Takes one option; `false` when the driver has none of that name, and why a value is wrong.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let sends = matches!(self.driver, Driver::Syslog | Driver::Journald);
        let syslog = self.driver == Driver::Syslog;
        // Docker names the options of the file beside a sent log after the cache that it is.
        let file = if sends { key.strip_prefix("cache-") } else { Some(key) };
        match file {
            Some("max-size") if value == "-1" => self.file.max_size = None,
            Some("max-size") => {
                let size = unit::parse_bytes(value).map_err(|error| error.to_string())?;
                self.file.max_size = Some(size).filter(|size| *size > 0);
            }
            Some("max-file") => {
                let count = value.parse().ok().filter(|count| *count > 0);
                self.file.max_files = count.ok_or("expected a number above 0")?;
            }
            Some("compress") => self.file.compress = boolean(value)?,
            Some("disabled") if sends => self.cache = !boolean(value)?,
            _ => match key {
                "mode" => {
                    self.non_blocking = match value {
                        "non-blocking" => true,
                        "blocking" => false,
                        _ => return Err("expected blocking or non-blocking".into()),
                    }
                }
                "max-buffer-size" => {
                    self.max_buffer = Some(unit::parse_bytes(value).map_err(|error| error.to_string())?);
                }
                "tag" => self.tag = value.to_owned(),
                "labels" => self.details.labels = words(value),
                "env" => self.details.env = words(value),
                "labels-regex" => self.details.labels_regex = Some(value.to_owned()).filter(|text| !text.is_empty()),
                "env-regex" => self.details.env_regex = Some(value.to_owned()).filter(|text| !text.is_empty()),
                "syslog-address" if syslog => self.address = address(value)?,
                "syslog-tls-ca-cert" if syslog => self.tls.ca = Some(absolute(value)?),
                "syslog-tls-cert" if syslog => self.tls.cert = Some(absolute(value)?),
                "syslog-tls-key" if syslog => self.tls.key = Some(absolute(value)?),
                "syslog-tls-skip-verify" if syslog => self.tls.skip_verify = boolean(value)?,
                "syslog-facility" if syslog => self.facility = facility(value)?,
                "syslog-format" if syslog => self.format = format(value)?,
                _ => return Ok(false),
            },
        }
        Ok(true)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') { Ok(text.into()) } else { Err("expected an absolute path".into()) }
}

fn format(text: &str) -> Result<SyslogFormat, String> {
    match text {
        "" => Ok(SyslogFormat::Unix),
        "rfc3164" => Ok(SyslogFormat::Rfc3164),
        "rfc5424" => Ok(SyslogFormat::Rfc5424),
        "rfc5424micro" => Ok(SyslogFormat::Rfc5424Micro),
        _ => Err("expected rfc3164, rfc5424 or rfc5424micro".into()),
    }
}

fn facility(text: &str) -> Result<u8, String> {
    if let Some(place) = FACILITIES.iter().position(|name| *name == text && !text.is_empty()) {
        return Ok(u8::try_from(place).unwrap_or_default());
    }
    text.parse().ok().filter(|number| *number < 24).ok_or_else(|| "expected a facility such as daemon or local0".into())
}

fn address(text: &str) -> Result<SyslogAddress, String> {
    let (scheme, rest) = text.split_once("://").ok_or("expected SCHEME://ADDRESS")?;
    let host = || -> Result<String, String> {
        let has_port = rest
            .rsplit_once(':')
            .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
        match rest {
            "" => Err("expected a host".into()),
            rest if has_port => Ok(rest.to_owned()),
            rest if rest.contains('/') => Err("expected HOST[:PORT]".into()),
            rest => Ok(format!("{rest}:514")),
        }
    };
    let path = || if rest.starts_with('/') { Ok(rest.into()) } else { Err("expected an absolute path".to_owned()) };
    match scheme {
        "unix" => Ok(SyslogAddress::Stream(path()?)),
        "unixgram" => Ok(SyslogAddress::Datagram(path()?)),
        "udp" => Ok(SyslogAddress::Udp(host()?)),
        "tcp" => Ok(SyslogAddress::Tcp(host()?)),
        // Its certificates have options of their own.
        "tcp+tls" => Ok(SyslogAddress::Tls(host()?, SyslogTls::default())),
        _ => Err("expected unix, unixgram, udp, tcp or tcp+tls".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(driver: &str, options: &[(&str, &str)]) -> Logging {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Logging { driver: Some(driver.into()), options }
    }

    #[test]
    fn options_are_understood() {
        for (driver, options) in [
            ("json-file", &[("max-size", "1m"), ("max-file", "3"), ("compress", "true"), ("tag", "{{.Name}}")][..]),
            ("local", &[("mode", "non-blocking"), ("max-buffer-size", "4m")]),
            ("syslog", &[("syslog-address", "udp://h"), ("syslog-facility", "local3"), ("syslog-format", "rfc5424")]),
            ("syslog", &[("syslog-address", "tcp://[::1]:601"), ("cache-disabled", "true"), ("labels-regex", "^a")]),
            ("journald", &[("labels", "a,b"), ("env", "C"), ("cache-max-size", "1m")]),
            ("none", &[]),
        ] {
            check(&given(driver, options)).unwrap_or_else(|error| panic!("{driver} {options:?}: {error}"));
        }
        let address = |text: &str| Options::of(&given("syslog", &[("syslog-address", text)])).unwrap().address;
        assert_eq!(address("udp://h"), SyslogAddress::Udp("h:514".into()));
        assert_eq!(address("tcp://[::1]:601"), SyslogAddress::Tcp("[::1]:601".into()));
        assert_eq!(address("tcp://[::1]"), SyslogAddress::Tcp("[::1]:514".into()));
        assert_eq!(address("unixgram:///dev/log"), SyslogAddress::Datagram("/dev/log".into()));
        assert_eq!(facility("local7"), Ok(23));
        assert!(!caches(&given("journald", &[("cache-disabled", "true")])));
    }

    #[test]
    fn others_are_refused_by_name() {
        for (driver, options, words) in [
            ("fluentd", &[][..], "fluentd"),
            ("nowhere", &[], "unknown"),
            ("json-file", &[("syslog-format", "rfc3164")], "syslog-format"),
            ("json-file", &[("max-size", "x")], "max-size"),
            ("json-file", &[("max-buffer-size", "1m")], "non-blocking"),
            ("json-file", &[("compress", "true"), ("max-file", "1")], "max-file"),
            ("json-file", &[("mode", "perhaps")], "mode"),
            ("journald", &[("max-size", "1m")], "max-size"),
            ("syslog", &[("syslog-address", "tcp+tls://h:1"), ("syslog-tls-cert", "/c")], "syslog-tls-key"),
            ("syslog", &[("syslog-address", "tcp://h:1"), ("syslog-tls-ca-cert", "/c")], "tcp+tls"),
            ("syslog", &[("syslog-address", "tcp+tls://h:1"), ("syslog-tls-ca-cert", "c")], "absolute"),
            ("syslog", &[("syslog-address", "h:1")], "SCHEME"),
            ("syslog", &[("syslog-facility", "24")], "syslog-facility"),
            ("syslog", &[("tag", "{{.Nothing}}")], "Nothing"),
            ("json-file", &[("env-regex", "(")], "env-regex"),
        ] {
            let said = check(&given(driver, options)).unwrap_err().to_string();
            assert!(said.contains(words), "{driver} {options:?}: {said}");
        }
    }

    #[test]
    fn names_of_fields_are_the_journals() {
        assert_eq!(field_name("com.example.role"), "COM_EXAMPLE_ROLE");
        assert_eq!(field_name("__x"), "X");
    }
}
