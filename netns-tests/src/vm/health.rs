//! Virtual machines that fail for reasons of their own, which say nothing about the code under
//! test. Such failures are recognised, and the machine is rebooted once.

use workspace_tests::gate;

/// A part of the set-up that may be to blame when a test fails.
pub trait Health {
    /// A fault that it has reported by itself, in a sentence. This call takes no time.
    fn complaint(&self) -> Option<String> {
        None
    }

    /// A fault that a check of it finds, in a sentence.
    fn trouble(&self) -> Option<String> {
        self.complaint()
    }

    /// Restarts it, as after a power failure.
    fn revive(&self) {}
}

/// Runs parts of a test that use a machine.
#[derive(Debug, Default)]
pub struct Nurse {
    revived: bool,
}

impl Nurse {
    /// Runs a part. If it fails because the machine has failed, the machine is rebooted and the
    /// part is run again. This happens only once for all parts, so that a bad machine does not
    /// waste hours.
    ///
    /// # Panics
    /// When the machine fails again after its reboot, with what is wrong with it.
    pub fn run<T, E>(
        &mut self,
        machine: &(impl Health + ?Sized),
        mut part: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            let result = part();
            if result.is_ok() {
                return result;
            }
            let Some(trouble) = machine.trouble() else { return result };
            assert!(!self.revived, "{trouble}, and was rebooted before");
            self.revived = true;
            gate::say(&format!("{trouble}; it is rebooted once"));
            machine.revive();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A machine that is well only after `well_after` boots.
    struct Patient {
        ill: Cell<bool>,
        boots: Cell<u32>,
        well_after: u32,
    }

    impl Health for Patient {
        fn complaint(&self) -> Option<String> {
            self.ill.get().then(|| "the machine has lost its network card".to_owned())
        }

        fn revive(&self) {
            self.boots.set(self.boots.get() + 1);
            self.ill.set(self.boots.get() < self.well_after);
        }
    }

    fn patient(ill: bool, well_after: u32) -> Patient {
        Patient { ill: Cell::new(ill), boots: Cell::new(0), well_after }
    }

    #[test]
    fn a_part_that_fails_beside_a_good_machine_is_not_run_again() {
        let (machine, mut nurse, mut runs) = (patient(false, 0), Nurse::default(), 0);
        let mut run = |result| {
            nurse.run(&machine, || {
                runs += 1;
                result
            })
        };
        assert_eq!(run(Err("wrong")), Err::<u8, _>("wrong"));
        assert_eq!(run(Ok(1)), Ok(1));
        assert_eq!((runs, machine.boots.get()), (2, 0));
    }

    #[test]
    fn a_failed_machine_is_rebooted_once_and_the_part_is_run_again() {
        let (machine, mut nurse) = (patient(true, 1), Nurse::default());
        let result = nurse.run(&machine, || if machine.ill.get() { Err("late") } else { Ok(()) });
        assert_eq!((result, machine.boots.get()), (Ok(()), 1));
    }

    #[test]
    #[should_panic(expected = "the machine has lost its network card, and was rebooted before")]
    fn when_the_machine_fails_again_the_test_ends_at_once() {
        let (machine, mut nurse) = (patient(true, 2), Nurse::default());
        let _ = nurse.run(&machine, || Err::<(), _>("late"));
    }
}
