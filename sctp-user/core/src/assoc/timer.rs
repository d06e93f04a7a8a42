//! Timers of the whole association. T3-rtx and the heartbeat timers belong to the paths.

use crate::time::{Time, earlier};

/// The timers of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Retransmission of INIT.
    T1Init,
    /// Retransmission of COOKIE ECHO.
    T1Cookie,
    /// Retransmission of SHUTDOWN or SHUTDOWN ACK.
    T2Shutdown,
    /// Longest time that a shutdown may take.
    T5Guard,
    /// Delayed SACK.
    Sack,
    /// Next zero-window probe.
    WindowProbe,
}

const COUNT: usize = 6;

/// A deadline for each timer that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerTable([Option<Time>; COUNT]);

impl TimerTable {
    /// All timers, in the order in which simultaneous ones are handled.
    pub(crate) const ALL: [Timer; COUNT] = [
        Timer::T1Init,
        Timer::T1Cookie,
        Timer::T2Shutdown,
        Timer::T5Guard,
        Timer::Sack,
        Timer::WindowProbe,
    ];

    /// Starts or restarts a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    /// Stops a timer.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Stops all timers.
    pub(crate) fn stop_all(&mut self) {
        *self = TimerTable::default();
    }

    /// The deadline of a timer, if it runs.
    pub(crate) fn get(&self, timer: Timer) -> Option<Time> {
        self.0[timer as usize]
    }

    /// Stops the timer and returns true if it is due.
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
