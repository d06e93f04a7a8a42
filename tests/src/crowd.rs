//! Many processes with many associations each, to one server over UDP on loopback.
//!
//! `crowd-server` prints a ready line with its UDP port. For each line on its standard input, it
//! prints how many associations and how many restarts it has had. `crowd-client UDP-PORT N` sets up
//! N associations and prints how many of them came up and how many files it has open. It keeps the
//! associations until its standard input ends.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rsp_tools::cli::Ready;
use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Association, Encap, Error, Peer, Stack, StackBuilder};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

/// Name of the server.
pub const SERVER: &str = "crowd-server";
/// Name of a client.
pub const CLIENT: &str = "crowd-client";

const HOST: [u8; 4] = [127, 0, 0, 1];
/// How many associations a client sets up at a time.
const AT_A_TIME: usize = 16;

/// Runs one of the two programs if the first argument after the executable names it.
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread;
    let runtime = || runtime().enable_all().build().expect("a runtime");
    let ended = match args.get(1..)? {
        [SERVER] => runtime().block_on(server()),
        [CLIENT, udp_port, n] => runtime().block_on(client(udp_port, n)),
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

fn stack() -> anyhow::Result<Stack> {
    let config = UdpEncapConfig::with_addrs([HOST.into()], Port::Any);
    Ok(StackBuilder::new().link(UdpEncapLink::bind(&config)?).build()?)
}

async fn server() -> anyhow::Result<()> {
    let stack = stack()?;
    let endpoint = stack.bind(7)?;
    endpoint.listen(20_000)?;
    Ready::new(SERVER).with_known("udp", stack.local_udp_port()).print();
    let restarts = Arc::new(AtomicUsize::new(0));
    let mut associations = 0;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            // Whoever asks for the count has seen all setups end. So associations that wait to be
            // accepted are counted first.
            biased;
            accepted = endpoint.accept() => {
                associations += 1;
                tokio::spawn(count_restarts(accepted?, Arc::clone(&restarts)));
            }
            line = input.next_line() => match line? {
                Some(_) => println!(
                    "associations={associations} restarts={}",
                    restarts.load(Ordering::Relaxed)
                ),
                None => return Ok(()),
            },
        }
    }
}

async fn count_restarts(association: Association, restarts: Arc<AtomicUsize>) {
    loop {
        match association.recv_message().await {
            Ok(Some(_)) => {}
            Err(Error::Restarted) => {
                restarts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) | Err(_) => return,
        }
    }
}

async fn client(udp_port: &str, n: &str) -> anyhow::Result<()> {
    let (stack, n) = (stack()?, n.parse()?);
    let peer = Peer::new(HOST.into(), Encap::Udp { remote_port: udp_port.parse()? }, 7);
    let mut associations = Vec::new();
    let mut setups = JoinSet::new();
    let mut refused = 0;
    for i in 0..n {
        let (stack, peer) = (stack.clone(), peer.clone());
        setups.spawn(async move { stack.connect(&peer).await });
        while setups.len() >= AT_A_TIME || (i + 1 == n && !setups.is_empty()) {
            match setups.join_next().await.expect("there are some")? {
                Ok(association) => associations.push(association),
                Err(why) => {
                    eprintln!("{why}");
                    refused += 1;
                }
            }
        }
    }
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count());
    println!("connected={} refused={refused} files={files}", associations.len());
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while input.next_line().await?.is_some() {}
    Ok(())
}
