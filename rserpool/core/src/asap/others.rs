//! Asking other registrars about a pool of which the home registrar knows no element: registrars
//! that cannot reach each other know different pools.
//!
//! The home registrar stays the home. A few others are asked over associations that end soon after.
//! The first that names elements decides; "no element" is the answer when all of them have said so,
//! or have said nothing in time. It is remembered for a moment, so that callers who ask again and
//! again for a pool that does not exist cause no storm.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, HandleResolution, PoolElement, PoolHandle, Resolution};
use sctp_user_core::{Duration, Time};

use super::home::Home;
use super::registrars::Ways;
use super::requests::Question;
use super::{AsapCore, AsapEvent, Output, RequestError};
use crate::channel::{ChannelId, Protocol};
use crate::reach::is_reached_by;

/// How many pools others are asked about at the same time.
const MAX_INQUIRIES: usize = 64;
/// How many questions one other registrar may leave unanswered; it is not asked more.
const MAX_ASKED: usize = 64;
/// How many pools without any element are remembered.
const MAX_DENIED: usize = 256;
/// How long such a pool is remembered.
const DENIED_FOR: Duration = Duration::from_secs(1);
/// An association with another registrar ends when nothing was asked over it for so long.
const LINK_IDLE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Others {
    links: BTreeMap<ChannelId, Link>,
    inquiries: BTreeMap<PoolHandle, Inquiry>,
    /// Pools of which nobody knows an element, and until when that is taken for granted.
    denied: BTreeMap<PoolHandle, Time>,
    /// Questions in all inquiries.
    waiting: usize,
}

/// An association with a registrar that is not the home, or an attempt to set one up.
#[derive(Debug)]
struct Link {
    ways: Ways,
    is_up: bool,
    /// The pools of the questions that it has not answered, in order and without repetitions.
    asked: VecDeque<PoolHandle>,
    /// It ends then: without an answer, or without a question.
    ends: Time,
}

/// A pool that others are asked about.
#[derive(Debug)]
struct Inquiry {
    questions: Vec<Question>,
    /// Associations over which an answer may come.
    links: BTreeSet<ChannelId>,
    /// Registrars that are still to be asked.
    left: VecDeque<Ways>,
    /// When the next of them is asked.
    next_start: Time,
    /// Then the answer is that there is no element.
    ends: Time,
}

impl Inquiry {
    /// How many elements are asked for; `None` leaves it to the registrar.
    fn items(&self) -> Option<u32> {
        let wanted = |q: &Question| (q.stale.is_zero() && q.items != 0).then_some(q.items);
        let all: Option<Vec<u32>> = self.questions.iter().map(wanted).collect();
        all?.into_iter().max()
    }
}

impl Others {
    /// How many questions wait for others.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn has_link(&self, channel: ChannelId) -> bool {
        self.links.contains_key(&channel)
    }

    /// When something is to be done.
    pub(super) fn deadline(&self) -> Option<Time> {
        let links = self.links.values().map(|link| link.ends);
        let inquiries = self.inquiries.values().map(|inquiry| match inquiry.left.is_empty() {
            true => inquiry.ends,
            false => inquiry.ends.min(inquiry.next_start),
        });
        links.chain(inquiries).min()
    }

    /// Takes the questions about a pool that wait for others.
    fn take_questions(&mut self, pool: &PoolHandle) -> Vec<Question> {
        let questions = self.inquiries.remove(pool).map(|inquiry| inquiry.questions);
        let questions = questions.unwrap_or_default();
        self.waiting -= questions.len();
        questions
    }

    fn is_denied(&self, now: Time, pool: &PoolHandle) -> bool {
        self.denied.get(pool).is_some_and(|until| now < *until)
    }

    fn remember_denied(&mut self, now: Time, pool: PoolHandle) {
        self.denied.retain(|_, until| now < *until);
        if self.denied.len() >= MAX_DENIED
            && let Some(oldest) = self.denied.iter().min_by_key(|(_, until)| **until)
        {
            let oldest = oldest.0.clone();
            self.denied.remove(&oldest);
        }
        self.denied.insert(pool, now + DENIED_FOR);
    }
}

impl AsapCore {
    /// The home registrar knows no element for this question. Others are asked, if there are any.
    pub(super) fn ask_others(&mut self, now: Time, question: Question) {
        let pool = question.pool.clone();
        if let Some(inquiry) = self.others.inquiries.get_mut(&pool) {
            inquiry.questions.push(question);
            self.others.waiting += 1;
            return;
        }
        let max = self.config.other_registrars;
        let mut inquiry = Inquiry {
            questions: Vec::new(),
            links: self.others.links.keys().copied().take(max).collect(),
            left: VecDeque::new(),
            next_start: now,
            ends: now + self.config.response_timeout,
        };
        if !self.others.is_denied(now, &pool) && self.others.inquiries.len() < MAX_INQUIRIES {
            let missing = max - inquiry.links.len();
            let (home, incoming, links) = (&self.home, &self.incoming, &self.others.links);
            let is_taken = |ways: &Ways| {
                matches!(home, Home::Up(up) if is_reached_by(&up.peer, ways))
                    || incoming.values().any(|i| is_reached_by(&i.peer, ways))
                    || links.values().any(|link| link.ways == *ways)
            };
            inquiry.left = self.table.others(now, &mut self.rng, missing, is_taken).into();
        } else {
            inquiry.links.clear();
        }
        if inquiry.links.is_empty() && inquiry.left.is_empty() {
            return self.answer(question, Err(RequestError::NoElement(pool)));
        }
        let up: Vec<ChannelId> =
            inquiry.links.iter().copied().filter(|c| self.others.links[c].is_up).collect();
        inquiry.questions.push(question);
        self.others.waiting += 1;
        self.others.inquiries.insert(pool.clone(), inquiry);
        for channel in up {
            self.ask_over(now, channel, &pool);
        }
        self.go_on_asking(now);
    }

    /// A registrar has named elements of a pool: whoever waits for others to name some gets them.
    pub(super) fn found_elements(&mut self, now: Time, pool: &PoolHandle, found: &[PoolElement]) {
        for question in self.others.take_questions(pool) {
            let mut elements = self.select(now, &question, found.to_vec());
            if question.items != 0 {
                elements.truncate(usize::try_from(question.items).unwrap_or(usize::MAX));
            }
            self.answer(question, Ok(elements));
        }
    }

    /// The home registrar is lost, and another one is looked for: what it said about pools is the
    /// answer.
    pub(super) fn stop_asking_others(&mut self) {
        for (channel, _) in std::mem::take(&mut self.others.links) {
            self.abort(channel, "another registrar is looked for");
        }
        while let Some(pool) = self.others.inquiries.keys().next().cloned() {
            self.deny(&pool);
        }
    }

    /// Does what is due.
    pub(super) fn on_others_timeout(&mut self, now: Time) {
        let due = self.others.links.iter().filter(|(_, link)| link.ends <= now);
        let due: Vec<_> = due.map(|(channel, link)| (*channel, link.is_idle())).collect();
        for (channel, is_idle) in due {
            if is_idle {
                self.others.links.remove(&channel);
                self.abort(channel, "all is answered");
            } else {
                self.abort(channel, "no answer");
                self.link_failed(now, channel);
            }
        }
        self.go_on_asking(now);
    }

    /// An association with another registrar is up.
    pub(super) fn on_link_up(&mut self, now: Time, channel: ChannelId) {
        let Some(link) = self.others.links.get_mut(&channel) else { return };
        link.is_up = true;
        link.ends = now + LINK_IDLE;
        let inquiries = self.others.inquiries.iter();
        let asks = inquiries.filter(|(_, inquiry)| inquiry.links.contains(&channel));
        let pools: Vec<PoolHandle> = asks.map(|(pool, _)| pool.clone()).collect();
        pools.iter().for_each(|pool| self.ask_over(now, channel, pool));
    }

    /// An association with another registrar did not come up, or has ended before its time.
    pub(super) fn link_failed(&mut self, now: Time, channel: ChannelId) {
        let Some(link) = self.others.links.remove(&channel) else { return };
        if !link.is_idle() {
            self.table.failed(now, &link.ways);
        }
        for inquiry in self.others.inquiries.values_mut() {
            if inquiry.links.remove(&channel) {
                inquiry.next_start = now;
            }
        }
        self.go_on_asking(now);
    }

    /// Another registrar says something. Only answers are of interest.
    pub(super) fn on_link_message(&mut self, now: Time, channel: ChannelId, data: &[u8]) {
        let Some(link) = self.others.links.get_mut(&channel) else { return };
        let (pool, found) = match AsapMessage::decode(data) {
            Ok(AsapMessage::HandleResolutionResponse(m)) => {
                let Some(at) = link.asked.iter().position(|pool| *pool == m.pool) else { return };
                link.asked.remove(at);
                let found = match m.resolution {
                    Resolution::Elements { elements, .. } => elements,
                    Resolution::Error(_) => Vec::new(),
                };
                (m.pool, found)
            }
            Ok(AsapMessage::Error(_)) => {
                let Some(pool) = link.asked.pop_front() else { return };
                (pool, Vec::new())
            }
            Ok(_) => return,
            Err(_) => {
                self.abort(channel, "undecodable message");
                return self.link_failed(now, channel);
            }
        };
        let wait = if link.asked.is_empty() { LINK_IDLE } else { self.config.response_timeout };
        link.ends = now + wait;
        self.table.answered(&link.ways);
        if !found.is_empty() {
            return self.found_elements(now, &pool, &found);
        }
        if let Some(inquiry) = self.others.inquiries.get_mut(&pool) {
            inquiry.links.remove(&channel);
        }
        self.go_on_asking(now);
    }

    /// Asks a registrar about a pool. An answer that is still missing to an earlier question does
    /// as well.
    fn ask_over(&mut self, now: Time, channel: ChannelId, pool: &PoolHandle) {
        let Some(link) = self.others.links.get_mut(&channel) else { return };
        let Some(inquiry) = self.others.inquiries.get_mut(pool) else { return };
        if link.asked.contains(pool) {
            return;
        }
        if link.asked.len() >= MAX_ASKED {
            inquiry.links.remove(&channel);
            return;
        }
        let (subscribe, pool, items) = (false, pool.clone(), inquiry.items());
        let question = AsapMessage::HandleResolution(HandleResolution {
            subscribe,
            pool: pool.clone(),
            items,
        });
        let Ok(data) = question.encode() else { return };
        if link.asked.is_empty() {
            link.ends = now + self.config.response_timeout;
        }
        link.asked.push_back(pool);
        self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data });
    }

    /// Asks the next registrars, and ends the inquiries for which nobody is left.
    fn go_on_asking(&mut self, now: Time) {
        let pools: Vec<PoolHandle> = self.others.inquiries.keys().cloned().collect();
        for pool in pools {
            while let Some(inquiry) = self.others.inquiries.get_mut(&pool)
                && inquiry.next_start <= now
                && let Some(ways) = inquiry.left.pop_front()
            {
                self.ask_too(now, &pool, ways);
            }
            let Some(inquiry) = self.others.inquiries.get(&pool) else { continue };
            if inquiry.ends <= now || inquiry.links.is_empty() && inquiry.left.is_empty() {
                self.others.remember_denied(now, pool.clone());
                self.deny(&pool);
            }
        }
    }

    /// Asks this registrar as well. Another inquiry may have opened an association with it; when
    /// others have opened as many as there may be, it is left out.
    fn ask_too(&mut self, now: Time, pool: &PoolHandle, ways: Ways) {
        let known = self.others.links.iter().find(|(_, link)| link.ways == ways);
        let known = known.map(|(channel, link)| (*channel, link.is_up));
        if known.is_none() && self.others.links.len() >= self.config.other_registrars {
            return;
        }
        let (channel, is_up) = known.unwrap_or_else(|| (self.new_channel(), false));
        let Some(inquiry) = self.others.inquiries.get_mut(pool) else { return };
        inquiry.links.insert(channel);
        inquiry.next_start = now + self.config.connect_interval;
        if is_up {
            self.ask_over(now, channel, pool);
        } else if known.is_none() {
            let ends = now + self.config.response_timeout;
            let link = Link { ways: ways.clone(), is_up: false, asked: VecDeque::new(), ends };
            self.others.links.insert(channel, link);
            self.outputs.push_back(Output::Connect { channel, protocol: Protocol::Asap, ways });
        }
    }

    /// Answers all who wait for elements of this pool that there is none.
    fn deny(&mut self, pool: &PoolHandle) {
        for question in self.others.take_questions(pool) {
            self.answer(question, Err(RequestError::NoElement(pool.clone())));
        }
    }

    /// Tells the answer to a question.
    pub(super) fn answer(
        &mut self,
        question: Question,
        result: Result<Vec<PoolElement>, RequestError>,
    ) {
        self.tell(AsapEvent::Resolved { request: question.id, result });
    }
}

impl Link {
    /// Whether nothing is waited for.
    fn is_idle(&self) -> bool {
        self.is_up && self.asked.is_empty()
    }
}
