//! QUIC through quinn with its defaults: encrypted, one stream, one write for each message.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::measure::{Latency, Window};
use crate::options::{Mode, Options};

const NAME: &str = "localhost";

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    if options.mode == Mode::Client {
        let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(unhex(options.given("cert")?)?))?;
        endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
        let connection = endpoint.connect(options.server()?, NAME)?.await?;
        let (send, recv) = connection.open_bi().await?;
        return if options.pingpong {
            ping(options, send, recv).await
        } else {
            write(options, send).await
        };
    }
    let key = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let cert = key.cert.der().clone();
    let secret = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = ServerConfig::with_single_cert(vec![cert.clone()], secret.into())?;
    let endpoint = Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let hex: String = cert.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("ready port={} cert={hex}", endpoint.local_addr()?.port());
    let connection = endpoint.accept().await.context("a client comes")?.await?;
    let (send, recv) = connection.accept_bi().await?;
    if options.pingpong { pong(options, send, recv).await } else { read(options, recv).await }
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    (0..text.len() / 2)
        .map(|i| {
            u8::from_str_radix(&text[2 * i..2 * i + 2], 16).context("the certificate is in hex")
        })
        .collect()
}

async fn write(options: &Options, mut send: SendStream) -> anyhow::Result<()> {
    let message = vec![7; options.size];
    let batch = (65_536 / options.size).clamp(1, 64);
    let mut window = Window::new(options);
    loop {
        for _ in 0..batch {
            if let Err(error) = send.write_all(&message).await {
                return if window.is_over() { Ok(()) } else { Err(error.into()) };
            }
        }
        if window.add((batch * options.size) as u64, batch as u64) {
            return Ok(());
        }
    }
}

async fn read(options: &Options, mut recv: RecvStream) -> anyhow::Result<()> {
    let mut window = Window::new(options);
    let (mut total, mut messages) = (0u64, 0u64);
    // As large as a read comes, without copying.
    let mut chunks = vec![bytes::Bytes::new(); 64];
    loop {
        let count = match recv.read_chunks(&mut chunks).await {
            Ok(Some(count)) => count,
            _ if window.is_over() => return Ok(()),
            other => other?.context("the client left early")?,
        };
        let len: usize = chunks[..count].iter().map(bytes::Bytes::len).sum();
        total += len as u64;
        let complete = total / options.size as u64;
        if window.add(len as u64, complete - messages) {
            return Ok(());
        }
        messages = complete;
    }
}

async fn ping(options: &Options, mut send: SendStream, mut recv: RecvStream) -> anyhow::Result<()> {
    let mut buf = vec![7; options.size];
    let mut latency = Latency::new(options);
    loop {
        let sent = Instant::now();
        send.write_all(&buf).await?;
        recv.read_exact(&mut buf).await?;
        if latency.add(sent) {
            return Ok(());
        }
    }
}

async fn pong(options: &Options, mut send: SendStream, mut recv: RecvStream) -> anyhow::Result<()> {
    let mut buf = vec![7; options.size];
    while recv.read_exact(&mut buf).await.is_ok() {
        send.write_all(&buf).await?;
    }
    Ok(())
}
