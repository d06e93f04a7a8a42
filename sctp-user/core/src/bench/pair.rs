//! Two stacks, and the carrying of packets between them.

use std::net::{IpAddr, Ipv4Addr};

use bytes::{Bytes, BytesMut};

use crate::addr::{Datagram, Encap, PathAddr, Peer, SegmentLimits, Transmit};
use crate::config::{AssocConfig, StackConfig};
use crate::stack::{AssocId, Stack};
use crate::time::Time;
use crate::wire::Packet;

/// The SCTP port of both ends.
pub const PORT: u16 = 5001;

/// How many datagrams one system call carries with GSO and GRO.
const LIMITS: SegmentLimits = SegmentLimits { native: 1, udp: 44 };

/// What was carried in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets.
    pub packets: u64,
    /// Bytes of these packets.
    pub bytes: u64,
}

/// Two stacks connected by function calls.
#[derive(Debug)]
pub struct Pair {
    /// The end that connects.
    pub client: Stack,
    /// The end that listens.
    pub server: Stack,
    buf: Vec<u8>,
}

impl Pair {
    /// Both ends bound to [`PORT`]. Two limits of the stack are switched off: the number of
    /// associations, and the INITs answered per second, which protects from floods.
    ///
    /// # Panics
    /// When the configuration is not valid.
    pub fn new(config: &AssocConfig) -> Self {
        let stack = |seed| {
            let limits = StackConfig {
                max_associations: usize::MAX,
                init_ack_rate: u32::MAX,
                // Lets a bench make packets of its own.
                initial_tsn: Some(1),
                ..StackConfig::default()
            };
            let mut stack = Stack::new(limits, [seed; 32]);
            stack
                .bind(PORT, &[], config.clone())
                .expect("the configuration is valid and the port is free");
            stack
        };
        let (client, mut server) = (stack(1), stack(2));
        server.listen(PORT, usize::MAX).expect("the port is bound");
        Pair { client, server, buf: Vec::with_capacity(1 << 17) }
    }

    /// Begins association `n`, 0 to 16 777 213.
    ///
    /// # Panics
    /// When it already exists.
    pub fn connect(&mut self, now: Time, n: u32) -> AssocId {
        let peer = Peer::new(Pair::addr(SERVER, n), UDP, PORT);
        self.client.connect(now, PORT, &peer, None).expect("there is no such association yet")
    }

    /// Where the packets of association `n` come from, as the server sees them.
    pub fn from_client(n: u32) -> PathAddr {
        let (own, peer) = (Pair::addr(SERVER, n), Pair::addr(CLIENT, n));
        PathAddr { local: Some(own), remote: peer, encap: UDP }
    }

    /// Where the packets of association `n` come from, as the client sees them.
    pub fn from_server(n: u32) -> PathAddr {
        let (own, peer) = (Pair::addr(CLIENT, n), Pair::addr(SERVER, n));
        PathAddr { local: Some(own), remote: peer, encap: UDP }
    }

    fn addr(net: u8, n: u32) -> IpAddr {
        let [_, a, b, c] = (n + 1).to_be_bytes();
        Ipv4Addr::new(net, a, b, c).into()
    }

    /// Carries everything that the client has to send to the server.
    pub fn client_to_server(&mut self, now: Time) -> Carried {
        carry(now, &mut self.client, &mut self.buf, |datagram| {
            self.server.handle_datagram(datagram)
        })
    }

    /// Carries everything that the server has to send to the client.
    pub fn server_to_client(&mut self, now: Time) -> Carried {
        carry(now, &mut self.server, &mut self.buf, |datagram| {
            self.client.handle_datagram(datagram)
        })
    }

    /// Takes what the client has to send, for a bench that delivers it later.
    pub fn take_from_client(&mut self, now: Time) -> Vec<Datagram> {
        let mut taken = Vec::new();
        carry(now, &mut self.client, &mut self.buf, |datagram| taken.push(datagram));
        taken
    }

    /// Delivers to the server what a bench polled from the client into `buf`, and empties `buf`.
    pub fn deliver_to_server(&mut self, now: Time, transmits: &[Transmit], buf: &mut Vec<u8>) {
        let mut rest = Bytes::copy_from_slice(buf);
        buf.clear();
        for transmit in transmits {
            unpack(now, transmit, rest.split_to(transmit.len), |datagram| {
                self.server.handle_datagram(datagram)
            });
        }
    }

    /// Carries packets until neither end has any.
    pub fn carry_all(&mut self, now: Time) {
        while self.client_to_server(now).packets + self.server_to_client(now).packets > 0 {}
    }

    /// Fires the due timers and drops the events of both ends.
    pub fn tick(&mut self, now: Time) {
        for stack in [&mut self.client, &mut self.server] {
            stack.handle_timeout(now);
            while stack.poll_event().is_some() {}
        }
    }

    /// Sets up association `n`. Returns its ids at the client and at the server.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub fn set_up(&mut self, now: Time, n: u32) -> (AssocId, AssocId) {
        let id = self.connect(now, n);
        self.carry_all(now);
        self.tick(now);
        (id, self.server.accept(PORT).expect("the association is up"))
    }

    /// Ends an association at once, at both ends.
    pub fn tear_down(&mut self, now: Time, (client, server): (AssocId, AssocId)) {
        let _ = self.client.abort(now, client, Bytes::new());
        self.carry_all(now);
        self.client.release(now, client);
        self.server.release(now, server);
        self.tick(now);
    }
}

const CLIENT: u8 = 10;
const SERVER: u8 = 11;
const UDP: Encap = Encap::Udp { remote_port: 9899 };

/// Polls a stack until it has nothing to send, as the driver does, and passes every packet to
/// `deliver`.
fn carry(
    now: Time,
    from: &mut Stack,
    buf: &mut Vec<u8>,
    mut deliver: impl FnMut(Datagram),
) -> Carried {
    let mut carried = Carried::default();
    while let Some(transmit) = from.poll_transmit(now, LIMITS, buf) {
        // One allocation and one copy for each batch, as when a link carries it.
        let batch = BytesMut::from(&buf[..]).freeze();
        buf.clear();
        carried.bytes += batch.len() as u64;
        carried.packets += unpack(now, &transmit, batch, &mut deliver);
    }
    carried
}

/// Passes the packets of a transmit to `deliver` and returns how many there were.
fn unpack(
    now: Time,
    transmit: &Transmit,
    mut batch: Bytes,
    mut deliver: impl FnMut(Datagram),
) -> u64 {
    let from = reversed(transmit);
    let size = transmit.segment_size.unwrap_or(transmit.len);
    let mut packets = 0;
    while !batch.is_empty() {
        let packet = Packet::check(batch.split_to(size.min(batch.len()))).expect("our own packet");
        deliver(Datagram { at: now, from, ecn: None, packet });
        packets += 1;
    }
    packets
}

/// The path of a packet as its receiver sees it.
fn reversed(transmit: &Transmit) -> PathAddr {
    let own = transmit.path.remote;
    let remote = match own {
        IpAddr::V4(v4) => {
            let [net, a, b, c] = v4.octets();
            Ipv4Addr::new(if net == CLIENT { SERVER } else { CLIENT }, a, b, c).into()
        }
        IpAddr::V6(_) => own,
    };
    PathAddr { local: Some(own), remote, encap: transmit.path.encap }
}
