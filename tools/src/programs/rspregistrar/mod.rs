//! `rspregistrar`: an RSerPool registrar.

mod options;

use std::ffi::OsString;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use rserpool_registrar::metric::Value;
use rserpool_registrar::{Notice, Registrar, RegistrarConfig, RegistrarStats};
use rserpool_wire::ServerId;
use rserpool_wire::numbers::port;
use sctp_udp_encap::Port;

use super::stack;
use crate::cli::{self, OwnEndpoint, Ready, banner, say_with_time};

use options::{Options, UNSUPPORTED};

/// Name of the program.
pub const NAME: &str = "rspregistrar";

/// How long closing the associations may take.
const END_LIMIT: Duration = Duration::from_secs(1);

/// The program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, serve(options)),
        Err(status) => status,
    }
}

async fn serve(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch_output().context("signals cannot be watched")?;
    let addrs = cli::resolve(&options.asap.hosts).await?;
    let asap_port = options.asap.port.unwrap_or(port::ASAP);
    let stack = stack::open(&options.common.link, &addrs, Port::WellKnown)?;
    let mut registrar = Registrar::start(&stack, config(&options, addrs.clone(), asap_port))?;
    let mut events = registrar.events();
    let udp = stack.local_udp_port();
    if !options.quiet {
        show_banner(&options, &registrar, &addrs, udp);
    }
    let asap_port = registrar.asap_port();
    Ready::new(NAME)
        .with("id", format!("{:#010x}", registrar.server_id().0))
        .with("asap", OwnEndpoint::of(&addrs, asap_port))
        .with("registrar", stack::reachable_at(stack.has_native(), udp, &addrs, asap_port))
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

/// Tells on standard output what happens, or else in the log.
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

fn config(options: &Options, addrs: Vec<IpAddr>, asap_port: u16) -> RegistrarConfig {
    RegistrarConfig {
        server_id: options.identifier.map(ServerId),
        asap_port,
        asap_addrs: addrs,
        autoclose: Some(Duration::from_secs(options.autoclosetimeout)),
        announce: options.asapannounce.group(),
        announce_cycle: options.serverannouncecycle,
        announce_ttl: options.announcettl,
        keep_alive_interval: options.endpointkeepalivetransmissioninterval,
        keep_alive_timeout: options.endpointkeepalivetimeoutinterval,
        max_bad_pe_reports: options.maxbadpereports,
        min_address_scope: options.minaddressscope.into(),
        max_increment: options.maxincrement as usize,
        max_resolution_items: usize::from(options.maxhresitems),
        max_resolution_rate: options.maxhrrate.0,
        max_report_rate: options.maxeurate.0,
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

fn show_banner(options: &Options, registrar: &Registrar, addrs: &[IpAddr], udp: Option<u16>) {
    let list = cli::all_or_listed(addrs);
    let udp = udp.map_or_else(String::new, |port| format!(", UDP port {port}"));
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    let group =
        options.asapannounce.group().map_or_else(|| "(none)".to_owned(), |group| group.to_string());
    banner(
        &format!("Registrar - Version {}", env!("CARGO_PKG_VERSION")),
        &[
            ("Server ID", format!("${:08x}", registrar.server_id().0)),
            ("ASAP address", format!("{list}, SCTP port {}{udp}", registrar.asap_port())),
            ("ASAP announce address", group),
            ("Announce TTL", options.announcettl.to_string()),
            ("Announce cycle", ms(options.serverannouncecycle)),
            ("Auto-close timeout", format!("{} s", options.autoclosetimeout)),
            ("Minimum address scope", format!("{:?}", options.minaddressscope).to_lowercase()),
            ("Maximum bad PE reports", options.maxbadpereports.to_string()),
            ("Keep-alive interval", ms(options.endpointkeepalivetransmissioninterval)),
            ("Keep-alive timeout", ms(options.endpointkeepalivetimeoutinterval)),
            ("Maximum resolution items", options.maxhresitems.to_string()),
        ],
    );
}
