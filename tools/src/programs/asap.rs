//! How a program finds its registrars, as its options say.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use rserpool::{AnnounceConfig, AsapConfig};
use rserpool_wire::numbers::port;
use sctp_user::{BindOptions, Peer, Stack};

use super::stack;
use crate::cli::{AsapAnnounce, Profile, RegistrarOptions};

/// The settings for a pool element or pool user. `addrs` are the own addresses of the association
/// with the registrar, none for all.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn config(
    stack: &Stack,
    options: &RegistrarOptions,
    profile: Profile,
    addrs: Vec<IpAddr>,
) -> anyhow::Result<AsapConfig> {
    let ways = options.registrar.iter().map(|list| stack::peers(stack, list, port::ASAP));
    let registrars: Vec<Peer> =
        ways.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
    if registrars.is_empty() && options.asapannounce == AsapAnnounce::Off {
        bail!(
            "without announces (--asapannounce=off) a registrar must be named: \
             --registrar=ADDR:PORT"
        );
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
        bind: BindOptions {
            addrs,
            config: profile.rserpool(stack.assoc_config()),
            ..BindOptions::default()
        },
        ..AsapConfig::default()
    })
}

/// How long a program waits for a registrar before it gives up: two hunts.
pub(crate) fn first_answer_limit(options: &RegistrarOptions) -> Duration {
    options.registrarconnecttimeout * 2
}

/// Calls `start` with the settings. Where the announce group is only the default and cannot be
/// joined, registrars that are named do without it.
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sctp_udp_encap::Port;
    use sctp_user::AssocConfig;

    use super::*;
    use crate::cli::CommonOptions;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        registrars: RegistrarOptions,
    }

    /// RTO.Min of the association with the registrar, as far as the options decide it.
    fn rto_min(option: &str) -> Option<Duration> {
        let line = Line::try_parse_from(["program", "--registrar=127.0.0.1", option]).unwrap();
        let addr = "127.0.0.1".parse().unwrap();
        let stack = stack::open(&line.common.link, &[addr], Port::Any).unwrap();
        let asap = config(&stack, &line.registrars, line.common.link.profile, vec![addr]).unwrap();
        assert_eq!(asap.bind.addrs, [addr]);
        asap.bind.config.map(|config| config.rto_min)
    }

    #[tokio::test]
    async fn associations_with_registrars_have_the_profile() {
        assert_eq!(rto_min("--profile=default"), None);
        assert_eq!(rto_min("--profile=rfc"), Some(AssocConfig::default().rto_min));
        assert_eq!(rto_min("--profile=realtime"), Some(AssocConfig::realtime().rto_min));
    }

    #[test]
    fn unknown_profiles_are_refused() {
        let refused =
            Line::try_parse_from(["program", "--profile=fast"]).err().unwrap().to_string();
        assert!(
            ["default", "rfc", "realtime"].iter().all(|word| refused.contains(word)),
            "{refused}"
        );
    }
}
