//! A readable report with times.

use std::fmt::Display;
use std::time::Instant;

pub(crate) struct Report;

impl Report {
    pub(crate) fn new(title: &str) -> Report {
        println!("\n{title}\n{}", "-".repeat(title.len()));
        Report
    }

    /// Runs something and prints how long it took.
    pub(crate) fn time<T>(&mut self, what: &str, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        println!("{what:<42} {:>10.2} ms", start.elapsed().as_secs_f64() * 1000.0);
        result
    }

    pub(crate) fn note(&mut self, what: &str, value: impl Display) {
        println!("    {what}: {value}");
    }
}
