//! The figures of a run: printed as a table, written to `target/bench.json`, and judged by their ratios.
//!
//! Invariant: every figure has a name that explains itself, with its unit at the end; of several rounds the middle one counts.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde_json::json;

/// Where the figures are written, beside the programs that were measured.
const FILE: &str = "target/bench.json";

/// What is promised of a ratio.
#[derive(Debug, Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// The ratios of the last line: its word for it, the figure's name, and what is promised.
const TARGETS: [(&str, &str, Target); 6] = [
    (
        "stream",
        "stream_commands_one_participant_to_raw_ratio",
        Target::AtLeast(3.0),
    ),
    (
        "executions",
        "stream_executions_64_participants_to_raw_ratio",
        Target::AtLeast(2.0),
    ),
    (
        "unary",
        "unary_commands_one_participant_to_raw_ratio",
        Target::AtLeast(1.0),
    ),
    (
        "latency p50",
        "latency_unloaded_p50_to_raw_ratio",
        Target::AtMost(2.0),
    ),
    (
        "p99",
        "latency_unloaded_p99_to_raw_ratio",
        Target::AtMost(3.0),
    ),
    (
        "fan-out",
        "fan_out_64_participants_to_one_ratio",
        Target::AtMost(6.0),
    ),
];

/// All figures so far.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<String, Vec<f64>>);

impl Report {
    /// Adds a figure of one round.
    pub(crate) fn add(&mut self, name: impl Into<String>, figure: f64) {
        self.0.entry(name.into()).or_default().push(figure);
    }

    /// Adds the percentiles of what was counted in microseconds, as milliseconds.
    pub(crate) fn add_latency(&mut self, name: &str, histogram: &Histogram<u64>) {
        for (word, percentile) in [("p50", 50.0), ("p99", 99.0), ("p999", 99.9)] {
            let micros = histogram.value_at_percentile(percentile);
            self.add(format!("{name}_{word}_milliseconds"), milliseconds(micros));
        }
    }

    /// The middle of its rounds; NaN where it was not measured.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let mut rounds = self.0.get(name).cloned().unwrap_or_default();
        rounds.sort_by(f64::total_cmp);
        rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Adds the quotient of two figures' middles.
    pub(crate) fn add_ratio(&mut self, name: &str, of: &str, to: &str) {
        let ratio = self.figure(of) / self.figure(to);
        self.add(name, ratio);
    }

    /// The table.
    pub(crate) fn print(&self) {
        println!("{:<72} {:>14}   all rounds", "figure", "middle");
        for (name, rounds) in &self.0 {
            let rounds: Vec<_> = rounds.iter().map(|figure| shown(*figure)).collect();
            let rounds = if rounds.len() > 1 {
                rounds.join(" ")
            } else {
                String::new()
            };
            println!("{name:<72} {:>14}   {rounds}", shown(self.figure(name)));
        }
    }

    /// Writes it down for machines: the middle of each figure, and its rounds.
    pub(crate) fn write(&self) -> Result<()> {
        let about = BTreeMap::from(measured_on());
        let middles: BTreeMap<_, _> = self
            .0
            .keys()
            .map(|name| (name, self.figure(name)))
            .collect();
        let text = json!({ "measured_on": about, "figures": middles, "rounds": self.0 });
        if let Some(folder) = Path::new(FILE).parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(FILE, format!("{text:#}\n")).with_context(|| format!("write {FILE}"))
    }

    /// The last line: the ratios, and `met` or what fell short.
    pub(crate) fn verdict(&self) -> String {
        let ratios = TARGETS.map(|(word, name, _)| format!("{word} {:.2}", self.figure(name)));
        let short: Vec<_> = TARGETS
            .iter()
            .filter_map(|(word, name, target)| target.missed(word, self.figure(name)))
            .collect();
        let verdict = if short.is_empty() {
            "met".to_owned()
        } else {
            short.join(", ")
        };
        format!("bench: {}: {verdict}", ratios.join(", "))
    }
}

impl Target {
    /// In words; a figure that was not measured is missed.
    fn missed(self, word: &str, figure: f64) -> Option<String> {
        match self {
            Self::AtLeast(least) if figure >= least => None,
            Self::AtMost(most) if figure <= most => None,
            Self::AtLeast(least) => Some(format!("{word} is below {least:.1}")),
            Self::AtMost(most) => Some(format!("{word} is above {most:.1}")),
        }
    }
}

fn shown(figure: f64) -> String {
    if figure.abs() >= 1_000.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.3}")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time of less than centuries")]
pub(crate) fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// What a reader of the figures must know.
fn measured_on() -> [(&'static str, String); 3] {
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown");
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    [
        ("processors", format!("{processors} × {model}")),
        (
            "load_average_at_the_end",
            text("/proc/loadavg").trim().to_owned(),
        ),
        ("profile", profile.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met() -> Report {
        let mut report = Report::default();
        for (_, name, target) in TARGETS {
            let (Target::AtLeast(bound) | Target::AtMost(bound)) = target;
            report.add(name, bound);
        }
        report
    }

    /// What is promised is judged by the middle round, and what was not measured is not met.
    #[test]
    fn the_last_line_says_what_fell_short() {
        let mut report = met();
        assert_eq!(
            report.verdict(),
            "bench: stream 3.00, executions 2.00, unary 1.00, latency p50 2.00, p99 3.00, fan-out 6.00: met"
        );
        report.add("fan_out_64_participants_to_one_ratio", 6.5);
        assert!(report.verdict().ends_with("fan-out is above 6.0"));
        report.add("fan_out_64_participants_to_one_ratio", 1.0);
        assert!(report.verdict().ends_with("met"));
        assert!(Report::default().verdict().contains("unary is below 1.0"));
    }
}
