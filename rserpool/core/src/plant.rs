//! Faults that a test build plants (feature `plant`), to see whether the simulated lives of scopes
//! find them. Without the feature nothing of it is left.

/// A fault in a state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// A takeover is not agreed to.
    TakeoverNotAcknowledged = 1,
    /// The answers of elements to keep-alives are not read.
    KeepAliveAckIgnored,
    /// Checksums of other registrars are not compared.
    ChecksumIgnored,
    /// Registrations do not expire.
    LifeIgnored,
    /// Other registrars are not told that an element is gone.
    RemovalNotTold,
    /// Other registrars are not told of new elements.
    RegistrationNotTold,
    /// An audit leaves what it has not seen.
    SweepSkipped,
    /// Elements of a registrar that was taken over keep their home.
    HomeNotTaken,
    /// Elements of a registrar that was taken over are not contacted.
    AdoptedNotContacted,
    /// The others do not hear who has taken over.
    TakeoverNotTold,
    /// It is not believed who has taken over.
    TakeoverServerIgnored,
    /// No registrar is ever taken for dead.
    NobodyDies,
    /// That another registrar claims an element of ours is ignored.
    ClaimIgnored,
    /// An element that was yielded is dropped.
    YieldedDropped,
    /// Every page of a table is the first one.
    FirstPageOnly,
    /// A table ends with its first page.
    TableCutOff,
    /// An element that does not answer stays.
    DeadElementKept,
    /// A registrar takes the claims of others for its own elements without asking.
    ClaimBelieved,
    /// Elements do not obey a new home.
    NewHomeIgnored,
    /// Neither of two registrars gives way to the other one.
    NobodyGivesWay,
    /// The end of an association with another registrar goes unnoticed.
    LossUnnoticed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 21] = [
        Fault::TakeoverNotAcknowledged,
        Fault::KeepAliveAckIgnored,
        Fault::ChecksumIgnored,
        Fault::LifeIgnored,
        Fault::RemovalNotTold,
        Fault::RegistrationNotTold,
        Fault::SweepSkipped,
        Fault::HomeNotTaken,
        Fault::AdoptedNotContacted,
        Fault::TakeoverNotTold,
        Fault::TakeoverServerIgnored,
        Fault::NobodyDies,
        Fault::ClaimIgnored,
        Fault::YieldedDropped,
        Fault::FirstPageOnly,
        Fault::TableCutOff,
        Fault::DeadElementKept,
        Fault::ClaimBelieved,
        Fault::NewHomeIgnored,
        Fault::NobodyGivesWay,
        Fault::LossUnnoticed,
    ];
}

#[cfg(feature = "plant")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a fault for the whole process, or none.
#[cfg(feature = "plant")]
pub fn plant(fault: Option<Fault>) {
    PLANTED.store(fault.map_or(0, |fault| fault as u8), std::sync::atomic::Ordering::Relaxed);
}

/// Whether this fault is planted.
pub(crate) fn is_planted(fault: Fault) -> bool {
    #[cfg(feature = "plant")]
    return PLANTED.load(std::sync::atomic::Ordering::Relaxed) == fault as u8;
    #[cfg(not(feature = "plant"))]
    {
        let _ = fault;
        false
    }
}
