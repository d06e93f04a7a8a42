//! Timers of the association as a whole; T3-rtx and heartbeat belong to the paths.

use crate::time::{Time, earlier};

/// Which timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Retransmission of INIT.
    T1Init,
    /// Retransmission of COOKIE ECHO.
    T1Cookie,
    /// Retransmission of SHUTDOWN or SHUTDOWN ACK.
    T2Shutdown,
    /// Upper bound of a shutdown.
    T5Guard,
    /// Delayed SACK.
    Sack,
    /// Next zero-window probe.
    WindowProbe,
}

const COUNT: usize = 6;

/// One deadline for each timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerTable([Option<Time>; COUNT]);

impl TimerTable {
    /// All timers, in the order in which they fire at the same time.
    pub(crate) const ALL: [Timer; COUNT] = [
        Timer::T1Init,
        Timer::T1Cookie,
        Timer::T2Shutdown,
        Timer::T5Guard,
        Timer::Sack,
        Timer::WindowProbe,
    ];

    /// Starts or restarts.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    /// Stops.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Stops all.
    pub(crate) fn stop_all(&mut self) {
        *self = TimerTable::default();
    }

    /// Its deadline while it runs.
    pub(crate) fn get(&self, timer: Timer) -> Option<Time> {
        self.0[timer as usize]
    }

    /// Takes the timer if it is due.
    pub(crate) fn take_due(&mut self, timer: Timer, now: Time) -> bool {
        match self.0[timer as usize] {
            Some(at) if at <= now => {
                self.0[timer as usize] = None;
                true
            }
            _ => false,
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.iter().copied().fold(None, earlier)
    }
}
