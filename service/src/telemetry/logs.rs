//! The log of a process: for people on a terminal, JSON for machines.
//!
//! Invariant: everything goes to stderr, panics included, in one format.
//! Not here: how a line of JSON is put together (`flat_json`).

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::flat_json::FlatJson;
use crate::configuration::{Check, Checked};
use crate::shutdown::text_of;

/// What is silent whatever an operator asks for: libraries that write handshakes, and so passwords, or whole messages.
const SILENT: &str = "lapin=off";

/// How a process logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogSettings {
    /// Which lines: a level, or levels per module, as in `info,broker::dispatch=debug`.
    pub filter: String,
    /// In which format.
    pub format: LogFormat,
}

/// The format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One line for people, with colours on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

impl Checked for LogSettings {
    fn check(&self, check: &mut Check<'_>) {
        if let Err(error) = EnvFilter::try_new(&self.filter) {
            check.require(
                "filter",
                false,
                format_args!("is not a log filter: {error}"),
            );
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("the log filter is wrong")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// This process logs already.
    #[error("the log was started before")]
    Started(#[from] TryInitError),
}

/// The filter, with what is never logged. The last of two directives for one library counts.
fn filter(settings: &LogSettings) -> String {
    format!("{},{SILENT}", settings.filter.trim_end_matches(','))
}

/// Starts the log of this process.
///
/// # Errors
/// Where the filter is wrong, or a log was started before.
pub fn init_logs(settings: &LogSettings) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter(settings))?)
        .with_writer(std::io::stderr);
    if wants_json(settings.format, terminal) {
        builder
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .finish()
            .try_init()?;
    } else {
        builder.with_ansi(terminal).finish().try_init()?;
    }
    log_panics();
    Ok(())
}

fn wants_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(
            panic.place = place,
            panic.message = text_of(panic.payload()),
            "panicked"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Problems;

    /// `auto` looks at where the lines go.
    #[test]
    fn auto_is_human_on_a_terminal_and_json_elsewhere() {
        assert!(!wants_json(LogFormat::Auto, true));
        assert!(wants_json(LogFormat::Auto, false));
        assert!(wants_json(LogFormat::Json, true));
        assert!(!wants_json(LogFormat::Human, false));
    }

    /// A wrong filter is a problem of the configuration, found before anything runs.
    #[test]
    fn a_wrong_filter_is_a_problem() {
        let mut problems = Problems::default();
        problems.check(&LogSettings {
            filter: "broker=loud".to_owned(),
            format: LogFormat::Auto,
        });
        assert!(
            problems
                .to_string()
                .starts_with("filter: is not a log filter"),
            "{problems}"
        );
        let mut problems = Problems::default();
        problems.check(&LogSettings {
            filter: "info,broker::dispatch=debug".to_owned(),
            format: LogFormat::Auto,
        });
        assert!(problems.is_empty(), "{problems}");
    }
}
