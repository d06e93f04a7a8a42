//! Random SACKs, compared with a model that keeps one state for each chunk and computes everything
//! else anew.

use proptest::prelude::*;

use super::super::SackVerdict;
use super::super::acknowledge::subtract;
use super::super::slot::MIN_WINDOW_COST;
use super::*;
use crate::addr::{Encap, PathAddr, SendOptions};
use crate::assoc::path::Path;
use crate::config::AssocConfig;
use crate::serial::Ssn;
use crate::stats::PathState;
use crate::wire::{Chunk, DataFlags, MessageId, Packet, PacketWriter, SackChunk};

const BASE: Tsn = Tsn(u32::MAX - 20);

pub(crate) fn paths() -> PathSet {
    let mut set = PathSet::default();
    for host in 1..=2 {
        let addr = PathAddr { local: None, remote: [10, 0, 0, host].into(), encap: Encap::Native };
        set.add(Path::new(addr, PathState::Active, &AssocConfig::default(), Time::ZERO)).unwrap();
    }
    set
}

pub(crate) fn fragment(len: usize) -> Fragment {
    Fragment {
        payload: vec![0; len].into(),
        stream: 0,
        id: MessageId::Ssn(Ssn(0)),
        ppid: 0,
        flags: DataFlags::WHOLE,
        options: SendOptions::default(),
        whole: None,
    }
}

/// Calls `run` with a SACK that has these blocks, decoded as if it came from the network.
pub(crate) fn with_sack<R>(
    cum: Tsn,
    gaps: &[(u16, u16)],
    run: impl FnOnce(&SackChunk<'_>) -> R,
) -> R {
    let mut buf = Vec::new();
    let mut writer = PacketWriter::new(&mut buf, 60_000, 1, 1, 1);
    writer.sack(cum, 0, gaps.iter().copied(), &[]);
    writer.finish();
    let packet = Packet::check(buf.into()).unwrap();
    let raw = packet.chunks().next().unwrap();
    let Chunk::Sack(sack) = raw.decode(&packet).unwrap() else { panic!("not a SACK") };
    run(&sack)
}

#[derive(Clone, Debug)]
enum Step {
    Push { len: usize, path: u8 },
    Sack { advance: u32, gaps: Vec<(u16, u16)> },
    Shutdown { advance: u32 },
    Timeout { path: u8, to: u8 },
    Retransmit { path: u8, count: usize },
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    let gap =
        (0u16..40, 0u16..12).prop_map(|(start, len)| (start, (start + len).saturating_sub(3)));
    prop_oneof![
        5 => (1usize..100, 0u8..2).prop_map(|(len, path)| Step::Push { len, path }),
        4 => (0u32..4, prop::collection::vec(gap, 0..4))
            .prop_map(|(advance, gaps)| Step::Sack { advance, gaps }),
        1 => (0u32..3).prop_map(|advance| Step::Shutdown { advance }),
        1 => (0u8..2, 0u8..2).prop_map(|(path, to)| Step::Timeout { path, to }),
        3 => (0u8..2, 1usize..6).prop_map(|(path, count)| Step::Retransmit { path, count }),
        1 => Just(Step::Recover),
    ]
}

/// One chunk of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    len: usize,
    path: u8,
    state: State,
    misses: u8,
    fast: bool,
}

#[derive(Default)]
struct Model {
    cum: u32,
    chunks: VecDeque<Sent>,
    exit: Option<u32>,
}

impl Model {
    /// `None` when the SACK acknowledges something that was never sent.
    fn sack(&mut self, advance: u32, gaps: Option<&[(u16, u16)]>) -> Option<()> {
        let mut good: Vec<(usize, usize)> = Vec::new();
        for &(start, end) in gaps.unwrap_or(&[]) {
            let last = good.last().map_or(1, |b| b.1);
            if usize::from(start) > last && start <= end {
                good.push((start.into(), end.into()));
            }
        }
        let top = good.last().map_or(0, |b| b.1);
        if advance as usize + top > self.chunks.len() {
            return None;
        }
        let was: Vec<State> = self.chunks.iter().map(|c| c.state).collect();
        let mut newly = was[..advance as usize].iter().any(|s| *s != State::Acked);
        self.chunks.drain(..advance as usize);
        self.cum += advance;
        let mut highest = 0;
        let mut taken_back = Vec::new();
        if gaps.is_some() {
            for (i, chunk) in self.chunks.iter_mut().enumerate() {
                let covered = good.iter().any(|&(s, e)| s <= i + 1 && i < e);
                match (covered, chunk.state == State::Acked) {
                    (true, false) => {
                        chunk.state = State::Acked;
                        highest = i + 1;
                        newly = true;
                    }
                    (false, true) => {
                        chunk.state = State::InFlight;
                        chunk.misses = 0;
                        taken_back.push(i);
                    }
                    _ => {}
                }
            }
        } else if let Some(first) = self.chunks.front_mut().filter(|c| c.state == State::Acked) {
            // A SHUTDOWN whose cumulative TSN stops before an acknowledged chunk takes that
            // acknowledgement back.
            first.state = State::InFlight;
            first.misses = 0;
            taken_back.push(0);
        }
        let accused = match (newly, self.exit.is_some() && advance > 0) {
            (false, _) => 0,
            (true, true) => top,
            (true, false) => highest,
        };
        for (i, chunk) in self.chunks.iter_mut().enumerate() {
            if chunk.state == State::InFlight && (i + 1 < accused || taken_back.contains(&i)) {
                chunk.misses += u8::from(!chunk.fast);
                if chunk.misses >= 3 {
                    chunk.fast = true;
                    chunk.state = State::Lost;
                    chunk.misses = 0;
                }
            }
        }
        if self.exit.is_some_and(|exit| exit <= self.cum) {
            self.exit = None;
        }
        Some(())
    }
}

fn view(out: &Outstanding) -> Vec<Sent> {
    out.slots
        .iter()
        .map(|s| Sent {
            len: s.payload.len(),
            path: s.path.0,
            state: s.state,
            // Misses do not matter after the fast retransmit.
            misses: if s.fast_retransmitted { 0 } else { s.misses },
            fast: s.fast_retransmitted,
        })
        .collect()
}

proptest! {
    #[test]
    fn agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut paths = paths();
        let mut out = Outstanding::new(BASE.next());
        let mut model = Model::default();
        for step in steps {
            match step.clone() {
                Step::Push { len, path } => {
                    let tsn = out.push(fragment(len), PathId(path), Time::ZERO, &mut paths);
                    model.chunks.push_back(Sent {
                        len,
                        path,
                        state: State::InFlight,
                        misses: 0,
                        fast: false,
                    });
                    prop_assert_eq!(tsn, BASE.plus(model.cum + model.chunks.len() as u32));
                }
                Step::Sack { advance, gaps } => {
                    let cum = BASE.plus(model.cum + advance);
                    let before = view(&out);
                    let acked_before: usize =
                        before.iter().filter(|s| s.state == State::Acked).count();
                    let verdict = with_sack(cum, &gaps, |s| {
                        out.on_sack(cum, Some(s), Time::ZERO, &mut paths)
                    });
                    let expected = match model.sack(advance, Some(&gaps)) {
                        Some(()) => SackVerdict::Processed,
                        None => SackVerdict::Unsent,
                    };
                    prop_assert_eq!(verdict, expected);
                    if verdict == SackVerdict::Processed && acked_before == 0 {
                        let bytes: u32 = out.path_acks().iter().map(|a| a.newly_acked).sum();
                        prop_assert_eq!(
                            bytes > 0,
                            advance > 0 || view(&out).iter().any(|s| s.state == State::Acked)
                        );
                    }
                    if verdict == SackVerdict::Processed {
                        let after = view(&out);
                        for (path, acks) in out.path_acks().iter().enumerate() {
                            let advance = advance as usize;
                            let mine = |c: &Sent| usize::from(c.path) == path;
                            let cum = before
                                .iter()
                                .take(advance)
                                .any(|c| mine(c) && c.state != State::Acked);
                            // Was in flight and is not acknowledged; it may still be in flight or
                            // be marked lost now.
                            let gap = (0..after.len()).any(|i| {
                                mine(&after[i])
                                    && after[i].state == State::Acked
                                    && before[i + advance].state != State::Acked
                                    && !after[..i].iter().zip(&before[advance..]).any(
                                        |(now, was)| {
                                            mine(now)
                                                && (now.state == State::InFlight
                                                    || now.state == State::Lost
                                                        && was.state != State::Lost)
                                        },
                                    )
                            });
                            prop_assert_eq!(acks.lowest_acked, cum || gap);
                        }
                    }
                    if model.cum > 0 {
                        let old = BASE.plus(model.cum - 1);
                        let verdict = with_sack(old, &gaps, |s| {
                            out.on_sack(old, Some(s), Time::ZERO, &mut paths)
                        });
                        prop_assert_eq!(verdict, SackVerdict::Old);
                    }
                }
                Step::Shutdown { advance } => {
                    let cum = BASE.plus(model.cum + advance);
                    let verdict = out.on_sack(cum, None, Time::ZERO, &mut paths);
                    prop_assert_eq!(
                        verdict == SackVerdict::Processed,
                        model.sack(advance, None).is_some()
                    );
                }
                Step::Timeout { path, to } => {
                    out.on_t3(PathId(path), PathId(to), &mut paths);
                    for chunk in model
                        .chunks
                        .iter_mut()
                        .filter(|c| c.path == path && c.state != State::Acked)
                    {
                        chunk.state = State::Lost;
                        chunk.misses = 0;
                        chunk.path = to;
                    }
                    model.exit = None;
                }
                Step::Retransmit { path, count } => {
                    let mut from = 0;
                    for _ in 0..count {
                        let expected = model
                            .chunks
                            .iter()
                            .skip(from)
                            .position(|c| c.path == path && c.state == State::Lost)
                            .map(|i| i + from);
                        let next = out.next_lost(PathId(path), from);
                        prop_assert_eq!(next, expected);
                        let Some(index) = next else { break };
                        let lowest = !model
                            .chunks
                            .iter()
                            .take(index)
                            .any(|c| c.path == path && c.state == State::InFlight);
                        prop_assert_eq!(out.is_lowest_on_path(index), lowest);
                        out.retransmitted(index, Time::ZERO, &mut paths);
                        model.chunks[index].state = State::InFlight;
                        model.chunks[index].misses = 0;
                        from = index + 1;
                    }
                }
                Step::Recover => {
                    out.enter_fast_recovery();
                    model.exit = Some(model.cum + model.chunks.len() as u32);
                }
            }
            out.verify(&paths).map_err(TestCaseError::fail)?;
            prop_assert_eq!(
                view(&out),
                model.chunks.iter().cloned().collect::<Vec<_>>(),
                "after {:?}",
                step
            );
            prop_assert_eq!(out.in_fast_recovery(), model.exit.is_some());
        }
    }
}

#[test]
fn invalid_gap_blocks_change_nothing() {
    let mut paths = paths();
    let mut out = Outstanding::new(BASE.next());
    for _ in 0..3 {
        out.push(fragment(10), PathId(0), Time::ZERO, &mut paths);
    }
    // Thousands of blocks for three chunks, and none of the blocks is valid.
    let gaps: Vec<(u16, u16)> = (0..10_000).map(|_| (3, 2)).collect();
    let verdict = with_sack(BASE, &gaps, |s| out.on_sack(BASE, Some(s), Time::ZERO, &mut paths));
    assert_eq!(verdict, SackVerdict::Processed);
    assert_eq!(out.window_used(), 3 * MIN_WINDOW_COST);
    out.verify(&paths).unwrap();
}

proptest! {
    #[test]
    fn ranges_are_subtracted_as_sets(these in ranges(), those in ranges()) {
        let mut out: Vec<Range<usize>> = std::iter::once(7..9).collect();
        subtract(&these, &those, &mut out);
        let expected =
            these.iter().cloned().flatten().filter(|i| !those.iter().any(|r| r.contains(i)));
        prop_assert!(out.iter().cloned().flatten().eq(expected), "{out:?}");
        prop_assert!(out.iter().all(|r| r.start < r.end));
    }
}

fn ranges() -> impl Strategy<Value = Vec<Range<usize>>> {
    prop::collection::vec((0usize..5, 1usize..6), 0..12).prop_map(|parts| {
        let mut at = 0;
        let range = |(space, len)| {
            let start = at + space;
            at = start + len;
            start..at
        };
        parts.into_iter().map(range).collect()
    })
}
