//! Member selection policies (RFC 5356, and the further ones of RSPLIB).
//!
//! ```text
//! policy number u32 | fields, u32 each
//! ```
//!
//! Loads, degradations and delay penalty factors (DPF) are fractions of 0xffffffff: 0 is 0 %,
//! 0xffffffff is 100 %. Distances are milliseconds.

use bytes::Bytes;
use sctp_user_core::tlv::{Reader, Tlv, Writer};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

use crate::error::DecodeError;
use crate::numbers::param;

/// A policy with its values. Every policy can be decoded: an unknown one keeps its number and its
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are explained in the module documentation")]
pub enum Policy {
    /// One after the other.
    RoundRobin,
    /// One after the other, each as often as its weight says.
    WeightedRoundRobin { weight: u32 },
    /// Any, equally likely.
    Random,
    /// Any, with probability proportional to the weight.
    WeightedRandom { weight: u32 },
    /// Highest priority first.
    Priority { priority: u32 },
    /// Lowest load first.
    LeastUsed { load: u32 },
    /// Lowest load first; until the next update, every selection adds to the load.
    LeastUsedDegradation { load: u32, load_degradation: u32 },
    /// First the one with the lowest load after one more request.
    PriorityLeastUsed { load: u32, load_degradation: u32 },
    /// Any, with probability proportional to 100 % minus the load.
    RandomizedLeastUsed { load: u32 },
    /// Any, with probability proportional to the free capacity after one more request.
    RandomizedPriorityLeastUsed { load: u32, load_degradation: u32 },
    /// As `RandomizedLeastUsed`, but every selection adds to the load.
    RandomizedLeastUsedDegradation { load: u32, load_degradation: u32 },
    /// As `PriorityLeastUsed`, but every selection adds to the load.
    PriorityLeastUsedDegradation { load: u32, load_degradation: u32 },
    /// Both of the above.
    RandomizedPriorityLeastUsedDegradation { load: u32, load_degradation: u32 },
    /// As `WeightedRandom`, but distance reduces the weight.
    WeightedRandomDpf { weight: u32, weight_dpf: u32, distance: u32 },
    /// As `LeastUsed`, but distance increases the load.
    LeastUsedDpf { load: u32, load_dpf: u32, distance: u32 },
    /// As `LeastUsedDegradation`, but distance increases the load.
    LeastUsedDegradationDpf { load: u32, load_degradation: u32, load_dpf: u32, distance: u32 },
    /// Any other number, with the bytes that follow it.
    Unknown { number: u32, fields: Bytes },
}

/// Number, RSPLIB's name and number of fields of every known policy.
const POLICIES: [(u32, &str, usize); 16] = [
    (0x0000_0001, "RoundRobin", 0),
    (0x0000_0002, "WeightedRoundRobin", 1),
    (0x0000_0003, "Random", 0),
    (0x0000_0004, "WeightedRandom", 1),
    (0x0000_0005, "Priority", 1),
    (0x4000_0001, "LeastUsed", 1),
    (0x4000_0002, "LeastUsedDegradation", 2),
    (0x4000_0003, "PriorityLeastUsed", 2),
    (0x4000_0004, "RandomizedLeastUsed", 1),
    (0xb000_1001, "RandomizedPriorityLeastUsed", 2),
    (0xb000_1002, "RandomizedLeastUsedDegradation", 2),
    (0xb000_1003, "PriorityLeastUsedDegradation", 2),
    (0xb000_1004, "RandomizedPriorityLeastUsedDegradation", 2),
    (0xb000_2001, "WeightedRandomDPF", 3),
    (0xb000_2002, "LeastUsedDPF", 3),
    (0xb000_2003, "LeastUsedDegradationDPF", 4),
];

const MAX_FIELDS: usize = 4;

impl Policy {
    /// The policy number on the wire. All elements of a pool must have the same.
    pub fn number(&self) -> u32 {
        match self {
            Policy::RoundRobin => 0x0000_0001,
            Policy::WeightedRoundRobin { .. } => 0x0000_0002,
            Policy::Random => 0x0000_0003,
            Policy::WeightedRandom { .. } => 0x0000_0004,
            Policy::Priority { .. } => 0x0000_0005,
            Policy::LeastUsed { .. } => 0x4000_0001,
            Policy::LeastUsedDegradation { .. } => 0x4000_0002,
            Policy::PriorityLeastUsed { .. } => 0x4000_0003,
            Policy::RandomizedLeastUsed { .. } => 0x4000_0004,
            Policy::RandomizedPriorityLeastUsed { .. } => 0xb000_1001,
            Policy::RandomizedLeastUsedDegradation { .. } => 0xb000_1002,
            Policy::PriorityLeastUsedDegradation { .. } => 0xb000_1003,
            Policy::RandomizedPriorityLeastUsedDegradation { .. } => 0xb000_1004,
            Policy::WeightedRandomDpf { .. } => 0xb000_2001,
            Policy::LeastUsedDpf { .. } => 0xb000_2002,
            Policy::LeastUsedDegradationDpf { .. } => 0xb000_2003,
            Policy::Unknown { number, .. } => *number,
        }
    }

    /// The name as RSPLIB prints it; "Unknown" for an unknown number.
    pub fn name(&self) -> &'static str {
        let number = self.number();
        POLICIES.iter().find(|p| p.0 == number).map_or("Unknown", |p| p.1)
    }

    /// The names of all known policies.
    pub fn names() -> impl Iterator<Item = &'static str> {
        POLICIES.iter().map(|p| p.1)
    }

    /// Whether the policy depends on a state that elements report. Then an element re-registers at
    /// once when its load changes. This holds for every policy with a load, and for unknown ones
    /// with the "adaptive" bit (bit 30) of RFC 5356.
    pub fn is_adaptive(&self) -> bool {
        match self {
            Policy::Unknown { number, .. } => number & 0x4000_0000 != 0,
            known => known.load().is_some(),
        }
    }

    /// The load, if the policy has one.
    pub fn load(&self) -> Option<u32> {
        match self {
            Policy::LeastUsed { load }
            | Policy::LeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsed { load }
            | Policy::RandomizedPriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsedDegradation { load, .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { load, .. }
            | Policy::LeastUsedDpf { load, .. }
            | Policy::LeastUsedDegradationDpf { load, .. } => Some(*load),
            _ => None,
        }
    }

    /// Sets the load, if the policy has one.
    pub fn set_load(&mut self, new: u32) {
        match self {
            Policy::LeastUsed { load }
            | Policy::LeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsed { load }
            | Policy::RandomizedPriorityLeastUsed { load, .. }
            | Policy::RandomizedLeastUsedDegradation { load, .. }
            | Policy::PriorityLeastUsedDegradation { load, .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { load, .. }
            | Policy::LeastUsedDpf { load, .. }
            | Policy::LeastUsedDegradationDpf { load, .. } => *load = new,
            _ => {}
        }
    }

    /// The distance in milliseconds, if the policy has one.
    pub fn distance(&self) -> Option<u32> {
        match self {
            Policy::WeightedRandomDpf { distance, .. }
            | Policy::LeastUsedDpf { distance, .. }
            | Policy::LeastUsedDegradationDpf { distance, .. } => Some(*distance),
            _ => None,
        }
    }

    /// Sets the distance in milliseconds, if the policy has one.
    pub fn set_distance(&mut self, new: u32) {
        match self {
            Policy::WeightedRandomDpf { distance, .. }
            | Policy::LeastUsedDpf { distance, .. }
            | Policy::LeastUsedDegradationDpf { distance, .. } => *distance = new,
            _ => {}
        }
    }

    /// A share between 0 and 1 as a fraction of 0xffffffff. Other values are clamped, and NaN is 0.
    pub fn fraction(share: f64) -> u32 {
        // `as` saturates and turns NaN into 0.
        (share.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        let mark = w.begin_tlv(param::POLICY);
        w.u32(self.number());
        let mut fields = |values: &[u32]| values.iter().for_each(|&v| w.u32(v));
        match *self {
            Policy::RoundRobin | Policy::Random => {}
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                fields(&[weight])
            }
            Policy::Priority { priority } => fields(&[priority]),
            Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => fields(&[load]),
            Policy::LeastUsedDegradation { load, load_degradation }
            | Policy::PriorityLeastUsed { load, load_degradation }
            | Policy::RandomizedPriorityLeastUsed { load, load_degradation }
            | Policy::RandomizedLeastUsedDegradation { load, load_degradation }
            | Policy::PriorityLeastUsedDegradation { load, load_degradation }
            | Policy::RandomizedPriorityLeastUsedDegradation { load, load_degradation } => {
                fields(&[load, load_degradation]);
            }
            Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
                fields(&[weight, weight_dpf, distance])
            }
            Policy::LeastUsedDpf { load, load_dpf, distance } => {
                fields(&[load, load_dpf, distance])
            }
            Policy::LeastUsedDegradationDpf { load, load_degradation, load_dpf, distance } => {
                fields(&[load, load_degradation, load_dpf, distance]);
            }
            Policy::Unknown { fields: ref bytes, .. } => w.bytes(bytes),
        }
        w.end_tlv(mark);
    }

    /// Ignores bytes after the fields of a known policy, as RSPLIB does.
    pub(crate) fn decode(tlv: &Tlv<'_>) -> Result<Self, DecodeError> {
        let too_short = |_| DecodeError::value(tlv.kind, tlv.whole);
        let mut r = Reader::new(tlv.value);
        let number = r.u32().map_err(too_short)?;
        let Some(&(_, _, count)) = POLICIES.iter().find(|p| p.0 == number) else {
            return Ok(Policy::Unknown { number, fields: Bytes::copy_from_slice(r.rest()) });
        };
        let mut fields = [0; MAX_FIELDS];
        for field in fields.iter_mut().take(count) {
            *field = r.u32().map_err(too_short)?;
        }
        Ok(Policy::of(number, fields))
    }

    /// A known policy from its number and its fields in wire order. Ignores superfluous fields.
    fn of(number: u32, [a, b, c, d]: [u32; MAX_FIELDS]) -> Policy {
        let (load, load_degradation) = (a, b);
        match number {
            0x0000_0001 => Policy::RoundRobin,
            0x0000_0002 => Policy::WeightedRoundRobin { weight: a },
            0x0000_0003 => Policy::Random,
            0x0000_0004 => Policy::WeightedRandom { weight: a },
            0x0000_0005 => Policy::Priority { priority: a },
            0x4000_0001 => Policy::LeastUsed { load },
            0x4000_0002 => Policy::LeastUsedDegradation { load, load_degradation },
            0x4000_0003 => Policy::PriorityLeastUsed { load, load_degradation },
            0x4000_0004 => Policy::RandomizedLeastUsed { load },
            0xb000_1001 => Policy::RandomizedPriorityLeastUsed { load, load_degradation },
            0xb000_1002 => Policy::RandomizedLeastUsedDegradation { load, load_degradation },
            0xb000_1003 => Policy::PriorityLeastUsedDegradation { load, load_degradation },
            0xb000_1004 => {
                Policy::RandomizedPriorityLeastUsedDegradation { load, load_degradation }
            }
            0xb000_2001 => Policy::WeightedRandomDpf { weight: a, weight_dpf: b, distance: c },
            0xb000_2002 => Policy::LeastUsedDpf { load, load_dpf: b, distance: c },
            0xb000_2003 => {
                Policy::LeastUsedDegradationDpf { load, load_degradation, load_dpf: c, distance: d }
            }
            number => Policy::Unknown { number, fields: Bytes::new() },
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |v: u32| f64::from(v) / f64::from(u32::MAX) * 100.0;
        match *self {
            Policy::Unknown { number, .. } => return write!(f, "Unknown ({number:#010x})"),
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                return write!(f, "{} weight={weight}", self.name());
            }
            Policy::Priority { priority } => {
                return write!(f, "{} priority={priority}", self.name());
            }
            Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
                let (name, dpf) = (self.name(), percent(weight_dpf));
                return write!(f, "{name} weight={weight} dpf={dpf:.2}% distance={distance}ms");
            }
            _ => f.write_str(self.name())?,
        }
        if let Some(load) = self.load() {
            write!(f, " load={:.2}%", percent(load))?;
        }
        match *self {
            Policy::LeastUsedDegradation { load_degradation, .. }
            | Policy::PriorityLeastUsed { load_degradation, .. }
            | Policy::RandomizedPriorityLeastUsed { load_degradation, .. }
            | Policy::RandomizedLeastUsedDegradation { load_degradation, .. }
            | Policy::PriorityLeastUsedDegradation { load_degradation, .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { load_degradation, .. } => {
                write!(f, " degradation={:.2}%", percent(load_degradation))
            }
            Policy::LeastUsedDpf { load_dpf, distance, .. } => {
                write!(f, " dpf={:.2}% distance={distance}ms", percent(load_dpf))
            }
            Policy::LeastUsedDegradationDpf { load_degradation, load_dpf, distance, .. } => {
                let (deg, dpf) = (percent(load_degradation), percent(load_dpf));
                write!(f, " degradation={deg:.2}% dpf={dpf:.2}% distance={distance}ms")
            }
            _ => Ok(()),
        }
    }
}

/// A policy on a command line cannot be understood. The text says what is right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PolicyParseError(String);

/// The arguments of a policy on a command line, in the order in which they are written.
#[derive(Clone, Copy)]
enum Arg {
    Weight,
    Priority,
    Degradation,
    Dpf,
}

impl Arg {
    fn name(self) -> &'static str {
        match self {
            Arg::Weight => "weight",
            Arg::Priority => "priority",
            Arg::Degradation => "load degradation",
            Arg::Dpf => "DPF",
        }
    }

    fn parse(self, text: &str) -> Option<u32> {
        match self {
            Arg::Weight | Arg::Priority => text.parse().ok(),
            Arg::Degradation | Arg::Dpf => {
                text.parse().ok().filter(|v| (0.0..=1.0).contains(v)).map(Policy::fraction)
            }
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyParseError;

    /// `Name[:a[:b]]` as RSPLIB's programs take it: `WeightedRandom:10`,
    /// `LeastUsedDegradation:0.25`, `WeightedRandomDPF:10:0.5`. Weights and priorities are whole
    /// numbers; degradations and DPFs are between 0 and 1. Loads and distances start at 0. Case
    /// does not matter.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut parts = s.split(':');
        let name = parts.next().unwrap_or_default();
        let Some(&(number, name, _)) = POLICIES.iter().find(|p| p.1.eq_ignore_ascii_case(name))
        else {
            let known: Vec<_> = Policy::names().collect();
            return Err(PolicyParseError(format!(
                "unknown policy \"{name}\"; known are {}",
                known.join(", ")
            )));
        };
        let wanted: &[Arg] = match number {
            0x0000_0002 | 0x0000_0004 => &[Arg::Weight],
            0x0000_0005 => &[Arg::Priority],
            0x4000_0002 | 0x4000_0003 | 0xb000_1001..=0xb000_1004 => &[Arg::Degradation],
            0xb000_2001 => &[Arg::Weight, Arg::Dpf],
            0xb000_2002 => &[Arg::Dpf],
            0xb000_2003 => &[Arg::Degradation, Arg::Dpf],
            _ => &[],
        };
        let mut values = [0; 2];
        for (value, arg) in values.iter_mut().zip(wanted) {
            let what = arg.name();
            let text = parts.next().ok_or_else(|| {
                PolicyParseError(format!("policy {name} needs a {what}: {}", usage(name, wanted)))
            })?;
            *value = arg.parse(text).ok_or_else(|| {
                let range = match arg {
                    Arg::Weight | Arg::Priority => "a whole number from 0 to 4294967295",
                    Arg::Degradation | Arg::Dpf => "a number from 0 to 1",
                };
                PolicyParseError(format!("the {what} of policy {name} is {range}, not \"{text}\""))
            })?;
        }
        if parts.next().is_some() {
            return Err(PolicyParseError(format!(
                "policy {name} has {} arguments: {}",
                wanted.len(),
                usage(name, wanted)
            )));
        }
        let [a, b] = values;
        Ok(Policy::of(
            number,
            match number {
                0x0000_0002 | 0x0000_0004 | 0x0000_0005 => [a, 0, 0, 0],
                0xb000_2001 => [a, b, 0, 0],
                0xb000_2003 => [0, a, b, 0],
                // After the load comes the degradation or the DPF.
                _ => [0, a, 0, 0],
            },
        ))
    }
}

fn usage(name: &str, args: &[Arg]) -> String {
    args.iter().fold(name.to_string(), |mut s, arg| {
        s.push_str(":<");
        s.push_str(arg.name());
        s.push('>');
        s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_enum_agree() {
        for (number, name, count) in POLICIES {
            let policy = Policy::of(number, [1, 2, 3, 4]);
            assert_eq!(policy.number(), number);
            assert_eq!(policy.name(), name);
            let mut bytes = Vec::new();
            policy.encode(&mut Writer::new(&mut bytes));
            assert_eq!(bytes.len(), 8 + 4 * count, "{name}");
            assert_eq!(policy.is_adaptive(), name.contains("LeastUsed"), "{name}");
        }
    }

    #[test]
    fn command_line_forms() {
        let p = |s: &str| s.parse::<Policy>();
        assert_eq!(p("RoundRobin"), Ok(Policy::RoundRobin));
        assert_eq!(p("weightedrandom:7"), Ok(Policy::WeightedRandom { weight: 7 }));
        assert_eq!(p("Priority:3"), Ok(Policy::Priority { priority: 3 }));
        assert_eq!(p("LeastUsed"), Ok(Policy::LeastUsed { load: 0 }));
        assert_eq!(
            p("LeastUsedDegradation:1"),
            Ok(Policy::LeastUsedDegradation { load: 0, load_degradation: u32::MAX })
        );
        assert_eq!(
            p("WeightedRandomDPF:5:0.5"),
            Ok(Policy::WeightedRandomDpf { weight: 5, weight_dpf: 0x8000_0000, distance: 0 })
        );
        assert_eq!(
            p("LeastUsedDPF:1"),
            Ok(Policy::LeastUsedDpf { load: 0, load_dpf: u32::MAX, distance: 0 })
        );
        assert_eq!(
            p("LeastUsedDegradationDPF:0:1"),
            Ok(Policy::LeastUsedDegradationDpf {
                load: 0,
                load_degradation: 0,
                load_dpf: u32::MAX,
                distance: 0
            })
        );
    }

    #[test]
    fn command_line_errors_say_what_is_right() {
        let e = |s: &str| s.parse::<Policy>().unwrap_err().to_string();
        assert!(e("Fair").starts_with("unknown policy \"Fair\"; known are RoundRobin, "));
        assert_eq!(
            e("WeightedRandom"),
            "policy WeightedRandom needs a weight: WeightedRandom:<weight>"
        );
        assert_eq!(
            e("Priority:x"),
            "the priority of policy Priority is a whole number from 0 to 4294967295, not \"x\""
        );
        assert_eq!(
            e("LeastUsedDegradation:1.5"),
            "the load degradation of policy LeastUsedDegradation is a number from 0 to 1, not \
             \"1.5\""
        );
        assert_eq!(e("RoundRobin:1"), "policy RoundRobin has 0 arguments: RoundRobin");
    }

    #[test]
    fn fractions() {
        assert_eq!(Policy::fraction(0.0), 0);
        assert_eq!(Policy::fraction(1.0), u32::MAX);
        assert_eq!(Policy::fraction(7.0), u32::MAX);
        assert_eq!(Policy::fraction(f64::NAN), 0);
    }
}
