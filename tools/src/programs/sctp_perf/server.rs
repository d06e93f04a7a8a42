//! The server, which waits for orders.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use sctp_udp_encap::WELL_KNOWN_PORT;
use sctp_user::{Association, BindOptions, Error, Stack};
use tokio::sync::Notify;

use super::latency;
use super::options::{Direction, ServerOptions};
use super::protocol::{Control, Order, Received, Report, Sent};
use super::transfer::{Expect, Transfer, decode};
use crate::cli::{self, AddressList, Ready};
use crate::programs::stack;

pub(crate) async fn run(options: ServerOptions) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch()?;
    let own = cli::resolve(&options.common.own).await?;
    let stack = stack::open_where_clients_look(&options.common.link, |port| {
        options.common.open(&own, port)
    })?;
    let endpoint = stack
        .bind(BindOptions {
            port: options.port,
            config: Some(options.common.transport.config(stack.assoc_config())),
            ..BindOptions::default()
        })
        .with_context(|| format!("cannot bind SCTP port {}", options.port))?;
    endpoint.listen(1024)?;
    tell_ready(
        &options,
        endpoint.port(),
        &stack::reachable_at(stack.has_native(), stack.local_udp_port(), &own, endpoint.port()),
        stack.local_udp_port(),
    );

    let first_done = Arc::new(Notify::new());
    loop {
        let association = tokio::select! {
            reason = end.wait() => {
                tracing::info!(?reason, "ending");
                break;
            }
            () = first_done.notified(), if options.once => break,
            association = endpoint.accept() => association?,
        };
        let done = Arc::clone(&first_done);
        let stack = stack.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(&stack, association).await {
                cli::complain(&format!("{}: a test failed: {error:#}", super::NAME));
            }
            done.notify_one();
        });
    }
    stack.abort("the server ends").await;
    Ok(ExitCode::SUCCESS)
}

/// Tells how clients reach this server.
pub(super) fn tell_ready(
    options: &ServerOptions,
    port: u16,
    reachable: &AddressList,
    udp: Option<u16>,
) {
    if let Some(udp) = udp.filter(|udp| *udp != WELL_KNOWN_PORT)
        && options.common.link.encap_port.is_none()
    {
        cli::complain(&format!(
            "{}: UDP port {WELL_KNOWN_PORT} is taken, so this server has UDP port {udp}; a client \
             of it is {} client {reachable}",
            super::SERVER,
            super::NAME,
        ));
    }
    Ready::new(super::NAME)
        .with("server", reachable)
        .with("sctp", port)
        .with_known("udp", udp)
        .print();
}

/// Takes part in one test, and in another one when the client restarts in the middle of it.
async fn serve(stack: &Stack, association: Association) -> anyhow::Result<()> {
    loop {
        match take_part(stack, &association).await {
            Err(error) if error.downcast_ref() == Some(&Error::Restarted) => {
                tracing::info!("a client has restarted, and begins again");
            }
            ended => return ended,
        }
    }
}

async fn take_part(stack: &Stack, association: &Association) -> anyhow::Result<()> {
    let Some(order) = receive_order(association).await? else { return Ok(()) };
    if let Err(reason) = order.check() {
        association.abort(reason);
        bail!("the client ordered nonsense: {reason}");
    }
    tracing::info!(?order, "test begins");
    let overflows = stack.link_stats().overflows;
    let transfer = Transfer::new(association.clone(), &order);
    if order.direction == Direction::PingPong {
        latency::pong(association).await?;
    }
    let send = async {
        if order.direction.server_sends() {
            transfer.send(&order).await
        } else {
            Ok(Sent::default())
        }
    };
    let receive = async {
        let expect = Expect { data: order.direction.client_sends(), report: false };
        Ok(transfer.receive(expect).await?.received)
    };
    let (sent, received): (Sent, Received) = tokio::try_join!(send, receive)?;
    let socket_overflows = stack.link_stats().overflows - overflows;
    let report = Report { socket_overflows, ..transfer.report(sent, received) };
    transfer.control(&Control::Report(report)).await?;
    // The client shuts the association down. Everything else that it sends does not matter.
    while association.recv_message().await?.is_some() {}
    association.shutdown().await?;
    Ok(())
}

/// Waits for the order; `None` if the client shuts down without one.
async fn receive_order(association: &Association) -> anyhow::Result<Option<Order>> {
    let first = match association.recv_message().await {
        Ok(Some(first)) => first,
        Ok(None) => {
            association.shutdown().await?;
            return Ok(None);
        }
        Err(Error::Restarted) => bail!(Error::Restarted),
        Err(why) => {
            tracing::info!(%why, "a client left without an order");
            return Ok(None);
        }
    };
    match decode(&first.data)? {
        Control::Order(order) => Ok(Some(order)),
        _ => bail!("the client began with something else than an order"),
    }
}
