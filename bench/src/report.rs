//! The table of results.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::samples::Samples;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    samples: Samples,
    target: Option<Target>,
}

impl Row {
    pub(crate) fn at_least(&mut self, value: f64) {
        self.target = Some(Target::AtLeast(value));
    }

    pub(crate) fn at_most(&mut self, value: f64) {
        self.target = Some(Target::AtMost(value));
    }

    fn met(&self) -> Option<bool> {
        let (_, median, _) = self.samples.spread();
        self.target.map(|target| match target {
            Target::AtLeast(value) => median >= value,
            Target::AtMost(value) => median <= value,
        })
    }

    fn target_text(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtLeast(value)) => format!("≥ {}", number(value)),
            Some(Target::AtMost(value)) => format!("≤ {}", number(value)),
        }
    }
}

/// All figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    rounds: usize,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(machine: String, rounds: usize) -> Self {
        Self { machine, rounds, rows: Vec::new() }
    }

    /// Adds a figure; its target may be set on what is returned.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, samples: &Samples) -> &mut Row {
        let row = Row { name: name.into(), unit, samples: samples.clone(), target: None };
        self.rows.push(row);
        let last = self.rows.len() - 1;
        &mut self.rows[last]
    }

    /// True where a target was missed.
    pub(crate) fn missed(&self) -> bool {
        self.rows.iter().any(|row| row.met() == Some(false))
    }

    /// A table for people.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}; {} rounds, median (smallest – largest).\n\n", self.machine, self.rounds);
        text.push_str("| measured | median | range | unit | target | |\n| --- | ---: | --- | --- | --- | --- |\n");
        for row in &self.rows {
            let (smallest, median, largest) = row.samples.spread();
            let (median, range) = (number(median), format!("{} – {}", number(smallest), number(largest)));
            let verdict = row.met().map_or("", |met| if met { "met" } else { "**missed**" });
            let _ = writeln!(text, "| {} | {median} | {range} | {} | {} | {verdict} |", row.name, row.unit, row.target_text());
        }
        if self.missed() {
            text.push_str("\nWhere the time goes: `perf record -g --call-graph dwarf target/release/folio-bench --only append`, then `perf report`.\n");
        }
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let (smallest, median, largest) = row.samples.spread();
                json!({
                    "name": row.name, "unit": row.unit, "median": median, "smallest": smallest, "largest": largest,
                    "target": row.target_text(), "met": row.met(),
                })
            })
            .collect();
        format!("{:#}\n", json!({"machine": self.machine, "rounds": self.rounds, "figures": rows}))
    }
}

/// Three digits that count, with thousands set apart.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let texts = [0.8, 9.994, 10.0, 99.9, 999.6, 1_000.0, 512_345.6].map(number);
        assert_eq!(texts, ["0.80", "9.99", "10.0", "99.9", "1,000", "1,000", "512,346"]);
    }

    #[test]
    fn a_missed_target_is_said() {
        let mut report = Report::new("a machine".into(), 1);
        let mut samples = Samples::default();
        samples.add(0.7);
        report.add("a ratio", "×", &samples).at_least(0.8);
        assert!(report.missed());
        assert!(report.markdown().contains("| a ratio | 0.70 | 0.70 – 0.70 | × | ≥ 0.80 | **missed** |"));
        assert!(report.json().contains("\"met\": false"));
    }
}
