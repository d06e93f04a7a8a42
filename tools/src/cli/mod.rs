//! What the programs share at their command line.

mod address;
mod common;
mod logging;
mod normalize;
mod ready;
mod run;
mod screen;
mod signals;
mod value;

pub use address::{AddressList, EncapSuffix};
pub use common::{
    AnnounceKind, AsapAnnounce, CommonOptions, LinkKind, LinkOptions, LogOptions, OotbKind,
    Profile, RegistrarOptions,
};
pub use ready::{Ready, ReadyLine};
pub use run::main;
pub use signals::{EndOptions, EndReason};

pub(crate) use normalize::{CLIENT_UNSUPPORTED, NO_CSP, Unsupported};
pub(crate) use run::{parse, run_async};
pub(crate) use screen::{banner, banner_lines, complain, harmless, say, say_with_time, with_time};
pub(crate) use value::{OnOff, identifier, millis};
