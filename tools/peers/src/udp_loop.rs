//! Driving a protocol without I/O: over a UDP socket with one datagram a system call, and both ends
//! in one thread.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use crate::measure::{Latency, Window};
use crate::options::{Mode, Options};

/// An end with one association.
pub(crate) trait End {
    /// Takes a packet.
    fn handle(&mut self, now: Instant, from: SocketAddr, packet: Bytes);
    /// Fires what is due.
    fn timers(&mut self, now: Instant);
    /// When `timers` is to be called.
    fn next_timer(&self) -> Option<Instant>;
    /// Gives everything that is to be sent to `send`.
    fn transmit(&mut self, now: Instant, send: &mut dyn FnMut(SocketAddr, Bytes));
    /// Queues a message; false when there are enough.
    fn send(&mut self, message: &Bytes) -> bool;
    /// Takes a received message: its length.
    fn read(&mut self) -> Option<usize>;
    /// The association is up.
    fn is_up(&self) -> bool;
}

/// Most packets received before there is another look at what is to be sent.
const BATCH: usize = 64;

/// Longest time to wait for a packet.
const LONGEST: Duration = Duration::from_millis(20);

/// One end over UDP. `make` gets the address of the server, if it is the client.
pub(crate) fn run<E: End>(
    options: &Options,
    make: impl FnOnce(Option<SocketAddr>) -> E,
) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    SockRef::from(&socket).set_send_buffer_size(4 << 20)?;
    socket.set_nonblocking(true)?;
    let client = options.mode == Mode::Client;
    let mut end = make(if client { Some(options.server()?) } else { None });
    if !client {
        println!("ready port={}", socket.local_addr()?.port());
    }
    let message = Bytes::from(vec![7; options.size]);
    let mut window = Window::new(options);
    let mut latency = Latency::new(options);
    let mut pinged: Option<Instant> = None;
    let mut buf = vec![0; 65_536];
    loop {
        let (mut bytes, mut messages) = (0u64, 0u64);
        let mut over = false;
        while let Some(len) = end.read() {
            match (options.pingpong, client) {
                (true, true) => over |= pinged.take().is_some_and(|sent| latency.add(sent)),
                (true, false) => _ = end.send(&message),
                (false, _) => {
                    bytes += len as u64;
                    messages += 1;
                }
            }
        }
        if client && end.is_up() {
            if options.pingpong {
                if pinged.is_none() {
                    pinged = Some(Instant::now());
                    end.send(&message);
                }
            } else {
                while end.send(&message) {
                    bytes += message.len() as u64;
                    messages += 1;
                }
            }
        }
        over |= !options.pingpong && window.add(bytes, messages);
        if over {
            return Ok(());
        }
        let now = Instant::now();
        end.transmit(now, &mut |to, packet| {
            // What the socket has no room for is lost, as in a network.
            let _ = socket.send_to(&packet, to);
        });
        let mut received = 0;
        while received < BATCH {
            match socket.recv_from(&mut buf) {
                Ok((len, from)) => end.handle(now, from, Bytes::copy_from_slice(&buf[..len])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            }
            received += 1;
        }
        if received == 0 {
            let timer = end
                .next_timer()
                .map_or(LONGEST, |at| at.saturating_duration_since(now))
                .min(LONGEST);
            let timeout = PollTimeout::from(timer.as_millis() as u16 + 1);
            poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout)?;
        }
        end.timers(Instant::now());
    }
}

/// Both ends in one thread: bulk from `a`, which connects, to `b`.
pub(crate) fn core(options: &Options, mut a: impl End, mut b: impl End) -> anyhow::Result<()> {
    let (from_a, from_b) = addresses();
    let message = Bytes::from(vec![7; options.size]);
    let mut window = Window::new(options);
    loop {
        let now = Instant::now();
        if a.is_up() {
            while a.send(&message) {}
        }
        // One copy on the way, as through a link.
        a.transmit(now, &mut |_, packet| b.handle(now, from_a, Bytes::copy_from_slice(&packet)));
        let (mut bytes, mut messages) = (0, 0);
        while let Some(len) = b.read() {
            bytes += len as u64;
            messages += 1;
        }
        b.transmit(now, &mut |_, packet| a.handle(now, from_b, Bytes::copy_from_slice(&packet)));
        a.timers(now);
        b.timers(now);
        if window.add(bytes, messages) {
            return Ok(());
        }
    }
}

/// Where the packets of two ends in one thread come from.
pub(crate) fn addresses() -> (SocketAddr, SocketAddr) {
    ((Ipv4Addr::new(10, 0, 0, 1), 9899).into(), (Ipv4Addr::new(11, 0, 0, 1), 9899).into())
}
