//! `hoist usage`

use std::collections::BTreeMap;

use hoist_proto::spec::{DeviceUse, UsageRow};

use crate::cli::{
    Context, Exit, Outcome,
    args::job::UsageArgs,
    failure::Failure,
    format::{List, Row},
};

#[derive(Default)]
struct Sum {
    jobs: u64,
    device_millis: u64,
    cpu_millis: u64,
    used: DeviceUse,
}

impl Sum {
    /// Percent of the measured device time in which the devices did not work; empty where nothing was measured.
    fn idle(&self) -> String {
        self.used.idle_percent().map(|percent| format!("{percent:.1}")).unwrap_or_default()
    }

    /// kWh.
    fn energy(&self) -> f64 {
        self.used.energy_millijoules as f64 / KWH
    }
}

/// Millijoules.
const KWH: f64 = 3_600_000_000.0;

const HOUR: f64 = 3_600_000.0;

/// Shows device and processor hours.
pub async fn usage(cx: &Context, args: UsageArgs) -> Outcome {
    for (flag, day) in [("since", &args.since), ("until", &args.until)] {
        if let Some(text) = day
            && text.parse::<jiff::civil::Date>().is_err()
        {
            return Err(Failure::usage(format!("--{flag} {text:?} is not a day such as 2026-11-28")));
        }
    }
    let rows: Vec<UsageRow> = cx.client.get("/hoist/v1/usage").read().await?;
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let within = |row: &&UsageRow| {
        args.since.as_ref().is_none_or(|since| row.day >= *since) && args.until.as_ref().is_none_or(|u| row.day <= *u)
    };
    for row in rows.iter().filter(within) {
        let key = match args.by.as_str() {
            "project" => row.project.clone().unwrap_or_else(|| "-".into()),
            "day" => row.day.clone(),
            _ => row.user.clone(),
        };
        let sum = sums.entry(key).or_default();
        sum.jobs += row.jobs;
        sum.device_millis += row.device_millis;
        sum.cpu_millis += row.cpu_millis;
        sum.used.add(&row.used);
    }
    let heading = args.by.to_uppercase();
    if args.format.as_deref() == Some("csv") {
        cx.printer.line(format!("{},jobs,device_hours,cpu_hours,idle_percent,energy_kwh", args.by))?;
        for (key, sum) in &sums {
            let (devices, cpus) = (sum.device_millis as f64 / HOUR, sum.cpu_millis as f64 / HOUR);
            cx.printer.line(format!("{key},{},{devices:.3},{cpus:.3},{},{:.4}", sum.jobs, sum.idle(), sum.energy()))?;
        }
        return Ok(Exit::OK);
    }
    let list = List {
        headings: &[
            ("Account", heading.as_str()),
            ("Jobs", "JOBS"),
            ("DeviceHours", "DEVICE HOURS"),
            ("CPUHours", "CPU HOURS"),
            ("Idle", "IDLE"),
            ("EnergyKWh", "ENERGY KWH"),
        ],
        columns: "{{.Account}}\t{{.Jobs}}\t{{.DeviceHours}}\t{{.CPUHours}}\t{{.Idle}}\t{{.EnergyKWh}}",
        quiet: "{{.Account}}",
        may_cut: &[],
    };
    let rows = sums
        .into_iter()
        .map(|(key, sum)| {
            Row::new()
                .set("Account", key)
                .set("Jobs", sum.jobs.to_string())
                .set("DeviceHours", format!("{:.2}", sum.device_millis as f64 / HOUR))
                .set("CPUHours", format!("{:.2}", sum.cpu_millis as f64 / HOUR))
                .set(
                    "Idle",
                    Some(sum.idle()).filter(|idle| !idle.is_empty()).map(|idle| format!("{idle}%")).unwrap_or_default(),
                )
                .set("EnergyKWh", format!("{:.3}", sum.energy()))
        })
        .collect();
    list.print(cx.printer, args.format.as_deref(), false, false, rows)?;
    Ok(Exit::OK)
}
