//! Both roles with blocking calls, without a runtime. Only ping-pong: the calls are made for that.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sctp_udp_encap::Port;
use sctp_user::blocking::{Association, Stack};
use sctp_user::{BindOptions, Error, Message};

use super::latency;
use super::options::{ClientOptions, DEFAULT_PORT, Direction, ServerOptions};
use super::output::{self, Outcome, Ports};
use super::protocol::{CONTROL_PPID, Control, Order, Received, Report, Sent};
use super::server::tell_ready;
use super::transfer::{decode, report};
use super::usage::CpuTime;
use crate::cli;
use crate::programs::stack::{self, Ways};

/// The client, which orders the test.
pub(crate) fn client(options: ClientOptions) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    if options.direction != Direction::PingPong {
        bail!("--api=blocking measures --direction=pingpong only");
    }
    let own = cli::resolve_blocking(&options.common.own)?;
    let mut stack = options.common.open_blocking(&own, Port::Any)?;
    let ways = Ways { native: stack.has_native(), udp: stack.local_udp_port().is_some() };
    let addrs = cli::resolve_blocking(&options.server.hosts)?;
    let peers = ways.peers(&options.server, &addrs, DEFAULT_PORT)?;
    let peer = peers.first().context("there is no way to the server")?;
    stack.set_timeout(Some(TIMEOUT));
    let config = options.common.transport.config(stack.assoc_config());
    let association = stack
        .connect_with(peer, config)
        .with_context(|| format!("cannot connect to {}", options.server))?;
    let order = options.order();
    let start = CpuTime::now();
    control(&mut stack, association, &Control::Order(order))?;
    let round_trips = latency::ping_blocking(&mut stack, association, &order)?;
    // The server sends data back, and ends when it gets this.
    control(&mut stack, association, &Control::Sent(Sent::default()))?;
    control(&mut stack, association, &Control::Sent(Sent::default()))?;
    let server = server_report(&mut stack, association)?;
    let path = stack.paths(association.id()).into_iter().find(|path| path.primary);
    let stats = stack.assoc_stats(association.id());
    let client = report(&stats, start, Sent::default(), Received::default());
    stack.shutdown(association)?;
    let ports = Ports { sctp: association.local_port(), udp: stack.local_udp_port() };
    let outcome = Outcome { order, client, server, round_trips: Some(round_trips), path, ports };
    if options.json {
        output::json(&outcome)?;
    } else if options.csv {
        output::csv(&outcome);
    } else {
        output::human(&options, &outcome);
    }
    Ok(ExitCode::SUCCESS)
}

/// The server, which serves one client after the other.
pub(crate) fn server(options: ServerOptions) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let own = cli::resolve_blocking(&options.common.own)?;
    let mut stack = stack::open_where_clients_look(&options.common.link, |port| {
        options.common.open_blocking(&own, port)
    })?;
    let config = options.common.transport.config(stack.assoc_config());
    let endpoint = stack
        .bind(BindOptions { port: options.port, config: Some(config), ..BindOptions::default() })
        .with_context(|| format!("cannot bind SCTP port {}", options.port))?;
    stack.listen(endpoint, 1024)?;
    let (port, udp) = (endpoint.port(), stack.local_udp_port());
    let reachable = stack::reachable_at(stack.has_native(), udp, &own, port);
    tell_ready(&options, port, &reachable, udp);
    loop {
        let association = stack.accept(endpoint)?;
        loop {
            match serve(&mut stack, association) {
                // The client begins again, with another order.
                Err(error) if error.downcast_ref() == Some(&Error::Restarted) => continue,
                Err(error) => {
                    cli::complain(&format!("{}: a test failed: {error:#}", super::NAME));
                }
                Ok(()) => {}
            }
            break;
        }
        stack.close(association);
        if options.once {
            stack.set_timeout(Some(TIMEOUT));
            stack.shutdown_all()?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Takes part in one test.
fn serve(stack: &mut Stack, association: Association) -> anyhow::Result<()> {
    let start = CpuTime::now();
    let Some(first) = stack.recv_message(association)? else {
        return Ok(stack.shutdown(association)?);
    };
    let Control::Order(order) = decode(&first.data)? else {
        bail!("the client began with something else than an order")
    };
    if let Some(reason) = order.check().err().or_else(|| not_served(&order)) {
        stack.abort(association, reason);
        bail!("the client ordered what cannot be had: {reason}");
    }
    latency::pong_blocking(stack, association)?;
    let stats = stack.assoc_stats(association.id());
    let report = report(&stats, start, Sent::default(), Received::default());
    control(stack, association, &Control::Report(report))?;
    while stack.recv_message(association)?.is_some() {}
    stack.shutdown(association)?;
    Ok(())
}

fn not_served(order: &Order) -> Option<&'static str> {
    (order.direction != Direction::PingPong)
        .then_some("a server with --api=blocking does ping-pong only")
}

fn control(stack: &mut Stack, association: Association, control: &Control) -> anyhow::Result<()> {
    let text = serde_json::to_vec(control)?;
    stack.send(association, Message::new(0, CONTROL_PPID, text)).context("sending failed")
}

fn server_report(stack: &mut Stack, association: Association) -> anyhow::Result<Report> {
    while let Some(message) = stack.recv_message(association)? {
        if let Control::Report(report) = decode(&message.data)? {
            return Ok(report);
        }
    }
    bail!("the server did not report")
}

/// The limit for everything except the test itself. The peer has gone if it takes longer.
const TIMEOUT: Duration = Duration::from_secs(20);
