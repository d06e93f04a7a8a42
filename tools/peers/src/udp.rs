//! Bare UDP: what the system calls alone cost. Datagrams of 1452 bytes; ping-pong with datagrams of
//! the message size.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};

use crate::measure::{Latency, Window};
use crate::options::{Mode, Options};

/// Segments of a send call, as many as fit 64 KiB.
pub(crate) const GSO_SEGMENTS: usize = 44;

const DATAGRAM: usize = 1452;

pub(crate) fn run(options: &Options, segments: usize) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    match (options.mode, options.pingpong) {
        (Mode::Server, true) => {
            ready(&socket)?;
            let mut buf = [0; 65_536];
            loop {
                let (len, from) = socket.recv_from(&mut buf)?;
                socket.send_to(&buf[..len], from)?;
            }
        }
        (_, true) => {
            socket.connect(options.server()?)?;
            let mut buf = vec![7; options.size];
            let mut latency = Latency::new(options);
            loop {
                let sent = Instant::now();
                socket.send(&buf)?;
                socket.recv(&mut buf)?;
                if latency.add(sent) {
                    return Ok(());
                }
            }
        }
        (Mode::Server, false) => receive(options, &socket),
        (_, false) => send(options, &socket, options.server()?, segments),
    }
}

fn ready(socket: &UdpSocket) -> anyhow::Result<()> {
    println!("ready port={}", socket.local_addr()?.port());
    Ok(())
}

fn receive(options: &Options, socket: &UdpSocket) -> anyhow::Result<()> {
    let state = UdpSocketState::new(socket.into())?;
    state.set_recv_buffer_size(socket.into(), 4 << 20)?;
    socket.set_nonblocking(false)?;
    ready(socket)?;
    let mut memory = vec![0; BATCH_SIZE * 65_536];
    let mut meta = [RecvMeta::default(); BATCH_SIZE];
    let mut window = Window::new(options);
    loop {
        let mut bufs: Vec<_> = memory.chunks_mut(65_536).map(IoSliceMut::new).collect();
        let count = state.recv(socket.into(), &mut bufs, &mut meta)?;
        let bytes: usize = meta[..count].iter().map(|m| m.len).sum();
        if window.add(bytes as u64, (bytes / DATAGRAM) as u64) {
            return Ok(());
        }
    }
}

fn send(
    options: &Options,
    socket: &UdpSocket,
    to: SocketAddr,
    segments: usize,
) -> anyhow::Result<()> {
    let state = UdpSocketState::new(socket.into())?;
    socket.set_nonblocking(false)?;
    let contents = vec![7; segments * DATAGRAM];
    let mut window = Window::new(options);
    let transmit = Transmit {
        destination: to,
        ecn: None,
        contents: &contents,
        segment_size: (segments > 1).then_some(DATAGRAM),
        src_ip: None,
    };
    loop {
        // The clock is not part of what is measured.
        for _ in 0..GSO_SEGMENTS / segments {
            if let Err(error) = state.try_send(socket.into(), &transmit)
                && !window.is_over()
            {
                return Err(error.into());
            }
        }
        let sent = GSO_SEGMENTS / segments * segments;
        if window.add((sent * DATAGRAM) as u64, sent as u64) {
            return Ok(());
        }
    }
}
