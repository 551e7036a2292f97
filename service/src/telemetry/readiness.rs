//! Whether a process is ready for work: when all of its named conditions are met.
//!
//! Invariant: a condition begins unmet, so a part that did not report yet holds the process back.
//! Not here: what a condition means; the part that owns it says `met` or `unmet`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// What a condition says before anybody reported.
const NOT_YET: &str = "not yet";

/// The conditions of a process. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<Conditions>>);

/// Why a condition is unmet, by name; nothing where it is met.
type Conditions = BTreeMap<String, Option<String>>;

/// One condition, held by the part that knows about it.
#[derive(Debug, Clone)]
pub struct Condition {
    readiness: Readiness,
    name: String,
}

impl Readiness {
    /// Without conditions a process is ready.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Conditions::new())))
    }

    /// A new condition, unmet.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let condition = Condition {
            readiness: self.clone(),
            name: name.into(),
        };
        condition.unmet(NOT_YET);
        condition
    }

    /// Whether all conditions are met.
    pub fn is_ready(&self) -> bool {
        all_met(&self.0.borrow())
    }

    /// Waits until all conditions are met. The caller gives it a limit.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(all_met).await;
    }

    /// The unmet conditions, one line each: `rabbitmq: connection refused`.
    pub fn unmet(&self) -> Vec<String> {
        let conditions = self.0.borrow();
        let unmet = conditions
            .iter()
            .filter_map(|(name, why)| Some(format!("{name}: {}", why.as_ref()?)));
        unmet.collect()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Condition {
    /// The condition is met.
    pub fn met(&self) {
        self.set(None);
    }

    /// The condition is not met, and why.
    pub fn unmet(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, why: Option<String>) {
        self.readiness.0.send_modify(|conditions| {
            conditions.insert(self.name.clone(), why);
        });
    }
}

fn all_met(conditions: &Conditions) -> bool {
    conditions.values().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replica gets no traffic before every part of it can work, nor after one lost its server.
    #[tokio::test]
    async fn a_process_is_ready_while_all_its_conditions_are_met() {
        let readiness = Readiness::new();
        let (rabbitmq, redis) = (
            readiness.condition("rabbitmq"),
            readiness.condition("redis"),
        );
        redis.met();
        assert_eq!(readiness.unmet(), ["rabbitmq: not yet"]);
        rabbitmq.met();
        readiness.ready().await;
        redis.unmet("connection lost");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.unmet(), ["redis: connection lost"]);
    }
}
