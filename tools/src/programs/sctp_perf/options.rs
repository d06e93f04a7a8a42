//! Options of both roles.

use std::net::IpAddr;

use clap::{Args, Parser, ValueEnum};
use sctp_udp_encap::Port;
use sctp_user::{AssocConfig, Stack};
use serde::{Deserialize, Serialize};

use super::count::bytes;
use super::protocol::{MAX_BATCH, MAX_MESSAGE, MAX_STREAMS, Order};
use crate::cli::{AddressList, EndOptions, Host, LinkOptions, LogOptions, number};
use crate::programs::stack;

/// Waits for clients and takes part in the tests they order.
#[derive(Clone, Debug, Parser)]
pub(crate) struct ServerOptions {
    /// Own SCTP port; 0 takes a free one.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = DEFAULT_PORT,
        value_parser = number("SCTP port", 0u16..=65_535)
    )]
    pub(crate) port: u16,
    /// End after the first test.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Orders a test from a server and prints its result.
#[derive(Clone, Debug, Parser)]
pub(crate) struct ClientOptions {
    /// The server, ADDR:PORT{,ADDR}[/udp:N|/native], where a name may stand for ADDR. Default SCTP
    /// port 5201, default UDP port 9899.
    #[arg(value_name = "SERVER")]
    pub(crate) server: AddressList,
    /// Who sends.
    #[arg(long, value_enum, value_name = "send|recv|both|pingpong", default_value = "send")]
    pub(crate) direction: Direction,
    /// Size of each message, bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "64k",
        value_parser = |s: &str| bytes(s, 1, MAX_MESSAGE)
    )]
    pub(crate) size: usize,
    /// How long to send, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 10,
        value_parser = number("number of seconds", 1u64..=86_400)
    )]
    pub(crate) duration: u64,
    /// Time at the beginning that does not count, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.0,
        value_parser = number("number of seconds", 0.0..=86_400.0)
    )]
    pub(crate) warmup: f64,
    /// Messages that one call of the sender hands to the stack.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of messages", 1..=MAX_BATCH)
    )]
    pub(crate) batch: u16,
    /// Streams to send on, in turn.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of streams", 1..=MAX_STREAMS)
    )]
    pub(crate) streams: u16,
    /// Send messages without order.
    #[arg(long)]
    pub(crate) unordered: bool,
    /// Print the result as JSON.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print the result as lines of comma-separated values, with a header.
    #[arg(long)]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

impl ClientOptions {
    /// The order for the server.
    pub(crate) fn order(&self) -> Order {
        Order {
            direction: self.direction,
            size: self.size,
            duration_ms: self.duration * 1000,
            warmup_ms: (self.warmup.max(0.0) * 1000.0) as u64,
            batch: self.batch,
            streams: self.streams,
            unordered: self.unordered,
        }
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// The client.
    Send,
    /// The server.
    Recv,
    /// Client and server at the same time.
    Both,
    /// The client one message at a time; the server sends each back.
    #[value(name = "pingpong")]
    PingPong,
}

impl Direction {
    pub(crate) fn client_sends(self) -> bool {
        matches!(self, Direction::Send | Direction::Both)
    }

    pub(crate) fn server_sends(self) -> bool {
        matches!(self, Direction::Recv | Direction::Both)
    }
}

/// An interface of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Api {
    /// The asynchronous one.
    Tokio,
    /// Calls that wait.
    Blocking,
}

/// The options that both roles have for their end.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonOptions {
    #[command(flatten)]
    pub(crate) transport: TransportOptions,
    /// Threads to run on; with one, the stack and the program share it.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of threads", 1usize..=64)
    )]
    pub(crate) threads: usize,
    /// Which interface of the stack is measured: that for tokio, or blocking calls (ping-pong
    /// only).
    #[arg(
        long,
        value_enum,
        value_name = "tokio|blocking",
        default_value = "tokio",
        hide_possible_values = true
    )]
    pub(crate) api: Api,
    /// Own addresses or names, ADDR{,ADDR} [default: all of the host].
    #[arg(long, value_name = "ADDRS", value_delimiter = ',')]
    pub(crate) own: Vec<Host>,
    /// Most packets handed to the system at once; 1 does without segmentation offload.
    #[arg(long, value_name = "N", value_parser = number("number of packets", 1u16..=64))]
    pub(crate) segments: Option<u16>,
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(flatten)]
    pub(crate) end: EndOptions,
}

impl CommonOptions {
    /// Opens the links and starts the stack at the addresses `own`, and at UDP port `port` if there
    /// is no `--encap-port=`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(crate) fn open(&self, own: &[IpAddr], port: Port) -> anyhow::Result<Stack> {
        let segments = self.segments.map_or(usize::MAX, usize::from);
        stack::open_limited(&self.link, own, port, segments)
    }

    /// As [`open`](Self::open), for blocking calls.
    ///
    /// # Errors
    /// A sentence for the user.
    #[cfg(unix)]
    pub(crate) fn open_blocking(
        &self,
        own: &[IpAddr],
        port: Port,
    ) -> anyhow::Result<sctp_user::blocking::Stack> {
        if self.segments.is_some() {
            anyhow::bail!("--segments= is for --api=tokio only");
        }
        stack::open_blocking(&self.link, own, port)
    }
}

/// SCTP settings of one end.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transport")]
pub(crate) struct TransportOptions {
    /// IP MTU, bytes. Both ends send packets up to their own.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "1500",
        value_parser = |s: &str| bytes(s, 576, 65_535)
    )]
    pub(crate) mtu: usize,
    /// Send buffer, bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "4M",
        value_parser = |s: &str| bytes(s, 4096, 1 << 30)
    )]
    pub(crate) sendbuffer: usize,
    /// Receive buffer, bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "4M",
        value_parser = |s: &str| bytes(s, 4096, 1 << 30)
    )]
    pub(crate) recvbuffer: usize,
    /// Packets per sending opportunity (Max.Burst), 0 for no limit.
    #[arg(
        long,
        value_name = "N",
        default_value_t = AssocConfig::default().max_burst,
        value_parser = number("number of packets", 0..=u32::MAX)
    )]
    pub(crate) maxburst: u32,
    /// A SACK for every so many packets at the latest.
    #[arg(
        long,
        value_name = "N",
        default_value_t = AssocConfig::default().sack_frequency,
        value_parser = number("number of packets", 1u32..=1000)
    )]
    pub(crate) sackfrequency: u32,
}

impl TransportOptions {
    /// The settings of an association. `base` has those without an option.
    pub(crate) fn config(&self, base: AssocConfig) -> AssocConfig {
        AssocConfig {
            ip_mtu: self.mtu,
            ip_mtu_udp: self.mtu,
            send_buffer: self.sendbuffer,
            recv_buffer: self.recvbuffer,
            max_burst: self.maxburst,
            sack_frequency: self.sackfrequency,
            out_streams: MAX_STREAMS,
            max_message_size: MAX_MESSAGE,
            ..base
        }
    }
}

/// The default port of other measuring programs as well.
pub(crate) const DEFAULT_PORT: u16 = 5201;
