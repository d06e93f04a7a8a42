//! Pins processes to one processor: children inherit the processors of their parent.

/// While this value lives, this thread and the children that it starts run on one processor.
pub(crate) struct Pinned {
    #[cfg(target_os = "linux")]
    before: nix::sched::CpuSet,
}

#[cfg(target_os = "linux")]
impl Pinned {
    /// Pins to the last available processor, because the first ones are often busy with interrupts.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> anyhow::Result<Self> {
        use anyhow::Context;
        use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
        use nix::unistd::Pid;

        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this)?;
        let last = (0..CpuSet::count()).rev().find(|cpu| before.is_set(*cpu).unwrap_or(false));
        let mut one = CpuSet::new();
        one.set(last.context("there is no processor")?)?;
        sched_setaffinity(this, &one)?;
        Ok(Pinned { before })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &self.before);
    }
}

#[cfg(not(target_os = "linux"))]
impl Pinned {
    /// Pins nothing.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn new() -> anyhow::Result<Self> {
        anyhow::bail!("pinning to a processor works on Linux only")
    }
}

impl Pinned {
    /// Lets this thread run on all processors again. The children stay pinned.
    pub(crate) fn release(self) {}
}
