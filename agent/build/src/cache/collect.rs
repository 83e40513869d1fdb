//! What goes first when there is too much: a decision about records, with nothing done.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Record;
use crate::PruneOptions;

/// The keys to forget, in this order.
///
/// Only what no other record builds on frees anything, so those go first; among them the one that is of least use: how
/// long it took to make and how often it was used, against how long that is ago and how much room it takes.
pub(crate) fn choose(
    records: &BTreeMap<String, Record>,
    options: &PruneOptions,
    in_use: &dyn Fn(&str) -> bool,
    now: i64,
) -> Vec<String> {
    let mut total: u64 = records.values().map(|record| record.size).sum();
    // How many records have each layer.
    let mut users: HashMap<&str, usize> = HashMap::new();
    for layer in records.values().flat_map(|record| &record.layers) {
        *users.entry(layer).or_default() += 1;
    }
    let mut left: HashSet<&String> = records
        .iter()
        .filter(|(key, record)| {
            let old = options.unused_for.is_none_or(|age| now - record.last_used_at >= age.cast_signed());
            let meant = (options.ids.is_empty() || options.ids.contains(key))
                && (options.kinds.is_empty() || options.kinds.contains(&record.kind));
            old && meant && !record.layers.iter().any(|layer| in_use(layer))
        })
        .map(|(key, _)| key)
        .collect();
    let mut chosen = Vec::new();
    while options.keep.is_none_or(|keep| total > keep) {
        let free = |key: &&&String| {
            let record = &records[**key];
            record.own.as_deref().is_none_or(|own| users.get(own).is_none_or(|count| *count <= 1))
        };
        let next = left.iter().filter(free).min_by(|a, b| {
            let (one, other) = (usefulness(&records[**a], now), usefulness(&records[**b], now));
            one.total_cmp(&other).then_with(|| a.cmp(b))
        });
        let Some(key) = next.copied() else { break };
        left.remove(key);
        let record = &records[key];
        total = total.saturating_sub(record.size);
        for layer in &record.layers {
            if let Some(count) = users.get_mut(layer.as_str()) {
                *count -= 1;
            }
        }
        chosen.push(key.clone());
    }
    chosen
}

fn usefulness(record: &Record, now: i64) -> f64 {
    const HOUR: f64 = 3600.0;
    const MIB: f64 = 1_048_576.0;
    let age = (now - record.last_used_at).max(0) as f64 + HOUR;
    let saved = (record.took as f64 + 1.0) * (record.uses as f64 + 1.0);
    saved / age / (record.size as f64 + MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(layers: &[&str], size: u64, took: u64, uses: u64, last_used_at: i64) -> Record {
        Record {
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            own: layers.last().map(|layer| (*layer).to_owned()),
            size,
            took,
            uses,
            last_used_at,
            ..Record::default()
        }
    }

    #[test]
    fn leaves_go_first_and_the_least_useful_of_them() {
        let records: BTreeMap<String, Record> = [
            ("base", record(&["1"], 100, 10, 9, 900)),
            ("useful", record(&["1", "2"], 100, 60_000, 5, 1000)),
            ("useless", record(&["1", "3"], 100, 10, 0, 0)),
        ]
        .map(|(key, record)| (key.to_owned(), record))
        .into();
        let choose = |keep| choose(&records, &PruneOptions { keep, ..PruneOptions::default() }, &|_| false, 1000);
        assert!(choose(Some(300)).is_empty());
        assert_eq!(choose(Some(200)), ["useless"]);
        assert_eq!(choose(Some(199)), ["useless", "useful"]);
        assert_eq!(choose(None), ["useless", "useful", "base"]);
        let kept = super::choose(&records, &PruneOptions::default(), &|layer| layer == "1", 1000);
        assert!(kept.is_empty());
    }
}
