//! `rspserver`: a pool element with a demonstration service.

mod echo;
mod options;
mod pingpong;

use std::cell::RefCell;
use std::ffi::OsString;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rserpool::{ElementEvent, ElementOptions, ElementSession, PoolElement, UserEvent};
use rserpool_wire::{PeId, PoolHandle};
use sctp_udp_encap::Port;
use sctp_user::BindOptions;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::asap::{self, Search};
use super::stack;
use crate::cli::{self, OwnEndpoint, Ready, banner, say_with_time};

pub(crate) use options::pool_handle;
use options::{Options, UNSUPPORTED};

/// Name of the program.
pub const NAME: &str = "rspserver";

/// How long leaving the pool, and then closing sessions, may take.
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
    let service = Service::of(&options);
    let addrs = cli::resolve(&options.local.hosts).await?;
    let stack = stack::open(&options.common.link, &addrs, Port::Any)?;
    let (element, search) = register(&options, &service, &stack, &addrs).await?;
    let search = RefCell::new(search);
    if !options.quiet {
        show_banner(&options, &service, &element, &addrs);
    }
    let runtime = async {
        match options.runtime {
            Duration::ZERO => std::future::pending().await,
            limit => tokio::time::sleep(limit).await,
        }
    };
    let mut runtime = std::pin::pin!(runtime);
    let mut news = std::pin::pin!(tell_events(&element, &search));
    tokio::select! {
        biased;
        reason = end.wait() => return Ok(reason.status()),
        () = &mut runtime => return Ok(ExitCode::SUCCESS),
        result = &mut news => return result.map(|()| ExitCode::SUCCESS),
        result = first_registration(&options, &element, &search) => result?,
    }
    Ready::new(NAME)
        .with("id", format!("{:#010x}", element.id().0))
        .with("pool", element.pool())
        .with("local", OwnEndpoint::of(&addrs, element.port()))
        .with("sctp", element.port())
        .with_known("udp", stack.local_udp_port())
        .print();

    let outcome = tokio::select! {
        biased;
        reason = end.wait() => Ok(reason.status()),
        () = runtime => Ok(ExitCode::SUCCESS),
        result = accept_sessions(&element, &service) => result.map(|()| ExitCode::SUCCESS),
        result = news => result.map(|()| ExitCode::SUCCESS),
    };
    // This may fail: the registrar notices the end of the association in any case.
    let _ = tokio::time::timeout(END_LIMIT, element.deregister()).await;
    let _ = tokio::time::timeout(END_LIMIT, stack.shutdown()).await;
    outcome
}

async fn register(
    options: &Options,
    service: &Service,
    stack: &sctp_user::Stack,
    addrs: &[IpAddr],
) -> anyhow::Result<(PoolElement, Search)> {
    let pool = match &options.poolhandle {
        Some(pool) => pool.clone(),
        None => PoolHandle::new(service.default_pool())
            .context("the default pool handle does not fit")?,
    };
    if options.announce_udp_port.is_some() && stack.local_udp_port().is_none() {
        bail!("--announce-udp-port= is for SCTP over UDP: --link=udp or --link=both");
    }
    let port = options.local.port.unwrap_or(0);
    let profile = options.common.link.profile;
    let mut element = ElementOptions {
        id: options.identifier.map(PeId),
        policy: options.policy.clone(),
        bind: BindOptions { port, addrs: addrs.to_vec(), ..BindOptions::default() },
        announced_udp_port: options.announce_udp_port,
        reregistration_interval: options.rereginterval,
        asap: asap::config(stack, &options.registrars, profile, addrs.to_vec()).await?,
        ..ElementOptions::new(pool)
    };
    let asap = element.asap.clone();
    Ok(asap::start(asap, &options.registrars, &options.common.link, |asap| {
        element.asap = asap;
        PoolElement::register(stack, element.clone())
    })?)
}

/// Waits for the first registration, for as long as the options say. Later ones are tried without
/// end.
async fn first_registration(
    options: &Options,
    element: &PoolElement,
    search: &RefCell<Search>,
) -> anyhow::Result<()> {
    let Some(limit) = options.registrars.search_limit() else {
        return Ok(element.registered().await?);
    };
    match tokio::time::timeout(limit, element.registered()).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(anyhow!("{}", search.borrow().given_up())),
    }
}

async fn accept_sessions(element: &PoolElement, service: &Service) -> anyhow::Result<()> {
    let seats = Arc::new(Semaphore::new(service.max_sessions()));
    let mut number = 0u64;
    loop {
        let session = element.accept().await?;
        number += 1;
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            tracing::info!(number, "a session is refused: all are taken");
            session.abort("fully loaded");
            continue;
        };
        set_load(element, service, &seats);
        let (service, seats, element) = (service.clone(), Arc::clone(&seats), element.clone());
        tokio::spawn(async move {
            tracing::info!(number, "session begins");
            match service.serve(session).await {
                Ok(()) => tracing::info!(number, "session ends"),
                Err(error) => tracing::info!(number, "session ends: {error}"),
            }
            drop(seat);
            set_load(&element, &service, &seats);
        });
    }
}

fn set_load(element: &PoolElement, service: &Service, seats: &Semaphore) {
    let max = service.max_sessions();
    if max < Semaphore::MAX_PERMITS {
        element.set_load((max - seats.available_permits()) as f64 / max as f64);
    }
}

/// Tells what happens between the element and its registrars, without end.
async fn tell_events(element: &PoolElement, search: &RefCell<Search>) -> anyhow::Result<()> {
    // The ready line tells the first registration.
    let mut first = true;
    loop {
        let event = tokio::select! {
            biased;
            () = search.borrow().silence_over() => {
                say_with_time(&search.borrow_mut().words());
                continue;
            }
            event = element.next_event() => event?,
        };
        let of_search = match event {
            ElementEvent::Hunting => UserEvent::Hunting,
            ElementEvent::RegistrarFound { registrar, port } => {
                UserEvent::RegistrarFound { registrar, port }
            }
            ElementEvent::RegistrarUnreachable { registrar, failure } => {
                UserEvent::RegistrarUnreachable { registrar, failure }
            }
            ElementEvent::RegistrarLost(reason) => UserEvent::RegistrarLost(reason),
            ElementEvent::Registered if std::mem::take(&mut first) => continue,
            event => {
                say_with_time(&event.to_string());
                continue;
            }
        };
        if let Some(words) = search.borrow_mut().event(Instant::now(), &of_search) {
            say_with_time(&words);
        }
    }
}

fn show_banner(options: &Options, service: &Service, element: &PoolElement, addrs: &[IpAddr]) {
    let local = cli::all_or_listed(addrs);
    banner(
        &format!("{} Server - Version {}", service.title(), env!("CARGO_PKG_VERSION")),
        &[
            ("Pool handle", element.pool().to_string()),
            ("Identifier", format!("${:08x}", element.id().0)),
            ("Policy", options.policy.name().to_owned()),
            ("Re-registration interval", format!("{} s", options.rereginterval.as_secs_f64())),
            ("Local addresses", local),
            ("SCTP port", element.port().to_string()),
        ],
    );
}

/// What a server does with its sessions.
#[derive(Clone, Debug)]
enum Service {
    Echo,
    PingPong(pingpong::Settings),
}

impl Service {
    fn of(options: &Options) -> Service {
        if !options.pingpong {
            return Service::Echo;
        }
        Service::PingPong(pingpong::Settings {
            max_sessions: options.pppmaxthreads as usize,
            failure_after: options.pppfailureafter,
            reply_delay: options.pppreplydelay,
        })
    }

    fn title(&self) -> &'static str {
        match self {
            Service::Echo => "Echo",
            Service::PingPong(_) => "Ping Pong",
        }
    }

    fn default_pool(&self) -> &'static str {
        match self {
            Service::Echo => "EchoPool",
            Service::PingPong(_) => "PingPongPool",
        }
    }

    fn max_sessions(&self) -> usize {
        match self {
            Service::Echo => Semaphore::MAX_PERMITS,
            Service::PingPong(settings) => settings.max_sessions,
        }
    }

    async fn serve(&self, session: ElementSession) -> Result<(), rserpool::Error> {
        match self {
            Service::Echo => echo::serve(session).await,
            Service::PingPong(settings) => pingpong::serve(session, settings).await,
        }
    }
}
