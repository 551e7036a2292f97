//! The jobs that calls of an order began, while others of its calls are still to be made.
//!
//! Invariant: no call waits for room that a job of its own order holds without anybody asking after that job: as long as it
//! waits, what its order began is asked after, at the pace of all jobs. What ends by then counts as a call that has ended; what
//! still runs when all calls are made stands in the journal from then on. After a crash before that the whole order comes again, as
//! one does that began nothing, so what may not be repeated is not. An order that was left asks after its jobs no longer, and
//! where no other does they hold no room either.
//! Not here: asking after what stands in the journal (`ask`).

use std::{
    future::pending,
    pin::pin,
    time::{Duration, Instant},
};

use dialects::Verdict;
use domain::NativeCall;
use tokio::time::sleep;

use super::{Api, Running, Telling, call::Made, desk::Asker};
use crate::{attempt::End, caches::Surroundings, tally::Tally};

/// What runs of an order, and that it asks after each.
pub(super) struct Begun {
    jobs: Vec<(Running, Option<Asker>)>,
    /// When they are asked after next.
    due: Instant,
    every: Duration,
}

impl Begun {
    /// Takes how all that a call came to has ended, each by itself; what runs is one job more. Whether the next call makes sense.
    pub(super) fn take(
        &mut self,
        (number, call, _): (usize, &NativeCall, bool),
        ends: Vec<Made>,
        tally: &mut Tally,
    ) -> bool {
        for Made { end, asker } in ends {
            if let End::Judged(Verdict::Running { job }) = end {
                let running = Running {
                    takes: asker.as_ref().map(Asker::takes),
                    job,
                    number,
                    selectors: call.selectors.clone(),
                };
                self.jobs.push((running, asker));
            } else if !tally.take(&call.selectors, end) {
                return false;
            }
        }
        true
    }

    /// All of them, for the journal, out of which they are asked after from then on.
    pub(super) fn into_jobs(self) -> Vec<Running> {
        let jobs = self.jobs.into_iter();
        jobs.map(|(running, asker)| kept(running, asker)).collect()
    }

    /// Waits until they are to be asked after; for ever where there are none.
    async fn is_due(&mut self) {
        if self.jobs.is_empty() {
            return pending().await;
        }
        sleep(self.due.saturating_duration_since(Instant::now())).await;
        self.due = Instant::now() + self.every;
    }
}

/// The job, which nobody leaves by dropping this.
fn kept(running: Running, asker: Option<Asker>) -> Running {
    if let Some(asker) = asker {
        asker.keep();
    }
    running
}

impl Api {
    /// No job yet.
    pub(super) fn begun(&self) -> Begun {
        Begun {
            jobs: Vec::new(),
            due: Instant::now() + self.poll_every,
            every: self.poll_every,
        }
    }

    /// Makes a call like [`Self::call`], and meanwhile asks after what calls before it began.
    pub(super) async fn call_beside(
        &self,
        telling: &Telling<'_>,
        made: (usize, &NativeCall, bool),
        around: &dyn Surroundings,
        (begun, tally): (&mut Begun, &mut Tally),
    ) -> Option<Vec<Made>> {
        let mut ended = Vec::new();
        let ends = {
            let mut call = pin!(self.call(telling, made, around, tally));
            loop {
                tokio::select! {
                    ends = &mut call => break ends,
                    () = self.ask_beside(telling, begun, &mut ended) => {}
                }
            }
        };
        for (running, verdict) in ended {
            tally.take(&running.selectors, End::Judged(verdict));
        }
        ends
    }

    /// Asks after each job once, when it is time. What has ended is in one list or in the other wherever this is dropped.
    async fn ask_beside(
        &self,
        telling: &Telling<'_>,
        begun: &mut Begun,
        ended: &mut Vec<(Running, Verdict)>,
    ) {
        begun.is_due().await;
        let mut at = 0;
        while let Some((running, _)) = begun.jobs.get(at) {
            match self.ask_one(telling, running).await {
                Ok(verdict) => {
                    let (one, asker) = begun.jobs.remove(at);
                    ended.push((kept(one, asker), verdict));
                }
                // It runs on, or nobody knows: whoever asks last says so.
                Err(_) => at += 1,
            }
        }
    }
}
