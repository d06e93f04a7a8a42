//! The examples as their users run them: a registrar, two elements and a user. One element is
//! killed, and the other goes on counting.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use rserpool_registrar::{Registrar, RegistrarConfig};
use sctp_user::StackBuilder;

/// A program that is killed with the test.
struct Example {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Self {
        let mut child =
            Command::new(path(name)).args(args).stdout(Stdio::piped()).spawn().unwrap_or_else(
                |why| panic!("run `cargo test -p rserpool`, which builds it: {why}"),
            );
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Example { child, lines }
    }

    /// The next line that it prints. Empty when it has ended.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("programs print UTF-8");
        line.trim_end().to_owned()
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is running");
        self.child.wait().expect("it was killed");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo puts examples beside the tests.
fn path(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let profile = test.ancestors().nth(2).expect("tests are in a folder of the profile's folder");
    profile.join("examples").join(example).with_extension(std::env::consts::EXE_EXTENSION)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_element_goes_on_counting() {
    let stack =
        StackBuilder::udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap().build().unwrap();
    let config = RegistrarConfig { announce: None, ..RegistrarConfig::default() };
    let registrar = Registrar::start(&stack, config).unwrap();
    let at = format!("127.0.0.1:{}", registrar.udp_port().unwrap());
    tokio::task::spawn_blocking(move || {
        // `$1a2b3c4d is in the pool`: the user names its element by the same number.
        let mut elements: Vec<(String, Example)> = (0..2)
            .map(|_| {
                let mut element = Example::start("counter_element", &[&at]);
                let line = element.line();
                let id = line.strip_suffix(" is in the pool").expect("it registers");
                (id.to_owned(), element)
            })
            .collect();
        let mut user = Example::start("counter_user", &[&at, "10"]);
        let connected = user.line();
        for number in 1..=5 {
            assert_eq!(user.line(), format!("request {number}"));
        }
        let (_, serving) = elements
            .iter_mut()
            .find(|(id, _)| connected == format!("connected with {id}"))
            .unwrap_or_else(|| panic!("none of the elements: {connected}"));
        serving.kill();
        let rest: Vec<String> = std::iter::from_fn(|| Some(user.line()).filter(|l| !l.is_empty()))
            .filter(|line| line.starts_with("request "))
            .collect();
        // A request that the dead element had counted, but not answered, is counted twice.
        let numbers: Vec<u32> = rest.iter().map(|l| l[8..].parse().unwrap()).collect();
        assert_eq!(numbers.len(), 5, "{numbers:?}");
        assert!(numbers[0] == 6 || numbers[0] == 7, "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        assert!(user.child.wait().unwrap().success());
    })
    .await
    .unwrap();
    registrar.shutdown().await;
    stack.shutdown().await;
}
