//! An echo server, and a client that checks every byte of the echo.
//!
//! `echo-server LINK PORT` binds the SCTP port, prints a ready line and echoes.
//! `echo-client LINK PEER BYTES` prints `connected` when the association is up, sends that many
//! bytes, compares the echo with them and prints its statistics. LINK is `raw`, `udp` or `both`,
//! and the program's own addresses may follow it (`raw:10.0.0.1,fd00::1`). PEER is an address list
//! in the syntax of the tools.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rsp_tools::cli::{AddressList, Ready};
use sctp_user::{
    AssocConfig, Association, BindOptions, Encap, Error, Message, ShownAddress, StackConfig,
};

use crate::open::{self, Failure};

/// Runs one of the two programs if the first argument after the executable names it.
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let ended = match args.get(1..)? {
        [SERVER, link, port] => runtime().block_on(server(link, port)),
        [CLIENT, link, peer, bytes] => runtime().block_on(client(link, peer, bytes)),
        _ => return None,
    };
    Some(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Name of the server.
pub const SERVER: &str = "echo-server";
/// Name of the client.
pub const CLIENT: &str = "echo-client";

async fn server(link: &str, port: &str) -> Result<(), Failure> {
    let (stack, addrs) = open::stack(link, StackConfig::default(), AssocConfig::default())?;
    let bind = BindOptions { port: port.parse()?, addrs, ..BindOptions::default() };
    let endpoint = stack.bind(bind)?;
    endpoint.listen(16)?;
    Ready::new(SERVER)
        .with("sctp", endpoint.port())
        .with_known("udp", stack.local_udp_port())
        .print();
    loop {
        let association = endpoint.accept().await?;
        tokio::spawn(async move {
            loop {
                let received = match association.recv_message().await {
                    Ok(Some(received)) => received,
                    Err(Error::Restarted) => continue,
                    Ok(None) | Err(_) => break,
                };
                let echo = Message::new(received.stream, received.ppid, received.data);
                if association.send(echo).await.is_err() {
                    break;
                }
            }
        });
    }
}

async fn client(link: &str, peer: &str, bytes: &str) -> Result<(), Failure> {
    let list: AddressList = peer.parse()?;
    let bytes: usize = bytes.parse()?;
    let (stack, _) = open::stack(link, StackConfig::default(), AssocConfig::default())?;
    let peers = open::peers(&list);
    let start = Instant::now();
    let association = stack.connect_first(&peers, AssocConfig::default()).await?;
    let connected = start.elapsed();
    println!("connected");
    let path = association.primary_path().ok_or("no primary path")?;
    let (sent, echoed) = tokio::join!(send(&association, bytes), compare(&association, bytes));
    sent?;
    echoed?;
    println!(
        "echoed bytes={bytes} native={} remote={} connect_ms={} ms={} retransmissions={}",
        path.addr.encap == Encap::Native,
        ShownAddress(path.addr.remote),
        connected.as_millis(),
        start.elapsed().as_millis(),
        association.stats().data_chunks_retransmitted,
    );
    association.shutdown().await?;
    stack.shutdown().await;
    Ok(())
}

async fn send(association: &Association, bytes: usize) -> Result<(), Failure> {
    for start in (0..bytes).step_by(MESSAGE) {
        let end = (start + MESSAGE).min(bytes);
        let data: Vec<u8> = (start..end).map(byte).collect();
        association.send(Message::new(0, 0, data)).await?;
    }
    Ok(())
}

async fn compare(association: &Association, bytes: usize) -> Result<(), Failure> {
    let mut at = 0;
    while at < bytes {
        let limit = tokio::time::timeout(Duration::from_secs(30), association.recv_message());
        let received = limit.await.map_err(|_| format!("silence after {at} bytes"))??;
        let data = received.ok_or("the server shut down")?.data;
        if !data.iter().zip(at..).all(|(got, at)| *got == byte(at)) {
            return Err(format!("the echo differs after {at} bytes").into());
        }
        at += data.len();
    }
    if at == bytes {
        Ok(())
    } else {
        Err(format!("{at} bytes were echoed instead of {bytes}").into())
    }
}

/// The byte at this place in the data. The bytes do not repeat from packet to packet, so a packet
/// that is lost or out of place is noticed.
fn byte(at: usize) -> u8 {
    (at % 251) as u8 ^ (at / 65_521) as u8
}

const MESSAGE: usize = 64 * 1024;
