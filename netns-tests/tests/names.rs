//! Registrars that are known by name, with the resolver of the system.

use std::fs;
use std::path::PathBuf;

use netns_tests::net::Net;
use netns_tests::pool;

/// Where `ip netns exec` finds the file that it mounts at /etc/hosts. Removed at the end.
struct Hosts(PathBuf);

impl Hosts {
    fn of(namespace: &str) -> Hosts {
        let folder = PathBuf::from("/etc/netns").join(namespace);
        fs::create_dir_all(&folder).expect("a folder in /etc/netns");
        Hosts(folder)
    }

    /// The name stands for this address from now on. The mounted file stays the same one.
    fn set(&self, addr: &str) {
        fs::write(self.0.join("hosts"), format!("{addr} registrar.example\n")).expect("a file");
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A registrar dies, another one begins at another address, and the name then means that one. The
/// pool element and the pool user know nothing but the name.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_registrar_that_moves_is_found_by_its_name() {
    let Some(net) = Net::open(env!("CARGO_BIN_EXE_netns-programs")) else { return };
    let (registrars, others) = (net.host("registrars"), net.host("others"));
    net.link(&registrars, "10.3.0.1/24 10.3.0.2/24", &others, "10.3.0.9/24");
    let hosts = Hosts::of(others.namespace().name());
    hosts.set("10.3.0.1");
    let registrar = |addr: &str| {
        let asap = format!("-asap={addr}:3863");
        let mut registrar = net.start(
            &registrars,
            &["rspregistrar", &asap, "--events", "-asapannounce=off", "-enrp=off", "-quiet"],
        );
        registrar.ready();
        registrar
    };
    let mut first = registrar("10.3.0.1");
    let common = ["-asapannounce=off", "-registrar=registrar.example:3863"];
    let args = [&["-pingpong"][..], &common].concat();
    let (id, _server) = pool::server(&net, &others, &args);
    first.kill();
    hosts.set("10.3.0.2");
    let mut second = registrar("10.3.0.2");
    second.wait_for("the element at the new address", |line| {
        line.contains("registered").then_some(())
    });
    let args = [&["pingpongclient", "--events", "--interval=20", "--quiet"][..], &common].concat();
    let mut client = net.start(&others, &args);
    assert_eq!(pool::pongs_of_another(&mut client, None, 5), id);
    pool::finish(client);
}
