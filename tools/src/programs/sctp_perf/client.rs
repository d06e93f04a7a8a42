//! The client, which orders the test.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sctp_udp_encap::Port;

use super::latency;
use super::options::{ClientOptions, DEFAULT_PORT, Direction};
use super::output::{self, Outcome, Ports};
use super::protocol::{Control, Received, Sent};
use super::transfer::{Expect, Transfer};
use crate::cli;
use crate::programs::stack;

pub(crate) async fn run(options: ClientOptions) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch()?;
    let own = cli::resolve(&options.common.own).await?;
    let stack = options.common.open(&own, Port::Any)?;
    let peers = stack::peers(&stack, &options.server, DEFAULT_PORT).await?;
    let test = async {
        let config = options.common.transport.config(stack.assoc_config());
        let association =
            tokio::time::timeout(CONNECT_TIMEOUT, stack.connect_first(&peers, config))
                .await
                .with_context(|| {
                    let (secs, advice) = (CONNECT_TIMEOUT.as_secs(), options.common.link.advice());
                    format!("no answer from {} in {secs} s{advice}", options.server)
                })?
                .with_context(|| format!("cannot connect to {}", options.server))?;
        let order = options.order();
        let transfer = Transfer::new(association.clone(), &order);
        transfer.control(&Control::Order(order)).await?;
        let round_trips = match order.direction {
            Direction::PingPong => Some(latency::ping(&association, &order).await?),
            _ => None,
        };
        if round_trips.is_some() {
            // The server sends data back, and ends when it gets this.
            transfer.control(&Control::Sent(Sent::default())).await?;
        }
        let send = async {
            if order.direction.client_sends() {
                transfer.send(&order).await
            } else {
                Ok(Sent::default())
            }
        };
        let receive =
            transfer.receive(Expect { data: order.direction.server_sends(), report: true });
        let limit = Duration::from_millis(order.warmup_ms + order.duration_ms) + DRAIN_TIMEOUT;
        let (sent, arrived) =
            tokio::time::timeout(limit, async { tokio::try_join!(send, receive) })
                .await
                .with_context(|| {
                    format!("the test was not over {} s after its end", DRAIN_TIMEOUT.as_secs())
                })??;
        let Some(server) = arrived.report else { bail!("the server did not report") };
        let received: Received = arrived.received;
        let path = association.primary_path();
        let ports = Ports { sctp: association.local_port(), udp: association.local_udp_port() };
        let client = transfer.report(sent, received);
        let outcome = Outcome { order, client, server, round_trips, path, ports };
        association.shutdown().await?;
        anyhow::Ok(outcome)
    };
    let outcome = tokio::select! {
        outcome = test => outcome?,
        reason = end.wait() => {
            stack.abort("the client was interrupted").await;
            bail!("interrupted ({reason:?})");
        }
    };
    stack.shutdown().await;
    if options.json {
        output::json(&outcome)?;
    } else if options.csv {
        output::csv(&outcome);
    } else {
        output::human(&options, &outcome);
    }
    Ok(ExitCode::SUCCESS)
}

/// Over a bad network, setting up an association takes seconds. If it takes longer than this, there
/// is no server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The limit for what is still in buffers when the time is over.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
