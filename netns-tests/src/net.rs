//! The bench: hosts and the links between them, with a capture of every link.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use workspace_tests::gate::{self, Need};
use workspace_tests::lint::Offered;
use workspace_tests::lint::rules::Rule;
use workspace_tests::process::{PATIENCE, Program};
use workspace_tests::tshark;

use crate::capture::{self, Capture};
use crate::foreign::Implementation;
use crate::judge::{self, Ended, Known};
use crate::link::{End, Link};
use crate::nat::Nat;
use crate::netns::{self, Namespace, ip};

/// A bench: everything that one test builds.
///
/// When it is dropped, tshark and the [lint](workspace_tests::lint) judge its captures, and any
/// fault fails the test. When the test fails, its captures and the output of its programs are kept,
/// and their directory is printed.
#[derive(Debug)]
pub struct Net {
    programs: PathBuf,
    name: String,
    dir: PathBuf,
    /// Each with the host where it is captured.
    captures: RefCell<Vec<(Capture, Host)>>,
    /// Ends of links that may not be ready yet.
    fresh: RefCell<Vec<End>>,
    started: Cell<usize>,
    /// Kept until the captures have ended: a capture ends early when the other end of its link
    /// disappears.
    hosts: RefCell<Vec<Host>>,
    /// Whether links are captured.
    watched: bool,
    reordered: Cell<bool>,
    disturbed: Cell<bool>,
    /// When the captures were last restarted.
    since: Cell<Option<SystemTime>>,
    allowed: RefCell<Vec<&'static Rule>>,
    offers: RefCell<Vec<Offered>>,
}

impl Net {
    /// Makes an empty bench. If the machine lacks something that benches need, prints a sentence
    /// about it and returns `None`. `programs` is the binary that holds the programs, in tests
    /// `env!("CARGO_BIN_EXE_netns-programs")`.
    ///
    /// # Panics
    /// When something is missing and `CI=true`; when the directory cannot be made.
    pub fn open(programs: &str) -> Option<Net> {
        let name = std::thread::current().name().unwrap_or("net").replace("::", "-");
        let ready = gate::all_or_skip(&NEEDS) && gate::or_skip(netns::possible());
        ready.then(|| Net::named(programs, &name))
    }

    /// Like [`open`](Self::open), for a test with several benches. The test must know already that
    /// nothing is missing.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn named(programs: &str, name: &str) -> Net {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let base = std::env::var_os("NETNS_TESTS_DIR")
            .map_or_else(|| std::env::temp_dir().join("netns-tests"), PathBuf::from);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = name.replace([' ', '/', ','], "-");
        let dir = base.join(format!("{}-{count}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        Net {
            programs: programs.into(),
            name,
            dir,
            captures: RefCell::default(),
            fresh: RefCell::default(),
            started: Cell::new(0),
            hosts: RefCell::default(),
            watched: true,
            reordered: Cell::new(false),
            disturbed: Cell::new(false),
            since: Cell::new(None),
            allowed: RefCell::default(),
            offers: RefCell::default(),
        }
    }

    /// Like [`open`](Self::open), for programs that measure: nothing is captured, and nothing
    /// judged.
    pub fn unwatched(programs: &str, name: &str) -> Option<Net> {
        let needs: Vec<Need> = NEEDS.into_iter().filter(|need| !WATCHERS.contains(need)).collect();
        let ready = gate::all_or_skip(&needs) && gate::or_skip(netns::possible());
        let mut net = ready.then(|| Net::named(programs, name))?;
        net.watched = false;
        Some(net)
    }

    /// The name of the bench, which is that of the test.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The binary that holds the programs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where captures and logs are while the test runs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a host.
    ///
    /// # Panics
    /// When the system refuses; so do all methods below.
    pub fn host(&self, role: &str) -> Host {
        let namespace = Namespace::new(role);
        // Keep IPv6 addresses while a link is down, as the network daemons of real hosts do.
        namespace.sysctl(&[
            "net.ipv6.conf.all.keep_addr_on_down=1",
            "net.ipv6.conf.default.accept_dad=0",
        ]);
        let host = Host(Rc::new(Inner {
            role: role.to_owned(),
            namespace,
            interfaces: Cell::new(0),
            switch: Cell::new(false),
            router: Cell::new(false),
            addrs: RefCell::default(),
            foreign: RefCell::default(),
        }));
        self.hosts.borrow_mut().push(host.clone());
        host
    }

    /// Makes a host that forwards packets between its networks.
    pub fn router(&self, role: &str) -> Host {
        let router = self.host(role);
        router.namespace().sysctl(&["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        router.0.router.set(true);
        router
    }

    /// Makes a switch. Links need no addresses at its end.
    pub fn switch(&self, role: &str) -> Host {
        let switch = self.host(role);
        switch.namespace().ip(&["link", "add", BRIDGE, "type", "bridge"]);
        switch.namespace().ip(&["link", "set", BRIDGE, "up"]);
        switch.0.switch.set(true);
        switch
    }

    /// Makes `router` a NAT: packets that leave by its interface to `outside` get its address there
    /// as their source. It translates TCP, UDP and ICMP, as NATs in homes do, and lets everything
    /// else pass unchanged.
    pub fn nat(&self, router: &Host, outside: &Link) -> Nat {
        Nat::new(router, outside.interface(router))
    }

    /// Connects two hosts by a cable. The addresses have prefix lengths and are separated by
    /// spaces.
    pub fn link(&self, left: &Host, left_addrs: &str, right: &Host, right_addrs: &str) -> Link {
        let ends = [left.end(left_addrs), right.end(right_addrs)];
        // Both ends are made inside their namespaces, so that no interface appears in the namespace
        // of the test itself.
        let (l, r) = (left.namespace().name(), right.namespace().name());
        ip(&[
            "link",
            "add",
            &ends[0].interface,
            "netns",
            l,
            "type",
            "veth",
            "peer",
            "name",
            &ends[1].interface,
            "netns",
            r,
        ]);
        self.adopt(ends)
    }

    /// Configures the interfaces of a link that exists already, and starts to capture it.
    pub(crate) fn adopt(&self, ends: [End; 2]) -> Link {
        ends.iter().for_each(End::configure);
        self.fresh.borrow_mut().extend(ends.iter().cloned());
        if !self.watched {
            return Link::new(ends);
        }
        let file = self.dir.join(format!(
            "{}-{}-{}.pcapng",
            ends[0].host.role(),
            ends[1].host.role(),
            ends[0].interface
        ));
        let capture = Capture::start(ends[0].host.namespace(), &ends[0].interface, &file);
        self.captures.borrow_mut().push((capture, ends[0].host.clone()));
        Link::new(ends)
    }

    /// Starts a program of the test binary on a host; `args` begin with its name.
    pub fn start(&self, host: &Host, args: &[&str]) -> Running {
        let mut command = self.command(host, args);
        self.start_command(host, args[0], &mut command)
    }

    /// A command that runs a program of the test binary on a host; `args` begin with its name. All
    /// captures are running when this returns, so they see everything that the program sends.
    pub fn command(&self, host: &Host, args: &[&str]) -> Command {
        self.ready();
        let mut command = host.namespace().command(&self.programs.to_string_lossy());
        command.args(args);
        command
    }

    /// Waits until all links carry packets and all captures see them.
    pub fn ready(&self) {
        self.captures.borrow_mut().iter_mut().for_each(|(capture, _)| capture.running());
        self.fresh.borrow_mut().drain(..).for_each(|end| end.wait_until_ready());
    }

    /// Starts `command`, which must run in a namespace of the bench.
    pub fn start_command(&self, host: &Host, name: &str, command: &mut Command) -> Running {
        self.ready();
        self.started.set(self.started.get() + 1);
        let log = self.dir.join(format!("{}-{}-{name}.log", self.started.get(), host.role()));
        Running { program: Program::start(name, command), log }
    }

    /// Tells the lint that captured packets may be out of order or duplicated.
    #[cfg(target_os = "linux")]
    pub(crate) fn reorders(&self) {
        self.reordered.set(true);
    }

    /// Tells the lint that the test loses or delays packets by other means than those of the bench.
    /// (It knows about those of the bench.)
    pub fn disturb(&self) {
        self.disturbed.set(true);
    }

    /// Tells the lint that the test breaks this rule on purpose.
    pub fn allow(&self, rule: &'static Rule) {
        self.allowed.borrow_mut().push(rule);
    }

    /// Says what INITs from one address and port must offer. When the captures are judged, there
    /// must be at least one INIT from there, and each must offer exactly this.
    pub fn expect_offer(&self, offer: Offered) {
        self.offers.borrow_mut().push(offer);
    }

    /// The values of these fields of tshark in the packets so far that were captured at `host` and
    /// match a display filter. Values that a packet has several of are separated by commas.
    ///
    /// # Panics
    /// When tshark does not read the capture.
    pub fn captured(&self, host: &Host, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        self.ready();
        let captures = self.captures.borrow();
        let at_host = captures.iter().filter(|(_, at)| at.is(host));
        let read = |capture: &Capture| {
            let end = Instant::now() + PATIENCE;
            loop {
                std::thread::sleep(capture::DELAY);
                match tshark::fields(capture.file(), &[tshark::EVERY_UDP_PORT], filter, fields) {
                    Ok(packets) => return packets,
                    // The end of the file may be half written.
                    Err(error) => assert!(Instant::now() < end, "tshark: {error}"),
                }
            }
        };
        at_host.flat_map(|(capture, _)| read(capture)).collect()
    }

    /// Judges the captures so far and starts new ones, so that long tests do not fill the disk.
    /// Packets in between are missed, so rules that need a whole association are judged only for
    /// associations that begin later.
    ///
    /// # Panics
    /// When the captures show a fault.
    pub fn judge_so_far(&self) {
        self.ready();
        let faults = self.faults();
        assert!(faults.is_empty(), "the captures show faults:\n{faults}");
        for (capture, host) in self.captures.borrow_mut().iter_mut() {
            capture.again(host.namespace());
        }
        self.ready();
        self.since.set(Some(SystemTime::now()));
    }

    /// Ends the captures and returns what is wrong in them.
    fn faults(&self) -> String {
        if !self.watched {
            return String::new();
        }
        let until = SystemTime::now();
        if !self.captures.borrow().is_empty() {
            std::thread::sleep(capture::DELAY);
        }
        let ended: Vec<Ended> = self
            .captures
            .borrow_mut()
            .iter_mut()
            .map(|(capture, host)| Ended { file: capture.end(), near: host.near() })
            .collect();
        let hosts = self.hosts.borrow();
        let known = Known {
            from: self.since.get(),
            until,
            reordered: self.reordered.get(),
            disturbed: self.disturbed.get()
                || hosts.iter().any(|host| host.namespace().is_disturbed()),
            mtu: hosts.iter().map(|host| host.namespace().largest_mtu()).max().unwrap_or(1500),
            foreign: hosts.iter().flat_map(|host| host.0.foreign.borrow().clone()).collect(),
            allowed: self.allowed.borrow().clone(),
            offers: self.offers.take(),
        };
        judge::faults(&self.name, &ended, &known)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if !failed {
            // A capture that is ended before it has begun leaves no file.
            self.ready();
        }
        let faults = if failed {
            std::thread::sleep(capture::DELAY);
            String::new()
        } else {
            self.faults()
        };
        self.captures.borrow_mut().iter_mut().for_each(|(capture, _)| {
            capture.end();
        });
        if failed || !faults.is_empty() || std::env::var_os("NETNS_TESTS_KEEP").is_some() {
            eprintln!("{}: captures and logs are in {}", self.name, self.dir.display());
        } else {
            // A directory that cannot be removed does no harm.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
        assert!(faults.is_empty(), "the captures show faults:\n{faults}");
    }
}

/// A host, a router or a switch: a network namespace with interfaces. Clones refer to the same
/// host.
#[derive(Clone, Debug)]
pub struct Host(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    role: String,
    namespace: Namespace,
    interfaces: Cell<usize>,
    switch: Cell<bool>,
    router: Cell<bool>,
    /// All its addresses on links.
    addrs: RefCell<BTreeSet<IpAddr>>,
    /// The addresses that other implementations on this host, or behind it, send from.
    foreign: RefCell<BTreeMap<IpAddr, Implementation>>,
}

impl Host {
    /// Its name on the bench.
    pub fn role(&self) -> &str {
        &self.0.role
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Makes `gateway` its default router.
    ///
    /// # Panics
    /// When the system refuses; so do all methods below.
    pub fn default_route(&self, gateway: &str) {
        self.route("default", gateway);
    }

    /// Adds a route to `network` through `gateway`.
    pub fn route(&self, network: &str, gateway: &str) {
        let version = if gateway.contains(':') { "-6" } else { "-4" };
        ip(&["-n", self.namespace().name(), version, "route", "add", network, "via", gateway]);
    }

    /// Drops incoming packets that match an expression of nft, such as `meta l4proto icmp`.
    pub fn refuse(&self, what: &str) {
        self.namespace().nft(&format!(
            "table inet refuse {{ chain input {{ type filter hook input priority 0; {what} drop; \
             }}; }}"
        ));
    }

    /// True when `other` is this host.
    pub fn is(&self, other: &Host) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Says that another implementation sends from these addresses. It may break the rules in the
    /// [list of exceptions](crate::foreign::EXCEPTIONS).
    pub fn foreign_at(&self, addrs: impl IntoIterator<Item = IpAddr>, of: Implementation) {
        self.0.foreign.borrow_mut().extend(addrs.into_iter().map(|addr| (addr, of)));
    }

    /// The source addresses of packets that this host sends itself, rather than forwards.
    fn near(&self) -> BTreeSet<IpAddr> {
        if self.0.router.get() || self.is_switch() {
            BTreeSet::new()
        } else {
            self.0.addrs.borrow().clone()
        }
    }

    pub(crate) fn is_switch(&self) -> bool {
        self.0.switch.get()
    }

    /// Makes a new end of a link at this host.
    pub(crate) fn end(&self, addrs: &str) -> End {
        let number = self.0.interfaces.replace(self.0.interfaces.get() + 1);
        self.0.addrs.borrow_mut().extend(addrs.split_whitespace().map(addr));
        End {
            host: self.clone(),
            interface: format!("eth{number}"),
            prefixes: addrs.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// A running program of a bench. Its output is kept when the test fails.
#[derive(Debug)]
pub struct Running {
    program: Program,
    log: PathBuf,
}

impl Running {
    /// Waits until it ends with status 0 and returns all its lines.
    ///
    /// # Panics
    /// When it does not end within `limit`, or ends with another status.
    pub fn finished(&mut self, limit: Duration) -> Vec<String> {
        let ended = self.program.ended(limit);
        assert!(ended.status.success(), "{}: {}", self.log.display(), ended.text());
        ended.lines
    }
}

impl Deref for Running {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Every log is written, because the test may still fail when the captures are judged. The
        // logs of a test that passes are removed with its directory.
        self.program.keep_log(&self.log);
    }
}

/// The address in a text like "192.0.2.1/24".
///
/// # Panics
/// When there is none.
pub fn addr(prefix: &str) -> IpAddr {
    let addr = prefix.split_once('/').map_or(prefix, |(addr, _)| addr);
    addr.parse().unwrap_or_else(|_| panic!("'{prefix}' is not an address"))
}

/// What benches need from the machine.
const NEEDS: [Need; 10] = [
    Need::Linux,
    Need::Root,
    Need::Program("ip"),
    Need::Program("tc"),
    Need::Program("nft"),
    Need::Program("sysctl"),
    Need::Program("conntrack"),
    Need::Program("setpriv"),
    WATCHERS[0],
    WATCHERS[1],
];
/// Those of them without which nothing is captured and judged.
const WATCHERS: [Need; 2] = [Need::Program("dumpcap"), Need::Program("tshark")];

pub(crate) const BRIDGE: &str = "br0";
