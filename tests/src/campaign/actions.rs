//! The faults, calls and other events of a life.

use std::net::IpAddr;
use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::SimRng;
use sctp_user_core::{AssocConfig, Time};

use super::network::{Topology, millis};
use super::scenario::AssocPlan;

/// Something that happens at a given time. The numbers are those of the end and of the association.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// The end calls the other one.
    Call(usize, usize),
    /// Everything from one address to the other is lost, for each of these pairs.
    Cut(Vec<(IpAddr, IpAddr)>),
    /// Ends what [`Cut`](Self::Cut) did.
    Heal(Vec<(IpAddr, IpAddr)>),
    /// All links get new properties.
    Links,
    /// The NAT forgets its bindings.
    Rebind,
    /// The process dies without sending anything.
    Kill(usize),
    /// A new process starts with the same addresses, and calls again.
    Revive(usize),
    /// The user ends an association by ABORT.
    Abort(usize, usize),
    /// The user ends an association gracefully, even if it has not sent everything.
    Shutdown(usize, usize),
    /// The user chooses another primary path.
    SetPrimary(usize, usize),
    /// The user requests a heartbeat to an address.
    Heartbeat(usize, usize),
    /// The user changes settings.
    Configure(usize, usize, u8),
    /// The user makes calls that must be refused.
    Misuse(usize, usize),
    /// Packets that were delivered are delivered again.
    Replay(u32),
    /// Somebody who does not know the tags sends packets.
    Garbage(u32),
}

/// Draws the events of a life.
pub(super) fn draw(
    rng: &mut SimRng,
    gentle: bool,
    topology: &Topology,
    assocs: &[AssocPlan],
) -> Vec<(Time, Action)> {
    let mut all = Vec::new();
    for (number, assoc) in assocs.iter().enumerate() {
        let start = if number == 0 { Duration::ZERO } else { millis(rng, 1_000) };
        for end in [0, 1].into_iter().filter(|&end| assoc.callers[end]) {
            let later =
                if assoc.callers == [true, true] { millis(rng, 60) } else { Duration::ZERO };
            all.push((Time::ZERO + start + later, Action::Call(end, number)));
        }
    }
    let any = |rng: &mut SimRng| (rng.random_range(0..2), rng.random_range(0..assocs.len()));
    let horizon = [300, 3_000, 20_000][rng.random_range(0..3)];
    let cuts = [0, 0, 0, 1, 1, 2, 4][rng.random_range(0..7)];
    for _ in 0..cuts {
        let pairs = pairs_to_cut(rng, topology);
        let from = Time::ZERO + millis(rng, horizon);
        all.push((from, Action::Cut(pairs.clone())));
        if gentle || rng.random_bool(0.6) {
            let longest = if rng.random_bool(0.7) { 3_000 } else { 40_000 };
            all.push((from + millis(rng, longest), Action::Heal(pairs)));
        }
    }
    if topology.nat.is_some() {
        for _ in 0..rng.random_range(0..4) {
            all.push((Time::ZERO + millis(rng, horizon), Action::Rebind));
        }
    }
    if rng.random_bool(0.1) {
        all.push((Time::ZERO + millis(rng, horizon), Action::Links));
    }
    for _ in 0..if rng.random_bool(0.4) { rng.random_range(1..6) } else { 0 } {
        let (end, number) = any(rng);
        let action = match rng.random_range(0..4) {
            0 => Action::SetPrimary(end, number),
            1 => Action::Heartbeat(end, number),
            2 => Action::Configure(end, number, rng.random()),
            _ => Action::Misuse(end, number),
        };
        all.push((Time::ZERO + millis(rng, horizon), action));
    }
    if rng.random_bool(0.1) {
        all.push((Time::ZERO + millis(rng, horizon), Action::Replay(rng.random_range(1..10))));
    }
    if rng.random_bool(0.1) {
        all.push((Time::ZERO + millis(rng, horizon), Action::Garbage(rng.random_range(1..10))));
    }
    if rng.random_bool(0.15) {
        let (end, number) = any(rng);
        all.push((Time::ZERO + millis(rng, horizon), Action::Shutdown(end, number)));
    }
    if !gentle {
        if rng.random_bool(0.3) {
            let (end, number) = any(rng);
            all.push((Time::ZERO + millis(rng, horizon), Action::Abort(end, number)));
        }
        if rng.random_bool(0.35) {
            let end = rng.random_range(0..2);
            let mut at = Time::ZERO + millis(rng, horizon.min(3_000));
            for _ in 0..if rng.random_bool(0.2) { 2 } else { 1 } {
                all.push((at, Action::Kill(end)));
                if rng.random_bool(0.15) {
                    break;
                }
                at += millis(rng, 2_000);
                all.push((at, Action::Revive(end)));
                at += millis(rng, 5_000);
            }
        }
    }
    // The sort is stable: events of the same time keep the order in which they were drawn.
    all.sort_by_key(|(at, _)| *at);
    all
}

/// The pairs of addresses between which to cut: one address, one network or everything, in one
/// direction or both.
fn pairs_to_cut(rng: &mut SimRng, topology: &Topology) -> Vec<(IpAddr, IpAddr)> {
    let (a, b) = (topology.on_the_wire(0), topology.on_the_wire(1));
    let victim = match rng.random_range(0..3) {
        0 => None,
        1 => Some(a[rng.random_range(0..a.len())]),
        _ => Some(b[rng.random_range(0..b.len())]),
    };
    let both = a.iter().flat_map(|&x| b.iter().map(move |&y| (x, y)));
    let hit = both.filter(|&(x, y)| victim.is_none_or(|v| v == x || v == y));
    let directions = rng.random_range(0..4);
    hit.flat_map(|(x, y)| match directions {
        0 => vec![(x, y)],
        1 => vec![(y, x)],
        _ => vec![(x, y), (y, x)],
    })
    .collect()
}

/// Changes the settings of a live association to other valid ones.
pub(super) fn reconfigure(choice: u8, c: &mut AssocConfig) {
    let ms = Duration::from_millis;
    match choice % 8 {
        0 => (c.sack_delay, c.sack_frequency) = (ms(0), 1),
        1 => (c.sack_delay, c.sack_frequency) = (ms(500), 10),
        2 => (c.rto_min, c.rto_initial, c.rto_max) = (ms(100), ms(300), ms(1_500)),
        3 => c.hb_interval = ms(u64::from(choice)),
        4 => c.max_burst = u32::from(choice) / 8,
        5 => c.nodelay = !c.nodelay,
        6 => c.partial_delivery_point = Some(usize::from(choice) + 1),
        _ => c.max_segment = Some(usize::from(choice) * 4 + 40),
    }
}
