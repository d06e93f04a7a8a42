//! The result, for people, as JSON, or as CSV.

use std::fmt;

use sctp_user::PathStatus;
use serde::Serialize;

use super::count::metric;
use super::options::ClientOptions;
use super::protocol::{Order, Received, Report, RoundTrips};

/// Everything known about a test.
pub(crate) struct Outcome {
    pub(crate) order: Order,
    pub(crate) client: Report,
    pub(crate) server: Report,
    /// The round trips of a ping-pong.
    pub(crate) round_trips: Option<RoundTrips>,
    /// The client's path at the end.
    pub(crate) path: Option<PathStatus>,
    /// The client's ports.
    pub(crate) ports: Ports,
}

/// The ports that a client took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ports {
    pub(crate) sctp: u16,
    /// Absent if the stack has no UDP link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) udp: Option<u16>,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCTP {}", self.sctp)?;
        self.udp.map_or(Ok(()), |udp| write!(f, ", UDP {udp}"))
    }
}

impl Outcome {
    /// The directions in which data flowed: name, report of the sender, report of the receiver.
    fn directions(&self) -> Vec<(&'static str, &Report, &Report)> {
        let mut directions = Vec::new();
        if self.order.direction.client_sends() {
            directions.push(("to_server", &self.client, &self.server));
        }
        if self.order.direction.server_sends() {
            directions.push(("to_client", &self.server, &self.client));
        }
        directions
    }
}

/// Bits per second at the receiver; 0 if there was a single message, and so no time to divide by.
fn throughput(received: &Received) -> f64 {
    if received.seconds > 0.0 { received.bytes as f64 * 8.0 / received.seconds } else { 0.0 }
}

fn cpu(report: &Report) -> Option<f64> {
    Some(report.cpu_user_s? + report.cpu_system_s?)
}

pub(crate) fn human(options: &ClientOptions, outcome: &Outcome) {
    let order = &outcome.order;
    println!(
        "sctp-perf with {}: {} s, messages of {} bytes, {} stream{}, {}, MTU {}",
        options.server,
        options.duration,
        order.size,
        order.streams,
        if order.streams == 1 { "" } else { "s" },
        if order.unordered { "unordered" } else { "ordered" },
        options.common.transport.mtu,
    );
    for (direction, sender, receiver) in outcome.directions() {
        let received = &receiver.received;
        println!(
            "{:<10} {}bit/s: {}B in {:.2} s, {} messages",
            direction.replace('_', " "),
            metric(throughput(received)),
            metric(received.bytes as f64),
            received.seconds,
            received.messages,
        );
        println!(
            "           {} packets out, {} back; {} chunks, {} sent again ({} fast, {} timeouts), \
             {} duplicates",
            sender.packets_sent,
            receiver.packets_sent,
            sender.chunks_sent,
            sender.chunks_retransmitted,
            sender.fast_retransmits,
            sender.t3_expiries,
            receiver.duplicates_received,
        );
    }
    if let Some(RoundTrips { count, p50_us, p99_us }) = outcome.round_trips {
        println!("{count} round trips, median {p50_us:.1} us, 99 % within {p99_us:.1} us");
    }
    for (name, report) in [("client", &outcome.client), ("server", &outcome.server)] {
        match (cpu(report), report.cpu_user_s, report.cpu_system_s) {
            (Some(all), Some(user), Some(system)) => {
                println!(
                    "{name:<10} {all:.2} s of processor time ({user:.2} user, {system:.2} system)"
                );
            }
            _ => println!("{name:<10} processor time unknown"),
        }
    }
    if let Some(path) = &outcome.path {
        let srtt =
            path.srtt.map_or_else(|| "-".to_owned(), |srtt| format!("{} us", srtt.as_micros()));
        println!(
            "path       cwnd {} bytes, srtt {srtt}, packets up to {} bytes",
            path.cwnd, path.pmtu
        );
    }
    println!("own ports  {}", outcome.ports);
}

pub(crate) fn json(outcome: &Outcome) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Flow<'a> {
        direction: &'a str,
        bits_per_second: f64,
        messages_per_second: f64,
    }
    #[derive(Serialize)]
    struct Result<'a> {
        order: &'a Order,
        flows: Vec<Flow<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        round_trips: Option<RoundTrips>,
        ports: Ports,
        client: &'a Report,
        server: &'a Report,
    }
    let flows = outcome.directions().into_iter().map(|(direction, _, receiver)| {
        let Received { messages, seconds, .. } = receiver.received;
        Flow {
            direction,
            bits_per_second: throughput(&receiver.received),
            messages_per_second: if seconds > 0.0 { messages as f64 / seconds } else { 0.0 },
        }
    });
    let result = Result {
        order: &outcome.order,
        flows: flows.collect(),
        round_trips: outcome.round_trips,
        ports: outcome.ports,
        client: &outcome.client,
        server: &outcome.server,
    };
    println!("{}", serde_json::to_string_pretty(&result)?);
    Ok(())
}

pub(crate) fn csv(outcome: &Outcome) {
    println!("{CSV_HEADER}");
    for (direction, sender, receiver) in outcome.directions() {
        println!("{}", csv_line(&outcome.order, direction, sender, receiver));
    }
}

fn csv_line(order: &Order, direction: &str, sender: &Report, receiver: &Report) -> String {
    let number = |cpu: Option<f64>| cpu.map_or_else(String::new, |cpu| format!("{cpu:.3}"));
    let received = &receiver.received;
    [
        direction.to_owned(),
        order.size.to_string(),
        order.streams.to_string(),
        order.unordered.to_string(),
        format!("{:.0}", throughput(received)),
        received.bytes.to_string(),
        received.messages.to_string(),
        format!("{:.6}", received.seconds),
        sender.packets_sent.to_string(),
        receiver.packets_sent.to_string(),
        sender.chunks_sent.to_string(),
        sender.chunks_retransmitted.to_string(),
        sender.t3_expiries.to_string(),
        number(cpu(sender)),
        number(cpu(receiver)),
    ]
    .join(",")
}

const CSV_HEADER: &str = "direction,message_bytes,streams,unordered,bits_per_second,bytes,messages,\
    seconds,sender_packets,receiver_packets,chunks_sent,chunks_retransmitted,timeouts,\
    sender_cpu_s,receiver_cpu_s";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::sctp_perf::options::Direction;

    #[test]
    fn csv_has_as_many_values_as_names() {
        let order = Order {
            direction: Direction::Send,
            size: 9,
            duration_ms: 1,
            warmup_ms: 0,
            batch: 1,
            streams: 1,
            unordered: false,
        };
        let receiver = Report {
            received: Received { messages: 2, bytes: 2_000_000, seconds: 2.0 },
            cpu_user_s: Some(1.0),
            cpu_system_s: Some(0.5),
            ..Report::default()
        };
        let line = csv_line(&order, "to_server", &Report::default(), &receiver);
        assert_eq!(line.split(',').count(), CSV_HEADER.split(',').count());
        assert!(line.starts_with("to_server,9,1,false,8000000,2000000,2,2.000000,"), "{line}");
        assert!(line.ends_with(",,1.500"), "{line}");
    }

    #[test]
    fn a_single_message_has_no_throughput() {
        assert_eq!(throughput(&Received { messages: 1, bytes: 5, seconds: 0.0 }), 0.0);
    }
}
