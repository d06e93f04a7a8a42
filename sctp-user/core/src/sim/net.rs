//! The network: links between pairs of addresses, partitions, NAT boxes, taps and the queue of
//! packets under way.

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::IpAddr;

use rand::SeedableRng;

use super::capture::Capture;
use super::model::{Link, SimRng};
use super::nat::Nat;
use super::node::IcmpError;
use super::packet::IpPacket;
use crate::stack::Unreachable;
use crate::time::Time;
use crate::wire::chunk_type;

/// How long an ICMP message is under way. It is never lost.
const ICMP_DELAY: Duration = Duration::from_millis(1);
/// The size of IP packets that every IPv6 link carries. Hosts cut larger packets to it.
const IPV6_MIN_MTU: usize = 1280;

/// Carries packets. It can be used without [`Sim`](super::Sim): give packets to
/// [`send`](Net::send), and take them from [`poll_arrival`](Net::poll_arrival) when
/// [`poll_timeout`](Net::poll_timeout) has come.
pub struct Net {
    /// Whether packets that nobody takes are answered with ICMP: port or protocol unreachable where
    /// the address exists, destination unreachable elsewhere. Default off.
    pub icmp: bool,
    /// How many bytes of the SCTP packet an ICMP message quotes. Default 548. Routers must quote at
    /// least 8.
    pub icmp_quote: usize,
    /// The NAT boxes. Each of them rewrites the packets that leave or enter its inside.
    pub nats: Vec<Nat>,
    /// MTU of the interface of every host. Default 1500.
    pub interface_mtu: usize,
    /// How many log entries are kept. The oldest go first. Default 20 000.
    pub log_limit: usize,
    rng: SimRng,
    default: Link,
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    /// Links that were made from the default when two addresses first talked.
    defaults: BTreeMap<(IpAddr, IpAddr), Link>,
    cut: BTreeSet<(IpAddr, IpAddr)>,
    taps: Vec<Tap>,
    queue: BinaryHeap<Queued>,
    sequence: u64,
    log: VecDeque<LogEntry>,
    violation: Option<String>,
    capture: Option<Capture>,
    trace: bool,
}

type Tap = Box<dyn FnMut(Time, &mut IpPacket) -> Verdict + Send>;

/// What a tap wants done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet goes on, with the changes that the tap made.
    Pass,
    /// The packet is lost.
    Drop,
    /// The packet arrives this much later. Packets sent after it may overtake it.
    Delay(Duration),
    /// The packet arrives, and a copy of it this much later.
    Twice(Duration),
}

/// Something that reaches its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A packet for its destination address.
    Packet(IpPacket),
    /// An ICMP error for the source address of the packet that it quotes.
    Icmp(IcmpError),
}

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A node sent it.
    Sent,
    /// It reached a node.
    Delivered,
    /// It was lost.
    Dropped(DropReason),
}

/// Why a packet was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DropReason {
    Loss,
    QueueFull,
    Down,
    Cut,
    Mtu,
    Tap,
    /// The NAT box has no mapping for it.
    Nat,
    /// No node has the address.
    NoHost,
    /// Nothing on the node takes it.
    NoListener,
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// When.
    pub at: Time,
    /// What happened.
    pub fate: Fate,
    /// The packet, as it was then.
    pub packet: IpPacket,
}

impl Net {
    /// An empty network of perfect links. `seed` also becomes part of the name of a capture file.
    pub fn new(seed: u64) -> Self {
        Net {
            icmp: false,
            icmp_quote: 548,
            nats: Vec::new(),
            interface_mtu: 1500,
            log_limit: 20_000,
            rng: SimRng::seed_from_u64(seed),
            default: Link::new(),
            links: BTreeMap::new(),
            defaults: BTreeMap::new(),
            cut: BTreeSet::new(),
            taps: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            log: VecDeque::new(),
            violation: None,
            capture: Capture::from_env(seed),
            trace: std::env::var_os("SCTP_SIM_TRACE").is_some(),
        }
    }

    /// The random generator, for scenarios that draw their parameters from the seed.
    pub fn rng(&mut self) -> &mut SimRng {
        &mut self.rng
    }

    /// Sets what all links look like that are not set with [`set_link`](Self::set_link) or
    /// [`set_links`](Self::set_links). Each pair of addresses gets a link of its own.
    pub fn set_default(&mut self, link: Link) {
        self.default = link;
        self.defaults.clear();
    }

    /// Sets the link from one address to another.
    pub fn set_link(&mut self, from: IpAddr, to: IpAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Sets the links between two addresses, the same for both directions.
    pub fn set_links(&mut self, one: IpAddr, other: IpAddr, link: Link) {
        self.links.insert((one, other), link.fresh());
        self.links.insert((other, one), link);
    }

    /// Loses everything that is sent between these two addresses from now on.
    pub fn cut(&mut self, one: IpAddr, other: IpAddr) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Loses everything that is sent from one address to another from now on, but not the other
    /// way.
    pub fn cut_one_way(&mut self, from: IpAddr, to: IpAddr) {
        self.cut.insert((from, to));
    }

    /// Ends what [`cut`](Self::cut) and [`cut_one_way`](Self::cut_one_way) did between two
    /// addresses.
    pub fn heal(&mut self, one: IpAddr, other: IpAddr) {
        self.cut.remove(&(one, other));
        self.cut.remove(&(other, one));
    }

    /// Shows every packet to `tap` when it is sent, before NAT boxes and links. A packet passes the
    /// taps in the order in which they were set.
    pub fn tap(&mut self, tap: impl FnMut(Time, &mut IpPacket) -> Verdict + Send + 'static) {
        self.taps.push(Box::new(tap));
    }

    /// Loses the `n`th packet with a chunk of this type that is sent from now on, counted from 1.
    pub fn drop_nth(&mut self, chunk_type: u8, n: usize) {
        let mut seen = 0;
        self.tap(move |_, packet| {
            seen += usize::from(packet.has(chunk_type));
            if seen == n && packet.has(chunk_type) { Verdict::Drop } else { Verdict::Pass }
        });
    }

    /// Removes all taps.
    pub fn clear_taps(&mut self) {
        self.taps.clear();
    }

    /// Adds a NAT box and returns its index in [`nats`](Self::nats).
    pub fn add_nat(&mut self, nat: Nat) -> usize {
        self.nats.push(nat);
        self.nats.len() - 1
    }

    /// What has happened so far, oldest first.
    pub fn log(&self) -> impl DoubleEndedIterator<Item = &LogEntry> {
        self.log.iter()
    }

    /// The packets sent so far, as far as the log reaches back.
    pub fn sent(&self) -> impl Iterator<Item = (Time, &IpPacket)> {
        self.log.iter().filter(|e| e.fate == Fate::Sent).map(|e| (e.at, &e.packet))
    }

    /// Forgets the log.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }

    /// Sends a packet on its way.
    pub fn send(&mut self, now: Time, mut packet: IpPacket) {
        self.log_packet(now, Fate::Sent, &packet);
        if let Some(capture) = &mut self.capture {
            capture.write(now, &packet);
        }
        let mut copies = vec![Duration::ZERO];
        for tap in &mut self.taps {
            match tap(now, &mut packet) {
                Verdict::Pass => {}
                Verdict::Drop => {
                    return self.log_packet(now, Fate::Dropped(DropReason::Tap), &packet);
                }
                Verdict::Delay(by) => copies.iter_mut().for_each(|extra| *extra += by),
                Verdict::Twice(lag) => copies.push(lag),
            }
        }
        for extra in copies {
            self.enter_link(now, extra, packet.clone());
        }
    }

    /// Writes what is sent from now on as a capture file that Wireshark opens.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn capture(&mut self, path: &std::path::Path) -> std::io::Result<()> {
        self.capture = Some(Capture::create(path)?);
        Ok(())
    }

    /// Lets a packet arrive at its destination at `at`, past all taps, links and cuts.
    pub fn inject(&mut self, at: Time, packet: IpPacket) {
        self.enqueue(at, Arrival::Packet(packet));
    }

    /// When the next packet arrives.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.queue.peek().map(|q| q.at)
    }

    /// The next packet that has arrived by `now`, and when it arrived.
    pub fn poll_arrival(&mut self, now: Time) -> Option<(Time, Arrival)> {
        loop {
            if self.poll_timeout()? > now {
                return None;
            }
            let Queued { at, mut arrival, .. } = self.queue.pop()?;
            let known = match &mut arrival {
                Arrival::Packet(packet) => self.nats.iter().all(|nat| nat.inbound(packet)),
                Arrival::Icmp(error) => {
                    if let Unreachable::PacketTooBig { .. } = error.kind {
                        let pair = (error.quoted.src, error.quoted.dst);
                        self.link(pair).0.mtu_known = true;
                    }
                    self.nats.iter().all(|nat| nat.inbound_quote(&mut error.quoted))
                }
            };
            match arrival {
                Arrival::Packet(packet) if !known => {
                    self.log_packet(at, Fate::Dropped(DropReason::Nat), &packet)
                }
                Arrival::Icmp(_) if !known => {}
                arrival => return Some((at, arrival)),
            }
        }
    }

    /// Says that nobody took an arrived packet. Its sender gets an ICMP message if
    /// [`icmp`](Self::icmp) is on.
    pub fn refuse(&mut self, now: Time, packet: IpPacket, why: DropReason) {
        self.log_packet(now, Fate::Dropped(why), &packet);
        if self.icmp {
            let kind = match why {
                DropReason::NoListener => Unreachable::Protocol,
                _ => Unreachable::Destination,
            };
            // The NAT box in front of the receiver has rewritten the packet. The message quotes the
            // packet as it was before that.
            let mut quoted = packet;
            for nat in &mut self.nats {
                let mut back = quoted.reply(quoted.sctp.clone());
                nat.outbound(&mut back);
                quoted = back.reply(quoted.sctp.clone());
            }
            self.send_icmp(now, kind, quoted);
        }
    }

    /// The first thing that a node did against the rules, as far as the network can see it.
    pub(super) fn take_violation(&mut self) -> Option<String> {
        self.violation.take()
    }

    pub(super) fn log_packet(&mut self, at: Time, fate: Fate, packet: &IpPacket) {
        let entry = LogEntry { at, fate, packet: packet.clone() };
        if self.trace {
            eprintln!("{entry}");
        }
        if self.log.len() >= self.log_limit {
            self.log.pop_front();
        }
        self.log.push_back(entry);
    }

    /// Sends a packet through its link. It arrives `extra` later than the link says.
    fn enter_link(&mut self, at: Time, extra: Duration, mut packet: IpPacket) {
        for nat in &mut self.nats {
            nat.outbound(&mut packet);
        }
        let pair = (packet.src, packet.dst);
        if self.cut.contains(&pair) {
            return self.log_packet(at, Fate::Dropped(DropReason::Cut), &packet);
        }
        let interface_mtu = self.interface_mtu;
        let (link, _) = self.link(pair);
        let (mtu, known, answers) = (link.mtu, link.mtu_known, link.answers_too_big);
        // Hosts cut IPv6 packets where their interface or an ICMP message demands it. Routers never
        // do.
        let cut = packet.may_fragment
            && (packet.src.is_ipv4() || known || packet.ip_len() > interface_mtu);
        let whole = packet.may_fragment && !cut && packet.ip_len() > IPV6_MIN_MTU;
        if whole {
            let ip_mtu = u16::try_from(interface_mtu).unwrap_or(u16::MAX);
            self.send_icmp(at, Unreachable::NotCut { ip_mtu }, packet.clone());
        }
        if packet.ip_len() > mtu && !cut {
            // Probes (packets with PAD) are meant to find out whether the MTU has grown.
            if known && !packet.has(chunk_type::PAD) {
                self.violation.get_or_insert(format!(
                    "a packet of {} bytes was sent with DF over a path with an MTU of {mtu}: \
                     {packet:?}",
                    packet.ip_len()
                ));
            }
            self.log_packet(at, Fate::Dropped(DropReason::Mtu), &packet);
            if answers {
                let ip_mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                self.send_icmp(at, Unreachable::PacketTooBig { ip_mtu }, packet);
            }
            return;
        }
        let (link, rng) = self.link(pair);
        let passage = link.pass(at, packet, rng);
        for (why, packet) in passage.dropped {
            self.log_packet(at, Fate::Dropped(why), &packet);
        }
        for (at, packet) in passage.forwarded {
            self.enqueue(at + extra, Arrival::Packet(packet));
        }
    }

    fn link(&mut self, pair: (IpAddr, IpAddr)) -> (&mut Link, &mut SimRng) {
        let link = match self.links.get_mut(&pair) {
            Some(link) => link,
            None => self.defaults.entry(pair).or_insert_with(|| self.default.fresh()),
        };
        (link, &mut self.rng)
    }

    fn send_icmp(&mut self, at: Time, kind: Unreachable, mut quoted: IpPacket) {
        quoted.sctp.truncate(self.icmp_quote);
        self.enqueue(at + ICMP_DELAY, Arrival::Icmp(IcmpError { kind, quoted }));
    }

    fn enqueue(&mut self, at: Time, arrival: Arrival) {
        self.sequence += 1;
        self.queue.push(Queued { at, sequence: self.sequence, arrival });
    }
}

impl std::fmt::Display for LogEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fate {
            Fate::Sent => write!(f, "{} sent {:?}", self.at, self.packet),
            Fate::Delivered => write!(f, "{} rcvd {:?}", self.at, self.packet),
            Fate::Dropped(why) => write!(f, "{} LOST ({why:?}) {:?}", self.at, self.packet),
        }
    }
}

/// Ordered so that the earliest is the greatest. Of two at the same time, the one that was queued
/// first is greater.
struct Queued {
    at: Time,
    sequence: u64,
    arrival: Arrival,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Queued {}
