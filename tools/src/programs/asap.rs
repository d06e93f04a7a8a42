//! How a program finds its registrars by its options, and what it tells about the search.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::bail;
use rserpool::{AnnounceConfig, AsapConfig, ConnectFailure, UserEvent};
use rserpool_wire::numbers::port;
use sctp_user::Stack;
use tokio::time::Instant;

use super::endpoints::Endpoints;
use crate::cli::{AddressList, AnnounceGroup, LinkOptions, Profile, RegistrarOptions};

/// The settings for a pool element or pool user. `addrs` are the own addresses for the association
/// with the registrar; none means all. Names of registrars are looked up now, so that a wrong name
/// is reported at once, and again in every search for a registrar.
///
/// # Errors
/// A sentence for the user.
pub(crate) async fn config(
    stack: &Stack,
    options: &RegistrarOptions,
    profile: Profile,
    addrs: Vec<IpAddr>,
) -> anyhow::Result<AsapConfig> {
    if options.registrar.is_empty() && options.asapannounce == AnnounceGroup::Off {
        bail!(
            "without announces (--asapannounce=off) a registrar must be named: \
             --registrar=ADDR:PORT"
        );
    }
    let Endpoints { fixed: registrars, named: resolver } =
        Endpoints::of(stack, &options.registrar, port::ASAP).await?;
    Ok(AsapConfig {
        registrars,
        resolver,
        announce: options
            .asapannounce
            .asap()
            .map(|group| AnnounceConfig { group, ..AnnounceConfig::default() }),
        announce_timeout: options.registrarannouncetimeout,
        connect_timeout: options.registrarconnecttimeout,
        request_timeout: options.registrarconnecttimeout * 2,
        response_timeout: options.registrarresponsetimeout,
        max_request_trials: options.registrarrequestmaxtrials,
        connect_interval: profile.connect_interval(),
        home_patience: profile.home_patience(),
        addrs,
        assoc: profile.rserpool(stack.assoc_config()),
        ..AsapConfig::default()
    })
}

/// Calls `start` with the settings. Also returns the [`Search`] that begins with it. If the default
/// announce group cannot be joined, the registrars that are named are used without it.
///
/// # Errors
/// Those of `start`.
pub(crate) fn start<T>(
    mut asap: AsapConfig,
    options: &RegistrarOptions,
    link: &LinkOptions,
    mut start: impl FnMut(AsapConfig) -> Result<T, rserpool::Error>,
) -> Result<(T, Search), rserpool::Error> {
    let started = match start(asap.clone()) {
        Err(rserpool::Error::Announce { group, reason })
            if options.asapannounce == AnnounceGroup::Auto
                && (!asap.registrars.is_empty() || asap.resolver.is_some()) =>
        {
            tracing::info!(%group, reason, "no announces are heard; the named registrars are used");
            asap.announce = None;
            start(asap.clone())
        }
        result => result,
    };
    let group = asap.announce.map(|announce| announce.group);
    let search = Search {
        places: places(options, group),
        advice: link.advice(),
        limit: options.search_limit(),
        began: Instant::now(),
        silent_for: Duration::ZERO,
        state: State::Idle,
        problems: Vec::new(),
    };
    Ok((started?, search))
}

/// Where the program looks for registrars, in words.
fn places(options: &RegistrarOptions, group: Option<SocketAddr>) -> String {
    let named = options.registrar.iter().map(|list| {
        AddressList { port: Some(list.port_or(port::ASAP)), ..list.clone() }.to_string()
    });
    let named = named.collect::<Vec<_>>().join(" and ");
    match (named.as_str(), group) {
        ("", Some(group)) => format!("by announces to {group}"),
        (named, Some(group)) => format!("at {named} and by announces to {group}"),
        (named, None) => format!("at {named}"),
    }
}

/// What a program tells about its search for a registrar.
#[derive(Debug)]
pub(crate) struct Search {
    places: String,
    advice: &'static str,
    /// How long the search for the first registrar may take; `None` for ever.
    limit: Option<Duration>,
    began: Instant,
    /// A shorter search is not mentioned.
    silent_for: Duration,
    state: State,
    /// The problems that were told in this search.
    problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// It continues, and will be mentioned then.
    Silent(Instant),
    /// It continues, and was mentioned.
    Told,
}

/// How many different problems are told in one search.
const MAX_PROBLEMS: usize = 16;

/// The option that limits the search.
const SEARCH_TIMEOUT: &str = "--registrarsearchtimeout=";

impl Search {
    /// Does not mention searches that are shorter than `time`.
    #[must_use]
    pub(crate) fn silent_for(self, time: Duration) -> Self {
        Search { silent_for: time, ..self }
    }

    /// Takes an event, and returns what to tell about it at once.
    pub(crate) fn event(&mut self, now: Instant, event: &UserEvent) -> Option<String> {
        match event {
            UserEvent::Hunting if self.state == State::Idle => {
                self.problems.clear();
                self.state = State::Silent(now + self.silent_for);
                None
            }
            UserEvent::RegistrarUnreachable { registrar, failure } => {
                let (registrar, failure) = (registrar.clone(), without_advice(failure.clone()));
                let problem = UserEvent::RegistrarUnreachable { registrar, failure }.to_string();
                if self.problems.contains(&problem) || self.problems.len() >= MAX_PROBLEMS {
                    return None;
                }
                self.problems.push(problem.clone());
                Some(format!("{problem}; the search goes on"))
            }
            UserEvent::RegistrarFound { .. } => {
                self.limit = None;
                let told = self.state == State::Told || !self.problems.is_empty();
                self.state = State::Idle;
                told.then(|| event.to_string())
            }
            UserEvent::RegistrarLost(_) => {
                self.state = State::Idle;
                Some(event.to_string())
            }
            UserEvent::Missed(_) => Some(event.to_string()),
            _ => None,
        }
    }

    /// Waits until the search has to be mentioned, or for ever if there is nothing to tell.
    /// Cancel-safe.
    pub(crate) fn silence_over(&self) -> impl Future<Output = ()> + use<> {
        let state = self.state;
        async move {
            match state {
                State::Silent(until) if until <= Instant::now() => {}
                State::Silent(until) => tokio::time::sleep_until(until).await,
                State::Idle | State::Told => std::future::pending().await,
            }
        }
    }

    /// A sentence that says that the search continues, where, and for how long.
    pub(crate) fn words(&mut self) -> String {
        self.state = State::Told;
        let limit = match self.limit {
            Some(limit) => {
                format!("; giving up after {} s ({SEARCH_TIMEOUT})", limit.as_secs_f64())
            }
            None => String::new(),
        };
        format!("looking for a registrar {}{limit}", self.places)
    }

    /// When the search ends if no registrar is found until then.
    pub(crate) fn gives_up_at(&self) -> Option<Instant> {
        self.began.checked_add(self.limit?)
    }

    /// Why there is no registrar, if there is none.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.state == State::Idle {
            return None;
        }
        let last = self.problems.last().map_or_else(String::new, |problem| format!(": {problem}"));
        Some(format!("no registrar was found {}{last}", self.places))
    }

    /// A sentence that says that the search is given up.
    pub(crate) fn given_up(&self) -> String {
        let last = self.problems.last().map_or_else(String::new, |problem| format!("; {problem}"));
        let limit = self.limit.map_or_else(String::new, |limit| {
            format!(" within {} s ({SEARCH_TIMEOUT})", limit.as_secs_f64())
        });
        format!(
            "no registrar could be found or reached {}{limit}{last}; --registrar=ADDR:PORT names \
             one{}",
            self.places, self.advice
        )
    }
}

/// A failure without the library's advice, which names no option. [`LinkOptions::advice`] does.
fn without_advice(failure: ConnectFailure) -> ConnectFailure {
    match failure {
        ConnectFailure::NoNativeAnswer(reason) => ConnectFailure::Ended(reason),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sctp_udp_encap::Port;
    use sctp_user::{AssocConfig, Encap, EndReason, LossReason, NoRoute, PathAddr, Peer};

    use super::*;
    use crate::cli::CommonOptions;
    use crate::programs::stack;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: CommonOptions,
        #[command(flatten)]
        registrars: RegistrarOptions,
    }

    /// RTO.Min of the association with the registrar, as far as the options decide it.
    async fn rto_min(option: &str) -> Option<Duration> {
        let line = Line::try_parse_from(["program", "--registrar=127.0.0.1", option]).unwrap();
        let addr = "127.0.0.1".parse().unwrap();
        let stack = stack::open(&line.common.link, &[addr], Port::Any).unwrap();
        let asap =
            config(&stack, &line.registrars, line.common.link.profile, vec![addr]).await.unwrap();
        assert_eq!(asap.addrs, [addr]);
        asap.assoc.map(|config| config.rto_min)
    }

    #[tokio::test]
    async fn registrars_have_the_time_that_the_profile_says() {
        let patience = async |option: &str| {
            let line = Line::try_parse_from(["program", "--registrar=127.0.0.1", option]).unwrap();
            let addr = "127.0.0.1".parse().unwrap();
            let stack = stack::open(&line.common.link, &[addr], Port::Any).unwrap();
            let profile = line.common.link.profile;
            let asap = config(&stack, &line.registrars, profile, Vec::new()).await.unwrap();
            (asap.connect_interval.as_millis(), asap.home_patience.as_millis())
        };
        assert_eq!(patience("--profile=default").await, (250, 1000));
        assert_eq!(patience("--profile=rfc").await, (250, 1000));
        assert_eq!(patience("--profile=realtime").await, (50, 100));
    }

    #[tokio::test]
    async fn associations_with_registrars_have_the_profile() {
        assert_eq!(rto_min("--profile=default").await, None);
        assert_eq!(rto_min("--profile=rfc").await, Some(AssocConfig::default().rto_min));
        assert_eq!(rto_min("--profile=realtime").await, Some(AssocConfig::realtime().rto_min));
    }

    const UDP: Encap = Encap::Udp { remote_port: 9899 };

    fn search(silent_for: Duration) -> Search {
        Search {
            places: "at 192.0.2.1:3863".to_owned(),
            advice: "",
            limit: None,
            began: Instant::now(),
            silent_for,
            state: State::Idle,
            problems: Vec::new(),
        }
    }

    fn no_route() -> UserEvent {
        let registrar = Peer::new([192, 0, 2, 1].into(), UDP, port::ASAP);
        let reason = EndReason::Lost(LossReason::NoRoute(NoRoute::Network));
        UserEvent::RegistrarUnreachable { registrar, failure: ConnectFailure::Ended(reason) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_is_told_once_and_each_problem_at_once() {
        let mut search = search(Duration::from_secs(1));
        let begin = Instant::now();
        assert_eq!(search.event(begin, &UserEvent::Hunting), None);
        let said = search.event(begin, &no_route()).unwrap();
        assert!(said.contains("192.0.2.1, port 3863") && said.contains("no route"), "{said}");
        assert_eq!(search.event(begin, &UserEvent::Hunting), None, "the same search");
        assert_eq!(search.event(begin, &no_route()), None, "the same problem");
        search.silence_over().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
        assert_eq!(search.words(), "looking for a registrar at 192.0.2.1:3863");
        let problem = search.problem().unwrap();
        assert!(problem.contains("at 192.0.2.1:3863: registrar 192.0.2.1"), "{problem}");
        assert_eq!(search.gives_up_at(), None, "the search goes on until told otherwise");
        let waits = tokio::time::timeout(Duration::from_secs(60), search.silence_over());
        assert!(waits.await.is_err(), "it was told");
        // The end of a search that was mentioned is told, and the next search is a new one.
        let remote = PathAddr { local: None, remote: [192, 0, 2, 1].into(), encap: UDP };
        let found = UserEvent::RegistrarFound { registrar: remote, port: 3863 };
        assert!(search.event(begin, &found).unwrap().starts_with("connected with registrar"));
        assert_eq!(search.problem(), None);
        assert!(search.event(begin, &UserEvent::RegistrarLost(None)).is_some());
        search.event(begin, &UserEvent::Hunting);
        assert!(search.event(begin, &no_route()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_with_a_limit_is_given_up_unless_a_registrar_is_found() {
        let mut search = Search { limit: Some(Duration::from_secs(15)), ..search(Duration::ZERO) };
        let begin = Instant::now();
        search.event(begin, &UserEvent::Hunting);
        search.event(begin, &no_route());
        assert!(search.words().contains("giving up after 15 s (--registrarsearchtimeout=)"));
        assert_eq!(search.gives_up_at(), Some(begin + Duration::from_secs(15)));
        let sentence = search.given_up();
        let hints = ["within 15 s (--registrarsearchtimeout=)", "no route", "--registrar="];
        assert!(hints.iter().all(|hint| sentence.contains(hint)), "{sentence}");
        let remote = PathAddr { local: None, remote: [192, 0, 2, 1].into(), encap: UDP };
        search.event(begin, &UserEvent::RegistrarFound { registrar: remote, port: 3863 });
        search.event(begin, &UserEvent::RegistrarLost(None));
        search.event(begin, &UserEvent::Hunting);
        assert_eq!(search.gives_up_at(), None, "the limit is for the first one");
    }

    /// The sentence contains it once.
    #[test]
    fn advice_comes_from_the_options() {
        let mut search = Search { advice: "; try --link=udp", ..search(Duration::ZERO) };
        let registrar = Peer::new([192, 0, 2, 1].into(), Encap::Native, port::ASAP);
        let reason = EndReason::Lost(LossReason::ProtocolUnreachable);
        let failure = ConnectFailure::NoNativeAnswer(reason);
        let event = UserEvent::RegistrarUnreachable { registrar, failure };
        assert!(!search.event(Instant::now(), &event).unwrap().contains("NAT"));
        assert!(search.given_up().ends_with("names one; try --link=udp"), "{}", search.given_up());
    }

    #[tokio::test]
    async fn a_quick_search_is_not_worth_a_word() {
        let (mut search, now) = (search(Duration::from_secs(1)), Instant::now());
        search.event(now, &UserEvent::Hunting);
        let remote = PathAddr { local: None, remote: [192, 0, 2, 1].into(), encap: UDP };
        let found = UserEvent::RegistrarFound { registrar: remote, port: 3863 };
        assert_eq!(search.event(now, &found), None);
    }

    #[test]
    fn places_to_look_at() {
        let words = |args: &[&str]| {
            let line = Line::try_parse_from([&["program"], args].concat()).unwrap();
            places(&line.registrars, line.registrars.asapannounce.asap())
        };
        assert_eq!(words(&[]), "by announces to 239.0.0.50:3863");
        let named = ["--registrar=127.0.0.1", "--registrar=[::1]:7/udp:5"];
        let both = "at 127.0.0.1:3863 and [::1]:7/udp:5";
        assert_eq!(words(&named), format!("{both} and by announces to 239.0.0.50:3863"));
        assert_eq!(words(&[&named[..], &["--asapannounce=off"]].concat()), both);
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
