//! sctp-proto at both ends of the simulated network.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ServerConfig, TransportConfig,
};
use sctp_user_core::Time;
use sctp_user_core::sim::{IpPacket, Node, Sim};

const UDP_PORT: u16 = 9899;

/// An end with one association.
struct Proto {
    addr: [IpAddr; 1],
    /// The instant that corresponds to virtual time zero.
    epoch: Instant,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    sending: Vec<IpPacket>,
    /// The message that the sender sends again and again; `None` at the receiver.
    message: Option<Bytes>,
    buffer: usize,
    up: bool,
    received: u64,
}

/// The rate of user data from time `settle` to time `total`, bit/s.
pub(crate) fn goodput(
    mut sim: Sim,
    message: usize,
    buffer: usize,
    settle: Duration,
    total: Duration,
) -> u64 {
    let epoch = Instant::now();
    let mut sender = Proto::new("10.1.0.1", epoch, buffer, Some(Bytes::from(vec![7; message])));
    let mut config = ClientConfig::new();
    config.transport = Arc::new(transport(buffer));
    let server = SocketAddr::new([10, 1, 0, 2].into(), UDP_PORT);
    sender.association =
        Some(sender.endpoint.connect(config, server).expect("the first association"));
    let receiver = Proto::new("10.1.0.2", epoch, buffer, None);
    sim.add(sender);
    let receiver = sim.add(receiver);
    sim.run_for(settle);
    let before = sim[receiver].received;
    sim.run_for(total - settle);
    (sim[receiver].received - before) * 8 / (total - settle).as_secs()
}

fn transport(buffer: usize) -> TransportConfig {
    TransportConfig::default()
        .with_max_receive_buffer_size(u32::try_from(buffer).expect("a small buffer"))
}

impl Proto {
    fn new(addr: &str, epoch: Instant, buffer: usize, message: Option<Bytes>) -> Self {
        let mut config = EndpointConfig::new();
        config.max_payload_size(1452 - 28);
        let mut server = ServerConfig::new();
        server.transport = Arc::new(transport(buffer));
        Proto {
            addr: [addr.parse().expect("an address")],
            epoch,
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server))),
            association: None,
            sending: Vec::new(),
            message,
            buffer,
            up: false,
            received: 0,
        }
    }

    fn instant(&self, now: Time) -> Instant {
        self.epoch + Duration::from_nanos(now.as_nanos())
    }

    fn collect(&mut self, transmit: sctp_proto::Transmit) {
        let Payload::RawEncode(packets) = transmit.payload else { return };
        let remote = (transmit.remote.ip(), transmit.remote.port());
        let packets = packets.into_iter().rev();
        self.sending.splice(
            0..0,
            packets.map(|bytes| IpPacket::udp((self.addr[0], UDP_PORT), remote, bytes)),
        );
    }
}

impl Node for Proto {
    fn addrs(&self) -> &[IpAddr] {
        &self.addr
    }

    fn handle_packet(&mut self, now: Time, packet: IpPacket) {
        let Some(udp) = packet.udp else { return };
        let remote = SocketAddr::new(packet.src, udp.src);
        match self.endpoint.handle(self.instant(now), remote, Some(packet.dst), None, packet.sctp) {
            Some((handle, DatagramEvent::NewAssociation(new))) => {
                self.association.get_or_insert((handle, new));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = &mut self.association {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        let now = self.instant(now);
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let at = self.association.as_ref()?.1.poll_timeout()?;
        // sctp-proto fires a timer only after its time, not at it, so wait a little longer.
        Some(Time::from_nanos(at.saturating_duration_since(self.epoch).as_nanos() as u64 + 1))
    }

    fn poll_transmit(&mut self, now: Time) -> Option<IpPacket> {
        let instant = self.instant(now);
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.collect(transmit);
        }
        while self.sending.is_empty()
            && let Some((_, association)) = &mut self.association
            && let Some(transmit) = association.poll_transmit(instant)
        {
            self.collect(transmit);
        }
        self.sending.pop()
    }

    fn run_app(&mut self, _: Time) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let binary = PayloadProtocolIdentifier::Binary;
        let mut any = false;
        while let Some(event) = association.poll() {
            any = true;
            match event {
                Event::Connected if self.message.is_some() => {
                    self.up = true;
                    association.open_stream(0, binary).expect("a new stream");
                }
                Event::AssociationLost { .. } => panic!("sctp-proto lost the association"),
                _ => {}
            }
        }
        let Ok(mut stream) = association.stream(0) else { return any };
        while let Ok(Some(message)) = stream.read_sctp() {
            self.received += message.len() as u64;
            any = true;
        }
        if let Some(message) = self.message.as_ref().filter(|_| self.up) {
            while stream.buffered_amount().is_ok_and(|queued| queued < self.buffer)
                && stream.write_sctp(message, binary).is_ok()
            {
                any = true;
            }
        }
        any
    }
}
