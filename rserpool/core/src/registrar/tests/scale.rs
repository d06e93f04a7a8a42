//! Much at once: it is dealt with in slices, and what is kept of it is bounded.

use rserpool_wire::{EnrpBody, HandleUpdate, UpdateAction};

use super::enrp::{REACH, meet, say};
use super::*;

/// Adds elements of a registrar that is known, all at 10.0.0.9, port 5000.
fn tell(lab: &mut Lab, channel: ChannelId, home: u32, ids: impl Iterator<Item = u32>) {
    for id in ids {
        let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 9].into()]));
        let home_id = ServerId(home);
        let element =
            PoolElement { home: home_id, asap_transport, ..element_at(id, &["10.0.0.9"]) };
        let (action, pool) = (UpdateAction::AddPe, handle("pool"));
        let update = HandleUpdate { takeover_suggested: false, action, pool, element };
        say(lab, channel, home, EnrpBody::HandleUpdate(update));
    }
}

/// A registrar with 1,000 elements at one place, which was taken over; the attempt to reach them.
fn taken_over() -> (Lab, ChannelId) {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    lab.core.local.reach = REACH;
    let dead = meet(&mut lab, 3);
    tell(&mut lab, dead, 3, 1..=1000);
    lab.down(dead);
    lab.outputs.clear();
    lab.pass(ms(1600));
    let contacts = std::mem::take(&mut lab.outputs).into_iter().filter_map(|output| match output {
        Output::Connect { channel, protocol: Protocol::Asap, .. } => Some(channel),
        _ => None,
    });
    let contacts: Vec<ChannelId> = contacts.collect();
    assert_eq!(contacts.len(), 1, "one association leads to all of them");
    (lab, contacts[0])
}

/// Thousands of elements may stand behind one association. It gets its questions in portions, as
/// otherwise too many would wait to be sent.
#[test]
fn the_elements_of_one_place_are_asked_in_slices() {
    let (mut lab, contact) = taken_over();
    let (protocol, local, local_port) = (Protocol::Asap, Vec::new(), 3863);
    let peer = peer(&["10.0.0.9"], Some(9899));
    lab.handle(Input::Up { channel: contact, protocol, peer, local, local_port });
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
    let (protocol, local, local_port) = (Protocol::Asap, Vec::new(), 3863);
    let peer = peer(&["10.0.0.9"], Some(9899));
    lab.handle(Input::Up { channel: contact, protocol, peer, local, local_port });
    lab.down(contact);
    lab.pass(ms(50));
    assert_eq!(lab.core.handlespace().len(), 0);
}
