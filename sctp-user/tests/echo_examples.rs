//! The examples `echo_server` and `echo_client` as their users run them.

use std::net::{Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A program that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cargo puts examples beside the tests.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("the test knows where it is");
    let profile = test.ancestors().nth(2).expect("tests are in a folder of the profile's folder");
    let program: PathBuf = profile.join("examples").join(name);
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "run `cargo test -p sctp-user`, which builds the examples");
    Command::new(program)
}

#[test]
fn the_echo_comes_back() {
    // Only one process of a host can have the well-known UDP port.
    if let Err(why) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 9899)) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "UDP port 9899: {why}");
        eprintln!("not tested: UDP port 9899 is not free ({why})");
        return;
    }
    let _server = Killed(example("echo_server").spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        // As long as the server does not listen, the client is refused.
        let output = example("echo_client").output().unwrap();
        if output.status.success() {
            assert_eq!(output.stdout, b"hello\n");
            return;
        }
        assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&output.stderr));
        std::thread::sleep(Duration::from_millis(50));
    }
}
