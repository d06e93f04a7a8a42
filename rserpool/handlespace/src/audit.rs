//! Audits find the elements that their home registrar does not know any more (RFC 5353 sec 3.6.2,
//! 4.4).
//!
//! When the checksum of a peer differs from what this registrar computes, it asks for the peer's
//! table, and registers again everything that the table names. What the table did not name is gone
//! at its home and has to go here, too.
//!
//! No element is marked when an audit begins. Each one carries the number of the latest audit that
//! had begun when it was registered or renewed, or when it got its present home. An audit has seen
//! those that carry its own number or a later one.

use std::ops::Bound;

use rserpool_wire::ServerId;

use crate::element::Element;
use crate::handlespace::Handlespace;
use crate::lists::Cursor;

/// A running audit.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Elements with a smaller number are unseen.
    pub(crate) number: u64,
    /// The last element that the sweep has looked at. All elements before it were seen.
    pub(crate) swept: Option<Cursor>,
}

/// One slice of the work of [`Handlespace::sweep`].
#[derive(Debug)]
pub struct Swept {
    /// The elements that were taken out.
    pub removed: Vec<Element>,
    /// The audit has ended: every element that is left was seen.
    pub finished: bool,
}

impl Handlespace {
    /// Begins an audit of a home registrar. From now on an element counts as seen when it is
    /// registered, renewed, or given to this home. If an audit of this home runs already, it begins
    /// anew. Takes O(log n) steps for n running audits.
    pub fn begin_audit(&mut self, home: ServerId) {
        self.audits_begun += 1;
        let number = self.audits_begun;
        self.audits.insert(home, Audit { number, swept: None });
    }

    /// Whether an audit of this home registrar runs.
    pub fn is_audited(&self, home: ServerId) -> bool {
        self.audits.contains_key(&home)
    }

    /// Gives an audit up: the unseen elements stay. Does nothing when there is none.
    pub fn abort_audit(&mut self, home: ServerId) {
        self.audits.remove(&home);
    }

    /// Looks at up to `budget` elements of an audited home registrar, and takes out those that are
    /// unseen. Call it again until it says that it has finished; then the audit has ended. Elements
    /// may change in any way between two calls. Without an audit it has finished at once.
    pub fn sweep(&mut self, home: ServerId, budget: usize) -> Swept {
        let mut swept = Swept { removed: Vec::new(), finished: true };
        let Some(audit) = self.audits.get(&home) else { return swept };
        let number = audit.number;
        let mut unseen = Vec::new();
        let mut last = None;
        if let Some(index) = self.homes.get(&home) {
            let from = audit.swept.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = index.elements.range::<Cursor, _>((from, Bound::Unbounded));
            for (name, &key) in rest.by_ref().take(budget) {
                last = Some(name);
                if self.elements.get(key).is_some_and(|element| element.seen < number) {
                    unseen.push(key);
                }
            }
            swept.finished = rest.next().is_none();
        }
        let last = last.cloned();
        if swept.finished {
            self.audits.remove(&home);
        } else if let (Some(audit), Some(last)) = (self.audits.get_mut(&home), last) {
            audit.swept = Some(last);
        }
        swept.removed = unseen.into_iter().filter_map(|key| self.remove(key)).collect();
        swept
    }
}
