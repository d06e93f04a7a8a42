//! Everything that is drawn from a seed before the first packet is sent.

use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::SimRng;
use sctp_user_core::{Announce, AssocConfig, SegmentLimits, StackConfig, Time};

use super::actions::{self, Action};
use super::network::{Quality, Topology, millis};

const HOUR: Duration = Duration::from_secs(3600);

/// The longest time for which received packets are collected into a batch.
pub(super) const MAX_COALESCE: Duration = Duration::from_millis(2);

/// SCTP port that both ends listen on.
pub(super) const SERVICE: u16 = 5000;
/// The local port of the end that calls in the first association; the next association has the next
/// port.
pub(super) const FIRST_PORT: u16 = 6000;
/// The same for the ports of both ends if they call each other.
pub(super) const FIRST_COLLISION: u16 = 7000;

/// The script of one life.
pub(super) struct Scenario {
    /// Whether every fault passes and nobody gives up.
    pub(super) gentle: bool,
    pub(super) topology: Topology,
    pub(super) ends: [End; 2],
    pub(super) assocs: Vec<AssocPlan>,
    /// The events, in order of time.
    pub(super) actions: Vec<(Time, Action)>,
    /// Links of the second network may differ from the others.
    pub(super) quality: [Quality; 2],
    pub(super) icmp: bool,
}

/// Settings of one host.
pub(super) struct End {
    pub(super) stack: StackConfig,
    /// For the associations that it accepts.
    pub(super) config: AssocConfig,
    pub(super) coalesce: Duration,
    pub(super) limits: SegmentLimits,
}

/// One association, which may be set up several times in a row from the same ports.
#[derive(Clone)]
pub(super) struct AssocPlan {
    /// Which end calls; both for a collision of INITs.
    pub(super) callers: [bool; 2],
    /// For the ends that call.
    pub(super) config: AssocConfig,
    pub(super) sides: [SidePlan; 2],
    /// How often it is set up.
    pub(super) rounds: u32,
    pub(super) closers: [bool; 2],
}

impl AssocPlan {
    /// The local port of an end.
    pub(super) fn port(&self, number: usize, end: usize) -> u16 {
        match self.callers {
            [true, true] => FIRST_COLLISION + number as u16,
            callers if callers[end] => FIRST_PORT + number as u16,
            _ => SERVICE,
        }
    }
}

/// What the user at one end of an association does.
#[derive(Clone)]
pub(super) struct SidePlan {
    pub(super) messages: Vec<Planned>,
    /// Whether to send before the association is up.
    pub(super) early: bool,
    pub(super) reader: Reader,
    /// The most bytes that the stack may hold for the reader.
    pub(super) recv_buffer: usize,
    pub(super) send_buffer: usize,
    /// The most bytes that one call hands over.
    pub(super) largest_unit: usize,
}

/// The most messages that one call sends.
pub(super) const MAX_UNIT: usize = 20;

/// A message to send.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// The time after the start at which it is sent, at the earliest.
    pub(super) at: Duration,
    pub(super) stream: u16,
    pub(super) len: usize,
    pub(super) unordered: bool,
    pub(super) immediate: bool,
    pub(super) lifetime: Option<Duration>,
    /// Whether one call sends it together with the next message.
    pub(super) together: bool,
    /// In how many parts it is handed over: 1 to [`MAX_PARTS`]. All but the last have `len / parts`
    /// bytes.
    pub(super) parts: usize,
    /// Time between its parts.
    pub(super) pause: Duration,
}

impl Planned {
    /// Where a part begins, and how many bytes it has.
    pub(super) fn part(&self, number: usize) -> (usize, usize) {
        let share = self.len / self.parts;
        let from = share * number;
        (from, if number + 1 == self.parts { self.len - from } else { share })
    }
}

/// The most parts of a message.
pub(super) const MAX_PARTS: usize = 6;

/// How a user reads.
#[derive(Clone, Debug)]
pub(super) enum Reader {
    /// At once.
    Eager,
    /// This many messages at a time, and then a pause.
    Slow(usize, Duration),
    /// At once, but not between these two times after the start.
    Pausing(Duration, Duration),
}

/// How much is sent. Most lives are small, so that many can be run.
#[derive(Clone, Copy)]
enum Size {
    Tiny,
    Small,
    Medium,
    Large,
}

impl Scenario {
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        let gentle = rng.random_bool(0.6);
        let mut topology = Topology::draw(rng);
        let size = match rng.random_range(0..1000) {
            0..700 => Size::Tiny,
            700..955 => Size::Small,
            955..995 => Size::Medium,
            _ => Size::Large,
        };
        let count = match size {
            Size::Tiny | Size::Small => [1, 1, 1, 1, 1, 1, 2, 2, 3, 5][rng.random_range(0..10)],
            Size::Medium | Size::Large => 1,
        };
        let mtu = topology.mtu;
        let nat = topology.nat.is_some();
        let mut ends = [0, 1].map(|_| End::draw(rng, gentle, mtu));
        let mut assocs: Vec<_> =
            (0..count).map(|_| AssocPlan::draw(rng, gentle, nat, size, mtu, &ends)).collect();
        if nat {
            // Only packets from inside keep the NAT binding or make a new one.
            let keep_alive = |c: &mut AssocConfig| c.hb_enabled = true;
            ends.iter_mut().for_each(|e| keep_alive(&mut e.config));
            assocs.iter_mut().for_each(|a| keep_alive(&mut a.config));
        }
        if rng.random_bool(0.2) {
            // The setting is the same everywhere, because a peer that restarts with more addresses
            // is refused (RFC 9260 sec 5.2.4.1). Two ends that call each other by several addresses
            // but list none cannot know that they want the same association.
            let crossed = assocs.iter().any(|a| a.callers == [true, true]);
            let announce = if crossed || rng.random() { Announce::All } else { Announce::None };
            ends.iter_mut().for_each(|e| e.config.announce = announce);
            assocs.iter_mut().for_each(|a| a.config.announce = announce);
        }
        let shuffled =
            |rng: &mut SimRng| if rng.random_bool(0.85) { Quality::Bad } else { Quality::Good };
        let quality = [shuffled(rng), shuffled(rng)];
        let actions = actions::draw(rng, gentle, &topology, &assocs);
        let again = assocs.iter().any(|a| a.rounds > 1)
            || actions.iter().any(|(_, a)| matches!(a, Action::Kill(_)));
        let crossed = assocs.iter().any(|a| a.callers == [true, true]);
        if again || crossed {
            // An INIT is refused if its encapsulation differs from that of the association that it
            // belongs to (RFC 6951).
            topology.udp = [topology.udp[0]; 4];
        }
        if count > 1 || again || crossed {
            // The simulated network reports large packets of a second association, which has not
            // learnt the MTU yet, as a defect.
            topology.hidden_mtu = None;
        }
        let icmp = rng.random_bool(0.3);
        Scenario { gentle, topology, ends, assocs, actions, quality, icmp }
    }
}

impl End {
    fn draw(rng: &mut SimRng, gentle: bool, mtu: usize) -> Self {
        let mut stack =
            StackConfig { ootb_native: true, ootb_rate: 1000, ..StackConfig::default() };
        if rng.random_bool(0.1) {
            // Near the point where TSNs wrap.
            stack.initial_tsn = Some(u32::MAX - rng.random_range(0..20));
        }
        stack.nat_port_key = rng.random_bool(0.2);
        if !gentle && rng.random_bool(0.2) {
            stack.cookie_life = Duration::from_secs(rng.random_range(5..60));
            stack.cookie_key_life = Duration::ZERO;
        }
        let udp = if rng.random_bool(0.3) { rng.random_range(2..=16) } else { 1 };
        End {
            stack,
            config: config(rng, gentle, mtu),
            coalesce: if rng.random_bool(0.2) {
                Duration::from_nanos(rng.random_range(0..=MAX_COALESCE.as_nanos() as u64))
            } else {
                Duration::ZERO
            },
            limits: SegmentLimits { native: 1, udp },
        }
    }
}

impl AssocPlan {
    fn draw(
        rng: &mut SimRng,
        gentle: bool,
        nat: bool,
        size: Size,
        mtu: usize,
        ends: &[End; 2],
    ) -> Self {
        let callers = match rng.random_range(0..10) {
            _ if nat => [true, false],
            0 => [true, true],
            1 | 2 => [false, true],
            _ => [true, false],
        };
        let config = config(rng, gentle, mtu);
        let sides = [0, 1].map(|end| {
            let own = if callers[end] { &config } else { &ends[end].config };
            SidePlan::draw(rng, size, own)
        });
        AssocPlan {
            callers,
            config,
            sides,
            // Not behind a NAT: after it has lost its bindings, the peer may still be ending the
            // association of the round before.
            rounds: if rng.random_bool(0.1) && !nat { rng.random_range(2..=3) } else { 1 },
            closers: [[true, false], [false, true], [true, true]][rng.random_range(0..3)],
        }
    }
}

impl SidePlan {
    fn draw(rng: &mut SimRng, size: Size, config: &AssocConfig) -> Self {
        let streams = config.out_streams;
        let (most, longest) = match size {
            Size::Tiny => (4_000, 2_000),
            Size::Small => (30_000, 16_000),
            Size::Medium => (150_000, 65_536),
            Size::Large => (500_000, 200_000),
        };
        let mut left = if rng.random_bool(0.15) { 0 } else { rng.random_range(1..=most) };
        let unordered = [0.0, 0.0, 0.3, 1.0][rng.random_range(0..4)];
        let mortal = if rng.random_bool(0.1) { 0.3 } else { 0.0 };
        let in_parts = if rng.random_bool(0.2) { 0.3 } else { 0.0 };
        let spread = if rng.random_bool(0.3) { rng.random_range(1..5_000) } else { 0 };
        // Some users send only very small messages.
        let typical = if rng.random_bool(0.1) { 1..=20 } else { 1..=longest };
        let mut at = Duration::ZERO;
        let mut messages = Vec::new();
        while left > 0 && messages.len() < 1_500 {
            let longest = match rng.random_range(0..10) {
                0..4 => 40.min(*typical.end()),
                4..8 => 1_500.min(*typical.end()),
                _ => *typical.end(),
            };
            let len = rng.random_range(*typical.start()..=longest).min(left);
            left -= len;
            if spread > 0 && rng.random_bool(0.2) {
                at += millis(rng, spread);
            }
            let mut planned = Planned {
                at,
                stream: rng.random_range(0..streams),
                len,
                unordered: rng.random_bool(unordered),
                immediate: rng.random_bool(0.05),
                lifetime: rng.random_bool(mortal).then(|| millis(rng, 2_000)),
                together: rng.random_bool(0.05),
                parts: 1,
                pause: Duration::ZERO,
            };
            if !planned.together && planned.lifetime.is_none() && rng.random_bool(in_parts) {
                planned.parts = rng.random_range(1..=MAX_PARTS.min(len));
                if rng.random_bool(0.1) {
                    planned.pause = millis(rng, 300);
                }
            }
            messages.push(planned);
        }
        let reader = match rng.random_range(0..20) {
            0..2 => Reader::Slow(rng.random_range(1..8), millis(rng, 300)),
            2..4 => {
                let from = millis(rng, 2_000);
                Reader::Pausing(from, from + millis(rng, 60_000))
            }
            _ => Reader::Eager,
        };
        let largest_unit = largest_unit(&messages);
        SidePlan {
            messages,
            early: rng.random(),
            reader,
            // The stack may accept one chunk above the limit if nothing could move otherwise.
            recv_buffer: config.recv_buffer + config.ip_mtu,
            // A part that everything else waits for is accepted above the limit. So is a message of
            // any size if the buffer is empty, or if it holds nothing unacknowledged.
            send_buffer: if in_parts > 0.0 {
                2 * config.send_buffer.max(largest_unit)
            } else {
                config.send_buffer
            },
            largest_unit,
        }
    }
}

/// The most bytes that one call hands over.
fn largest_unit(messages: &[Planned]) -> usize {
    let mut sizes: Vec<_> = messages.iter().map(|m| m.len).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.iter().take(if messages.iter().any(|m| m.together) { MAX_UNIT } else { 1 }).sum()
}

/// Draws valid settings. With gentle ones the stack never gives up, so that only a defect can end
/// an association early.
fn config(rng: &mut SimRng, gentle: bool, mtu: usize) -> AssocConfig {
    let mut c = AssocConfig {
        out_streams: if rng.random_bool(0.9) {
            rng.random_range(1..=20)
        } else {
            rng.random_range(1..=2_000)
        },
        ip_mtu: mtu,
        ip_mtu_udp: mtu,
        nodelay: rng.random_bool(0.7),
        hb_enabled: rng.random_bool(0.9),
        ..AssocConfig::default()
    };
    match rng.random_range(0..10) {
        0..4 => {
            c.rto_min = Duration::from_millis(rng.random_range(50..400));
            c.rto_initial = Duration::from_millis(rng.random_range(400..1_000));
            c.rto_max = Duration::from_millis(rng.random_range(1_000..8_000));
        }
        4 => {
            // Some networks have the same value for all three.
            let rto = Duration::from_millis(rng.random_range(700..2_000));
            (c.rto_min, c.rto_initial, c.rto_max) = (rto, rto, rto);
        }
        _ => c.rto_max = Duration::from_secs([5, 10, 60][rng.random_range(0..3)]),
    }
    if rng.random_bool(0.2) {
        c.max_init_timeout = Some(millis(rng, 4_000).max(Duration::from_millis(100)));
    }
    if rng.random_bool(0.3) {
        c.hb_interval = millis(rng, 10_000);
        c.hb_interval_udp = millis(rng, 10_000);
    }
    if rng.random_bool(0.3) {
        c.recv_buffer = rng.random_range(4_096..60_000);
    }
    if rng.random_bool(0.3) {
        c.send_buffer = rng.random_range(1..50_000);
    }
    if rng.random_bool(0.3) {
        c.sack_delay = millis(rng, 500);
    }
    if rng.random_bool(0.3) {
        c.sack_frequency = rng.random_range(1..=6);
    }
    if rng.random_bool(0.3) {
        c.max_burst = rng.random_range(0..=10);
    }
    if rng.random_bool(0.1) {
        c.abc_l = rng.random_range(1..=4);
    }
    if rng.random_bool(0.2) {
        c.partial_delivery_point = Some(rng.random_range(1..c.recv_buffer));
    }
    if rng.random_bool(0.1) {
        c.max_segment = Some(rng.random_range(40..2_000));
    }
    if rng.random_bool(0.1) {
        c.max_in_streams = rng.random_range(1..=10);
    }
    if gentle {
        c.max_init_retransmits = 1_000;
        c.assoc_max_retrans = 1_000;
        c.path_max_retrans = if rng.random() { rng.random_range(0..=5) } else { 1_000 };
        c.shutdown_guard = Some(100 * HOUR);
        c.close_timeout = None;
        return c;
    }
    c.hb_enabled = true;
    c.path_max_retrans = rng.random_range(0..=5);
    c.assoc_max_retrans = rng.random_range(1..=10);
    c.max_init_retransmits = rng.random_range(1..=8);
    if rng.random_bool(0.2) {
        c.shutdown_guard = Some(millis(rng, 60_000).max(Duration::from_secs(1)));
        c.close_timeout = Some(millis(rng, 60_000).max(Duration::from_secs(1)));
    }
    c
}
