//! Rules about SACK, and about the acknowledgement in SHUTDOWN.

use super::events::Seen;
use super::flows::{Flows, Key};
use super::packet::{SACK, ahead, be16, be32, name};
use super::{Judge, rules};

/// The fields of a SACK.
struct Parts {
    cum_tsn: u32,
    window: u32,
    /// Relative to the cumulative TSN.
    gaps: Vec<(u16, u16)>,
    duplicates: Vec<u32>,
}

fn parse(value: &[u8]) -> Option<Parts> {
    let (gaps, duplicates) = (usize::from(be16(value, 8)?), usize::from(be16(value, 10)?));
    let gap = |n: usize| Some((be16(value, 12 + 4 * n)?, be16(value, 14 + 4 * n)?));
    let duplicate = |n: usize| be32(value, 12 + 4 * gaps + 4 * n);
    Some(Parts {
        cum_tsn: be32(value, 0)?,
        window: be32(value, 4)?,
        gaps: (0..gaps).map(gap).collect::<Option<_>>()?,
        duplicates: (0..duplicates).map(duplicate).collect::<Option<_>>()?,
    })
}

/// Judges a SACK by itself.
pub(super) fn form(judge: &mut Judge<'_>, seen: &Seen, value: &[u8]) {
    let Some(sack) = parse(value) else { return };
    let mut free = 2;
    for (start, end) in &sack.gaps {
        let right = u32::from(*start) >= free && start <= end;
        judge.fault_if(!right, &rules::GAP_BLOCKS, seen, || format!("gap blocks {:?}", sack.gaps));
        if !right {
            break;
        }
        // The next TSN is missing, or else this block would be longer.
        free = u32::from(*end) + 2;
    }
    for tsn in &sack.duplicates {
        let offset = ahead(sack.cum_tsn, *tsn);
        let held =
            |(start, end): &(u16, u16)| (i64::from(*start)..=i64::from(*end)).contains(&offset);
        judge.fault_if(
            offset > 0 && !sack.gaps.iter().any(held),
            &rules::SACK_DUPLICATES,
            seen,
            || format!("the duplicate TSN {tsn} is not acknowledged"),
        );
    }
}

/// Judges a SACK in the light of earlier packets.
pub(super) fn take(flows: &mut Flows, judge: &mut Judge<'_>, seen: &Seen, key: Key, value: &[u8]) {
    let Some(sack) = parse(value) else { return };
    if let Some(other) = flows.other(key) {
        let none = flows.flow(other).sent.chunks.is_empty();
        judge.fault_if(none, &rules::SACK_ANSWERS, seen, || "there was no DATA".to_owned());
    }
    acknowledge(flows, judge, seen, key, (SACK, sack.cum_tsn), &sack.gaps, Some(sack.window));
}

/// Judges and notes an acknowledgement: a cumulative TSN and, in a SACK, the rest of it.
pub(super) fn acknowledge(
    flows: &mut Flows,
    judge: &mut Judge<'_>,
    seen: &Seen,
    key: Key,
    (kind, cum_tsn): (u8, u32),
    gaps: &[(u16, u16)],
    window: Option<u32>,
) {
    let view = flows.flow(key).view(seen);
    let before = view.cum_tsn.replace(cum_tsn).filter(|before| ahead(*before, cum_tsn) < 0);
    if let Some(before) = before {
        view.cum_tsn = Some(before);
        judge.fault(
            &rules::SACK_FORWARD,
            seen,
            format!("{} goes back from {before} to {cum_tsn}", name(kind)),
        );
    }
    let Some(other) = flows.other(key) else { return };
    let near = judge.is_near(seen.file, seen.src);
    let flow = flows.flow(other);
    let Some(cum) = flow.sent.offset(cum_tsn) else { return };
    let gaps: Vec<(i64, i64)> =
        gaps.iter().map(|(start, end)| (cum + i64::from(*start), cum + i64::from(*end))).collect();
    let most = gaps.iter().map(|(_, end)| *end).max().unwrap_or(cum).max(cum);
    let highest = flow.sent.highest();
    judge.fault_if(most > highest, &rules::SACK_SENT, seen, || {
        format!(
            "{} acknowledges TSN {}, {} was the last",
            name(kind),
            flow.sent.tsn(most),
            flow.sent.tsn(highest)
        )
    });
    flow.window.acknowledge(cum, &gaps, window);
    flow.sent.acknowledged(cum, seen.time);
    if near && kind == SACK {
        flow.timing.acknowledged(judge, seen, cum, &gaps);
    }
}
