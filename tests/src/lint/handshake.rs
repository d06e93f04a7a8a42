//! Rules about the setup of associations, and about tags.

use super::events::Seen;
use super::flows::{Flows, Key, Offer};
use super::packet::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, HEARTBEAT_ACK, INIT_ACK, be16, be32, name, tlvs,
};
use super::parameters::{COOKIE_PRESERVATIVE, STATE_COOKIE, listed, reports, to_report};
use super::{Judge, rules};

/// Judges an INIT.
pub(super) fn init(flows: &mut Flows, judge: &mut Judge<'_>, seen: &Seen, value: &[u8]) {
    let Some(key) = offer(flows, seen, value) else { return };
    let Some(offer) = flows.offers.get_mut(&key) else { return };
    offer.by_init = true;
    let parameters = value.get(16..).unwrap_or_default();
    let mut same = value.get(..16).unwrap_or_default().to_vec();
    let parameters = tlvs(parameters).0;
    offer.to_report = to_report(&parameters);
    for tlv in parameters.iter().filter(|tlv| tlv.kind != COOKIE_PRESERVATIVE) {
        same.extend(tlv.kind.to_be_bytes());
        same.extend(tlv.value);
    }
    match &offer.init {
        None => offer.init = Some(same),
        Some(before) => judge.fault_if(*before != same, &rules::SAME_INIT, seen, || {
            format!("an INIT with tag {:#x} differs from the one before", key.tag)
        }),
    }
}

/// Judges an INIT ACK.
pub(super) fn init_ack(flows: &mut Flows, judge: &mut Judge<'_>, seen: &Seen, value: &[u8]) {
    let asked = Key::of(&seen.packet);
    if let (Some(init), Some(outbound)) = (flows.offers.get(&asked), be16(value, 8)) {
        let right = init.sources.contains(&seen.dst) && init.destinations.contains(&seen.src);
        judge.fault_if(init.by_init && !right, &rules::INIT_ACK_TO_SOURCE, seen, || {
            format!("it goes from {} to {}", seen.src, seen.dst)
        });
        judge.fault_if(outbound > init.inbound, &rules::ANSWERED_STREAMS, seen, || {
            format!("{outbound} outbound streams, where {} are allowed", init.inbound)
        });
        if init.by_init {
            reports(judge, seen, &init.to_report, &tlvs(value.get(16..).unwrap_or_default()).0);
        }
    }
    let Some(key) = offer(flows, seen, value) else { return };
    let cookies = tlvs(value.get(16..).unwrap_or_default()).0;
    let cookie = cookies.iter().find(|tlv| tlv.kind == STATE_COOKIE).map(|tlv| tlv.value.to_vec());
    let mut again = false;
    if let Some(offer) = flows.offers.get_mut(&key) {
        again = offer.peer.is_some_and(|before| before != asked);
        offer.by_ack = true;
        offer.peer = Some(asked);
        offer.cookies.extend(cookie);
    }
    if again {
        // The same tag was offered again, so packets with it belong to another association now.
        flows.flows.remove(&key);
    }
}

/// Notes what an end says about itself.
fn offer(flows: &mut Flows, seen: &Seen, value: &[u8]) -> Option<Key> {
    let key = Key::towards_sender(&seen.packet, be32(value, 0)?);
    let (window, outbound, inbound) = (be32(value, 4)?, be16(value, 8)?, be16(value, 10)?);
    let initial_tsn = be32(value, 12)?;
    let offer = flows.offers.entry(key).or_default();
    *offer = Offer { window, outbound, inbound, initial_tsn, ..std::mem::take(offer) };
    offer.since = offer.since.or(Some(seen.time));
    offer.listed.extend(listed(&tlvs(value.get(16..)?).0));
    offer.sources.insert(seen.src);
    offer.destinations.insert(seen.dst);
    Some(key)
}

/// Judges the tag of a packet.
pub(super) fn tag(flows: &Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key) {
    judge.fault_if(
        key.tag != 0 && !flows.offers.contains_key(&key),
        &rules::RECEIVER_TAG,
        seen,
        || format!("nobody at port {} has offered the tag {:#x}", key.to, key.tag),
    );
}

/// Judges whether a packet may be sent at this stage of the setup.
pub(super) fn order(flows: &Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key) {
    let packet = &seen.packet;
    let first = packet.first().map_or(0, |chunk| chunk.kind);
    let only = |allowed: &[u8]| packet.chunks().all(|chunk| allowed.contains(&chunk.kind));
    let Some(other) = flows.other(key) else {
        let asked = flows.offers.get(&key).is_some_and(|offer| offer.by_init);
        judge.fault_if(
            asked && !only(&[INIT_ACK, ABORT]),
            &rules::NOTHING_BEFORE_COOKIE_ECHO,
            seen,
            || name(first),
        );
        return;
    };
    let initiator = flows.offers.get(&other).is_some_and(|offer| offer.by_init && !offer.by_ack);
    let acknowledged = flows.flows.get(&other).is_some_and(|flow| flow.kinds.contains(&COOKIE_ACK));
    let allowed = first == COOKIE_ECHO || only(&[HEARTBEAT_ACK]) || packet.has(ABORT);
    judge.fault_if(initiator && !acknowledged && !allowed, &rules::COOKIE_ECHO_FIRST, seen, || {
        format!("{} before the COOKIE ACK", name(first))
    });
}

/// Judges a COOKIE ECHO.
pub(super) fn cookie_echo(
    flows: &mut Flows,
    judge: &mut Judge<'_>,
    seen: &Seen,
    key: Key,
    value: &[u8],
) {
    let known = flows.offers.get(&key).is_some_and(|offer| offer.cookies.contains(value));
    judge.fault_if(!known, &rules::COOKIE_UNCHANGED, seen, || {
        format!("no INIT ACK held this cookie of {} bytes", value.len())
    });
    flows.flow(key).echoed_from.insert(seen.src);
}

/// Judges a COOKIE ACK.
pub(super) fn cookie_ack(flows: &Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key) {
    let echoed = flows.other(key).and_then(|other| flows.flows.get(&other));
    let right = echoed.is_some_and(|flow| flow.echoed_from.contains(&seen.dst));
    judge.fault_if(!right, &rules::COOKIE_ACK_ANSWERS, seen, || {
        format!("no COOKIE ECHO came from {}", seen.dst)
    });
}
