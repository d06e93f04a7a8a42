//! Registrars, pool elements and pool users on hosts of their own at one switch.

use workspace_tests::scope::{Programs, Role, Site};

use crate::link::Link;
use crate::net::{Host, Net, Running};

/// The hosts of a scope. Each has an address in 10.4.0.0/24.
#[derive(Debug)]
pub struct Hosts {
    /// The hosts of the registrars.
    pub registrars: Vec<Host>,
    /// Their links to the switch.
    pub links: Vec<Link>,
    /// The hosts of the pool elements.
    pub elements: Vec<Host>,
    users: Vec<Host>,
    watcher: Host,
    programs: Programs,
    /// The bench.
    pub net: Net,
}

impl Hosts {
    /// Builds so many hosts for registrars and for elements, and one for a user. They run the
    /// programs of the bench.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(net: Net, registrars: usize, elements: usize) -> Hosts {
        let programs = Programs::Binary(net.programs().to_owned());
        Hosts::with(programs, net, registrars, elements)
    }

    /// Like [`new`](Self::new), with other programs.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn with(programs: Programs, net: Net, registrars: usize, elements: usize) -> Hosts {
        let switch = net.switch("switch");
        let plug = |role: Role, name: &str| {
            let host = net.host(name);
            let link = net.link(&host, &format!("{}/24", addr(role)), &switch, "");
            (host, link)
        };
        let several = |count: usize, name: &str, role: fn(usize) -> Role| {
            let all = (0..count).map(|n| plug(role(n), &format!("{name}{}", n + 1)));
            all.unzip::<Host, Link, Vec<Host>, Vec<Link>>()
        };
        let (registrars, links) = several(registrars, "registrar", Role::Registrar);
        let (elements, _) = several(elements, "element", Role::Element);
        let (users, _) = several(1, "user", Role::User);
        let (watcher, _) = plug(Role::Watcher, "watcher");
        Hosts { registrars, links, elements, users, watcher, programs, net }
    }

    fn host(&self, role: Role) -> &Host {
        match role {
            Role::Registrar(n) => &self.registrars[n],
            Role::Element(n) => &self.elements[n],
            Role::User(n) => &self.users[n],
            Role::Watcher => &self.watcher,
        }
    }
}

impl Site for Hosts {
    type Process = Running;

    fn start(&self, role: Role, args: &[&str]) -> Running {
        let host = self.host(role);
        let (binary, rest) = self.programs.line(args);
        let mut command = host.namespace().command(&binary.to_string_lossy());
        self.net.start_command(host, args[0], command.args(rest))
    }

    fn own(&self, role: Role, port: u16) -> String {
        format!("{}:{port}", addr(role))
    }
}

/// The address of a host.
pub fn addr(role: Role) -> String {
    let number = match role {
        Role::Registrar(n) => 1 + n,
        Role::Element(n) => 101 + n,
        Role::User(n) => 201 + n,
        Role::Watcher => 250,
    };
    format!("10.4.0.{number}")
}
