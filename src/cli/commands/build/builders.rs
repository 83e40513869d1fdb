//! Which builder works: `hoist buildx ls|inspect|use|version`, and what is refused because there is one, the daemon's.

use hoist_build::{CacheEntry, dockerfile::Platform};
use hoist_proto::unit;

use crate::cli::{
    Context, Exit, Outcome,
    args::build::{BuilderArgs, BuilderChoice, BuildersArgs, UseArgs},
    failure::Failure,
    format::{List, Row},
};

/// What the one builder is called.
const NAME: &str = "default";

const LIST: List<'_> = List {
    headings: &[
        ("Name", "NAME/NODE"),
        ("DriverEndpoint", "DRIVER/ENDPOINT"),
        ("Status", "STATUS"),
        ("Buildkit", "BUILDKIT"),
        ("Platforms", "PLATFORMS"),
    ],
    columns: "{{.Name}}{{if .Current}}*{{end}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}",
    quiet: "{{.Name}}",
    may_cut: &[],
};

impl BuilderChoice {
    /// Refuses every builder but the one that there is.
    ///
    /// # Errors
    /// Another name.
    pub fn check(&self) -> Result<(), Failure> {
        self.name.as_deref().map_or(Ok(()), known)
    }
}

fn known(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name == NAME {
        return Ok(());
    }
    Err(Failure::new(format!("there is no builder {name:?}: the daemon builds, and is called {NAME}"))
        .hint("another machine's daemon is chosen with --host or a context"))
}

/// There is one builder: the daemon.
pub fn ls(cx: &Context, args: BuildersArgs) -> Outcome {
    let row = Row::new()
        .set("Name", NAME)
        .set("Current", true)
        .set("DriverEndpoint", "hoist")
        .set("Status", "running")
        .set("Buildkit", concat!("v", env!("CARGO_PKG_VERSION")))
        .set("Platforms", Platform::local().to_string());
    LIST.print(cx.printer, args.format.format.as_deref(), false, true, vec![row])?;
    Ok(Exit::OK)
}

/// The builder.
pub async fn inspect(cx: &Context, args: BuilderArgs) -> Outcome {
    args.builder.check()?;
    args.name.as_deref().map_or(Ok(()), known)?;
    let entries: Vec<CacheEntry> = cx.client.get("/hoist/v1/build/cache").read().await?;
    let size: u64 = entries.iter().map(|entry| entry.size).sum();
    cx.printer.text(format!(
        "Name:      {NAME}\nDriver:    hoist\nStatus:    running\nVersion:   {}\nPlatforms: {}\nCache:     {} in {} entries\n",
        env!("CARGO_PKG_VERSION"),
        Platform::local(),
        unit::format_bytes(size),
        entries.len()
    ))?;
    Ok(Exit::OK)
}

/// The one builder is in use.
pub fn choose(args: &UseArgs) -> Outcome {
    known(&args.name)?;
    Ok(Exit::OK)
}

/// The version, in the form that scripts look for.
pub fn version(cx: &Context) -> Outcome {
    cx.printer.line(format!("hoist/buildx v{}", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::OK)
}

/// What needs several builders, or what the one does not keep.
pub fn refused(verb: &str) -> Outcome {
    let why = match verb {
        "history" => "builds of the past are not kept: --metadata-file and --progress=rawjson keep what is wanted",
        _ => "there is one builder, the daemon, which is there as long as it runs",
    };
    Err(Failure::new(format!("buildx {verb} is not supported: {why}")))
}
