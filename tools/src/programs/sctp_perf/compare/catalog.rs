//! The rows of the comparison: who takes part, and what is expected.

use serde::Serialize;

/// A stack that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    Ours,
    /// This stack without a runtime.
    OursBlocking,
    /// This stack with tokio, in rows that also have the other interface.
    OursTokio,
    Usrsctp,
    SctpProto,
    /// With a condition before `log_packet`.
    Dcsctp,
    /// As it was released: it formats every packet as hex.
    DcsctpReleased,
    Quinn,
    Tcp,
    /// One datagram per system call.
    Udp,
    /// As many datagrams as fit into 64 KiB.
    UdpGso,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contender::Ours => "this stack",
            Contender::OursBlocking => "this stack, blocking calls",
            Contender::OursTokio => "this stack, tokio",
            Contender::Usrsctp => "usrsctp",
            Contender::SctpProto => "sctp-proto",
            Contender::Dcsctp => "dcsctp (log_packet conditional)",
            Contender::DcsctpReleased => "dcsctp (as released)",
            Contender::Quinn => "quinn (encrypting)",
            Contender::Tcp => "tokio TCP",
            Contender::Udp => "bare UDP",
            Contender::UdpGso => "bare UDP with GSO",
        }
    }
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Two processes, messages of this many bytes in one direction.
    Bulk { size: usize, segments: Option<u16> },
    /// The same, directly in IP between two network namespaces.
    Raw { size: usize },
    /// Both ends in one thread, without sockets.
    Core { size: usize },
    /// One message at a time, both ends on one processor.
    PingPong { size: usize },
    /// Memory of idle associations.
    Idle,
    /// Setting associations up, both ends in one thread.
    Setup,
}

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    BitsPerSecond,
    MessagesPerSecond,
    CpuSecondsPerGb,
    P50Us,
    P99Us,
    BytesPerEnd,
    SetupsPerSecond,
}

/// What the figure of the first contender is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// The best of these.
    Best(&'static [Contender]),
    /// A number.
    Number,
}

/// An expectation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) metric: Metric,
    pub(crate) against: Against,
    /// A factor, or for [`Against::Number`] the number. A lower limit, or an upper limit
    /// for metrics where less is better.
    pub(crate) value: f64,
    /// Whether this must be reached, or is only a goal.
    pub(crate) must: bool,
}

/// One row of the comparison.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) task: Task,
    /// What is printed.
    pub(crate) metrics: &'static [Metric],
    /// The first one is compared with the others.
    pub(crate) contenders: &'static [Contender],
    pub(crate) goals: &'static [Goal],
}

impl Metric {
    /// Whether small values are better.
    pub(crate) fn less_is_better(self) -> bool {
        matches!(
            self,
            Metric::CpuSecondsPerGb | Metric::P50Us | Metric::P99Us | Metric::BytesPerEnd
        )
    }
}

const fn must(metric: Metric, value: f64, against: &'static [Contender]) -> Goal {
    Goal { metric, against: Against::Best(against), value, must: true }
}

const fn aim(metric: Metric, value: f64, against: &'static [Contender]) -> Goal {
    Goal { metric, against: Against::Best(against), value, must: false }
}

const fn number(metric: Metric, value: f64, must: bool) -> Goal {
    Goal { metric, against: Against::Number, value, must }
}

use Contender::{
    Dcsctp, DcsctpReleased, Ours, OursBlocking, OursTokio, Quinn, SctpProto, Tcp, Udp, UdpGso,
    Usrsctp,
};
use Metric::{
    BitsPerSecond, BytesPerEnd, CpuSecondsPerGb, MessagesPerSecond, P50Us, P99Us, SetupsPerSecond,
};

/// The comparison.
pub(crate) const ROWS: [Row; 10] = [
    Row {
        name: "bulk16k",
        title: "bulk, messages of 16 KiB, UDP with GSO",
        task: Task::Bulk { size: 16 * 1024, segments: None },
        metrics: &[BitsPerSecond, CpuSecondsPerGb],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp, DcsctpReleased, Quinn, Tcp, UdpGso],
        goals: &[
            must(BitsPerSecond, 8.0, &[Usrsctp]),
            must(BitsPerSecond, 4.5, &[SctpProto]),
            must(BitsPerSecond, 1.2, &[Quinn]),
            must(CpuSecondsPerGb, 1.0, &[Quinn]),
            aim(BitsPerSecond, 2.0, &[Quinn]),
            aim(CpuSecondsPerGb, 0.5, &[Quinn]),
        ],
    },
    Row {
        name: "bulk64k",
        title: "bulk, messages of 64 KiB, UDP with GSO",
        task: Task::Bulk { size: 64 * 1024, segments: None },
        metrics: &[BitsPerSecond, CpuSecondsPerGb],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp, Quinn, Tcp, UdpGso],
        goals: &[
            must(BitsPerSecond, 8.0, &[Usrsctp]),
            must(BitsPerSecond, 4.5, &[SctpProto]),
            must(BitsPerSecond, 1.2, &[Quinn]),
            aim(BitsPerSecond, 2.0, &[Quinn]),
        ],
    },
    Row {
        name: "bulk1k",
        title: "bulk, messages of 1 KiB, UDP with GSO",
        task: Task::Bulk { size: 1024, segments: None },
        metrics: &[BitsPerSecond, CpuSecondsPerGb],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp, Quinn, Tcp],
        goals: &[
            must(BitsPerSecond, 9.0, &[Usrsctp]),
            must(BitsPerSecond, 1.3, &[Quinn]),
            aim(BitsPerSecond, 2.0, &[Quinn]),
        ],
    },
    Row {
        name: "messages64",
        title: "messages of 64 B per second, one call to send for each",
        task: Task::Bulk { size: 64, segments: None },
        metrics: &[MessagesPerSecond, CpuSecondsPerGb],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp, Quinn, Tcp],
        goals: &[
            must(MessagesPerSecond, 4.0, &[Usrsctp]),
            must(MessagesPerSecond, 2.3, &[Tcp]),
            number(MessagesPerSecond, 8e6, false),
        ],
    },
    Row {
        name: "no-gso",
        title: "bulk, messages of 16 KiB, one datagram a system call",
        task: Task::Bulk { size: 16 * 1024, segments: Some(1) },
        metrics: &[BitsPerSecond, CpuSecondsPerGb],
        contenders: &[Ours, Usrsctp, Udp],
        goals: &[must(BitsPerSecond, 0.8, &[Udp]), aim(BitsPerSecond, 0.9, &[Udp])],
    },
    Row {
        name: "raw",
        title: "bulk, messages of 16 KiB, directly in IP over veth with MTU 1500",
        task: Task::Raw { size: 16 * 1024 },
        metrics: &[BitsPerSecond, CpuSecondsPerGb],
        contenders: &[Ours, Usrsctp],
        goals: &[must(BitsPerSecond, 2.0, &[Usrsctp]), aim(BitsPerSecond, 2.5, &[Usrsctp])],
    },
    Row {
        name: "core",
        title: "the core alone, both ends in one thread, messages of 16 KiB",
        task: Task::Core { size: 16 * 1024 },
        metrics: &[BitsPerSecond],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp],
        goals: &[
            must(BitsPerSecond, 3.0, &[SctpProto, Usrsctp, Dcsctp]),
            aim(BitsPerSecond, 5.0, &[SctpProto, Usrsctp, Dcsctp]),
        ],
    },
    Row {
        name: "pingpong",
        title: "ping-pong of 64 B, both ends on one processor",
        task: Task::PingPong { size: 64 },
        metrics: &[P50Us, P99Us],
        contenders: &[OursBlocking, OursTokio, Usrsctp, SctpProto, Dcsctp, Quinn, Tcp, Udp],
        goals: &[
            must(P50Us, 1.25, &[Udp]),
            must(P99Us, 1.9, &[Udp]),
            aim(P50Us, 1.15, &[Udp]),
            aim(P99Us, 1.5, &[Udp]),
        ],
    },
    Row {
        name: "idle",
        title: "resident memory of each end of an idle association with one path",
        task: Task::Idle,
        metrics: &[BytesPerEnd],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp],
        goals: &[number(BytesPerEnd, 2048.0, true), number(BytesPerEnd, 1536.0, false)],
    },
    Row {
        name: "setup",
        title: "associations set up per second, the core alone, both ends in one thread",
        task: Task::Setup,
        metrics: &[SetupsPerSecond],
        contenders: &[Ours, Usrsctp, SctpProto, Dcsctp],
        goals: &[number(SetupsPerSecond, 200e3, true), number(SetupsPerSecond, 300e3, false)],
    },
];
