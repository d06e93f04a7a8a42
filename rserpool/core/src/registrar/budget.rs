//! What the associations of one address, and all together, may ask for per second (RFC 5355 sec
//! 2.13, 2.17).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sctp_user_core::{Duration, Time};

use super::RegistrarCore;
use crate::channel::ChannelId;

/// Requests per second that are served; `None` is no limit. As many as in 5 s may come at once, and
/// at least 16.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Registrations and deregistrations; more are refused.
    pub registrations: Option<f64>,
    /// Handle resolutions; more are refused.
    pub resolutions: Option<f64>,
    /// Unreachable reports; more are ignored.
    pub reports: Option<f64>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Registration,
    Resolution,
    Report,
}

/// So many seconds' worth of requests may come at once.
const BURST: f64 = 5.0;
/// At least so many requests may come at once.
const MIN_BURST: f64 = 16.0;
/// The share of the total burst that is left to addresses that ask for little.
const RESERVE: f64 = 0.5;

impl Rates {
    /// No limits.
    pub const UNLIMITED: Rates = Rates { registrations: None, resolutions: None, reports: None };

    fn of(&self, request: Request) -> Option<f64> {
        match request {
            Request::Registration => self.registrations,
            Request::Resolution => self.resolutions,
            Request::Report => self.reports,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        let rates = [self.registrations, self.resolutions, self.reports];
        rates.into_iter().flatten().all(|rate| rate.is_finite() && rate > 0.0)
    }
}

/// The addresses that associations come from.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: BTreeMap<IpAddr, Address>,
    /// Addresses without associations that have asked for much, and when that is forgotten. Whoever
    /// ends an association and begins another one does not begin anew.
    ended: BTreeSet<(Time, IpAddr)>,
    total: Used,
}

#[derive(Debug, Default)]
struct Address {
    /// Associations with it.
    associations: usize,
    /// Those that it has opened.
    incoming: usize,
    used: Used,
    /// Its place in the list of those that have ended.
    ended: Option<Time>,
}

/// What was asked for lately, for each kind of request.
#[derive(Debug, Default)]
struct Used([Bucket; 3]);

/// A bucket that leaks.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    filled: f64,
    since: Option<Time>,
}

impl Bucket {
    fn leak(&mut self, now: Time, rate: f64) {
        if let Some(since) = self.since {
            self.filled = (self.filled - now.since(since).as_secs_f64() * rate).max(0.0);
        }
        self.since = Some(now);
    }

    /// When it is empty.
    fn empty_at(&self, rate: Option<f64>) -> Option<Time> {
        let seconds = self.filled / rate?;
        Some(self.since? + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

impl Used {
    fn bucket(&mut self, request: Request) -> &mut Bucket {
        let [registrations, resolutions, reports] = &mut self.0;
        match request {
            Request::Registration => registrations,
            Request::Resolution => resolutions,
            Request::Report => reports,
        }
    }

    /// When all is forgotten.
    fn empty_at(&self, rates: &Rates) -> Option<Time> {
        let [registrations, resolutions, reports] = &self.0;
        let times = [
            registrations.empty_at(rates.registrations),
            resolutions.empty_at(rates.resolutions),
            reports.empty_at(rates.reports),
        ];
        times.into_iter().flatten().max()
    }
}

fn burst(rate: f64) -> f64 {
    (rate * BURST).max(MIN_BURST)
}

impl Addresses {
    /// The number of associations that an address has opened.
    pub(super) fn incoming(&self, addr: IpAddr) -> usize {
        self.known.get(&addr).map_or(0, |address| address.incoming)
    }

    /// An association with this address begins.
    pub(super) fn enter(&mut self, now: Time, addr: IpAddr, incoming: bool) {
        while let Some((_, over)) = self.ended.first().copied().filter(|(at, _)| *at <= now) {
            self.forget_first();
            debug_assert!(!self.known.contains_key(&over));
        }
        let address = self.known.entry(addr).or_default();
        address.associations += 1;
        address.incoming += usize::from(incoming);
        if let Some(at) = address.ended.take() {
            self.ended.remove(&(at, addr));
        }
    }

    /// An association with this address has ended. What it has asked for lately is remembered, for
    /// at most `most` addresses.
    pub(super) fn leave(&mut self, addr: IpAddr, incoming: bool, rates: &Rates, most: usize) {
        let Some(address) = self.known.get_mut(&addr) else { return };
        address.associations -= 1;
        address.incoming -= usize::from(incoming);
        if address.associations > 0 {
            return;
        }
        match address.used.empty_at(rates) {
            None => drop(self.known.remove(&addr)),
            Some(at) => {
                address.ended = Some(at);
                self.ended.insert((at, addr));
                if self.ended.len() > most {
                    self.forget_first();
                }
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, addr)) = self.ended.pop_first() {
            self.known.remove(&addr);
        }
    }

    /// Whether one more request is within the rate of its address and within that of all.
    fn admit(
        &mut self,
        now: Time,
        addr: Option<IpAddr>,
        request: Request,
        (of_address, of_all): (Option<f64>, Option<f64>),
    ) -> bool {
        let own = addr.and_then(|addr| self.known.get_mut(&addr));
        let mut own = own.map(|address| address.used.bucket(request)).zip(of_address);
        // Whoever asks for much leaves a part of what all may ask for to the others.
        let mut share = 1.0;
        if let Some((bucket, rate)) = &mut own {
            bucket.leak(now, *rate);
            let most = burst(*rate);
            if bucket.filled + 1.0 > most {
                return false;
            }
            if bucket.filled > most / 2.0 {
                share -= RESERVE;
            }
        }
        if let Some(rate) = of_all {
            let total = self.total.bucket(request);
            total.leak(now, rate);
            if total.filled + 1.0 > burst(rate) * share {
                return false;
            }
            total.filled += 1.0;
        }
        if let Some((bucket, _)) = own {
            bucket.filled += 1.0;
        }
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

impl RegistrarCore {
    /// Whether one more request over an association is within the limits.
    pub(super) fn admit_request(
        &mut self,
        now: Time,
        channel: ChannelId,
        request: Request,
    ) -> bool {
        let addr = self.associations.get(&channel).and_then(|association| association.counted);
        let rates = (self.config.address_rates.of(request), self.config.total_rates.of(request));
        self.addresses.admit(now, addr, request, rates)
    }
}
