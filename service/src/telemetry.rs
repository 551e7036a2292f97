//! What a process tells about itself: logs, metrics, health.
//!
//! Invariant: a log line is readable alone, a metric is described before it is used, and a process is
//! ready only when all of its conditions are met.
//! Not here: traces across processes (`trace`), and which metrics there are: each process has its table.

mod flat_json;
mod logs;
mod metrics;
mod readiness;
mod signals;

pub use self::logs::{LogError, LogFormat, LogSettings, init_logs};
pub use self::metrics::{
    COUNT_BUCKETS, Description, InstallError, Kind, LATENCY_BUCKETS_SECONDS, Metrics, differences,
    install_metrics,
};
pub use self::readiness::{Condition, Readiness};
pub use self::signals::{BindError, Signals};

pub use ::metrics::Unit;
