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
    /// Elements in answers to resolutions that ask for more than an answer has by default; answers
    /// are as short as by default where that is used up.
    pub elements: Option<f64>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Registration,
    Resolution,
    Report,
    /// Another element in an answer.
    Element,
}

/// So many seconds' worth of requests may come at once.
const BURST: f64 = 5.0;
/// At least so many requests may come at once.
const MIN_BURST: f64 = 16.0;
/// The share of the total burst that is left to addresses that ask for little.
const RESERVE: f64 = 0.5;

impl Rates {
    /// No limits.
    pub const UNLIMITED: Rates =
        Rates { registrations: None, resolutions: None, reports: None, elements: None };

    fn of(&self, request: Request) -> Option<f64> {
        match request {
            Request::Registration => self.registrations,
            Request::Resolution => self.resolutions,
            Request::Report => self.reports,
            Request::Element => self.elements,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        let rates = [self.registrations, self.resolutions, self.reports, self.elements];
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
struct Used([Bucket; 4]);

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
        let [registrations, resolutions, reports, elements] = &mut self.0;
        match request {
            Request::Registration => registrations,
            Request::Resolution => resolutions,
            Request::Report => reports,
            Request::Element => elements,
        }
    }

    /// When all is forgotten.
    fn empty_at(&self, rates: &Rates) -> Option<Time> {
        let [registrations, resolutions, reports, elements] = &self.0;
        let times = [
            registrations.empty_at(rates.registrations),
            resolutions.empty_at(rates.resolutions),
            reports.empty_at(rates.reports),
            elements.empty_at(rates.elements),
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

    /// How many of `wanted` requests are within the rate of their address and within that of all.
    fn take(
        &mut self,
        now: Time,
        addr: Option<IpAddr>,
        request: Request,
        (of_address, of_all): (Option<f64>, Option<f64>),
        wanted: usize,
    ) -> usize {
        let mut room = wanted as f64;
        let own = addr.and_then(|addr| self.known.get_mut(&addr));
        let mut own = own.map(|address| address.used.bucket(request)).zip(of_address);
        // Whoever asks for much leaves a part of what all may ask for to the others.
        let mut share = 1.0;
        if let Some((bucket, rate)) = &mut own {
            bucket.leak(now, *rate);
            let most = burst(*rate);
            room = room.min(most - bucket.filled);
            if bucket.filled > most / 2.0 {
                share -= RESERVE;
            }
        }
        let mut total = of_all.map(|rate| (self.total.bucket(request), rate));
        if let Some((bucket, rate)) = &mut total {
            bucket.leak(now, *rate);
            room = room.min(burst(*rate) * share - bucket.filled);
        }
        let taken = room.max(0.0).floor();
        for (bucket, _) in own.into_iter().chain(total) {
            bucket.filled += taken;
        }
        taken as usize
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
        self.take_requests(now, channel, request, 1) == 1
    }

    /// How many of `wanted` requests over an association are within the limits.
    pub(super) fn take_requests(
        &mut self,
        now: Time,
        channel: ChannelId,
        request: Request,
        wanted: usize,
    ) -> usize {
        let addr = self.associations.get(&channel).and_then(|association| association.counted);
        let rates = (self.config.address_rates.of(request), self.config.total_rates.of(request));
        self.addresses.take(now, addr, request, rates, wanted)
    }
}
