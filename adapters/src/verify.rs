//! Looking afterwards: before a command is told, after it, and again after it was told again.
//!
//! Invariant: `verified` is said only of what was seen in this very run, so whoever begins anew after a crash looks anew. The
//! number of looks, their time and their bytes are bounded, and so is how often the command is told again.
//! Not here: what a look shows (`dialects::probe`), and where one looks (`caches`, `api`).
//!
//! A look before the command tells what the old object is; it is left out for a load, which it would spoil. Where the cache
//! says of each answer whether it had it, one looks at once after the command. Otherwise, and after each repetition, one
//! waits until an age in whole seconds can tell what is older than the command.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use dialects::probe::{self, Judgement, Told};
use domain::{
    Fault, ServerId,
    participant::ServerAddress,
    proof::{Probed, Proof, ProofVerdict, Sighting},
    selector::ContentUrl,
    verification::{Expect, Probe, Probes},
};
use futures::{StreamExt, stream};
use service::backoff::Backoff;
use tokio::time::sleep;
use tracing::warn;

use crate::{
    address::Addresses,
    config,
    http::{CallError, CallLimits, Http, Target},
    journal::now,
    metrics,
    part::Part,
};

/// How often somebody who waits looks whether to go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two looks where the first one makes the cache ask its origin: time for that, and for an age to tell.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// Where one looks and tells.
pub(crate) trait Ground: Sync {
    /// Asks once for a URL, as a visitor.
    fn look(&self, spot: &Spot) -> impl Future<Output = Result<Sighting, Fault>> + Send;

    /// Makes the calls for these selectors once more, and says whether it can. `None` where the order was left.
    fn tell_again(
        &self,
        selectors: &[u32],
        part: &mut Part,
    ) -> impl Future<Output = Option<bool>> + Send;

    /// Whether the order is still ours.
    fn is_current(&self) -> bool;

    /// Nothing begins after this.
    fn until(&self) -> Instant;
}

/// One URL at one place.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) url: ContentUrl,
    /// What is told again because of it.
    selectors: Vec<u32>,
    /// Where, if not at the server itself.
    pub(crate) at: Option<ServerAddress>,
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
}

/// A spot and what is known of it.
#[derive(Debug)]
struct Watched {
    spot: Spot,
    /// In the order in which it was seen; the last two after the command are at the end.
    seen: Vec<Sighting>,
    judgement: Judgement,
}

impl<'a> Case<'a> {
    /// Looks at each probe at each of the places; without a place, at the server itself.
    pub(crate) fn new(
        server: &'a ServerId,
        probes: &'a Probes,
        places: &[ServerAddress],
        limits: config::Probes,
    ) -> Self {
        let watched = |probe: &Probe, at: Option<&ServerAddress>| Watched {
            spot: Spot {
                url: probe.url.clone(),
                selectors: probe.selectors.clone(),
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
        let seen = self.spots.iter();
        seen.map(|watched| watched.seen.first().cloned()).collect()
    }

    /// When the command was told.
    pub(crate) fn began(&self) -> domain::Timestamp {
        self.began
    }

    /// The same, remembered; `began` is when the command was told.
    pub(crate) fn remember(&mut self, seen: Vec<Option<Sighting>>, began: domain::Timestamp) {
        for (watched, seen) in self.spots.iter_mut().zip(seen) {
            watched.seen.extend(seen);
        }
        self.began = began;
    }

    /// Looks after the command, and tells it again where that may help. `None` where the order was left.
    pub(crate) async fn prove(mut self, ground: &impl Ground, part: &mut Part) -> Option<Proof> {
        let mut told = Told {
            began: self.began,
            ended: now(),
        };
        let mut pauses = Backoff::new(self.limits.pause);
        let (mut rounds, mut repeats) = (0, 0);
        let mut settles = self.expect != Expect::Held && !self.says_where_from();
        loop {
            if settles {
                wait(ground, self.limits.settle.max(estimate(part, ground))).await?;
            }
            self.look_after(ground, told).await?;
            let open = self.open();
            let helps = self.expect != Expect::Held && part.is_done();
            if open.is_empty() || !helps || rounds == self.limits.repeats {
                break;
            }
            let pause = pauses.next_delay();
            if Instant::now() + pause + self.limits.settle >= ground.until() {
                break;
            }
            wait(ground, pause).await?;
            let began = now();
            if ground.tell_again(&open, part).await? {
                repeats += 1;
                metrics::told_again();
                told = Told {
                    began,
                    ended: now(),
                };
            }
            rounds += 1;
            settles = true;
        }
        let proof = self.proof(repeats);
        self.log(&proof);
        Some(proof)
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

    fn proof(&mut self, repeats: u32) -> Proof {
        let probed = self.spots.drain(..).map(Watched::probed).collect();
        Proof::of(probed, repeats, self.uncovered)
    }

    /// What a person must know is logged: a server that says it did and did not.
    fn log(&self, proof: &Proof) {
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
    }
}

impl Watched {
    async fn look_twice(
        &self,
        ground: &impl Ground,
        expect: Expect,
        told: Told,
    ) -> (Judgement, Vec<Sighting>) {
        let first = match ground.look(&self.spot).await {
            Ok(first) => first,
            Err(fault) => return (Judgement::Unseen(fault.message), Vec::new()),
        };
        if expect == Expect::Refreshed {
            sleep(REFRESH_PAUSE).await;
        }
        let second = match ground.look(&self.spot).await {
            Ok(second) => second,
            Err(fault) => return (Judgement::Unseen(fault.message), vec![first]),
        };
        let judgement = probe::judge(expect, told, &self.seen, [&first, &second]);
        (judgement, vec![first, second])
    }

    fn is_open(&self) -> bool {
        matches!(
            self.judgement,
            Judgement::Refuted(_) | Judgement::Undecided(_)
        )
    }

    /// What is kept of it: the look before, and the last ones after.
    fn probed(self) -> Probed {
        let (verdict, why) = match self.judgement {
            Judgement::Proven => (ProofVerdict::Verified, None),
            Judgement::Refuted(why) => (ProofVerdict::NotVerified, Some(why)),
            Judgement::Undecided(why) => (ProofVerdict::Unproven, Some(why)),
            Judgement::Unseen(why) => (ProofVerdict::Unprobed, Some(why)),
        };
        let (before, after): (Vec<_>, Vec<_>) = self.seen.into_iter().partition(|seen| seen.before);
        let last = after.len().saturating_sub(2);
        Probed {
            url: self.spot.url,
            at: self.spot.at,
            verdict,
            why,
            seen: before
                .into_iter()
                .chain(after.into_iter().skip(last))
                .collect(),
        }
    }
}

/// Until the native system believes to be done, where there is time for that.
fn estimate(part: &Part, ground: &impl Ground) -> Duration {
    let rest = part.estimated_at().map(|moment| moment.since(now()));
    let left = ground.until().saturating_duration_since(Instant::now());
    rest.filter(|rest| *rest < left).unwrap_or_default()
}

/// Asks once for a URL at an address that may be called, as a visitor.
pub(crate) async fn look_at(
    http: &Http,
    addresses: &Addresses,
    place: &ServerAddress,
    url: &ContentUrl,
    limits: config::Probes,
) -> Result<Sighting, Fault> {
    let limits = CallLimits {
        time: limits.timeout,
        read: limits.body_limit,
        kept: 0,
        whole: false,
    };
    let mut looked = Err(CallError::TimedOut(limits.time));
    for address in addresses.pin(place).await? {
        let base = format!("http://{address}");
        let to = Target {
            base: &base,
            host: Some(url.host().as_str()),
            headers: &[],
        };
        looked = http.look(&to, url.path_and_query(), limits).await;
        match &looked {
            Err(CallError::NotConnected(_)) => addresses.put_last(place, address),
            Ok(_) | Err(_) => break,
        }
    }
    let look = looked.map_err(|error| error.fault())?;
    Ok(probe::sighting(&look.answer, look.at.into(), look.hash))
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
