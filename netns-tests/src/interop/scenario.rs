//! The scenarios that two ends play: one list for all peers.

use std::time::Duration;

use crate::interop::matrix::Column;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// This stack.
    Ours,
    /// The peer.
    Theirs,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Side {
        match self {
            Side::Ours => Side::Theirs,
            Side::Theirs => Side::Ours,
        }
    }
}

/// A scenario: what both ends do once the association is up.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Names it in results and limits.
    pub key: &'static str,
    /// Its row in the matrix.
    pub title: &'static str,
    /// Steps of our end, in the syntax of [`script`](super::script).
    pub ours: &'static str,
    /// Steps of the other end.
    pub theirs: &'static str,
    /// Which end calls, over which versions of IP.
    pub variants: Variants,
    /// What happens to the ends or the networks meanwhile.
    pub fault: Fault,
    /// Further settings of both ends, `KEY=VALUE`.
    pub setup: &'static str,
    /// Both ends use both networks.
    pub multi_homed: bool,
    /// This end must need at least this time until it says `sent`, because its peer does not read
    /// meanwhile.
    pub blocked: Option<(Side, Duration)>,
    /// The peers that it is run with.
    pub columns: &'static [Column],
}

/// The variants in which a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variants {
    /// Either end calls, over IPv4 and IPv6.
    All,
    /// We call over IPv4, the peer calls over IPv6: for scenarios that take long.
    Two,
    /// This end calls, over IPv4 and IPv6.
    Calls(Side),
}

impl Variants {
    /// Which end calls, and whether over IPv6.
    pub fn list(self) -> Vec<(Side, bool)> {
        match self {
            Variants::All => [Side::Ours, Side::Theirs]
                .iter()
                .flat_map(|side| [(*side, false), (*side, true)])
                .collect(),
            Variants::Two => vec![(Side::Ours, false), (Side::Theirs, true)],
            Variants::Calls(side) => vec![(side, false), (side, true)],
        }
    }
}

/// A fault of an end or of the network between the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// This percentage of the packets in each direction is lost while traffic flows.
    Loss(u32),
    /// Networks are cut, or drop everything silently, while they carry the data of both ends.
    /// Traffic must go on flowing.
    Cut,
    /// The network drops everything until both ends have said `closing`. So the first SHUTDOWN of
    /// each is lost, and each has sent one when the other's next SHUTDOWN arrives.
    Crossing,
    /// When end `who` says `holding`, it is killed without sending anything and started again with
    /// other steps. (If the peer is a kernel, its machine reboots.) If `other` is not empty, the
    /// other end finishes its steps then and is started again as well.
    Restart {
        /// The end that is killed.
        who: Side,
        /// Its steps after the restart.
        steps: &'static str,
        /// The steps of the other end after its restart; empty if it goes on.
        other: &'static str,
    },
}

impl Scenario {
    /// The steps of an end.
    pub fn steps(&self, side: Side) -> &'static str {
        match side {
            Side::Ours => self.ours,
            Side::Theirs => self.theirs,
        }
    }
}

const PLAIN: Scenario = Scenario {
    key: "",
    title: "",
    ours: "",
    theirs: "",
    variants: Variants::All,
    fault: Fault::None,
    setup: "",
    multi_homed: false,
    blocked: None,
    columns: &Column::ALL,
};

/// Both ends send a flow to each other.
macro_rules! both {
    ($flow:expr) => {
        concat!("&send:", $flow, " expect:", $flow, " join")
    };
    ($flow:expr, $end:expr) => {
        concat!(both!($flow), " ", $end)
    };
}

/// Messages from 1 byte to more than a UDP datagram holds, among them those that just fill a
/// packet: its chunk holds 1212, 1232, 1424, 1432, 1444 or 1452 bytes, depending on IP version,
/// encapsulation and MTU.
macro_rules! sizes {
    () => {
        "n=100:size=1+2+3+4+5+7+8+9+100+1000+1199+1200+1201+1211+1212+\
         1213+1231+1232+1233+1423+1424+1425+1431+1432+1433+1443+1444+1445+1451+1452+1453+1472+1500+\
         2423+2424+2425+2848+2864+2904+2905+9000+64000+65535+65536+65537"
    };
}

macro_rules! few {
    () => {
        "n=30:size=1+100+3000:streams=3"
    };
}

/// Long enough for all that happens to the cables.
macro_rules! long {
    () => {
        "seconds=24:size=4000+16+1400"
    };
}

/// All scenarios; the rows of the matrix in this order.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        key: "sizes",
        title: "messages of 1 byte to 64 KiB, packet edges",
        ours: both!(sizes!(), "shutdown"),
        theirs: both!(sizes!(), "ended"),
        ..PLAIN
    },
    Scenario {
        key: "mebibyte",
        title: "messages of 1 MiB",
        ours: both!("n=2:size=1048576", "shutdown"),
        theirs: both!("n=2:size=1048576", "ended"),
        ..PLAIN
    },
    Scenario {
        key: "streams",
        title: "300 streams",
        setup: "streams=300",
        ours: both!("n=900:size=10+3000:streams=300", "shutdown"),
        theirs: both!("n=900:size=10+3000:streams=300", "ended"),
        ..PLAIN
    },
    Scenario {
        key: "unordered",
        title: "unordered messages",
        ours: both!("n=300:size=8+100+1400+5000:streams=3:unordered=1", "shutdown"),
        theirs: both!("n=300:size=8+100+1400+5000:streams=3:unordered=1", "ended"),
        ..PLAIN
    },
    Scenario {
        key: "ppid",
        title: "payload protocol identifiers",
        ours: both!("n=60:size=10+2000:ppid=4294967200", "shutdown"),
        theirs: both!("n=60:size=10+2000:ppid=4294967200", "ended"),
        ..PLAIN
    },
    Scenario {
        key: "shutdown-ours",
        title: "this stack shuts down, data on its way",
        ours: "send:n=40:size=20000 shutdown",
        theirs: "expect:n=40:size=20000 ended",
        ..PLAIN
    },
    Scenario {
        key: "shutdown-theirs",
        title: "the peer shuts down, data on its way",
        ours: "expect:n=40:size=20000 ended",
        theirs: "send:n=40:size=20000 shutdown",
        ..PLAIN
    },
    Scenario {
        key: "shutdown-both",
        title: "both shut down at once",
        fault: Fault::Crossing,
        setup: "fast=1",
        ours: both!(few!(), "sleep:3000 shutdown"),
        theirs: both!(few!(), "sleep:3000 shutdown"),
        // How sctp-proto reacts depends on whose SHUTDOWN arrives first.
        columns: &[Column::LinuxRaw, Column::LinuxUdp, Column::UsrsctpRaw, Column::UsrsctpUdp],
        ..PLAIN
    },
    Scenario {
        key: "abort-ours",
        title: "this stack aborts",
        // The answer shows that everything has arrived. An ABORT would not wait for that.
        ours: concat!("send:", few!(), " expect:", few!(), " abort"),
        theirs: concat!("expect:", few!(), " send:", few!(), " aborted"),
        ..PLAIN
    },
    Scenario {
        key: "abort-theirs",
        title: "the peer aborts",
        ours: concat!("expect:", few!(), " send:", few!(), " aborted"),
        theirs: concat!("send:", few!(), " expect:", few!(), " abort"),
        ..PLAIN
    },
    Scenario {
        key: "restart-ours",
        title: "this stack restarts and calls again",
        variants: Variants::Calls(Side::Ours),
        ours: both!(few!(), "hold"),
        theirs: concat!(both!(few!(), "restarted "), both!(few!(), "ended")),
        fault: Fault::Restart { who: Side::Ours, steps: both!(few!(), "shutdown"), other: "" },
        ..PLAIN
    },
    Scenario {
        key: "restart-theirs",
        title: "the peer restarts and calls again",
        variants: Variants::Calls(Side::Theirs),
        ours: concat!(both!(few!(), "restarted "), both!(few!(), "ended")),
        theirs: both!(few!(), "hold"),
        fault: Fault::Restart { who: Side::Theirs, steps: both!(few!(), "shutdown"), other: "" },
        ..PLAIN
    },
    Scenario {
        key: "reborn-ours",
        title: "this stack forgets and is called again",
        variants: Variants::Calls(Side::Theirs),
        ours: both!(few!(), "hold"),
        theirs: both!(few!(), "lost"),
        fault: Fault::Restart {
            who: Side::Ours,
            steps: both!(few!(), "ended"),
            other: both!(few!(), "shutdown"),
        },
        ..PLAIN
    },
    Scenario {
        key: "reborn-theirs",
        title: "the peer forgets and is called again",
        variants: Variants::Calls(Side::Ours),
        ours: both!(few!(), "lost"),
        theirs: both!(few!(), "hold"),
        fault: Fault::Restart {
            who: Side::Theirs,
            steps: both!(few!(), "ended"),
            other: both!(few!(), "shutdown"),
        },
        ..PLAIN
    },
    Scenario {
        key: "closed-ours",
        title: "this stack's window is closed",
        variants: Variants::Two,
        setup: "window=65536",
        ours: "sleep:2000 expect:n=150:size=8000 shutdown",
        theirs: "send:n=150:size=8000 ended",
        blocked: Some((Side::Theirs, Duration::from_millis(1000))),
        ..PLAIN
    },
    Scenario {
        key: "closed-theirs",
        title: "the peer's window is closed",
        variants: Variants::Two,
        setup: "window=65536",
        ours: "send:n=150:size=8000 shutdown",
        theirs: "sleep:2000 expect:n=150:size=8000 ended",
        blocked: Some((Side::Ours, Duration::from_millis(1000))),
        ..PLAIN
    },
    Scenario {
        key: "slow-ours",
        title: "this stack's reader is slow",
        variants: Variants::Two,
        setup: "window=65536",
        ours: "expect:n=300:size=4000+1000+1:pause=5 shutdown",
        theirs: "send:n=300:size=4000+1000+1 ended",
        blocked: Some((Side::Theirs, Duration::from_millis(700))),
        ..PLAIN
    },
    Scenario {
        key: "slow-theirs",
        title: "the peer's reader is slow",
        variants: Variants::Two,
        setup: "window=65536",
        ours: "send:n=300:size=4000+1000+1 shutdown",
        theirs: "expect:n=300:size=4000+1000+1:pause=5 ended",
        blocked: Some((Side::Ours, Duration::from_millis(700))),
        ..PLAIN
    },
    Scenario {
        key: "loss",
        title: "bulk in both directions, 2 % lost each",
        variants: Variants::Two,
        fault: Fault::Loss(2),
        ours: both!("seconds=5:size=4000+16+1400:streams=3", "shutdown hold"),
        theirs: both!("seconds=5:size=4000+16+1400:streams=3", "ended"),
        ..PLAIN
    },
    Scenario {
        key: "cut",
        title: "two networks each, cut one after the other",
        variants: Variants::Two,
        fault: Fault::Cut,
        multi_homed: true,
        setup: "fast=1",
        ours: concat!("&send:", long!(), ":pause=2 expect:", long!(), " join shutdown"),
        theirs: concat!("&send:", long!(), ":pause=2 expect:", long!(), " join ended"),
        ..PLAIN
    },
    Scenario {
        key: "extensions-on",
        title: "all extensions of the peer on",
        setup: "extensions=on",
        ours: both!(few!(), "shutdown"),
        theirs: both!(few!(), "ended"),
        ..PLAIN
    },
    Scenario {
        key: "extensions-off",
        title: "all extensions of the peer off",
        setup: "extensions=off",
        ours: both!(few!(), "shutdown"),
        theirs: both!(few!(), "ended"),
        ..PLAIN
    },
    alone("addip-alone", "ADD-IP of Linux alone on", "extensions=addip"),
    alone("auth-alone", "AUTH of Linux alone on", "extensions=auth"),
    alone("reconf-alone", "RE-CONFIG of Linux alone on", "extensions=reconf"),
    alone("intl-alone", "I-DATA of Linux alone on", "extensions=intl"),
    alone("prsctp-alone", "PR-SCTP of Linux alone on", "extensions=prsctp"),
    alone("ecn-alone", "ECN of Linux alone on", "extensions=ecn"),
];

/// One extension of the kernel is on and all others are off. The kernel calls, because its INIT
/// shows that.
const fn alone(key: &'static str, title: &'static str, setup: &'static str) -> Scenario {
    Scenario {
        key,
        title,
        setup,
        variants: Variants::Calls(Side::Theirs),
        ours: both!(few!(), "shutdown"),
        theirs: both!(few!(), "ended"),
        columns: &[Column::LinuxRaw, Column::LinuxUdp],
        ..PLAIN
    }
}
