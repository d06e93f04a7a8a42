//! Much at once: it is dealt with in slices, and what is kept of it is bounded.

use rserpool_wire::{
    EnrpBody, EnrpMessage, HandleTableRequest, HandleTableResponse, HandleUpdate, ListResponse,
    PoolEntry, Presence, ServerInformation, UpdateAction,
};

use super::enrp::{REACH, asap_attempts, asap_up, asked_for_tables, meet, say};
use super::*;

/// An element of this registrar at 10.0.0.9, port 5000.
fn copy(id: u32, home: u32) -> PoolElement {
    let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 9].into()]));
    PoolElement { home: ServerId(home), asap_transport, ..element_at(id, &["10.0.0.9"]) }
}

/// A registrar adds elements of its own. Without looking at all others after each of them.
fn tell(
    lab: &mut Lab,
    channel: ChannelId,
    home: u32,
    elements: impl Iterator<Item = (String, u32)>,
) {
    for (pool, id) in elements {
        let (action, pool) = (UpdateAction::AddPe, handle(&pool));
        let element = copy(id, home);
        let update = HandleUpdate { takeover_suggested: false, action, pool, element };
        let body = EnrpBody::HandleUpdate(update);
        let data = EnrpMessage { sender: ServerId(home), receiver: SERVER, body }.encode().unwrap();
        lab.core.handle(lab.now, Input::Message { channel, ppid: ppid::ENRP, data: &data });
    }
    lab.handle(Input::Timeout);
}

/// A registrar with 1,000 elements at one place, which was taken over; the attempt to reach them.
fn taken_over() -> (Lab, ChannelId) {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    lab.core.local.reach = REACH;
    let dead = meet(&mut lab, 3);
    tell(&mut lab, dead, 3, (1..=1000).map(|id| ("pool".to_owned(), id)));
    lab.down(dead);
    lab.outputs.clear();
    lab.pass(ms(1600));
    let contacts = asap_attempts(&mut lab);
    assert_eq!(contacts.len(), 1, "one association leads to all of them");
    (lab, contacts[0])
}

/// Thousands of elements may stand behind one association. It gets its questions in portions, as
/// otherwise too many would wait to be sent.
#[test]
fn the_elements_of_one_place_are_asked_in_slices() {
    let (mut lab, contact) = taken_over();
    asap_up(&mut lab, contact, "10.0.0.9");
    let mut asked = 0;
    for _ in 0..4 {
        let sent = lab.sent();
        assert!(sent.len() <= 256, "{} at once", sent.len());
        assert!(sent.iter().all(|(channel, _)| *channel == contact));
        asked += sent.len();
        lab.pass(ms(5));
    }
    assert_eq!(asked, 1000);
    assert_eq!(lab.core.handlespace().count_of_owner(contact.as_u64()), 1000);
}

#[test]
fn the_elements_of_a_place_that_refuses_go_in_slices() {
    let (mut lab, contact) = taken_over();
    let failure = crate::channel::ConnectFailure::Ended(sctp_user_core::socket::EndReason::Lost(
        sctp_user_core::LossReason::ProtocolUnreachable,
    ));
    lab.handle(Input::Failed { channel: contact, failure });
    let left = lab.core.handlespace().len();
    assert!((700..1000).contains(&left), "{left} left at once");
    lab.pass(ms(50));
    assert_eq!(lab.core.handlespace().len(), 0);
}

/// The association with a place ends while its elements are still being asked.
#[test]
fn elements_whose_place_has_ended_meanwhile_are_gone() {
    let (mut lab, contact) = taken_over();
    asap_up(&mut lab, contact, "10.0.0.9");
    lab.down(contact);
    lab.pass(ms(50));
    assert_eq!(lab.core.handlespace().len(), 0);
}

fn alone(change: impl FnOnce(&mut RegistrarConfig)) -> Lab {
    Lab::with(|config| {
        config.enrp = Some(EnrpConfig::with_peers(Vec::new()));
        change(config);
    })
}

fn presence(checksum: u16) -> EnrpBody {
    EnrpBody::Presence(Presence { reply_required: false, checksum: Some(checksum), info: None })
}

/// What one registrar brings never keeps elements from being registered here, nor the elements of
/// modest registrars from being held.
#[test]
fn no_registrar_takes_the_room_of_others() {
    let mut lab = alone(|config| (config.max_elements, config.max_pools) = (400, 50));
    let (greedy, modest) = (meet(&mut lab, 2), meet(&mut lab, 3));
    tell(&mut lab, greedy, 2, (1..=1000).map(|id| (format!("x{id}"), id)));
    let held = lab.core.handlespace().count_of_home(ServerId(2));
    assert!((200..=300).contains(&held), "{held}");
    assert_eq!(lab.core.stats().copies_not_held, 1000 - held as u64);
    let said = RegistrarEvent::CopiesNotHeld { server: ServerId(2) };
    assert_eq!(lab.events().iter().filter(|event| **event == said).count(), 1);
    tell(&mut lab, modest, 3, (1..=2).map(|id| (format!("y{id}"), id)));
    assert_eq!(lab.core.handlespace().count_of_home(ServerId(3)), 2);
    // Another association for each, as one that has many gets no more when there is little room.
    for id in 1..=50 {
        let pe = lab.up(&["10.0.0.1"]);
        lab.outputs.clear();
        let pool = format!("new{id}");
        let told = |sent: Vec<Output>| {
            sent.into_iter().any(|output| match output {
                Output::Send { channel, ppid: ppid::ASAP, data } => {
                    let answer = AsapMessage::decode(&data).unwrap();
                    let AsapMessage::RegistrationResponse(response) = answer else { return false };
                    channel == pe && !response.rejected
                }
                _ => false,
            })
        };
        let registration = Registration { pool: handle(&pool), element: element(id) };
        lab.message(pe, AsapMessage::Registration(registration));
        assert!(told(std::mem::take(&mut lab.outputs)), "{pool}");
    }
}

/// A registrar has more elements or pools than may be held. The checksums differ for ever, but the
/// elements are not got again all the time.
#[test]
fn what_cannot_be_held_is_not_got_again_and_again() {
    let limits: [fn(&mut RegistrarConfig); 2] = [
        |config| config.max_elements_per_registrar = 10,
        |config| config.max_pools_per_registrar = 10,
    ];
    for change in limits {
        let mut lab = alone(change);
        let other = meet(&mut lab, 2);
        tell(&mut lab, other, 2, (1..=20).map(|id| (format!("x{id}"), id)));
        assert_eq!(lab.core.handlespace().count_of_home(ServerId(2)), 10);
        // What is held is renewed.
        tell(&mut lab, other, 2, (1..=10).map(|id| (format!("x{id}"), id)));
        assert_eq!(lab.core.stats().copies_not_held, 10);
        for _ in 0..149 {
            lab.pass(ms(2000));
            say(&mut lab, other, 2, presence(1));
        }
        assert_eq!(lab.core.stats().audits, 0);
        lab.pass(ms(2000));
        say(&mut lab, other, 2, presence(1));
        assert_eq!(lab.core.stats().audits, 1);
    }
}

/// A mentor tells of elements of thousands of registrars that nobody knows.
#[test]
fn registrars_that_only_a_mentor_knows_are_few_and_taken_over_one_after_another() {
    let mut lab = Lab::with(|config| {
        config.enrp = Some(EnrpConfig { max_peers: 8, ..EnrpConfig::default() });
    });
    let mentor = meet(&mut lab, 2);
    for page in 0..20 {
        let elements = (1..=100).map(|id| copy(page * 100 + id, 0x1000_0000 + page * 100 + id));
        let pools = vec![PoolEntry { pool: handle("pool"), elements: elements.collect() }];
        let response = HandleTableResponse { rejected: false, more: page < 19, pools };
        say(&mut lab, mentor, 2, EnrpBody::HandleTableResponse(response));
    }
    assert_eq!(lab.core.handlespace().home_count(), 24);
    // It agrees to no takeover.
    let mut most = 0;
    for _ in 0..60 {
        lab.pass(ms(1000));
        say(
            &mut lab,
            mentor,
            2,
            EnrpBody::Presence(Presence { reply_required: false, checksum: None, info: None }),
        );
        let events = lab.events();
        let begun = |event: &&RegistrarEvent| matches!(event, RegistrarEvent::TakeoverBegun { .. });
        most = most.max(events.iter().filter(begun).count());
    }
    assert!((1..=8).contains(&most), "{most} takeovers begun within a second");
}

#[test]
fn a_table_without_end_is_given_up() {
    let mut lab = alone(|config| config.max_elements = 1000);
    let other = meet(&mut lab, 2);
    say(&mut lab, other, 2, presence(1));
    let mut pages = 0;
    while asked_for_tables(&mut lab) == [other] {
        pages += 1;
        assert!(pages < 3000, "it never ends");
        let elements = (1..=2 * (pages % 2)).map(|id| copy(id, 2)).collect();
        let pools = vec![PoolEntry { pool: handle("pool"), elements }];
        let response = HandleTableResponse { rejected: false, more: true, pools };
        say(&mut lab, other, 2, EnrpBody::HandleTableResponse(response));
    }
    assert!(pages > 500, "{pages} pages");
}

/// A registrar asks for the elements of all, and thousands of them are its own, which it does not
/// get. One response looks at some of them only.
#[test]
fn a_response_looks_at_so_many_elements() {
    let mut lab = alone(|_| {});
    let other = meet(&mut lab, 2);
    tell(&mut lab, other, 2, (1..=5000).map(|id| ("pool".to_owned(), id)));
    let third = meet(&mut lab, 3);
    tell(
        &mut lab,
        third,
        3,
        [("pool", 9999), ("zz", 1)].map(|(p, id)| (p.to_owned(), id)).into_iter(),
    );
    let mut told = Vec::new();
    let mut pages = 0;
    loop {
        lab.outputs.clear();
        let request = HandleTableRequest { own_children_only: false };
        say(&mut lab, other, 2, EnrpBody::HandleTableRequest(request));
        let response = std::mem::take(&mut lab.outputs).into_iter().find_map(|output| {
            let Output::Send { data, ppid: ppid::ENRP, .. } = output else { return None };
            match EnrpMessage::decode(&data).unwrap().body {
                EnrpBody::HandleTableResponse(response) => Some(response),
                _ => None,
            }
        });
        let HandleTableResponse { more, pools, .. } = response.unwrap();
        told.extend(pools.into_iter().flat_map(|entry| entry.elements).map(|element| element.id.0));
        pages += 1;
        if !more {
            break;
        }
    }
    told.sort_unstable();
    assert_eq!((pages, told), (2, vec![1, 9999]));
}

/// Somebody lists a thousand registrars: a few are sought at a time.
#[test]
fn of_a_list_so_many_are_looked_at() {
    let mut lab = alone(|_| {});
    lab.core.local.reach = REACH;
    let other = meet(&mut lab, 2);
    let server = |i: u32| ServerInformation {
        id: ServerId(1000 + i),
        transport: SctpTransport::data_only(
            9901,
            vec![[10, 1, (i / 250) as u8, (i % 250) as u8].into()],
        ),
        udp_port: Some(9899),
    };
    let servers = (0..1000).map(server).collect();
    lab.outputs.clear();
    say(&mut lab, other, 2, EnrpBody::ListResponse(ListResponse { rejected: false, servers }));
    let tried =
        lab.outputs.iter().filter(|output| matches!(output, Output::Connect { .. })).count();
    assert_eq!(tried, 8);
}

/// A registrar says again and again that it has taken over others. Each counts once, and only if
/// anything is known of it.
#[test]
fn takeovers_of_the_unknown_leave_nothing_behind() {
    let mut lab = alone(|_| {});
    let other = meet(&mut lab, 2);
    lab.outputs.clear();
    for target in 1000..2000 {
        say(&mut lab, other, 2, EnrpBody::TakeoverServer(ServerId(target)));
    }
    assert_eq!(lab.events(), []);
    assert_eq!(lab.core.stats().ignored_messages, 1000);
}

/// Whoever fills the places of registrars with identifiers that only say to live keeps neither the
/// configured registrars out, nor others for long.
#[test]
fn identifiers_that_prove_nothing_make_room() {
    let configured = peer(&["10.0.0.7"], Some(9899));
    let mut lab = alone(|config| {
        let enrp = EnrpConfig::with_peers(vec![configured.clone()]);
        config.enrp = Some(EnrpConfig { max_peers: 4, ..enrp });
    });
    lab.core.local.reach = REACH;
    lab.core.set_named_peers(vec![configured]);
    let knows = |lab: &Lab, id: u32| lab.core.knows(ServerId(id));
    let known = |lab: &Lab| (1..100).filter(|id| knows(lab, *id)).collect::<Vec<_>>();
    let channels: Vec<ChannelId> = [20, 30, 40, 50].map(|id| meet(&mut lab, id)).to_vec();
    assert_eq!(known(&lab), [20, 30, 40]);
    // One of them is a registrar.
    let list = || EnrpBody::ListResponse(ListResponse { rejected: false, servers: Vec::new() });
    say(&mut lab, channels[1], 30, list());
    meet(&mut lab, 7);
    assert_eq!(known(&lab), [7, 20, 30, 40]);
    for second in 0..3 {
        lab.pass(ms(1000));
        for (channel, id) in channels.iter().zip([20, 30, 40]).chain([(&ChannelId::incoming(7), 7)])
        {
            say(&mut lab, *channel, id, presence(0xffff));
        }
        assert_eq!(known(&lab), [7, 20, 30, 40], "{second}");
    }
    for (new, expected) in [(60, [7, 30, 40, 60]), (70, [7, 30, 60, 70]), (80, [7, 30, 60, 70])] {
        meet(&mut lab, new);
        assert_eq!(known(&lab), expected);
    }
}
