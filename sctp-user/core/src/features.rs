//! The extensions of SCTP that both ends support.

use crate::wire::{InitChunk, Param};

/// A set of extensions. INIT and INIT ACK negotiate which ones an association uses (RFC 5061 sec
/// 4.2.7). The set travels in the State Cookie and does not change afterwards.
///
/// This stack implements none yet, so it announces none, and the set in force is always empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

/// The chunk types in the Supported Extensions parameter, and the extension that each stands for.
const BY_CHUNK: [(u8, Features); 5] = [
    (0xc0, Features::PR_SCTP),
    (0xc1, Features::ASCONF),
    (0x0f, Features::AUTH),
    (0x82, Features::RE_CONFIG),
    (0x40, Features::I_DATA),
];

/// Parameter type of Forward-TSN-Supported (RFC 3758 sec 3.1).
const FORWARD_TSN_SUPPORTED: u16 = 0xc000;

impl Features {
    /// Partial reliability (RFC 3758).
    pub const PR_SCTP: Features = Features(1);
    /// Dynamic address reconfiguration (RFC 5061).
    pub const ASCONF: Features = Features(1 << 1);
    /// Authenticated chunks (RFC 4895).
    pub const AUTH: Features = Features(1 << 2);
    /// Stream reconfiguration (RFC 6525).
    pub const RE_CONFIG: Features = Features(1 << 3);
    /// Message interleaving (RFC 8260).
    pub const I_DATA: Features = Features(1 << 4);

    /// The extensions that this stack implements.
    pub(crate) const OURS: Features = Features(0);

    /// True for the empty set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when all of `other` is in this set.
    pub fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// The extensions that the sender of an INIT or INIT ACK announces.
    pub(crate) fn announced_by(init: &InitChunk<'_>) -> Self {
        let mut set = Features::default();
        for param in init.params.iter() {
            match param {
                Param::SupportedExtensions(types) => {
                    for (_, feature) in BY_CHUNK.iter().filter(|(chunk, _)| types.contains(chunk)) {
                        set.0 |= feature.0;
                    }
                }
                Param::Unknown { kind: FORWARD_TSN_SUPPORTED, .. } => set.0 |= Features::PR_SCTP.0,
                _ => {}
            }
        }
        set
    }

    /// The extensions in both sets.
    #[must_use]
    pub(crate) fn both(self, other: Features) -> Self {
        Features(self.0 & other.0)
    }

    /// The set as a number, for the State Cookie.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The set from a State Cookie that we made.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Features(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::Tsn;
    use crate::wire::{Chunk, InitFixed, Packet, PacketWriter};

    fn announced(write: impl FnOnce(&mut crate::wire::ParamWriter<'_>)) -> Features {
        let mut buf = Vec::new();
        let mut writer = PacketWriter::new(&mut buf, 1000, 1, 2, 0);
        let fixed = InitFixed {
            initiate_tag: 1,
            a_rwnd: 5000,
            outbound_streams: 1,
            inbound_streams: 1,
            initial_tsn: Tsn(1),
        };
        writer.init(false, &fixed, write);
        writer.finish();
        let packet = Packet::check(buf.into()).unwrap();
        let chunk = packet.chunks().next().unwrap();
        let Ok(Chunk::Init(init)) = chunk.decode(&packet) else { panic!("an INIT") };
        Features::announced_by(&init)
    }

    #[test]
    fn announcements_are_read_in_both_forms() {
        assert!(announced(|_| {}).is_empty());
        let set = announced(|p| p.supported_extensions(&[0xc1, 0x80, 0x0f, 0x82]));
        assert!(set.contains(Features::ASCONF) && set.contains(Features::AUTH));
        assert!(set.contains(Features::RE_CONFIG) && !set.contains(Features::PR_SCTP));
        assert_eq!(announced(|p| p.raw(0xc000, &[])), Features::PR_SCTP);
        assert_eq!(announced(|p| p.supported_extensions(&[0xc0, 0x40])).bits(), 0b10001);
    }

    #[test]
    fn only_what_both_announce_is_in_force() {
        let set = Features(0b0110).both(Features(0b1010));
        assert_eq!(set, Features::ASCONF);
        assert_eq!(Features::from_bits(set.bits()), set);
        assert!(Features::OURS.both(set).is_empty());
    }
}
