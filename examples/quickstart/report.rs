//! A readable report with times.

use std::fmt::Display;
use std::time::Instant;

pub struct Report;

impl Report {
    pub fn new(title: &str) -> Report {
        println!("\n{title}\n{}", "-".repeat(title.len()));
        Report
    }

    /// Runs something and prints how long it took.
    pub fn time<T>(&mut self, what: &str, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        println!("{what:<42} {:>10.2} ms", start.elapsed().as_secs_f64() * 1000.0);
        result
    }

    pub fn note(&mut self, what: &str, value: impl Display) {
        println!("    {what}: {value}");
    }
}
