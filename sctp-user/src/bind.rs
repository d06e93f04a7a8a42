//! Binding a socket to an SCTP port that nobody else on the host has.

use sctp_user_core::socket::{SocketId, SocketOptions, Sockets, Style};
use sctp_user_core::{BindError, Time};

use crate::builder::Settings;
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

    /// Claims the port among the processes of the host, if that is needed.
    fn claim(&self, port: u16) -> Result<(), Error>;
}

/// Opens a socket and binds it; gives its port as well.
pub(crate) fn bind(
    stack: &mut impl Running,
    settings: &Settings,
    style: Style,
    options: BindOptions,
) -> Result<(SocketId, u16), Error> {
    let BindOptions { port, addrs, config, subscriptions, reuse_port } = options;
    let config = config.map_or_else(|| settings.assoc_config.clone(), |config| settings.limit(config));
    let options = SocketOptions { subscriptions, config, reuse_port, ..SocketOptions::default() };
    for _ in 0..CLAIM_TRIES {
        let (socket, bound) = stack.with(|sockets, now| {
            let socket = sockets.open(style, options.clone());
            sockets.bind(socket, port, &addrs).map(|port| (socket, port)).inspect_err(|_| {
                let _ = sockets.close(now, socket);
            })
        })??;
        let Err(why) = stack.claim(bound) else { return Ok((socket, bound)) };
        stack.with(|sockets, now| drop(sockets.close(now, socket)))?;
        if port != 0 {
            return Err(why);
        }
    }
    Err(BindError::NoPort.into())
}
