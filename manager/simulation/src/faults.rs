//! What goes wrong, one after the other, as chance decides.

use std::{rc::Rc, time::Duration};

use tokio::time::sleep;

use crate::world::World;

/// Breaks things until it is told to end.
pub(crate) async fn run(world: Rc<World>) {
    while world.goes_on() {
        sleep(world.chance.millis(200, 5_000)).await;
        if !world.goes_on() {
            return;
        }
        world.counts.borrow_mut().faults += 1;
        let chance = &world.chance;
        let (machine, agent) = (chance.below(world.machines.len()), chance.below(world.agents.len()));
        match chance.below(12) {
            0 => for_a_while(&world, 500, 6_000, machine).await,
            // So long that the others' logs are cut meanwhile.
            1 => for_a_while(&world, 15_000, 25_000, machine).await,
            2 => {
                world.note(|| format!("manager {machine} loses its power while it writes"));
                let disk = world.machines[machine].disk.borrow().clone();
                disk.break_after(chance.below(30) as u32);
                for _ in 0..100 {
                    if disk.fails() {
                        break;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
                for_a_while(&world, 100, 2_000, machine).await;
            }
            3 => {
                world.note(|| format!("the disk of manager {machine} is full"));
                let disk = world.machines[machine].disk.borrow().clone();
                disk.fill(true);
                later(&world, 500, 8_000, move |_| disk.fill(false));
            }
            4 | 5 => {
                let side: Vec<bool> = (0..world.hosts()).map(|_| chance.is(400)).collect();
                world.note(|| format!("the network falls in two: {side:?}"));
                for from in 0..world.hosts() {
                    for to in (0..world.hosts()).filter(|to| side[from] != side[*to]) {
                        world.network.cut(from, to);
                    }
                }
                later(&world, 1_000, 15_000, |world| world.network.heal());
            }
            6 => {
                let other = chance.below(world.hosts());
                world.note(|| format!("nothing goes from manager {machine} to {other}"));
                world.network.cut(machine, other);
                later(&world, 1_000, 12_000, |world| world.network.heal());
            }
            7 => {
                world.note(|| "the network is bad".into());
                world.network.spoil(chance.below(300) as u32, chance.below(300) as u32, chance.millis(0, 150));
                later(&world, 2_000, 12_000, |world| world.network.heal());
            }
            8 => {
                let off = chance.below(20 * 60_000) as i64 - 10 * 60_000;
                world.note(|| format!("the clock of manager {machine} jumps by {off} ms"));
                world.machines[machine].clock.jump_to(off);
            }
            9 => {
                world.note(|| format!("agent {agent} loses its power"));
                world.agents[agent].power_off();
                later(&world, 500, 25_000, move |world| world.agents[agent].power_on());
            }
            10 => {
                world.note(|| format!("agent {agent} starts again"));
                world.agents[agent].restart_program();
            }
            _ => {
                let off = chance.below(4 * 60_000) as i64 - 2 * 60_000;
                world.note(|| format!("the clock of agent {agent} jumps by {off} ms"));
                world.agents[agent].clock.jump_to(off);
            }
        }
    }
}

/// A manager loses its power, and gets it back.
async fn for_a_while(world: &Rc<World>, least: u64, most: u64, machine: usize) {
    world.note(|| format!("manager {machine} loses its power"));
    world.machines[machine].power_off(&world.chance).await;
    let world = world.clone();
    let wait = world.chance.millis(least, most);
    tokio::task::spawn_local(async move {
        sleep(wait).await;
        world.start(&world.machines[machine]).await;
    });
}

fn later(world: &Rc<World>, least: u64, most: u64, what: impl FnOnce(&World) + 'static) {
    let (world, wait) = (world.clone(), world.chance.millis(least, most));
    tokio::task::spawn_local(async move {
        sleep(wait).await;
        what(&world);
    });
}

/// Everything works again.
pub(crate) async fn end(world: &Rc<World>) {
    world.note(|| "all is well again".into());
    world.network.heal();
    for machine in &world.machines {
        let disk = machine.disk.borrow().clone();
        disk.fill(false);
        if disk.fails() && machine.is_on() {
            machine.power_off(&world.chance).await;
        }
        machine.clock.jump_to(0);
        world.start(machine).await;
    }
    for agent in &world.agents {
        agent.clock.jump_to(0);
        agent.power_on();
    }
}
