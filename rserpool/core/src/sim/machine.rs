//! What runs on the hosts of a [`World`](super::World).

use sctp_user_core::Time;

use super::client::Client;
use super::server::Server;
use super::stranger::Stranger;
use crate::asap::{AsapCore, AsapEvent};
use crate::channel::{Core, Input, Output};
use crate::registrar::{RegistrarCore, RegistrarEvent};
use crate::session::SessionEvent;

/// The process of a host.
#[derive(Debug)]
pub enum Machine {
    /// A registrar.
    Registrar(Box<RegistrarCore>),
    /// The ASAP side of a pool element or pool user alone.
    Asap(Box<AsapCore>),
    /// A pool element with its service.
    Server(Box<Server>),
    /// A pool user with a session.
    Client(Box<Client>),
    /// Somebody who belongs to nobody and means harm.
    Stranger(Box<Stranger>),
}

/// Something that a process told its user.
#[derive(Clone, Debug)]
pub enum Noticed {
    /// A registrar told it.
    Registrar(RegistrarEvent),
    /// The ASAP side of a pool element or pool user told it.
    Asap(AsapEvent),
    /// The session of a pool user told it.
    Session(SessionEvent),
}

impl Machine {
    pub(super) fn handle(&mut self, now: Time, input: Input<'_>) {
        match self {
            Machine::Registrar(core) => core.handle(now, input),
            Machine::Asap(core) => core.handle(now, input),
            Machine::Server(core) => core.handle(now, input),
            Machine::Client(core) => core.handle(now, input),
            Machine::Stranger(core) => core.handle(now, input),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<Noticed>> {
        match self {
            Machine::Registrar(core) => Some(with_event(core.poll_output()?, Noticed::Registrar)),
            Machine::Asap(core) => Some(with_event(core.poll_output()?, Noticed::Asap)),
            Machine::Server(core) => Some(with_event(core.poll_output()?, Noticed::Asap)),
            Machine::Client(core) => core.poll_output(),
            Machine::Stranger(core) => core.poll_output(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Machine::Registrar(core) => core.poll_timeout(),
            Machine::Asap(core) => core.poll_timeout(),
            Machine::Server(core) => core.poll_timeout(),
            Machine::Client(core) => core.poll_timeout(),
            Machine::Stranger(core) => core.poll_timeout(),
        }
    }
}

/// The same output with another kind of event.
pub(super) fn with_event<A, B>(output: Output<A>, event: impl FnOnce(A) -> B) -> Output<B> {
    match output {
        Output::Connect { channel, protocol, ways } => Output::Connect { channel, protocol, ways },
        Output::Send { channel, ppid, data } => Output::Send { channel, ppid, data },
        Output::Watch { channel, interval } => Output::Watch { channel, interval },
        Output::Suspect { channel, patience } => Output::Suspect { channel, patience },
        Output::Shutdown { channel } => Output::Shutdown { channel },
        Output::Abort { channel, reason } => Output::Abort { channel, reason },
        Output::Multicast { protocol, data } => Output::Multicast { protocol, data },
        Output::Event(told) => Output::Event(event(told)),
    }
}
