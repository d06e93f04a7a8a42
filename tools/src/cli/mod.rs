//! What the programs share at their command line.

mod address;
mod common;
mod host;
mod logging;
mod lossy;
mod normalize;
mod payload;
mod ready;
mod run;
mod screen;
mod signals;
mod value;

pub use address::{AddressList, EncapSuffix, OwnEndpoint};
pub use common::{
    AnnounceGroup, AnnounceKind, CommonOptions, LinkKind, LinkOptions, LogOptions, OotbKind,
    Profile, RegistrarOptions,
};
pub use host::Host;
pub use ready::{Ready, ReadyLine};
pub use run::main;
pub use signals::{EndOptions, EndReason};

pub(crate) use host::resolve;
#[cfg(unix)]
pub(crate) use host::resolve_blocking;
pub(crate) use normalize::{CLIENT_UNSUPPORTED, NO_CSP, Unsupported};
pub(crate) use payload::{Payload, write};
pub(crate) use run::{VERSION, parse, run_async};
pub(crate) use screen::{
    all_or_listed, banner, banner_lines, complain, harmless, say, say_with_time, time_of_day,
    with_time,
};
pub(crate) use signals::End;
pub(crate) use value::{OnOff, identifier, millis, number};
