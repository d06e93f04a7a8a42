//! Binding a socket to an SCTP port that nobody else on the host has.

use sctp_user_core::socket::{SocketError, SocketId, SocketOptions, Sockets, Style};
use sctp_user_core::{BindError, Time};

use crate::builder::Settings;
use crate::claim::Claims;
use crate::error::Error;
use crate::options::BindOptions;

/// Free ports tried that turn out to belong to others on this host.
const CLAIM_TRIES: usize = 64;

/// A stack that runs.
pub(crate) trait Running {
    /// Does something with the sockets.
    ///
    /// # Errors
    /// [`Error::Stopped`] when nothing new can be begun.
    fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> Result<R, Error>;

    /// Its claims on ports among the processes of the host, if it needs any.
    fn claims(&self) -> Option<&Claims>;
}

/// Opens a socket and binds it; gives its port as well.
pub(crate) fn bind(
    stack: &mut impl Running,
    settings: &Settings,
    style: Style,
    options: BindOptions,
) -> Result<(SocketId, u16), Error> {
    let BindOptions { port, addrs, config, subscriptions, reuse_port } = options;
    let config =
        config.map_or_else(|| settings.assoc_config.clone(), |config| settings.limit(config));
    let options = SocketOptions { subscriptions, config, reuse_port, ..SocketOptions::default() };
    for _ in 0..CLAIM_TRIES {
        let wanted = if port == 0 { stack.with(|sockets, _| sockets.free_port())?? } else { port };
        match stack.claims().map_or(Ok(()), |claims| claims.claim(wanted)) {
            Err(why) if port != 0 => return Err(why),
            Err(_) => continue,
            Ok(()) => {}
        }
        let bound = stack.with(|sockets, now| {
            let socket = sockets.open(style, options.clone());
            sockets.bind(socket, wanted, &addrs).map(|port| (socket, port)).inspect_err(|_| {
                let _ = sockets.close(now, socket);
            })
        });
        if let Some(claims) = stack.claims() {
            claims.settled(wanted);
        }
        match bound? {
            // Another thread was faster.
            Err(SocketError::Bind(BindError::PortInUse(_))) if port == 0 => {}
            bound => return Ok(bound?),
        }
    }
    Err(BindError::NoPort.into())
}
