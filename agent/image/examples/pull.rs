//! Pulls an image into a data root and says how long each part took: `pull <data root> <reference>`.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hoist_image::{Images, Options, PullEvent, PullOptions, Reference};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pull <data root> <reference>".into());
    };
    let images = Images::open(Path::new(&root), Options::default()).await?;
    let start = Instant::now();
    let progress = move |event: PullEvent| {
        if let PullEvent::Layer { id, phase, current, total } = event {
            let _ = writeln!(std::io::stderr(), "{:7.3} {id} {phase} {current}/{total}", start.elapsed().as_secs_f64());
        }
    };
    let image = images.pull(&Reference::parse(&name)?, PullOptions::default(), Arc::new(progress)).await?;
    let pulled = start.elapsed();
    images.sync().await?;
    let synced = start.elapsed();
    let (start, rounds) = (Instant::now(), 200u32);
    for round in 0..rounds {
        images.prepare(&format!("bench-{round}"), &image.id).await?;
    }
    let prepared = start.elapsed() / rounds;
    for round in 0..rounds {
        images.remove_snapshot(&format!("bench-{round}")).await?;
    }
    let mut out = std::io::stdout();
    let (pulled, synced) = (pulled.as_secs_f64(), synced.as_secs_f64());
    writeln!(
        out,
        "{}: {} bytes unpacked, pulled in {pulled:.3} s, on the disk after {synced:.3} s",
        image.id, image.size
    )?;
    writeln!(out, "a snapshot is prepared in {prepared:?}")?;
    Ok(())
}
