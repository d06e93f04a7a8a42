//! Rules about the end of associations.

use super::events::Seen;
use super::flows::{Flows, Key};
use super::packet::{
    ABORT, Chunk, DATA, HEARTBEAT, INIT_ACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, be32, name,
};
use super::{Judge, rules};

/// Judges whether a packet may still be sent.
pub(super) fn order(flows: &mut Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key) {
    let packet = &seen.packet;
    let view = flows.flow(key).view(seen);
    let other =
        packet.chunks().map(|chunk| chunk.kind).find(|kind| *kind != ABORT && *kind != INIT_ACK);
    if let Some(kind) = other {
        judge.fault_if(view.aborted, &rules::SILENT_AFTER_ABORT, seen, || {
            format!("{} after ABORT", name(kind))
        });
        judge.fault_if(view.completed, &rules::SILENT_AFTER_COMPLETE, seen, || {
            format!("{} after SHUTDOWN COMPLETE", name(kind))
        });
    }
    judge.fault_if(
        view.shut_down && packet.has(DATA),
        &rules::NO_DATA_AFTER_SHUTDOWN,
        seen,
        || "DATA".to_owned(),
    );
    let beats = view.shut_down && packet.has(HEARTBEAT);
    judge.fault_if(beats, &rules::NO_HEARTBEAT_AFTER_SHUTDOWN, seen, || "HEARTBEAT".to_owned());
}

/// Judges a chunk that ends an association.
pub(super) fn take(
    flows: &mut Flows,
    judge: &mut Judge<'_>,
    seen: &Seen,
    key: Key,
    chunk: Chunk<'_>,
) {
    let other = flows.other(key);
    let answers = |kind| {
        other.and_then(|o| flows.flows.get(&o)).is_some_and(|flow| flow.kinds.contains(&kind))
    };
    let linked = other.is_some();
    match chunk.kind {
        SHUTDOWN_ACK => {
            judge.fault_if(linked && !answers(SHUTDOWN), &rules::SHUTDOWN_ACK_ANSWERS, seen, || {
                "there was no SHUTDOWN".to_owned()
            })
        }
        SHUTDOWN_COMPLETE => {
            judge.fault_if(
                linked && !answers(SHUTDOWN_ACK),
                &rules::SHUTDOWN_COMPLETE_ANSWERS,
                seen,
                || "there was no SHUTDOWN ACK".to_owned(),
            );
        }
        SHUTDOWN => {
            if let Some(cum_tsn) = be32(chunk.value, 0) {
                super::sack::acknowledge(flows, judge, seen, key, (SHUTDOWN, cum_tsn), &[], None);
            }
        }
        _ => {}
    }
    let view = flows.flow(key).view(seen);
    match chunk.kind {
        ABORT => view.aborted = true,
        SHUTDOWN_COMPLETE => view.completed = true,
        _ => view.shut_down = true,
    }
}

/// Judges a packet that answers a stray one with the tag of that packet.
pub(super) fn reflected(flows: &Flows, judge: &mut Judge<'_>, seen: &Seen) {
    let stray = flows.flows.get(&Key::towards_sender(&seen.packet, seen.packet.tag));
    judge.fault_if(stray.is_none(), &rules::REFLECTED_TAG, seen, || {
        format!("no packet with the tag {:#x} came", seen.packet.tag)
    });
    let complete = seen.packet.has(SHUTDOWN_COMPLETE);
    let answers = stray.is_some_and(|flow| flow.kinds.contains(&SHUTDOWN_ACK));
    judge.fault_if(complete && !answers, &rules::SHUTDOWN_COMPLETE_ANSWERS, seen, || {
        "there was no SHUTDOWN ACK".to_owned()
    });
}
