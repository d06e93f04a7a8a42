//! Announces and the identifier of the registrar.

use super::*;
use rserpool_wire::ServerAnnounce;

fn announces(config: RegistrarConfig, local: Local, time: Duration) -> Vec<(Time, ServerAnnounce)> {
    let core = RegistrarCore::new(config, local, [7; 32], Time::ZERO).unwrap();
    let mut lab = Lab { core, now: Time::ZERO, outputs: Vec::new(), next_association: 1 };
    let mut announces = Vec::new();
    let end = lab.now + time;
    while let Some(next) = lab.core.poll_timeout().filter(|next| *next <= end) {
        lab.now = next;
        lab.handle(Input::Timeout);
        for output in std::mem::take(&mut lab.outputs) {
            match output {
                Output::Multicast { protocol: Protocol::Asap, data } => {
                    match AsapMessage::decode(&data).unwrap() {
                        AsapMessage::ServerAnnounce(announce) => announces.push((next, announce)),
                        other => panic!("{other:?}"),
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(lab.core.stats().announces as usize, announces.len());
    announces
}

#[test]
fn announces_come_every_cycle_with_jitter() {
    let announces =
        announces(RegistrarConfig::default(), Local::default(), Duration::from_secs(1000));
    assert_eq!(announces[0].0, Time::ZERO);
    let gaps: Vec<Duration> = announces.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| (ms(875)..=ms(1125)).contains(gap)));
    assert!(gaps.iter().any(|gap| *gap < ms(900)) && gaps.iter().any(|gap| *gap > ms(1100)));
    assert!((980..=1020).contains(&announces.len()), "{}", announces.len());
}

#[test]
fn announces_can_be_switched_off() {
    let config = RegistrarConfig { announce: None, ..RegistrarConfig::default() };
    assert!(announces(config, Local::default(), Duration::from_secs(10)).is_empty());
}

#[test]
fn an_announce_says_who_and_where() {
    let transports =
        vec![Transport::Sctp(SctpTransport::data_only(3863, vec!["10.0.0.1".parse().unwrap()]))];
    let config = || RegistrarConfig { server_id: Some(SERVER), ..RegistrarConfig::default() };
    for (udp_port, named) in [(None, None), (Some(9899), None), (Some(4444), Some(4444))] {
        let advertised = Local { transports: transports.clone(), udp_port, ..Local::default() };
        let (_, announce) = announces(config(), advertised, ms(0)).remove(0);
        let expected =
            ServerAnnounce { server: SERVER, transports: transports.clone(), udp_port: named };
        assert_eq!(announce, expected);
    }
}

#[test]
fn identifiers_are_drawn_from_the_seed() {
    let id = |seed: u8| {
        RegistrarCore::new(RegistrarConfig::default(), Local::default(), [seed; 32], Time::ZERO)
            .unwrap()
            .server_id()
    };
    assert_ne!(id(1), id(2));
    assert_eq!(id(1), id(1));
    assert!(!id(1).is_undefined());
}

#[test]
fn a_wrong_configuration_is_refused() {
    let config = RegistrarConfig { max_resolution_items: 0, ..RegistrarConfig::default() };
    let error = RegistrarCore::new(config, Local::default(), [0; 32], Time::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "the number of elements in a resolution must be 1 to 128");
}
