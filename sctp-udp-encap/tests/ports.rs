//! The ways to choose a port, and the errors when the port is not available.

mod common;

use common::{ip, link};
use sctp_udp_encap::{Port, UdpBindError, UdpEncapConfig, UdpEncapLink, WELL_KNOWN_PORT};

fn bind(addrs: &[&str], port: Port) -> Result<UdpEncapLink, UdpBindError> {
    UdpEncapLink::bind(&UdpEncapConfig::with_addrs(addrs.iter().map(|a| ip(a)), port))
}

#[tokio::test]
async fn any_port_is_free_for_each_link() {
    let (a, b) = (link(&["0.0.0.0", "::"]), link(&["0.0.0.0", "::"]));
    assert_ne!(a.port(), 0);
    assert_ne!(a.port(), b.port());
}

#[tokio::test]
async fn a_fixed_port_is_bound_or_refused_with_a_sentence() {
    let holder = link(&["127.0.0.1"]);
    let error = bind(&["127.0.0.1"], Port::Fixed(holder.port())).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "UDP port {} on 127.0.0.1 is in use by another process: choose another port, or 0 for \
             any free one",
            holder.port()
        )
    );
    // The same port on another address is free, but a wildcard would include the first address.
    let other = bind(&["127.0.0.2"], Port::Fixed(holder.port())).unwrap();
    assert_eq!(other.port(), holder.port());
    let error = bind(&["0.0.0.0"], Port::Fixed(holder.port())).err().unwrap();
    assert!(matches!(error, UdpBindError::PortInUse { .. }), "{error}");
    let port = holder.port();
    drop(holder);
    assert_eq!(
        bind(&["127.0.0.1"], Port::Fixed(port)).unwrap().port(),
        port,
        "free again when dropped"
    );
}

#[tokio::test]
async fn well_known_port_is_9899_or_an_error_that_says_so() {
    // Use an address that nothing else uses: another stack may be running on this host.
    let holder = bind(&["127.98.99.1"], Port::WellKnown).unwrap();
    assert_eq!(holder.port(), WELL_KNOWN_PORT);
    let error = bind(&["127.98.99.1"], Port::WellKnown).err().unwrap();
    assert_eq!(
        error.to_string(),
        "UDP port 9899 on 127.98.99.1, the well-known port for SCTP, is in use by another process, \
         and only one process on a host can have it: stop that process or choose another port"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_on_one_address_leaves_nothing_bound() {
    let holder = link(&["::1"]);
    let error = bind(&["127.0.0.1", "::1"], Port::Fixed(holder.port())).err().unwrap();
    assert!(matches!(error, UdpBindError::PortInUse { addr, .. } if addr == ip("::1")), "{error}");
    assert!(std::net::UdpSocket::bind(("127.0.0.1", holder.port())).is_ok());
}

#[tokio::test]
async fn wrong_configurations_are_explained() {
    let say = |addrs: &[&str], port| bind(addrs, port).err().unwrap().to_string();
    assert_eq!(
        say(&["127.0.0.1"], Port::Fixed(0)),
        "UDP port 0 cannot be bound: choose a port from 1 to 65535, or any free one"
    );
    assert_eq!(say(&[], Port::Any), "no address to bind: give at least one, such as 0.0.0.0 or ::");
    let not_local = say(&["192.0.2.1"], Port::Any);
    let (which, host) = not_local.split_once(", which has ").unwrap();
    assert_eq!(which, "192.0.2.1 is not an address of this host");
    assert!(host.contains("127.0.0.1"), "{host}");
    let overlap =
        "address 127.0.0.1 is listed twice, or together with the wildcard address that includes it";
    assert_eq!(say(&["127.0.0.1", "127.0.0.1"], Port::Any), overlap);
    assert_eq!(say(&["0.0.0.0", "127.0.0.1"], Port::Any), overlap);
}

#[test]
fn a_runtime_is_needed() {
    let error = bind(&["127.0.0.1"], Port::Any).err().unwrap();
    assert_eq!(error.to_string(), "a UDP link can only be made inside a tokio runtime");
}

#[test]
fn port_numbers_choose_a_policy() {
    assert_eq!(Port::from(0), Port::Any);
    assert_eq!(Port::from(9899), Port::WellKnown);
    assert_eq!(Port::from(9900), Port::Fixed(9900));
}
