//! Binding a socket to an SCTP port that no other process on the host has.

use sctp_user_core::socket::{SocketError, SocketId, SocketOptions, Sockets, Style};
use sctp_user_core::{BindError, Time};

use crate::blocks::{Blocks, SPARE};
use crate::builder::Settings;
use crate::claim::Claims;
use crate::error::Error;
use crate::options::BindOptions;

/// How many free ports to try if they turn out to belong to other processes on this host.
const CLAIM_TRIES: usize = 64;

/// A stack, with or without a runtime.
pub(crate) trait AnyStack {
    /// Runs `f` with the sockets of the stack.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the stack no longer binds ports or starts associations.
    fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> Result<R, Error>;

    /// The claims on ports among the processes of the host, if this stack needs them.
    fn claims(&self) -> Option<&Claims>;

    /// The blocks from which the stack draws ports, if it shares addresses with other processes.
    fn blocks(&self) -> Option<&Blocks>;
}

/// Opens a socket and binds it. Returns the socket and its port.
pub(crate) fn bind(
    stack: &mut impl AnyStack,
    settings: &Settings,
    style: Style,
    options: BindOptions,
) -> Result<(SocketId, u16), Error> {
    let BindOptions { port, addrs, freebind, config, subscriptions, reuse_port } = options;
    if !freebind {
        settings.link_addrs.check(&addrs)?;
    }
    let config =
        config.map_or_else(|| settings.assoc_config.clone(), |config| settings.limit(config));
    let options = SocketOptions { subscriptions, config, reuse_port, ..SocketOptions::default() };
    if port == 0 {
        grant_ports(stack)?;
    } else if let Some(blocks) = stack.blocks() {
        blocks.claim_around(port);
    }
    for _ in 0..CLAIM_TRIES {
        let wanted = if port == 0 { stack.with(|sockets, _| sockets.free_port())?? } else { port };
        match stack.claims().map_or(Ok(()), |claims| claims.claim(wanted)) {
            Err(why) if port != 0 => return Err(why),
            Err(_) => continue,
            Ok(()) => {}
        }
        let bound = stack.with(|sockets, now| {
            let socket = sockets.open(style, options.clone());
            let bound = match port {
                0 => sockets.bind_drawn(socket, wanted, &addrs),
                _ => sockets.bind(socket, wanted, &addrs),
            };
            bound.map(|port| (socket, port)).inspect_err(|_| {
                let _ = sockets.close(now, socket);
            })
        });
        if let Some(claims) = stack.claims() {
            claims.bind_done(wanted);
        }
        match bound? {
            // Another thread has taken the port in the meantime: try another one.
            Err(SocketError::Bind(BindError::PortInUse(_))) if port == 0 => {}
            bound => return Ok(bound?),
        }
    }
    Err(BindError::NoPort.into())
}

/// Makes sure that the stack has [`SPARE`] ports that no other process draws.
fn grant_ports(stack: &mut impl AnyStack) -> Result<(), Error> {
    if stack.blocks().is_none()
        || stack.with(|sockets, _| sockets.stack().granted_ports().len())? >= SPARE
    {
        return Ok(());
    }
    let held = stack.blocks().map(Blocks::ports).unwrap_or_default();
    let mut free = stack.with(|sockets, _| {
        let stack = sockets.stack();
        let granted: Vec<u16> = stack.granted_ports().collect();
        let is_free = |port: &u16| !stack.is_in_use(*port) && !granted.contains(port);
        held.into_iter().filter(is_free).collect::<Vec<_>>()
    })?;
    if free.len() < SPARE {
        free.extend(stack.blocks().map(Blocks::claim_more).unwrap_or_default());
    }
    stack.with(|sockets, _| sockets.grant_ports(free))
}
