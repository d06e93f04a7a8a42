//! sctp-proto: an end with one association, and many of them in one thread.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ServerConfig, Transmit, TransportConfig,
};

use crate::measure;
use crate::options::Options;
use crate::udp_loop::{self, End};

/// Packets of 1452 bytes less common header and chunk header.
const PAYLOAD: u32 = 1452 - 28;

/// Most bytes queued or unacknowledged. A large backlog of small messages makes it collapse, so
/// they get less.
fn backlog(size: usize) -> usize {
    if size >= 1024 { 1 << 20 } else { 64 << 10 }
}

pub(crate) struct Proto {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    up: bool,
    backlog: usize,
    buf: Vec<u8>,
}

fn endpoint() -> Endpoint {
    let mut config = EndpointConfig::new();
    config.max_payload_size(PAYLOAD);
    let mut server = ServerConfig::new();
    server.transport = Arc::new(transport());
    Endpoint::new(Arc::new(config), Some(Arc::new(server)))
}

fn transport() -> TransportConfig {
    TransportConfig::default().with_max_receive_buffer_size(4 << 20)
}

fn client(transport: &Arc<TransportConfig>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.transport = Arc::clone(transport);
    config
}

impl Proto {
    pub(crate) fn new(options: &Options, server: Option<SocketAddr>) -> Self {
        let mut endpoint = endpoint();
        let association = server.map(|server| {
            endpoint.connect(client(&Arc::new(transport())), server).expect("the first association")
        });
        Proto {
            endpoint,
            association,
            up: false,
            backlog: backlog(options.size),
            buf: vec![0; options.size],
        }
    }

    fn events(&mut self) {
        let Some((handle, association)) = &mut self.association else { return };
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => {
                    self.up = true;
                    // Who accepts finds the stream when data comes.
                    let _ = association.open_stream(0, PayloadProtocolIdentifier::Binary);
                }
                Event::AssociationLost { reason, .. } => {
                    eprintln!("sctp-proto: the association was lost: {reason:?}");
                    std::process::exit(1);
                }
                _ => {}
            }
        }
        while let Some(event) = association.poll_endpoint_event() {
            self.endpoint.handle_event(*handle, event);
        }
    }
}

fn packets(transmit: Transmit, send: &mut dyn FnMut(SocketAddr, Bytes)) {
    if let Payload::RawEncode(packets) = transmit.payload {
        packets.into_iter().for_each(|packet| send(transmit.remote, packet));
    }
}

impl End for Proto {
    fn handle(&mut self, now: Instant, from: SocketAddr, packet: Bytes) {
        match self.endpoint.handle(now, from, None, None, packet) {
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

    fn timers(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.events();
    }

    fn next_timer(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, a)| a.poll_timeout())
    }

    fn transmit(&mut self, now: Instant, send: &mut dyn FnMut(SocketAddr, Bytes)) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            packets(transmit, send);
        }
        if let Some((_, association)) = &mut self.association {
            while let Some(transmit) = association.poll_transmit(now) {
                packets(transmit, send);
            }
        }
        self.events();
    }

    fn send(&mut self, message: &Bytes) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let Ok(mut stream) = association.stream(0) else { return false };
        stream.buffered_amount().is_ok_and(|queued| queued < self.backlog)
            && stream.write_sctp(message, PayloadProtocolIdentifier::Binary).is_ok()
    }

    fn read(&mut self) -> Option<usize> {
        let (_, association) = self.association.as_mut()?;
        let message = association.stream(0).ok()?.read_sctp().ok()??;
        message.read(&mut self.buf).ok()
    }

    fn is_up(&self) -> bool {
        self.up
    }
}

pub(crate) fn core(options: &Options) -> anyhow::Result<()> {
    let (_, b) = udp_loop::addresses();
    udp_loop::core(options, Proto::new(options, Some(b)), Proto::new(options, None))
}

pub(crate) fn setup(options: &Options) -> anyhow::Result<()> {
    measure::setups(options, set_up)
}

pub(crate) fn idle(options: &Options) -> anyhow::Result<()> {
    measure::idle(options, set_up)
}

/// Both ends of many associations.
type Ends = [(Endpoint, HashMap<AssociationHandle, Association>); 2];

/// Sets associations up, one after the other, between two endpoints.
fn set_up(count: u32) -> anyhow::Result<Ends> {
    let now = Instant::now();
    let mut ends: Ends = [(endpoint(), HashMap::new()), (endpoint(), HashMap::new())];
    // As the defaults have it: an idle association needs no large window.
    let config = Arc::new(TransportConfig::default());
    for n in 0..count {
        let [_, a, b, c] = (n + 1).to_be_bytes();
        let address = |net| SocketAddr::from((Ipv4Addr::new(net, a, b, c), 9899));
        let (mut ours, association) = ends[0].0.connect(client(&config), address(11))?;
        ends[0].1.insert(ours, association);
        let mut up = 0;
        // Packets go to and fro until there are no more.
        for side in [0usize, 1, 0, 1, 0, 1] {
            let mut out = Vec::new();
            let (endpoint, associations) = &mut ends[side];
            while let Some(transmit) = endpoint.poll_transmit() {
                packets(transmit, &mut |_, packet| out.push(packet));
            }
            if let Some(association) = associations.get_mut(&ours) {
                while let Some(transmit) = association.poll_transmit(now) {
                    packets(transmit, &mut |_, packet| out.push(packet));
                }
            }
            let from = address(if side == 0 { 10 } else { 11 });
            let (endpoint, associations) = &mut ends[1 - side];
            for packet in out {
                match endpoint.handle(now, from, None, None, packet) {
                    Some((handle, DatagramEvent::NewAssociation(new))) => {
                        ours = handle;
                        associations.insert(handle, new);
                    }
                    Some((handle, DatagramEvent::AssociationEvent(event))) => {
                        ours = handle;
                        let association = associations.get_mut(&handle).expect("it is known");
                        association.handle_event(event);
                        while let Some(event) = association.poll() {
                            up += u32::from(matches!(event, Event::Connected));
                        }
                    }
                    None => {}
                }
            }
        }
        ensure!(up == 2, "association {n} came up at {up} ends");
    }
    Ok(ends)
}
