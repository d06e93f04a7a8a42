//! Kernel TCP through tokio: one write call for each message, reads as large as they come.

use std::net::Ipv4Addr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::measure::{Latency, Window};
use crate::options::{Mode, Options};

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    if options.mode == Mode::Client {
        let stream = TcpStream::connect(options.server()?).await?;
        return if options.pingpong {
            ping(options, stream).await
        } else {
            send(options, stream).await
        };
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("ready port={}", listener.local_addr()?.port());
    let (stream, _) = listener.accept().await?;
    if options.pingpong { pong(options, stream).await } else { receive(options, stream).await }
}

async fn send(options: &Options, mut stream: TcpStream) -> anyhow::Result<()> {
    let message = vec![7; options.size];
    // The clock is read once for so many messages.
    let batch = (65_536 / options.size).clamp(1, 64);
    let mut window = Window::new(options);
    loop {
        for _ in 0..batch {
            if let Err(error) = stream.write_all(&message).await {
                return if window.is_over() { Ok(()) } else { Err(error.into()) };
            }
        }
        if window.add((batch * options.size) as u64, batch as u64) {
            return Ok(());
        }
    }
}

async fn receive(options: &Options, mut stream: TcpStream) -> anyhow::Result<()> {
    let mut buf = vec![0; 256 * 1024];
    let mut window = Window::new(options);
    let (mut total, mut messages) = (0u64, 0u64);
    loop {
        let len = stream.read(&mut buf).await?;
        if len == 0 && window.is_over() {
            return Ok(());
        }
        anyhow::ensure!(len > 0, "the client left early");
        total += len as u64;
        let complete = total / options.size as u64;
        if window.add(len as u64, complete - messages) {
            return Ok(());
        }
        messages = complete;
    }
}

async fn ping(options: &Options, mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![7; options.size];
    let mut latency = Latency::new(options);
    loop {
        let sent = Instant::now();
        stream.write_all(&buf).await?;
        stream.read_exact(&mut buf).await?;
        if latency.add(sent) {
            return Ok(());
        }
    }
}

async fn pong(options: &Options, mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![7; options.size];
    while stream.read_exact(&mut buf).await.is_ok() {
        stream.write_all(&buf).await?;
    }
    Ok(())
}
