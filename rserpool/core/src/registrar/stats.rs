//! What a registrar counts.

/// Present sizes and counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrarStats {
    /// Pools at present.
    pub pools: usize,
    /// Pool elements at present.
    pub pool_elements: usize,
    /// Of these, elements whose home is this registrar.
    pub owned_pool_elements: usize,
    /// Associations at present.
    pub associations: usize,
    /// First registrations accepted.
    pub registrations: u64,
    /// Re-registrations accepted.
    pub reregistrations: u64,
    /// Registrations and re-registrations refused.
    pub refused_registrations: u64,
    /// Deregistrations accepted, also of elements that were not registered.
    pub deregistrations: u64,
    /// Handle resolutions answered, with elements or without.
    pub handle_resolutions: u64,
    /// Handle resolutions refused by the rate limit.
    pub limited_resolutions: u64,
    /// Unreachable reports received.
    pub failure_reports: u64,
    /// Unreachable reports ignored by the rate limit.
    pub limited_reports: u64,
    /// Keep-alives sent.
    pub endpoint_keep_alives: u64,
    /// Answers to keep-alives received.
    pub endpoint_keep_alive_acks: u64,
    /// Elements removed for other reasons than a deregistration.
    pub removals: u64,
    /// Announces sent.
    pub announces: u64,
    /// Messages that could not be decoded.
    pub invalid_messages: u64,
    /// Messages ignored: of other protocols, or of types that a registrar has no use for.
    pub ignored_messages: u64,
    /// Associations aborted by this registrar.
    pub aborts: u64,
    /// Deregistrations refused, because another association owns the element.
    pub refused_deregistrations: u64,
    /// Updates sent to pool users that subscribed to a pool.
    pub subscription_updates: u64,
    /// Other registrars at present.
    pub peers: usize,
    /// Handle updates sent to other registrars.
    pub handle_updates_sent: u64,
    /// Handle updates received from other registrars.
    pub handle_updates_received: u64,
    /// Tables of other registrars that were got because of a different checksum.
    pub audits: u64,
    /// Takeovers that this registrar wanted.
    pub takeovers_begun: u64,
    /// Registrars that this one has taken over.
    pub takeovers: u64,
    /// Elements that this registrar became the home of without being asked by them.
    pub adopted_elements: u64,
}
