//! dcsctp: one association per socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use dcsctp::api::{
    DcSctpSocket, Message, Options as Config, PpId, SendOptions, Socket, SocketEvent, SocketTime,
    StreamId,
};

use crate::measure;
use crate::options::Options;
use crate::udp_loop::{self, End};

/// Most bytes queued.
const BACKLOG: usize = 1 << 20;

fn config() -> Config {
    Config { mtu: 1452, ..Config::default() }
}

struct Dc {
    socket: Socket,
    start: Instant,
    peer: Option<SocketAddr>,
    up: bool,
}

impl Dc {
    fn new(server: Option<SocketAddr>) -> Self {
        let mut socket = Socket::new("dc", &config());
        if server.is_some() {
            socket.connect();
        }
        Dc { socket, start: Instant::now(), peer: server, up: false }
    }

    fn advance(&mut self, now: Instant) {
        self.socket.advance_time(SocketTime::zero() + now.saturating_duration_since(self.start));
    }
}

impl End for Dc {
    fn handle(&mut self, now: Instant, from: SocketAddr, packet: Bytes) {
        self.peer = Some(from);
        self.advance(now);
        self.socket.handle_input(&packet);
    }

    fn timers(&mut self, now: Instant) {
        self.advance(now);
    }

    fn next_timer(&self) -> Option<Instant> {
        let at = self.socket.poll_timeout();
        (at != SocketTime::infinite_future()).then(|| self.start + (at - SocketTime::zero()))
    }

    fn transmit(&mut self, _: Instant, send: &mut dyn FnMut(SocketAddr, Bytes)) {
        while let Some(event) = self.socket.poll_event() {
            match (event, self.peer) {
                (SocketEvent::SendPacket(packet), Some(peer)) => send(peer, packet.into()),
                (SocketEvent::OnConnected(), _) => self.up = true,
                (SocketEvent::OnAborted(kind, why), _) => {
                    eprintln!("dcsctp: the association was aborted: {kind:?}, {why}");
                    std::process::exit(1);
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, message: &Bytes) -> bool {
        // It takes messages as vectors.
        let stream = StreamId(0);
        self.socket.buffered_amount(stream) < BACKLOG
            && self
                .socket
                .send(Message::new(stream, PpId(0), message.to_vec()), &SendOptions::default())
                .is_ok()
    }

    fn read(&mut self) -> Option<usize> {
        self.socket.get_next_message().map(|message| message.payload.len())
    }

    fn is_up(&self) -> bool {
        self.up
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    udp_loop::run(options, Dc::new)
}

pub(crate) fn core(options: &Options) -> anyhow::Result<()> {
    let server = SocketAddr::from((Ipv4Addr::new(11, 0, 0, 1), 9899));
    udp_loop::core(options, Dc::new(Some(server)), Dc::new(None))
}

pub(crate) fn setup(options: &Options) -> anyhow::Result<()> {
    measure::setups(options, set_up)
}

pub(crate) fn idle(options: &Options) -> anyhow::Result<()> {
    measure::idle(options, set_up)
}

fn set_up(count: u32) -> anyhow::Result<Vec<(Socket, Socket)>> {
    let config = config();
    let mut pairs = Vec::with_capacity(count as usize);
    for n in 0..count {
        let mut pair = (Socket::new("a", &config), Socket::new("b", &config));
        pair.0.connect();
        let mut up = 0;
        for _ in 0..3 {
            up += carry(&mut pair.0, &mut pair.1) + carry(&mut pair.1, &mut pair.0);
        }
        ensure!(up == 2, "association {n} came up at {up} ends");
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Hands over what there is; 1 when the sender's association came up.
fn carry(from: &mut Socket, to: &mut Socket) -> u32 {
    let mut up = 0;
    while let Some(event) = from.poll_event() {
        match event {
            SocketEvent::SendPacket(packet) => to.handle_input(&packet),
            SocketEvent::OnConnected() => up = 1,
            _ => {}
        }
    }
    up
}
