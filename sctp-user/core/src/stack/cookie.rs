//! The State Cookie: everything needed to make an association, sealed with an HMAC, so that an INIT
//! costs no memory (RFC 9260 sec 5.1.3).

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sha2::Sha256;

use crate::addr::{Encap, PathAddr};
use crate::assoc::Agreed;
use crate::features::Features;
use crate::serial::Tsn;
use crate::time::{Duration, Time};
use crate::tlv::{Reader, Truncated, Writer};

/// As long as one block of the hash.
type Key = [u8; 64];

/// Bytes of the seal: HMAC-SHA-256 truncated to half, 128 bits.
const SEAL: usize = 16;

/// What a cookie holds.
#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    pub(crate) created: Time,
    pub(crate) life: Duration,
    pub(crate) local_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) agreed: Agreed,
    /// Tie tags, zero when there was no association.
    pub(crate) ties: (u32, u32),
    /// Where the INIT came from and to which own address.
    pub(crate) source: PathAddr,
    /// Further addresses that the INIT listed.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Seals and opens cookies. The key changes regularly. The previous key stays valid for two cookie
/// lifetimes.
pub(crate) struct CookieJar {
    current: Key,
    previous: Option<(Key, Time)>,
    /// Number of the current key. Each cookie carries the number of its key.
    key_id: u8,
    rotate_at: Time,
    key_life: Duration,
    cookie_life: Duration,
}

impl std::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieJar").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl CookieJar {
    /// A jar with a random key. Only the previous key is kept, so a key must live at least as long
    /// as any cookie.
    pub(crate) fn new(key_life: Duration, cookie_life: Duration, rng: &mut ChaCha12Rng) -> Self {
        let key_life = key_life.max(cookie_life * 2);
        let rotate_at = Time::ZERO + key_life;
        CookieJar {
            current: draw_key(rng),
            previous: None,
            key_id: 0,
            rotate_at,
            key_life,
            cookie_life,
        }
    }

    /// Appends the sealed cookie to `out`.
    pub(crate) fn seal(&mut self, cookie: &Cookie, out: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
        if cookie.created >= self.rotate_at {
            // A cookie may live longer if the peer asked for it, but at most twice as long.
            let until = cookie.created + self.cookie_life.saturating_mul(2);
            self.previous = Some((self.current, until));
            self.current = draw_key(rng);
            self.key_id = self.key_id.wrapping_add(1);
            self.rotate_at = cookie.created + self.key_life;
        }
        let start = out.len();
        out.push(self.key_id);
        cookie.write(out);
        let seal = mac(&self.current, out.get(start..).unwrap_or_default()).finalize().into_bytes();
        out.extend_from_slice(&seal[..SEAL]);
    }

    /// Checks the seal and reads the cookie. `None` when the cookie is not ours or is damaged.
    pub(crate) fn open(&self, bytes: &[u8], now: Time) -> Option<Cookie> {
        let (sealed, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        let (&key_id, body) = sealed.split_first()?;
        let key = if key_id == self.key_id {
            &self.current
        } else {
            match &self.previous {
                Some((key, until)) if key_id.wrapping_add(1) == self.key_id && now <= *until => key,
                _ => return None,
            }
        };
        // Constant time.
        mac(key, sealed).verify_truncated_left(seal).ok()?;
        Cookie::read(body).ok()
    }
}

fn draw_key(rng: &mut ChaCha12Rng) -> Key {
    let mut key = [0; 64];
    rng.fill(&mut key);
    key
}

fn mac(key: &Key, data: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new(&(*key).into());
    mac.update(data);
    mac
}

impl Cookie {
    fn write(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        w.u64(self.created.as_nanos());
        w.u32(u32::try_from(self.life.as_millis()).unwrap_or(u32::MAX));
        w.u16(self.local_port);
        w.u16(self.peer_port);
        let a = &self.agreed;
        w.u32(a.local_tag);
        w.u32(a.peer_tag);
        w.u32(a.local_tsn.0);
        w.u32(a.peer_tsn.0);
        w.u32(a.peer_rwnd);
        w.u16(a.out_streams);
        w.u16(a.in_streams);
        w.u32(self.ties.0);
        w.u32(self.ties.1);
        w.u32(a.features.bits());
        match self.source.encap {
            Encap::Native => w.u16(0),
            Encap::Udp { remote_port } => w.u16(remote_port),
        }
        write_address(&mut w, Some(self.source.remote));
        write_address(&mut w, self.source.local);
        for &addr in &self.addresses {
            write_address(&mut w, Some(addr));
        }
    }

    fn read(body: &[u8]) -> Result<Cookie, Truncated> {
        let mut r = Reader::new(body);
        let created = Time::from_nanos(r.u64()?);
        let life = Duration::from_millis(r.u32()?.into());
        let (local_port, peer_port) = (r.u16()?, r.u16()?);
        let mut agreed = Agreed {
            local_tag: r.u32()?,
            peer_tag: r.u32()?,
            local_tsn: Tsn(r.u32()?),
            peer_tsn: Tsn(r.u32()?),
            peer_rwnd: r.u32()?,
            out_streams: r.u16()?,
            in_streams: r.u16()?,
            features: Features::default(),
        };
        let ties = (r.u32()?, r.u32()?);
        agreed.features = Features::from_bits(r.u32()?);
        let encap = match r.u16()? {
            0 => Encap::Native,
            remote_port => Encap::Udp { remote_port },
        };
        let remote = read_address(&mut r)?.ok_or(Truncated)?;
        let local = read_address(&mut r)?;
        let mut addresses = Vec::new();
        while !r.is_empty() {
            addresses.extend(read_address(&mut r)?);
        }
        let source = PathAddr { local, remote, encap };
        Ok(Cookie { created, life, local_port, peer_port, agreed, ties, source, addresses })
    }
}

fn write_address(w: &mut Writer<'_>, addr: Option<IpAddr>) {
    match addr {
        None => w.u8(0),
        Some(IpAddr::V4(a)) => {
            w.u8(4);
            w.bytes(&a.octets());
        }
        Some(IpAddr::V6(a)) => {
            w.u8(6);
            w.bytes(&a.octets());
        }
    }
}

fn read_address(r: &mut Reader<'_>) -> Result<Option<IpAddr>, Truncated> {
    Ok(match r.u8()? {
        4 => Some(IpAddr::from(r.array::<4>()?)),
        6 => Some(IpAddr::from(r.array::<16>()?)),
        _ => None,
    })
}

#[cfg(feature = "fuzz")]
impl super::Stack {
    /// A cookie with any contents and a valid seal, which only this stack can make.
    pub(crate) fn seal_anything(&self, body: &[u8]) -> Vec<u8> {
        let mut out = vec![self.cookies.key_id];
        out.extend_from_slice(body);
        let seal = mac(&self.cookies.current, &out).finalize().into_bytes();
        out.extend_from_slice(&seal[..SEAL]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn cookie(created: Time) -> Cookie {
        Cookie {
            created,
            life: Duration::from_secs(60),
            local_port: 1,
            peer_port: 2,
            agreed: Agreed {
                local_tag: 3,
                peer_tag: 4,
                local_tsn: Tsn(5),
                peer_tsn: Tsn(6),
                peer_rwnd: 7,
                out_streams: 8,
                in_streams: 9,
                features: Features::AUTH,
            },
            ties: (10, 11),
            source: PathAddr {
                local: None,
                remote: "192.0.2.1".parse().unwrap(),
                encap: Encap::Udp { remote_port: 9899 },
            },
            addresses: vec!["2001:db8::1".parse().unwrap()],
        }
    }

    fn jar() -> (CookieJar, ChaCha12Rng) {
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        (CookieJar::new(Duration::from_secs(3600), Duration::from_secs(60), &mut rng), rng)
    }

    #[test]
    fn round_trip_and_forgery() {
        let (mut jar, mut rng) = jar();
        let mut bytes = Vec::new();
        jar.seal(&cookie(Time::ZERO), &mut bytes, &mut rng);
        let opened = jar.open(&bytes, Time::ZERO).unwrap();
        assert_eq!(opened.source, cookie(Time::ZERO).source);
        assert_eq!(opened.addresses, cookie(Time::ZERO).addresses);
        assert_eq!(opened.agreed.peer_tsn, Tsn(6));
        assert_eq!(opened.agreed.features, Features::AUTH);
        for i in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[i] ^= 1;
            assert!(jar.open(&forged, Time::ZERO).is_none(), "byte {i}");
        }
        for len in 0..bytes.len() {
            assert!(jar.open(&bytes[..len], Time::ZERO).is_none());
        }
        assert!(bytes.len() < 120, "a cookie must be small: {}", bytes.len());
    }

    #[test]
    fn the_previous_key_is_kept_for_a_while() {
        let (mut jar, mut rng) = jar();
        let mut old = Vec::new();
        let t = Time::from_millis(3_599_000);
        jar.seal(&cookie(t), &mut old, &mut rng);
        let later = Time::from_millis(3_600_500);
        let mut new = Vec::new();
        jar.seal(&cookie(later), &mut new, &mut rng);
        assert!(jar.open(&old, later).is_some());
        assert!(jar.open(&new, later).is_some());
        assert!(jar.open(&old, later + Duration::from_secs(121)).is_none());
    }
}
