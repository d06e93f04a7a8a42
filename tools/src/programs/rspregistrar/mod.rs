//! `rspregistrar`: an RSerPool registrar.

mod enrp;
mod options;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use rserpool_registrar::metric::Value;
use rserpool_registrar::{EnrpConfig, Notice, Registrar, RegistrarConfig, RegistrarStats};
use rserpool_wire::ServerId;
use rserpool_wire::numbers::port;
use sctp_udp_encap::Port;

use super::stack;
use crate::cli::{self, OwnEndpoint, Ready, banner, say_with_time};

use enrp::Enrp;
use options::{Options, UNSUPPORTED};

/// Name of the program.
pub const NAME: &str = "rspregistrar";

/// How long closing the associations may take.
const END_LIMIT: Duration = Duration::from_secs(1);

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, serve(options)),
        Err(status) => status,
    }
}

async fn serve(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch_output().context("signals cannot be watched")?;
    let addrs = cli::resolve(&options.asap.hosts).await?;
    let enrp_addrs = match &options.enrp.enrp {
        Enrp::At(endpoint) => cli::resolve(&endpoint.hosts).await?,
        Enrp::Auto | Enrp::Off => addrs.clone(),
    };
    let profile = options.common.link.profile;
    let enrp = options.enrp.config(enrp_addrs.clone(), options.announcettl, profile)?;
    let stack_addrs = both(&addrs, &enrp_addrs);
    let stack = stack::open(&options.common.link, &stack_addrs, Port::WellKnown)?;
    let enrp = match enrp {
        Some(enrp) => Some(options.enrp.name_peers(&stack, enrp).await?),
        None => None,
    };
    let config = config(&options, addrs.clone(), enrp);
    let mut registrar = Registrar::start(&stack, config.clone())?;
    let mut events = registrar.events();
    let udp = stack.local_udp_port();
    if !options.quiet {
        show_banner(&options, &registrar, &config, udp);
    }
    let asap_port = registrar.asap_port();
    let reachable = |own: &[IpAddr], port| stack::reachable_at(stack.has_native(), udp, own, port);
    let enrp_port = registrar.enrp_port();
    Ready::new(NAME)
        .with("id", format!("{:#010x}", registrar.server_id().0))
        .with("asap", OwnEndpoint::of(&addrs, asap_port))
        .with("registrar", reachable(&addrs, asap_port))
        .with_known("enrp", enrp_port.map(|port| OwnEndpoint::of(&enrp_addrs, port)))
        .with_known("peer", enrp_port.map(|port| reachable(&enrp_addrs, port)))
        .with("sctp", asap_port)
        .with_known("udp", udp)
        .print();
    let reason = loop {
        tokio::select! {
            biased;
            reason = end.wait() => break reason,
            () = registrar.ended() => bail!("the SCTP stack has ended"),
            notice = events.recv() => match notice {
                Some(notice) => tell(&notice, options.events),
                None => bail!("the SCTP stack has ended"),
            },
        }
    };
    let stats = registrar.stats();
    let _ = tokio::time::timeout(END_LIMIT, registrar.shutdown()).await;
    while let Some(notice) = events.try_recv() {
        tell(&notice, options.events);
    }
    if !options.quiet {
        show_statistics(&stats);
    }
    let _ = tokio::time::timeout(END_LIMIT, stack.shutdown()).await;
    Ok(reason.status())
}

/// Prints what happens, or logs it.
fn tell(notice: &Notice, aloud: bool) {
    let text = match notice {
        Notice::Event(event) => event.to_string(),
        Notice::Missed(1) => "1 event is missing here".to_owned(),
        Notice::Missed(n) => format!("{n} events are missing here"),
    };
    if aloud {
        say_with_time(&text);
    } else {
        tracing::info!("{text}");
    }
}

/// The addresses of a stack that serves both ports. An empty list means all addresses of the host.
fn both(one: &[IpAddr], other: &[IpAddr]) -> Vec<IpAddr> {
    if one.is_empty() || other.is_empty() { Vec::new() } else { [one, other].concat() }
}

fn config(options: &Options, addrs: Vec<IpAddr>, enrp: Option<EnrpConfig>) -> RegistrarConfig {
    RegistrarConfig {
        server_id: options.identifier.map(ServerId),
        asap_port: options.asap.port.unwrap_or(port::ASAP),
        asap_addrs: addrs,
        autoclose: Some(Duration::from_secs(options.autoclosetimeout)),
        announce: options.asapannounce.asap(),
        announce_cycle: options.serverannouncecycle,
        announce_ttl: options.announcettl,
        keep_alive_interval: options.endpointkeepalivetransmissioninterval,
        keep_alive_timeout: options.endpointkeepalivetimeoutinterval,
        keep_alive_jitter: f64::from(options.endpointkeepalivejitter) / 100.0,
        loose_ownership: options.looseownership,
        distance_step: options.distancestep,
        enrp,
        max_bad_pe_reports: options.maxbadpereports,
        min_address_scope: options.minaddressscope.into(),
        max_increment: options.maxincrement as usize,
        max_resolution_items: usize::from(options.maxhresitems),
        max_resolution_rate: options.maxhrrate.0,
        max_report_rate: options.maxeurate.0,
        address_rates: options.addressrates,
        total_rates: options.totalrates,
        ..RegistrarConfig::default()
    }
}

fn show_statistics(stats: &RegistrarStats) {
    let mut rows = Vec::new();
    stats.visit(&mut |metric| {
        let value = match metric.value {
            Value::Integer(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
        };
        rows.push((metric.help.trim_end_matches('.'), value));
    });
    banner("Statistics", &rows);
}

fn show_banner(
    options: &Options,
    registrar: &Registrar,
    config: &RegistrarConfig,
    udp: Option<u16>,
) {
    let udp = udp.map_or_else(String::new, |port| format!(", UDP port {port}"));
    let place =
        |addrs: &[IpAddr], port| format!("{}, SCTP port {port}{udp}", cli::all_or_listed(addrs));
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    let group = |group: Option<SocketAddr>| {
        group.map_or_else(|| "(none)".to_owned(), |group| group.to_string())
    };
    let mut rows = vec![
        ("Server ID", format!("${:08x}", registrar.server_id().0)),
        ("ASAP address", place(&config.asap_addrs, registrar.asap_port())),
        ("ASAP announce address", group(config.announce)),
        ("Announce TTL", options.announcettl.to_string()),
        ("Announce cycle", ms(config.announce_cycle)),
        ("Auto-close timeout", format!("{} s", options.autoclosetimeout)),
        ("Minimum address scope", format!("{:?}", options.minaddressscope).to_lowercase()),
        ("Maximum bad PE reports", options.maxbadpereports.to_string()),
        ("Keep-alive interval", ms(config.keep_alive_interval)),
        ("Keep-alive timeout", ms(config.keep_alive_timeout)),
        ("Maximum resolution items", options.maxhresitems.to_string()),
        ("Distance step", ms(config.distance_step)),
    ];
    match (&config.enrp, registrar.enrp_port()) {
        (Some(enrp), Some(port)) => rows.extend([
            ("ENRP address", place(&enrp.addrs, port)),
            ("ENRP announce address", group(enrp.announce)),
            ("Peer heartbeat cycle", ms(enrp.heartbeat_cycle)),
            ("Peer max time last heard", ms(enrp.max_time_last_heard)),
            ("Peer max time no response", ms(enrp.max_time_no_response)),
            ("Mentor discovery timeout", ms(enrp.mentor_discovery_timeout)),
            ("Takeover expiry interval", ms(enrp.takeover_expiry)),
        ]),
        _ => rows.push(("ENRP address", "(none)".to_owned())),
    }
    banner(&format!("Registrar - Version {}", env!("CARGO_PKG_VERSION")), &rows);
}
