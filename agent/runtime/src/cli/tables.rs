//! Tables for people.

use std::fmt::Write as _;

/// Columns wide enough for what is in them, three spaces apart.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == N {
                text.push_str(cell);
                continue;
            }
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:<width$}   ");
        }
        text.push('\n');
    }
    text
}

/// In which the kernel gives processor time to programs; the same on every architecture we run on.
const TICKS_PER_SECOND: u64 = 100;

/// The processes of a container, as `ps -ef` shows processes.
pub(super) fn processes(pids: &[i32]) -> String {
    table(["UID", "PID", "PPID", "STAT", "TIME", "CMD"], pids.iter().filter_map(|pid| process(*pid)))
}

/// One process; `None` if it has ended meanwhile.
fn process(pid: i32) -> Option<[String; 6]> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let stat = read("stat")?;
    let (name, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let status = read("status")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?;
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let seconds = ticks / TICKS_PER_SECOND;
    let line = read("cmdline")?.replace('\0', " ");
    let command = match line.trim() {
        "" => format!("[{}]", name.split_once('(').map_or("", |(_, name)| name)),
        line => line.to_owned(),
    };
    Some([
        uid.to_owned(),
        pid.to_string(),
        (*fields.get(1)?).to_owned(),
        (*fields.first()?).to_owned(),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        command,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [["long-name".to_owned(), "x".to_owned()]];
        assert_eq!(table(["ID", "PID"], rows.into_iter()), "ID          PID\nlong-name   x\n");
    }

    #[test]
    fn this_process_is_shown() {
        let text = processes(&[std::process::id().cast_signed(), i32::MAX]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(&std::process::id().to_string()));
    }
}
