//! What came of each case, by counterpart, and what was left running.
//!
//! 1. A case is one token, request or setting with one expected outcome. Its name is its own within its
//!    test.
//! 2. A test counts from its first line to its last. What came out otherwise is told in the end, all of it.
//! 3. When no test is under way, no process that a test has started may be there. How many cases there
//!    were until then is printed, whether output is captured or not.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::left_running;

struct Run {
    under_way: usize,
    counts: BTreeMap<&'static str, usize>,
}

/// Nothing is started while it is locked.
static RUN: Mutex<Run> = Mutex::new(Run { under_way: 0, counts: BTreeMap::new() });

fn run() -> MutexGuard<'static, Run> {
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cases of one test. It is the first thing that a test makes, and so the last that ends.
pub(crate) struct Cases {
    counterpart: &'static str,
    names: HashSet<String>,
    wrong: Vec<String>,
}

impl Cases {
    /// Against whom.
    pub(crate) fn of(counterpart: &'static str) -> Self {
        run().under_way += 1;
        Self { counterpart, names: HashSet::new(), wrong: Vec::new() }
    }

    /// One case: what came of it, and what should have.
    pub(crate) fn case(&mut self, name: impl Display, found: impl AsRef<str>, expected: &str) {
        let (name, found) = (name.to_string(), found.as_ref());
        println!("{:<14} {name:<58} {found}", self.counterpart);
        if found != expected {
            self.wrong.push(format!("{name}\n     found: {found}\n    wanted: {expected}"));
        }
        assert!(self.names.insert(name.clone()), "two cases are called {name:?}");
    }

    /// The same, where it holds or does not.
    pub(crate) fn holds(&mut self, name: impl Display, holds: bool) {
        self.case(name, if holds { "so" } else { "not so" }, "so");
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        let left = {
            let mut run = run();
            run.under_way -= 1;
            *run.counts.entry(self.counterpart).or_default() += self.names.len();
            if run.under_way > 0 {
                Vec::new()
            } else {
                tell(&run.counts);
                left_running()
            }
        };
        if std::thread::panicking() {
            println!("{}", self.wrong.join("\n"));
        } else {
            assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
            assert!(left.is_empty(), "left running: {left:?}");
        }
    }
}

/// Beside what the test runner captures.
fn tell(counts: &BTreeMap<&str, usize>) {
    let each: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let all: usize = counts.values().sum();
    let told = format!("interop: {all} cases ({})\n", each.join(", "));
    let _ = std::io::stderr().write_all(told.as_bytes());
}
