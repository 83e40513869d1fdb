//! Schedules of five fields: minute, hour, day of the month, month, day of the week; as cron has them since ever.

use std::{fmt, str::FromStr};

use hoist_proto::clock::Timestamp;
use jiff::{ToSpan, civil::DateTime, tz::TimeZone};

/// A moment at which a schedule has nothing for so many years never comes.
const YEARS: i64 = 9;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Which values each field takes, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of the month and of the week are both given: either will do.
    either: bool,
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Schedule {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let fields: Vec<&str> = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            word if word.starts_with('@') => {
                return Err(Malformed(format!(
                    "schedule {word:?} is not supported: there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly \
                     and @annually"
                )));
            }
            fields => fields,
        }
        .split_whitespace()
        .collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(Malformed(format!(
                "schedule {text:?} has {} fields, not the five of cron: minute, hour, day of the month, month, day of the \
                 week",
                fields.len()
            )));
        };
        let mut weekdays = field("day of the week", weekday, 0, 7, &DAYS)?;
        // Sunday is 0 and 7.
        weekdays |= weekdays >> 7 & 1;
        let schedule = Self {
            minutes: field("minute", minute, 0, 59, &[])?,
            hours: field("hour", hour, 0, 23, &[])?,
            days: field("day of the month", day, 1, 31, &[])?,
            months: field("month", month, 1, 12, &MONTHS)?,
            weekdays,
            either: !day.starts_with(['*', '?']) && !weekday.starts_with(['*', '?']),
        };
        // A leap day comes within nine years; the 30th of February does not.
        if schedule.after(Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_none() {
            return Err(Malformed(format!("schedule {text:?} never comes: there is no such day")));
        }
        Ok(schedule)
    }
}

/// `*`, `5`, `1-5`, `*/15`, `1-30/2`, `mon-fri`, and lists of these.
fn field(name: &str, text: &str, first: u32, last: u32, names: &[&str]) -> Result<u64, Malformed> {
    let wrong = |part: &str| Malformed(format!("{name} {part:?} is not within {first}-{last}"));
    let value = |text: &str| -> Option<u32> {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        // Months count from 1, days of the week from 0.
        let named = named.and_then(|place| u32::try_from(place).ok()).map(|place| place + first);
        named.or_else(|| text.parse().ok()).filter(|value| (first..=last).contains(value))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0).ok_or_else(|| wrong(part))?),
            None => (part, 1_usize),
        };
        let (from, to) = match range {
            "*" | "?" => (first, last),
            range => match range.split_once('-') {
                Some((from, to)) => (value(from).ok_or_else(|| wrong(part))?, value(to).ok_or_else(|| wrong(part))?),
                None => {
                    let from = value(range).ok_or_else(|| wrong(part))?;
                    // `5/15` goes on to the end.
                    (from, if part.contains('/') { last } else { from })
                }
            },
        };
        if from > to {
            return Err(wrong(part));
        }
        bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value);
    }
    Ok(bits)
}

impl Schedule {
    /// The first moment after `from`, as clocks there show. An hour that is left out when clocks go forward is made up
    /// for at its end; one that comes twice counts once.
    pub(crate) fn after(&self, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut at = zone.to_datetime(from);
        let last = at.checked_add(YEARS.years()).ok()?;
        loop {
            at = self.next(at, last)?;
            let moment = zone.to_timestamp(at).ok()?;
            if moment > from {
                return Some(moment);
            }
        }
    }

    /// The first minute after `at` that the schedule names.
    fn next(&self, at: DateTime, last: DateTime) -> Option<DateTime> {
        let on = |bits: u64, value: i8| bits >> value & 1 == 1;
        let midnight = |at: DateTime| at.date().at(0, 0, 0, 0);
        let mut at = at.date().at(at.hour(), at.minute(), 0, 0).checked_add(1.minute()).ok()?;
        while at <= last {
            if !on(self.months, at.month()) {
                at = midnight(at.date().first_of_month().checked_add(1.month()).ok()?.at(0, 0, 0, 0));
            } else if !self.is_day(at) {
                at = midnight(at.checked_add(1.day()).ok()?);
            } else if !on(self.hours, at.hour()) {
                at = at.date().at(at.hour(), 0, 0, 0).checked_add(1.hour()).ok()?;
            } else if !on(self.minutes, at.minute()) {
                at = at.checked_add(1.minute()).ok()?;
            } else {
                return Some(at);
            }
        }
        None
    }

    fn is_day(&self, at: DateTime) -> bool {
        let day = self.days >> at.day() & 1 == 1;
        let weekday = self.weekdays >> at.weekday().to_sunday_zero_offset() & 1 == 1;
        if self.either { day || weekday } else { day && weekday }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, from: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        schedule.parse::<Schedule>().unwrap().after(from.parse().unwrap(), &zone).unwrap().to_string()
    }

    #[test]
    fn moments_are_found_in_their_zone() {
        for (schedule, from, expected) in [
            ("0 3 * * *", "2026-11-28T02:59:59Z", "2026-11-28T03:00:00Z"),
            ("0 3 * * *", "2026-11-28T03:00:00Z", "2026-11-29T03:00:00Z"),
            ("*/15 9-17 * * mon-fri", "2026-11-28T12:00:00Z", "2026-11-30T09:00:00Z"),
            ("30 4 1,15 * 5", "2026-11-28T00:00:00Z", "2026-12-01T04:30:00Z"),
            ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@weekly", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"),
            ("5/20 * * * *", "2026-11-28T00:30:00Z", "2026-11-28T00:45:00Z"),
            ("0 0 * * 7", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, from, "UTC"), expected, "{schedule}");
        }
        assert_eq!(next("0 3 * * *", "2026-11-28T01:59:00Z", "Europe/Berlin"), "2026-11-28T02:00:00Z");
    }

    #[test]
    fn an_hour_that_is_left_out_is_made_up_for_and_one_that_comes_twice_counts_once() {
        assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin"), "2026-03-29T01:30:00Z");
        let first = next("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin");
        assert_eq!(first, "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", &first, "Europe/Berlin"), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for (text, words) in [
            ("0 3 * *", "has 4 fields"),
            ("60 * * * *", "minute \"60\" is not within 0-59"),
            ("* * * * fun", "day of the week \"fun\""),
            ("* * 5-1 * *", "day of the month \"5-1\""),
            ("*/0 * * * *", "minute \"*/0\""),
            ("@reboot", "@reboot\" is not supported"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let error = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
