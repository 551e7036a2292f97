//! The metrics of a process, in Prometheus' text format.
//!
//! Invariant: a process has one table of its metrics; it is registered when the recorder is installed, and a test
//! compares it with the documentation.
//! Not here: who counts what, and the port on which it is read (`signals`).

use std::collections::BTreeSet;
use std::fmt;

use ::metrics::{SetRecorderError, Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Upper bounds for histograms whose name ends in `_seconds`: from half a millisecond to one hour.
pub const LATENCY_BUCKETS_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 900.0, 3600.0,
];

/// Upper bounds for all other histograms, which count things.
pub const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0,
];

/// The end of a name that says: this is a time.
const SECONDS: &str = "_seconds";

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values in buckets.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// One metric: a row in the table of its process and in the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The name, as Prometheus' conventions want it: unit and `_total` at the end.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence.
    pub help: &'static str,
}

impl Description {
    /// A row.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        unit: Unit,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            labels,
            help,
        }
    }

    /// The row of the documentation: `| name | kind | unit | labels | help |`.
    pub fn row(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let cells = [
            format!("`{}`", self.name),
            self.kind.to_string(),
            self.unit.as_str().to_owned(),
            labels.join(", "),
        ];
        format!("| {} | {} |", cells.join(" | "), self.help)
    }

    fn describe(&self) {
        match self.kind {
            Kind::Counter => describe_counter!(self.name, self.unit, self.help),
            Kind::Gauge => describe_gauge!(self.name, self.unit, self.help),
            Kind::Histogram => describe_histogram!(self.name, self.unit, self.help),
        }
    }
}

/// What differs between tables of metrics and a document with a row for each. Empty when they agree.
pub fn differences(tables: &[&[Description]], document: &str) -> Vec<String> {
    let described: BTreeSet<String> = tables
        .iter()
        .copied()
        .flatten()
        .map(Description::row)
        .collect();
    let documented = document
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = documented.map(str::to_owned).collect();
    let missing = described
        .difference(&documented)
        .map(|row| format!("not in the document: {row}"));
    let unknown = documented
        .difference(&described)
        .map(|row| format!("only in the document: {row}"));
    missing.chain(unknown).collect()
}

/// The recorded metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves recorded values into their buckets. Must be called every few seconds, or memory grows.
    pub(super) fn upkeep(&self) {
        self.0.run_upkeep();
    }

    #[cfg(test)]
    pub(super) fn of_test() -> Self {
        Self(recorder().unwrap().handle())
    }
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The exporter refuses the buckets.
    #[error("the metrics exporter cannot be built")]
    Build(#[from] BuildError),
    /// This process records already.
    #[error("metrics are recorded already")]
    Installed(#[from] SetRecorderError<PrometheusRecorder>),
}

/// Begins to record metrics in this process and registers its table.
///
/// # Errors
/// When it was called before.
pub fn install_metrics(table: &[Description]) -> Result<Metrics, InstallError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder)?;
    table.iter().for_each(Description::describe);
    Ok(Metrics(handle))
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let times = Matcher::Suffix(SECONDS.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets(COUNT_BUCKETS)?
        .set_buckets_for_metric(times, LATENCY_BUCKETS_SECONDS)?;
    Ok(builder.build_recorder())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Description] = &[
        Description {
            name: "broker_commands_total",
            kind: Kind::Counter,
            unit: Unit::Count,
            labels: &["participant", "state"],
            help: "Commands accepted.",
        },
        Description {
            name: "broker_settled_seconds",
            kind: Kind::Histogram,
            unit: Unit::Seconds,
            labels: &[],
            help: "From accepted to settled.",
        },
    ];

    /// Times and counts fall into buckets that fit them, under the names we gave.
    #[test]
    fn histograms_have_the_buckets_of_their_unit() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            TABLE.iter().for_each(Description::describe);
            ::metrics::counter!("broker_commands_total", "participant" => "paris", "state" => "done").increment(2);
            ::metrics::histogram!("broker_settled_seconds").record(0.002);
            ::metrics::histogram!("broker_batch_executions").record(300.0);
        });
        let text = handle.render();
        for line in [
            "# HELP broker_commands_total Commands accepted.",
            r#"broker_commands_total{participant="paris",state="done"} 2"#,
            r#"broker_settled_seconds_bucket{le="0.0025"} 1"#,
            r#"broker_settled_seconds_bucket{le="3600"} 1"#,
            r#"broker_batch_executions_bucket{le="500"} 1"#,
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is not in\n{text}"
            );
        }
    }

    /// The document is for operators; it may say no more and no less than the process does.
    #[test]
    fn a_document_that_differs_from_the_table_is_found_out() {
        let document = format!(
            "# Metrics\n\n| name | kind |\n|---|---|\n{}\n| `gone_total` |",
            TABLE[0].row()
        );
        let differences = differences(&[TABLE], &document);
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert!(differences[0].contains("broker_settled_seconds"));
        assert!(differences[1].contains("gone_total"));
    }
}
