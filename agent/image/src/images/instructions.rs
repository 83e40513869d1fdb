//! `--change`: Dockerfile instructions that alter an image's configuration.

use crate::config::{ContainerConfig, Healthcheck};
use crate::error::Error;

/// Applies one instruction.
pub(super) fn apply(config: &mut ContainerConfig, line: &str) -> Result<(), Error> {
    let fail = |message: &str| Error::Change { instruction: line.to_owned(), message: message.to_owned() };
    let (name, rest) = line.trim().split_once(char::is_whitespace).map_or((line.trim(), ""), |(n, r)| (n, r.trim()));
    if rest.is_empty() {
        return Err(fail("it needs an argument"));
    }
    match name.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => {
            for (key, value) in pairs(rest).map_err(|m| fail(&m))? {
                config.env.retain(|e| e.split('=').next() != Some(&key));
                config.env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(rest).map_err(|m| fail(&m))?),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = expose(port)
                    .ok_or_else(|| fail("a port is a number, or two with a dash, and /tcp, /udp or /sctp"))?;
                if !config.exposed_ports.contains(&port) {
                    config.exposed_ports.push(port);
                }
            }
        }
        "USER" => config.user = rest.to_owned(),
        "VOLUME" => {
            let volumes = json_list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            for volume in volumes {
                if volume.is_empty() {
                    return Err(fail("a volume needs a path"));
                }
                if !config.volumes.contains(&volume) {
                    config.volumes.push(volume);
                }
            }
        }
        "WORKDIR" => {
            config.working_dir = match (rest.starts_with('/'), config.working_dir.as_str()) {
                (true, _) => rest.to_owned(),
                (false, "") => format!("/{rest}"),
                (false, base) => format!("{}/{rest}", base.trim_end_matches('/')),
            };
        }
        "STOPSIGNAL" => {
            let good = rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-'));
            config.stop_signal = Some(rest.to_owned()).filter(|_| good);
            config.stop_signal.as_ref().ok_or_else(|| fail("this is no signal"))?;
        }
        "ONBUILD" => {
            let first = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            if matches!(first.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
                return Err(fail("this instruction cannot be a trigger"));
            }
            config.on_build.push(rest.to_owned());
        }
        "SHELL" => {
            config.shell = json_list(rest).filter(|l| !l.is_empty()).ok_or_else(|| fail("it needs a JSON list"))?
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(config, rest).map_err(|m| fail(&m))?),
        _ => {
            return Err(fail(
                "this is no instruction that can be applied; those are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR",
            ));
        }
    }
    Ok(())
}

/// The exec form as it is, the shell form through the shell.
fn command(config: &ContainerConfig, text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| {
        let shell =
            if config.shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { config.shell.clone() };
        shell.into_iter().chain([text.to_owned()]).collect()
    })
}

fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// `8080`, `8000-8010/udp`; the protocol is tcp unless given.
fn expose(text: &str) -> Option<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let number = |t: &str| t.parse::<u16>().ok().filter(|n| *n > 0);
    let valid = match ports.split_once('-') {
        Some((from, to)) => number(from)? <= number(to)?,
        None => number(ports).is_some(),
    };
    (valid && matches!(protocol.as_str(), "tcp" | "udp" | "sctp")).then(|| format!("{ports}/{protocol}"))
}

/// `key=value key2="a b"`, or the old form `key all the rest`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(text)?;
    if !words.first().is_some_and(|w| w.contains('=')) {
        return match text.split_once(char::is_whitespace) {
            Some((key, value)) => Ok(vec![(key.to_owned(), value.trim().to_owned())]),
            None => Err("it needs key=value".to_owned()),
        };
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("{word:?} is no key=value")),
        })
        .collect()
}

/// Words as a shell separates them: quotes and backslashes keep blanks.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a {quote} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

fn healthcheck(config: &ContainerConfig, text: &str) -> Result<Healthcheck, String> {
    let mut check = Healthcheck::default();
    let mut rest = text.trim();
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).ok_or("it needs CMD or NONE")?;
        let (name, value) = option.split_once('=').ok_or_else(|| format!("--{option} needs a value"))?;
        match name {
            "interval" => check.interval = duration(value)?,
            "timeout" => check.timeout = duration(value)?,
            "start-period" => check.start_period = duration(value)?,
            "start-interval" => check.start_interval = duration(value)?,
            "retries" => check.retries = value.parse().map_err(|_| format!("{value:?} is no number"))?,
            other => return Err(format!("there is no option --{other}")),
        }
        rest = after.trim_start();
    }
    let (kind, argument) = rest.split_once(char::is_whitespace).map_or((rest, ""), |(k, a)| (k, a.trim()));
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if argument.is_empty() => check.test = vec!["NONE".into()],
        "CMD" if !argument.is_empty() => {
            check.test = match json_list(argument) {
                Some(list) => std::iter::once("CMD".to_owned()).chain(list).collect(),
                None if config.shell.is_empty() => vec!["CMD-SHELL".into(), argument.into()],
                None => {
                    std::iter::once("CMD".to_owned()).chain(config.shell.clone()).chain([argument.to_owned()]).collect()
                }
            };
        }
        _ => return Err("it needs CMD and a command, or NONE".into()),
    }
    Ok(check)
}

/// Go's durations (`1m30s`, `1.5h`, `200ms`) in nanoseconds.
fn duration(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is no duration");
    let (mut rest, mut total) = (text, 0f64);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        let after = &rest[digits..];
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        total += number
            * match &after[..end] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return Err(bad()),
            };
        rest = &after[end..];
    }
    if total < 9e18 { Ok(total as i64) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instructions_change_what_they_name() {
        let mut config = ContainerConfig { env: vec!["A=old".into(), "B=b".into()], ..Default::default() };
        for line in [
            r#"CMD ["a", "b"]"#,
            "entrypoint exec thing",
            r#"ENV A="new value" C=c\ d"#,
            "ENV OLD the rest of it",
            "LABEL k=v 'x y'=z",
            "EXPOSE 80 53/udp 1-2",
            "USER 1000:1000",
            "VOLUME /a /b",
            r#"VOLUME ["/c"]"#,
            "WORKDIR /x",
            "WORKDIR y",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD curl -f http://x",
        ] {
            apply(&mut config, line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        assert_eq!(config.cmd.unwrap(), ["a", "b"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec thing"]);
        assert_eq!(config.env, ["B=b", "A=new value", "C=c d", "OLD=the rest of it"]);
        assert_eq!(config.labels["x y"], "z");
        assert_eq!(config.exposed_ports, ["80/tcp", "53/udp", "1-2/tcp"]);
        assert_eq!(config.volumes, ["/a", "/b", "/c"]);
        assert_eq!(config.working_dir, "/x/y");
        assert_eq!(config.on_build, ["RUN x"]);
        let check = config.healthcheck.unwrap();
        assert_eq!((check.interval, check.retries, check.test[0].as_str()), (90_000_000_000, 2, "CMD-SHELL"));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for line in [
            "",
            "CMD",
            "FROM x",
            "EXPOSE 99999",
            "EXPOSE 5-1",
            "EXPOSE 1/icmp",
            "ENV a='b",
            "ENV =x",
            "HEALTHCHECK maybe",
            "HEALTHCHECK --interval=x CMD a",
            "SHELL sh",
            "ONBUILD FROM x",
        ] {
            let error = apply(&mut ContainerConfig::default(), line).unwrap_err().to_string();
            assert!(error.starts_with("cannot apply change"), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in "(CMD|ENV|LABEL|EXPOSE|HEALTHCHECK|VOLUME|SHELL|STOPSIGNAL) \\PC{0,30}") {
            let _ = apply(&mut ContainerConfig::default(), &line);
        }
    }
}
