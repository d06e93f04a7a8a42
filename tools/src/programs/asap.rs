//! How a program finds its registrars, as its options say.

use std::time::Duration;

use anyhow::bail;
use rserpool::{AnnounceConfig, AsapConfig};
use rserpool_wire::numbers::port;
use sctp_user::{BindOptions, Peer, Stack};

use super::stack;
use crate::cli::{AsapAnnounce, RegistrarOptions};

/// The settings for a pool element or pool user. `bind` is the own end of the association with the registrar.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn config(
    stack: &Stack,
    options: &RegistrarOptions,
    bind: BindOptions,
) -> anyhow::Result<AsapConfig> {
    let ways = options.registrar.iter().map(|list| stack::peers(stack, list, port::ASAP));
    let registrars: Vec<Peer> = ways.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
    if registrars.is_empty() && options.asapannounce == AsapAnnounce::Off {
        bail!("without announces (--asapannounce=off) a registrar must be named: --registrar=ADDR:PORT");
    }
    Ok(AsapConfig {
        registrars,
        announce: options
            .asapannounce
            .group()
            .map(|group| AnnounceConfig { group, ..AnnounceConfig::default() }),
        announce_timeout: options.registrarannouncetimeout,
        connect_timeout: options.registrarconnecttimeout,
        request_timeout: first_answer_limit(options),
        response_timeout: options.registrarresponsetimeout,
        max_request_trials: options.registrarrequestmaxtrials,
        bind,
        ..AsapConfig::default()
    })
}

/// How long a program waits for a registrar before it gives up: two hunts.
pub(crate) fn first_answer_limit(options: &RegistrarOptions) -> Duration {
    options.registrarconnecttimeout * 2
}

/// Calls `start` with the settings. Where the announce group is only the default and cannot be joined, registrars that are named
/// do without it.
///
/// # Errors
/// Those of `start`.
pub(crate) fn start<T>(
    mut asap: AsapConfig,
    options: &RegistrarOptions,
    mut start: impl FnMut(AsapConfig) -> Result<T, rserpool::Error>,
) -> Result<T, rserpool::Error> {
    match start(asap.clone()) {
        Err(rserpool::Error::Announce { group, reason })
            if options.asapannounce == AsapAnnounce::Auto && !asap.registrars.is_empty() =>
        {
            tracing::info!(%group, reason, "no announces are heard; the named registrars are used");
            asap.announce = None;
            start(asap)
        }
        result => result,
    }
}
