//! What a registrar counts.

use crate::metric::statistics;

statistics! {
    prefix "rserpool_registrar_";

    /// Present sizes and counts since the start.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct RegistrarStats {
        /// Pools at present.
        gauge pools: usize,
        /// Pool elements at present.
        gauge pool_elements: usize,
        /// Pool elements at present whose home is this registrar.
        gauge owned_pool_elements: usize,
        /// Associations at present.
        gauge associations: usize,
        /// First registrations accepted.
        counter registrations: u64,
        /// Re-registrations accepted.
        counter reregistrations: u64,
        /// Registrations and re-registrations refused.
        counter refused_registrations: u64,
        /// Deregistrations accepted, also of elements that were not registered.
        counter deregistrations: u64,
        /// Handle resolutions answered, with elements or without.
        counter handle_resolutions: u64,
        /// Registrations and deregistrations refused by a rate limit.
        counter limited_registrations: u64,
        /// Handle resolutions refused by a rate limit.
        counter limited_resolutions: u64,
        /// Unreachable reports received.
        counter failure_reports: u64,
        /// Unreachable reports ignored by a rate limit.
        counter limited_reports: u64,
        /// Keep-alives sent.
        counter endpoint_keep_alives: u64,
        /// Answers to keep-alives received.
        counter endpoint_keep_alive_acks: u64,
        /// Elements removed for other reasons than a deregistration.
        counter removals: u64,
        /// Announces sent.
        counter announces: u64,
        /// Messages that could not be decoded.
        counter invalid_messages: u64,
        /// Messages ignored: of other protocols, or of types that a registrar has no use for.
        counter ignored_messages: u64,
        /// Associations aborted by this registrar.
        counter aborts: u64,
        /// Associations refused, because there are too many.
        counter refused_associations: u64,
        /// Deregistrations refused, because another association owns the element.
        counter refused_deregistrations: u64,
        /// Updates sent to pool users that subscribed to a pool.
        counter subscription_updates: u64,
        /// Other registrars at present.
        gauge peers: usize,
        /// Handle updates sent to other registrars.
        counter handle_updates_sent: u64,
        /// Handle updates received from other registrars.
        counter handle_updates_received: u64,
        /// Handle tables requested from other registrars because a checksum differed.
        counter audits: u64,
        /// Times that an element of another registrar was not held, for lack of room.
        counter copies_not_held: u64,
        /// Takeovers that this registrar began.
        counter takeovers_begun: u64,
        /// Registrars that this one has taken over.
        counter takeovers: u64,
        /// Elements that this registrar adopted without being asked by them.
        counter adopted_elements: u64,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::RegistrarStats;
    use crate::metric::{Kind, Value};

    #[test]
    fn every_number_is_described_once() {
        // `Debug` shows every field, in order.
        let stats = RegistrarStats { pools: 7, aborts: 9, ..RegistrarStats::default() };
        let debug = format!("{stats:?}");
        let fields: Vec<&str> = debug
            .trim_start_matches("RegistrarStats { ")
            .trim_end_matches(" }")
            .split(", ")
            .collect();
        let (mut seen, mut names) = (Vec::new(), BTreeSet::new());
        stats.visit(&mut |metric| {
            let name = metric.name.strip_prefix("rserpool_registrar_").unwrap();
            let total = name.strip_suffix("_total");
            assert_eq!(total.is_some(), metric.kind == Kind::Counter, "{name}");
            let valid = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(valid), "{name}");
            assert!(names.insert(name), "{name}");
            let help = metric.help;
            assert!(help.ends_with('.') && help.starts_with(char::is_uppercase), "{help}");
            let Value::Integer(value) = metric.value else { panic!("{metric:?}") };
            seen.push(format!("{}: {value}", total.unwrap_or(name)));
        });
        assert_eq!(seen, fields);
    }
}
