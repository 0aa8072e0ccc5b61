//! How long tests take, and which part of them.

use std::time::{Duration, Instant};

/// Of each test: until it has its database, the test itself, and until the database is gone.
#[derive(Default)]
pub(crate) struct Costs {
    tests: Vec<[Duration; 3]>,
}

impl Costs {
    /// A test that has just ended.
    pub(crate) fn add(&mut self, begin: Instant, started: Instant, tested: Instant) {
        self.tests.push([started - begin, tested - started, tested.elapsed()]);
    }

    /// The median of each part and of the sum.
    pub(crate) fn print(&self, what: &str) {
        let median = |of: &dyn Fn(&[Duration; 3]) -> Duration| {
            let mut all: Vec<_> = self.tests.iter().map(of).collect();
            all.sort();
            milliseconds(all[all.len() / 2])
        };
        println!(
            "{what:30} {:8.2} {:8.2} {:8.2} {:8.2}",
            median(&|parts| parts[0]),
            median(&|parts| parts[1]),
            median(&|parts| parts[2]),
            median(&|parts| parts.iter().sum()),
        );
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
