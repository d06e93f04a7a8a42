//! The command line that all ends have in common: `KEY=VALUE ... STEP ...`. `peers/peer.h` has the
//! same in C.
//!
//! - `listen`, `accept`, `connect` print `ready` and `up`.
//! - `send:FLOW` sends messages, `&send:FLOW` does so in the background, and `join` waits for the
//!   latter. Prints `sent n=N ms=T`.
//! - `expect:FLOW` reads these messages and nothing else, prints `at n=N` now and then and
//!   `got n=N bytes=B` at the end.
//! - `sleep:MS` reads nothing for a while.
//! - `shutdown` prints `closing` and shuts down; `ended` waits until the other end has done so.
//!   Both print `graceful` when the association is gone.
//! - `abort` aborts; `aborted` waits until the other end has done so. Both print `aborted`.
//! - `restarted` waits until the other end has restarted the association.
//! - `lost` sends a short message now and then until the association is lost.
//! - `hold` prints `holding` and waits to be killed.
//!
//! An end prints `done` after its last step. When something is wrong, it prints `wrong: REASON` and
//! ends with status 1.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::open::Failure;

/// Prints the last line of an end and returns its exit status.
pub(super) fn say_end(ended: Result<(), Failure>) -> ExitCode {
    match ended {
        Ok(()) => {
            println!("done");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("wrong: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The settings of an end: the `KEY=VALUE` arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `link=raw` or `link=udp`.
    pub raw: bool,
    /// `udp`: own UDP port.
    pub udp: u16,
    /// `peer-udp`: UDP port of the other end.
    pub peer_udp: u16,
    /// `port`: own SCTP port.
    pub port: u16,
    /// `peer-port`: SCTP port of the other end.
    pub peer_port: u16,
    /// `own`: own addresses.
    pub own: Vec<IpAddr>,
    /// `peer`: addresses of the other end.
    pub peer: Vec<IpAddr>,
    /// `streams`: outbound streams.
    pub streams: u16,
    /// `window`: size of the receive buffer and of the send buffer, bytes. By default they are
    /// large.
    pub window: Option<usize>,
    /// `fast=1`: RTO from 300 ms to 1 s, heartbeats twice a second, and a path is given up after
    /// its second timeout.
    pub fast: bool,
    /// `extensions=on` or `extensions=off` switches all extensions of the peer on or off;
    /// `extensions=NAME` switches only this one on. By default they stay as the peer has them.
    pub extensions: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            raw: false,
            udp: 9899,
            peer_udp: 9899,
            port: 5000,
            peer_port: 5000,
            own: Vec::new(),
            peer: Vec::new(),
            streams: 10,
            window: None,
            fast: false,
            extensions: None,
        }
    }
}

impl Setup {
    /// Splits a command line into settings and steps.
    ///
    /// # Errors
    /// When a word is unknown.
    pub fn parse(args: &[String]) -> Result<(Setup, Vec<Step>), Failure> {
        let mut setup = Setup::default();
        let mut args = args.iter().peekable();
        while let Some((key, value)) = args
            .next_if(|arg| {
                arg.split([':', '=']).next().is_some_and(|w| arg[w.len()..].starts_with('='))
            })
            .and_then(|arg| arg.split_once('='))
        {
            let addrs = || {
                value
                    .split(',')
                    .filter(|a| !a.is_empty())
                    .map(str::parse)
                    .collect::<Result<Vec<IpAddr>, _>>()
            };
            match key {
                "link" => setup.raw = value == "raw",
                "udp" => setup.udp = value.parse()?,
                "peer-udp" => setup.peer_udp = value.parse()?,
                "port" => setup.port = value.parse()?,
                "peer-port" => setup.peer_port = value.parse()?,
                "own" => setup.own = addrs()?,
                "peer" => setup.peer = addrs()?,
                "streams" => setup.streams = value.parse()?,
                "window" => setup.window = Some(value.parse()?),
                "fast" => setup.fast = value == "1",
                "extensions" => setup.extensions = Some(value.to_owned()),
                _ => return Err(format!("an end has no setting '{key}'").into()),
            }
        }
        Ok((setup, args.map(|arg| Step::parse(arg)).collect::<Result<_, _>>()?))
    }

    /// These settings as arguments.
    pub fn args(&self) -> Vec<String> {
        let addrs =
            |addrs: &[IpAddr]| addrs.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
        let mut args = vec![
            format!("link={}", if self.raw { "raw" } else { "udp" }),
            format!("udp={}", self.udp),
            format!("peer-udp={}", self.peer_udp),
            format!("port={}", self.port),
            format!("peer-port={}", self.peer_port),
            format!("own={}", addrs(&self.own)),
            format!("peer={}", addrs(&self.peer)),
            format!("streams={}", self.streams),
            format!("fast={}", u8::from(self.fast)),
        ];
        args.extend(self.window.map(|window| format!("window={window}")));
        args.extend(self.extensions.iter().map(|which| format!("extensions={which}")));
        args
    }
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `listen`
    Listen,
    /// `accept`
    Accept,
    /// `connect`
    Connect,
    /// `send:FLOW`; true for `&send:FLOW`.
    Send(Flow, bool),
    /// `join`
    Join,
    /// `expect:FLOW`
    Expect(Flow),
    /// `sleep:MS`
    Sleep(Duration),
    /// `shutdown`
    Shutdown,
    /// `ended`
    Ended,
    /// `abort`
    Abort,
    /// `aborted`
    Aborted,
    /// `restarted`
    Restarted,
    /// `lost`
    Lost,
    /// `hold`
    Hold,
}

impl Step {
    fn parse(word: &str) -> Result<Step, Failure> {
        let (name, options) = word.split_once(':').unwrap_or((word, ""));
        Ok(match name {
            "listen" => Step::Listen,
            "accept" => Step::Accept,
            "connect" => Step::Connect,
            "send" => Step::Send(Flow::parse(options)?, false),
            "&send" => Step::Send(Flow::parse(options)?, true),
            "join" => Step::Join,
            "expect" => Step::Expect(Flow::parse(options)?),
            "sleep" => Step::Sleep(Duration::from_millis(options.parse()?)),
            "shutdown" => Step::Shutdown,
            "ended" => Step::Ended,
            "abort" => Step::Abort,
            "aborted" => Step::Aborted,
            "restarted" => Step::Restarted,
            "lost" => Step::Lost,
            "hold" => Step::Hold,
            _ => return Err(format!("there is no step '{word}'").into()),
        })
    }
}

/// Messages in one direction, such as `n=3:size=1+2:streams=4`. Message k goes to stream k modulo
/// the number of streams and has the k-th size; after the last size the first one follows again.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// How many messages.
    pub n: u64,
    /// Their sizes, bytes.
    pub size: Vec<usize>,
    /// How many streams are used.
    pub streams: u16,
    /// Whether they are sent and delivered without order.
    pub unordered: bool,
    /// Payload protocol identifier of the first message; each further message has the next one. 0
    /// means that all have 53, binary data in WebRTC, which is the only one that every peer knows.
    pub ppid: u32,
    /// Time from one message to the next, when sending and when reading.
    pub pause: Duration,
    /// If given, messages are sent for this time and `n` does not count. The last message has 4
    /// bytes, which hold the number of messages.
    pub seconds: Option<Duration>,
}

impl Flow {
    fn parse(text: &str) -> Result<Flow, Failure> {
        let mut flow = Flow {
            n: 0,
            size: vec![1000],
            streams: 1,
            unordered: false,
            ppid: 0,
            pause: Duration::ZERO,
            seconds: None,
        };
        for word in text.split(':').filter(|word| !word.is_empty()) {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("'{word}' has no value"))?;
            match key {
                "n" => flow.n = value.parse()?,
                "size" => flow.size = value.split('+').map(str::parse).collect::<Result<_, _>>()?,
                "streams" => flow.streams = value.parse()?,
                "unordered" => flow.unordered = value == "1",
                "ppid" => flow.ppid = value.parse()?,
                "pause" => flow.pause = Duration::from_secs_f64(value.parse::<f64>()? / 1e3),
                "seconds" => flow.seconds = Some(Duration::from_secs_f64(value.parse()?)),
                _ => return Err(format!("a flow has no setting '{key}'").into()),
            }
        }
        if flow.size.is_empty() || flow.streams == 0 {
            return Err(format!("'{text}' has no sizes or no streams").into());
        }
        Ok(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_lines_are_read() {
        let args = words(
            "link=raw own=fd01::1,10.0.0.1 window=7 extensions=auth listen \
             &send:n=2:size=1+9:unordered=1 sleep:10 hold",
        );
        let (setup, steps) = Setup::parse(&args).unwrap();
        assert!(setup.raw && setup.window == Some(7) && setup.own.len() == 2);
        assert_eq!(steps.len(), 4);
        let Step::Send(flow, true) = &steps[1] else { panic!("{steps:?}") };
        assert!(flow.n == 2 && flow.size == [1, 9] && flow.unordered && flow.streams == 1);
        assert_eq!(steps[2..], [Step::Sleep(Duration::from_millis(10)), Step::Hold]);
        assert_eq!(Setup::parse(&setup.args()).unwrap().0, setup);
        for bad in ["speed=1", "fly", "send:n", "send:size=:n=1", "expect:colour=1"] {
            assert!(Setup::parse(&words(bad)).is_err(), "{bad}");
        }
    }
}
