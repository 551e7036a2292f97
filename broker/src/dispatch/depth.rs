//! How full a lane is, shown as gauges.
//!
//! Invariant: Redis is asked not more often than anybody looks.

use std::time::{Duration, Instant};

use metrics::gauge;

use crate::{
    metrics as names,
    pipeline::now,
    store::{Lane, Store},
};

/// How often the depth of the outbox is shown.
const EVERY: Duration = Duration::from_secs(5);

/// When it was shown last.
#[derive(Default)]
pub(super) struct Depth(Option<Instant>);

impl Depth {
    /// Shows it where it is time.
    pub(super) async fn show(&mut self, store: &Store, lane: &Lane) {
        if self.0.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.0 = Some(Instant::now());
        if let Ok(state) = store.outbox_state(lane).await {
            let age = state
                .oldest
                .map_or(Duration::ZERO, |oldest| now().since(oldest));
            show(lane, state.waiting, state.unreported, age);
        }
    }

    /// A lane that is another replica's now is not shown here.
    pub(super) fn clear(lane: &Lane) {
        show(lane, 0, 0, Duration::ZERO);
    }
}

fn show(lane: &Lane, waiting: u64, unreported: u64, age: Duration) {
    let labels = [
        ("participant", lane.participant.to_string()),
        ("shard", lane.shard.number().to_string()),
    ];
    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    {
        gauge!(names::OUTBOX_EXECUTIONS, &labels).set(waiting as f64);
        gauge!(names::UNREPORTED_EXECUTIONS, &labels).set(unreported as f64);
    }
    gauge!(names::OUTBOX_AGE_SECONDS, &labels).set(age);
}
