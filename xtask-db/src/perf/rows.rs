//! What was measured, and the table of it.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    group: String,
    name: String,
    unit: String,
    ours: f64,
    native: Option<f64>,
    /// What the value is compared with, if not with native PostgreSQL.
    against: Option<String>,
    /// Counts in the geometric mean of its group.
    in_mean: bool,
    /// What is to be reached, as the issue says it.
    target: Option<String>,
}

impl Row {
    pub(super) fn new(group: &str, name: impl Into<String>, unit: &str, ours: f64) -> Row {
        Row {
            group: group.into(),
            name: name.into(),
            unit: unit.into(),
            ours,
            native: None,
            against: None,
            in_mean: false,
            target: None,
        }
    }

    pub(super) fn millis(group: &str, name: impl Into<String>, ours: Duration) -> Row {
        Row::new(group, name, "ms", ours.as_secs_f64() * 1e3)
    }

    pub(super) fn micros(group: &str, name: impl Into<String>, ours: Duration) -> Row {
        Row::new(group, name, "us", ours.as_secs_f64() * 1e6)
    }

    /// Adds the native value, in the same unit.
    pub(super) fn native(mut self, value: f64) -> Row {
        self.native = Some(value);
        self
    }

    /// Adds another value to compare with, in the same unit.
    pub(super) fn beside(mut self, name: &str, value: f64) -> Row {
        self.against = Some(name.into());
        self.native(value)
    }

    pub(super) fn native_time(self, value: Duration) -> Row {
        let factor = if self.unit == "us" { 1e6 } else { 1e3 };
        self.native(value.as_secs_f64() * factor)
    }

    pub(super) fn in_mean(mut self) -> Row {
        self.in_mean = true;
        self
    }

    pub(super) fn target(mut self, text: &str) -> Row {
        self.target = Some(text.into());
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.native.filter(|native| *native > 0.0).map(|native| self.ours / native)
    }
}

/// A Markdown table for each group.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut group = "";
    for (at, row) in rows.iter().enumerate() {
        if row.group != group {
            group = &row.group;
            let against = row.against.as_deref().unwrap_or("native");
            let head = format!(
                "\n### {group}\n\n| what | unit | pglite-oxide | {against} | ratio | target |\n"
            );
            text += &head;
            text += "|---|---|---:|---:|---:|---|\n";
        }
        let native = row.native.map_or_else(|| "-".into(), number);
        let ratio = row.ratio().map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        let target = row.target.as_deref().unwrap_or("");
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {native} | {ratio} | {target} |",
            row.name.replace('|', "\\|"),
            row.unit,
            number(row.ours),
        );
        if rows.get(at + 1).is_none_or(|next| next.group != group) {
            let ratios = rows.iter().filter(|row| row.in_mean && row.group == group);
            if let Some(mean) = geometric_mean(ratios.filter_map(Row::ratio)) {
                let _ = writeln!(text, "| **geometric mean** | | | | **{mean:.2}** | <= 1.35 |");
            }
        }
    }
    text
}

fn number(value: f64) -> String {
    match value.abs() {
        value if value < 1.0 => format!("{value:.3}"),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

/// The middle one.
pub(super) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The middle one.
pub(super) fn median_number(numbers: &mut [f64]) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_ratios_and_their_mean() {
        let ms = Duration::from_millis;
        let rows = [
            Row::millis("bench", "a", ms(4)).native_time(ms(2)).in_mean(),
            Row::millis("bench", "b", ms(30)).native_time(ms(60)).in_mean(),
            Row::new("memory", "RSS", "MB", 120.0).target("<= 120"),
        ];
        let text = table(&rows);
        assert!(text.contains("| a | ms | 4.00 | 2.00 | 2.00 |  |"), "{text}");
        assert!(text.contains("| **geometric mean** | | | | **1.00** |"), "{text}");
        assert!(text.contains("| RSS | MB | 120 | - | - | <= 120 |"), "{text}");
    }

    #[test]
    fn median_is_the_middle() {
        let mut times = [5, 1, 9].map(Duration::from_millis);
        assert_eq!(median(&mut times), Duration::from_millis(5));
        assert_eq!(median_number(&mut [2.5, 0.5, 9.5]), 2.5);
    }
}
