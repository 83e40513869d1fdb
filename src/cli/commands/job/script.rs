//! `--script`: a shell script whose lines `#HOIST …` are flags, as batch systems know it.

use clap::Parser;

use crate::cli::{args::job::SubmitFlags, failure::Failure};

#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Lines {
    #[command(flatten)]
    flags: SubmitFlags,
}

/// The flags of the script's own lines, and the command that runs it.
///
/// # Errors
/// Names the line that is no flags.
pub fn read(name: &str, text: &str) -> Result<(SubmitFlags, Vec<String>), Failure> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("#HOIST") else { continue };
        if !rest.starts_with(char::is_whitespace) {
            continue;
        }
        let at = |error: &dyn std::fmt::Display| Failure::usage(format!("{name}:{}: {error}", index + 1));
        let more = hoist_compose::words::split(rest).map_err(|error| at(&error))?;
        // Each line by itself first, so that the one at fault is named.
        let one = Lines::try_parse_from(&more).map_err(|error| {
            let text = error.to_string();
            at(&text.trim_start_matches("error: ").lines().next().unwrap_or_default())
        })?;
        if let Some(word) = one.flags.words.first() {
            return Err(at(&format!("{word:?} is no flag; the image is --image IMAGE")));
        }
        words.extend(more);
    }
    let lines = Lines::try_parse_from(&words).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    // The interpreter that the script names gets its text; nothing has to be in the image but that.
    let shell = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    let mut command = match shell {
        Some(shell) => shell.split_whitespace().map(str::to_owned).collect(),
        None => vec!["/bin/sh".to_owned()],
    };
    command.extend(["-c".to_owned(), text.to_owned()]);
    Ok((lines.flags, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_flags_and_the_rest_is_the_command() {
        let text = "#!/bin/bash\n#HOIST --image trainer --gpus 2\n#HOIST --time '2h'\n#HOISTED\necho hi\n";
        let (flags, command) = read("a.sh", text).unwrap();
        assert_eq!(flags.job.image.as_deref(), Some("trainer"));
        assert_eq!(flags.job.time.as_deref(), Some("2h"));
        assert_eq!(command[..2], ["/bin/bash", "-c"]);
        assert_eq!(command[2], text);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = read("a.sh", "#!/bin/sh\n#HOIST --gpu 2\n").unwrap_err();
        assert!(error.message.starts_with("a.sh:2: "), "{}", error.message);
        let error = read("a.sh", "#HOIST trainer\n").unwrap_err();
        assert!(error.message.contains("--image"), "{}", error.message);
        assert!(read("a.sh", "#HOIST --time 'x\n").is_err());
    }
}
