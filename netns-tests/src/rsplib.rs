//! RSPLIB's programs in the peer VM, and ours beside them. The output of both is read by the same
//! functions.

use std::cell::Cell;
use std::time::Duration;

use rsp_tools::programs::pingpongclient::ClientEvent;
use workspace_tests::gate;
use workspace_tests::process::Program;
use workspace_tests::scope::View;

use crate::failover::Carrier;
use crate::link::Link;
use crate::net::{Host, Net, Running};
use crate::vm::health::Health;
use crate::vm::{Guest, Vm};

/// One network with the machine and three hosts: one for our registrar, one for our pool elements
/// and one for our pool users. Separate hosts let each of them use the well-known UDP port.
#[derive(Debug)]
pub struct Meeting {
    /// The machine with RSPLIB; host 2 of the network.
    pub vm: Vm,
    /// The host of our registrar; host 1.
    pub registrar: Host,
    /// The host of our pool elements; host 3.
    pub element: Host,
    /// The host of our pool users; host 4.
    pub user: Host,
    /// The links of these hosts to the machine's network, in this order.
    pub links: [Link; 3],
    /// How many registrars of RSPLIB have been started.
    registrars: Cell<u16>,
    /// The bench.
    pub net: Net,
}

/// A running RSPLIB registrar.
#[derive(Debug)]
pub struct TheirRegistrar {
    /// The endpoint where it serves ASAP.
    pub asap: String,
    /// The endpoint where it serves ENRP.
    pub enrp: String,
    program: Guest,
}

/// A Pong that our client or RSPLIB's has reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The pool element that answered.
    pub element: u32,
    /// The number of replies so far, which the cookie carries from server to server.
    pub reply: u64,
}

impl TheirRegistrar {
    /// Kills it.
    ///
    /// # Panics
    /// When the machine is gone.
    pub fn kill(mut self) {
        self.program.kill();
    }
}

impl Health for Meeting {
    fn complaint(&self) -> Option<String> {
        self.vm.complaint()
    }

    fn trouble(&self) -> Option<String> {
        self.vm.trouble().or_else(|| self.vm.trouble_of_nic(0, "10.1.0.1"))
    }

    fn revive(&self) {
        self.vm.revive();
    }
}

impl Meeting {
    /// Builds the network, or says what is missing and returns `None`.
    ///
    /// # Panics
    /// As [`Vm::net`] and [`Vm::boot`].
    pub fn open(programs: &str) -> Option<Meeting> {
        let net = Vm::net(programs)?;
        let vm = Vm::boot(&net);
        vm.address(0, "10.1.0.2/24 fd01::2/64");
        vm.setup("ip route add 224.0.0.0/4 dev eth0");
        let [(registrar, at_registrar), (element, at_element), (user, at_user)] =
            [("registrar", 1), ("element", 3), ("user", 4)]
                .map(|(role, number)| plug(&net, &vm, role, number));
        let links = [at_registrar, at_element, at_user];
        Some(Meeting { vm, registrar, element, user, links, registrars: Cell::new(0), net })
    }

    /// Makes another host of the network, with this last part of its addresses.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn host(&self, role: &str, number: u8) -> Host {
        plug(&self.net, &self.vm, role, number).0
    }

    /// From now on, the machine's kernel carries SCTP in this way.
    ///
    /// # Panics
    /// When the machine refuses; so do all methods below.
    pub fn carry(&self, carrier: Carrier) {
        let port = if carrier == Carrier::Udp { 9899 } else { 0 };
        self.vm.run(&format!("sysctl -qw net.sctp.udp_port={port} net.sctp.encap_port={port}"));
    }

    /// Starts a program of ours; `args` begin with its name.
    pub fn ours(&self, host: &Host, carrier: Carrier, args: &[&str]) -> Running {
        self.net.start(host, &[args, link(carrier), &["--quiet"]].concat())
    }

    /// Starts our registrar, which announces itself. It sends keep-alives to elements every 500 ms
    /// and gives them 3 s to answer.
    pub fn our_registrar(&self, carrier: Carrier) -> Running {
        let args = [
            "rspregistrar",
            "--asap=10.1.0.1:3863,fd01::1",
            "--enrp=off",
            "--events",
            "--serverannouncecycle=500",
            "--endpointkeepalivetransmissioninterval=500",
            "--endpointkeepalivetimeoutinterval=3000",
        ];
        let mut registrar = self.ours(&self.registrar, carrier, &args);
        registrar.ready();
        registrar
    }

    /// Starts RSPLIB's registrar with the same timing and waits until elements can register. Each
    /// registrar gets new ports: the old ports stay in use while Linux tries to shut down the
    /// associations of a dead registrar, whose peers may be dead, too.
    pub fn their_registrar(&self) -> TheirRegistrar {
        self.their_registrar_with("-enrpannounce=off")
    }

    /// Like [`their_registrar`](Self::their_registrar), with these options. Other registrars find
    /// it in their group.
    pub fn their_registrar_with(&self, more: &str) -> TheirRegistrar {
        let number = self.registrars.replace(self.registrars.get() + 1);
        let [asap, enrp] = [3863, 9901].map(|port| format!("10.1.0.2:{}", port + 10 * number));
        let script = format!(
            "exec rspregistrar -asap={asap} -enrp={enrp} -serverannouncecycle=500 \
             -mentordiscoverytimeout=1000 -endpointkeepalivetransmissioninterval=500 \
             -endpointkeepalivetimeoutinterval=3000 {more} {LOG}"
        );
        let mut program = self.vm.start("rspregistrar", &script);
        program.wait_for("its banner", |line| line.contains("ASAP Address").then_some(()));
        TheirRegistrar { asap, enrp, program }
    }

    /// Starts a pool element of ours (`-echo`, `-pingpong`), waits until it is registered, and
    /// returns its identifier.
    pub fn our_element(&self, carrier: Carrier, service: &str, registrar: &str) -> (u32, Running) {
        let place = Place::of(registrar);
        let args = ["rspserver", service, "--local=10.1.0.3:0,fd01::3"];
        let mut element =
            self.ours(&self.element, carrier, &[&args, place.ours().as_slice()].concat());
        let ready = element.ready();
        (
            hex(ready.get("id").and_then(|id| id.strip_prefix("0x")).expect("its identifier")),
            element,
        )
    }

    /// Starts an RSPLIB pool element, waits until it is registered, and returns its identifier.
    pub fn their_element(&self, service: &str, registrar: &str) -> (u32, Guest) {
        let script = format!("exec rspserver {service} {} {LOG}", Place::of(registrar).theirs());
        let mut element = self.vm.start("rspserver", &script);
        let id = element.wait_at_most(LIMIT, |line| {
            let (label, id) = line.split_once('=')?;
            (label.trim() == "Identifier").then(|| hex(id.trim().trim_start_matches('$')))
        });
        let Some(id) = id else { panic!("no registration:\n{}", element.said().join("\n")) };
        (id, element)
    }

    /// Starts our ping-pong client.
    pub fn our_client(&self, carrier: Carrier, registrar: &str) -> Running {
        let place = Place::of(registrar);
        // The machine is slow to answer. When a server in it dies, its kernel sends an ABORT.
        let patience = "--replytimeout=10000";
        let args =
            ["pingpongclient", "--events", "--local=10.1.0.4,fd01::4", "--interval=100", patience];
        self.ours(&self.user, carrier, &[&args, place.ours().as_slice()].concat())
    }

    /// Starts our terminal.
    pub fn our_terminal(&self, carrier: Carrier, registrar: &str) -> Running {
        let place = Place::of(registrar);
        let args = ["rspterminal", "--local=10.1.0.4,fd01::4"];
        let mut terminal =
            self.ours(&self.user, carrier, &[&args, place.ours().as_slice()].concat());
        terminal.ready();
        terminal
    }

    /// Starts RSPLIB's terminal.
    pub fn their_terminal(&self, registrar: &str) -> Guest {
        self.vm.start(
            "rspterminal",
            &format!("exec rspterminal {} {LOG}", Place::of(registrar).theirs()),
        )
    }

    /// Starts RSPLIB's ping-pong client.
    pub fn their_client(&self, registrar: &str) -> Guest {
        let script = format!(
            "exec pingpongclient -interval=100 -registrar={registrar} -asapannounce=off {LOG}"
        );
        self.vm.start("pingpongclient", &script)
    }

    /// Watches messages at a host with tshark, which prints a line with the source address of each
    /// that matches a display filter.
    pub fn watch(&self, host: &Host, filter: &str) -> Program {
        let tshark = gate::find("tshark").unwrap_or_else(|| "tshark".into());
        let mut command = host.namespace().command(&tshark.to_string_lossy());
        command.args(["-l", "-n", "-i", "eth0", "-f", "sctp or udp port 9899"]);
        command.args(["-Y", filter]);
        command.args(["-T", "fields", "-E", "separator=/s", "-e", "ip.src", "-e", "ipv6.src"]);
        let mut watch = Program::start("tshark", &mut command);
        watch.wait_for_complaint("that it captures", |line| {
            line.contains("Capturing on").then_some(())
        });
        watch
    }

    /// Whether RSPLIB's registrar has the element, according to RSPLIB's `hsdump`.
    pub fn they_list(&self, registrar: &TheirRegistrar, element: u32) -> bool {
        let dump = format!("timeout -s INT 20 hsdump {} -logcolor=off -loglevel=1", registrar.enrp);
        self.vm.run(&dump).contains(&format!("${element:08x}"))
    }

    /// What a registrar tells our `hsdump`; `enrp` is where it serves ENRP. `None` when it does not
    /// tell its pools.
    pub fn view(&self, carrier: Carrier, enrp: &str) -> Option<View> {
        let args = ["hsdump", enrp, "--json"];
        let mut dump = self.net.start(&self.user, &[&args, link(carrier)].concat());
        dump.ended(LIMIT).lines.iter().find_map(|line| View::from_json(line))
    }
}

/// Makes a host and its link to the machine's network.
fn plug(net: &Net, vm: &Vm, role: &str, number: u8) -> (Host, Link) {
    let host = net.host(role);
    let addrs = format!("10.1.0.{number}/24 fd01::{number}/64");
    let link = net.link(&host, &addrs, vm.switch(0), "");
    host.namespace().ip(&["route", "add", "224.0.0.0/4", "dev", link.interface(&host)]);
    (host, link)
}

/// The options of our programs for this carrier.
fn link(carrier: Carrier) -> &'static [&'static str] {
    match carrier {
        Carrier::Raw => &["--link=raw"],
        Carrier::Udp => &["--link=udp", "--encap-port=9899"],
    }
}

/// How a program finds its registrar.
#[derive(Debug)]
struct Place(Option<String>);

impl Place {
    /// `registrar` is an endpoint, or [`ANNOUNCED`].
    fn of(registrar: &str) -> Place {
        Place((registrar != ANNOUNCED).then(|| format!("-registrar={registrar}")))
    }

    fn ours(&self) -> Vec<&str> {
        self.0.iter().flat_map(|registrar| [registrar, "-asapannounce=off"]).collect()
    }

    fn theirs(&self) -> String {
        self.ours().join(" ")
    }
}

/// Stands for the endpoint of a registrar that is found by its announces.
pub const ANNOUNCED: &str = "announced";

/// Waits for `count` Pongs from the element and returns the first and the last one.
///
/// # Panics
/// When they do not come within a minute, or when the number of replies skips or repeats a value.
pub fn pongs(client: &mut Program, element: u32, count: usize) -> (Pong, Pong) {
    let mut got: Vec<Pong> = Vec::new();
    let enough = client.wait_at_most(LIMIT, |line| {
        got.extend(pong(line).filter(|pong| pong.element == element));
        (got.len() >= count).then_some(())
    });
    assert!(
        enough.is_some(),
        "{} Pongs of ${element:08x}; the client said\n{}",
        got.len(),
        client.said().join("\n")
    );
    for pair in got.windows(2) {
        assert_eq!(
            pair[1].reply,
            pair[0].reply + 1,
            "replies of one server are numbered one by one: {got:?}"
        );
    }
    (got[0], got[got.len() - 1])
}

/// The last Pong before the element's first one in the output of a client.
pub fn pong_before(said: &[String], element: u32) -> Option<Pong> {
    said.iter().filter_map(|line| pong(line)).take_while(|pong| pong.element != element).last()
}

/// Reads a line of either client about a Pong: an event from ours, or
/// `Ack #3 from PE $3d53c598 (reply #3)` from RSPLIB's.
fn pong(line: &str) -> Option<Pong> {
    if let Some(event) = ClientEvent::from_json(line) {
        return match event {
            ClientEvent::Pong { reply, pe, .. } => Some(Pong { element: pe, reply }),
            _ => None,
        };
    }
    let (_, rest) = line.split_once("Ack #")?;
    let (_, rest) = rest.split_once("from PE $")?;
    let (element, rest) = rest.split_once(" (reply #")?;
    let (reply, _) = rest.split_once(')')?;
    Some(Pong { element: u32::from_str_radix(element, 16).ok()?, reply: reply.parse().ok()? })
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap_or_else(|_| panic!("'{text}' is not an identifier"))
}

/// Long enough for anything that an emulated machine does, and for SCTP to notice a dead peer.
pub const LIMIT: Duration = Duration::from_secs(60);

const LOG: &str = "-logcolor=off -loglevel=4";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_of_both_clients_are_read() {
        let theirs =
            "\u{1b}[34m20-Nov-2026 07:16:16.7246: Ack #9 from PE $3d53c598 (reply #12)\u{1b}[0m";
        assert_eq!(pong(theirs), Some(Pong { element: 0x3d53_c598, reply: 12 }));
        let ours = ClientEvent::Pong { number: 1, reply: 2, pe: 3, rtt_us: 4 }.to_json();
        assert_eq!(pong(&ours), Some(Pong { element: 3, reply: 2 }));
        assert_eq!(pong("Message #1 sent"), None);
    }
}
