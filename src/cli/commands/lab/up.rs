//! `hoist lab up`

use std::net::IpAddr;

use hoist_network::{Subnet, lab::Place as Wire};
use serde_json::{Map, Value, json};

use super::{
    down, failed, machine,
    state::{Node, Place, Record, State},
};
use crate::cli::{
    args::lab::UpArgs,
    contexts::{Endpoint, Meta, Store as Contexts},
    failure::Failure,
    printer::Printer,
};

/// The cluster's port.
const PORT: u16 = 2377;
/// More machines than that on one are no help to anybody.
const MOST: u16 = 200;

pub fn run(args: &UpArgs, place: Place, contexts: &Contexts, printer: Printer) -> Result<(), Failure> {
    if place.exists() {
        return Err(
            Failure::new(format!("the lab {:?} is up already", place.name)).hint("hoist lab ls, hoist lab down")
        );
    }
    if args.managers == 0 || args.managers + args.workers > MOST {
        return Err(Failure::usage(format!("a lab has at least one manager, and at most {MOST} machines")));
    }
    let subnet: Subnet =
        args.subnet.parse().map_err(|err| Failure::usage(format!("invalid subnet {:?}: {err}", args.subnet)))?;
    let settings = settings(args)?;
    let (nodes, gateway) = plan(args, subnet)?;
    let state = State { place, record: Record::new(&args.subnet, gateway, nodes) };
    fs_err::create_dir_all(&state.place.data)?;
    // From here on `down` finds what there is.
    state.save()?;
    let made = make(args, &state, subnet, &settings, contexts, printer);
    if made.is_err()
        && let Err(left) = down::run(&state.place, contexts, printer)
    {
        printer.warn(format!("and taking it away again failed: {}", left.message));
    }
    made
}

/// Names and addresses.
fn plan(args: &UpArgs, subnet: Subnet) -> Result<(Vec<Node>, IpAddr), Failure> {
    let small = || Failure::usage(format!("{subnet} is too small for {} machines", args.managers + args.workers));
    let bits = if subnet.is_ipv6() { 128 } else { 32 };
    let size = 1_u128.checked_shl(bits - u32::from(subnet.prefix())).unwrap_or(u128::MAX);
    let names = (1..=args.managers).map(|n| (format!("m{n}"), true));
    let names = names.chain((1..=args.workers).map(|n| (format!("w{n}"), false)));
    let mut nodes = Vec::new();
    for ((name, manager), number) in names.zip(1_u128..) {
        let address = subnet.nth(number).filter(|_| number + 2 < size).ok_or_else(small)?;
        nodes.push(Node { name, address, manager, slow: String::new() });
    }
    let gateway = subnet.nth(size.saturating_sub(2)).ok_or_else(small)?;
    Ok((nodes, gateway))
}

/// The daemons' settings, as a file of the caller's has them.
fn settings(args: &UpArgs) -> Result<Map<String, Value>, Failure> {
    let Some(path) = &args.daemon_config else { return Ok(Map::new()) };
    serde_json::from_slice(&fs_err::read(path)?)
        .map_err(|err| Failure::new(format!("{} is no file of settings: {err}", path.display())))
}

fn make(
    args: &UpArgs,
    state: &State,
    subnet: Subnet,
    settings: &Map<String, Value>,
    contexts: &Contexts,
    printer: Printer,
) -> Result<(), Failure> {
    let (place, record) = (&state.place, &state.record);
    let lab = place.lab();
    lab.make_switch(&place.link(), record.gateway, subnet).map_err(|err| failed(&err))?;
    for (node, number) in record.nodes.iter().zip(1..) {
        let wire = Wire { address: node.address, subnet, gateway: record.gateway };
        lab.add(&node.name, number, wire).map_err(|err| failed(&err))?;
        let mut settings = settings.clone();
        settings.insert("cgroup-parent".into(), json!(place.cgroup(&node.name)));
        fs_err::write(place.config(&node.name), serde_json::to_vec_pretty(&settings)?)?;
        let name = place.context(&node.name);
        if contexts.has(&name) {
            return Err(Failure::new(format!("there is a context {name:?} already"))
                .hint(format!("hoist context rm {name}, or another name with --lab")));
        }
        let host = format!("unix://{}", place.run_root(&node.name).join("hoist.sock").display());
        let mut meta = Meta { name, ..Meta::default() };
        meta.metadata.description = format!("{} of the lab {}", node.name, place.name);
        meta.endpoints.insert("docker".to_owned(), Endpoint { host, skip_tls_verify: false });
        contexts.put(&meta, None)?;
    }
    std::thread::scope(|scope| {
        let starts: Vec<_> =
            record.nodes.iter().map(|node| scope.spawn(|| machine::start(place, &node.name))).collect();
        starts.into_iter().try_for_each(|start| {
            start.join().unwrap_or_else(|_| Err(Failure::new("a thread that starts a machine panicked")))
        })
    })?;
    printer.say(format!("{} machines run", record.nodes.len()));
    if args.no_swarm {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(cluster(state))?;
    let managers = record.nodes.iter().filter(|node| node.manager).count();
    printer.say(format!("a cluster of {managers} managers and {} workers", record.nodes.len() - managers));
    printer.say(format!("try: hoist -c {} node ls", place.context("m1")));
    Ok(())
}

/// The first machine begins a cluster, and the others join it.
async fn cluster(state: &State) -> Result<(), Failure> {
    let (first, others) = state.record.nodes.split_first().ok_or_else(|| Failure::new("the lab has no machines"))?;
    let at = |address: IpAddr| std::net::SocketAddr::new(address, PORT).to_string();
    let leader = machine::client(&state.place, &first.name);
    let _: Value = leader
        .post("/swarm/init")
        .json(&json!({"ListenAddr": at(first.address), "AdvertiseAddr": first.address.to_string()}))?
        .read()
        .await
        .map_err(|err| Failure::new(format!("{} cannot begin a cluster: {err}", first.name)))?;
    let swarm: Value = leader.get("/swarm").read().await?;
    for node in others {
        let token = &swarm["JoinTokens"][if node.manager { "Manager" } else { "Worker" }];
        let body = json!({
            "ListenAddr": at(node.address),
            "AdvertiseAddr": node.address.to_string(),
            "RemoteAddrs": [at(first.address)],
            "JoinToken": token,
        });
        let joined = machine::client(&state.place, &node.name).post("/swarm/join").json(&body)?.done().await;
        joined.map_err(|err| Failure::new(format!("{} cannot join the cluster: {err}", node.name)))?;
    }
    Ok(())
}
