//! Several registrars as processes that know each other, with pool elements and pool users. A
//! [`Site`] says where they run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::DerefMut;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, Program};

/// The host of a program in a scope; numbers begin at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host of a registrar.
    Registrar(usize),
    /// The host of a pool element.
    Element(usize),
    /// The host of a pool user.
    User(usize),
    /// The host of programs that look at what registrars know.
    Watcher,
}

/// Where the programs of a scope run.
pub trait Site {
    /// A running program. Dropping it kills it.
    type Process: DerefMut<Target = Program>;

    /// Starts a program; `args` begin with its name.
    fn start(&self, role: Role, args: &[&str]) -> Self::Process;

    /// The own address of a host, followed by a port for SCTP.
    fn own(&self, role: Role, port: u16) -> String;
}

impl<S: Site> Site for &S {
    type Process = S::Process;

    fn start(&self, role: Role, args: &[&str]) -> S::Process {
        (**self).start(role, args)
    }

    fn own(&self, role: Role, port: u16) -> String {
        (**self).own(role, port)
    }
}

/// Where the binaries are.
#[derive(Clone, Debug)]
pub enum Programs {
    /// One binary holds all programs, and its first argument names the program.
    Binary(PathBuf),
    /// Each program is a binary in this directory.
    Directory(PathBuf),
}

impl Programs {
    /// The binary, and the arguments for it, of a command that begins with the name of a program.
    pub fn line<'a>(&self, args: &'a [&'a str]) -> (PathBuf, &'a [&'a str]) {
        match self {
            Programs::Binary(binary) => (binary.clone(), args),
            Programs::Directory(directory) => (directory.join(args[0]), &args[1..]),
        }
    }
}

/// All programs on the loopback interface, on free ports.
#[derive(Debug)]
pub struct Loopback(pub Programs);

impl Site for Loopback {
    type Process = Box<Program>;

    fn start(&self, role: Role, args: &[&str]) -> Box<Program> {
        let (binary, rest) = self.0.line(args);
        let mut command = Command::new(binary);
        command.args(rest);
        if matches!(role, Role::Registrar(_)) {
            // Otherwise they would all want the well-known port.
            command.arg("--encap-port=0");
        }
        Box::new(Program::start(args[0], &mut command))
    }

    fn own(&self, _: Role, _: u16) -> String {
        "127.0.0.1:0".to_owned()
    }
}

/// Registrars that know each other. They are told by address, so nothing goes to a multicast group.
/// All methods panic when a program does not do what it should.
#[derive(Debug)]
pub struct Scope<S: Site> {
    /// The registrars, by their places.
    pub registrars: Vec<Registrar<S::Process>>,
    /// Where all programs run.
    pub site: S,
    options: Vec<String>,
    started: u32,
}

/// A registrar of a scope.
#[derive(Debug)]
pub struct Registrar<P> {
    /// The process.
    pub program: P,
    /// Its identifier.
    pub id: u32,
    /// What `-registrar=` of elements and users takes.
    pub asap: String,
    /// What `-peer=` of other registrars takes.
    pub peer: String,
}

/// A pool element that is registered.
#[derive(Debug)]
pub struct Element<P> {
    /// The process.
    pub program: P,
    /// Its identifier.
    pub id: u32,
}

impl<S: Site> Scope<S> {
    /// Starts registrars, one after the other. `options` are given to all programs of the scope.
    pub fn start(site: S, count: usize, options: &[&str]) -> Scope<S> {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut scope = Scope { registrars: Vec::new(), site, options, started: 0 };
        for place in 0..count {
            let registrar = scope.launch(place);
            scope.registrars.push(registrar);
        }
        scope
    }

    /// Replaces a registrar by a new one on the same host.
    pub fn restart(&mut self, place: usize) {
        self.registrars[place].program.kill();
        self.registrars[place] = self.launch(place);
    }

    /// Starts a registrar that is told of all others, and waits until they have found it. The first
    /// one has the identifier 1, the next one 2, and so on.
    fn launch(&mut self, place: usize) -> Registrar<S::Process> {
        self.started += 1;
        let id = self.started;
        let role = Role::Registrar(place);
        let mut args = vec![
            "rspregistrar".to_owned(),
            format!("-identifier={id}"),
            format!("-asap={}", self.site.own(role, 3863)),
            format!("-enrp={}", self.site.own(role, 9901)),
        ];
        let fixed = ["-asapannounce=off", "-enrpannounce=off", "--events", "-quiet"];
        args.extend(fixed.map(str::to_owned));
        let others = self.registrars.iter().enumerate().filter(|(other, _)| *other != place);
        args.extend(others.map(|(_, other)| format!("-peer={}", other.peer)));
        args.extend(self.options.iter().cloned());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut program = self.site.start(role, &args);
        let ready = program.ready();
        let field = |name| ready.get(name).unwrap_or_else(|| panic!("no {name}: {ready:?}"));
        let (asap, peer) = (field("registrar").to_owned(), field("peer").to_owned());
        // The port for other registrars is also told alone.
        assert_eq!(peer.split('/').next(), ready.get("enrp"));
        let others = self.registrars.iter_mut().enumerate().filter(|(other, _)| *other != place);
        for (_, other) in others {
            expect(&mut other.program, &format!("found registrar ${id:08x}"));
        }
        Registrar { program, id, asap, peer }
    }

    /// Starts a pool element that knows only the registrars at these places, and waits until it is
    /// registered.
    pub fn element(&self, host: usize, places: &[usize], more: &[&str]) -> Element<S::Process> {
        let role = Role::Element(host);
        let local = format!("-local={}", self.site.own(role, 0));
        let mut program = self.client(role, &["rspserver", &local], places, more);
        let ready = program.ready();
        let id = ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("the identifier");
        Element { program, id: u32::from_str_radix(id, 16).expect("a hexadecimal identifier") }
    }

    /// Starts a pool user; `program` is its name.
    pub fn user(&self, program: &str, places: &[usize], more: &[&str]) -> S::Process {
        self.client(Role::User(0), &[program], places, more)
    }

    fn client(&self, role: Role, args: &[&str], places: &[usize], more: &[&str]) -> S::Process {
        let registrars: Vec<String> = places
            .iter()
            .map(|place| format!("-registrar={}", self.registrars[*place].asap))
            .collect();
        let mut args = [args, &["-asapannounce=off", "-quiet"], more].concat();
        args.extend(self.options.iter().map(String::as_str));
        args.extend(registrars.iter().map(String::as_str));
        self.site.start(role, &args)
    }

    /// Waits until one of the registrars has taken over the dead one at this place, and says at
    /// which place it is. `witness` is the place of a registrar that lives.
    pub fn successor(&mut self, dead: usize, witness: usize) -> usize {
        let words = format!("took over registrar ${:08x}", self.registrars[dead].id);
        let winner = self.registrars[witness].program.wait_for("a takeover", |line| {
            let (by, _) = line.split_once(&words)?;
            Some(by.split_once("registrar ").map(|(_, id)| id.trim().to_owned()))
        });
        let Some(id) = winner else { return witness };
        let found = self.registrars.iter().position(|r| format!("${:08x}", r.id) == id);
        found.expect("one of the others")
    }

    /// What the registrar at this place knows of the scope, according to `hsdump`; `None` when it
    /// does not tell.
    pub fn view(&self, place: usize) -> Option<View> {
        let peer = self.registrars[place].peer.as_str();
        let mut args = vec!["hsdump", peer, "--json", "--timeout=5000"];
        args.extend(self.options.iter().map(String::as_str));
        let ended = self.site.start(Role::Watcher, &args).ended(PATIENCE);
        let mut view = ended.lines.iter().find_map(|line| View::from_json(line))?;
        // A registrar remembers earlier runs of hsdump for some time.
        view.registrars.retain(|id| (1..=self.started).contains(id));
        Some(view)
    }

    /// Waits until the registrars at these places know each other, and the same elements: exactly
    /// these, each with one of these registrars as its home. Returns what they know.
    pub fn agree(&self, places: &[usize], elements: &[u32]) -> View {
        let registrars: BTreeSet<u32> =
            places.iter().map(|place| self.registrars[*place].id).collect();
        let wanted: BTreeSet<u32> = elements.iter().copied().collect();
        let end = Instant::now() + PATIENCE;
        loop {
            let views: Vec<Option<View>> = places.iter().map(|place| self.view(*place)).collect();
            let right = views.iter().all(|view| {
                view.as_ref().is_some_and(|view| {
                    view.registrars == registrars
                        && view.homes.keys().copied().collect::<BTreeSet<u32>>() == wanted
                        && view.homes.values().all(|home| registrars.contains(home))
                })
            });
            let same = views.windows(2).all(|pair| pair[0] == pair[1]);
            if let (true, true, Some(Some(view))) = (right, same, views.first()) {
                return view.clone();
            }
            assert!(
                Instant::now() < end,
                "the registrars {registrars:?} do not agree on the elements {wanted:?}: {views:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What a registrar knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// All registrars that it knows, itself included.
    pub registrars: BTreeSet<u32>,
    /// The home registrar of each element.
    pub homes: BTreeMap<u32, u32>,
}

impl View {
    /// Reads what `hsdump --json` prints.
    pub fn from_json(line: &str) -> Option<View> {
        let dump: Value = serde_json::from_str(line).ok()?;
        let own = id(&dump["registrar"]["id"])?;
        let peers = dump["peers"].as_array()?.iter().filter_map(|peer| id(&peer["id"]));
        let elements =
            dump["pools"].as_array()?.iter().flat_map(|pool| pool["elements"].as_array());
        let homes = elements.flatten().filter_map(|e| Some((id(&e["id"])?, id(&e["home"])?)));
        Some(View { registrars: peers.chain([own]).collect(), homes: homes.collect() })
    }
}

/// An identifier such as "0x00000001".
fn id(value: &Value) -> Option<u32> {
    u32::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// Waits for an event.
///
/// # Panics
/// When it does not come.
pub fn expect(program: &mut Program, words: &str) {
    program.wait_for(words, |line| line.contains(words).then_some(()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_read() {
        let dump = r#"{"registrar":{"id":"0x00000001","endpoint":""},
            "peers":[{"id":"0x0000000a","endpoint":""}],
            "pools":[{"handle":"P","elements":[{"id":"0x12345678","home":"0x0000000a"}]}]}"#;
        let view = View::from_json(dump).unwrap();
        assert_eq!(view.registrars, BTreeSet::from([1, 10]));
        assert_eq!(view.homes, BTreeMap::from([(0x1234_5678, 10)]));
        assert_eq!(View::from_json("ready hsdump"), None);
    }
}
