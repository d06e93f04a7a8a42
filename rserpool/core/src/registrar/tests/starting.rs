//! What a registrar tells of the others when it starts.

use sctp_user_core::LossReason;
use sctp_user_core::socket::EndReason;

use super::*;
use crate::channel::ConnectFailure;
use crate::reach::Reach;

fn refused() -> ConnectFailure {
    ConnectFailure::Ended(EndReason::Lost(LossReason::Refused {
        cause: 0,
        info: Vec::new().into(),
    }))
}

/// A registrar that is told of another one.
fn lab() -> Lab {
    let other = Peer { port: 9901, ..peer(&["10.0.0.9"], Some(9900)) };
    let enrp = Some(EnrpConfig::with_peers(vec![other]));
    let config = RegistrarConfig { announce: None, enrp, ..RegistrarConfig::default() };
    let reach = Reach { native: false, udp: true };
    let local = Local { reach, enrp_port: 9901, ..Local::default() };
    let core = RegistrarCore::new(config, local, [3; 32], Time::ZERO).unwrap();
    Lab { core, ..Lab::new() }
}

impl Lab {
    /// Lets time pass. Attempts to connect fail like that.
    fn pass_unreachable(
        &mut self,
        time: Duration,
        failure: &ConnectFailure,
    ) -> Vec<RegistrarEvent> {
        let (end, mut events) = (self.now + time, Vec::new());
        while self.now < end {
            self.pass(ms(100));
            for output in std::mem::take(&mut self.outputs) {
                match output {
                    Output::Connect { channel, .. } => {
                        self.handle(Input::Failed { channel, failure: failure.clone() });
                    }
                    Output::Event(event) => events.push(event),
                    _ => {}
                }
            }
        }
        events.extend(self.events());
        events
    }
}

#[test]
fn a_registrar_that_finds_nobody_says_that() {
    let mut lab = lab();
    let events = lab.pass_unreachable(ms(2000), &refused());
    let started: Vec<_> =
        events.iter().filter(|e| matches!(e, RegistrarEvent::Started { .. })).collect();
    assert_eq!(started, [&RegistrarEvent::Started { mentor: None, others: 0 }]);
    let told = started[0].to_string();
    assert_eq!(told, "no other registrar was found; the handlespace is empty");
}

/// Each problem is told once, and again after the registrar was there.
#[test]
fn a_configured_registrar_that_cannot_be_reached_is_told_once() {
    let mut lab = lab();
    let unreachable = |events: Vec<RegistrarEvent>| -> Vec<String> {
        let of = |event: &&RegistrarEvent| matches!(event, RegistrarEvent::PeerUnreachable { .. });
        events.iter().filter(of).map(RegistrarEvent::to_string).collect()
    };
    let told = unreachable(lab.pass_unreachable(ms(20_000), &refused()));
    let begin = "registrar 10.0.0.9, port 9901, UDP port 9900, cannot be reached: the peer refused";
    assert!(told.len() == 1 && told[0].starts_with(begin), "{told:?}");
    let told = unreachable(lab.pass_unreachable(ms(20_000), &ConnectFailure::TimedOut));
    assert!(told.len() == 1 && told[0].contains("did not accept in time"), "{told:?}");
    let told = unreachable(lab.pass_unreachable(ms(20_000), &refused()));
    assert_eq!(told, [""; 0], "both are known");
    // Now it is there, and ends again.
    let connect = loop {
        lab.pass(ms(100));
        let outputs = std::mem::take(&mut lab.outputs);
        let connect = outputs.into_iter().find_map(|output| match output {
            Output::Connect { channel, protocol, ways } => Some((channel, protocol, ways)),
            _ => None,
        });
        if let Some(connect) = connect {
            break connect;
        }
    };
    let (channel, protocol, ways) = connect;
    let peer = ways[0].clone();
    lab.handle(Input::Up { channel, protocol, peer, local: Vec::new(), local_port: 9901 });
    lab.down(channel);
    let told = unreachable(lab.pass_unreachable(ms(20_000), &refused()));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn the_mentor_is_named() {
    let started = RegistrarEvent::Started { mentor: Some(ServerId(7)), others: 2 };
    assert!(started.to_string().starts_with("the handlespace is known, from registrar "));
    let in_part = RegistrarEvent::Started { mentor: None, others: 1 };
    assert!(in_part.to_string().contains("no other registrar has told the whole handlespace"));
}
