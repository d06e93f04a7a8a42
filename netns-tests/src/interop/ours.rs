//! Our stack as an end of a scenario.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sctp_user::{
    AssocChange, AssocConfig, Association, BindOptions, Encap, EndReason, Endpoint, Error,
    Incoming, Message, Notification, Peer, SendOptions, Stack, StackConfig, Subscriptions,
};
use tokio::task::JoinHandle;

use crate::interop::content::{self, Check};
use crate::interop::script::{Flow, Setup, Step, say_end};
use crate::open::{self, Failure};

/// Name of the program.
pub const NAME: &str = "interop-end";

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> =
        args.into_iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async {
        let (setup, steps) = Setup::parse(&args)?;
        let mut end = End::open(setup)?;
        for step in &steps {
            end.step(step).await.map_err(|error| format!("{error} ({step:?})"))?;
        }
        end.stack.shutdown().await;
        Ok::<(), Failure>(())
    });
    runtime.shutdown_background();
    say_end(ended)
}

struct End {
    setup: Setup,
    stack: Stack,
    endpoint: Endpoint,
    association: Option<Association>,
    sending: Option<JoinHandle<Result<(), Error>>>,
}

impl End {
    fn open(setup: Setup) -> Result<End, Failure> {
        let mut config = AssocConfig {
            out_streams: setup.streams,
            recv_buffer: setup.window.unwrap_or(LARGE),
            send_buffer: setup.window.unwrap_or(LARGE),
            // Heartbeats must not disturb a restart: while a machine reboots, its kernel would
            // answer them before the peer's program calls again.
            hb_interval: Duration::from_secs(300),
            hb_interval_udp: Duration::from_secs(300),
            expose_potentially_failed: true,
            ..AssocConfig::default()
        };
        if setup.fast {
            config.rto_initial = Duration::from_millis(500);
            config.rto_min = Duration::from_millis(300);
            config.rto_max = Duration::from_secs(1);
            config.hb_interval = Duration::from_millis(500);
            config.hb_interval_udp = Duration::from_millis(500);
            config.path_max_retrans = 1;
        }
        let kind = if setup.raw { "raw".to_owned() } else { format!("udp={}", setup.udp) };
        let own: Vec<String> = setup.own.iter().map(ToString::to_string).collect();
        let (stack, addrs) =
            open::stack(&format!("{kind}:{}", own.join(",")), StackConfig::default(), config)?;
        let subscriptions = Subscriptions {
            assoc_change: true,
            peer_addr_change: true,
            ..Subscriptions::default()
        };
        let endpoint = stack.bind(BindOptions {
            port: setup.port,
            addrs,
            subscriptions,
            ..BindOptions::default()
        })?;
        Ok(End { setup, stack, endpoint, association: None, sending: None })
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Listen => {
                self.endpoint.listen(5)?;
                println!("ready");
            }
            Step::Accept => {
                self.association = Some(self.endpoint.accept().await?);
                println!("up");
            }
            Step::Connect => {
                let encap = match self.setup.raw {
                    true => Encap::Native,
                    false => Encap::Udp { remote_port: self.setup.peer_udp },
                };
                let addrs = self.setup.peer.iter().map(|addr| (*addr, encap)).collect();
                self.association =
                    Some(self.endpoint.connect(&Peer { addrs, port: self.setup.peer_port }).await?);
                println!("up");
            }
            Step::Send(flow, false) => send(self.association()?, flow).await?,
            Step::Send(flow, true) => {
                let (association, flow) = (self.association()?.clone(), flow.clone());
                self.sending = Some(tokio::spawn(async move { send(&association, &flow).await }));
            }
            Step::Join => {
                if let Some(sending) = self.sending.take() {
                    sending.await??;
                }
            }
            Step::Expect(flow) => self.expect(flow).await?,
            Step::Sleep(time) => tokio::time::sleep(*time).await,
            Step::Shutdown => {
                println!("closing");
                self.association()?.shutdown().await?;
                println!("graceful");
            }
            Step::Ended => {
                self.end(false).await?;
                match self.association()?.ended().await {
                    Some(EndReason::Graceful) => println!("graceful"),
                    other => {
                        return Err(
                            format!("the association did not end gracefully: {other:?}").into()
                        );
                    }
                }
            }
            Step::Abort => {
                self.association()?.abort("enough");
                println!("aborted");
            }
            Step::Aborted => {
                let reason = self.end(false).await?;
                if !matches!(reason, Some(EndReason::Lost(sctp_user::LossReason::PeerAbort { .. })))
                {
                    return Err(format!("an ABORT of the peer was due, not {reason:?}").into());
                }
                println!("aborted");
            }
            Step::Restarted => loop {
                match self.association()?.recv().await? {
                    Some(Incoming::Notification(Notification::AssocChange(
                        AssocChange::Restart { .. },
                    ))) => {
                        println!("restarted");
                        break;
                    }
                    Some(Incoming::Notification(_)) => {}
                    other => return Err(format!("a restart was due, not {other:?}").into()),
                }
            },
            Step::Lost => {
                let association = self.association()?.clone();
                let poke = tokio::spawn(async move {
                    while association.send(Message::new(0, 53, content::WORD)).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                });
                let reason = self.end(true).await?;
                poke.abort();
                if !matches!(reason, Some(EndReason::Lost(_))) {
                    return Err(format!("the association should be lost, not {reason:?}").into());
                }
                println!("lost");
            }
            Step::Hold => {
                println!("holding");
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }

    fn association(&self) -> Result<&Association, Failure> {
        self.association.as_ref().ok_or_else(|| "there is no association".into())
    }

    async fn expect(&self, flow: &Flow) -> Result<(), Failure> {
        let association = self.association()?;
        let mut check = Check::new(flow);
        let mut whole = Vec::new();
        while !check.done() {
            let message = match association.recv().await? {
                Some(Incoming::Message(message)) => message,
                Some(Incoming::Notification(Notification::AssocChange(AssocChange::Up {
                    ..
                }))) => continue,
                Some(Incoming::Notification(Notification::PeerAddrChange { addr, state })) => {
                    println!("path {addr} {state:?}");
                    continue;
                }
                other => return Err(format!("{other:?} came instead of a message").into()),
            };
            whole.extend_from_slice(&message.data);
            if message.end_of_record {
                check.take(message.stream, message.ppid, message.unordered, &whole)?;
                whole.clear();
                tokio::time::sleep(flow.pause).await;
            }
        }
        check.report();
        Ok(())
    }

    /// Reads until the association is over. A message is an error, unless `any` is true.
    async fn end(&self, any: bool) -> Result<Option<EndReason>, Failure> {
        let association = self.association()?;
        loop {
            match association.recv().await {
                Ok(None) => return Ok(Some(EndReason::Graceful)),
                Ok(Some(Incoming::Message(message))) if !any => {
                    return Err(format!(
                        "a message of {} bytes that nobody sent",
                        message.data.len()
                    )
                    .into());
                }
                Ok(Some(_)) => {}
                Err(Error::Ended(reason)) => return Ok(Some(reason)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

async fn send(association: &Association, flow: &Flow) -> Result<(), Error> {
    let begin = Instant::now();
    let mut number = 0;
    while flow.seconds.map_or(number < flow.n, |limit| begin.elapsed() < limit) {
        let (stream, ppid, data) = content::message(flow, number);
        let options = SendOptions { unordered: flow.unordered, ..SendOptions::default() };
        association.send_bytes(stream, ppid, options, data).await?;
        number += 1;
        if !flow.pause.is_zero() {
            tokio::time::sleep(flow.pause).await;
        }
    }
    if flow.seconds.is_some() {
        association.send(Message::new(0, 53, content::end_mark(number))).await?;
    }
    println!("sent n={number} ms={}", begin.elapsed().as_millis());
    Ok(())
}

/// Room for every message of the scenarios.
const LARGE: usize = 4 << 20;
