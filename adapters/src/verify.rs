//! Looking afterwards: before a command is told, after it, and again after it was told again.
//!
//! Invariant: `verified` is said only of what was seen in this very run, so whoever begins anew after a crash looks anew. The
//! number of looks, their time and their bytes are bounded, and so is how often the command is told again.
//! Not here: what a look shows (`dialects::probe`), and where one looks (`caches`, `api`).
//!
//! A look before the command tells what the old object is; it is left out for a load, which it would spoil. Where the cache
//! says of each answer whether it had it, one looks at once after the command. Otherwise, and after each repetition, one
//! waits until an age in whole seconds can tell what is older than the command. Who estimates when it is done is not looked at
//! before, and where there is no time for that, not at all: what is not yet done says nothing.
//!
//! Where telling again begins a job, looking ends until the job has: [`Looked::Runs`] says so, and the same case goes on then.

mod edge;
mod look;
mod watched;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use dialects::probe::{Judgement, Told};
use domain::{
    Fault, ServerId,
    proof::{Proof, ProofVerdict, Sighting},
    selector::ContentUrl,
    verification::{Expect, Probe, Probes},
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use service::backoff::Backoff;
use tokio::time::sleep;
use tracing::warn;

use self::watched::Watched;
pub(crate) use self::{
    edge::Edge,
    look::{Way, look_at},
};
use crate::{config, journal::now, metrics, tally::Tally};

/// How often somebody who waits looks whether to go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where one looks and tells.
pub(crate) trait Ground: Sync {
    /// What may be under way there when it was told.
    type Job: Send;

    /// Asks once for a URL, as a visitor.
    fn look(&self, spot: &Spot) -> impl Future<Output = Result<Sighting, Fault>> + Send;

    /// Makes the calls for these selectors once more, for the `round`th time. `None` where the order was left.
    fn tell_again(
        &self,
        selectors: &[u32],
        round: u32,
        tally: &mut Tally,
    ) -> impl Future<Output = Option<Retold<Self::Job>>> + Send;

    /// Whether the order is still ours.
    fn is_current(&self) -> bool;

    /// Nothing begins after this.
    fn until(&self) -> Instant;
}

/// What came of telling again.
#[derive(Debug)]
pub(crate) enum Retold<Job> {
    /// Nothing can be told again.
    Cannot,
    /// It was told.
    Done,
    /// It was told, and is under way.
    Runs(Vec<Job>),
}

/// What came of looking afterwards.
#[derive(Debug)]
pub(crate) enum Looked<'a, Job> {
    /// All that there was to see.
    Proof(Proof),
    /// It was told again, and these are under way; afterwards this case goes on.
    Runs(Vec<Job>, Case<'a>),
}

/// One URL at one place.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) url: ContentUrl,
    /// What is told again because of it.
    selectors: Vec<u32>,
    /// Whether it stands for nothing but itself.
    exact: bool,
    /// Where, if not at the server itself.
    pub(crate) at: Option<Edge>,
}

/// What is looked at, and what was seen.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    server: &'a ServerId,
    expect: Expect,
    uncovered: &'a [u32],
    limits: config::Probes,
    spots: Vec<Watched>,
    began: domain::Timestamp,
    so_far: SoFar,
}

/// How often somebody looked again, and how often it was told again for that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SoFar {
    rounds: u32,
    repeats: u32,
}

impl<'a> Case<'a> {
    /// Looks at each probe at each of the places; without a place, at the server itself.
    pub(crate) fn new(
        server: &'a ServerId,
        probes: &'a Probes,
        places: &[Edge],
        limits: config::Probes,
    ) -> Self {
        let watched = |probe: &Probe, at: Option<&Edge>| Watched {
            spot: Spot {
                url: probe.url.clone(),
                selectors: probe.selectors.clone(),
                exact: probe.exact,
                at: at.cloned(),
            },
            seen: Vec::new(),
            judgement: Judgement::Unseen("nobody has looked".to_owned()),
        };
        let at_places = |probe: &Probe| match places {
            [] => vec![watched(probe, None)],
            places => places.iter().map(|at| watched(probe, Some(at))).collect(),
        };
        Self {
            server,
            expect: probes.expect,
            uncovered: &probes.uncovered,
            limits,
            spots: probes.probes.iter().flat_map(at_places).collect(),
            began: now(),
            so_far: SoFar::default(),
        }
    }

    /// What is there before the command is told.
    pub(crate) async fn look_before(&mut self, ground: &impl Ground) {
        if self.expect != Expect::Held {
            let looks = self.spots.iter().map(|watched| ground.look(&watched.spot));
            let looks: Vec<_> = looks.collect();
            let seen: Vec<_> = stream::iter(looks)
                .buffered(self.limits.at_once)
                .collect()
                .await;
            for (watched, seen) in self.spots.iter_mut().zip(seen) {
                // Who cannot look before may do so afterwards.
                watched.seen.extend(seen.ok().map(|seen| Sighting {
                    before: true,
                    ..seen
                }));
            }
        }
        self.began = now();
    }

    /// What was seen before, to be remembered until the command has ended.
    pub(crate) fn seen(&self) -> Vec<Option<Sighting>> {
        let first = |watched: &Watched| watched.seen.first().filter(|seen| seen.before).cloned();
        self.spots.iter().map(first).collect()
    }

    /// When the command was told last.
    pub(crate) fn began(&self) -> domain::Timestamp {
        self.began
    }

    /// How far it has come.
    pub(crate) fn so_far(&self) -> SoFar {
        self.so_far
    }

    /// The same, remembered.
    pub(crate) fn remember(
        &mut self,
        seen: Vec<Option<Sighting>>,
        began: domain::Timestamp,
        so_far: SoFar,
    ) {
        for (watched, seen) in self.spots.iter_mut().zip(seen) {
            watched.seen.extend(seen);
        }
        (self.began, self.so_far) = (began, so_far);
    }

    /// Looks after the command, and tells it again where that may help. `None` where the order was left.
    pub(crate) async fn prove<G: Ground>(
        mut self,
        ground: &G,
        tally: &mut Tally,
    ) -> Option<Looked<'a, G::Job>> {
        let mut told = Told {
            began: self.began,
            ended: now(),
        };
        let mut pauses = Backoff::new(self.limits.pause);
        let mut settles = self.expect != Expect::Held && !self.says_where_from();
        loop {
            let rest = estimate(tally);
            if rest > ground.until().saturating_duration_since(Instant::now()) {
                return Some(Looked::Proof(self.done_too_late(rest)));
            }
            let settle = if settles || self.so_far.rounds > 0 {
                self.limits.settle
            } else {
                Duration::ZERO
            };
            wait(ground, settle.max(rest)).await?;
            self.look_after(ground, told).await?;
            let open = self.open();
            let pause = pauses.next_delay();
            if open.is_empty() || !self.may_help(pause, ground, tally) {
                return Some(Looked::Proof(self.proof()));
            }
            wait(ground, pause).await?;
            self.so_far.rounds += 1;
            settles = true;
            let began = now();
            match ground.tell_again(&open, self.so_far.rounds, tally).await? {
                Retold::Cannot => continue,
                Retold::Done => {}
                Retold::Runs(jobs) => {
                    self.told_again(began);
                    return Some(Looked::Runs(jobs, self));
                }
            }
            self.told_again(began);
            let ended = now();
            told = Told { began, ended };
        }
    }

    /// Whether there is any sense in telling again after the pause, and time for it.
    fn may_help(&self, pause: Duration, ground: &impl Ground, tally: &Tally) -> bool {
        let (helps, is_last) = (
            self.expect != Expect::Held && tally.is_done(),
            self.so_far.rounds >= self.limits.repeats,
        );
        helps && !is_last && Instant::now() + pause + self.limits.settle < ground.until()
    }

    fn told_again(&mut self, began: domain::Timestamp) {
        self.began = began;
        self.so_far.repeats += 1;
        metrics::told_again();
    }

    /// Whether the cache says of each answer whether it had it, as far as was seen.
    fn says_where_from(&self) -> bool {
        let says = |watched: &Watched| {
            let first = watched.seen.first();
            // What a provider's edges are told takes its time.
            watched.spot.at.is_none() && first.is_some_and(|seen| seen.hit.is_some())
        };
        self.expect == Expect::Gone && self.spots.iter().all(says)
    }

    /// Two looks at each spot that is not proven.
    async fn look_after(&mut self, ground: &impl Ground, told: Told) -> Option<()> {
        let expect = self.expect;
        let open = self.spots.iter().enumerate();
        let open = open.filter(|(_, watched)| watched.judgement != Judgement::Proven);
        let looks: Vec<_> = open
            .map(|(number, watched)| async move {
                let looked = watched.look_twice(ground, expect, told).await;
                (number, looked)
            })
            .collect();
        let looked: Vec<_> = stream::iter(looks)
            .buffered(self.limits.at_once)
            .collect()
            .await;
        for (number, (judgement, seen)) in looked {
            let watched = &mut self.spots[number];
            watched.judgement = judgement;
            watched.seen.extend(seen);
        }
        ground.is_current().then_some(())
    }

    /// The selectors that telling again may help.
    fn open(&self) -> Vec<u32> {
        let open = self.spots.iter().filter(|watched| watched.is_open());
        let mut selectors: Vec<u32> = open
            .flat_map(|watched| watched.spot.selectors.iter().copied())
            .collect();
        selectors.sort_unstable();
        selectors.dedup();
        selectors
    }

    /// The proof where the command is done only when there is no time left: what nobody has looked at stays so.
    fn done_too_late(mut self, rest: Duration) -> Proof {
        let seconds = rest.as_secs();
        let why = format!(
            "done only after {seconds} s, by the estimate, and the execution's time is over before"
        );
        for watched in &mut self.spots {
            if let Judgement::Unseen(reason) = &mut watched.judgement {
                reason.clone_from(&why);
            }
        }
        self.proof()
    }

    /// What was seen in all. What a person must know is logged: a server that says it did and did not.
    fn proof(self) -> Proof {
        let probed = self.spots.into_iter().map(Watched::probed).collect();
        let proof = Proof::of(probed, self.so_far.repeats, self.uncovered);
        for probed in &proof.probes {
            metrics::probed(probed.verdict);
        }
        if proof.verdict == ProofVerdict::NotVerified {
            warn!(
                server.id = %self.server,
                repeats = proof.repeats,
                reason = proof.why,
                "what the server says is not what it serves"
            );
        }
        proof
    }
}

/// Until the native system believes to be done.
fn estimate(tally: &Tally) -> Duration {
    let rest = tally.estimated_at().map(|moment| moment.since(now()));
    rest.unwrap_or_default()
}

/// Waits, as long as the order is ours.
async fn wait(ground: &impl Ground, time: Duration) -> Option<()> {
    let due = Instant::now() + time;
    while ground.is_current() {
        let rest = due.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Some(());
        }
        sleep(rest.min(LOOK_EVERY)).await;
    }
    None
}
