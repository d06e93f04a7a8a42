//! Measures how soon the other registrars of a scope replace one that fails, and how soon a pool
//! element that dies is out of the pools. Everything runs as processes; what needs a network runs
//! in network namespaces, as root.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use netns_tests::net::Net;
use netns_tests::pool;
use netns_tests::scope::Hosts;
use rand::RngExt;
use workspace_tests::process::{PATIENCE, Program};
use workspace_tests::scope::{Loopback, Programs, Scope, Site};

/// Measures how soon a registrar that fails is replaced, and how soon a pool element that dies is
/// out of the pools. Prints a table with median and worst of each case.
#[derive(Parser)]
#[command(name = "scope-times")]
struct Options {
    /// The directory with rspregistrar, rspserver and pingpongclient [default: that of this
    /// program].
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// How often each case is measured.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    runs: u32,
    /// Measure only cases whose names contain this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// What carries SCTP between the hosts in namespaces.
    #[arg(long, value_name = "udp|raw", default_value = "udp")]
    link: String,
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A registrar is killed. Its host answers that nobody listens.
    Killed,
    /// A registrar stands still.
    Stopped,
    /// All packets to and from a registrar are lost.
    CutOff,
    /// A pool element is killed, and nobody misses it.
    ElementKilled,
    /// A pool element is killed that serves a user, who reports it.
    ElementReported,
}

/// The times of one run, ms.
type Times = [f64; 2];

/// One row of the table.
struct Case {
    name: &'static str,
    fault: Fault,
    registrars: usize,
    profile: &'static str,
    /// What has been promised for the two times, ms.
    bounds: [Option<f64>; 2],
}

const fn case(
    name: &'static str,
    fault: Fault,
    registrars: usize,
    profile: &'static str,
    bounds: [Option<f64>; 2],
) -> Case {
    Case { name, fault, registrars, profile, bounds }
}

/// The first time is that of the takeover, the second one that of the registration of an element at
/// its new home.
const REGISTRARS: [Case; 12] = [
    case("killed, 2 registrars", Fault::Killed, 2, "default", [Some(1000.0), None]),
    case("killed, 3 registrars", Fault::Killed, 3, "default", [Some(1000.0), None]),
    case("killed, 2 registrars", Fault::Killed, 2, "realtime", [None, Some(100.0)]),
    case("killed, 3 registrars", Fault::Killed, 3, "realtime", [None, Some(100.0)]),
    case("stopped, 2 registrars", Fault::Stopped, 2, "default", [None, None]),
    case("stopped, 3 registrars", Fault::Stopped, 3, "default", [None, None]),
    case("stopped, 2 registrars", Fault::Stopped, 2, "realtime", [None, Some(800.0)]),
    case("stopped, 3 registrars", Fault::Stopped, 3, "realtime", [None, Some(800.0)]),
    case("cut off, 2 registrars", Fault::CutOff, 2, "default", [Some(6000.0), None]),
    case("cut off, 3 registrars", Fault::CutOff, 3, "default", [Some(6000.0), None]),
    case("cut off, 2 registrars", Fault::CutOff, 2, "realtime", [Some(800.0), Some(800.0)]),
    case("cut off, 3 registrars", Fault::CutOff, 3, "realtime", [Some(800.0), Some(800.0)]),
];

/// Both times are those until a registrar has removed the element: its home, and another one.
const ELEMENTS: [Case; 4] = [
    case("unnoticed", Fault::ElementKilled, 2, "default", [Some(5000.0), None]),
    case("unnoticed", Fault::ElementKilled, 2, "realtime", [Some(1000.0), None]),
    case("reported", Fault::ElementReported, 2, "default", [Some(100.0), None]),
    case("reported", Fault::ElementReported, 2, "realtime", [Some(100.0), None]),
];

fn main() -> ExitCode {
    rsp_tools::cli::main(|_| measure(&Options::parse()))
}

fn measure(options: &Options) -> ExitCode {
    let programs = match programs(options) {
        Ok(programs) => programs,
        Err(sentence) => {
            eprintln!("scope-times: {sentence}");
            return ExitCode::from(2);
        }
    };
    let head = ["registrar", "profile", "taken over", "element registered again"];
    table(head, &REGISTRARS, options, &programs);
    let head = ["killed element", "profile", "removed by its home", "removed everywhere"];
    table(head, &ELEMENTS, options, &programs);
    ExitCode::SUCCESS
}

/// Where the programs are.
///
/// # Errors
/// A sentence for the user.
fn programs(options: &Options) -> Result<Programs, String> {
    let own = || std::env::current_exe().ok()?.parent().map(PathBuf::from);
    let directory = options.programs.clone().or_else(own).unwrap_or_default();
    let missing = ["rspregistrar", "rspserver", "pingpongclient"]
        .into_iter()
        .find(|name| !directory.join(name).is_file());
    match missing {
        Some(name) => Err(format!(
            "{name} is not in {}; build the programs there (cargo build --release -p rsp-tools), \
             or name their directory with --programs=",
            directory.display()
        )),
        None => Ok(Programs::Directory(directory)),
    }
}

/// Measures all wanted cases and prints a line for each as soon as it is done.
fn table(head: [&str; 4], cases: &[Case], options: &Options, programs: &Programs) {
    let mut cases = cases.iter().filter(|case| case.name.contains(&options.only)).peekable();
    if cases.peek().is_none() {
        return;
    }
    println!(
        "| {} | {} | {} | {} |\n| --- | --- | --- | --- |",
        head[0], head[1], head[2], head[3]
    );
    for case in cases {
        let Some(times) = case.measure(options, programs) else {
            println!("| {} | {} | not measured | not measured |", case.name, case.profile);
            continue;
        };
        let [first, second] =
            [0, 1].map(|n| cell(times.iter().map(|t| t[n]).collect(), case.bounds[n]));
        println!("| {} | {} | {first} | {second} |", case.name, case.profile);
    }
    println!();
}

/// Median and worst of times in ms, and whether all of them are below the bound.
fn cell(mut times: Vec<f64>, bound: Option<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let worst = times.last().copied().unwrap_or(f64::INFINITY);
    let middle = times.len() / 2;
    let median = match times.len() % 2 {
        0 if middle > 0 => (times[middle - 1] + times[middle]) / 2.0,
        _ => times.get(middle).copied().unwrap_or(f64::INFINITY),
    };
    let verdict = bound.map_or_else(String::new, |bound| {
        let verdict = match (median < bound, worst < bound) {
            (_, true) => "all below",
            (true, false) => "median below",
            (false, false) => "NOT below",
        };
        format!(" ({verdict} {bound:.0} ms)")
    });
    format!("{median:.0} ms, worst {worst:.0} ms{verdict}")
}

impl Case {
    /// Times of all runs; `None` when the machine lacks something.
    fn measure(&self, options: &Options, programs: &Programs) -> Option<Vec<Times>> {
        let profile = format!("--profile={}", self.profile);
        if matches!(self.fault, Fault::Killed | Fault::Stopped) {
            let site = Loopback(programs.clone());
            return Some(self.runs(options, &site, &[&profile]));
        }
        let net = Net::unwatched("", &format!("scope-times {} {}", self.name, self.profile))?;
        let hosts = Hosts::with(programs.clone(), net, self.registrars, 2);
        let link = format!("--link={}", options.link);
        let more = [profile.as_str(), &link];
        let cut = || hosts.links[self.registrars - 1].silence();
        let times = (0..options.runs).map(|_| {
            let times = self.run(&hosts, &more, cut);
            hosts.links[self.registrars - 1].heal();
            times
        });
        Some(times.collect())
    }

    fn runs<S: Site>(&self, options: &Options, site: &S, more: &[&str]) -> Vec<Times> {
        (0..options.runs).map(|_| self.run(site, more, || ())).collect()
    }

    /// Starts a scope and measures once. `cut` cuts the last registrar off.
    fn run<S: Site>(&self, site: &S, more: &[&str], cut: impl Fn()) -> Times {
        let mut scope = Scope::start(site, self.registrars, more);
        match self.fault {
            Fault::Killed | Fault::Stopped | Fault::CutOff => self.registrar_fails(&mut scope, cut),
            Fault::ElementKilled | Fault::ElementReported => self.element_dies(&mut scope),
        }
    }

    /// The element knows only the registrar that fails.
    fn registrar_fails<S: Site>(&self, scope: &mut Scope<&S>, cut: impl Fn()) -> Times {
        let fails = self.registrars - 1;
        let element = scope.element(0, &[fails], &["-pingpong"]);
        self.wait_for_a_while();
        let start = Instant::now();
        let registrar = &mut scope.registrars[fails];
        match self.fault {
            Fault::Stopped => registrar.program.signal("STOP"),
            Fault::CutOff => cut(),
            _ => registrar.program.kill(),
        }
        let words = format!("took over registrar ${:08x} with", registrar.id);
        let (taken, _) = first_to_say(scope, 0..fails, &[&words]);
        let words = format!("registered ${:08x}", element.id);
        let (again, _) = first_to_say(scope, 0..fails, &[&words]);
        [taken, again].map(|at| ms(at - start))
    }

    fn element_dies<S: Site>(&self, scope: &mut Scope<&S>) -> Times {
        let mut elements = [0, 1].map(|host| scope.element(host, &[0], &["-pingpong"]));
        let mut dies = 0;
        let mut user = None;
        if self.fault == Fault::ElementReported {
            let events = ["--events", "--interval=20"];
            let mut pings = scope.user("pingpongclient", &[0], &events);
            let serving = pool::pongs_of_another(&mut pings, None, 5);
            dies = usize::from(elements[1].id == serving);
            user = Some(pings);
        }
        self.wait_for_a_while();
        let id = elements[dies].id;
        let removed = format!("removed ${id:08x}");
        let mut start = Instant::now();
        elements[dies].program.kill();
        let reported = format!("${id:08x} of pool");
        if user.is_some() {
            let (at, line) = first_to_say(scope, 0..1, &[&reported, &removed]);
            if line.contains(&removed) {
                // Its home has noticed by itself.
                let (everywhere, _) = first_to_say(scope, 1..2, &[&removed]);
                return [0.0, ms(everywhere - at)];
            }
            start = at;
        }
        [0, 1].map(|place| ms(first_to_say(scope, place..place + 1, &[&removed]).0 - start))
    }

    /// Lets some time pass, so that timers are in any state when the fault comes.
    fn wait_for_a_while(&self) {
        let most = if self.profile == "realtime" { 1000 } else { 5000 };
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(500..=500 + most)));
    }
}

/// When a registrar at one of these places said one of these words first, and the line.
///
/// # Panics
/// When none does.
fn first_to_say<S: Site>(
    scope: &mut Scope<S>,
    places: std::ops::Range<usize>,
    words: &[&str],
) -> (Instant, String) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for place in places.clone() {
            let program: &mut Program = &mut scope.registrars[place].program;
            let said = program.wait_at_most(POLL, |line| {
                let found = words.iter().any(|words| line.contains(words));
                found.then(|| (Instant::now(), line.to_owned()))
            });
            if let Some(said) = said {
                return said;
            }
        }
    }
    panic!("no registrar said {words:?}")
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long each registrar is listened to, in turn.
const POLL: Duration = Duration::from_millis(1);
