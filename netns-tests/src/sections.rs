//! Several named parts of one test, which share a set-up that takes long. Each part runs even if
//! others have failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::vm::health::{Health, Nurse};

/// The parts of a test. `NETNS_SECTION=text` runs only those whose names contain the text.
#[derive(Debug, Default)]
pub struct Sections {
    only: Option<String>,
    passed: usize,
    failed: Vec<String>,
    nurse: Nurse,
}

impl Sections {
    /// A test that has run no part yet.
    pub fn new() -> Sections {
        Sections { only: std::env::var("NETNS_SECTION").ok(), ..Sections::default() }
    }

    /// Runs a part. Returns `None` when it failed or is not wanted.
    pub fn run<T>(&mut self, name: &str, part: impl FnOnce() -> T) -> Option<T> {
        self.told(name, |_| catch_unwind(AssertUnwindSafe(part)).ok())
    }

    /// Like [`run`](Self::run), for a part that uses a virtual machine. If the part fails because
    /// the machine has failed, the machine is rebooted and the part is run again. This happens once
    /// for all parts together.
    ///
    /// # Panics
    /// When the machine fails a second time.
    pub fn run_beside<T>(
        &mut self,
        machine: &impl Health,
        name: &str,
        mut part: impl FnMut() -> T,
    ) -> Option<T> {
        self.told(name, |nurse| {
            nurse.run(machine, || catch_unwind(AssertUnwindSafe(&mut part))).ok()
        })
    }

    fn told<T>(&mut self, name: &str, run: impl FnOnce(&mut Nurse) -> Option<T>) -> Option<T> {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return None;
        }
        let started = Instant::now();
        let result = run(&mut self.nurse);
        let verdict = if result.is_some() { "ok" } else { "FAILED" };
        println!("section {name}: {verdict} after {:.1} s", started.elapsed().as_secs_f64());
        match result {
            Some(_) => self.passed += 1,
            None => self.failed.push(name.to_owned()),
        }
        result
    }

    /// Ends the test.
    ///
    /// # Panics
    /// When parts failed, with their names, and when no part was run.
    pub fn end(self) {
        assert!(self.failed.is_empty(), "failed sections: {}", self.failed.join("; "));
        assert!(self.passed > 0, "no section is named like {:?}", self.only.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_part_fails_the_test_by_its_name_after_the_others() {
        let mut sections = Sections::default();
        assert_eq!(sections.run("first", || 1), Some(1));
        assert_eq!(sections.run("second", || -> u8 { panic!("on purpose") }), None);
        assert_eq!(sections.run("third", || 3), Some(3));
        let said = catch_unwind(AssertUnwindSafe(|| sections.end())).expect_err("it fails");
        let said = said.downcast_ref::<String>().expect("a sentence");
        assert_eq!(said, "failed sections: second");
    }

    #[test]
    #[should_panic(expected = "no section is named like \"x\"")]
    fn a_test_that_ran_no_part_fails() {
        let mut sections = Sections { only: Some("x".to_owned()), ..Sections::default() };
        assert_eq!(sections.run("first", || ()), None);
        sections.end();
    }
}
