//! One call to a provider: chosen by its account's desk, perhaps for several, signed anew at each try, and tried as long as
//! that makes sense.
//!
//! Invariant: a call waits for its account's turn before each try, whatever it is for; what the provider says of its pace
//! holds for everybody with that account. Of a call that was made for several each hears what it would have heard alone: it goes
//! out with the credentials of each of them and is judged as each of them would judge, and what is refused for the whole is asked
//! again one by one, but for those whose item the provider names.

use std::time::{Duration, Instant, SystemTime};

use dialects::{Answer, Bulk, Verdict};
use domain::{
    CommandId, ExecutionId, Fault, NativeCall,
    fault::{Again, FaultCode},
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Api, Telling,
    budget::Moment,
    clock,
    credential::Credential,
    desk::{Asker, Lead, Turn, key_of},
    headers,
    named::names_one_of,
    queue::{Key, Wish},
    sign, unreadable_order,
};
use crate::{
    attempt::{Attempt, End, Next, Reply},
    caches::Surroundings,
    circuit::Pass,
    http::{CallError, CallLimits, Target, trace_headers},
    metrics,
    tally::Tally,
};

/// How often somebody who waits looks whether to go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long everybody waits where a provider says that it was too much, and not how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// How a call ended, and who asks after the job that it began.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) end: End,
    pub(super) asker: Option<Asker>,
}

impl From<End> for Made {
    fn from(end: End) -> Self {
        Self { end, asker: None }
    }
}

impl Api {
    /// Makes one call, as often as it takes, in all that it comes to at the account: how each of them ended, up to the first
    /// that came to nothing. `None` where it was left.
    pub(super) async fn call(
        &self,
        telling: &Telling<'_>,
        (number, call, repeatable): (usize, &NativeCall, bool),
        around: &dyn Surroundings,
        tally: &mut Tally,
    ) -> Option<Vec<Made>> {
        let filled = telling.fill(number, call);
        let said = match filled.and_then(|filled| telling.at_account(&filled, self.sizes)) {
            Ok(said) => said,
            Err(fault) => return Some(vec![End::Failed(fault).into()]),
        };
        let mut ends = Vec::with_capacity(said.len());
        for (place, said) in said.iter().enumerate() {
            let mut wish = match telling.wish((place, call), said, repeatable) {
                Ok(wish) => wish,
                Err(fault) => {
                    ends.push(End::Failed(fault).into());
                    break;
                }
            };
            wish.bulk = wish.bulk.map(|bulk| self.sizes.of(bulk));
            let made = self
                .call_in_turn(telling, (said, wish), around, tally)
                .await?;
            let runs = matches!(made.end, End::Judged(Verdict::Running { .. }));
            let goes_on = is_done(&made.end) || runs;
            ends.push(made);
            if !goes_on {
                break;
            }
        }
        if ends.is_empty() {
            let fault = unreadable_order("the order has a call that says nothing");
            ends.push(End::Failed(fault).into());
        }
        Some(ends)
    }

    /// Makes a call when it is its turn. It is repeatable where it shares.
    async fn call_in_turn(
        &self,
        telling: &Telling<'_>,
        (call, mut wish): (&NativeCall, Wish),
        around: &dyn Surroundings,
        tally: &mut Tally,
    ) -> Option<Made> {
        let repeatable = wish.shares;
        let mut attempt = Attempt::new(self.attempts, repeatable, Some(telling.until));
        loop {
            let turn = telling
                .desk
                .wait(wish.clone(), telling.until, around)
                .await?;
            let reply = match turn {
                Turn::Again => continue,
                Turn::Never(fault) => return Some(End::Failed(fault).into()),
                Turn::Alone => None,
                Turn::Answered(reply, asker) => {
                    tally.attempted();
                    Some((reply, asker))
                }
                Turn::Lead(lead) => self.lead(telling, call, (&wish, lead), tally).await,
            };
            let Some((reply, asker)) = reply else {
                // What it says is refused together with others; alone it hears what is wrong with itself.
                telling.desk.unsay(&wish);
                wish.bulk = None;
                continue;
            };
            match attempt.next(reply) {
                Next::Ended(end) => return Some(Made { end, asker }),
                Next::Again(pause, fault) => {
                    telling.desk.unsay(&wish);
                    tally.tried(fault, pause);
                    sleep_as_ours(Instant::now() + pause, around).await?;
                }
            }
        }
    }

    /// Makes a call that was chosen, and tells the others. `None` where it is to be made alone.
    async fn lead(
        &self,
        telling: &Telling<'_>,
        call: &NativeCall,
        (wish, mut lead): (&Wish, Lead),
        tally: &mut Tally,
    ) -> Option<(Reply, Option<Asker>)> {
        let said = lead.items.as_ref().map_or_else(
            || call.clone(),
            |items| telling.speaker.together(call, items),
        );
        let reply = match self.circuits.enter(&self.address) {
            Ok(pass) => {
                tally.attempted();
                let reply = self.call_once(telling, &said, &wish.scope).await;
                settle(pass, &reply);
                reply
            }
            Err(refused) => Reply::Unsent(refused.fault),
        };
        let asker = match &reply {
            Reply::Judged(Verdict::Running { job }) => Some(lead.began(job)),
            _ => None,
        };
        if lead.is_for_several() {
            metrics::shared(telling.speaker.label(), lead.served());
        }
        let items = wish.bulk.as_ref().map(|bulk| bulk.items.clone());
        let items = items.unwrap_or_default();
        let whole = lead.items.as_ref().unwrap_or(&items).len();
        let own = of_whole(&reply, whole, &items);
        lead.tell(|items| match of_whole(&reply, whole, items) {
            Some(reply) => Turn::Answered(reply, asker.as_ref().map(Asker::another)),
            None => Turn::Alone,
        });
        own.map(|reply| (reply, asker))
    }

    /// Waits until the account may ask after a job. The outer `None` where the order was left meanwhile; a fault where the
    /// turn comes too late.
    pub(super) async fn wait_for_turn(
        &self,
        telling: &Telling<'_>,
        call: &NativeCall,
        around: &dyn Surroundings,
    ) -> Option<Option<Fault>> {
        loop {
            let wish = telling.question(call);
            match telling.desk.wait(wish, telling.until, around).await? {
                Turn::Never(fault) => return Some(Some(fault)),
                Turn::Lead(_) | Turn::Answered(..) => return Some(None),
                Turn::Again | Turn::Alone => {}
            }
        }
    }

    /// One try, signed now.
    async fn call_once(&self, telling: &Telling<'_>, call: &NativeCall, scope: &str) -> Reply {
        let speaker = &telling.speaker;
        match self.send(telling, call).await {
            Ok(Ok(answer)) => {
                let verdict = speaker.judge(call, &answer);
                telling.desk.at_most(&speaker.left(call, &answer));
                if let Verdict::Running { job } = &verdict {
                    telling.rest(&key_of(scope, job), &answer);
                }
                Reply::Judged(telling.learn(scope, verdict, &answer))
            }
            Ok(Err(error)) if error.is_unsent() => Reply::Unsent(error.fault()),
            Ok(Err(error)) => Reply::Lost(error.fault()),
            Err(fault) => Reply::Unsent(fault),
        }
    }

    /// A fault where it cannot be signed.
    pub(super) async fn send(
        &self,
        telling: &Telling<'_>,
        call: &NativeCall,
    ) -> Result<Result<Answer, CallError>, Fault> {
        let speaker = &telling.speaker;
        let how = speaker.authentication();
        let credential = telling.account.credential().await?;
        let signed = sign::sign(
            &how,
            credential.as_ref(),
            &self.base,
            call,
            SystemTime::now(),
        )?;
        let mut headers = trace_headers(&telling.trace.child());
        headers.extend(signed.headers);
        let to = Target {
            base: &self.base,
            host: None,
            headers: &headers,
        };
        let call = NativeCall {
            path: signed.path,
            ..call.clone()
        };
        let limits = CallLimits {
            time: self.limits.time.min(telling.time_left().max(LOOK_EVERY)),
            kept: speaker.answer_bytes(),
            ..self.limits
        };
        let began = Instant::now();
        let answer = self.http.send(&to, &call, limits).await;
        let hidden = credential.as_ref().map(Credential::hidden);
        let answer = hidden.unwrap_or_default().out_of(answer);
        let status = answer.as_ref().ok().map(|answer| answer.status);
        metrics::native_call(speaker.label(), status, began.elapsed());
        Ok(answer)
    }
}

impl Telling<'_> {
    /// Where it says when to ask after the job of this key, that is when.
    pub(super) fn rest(&self, key: &str, answer: &Answer) {
        if let Some(time) = headers::poll_after(answer, SystemTime::now()) {
            self.desk.rest(key, time);
        }
    }

    /// What an answer says besides: that everybody has to wait, or all who call within this scope, or that our clock is off.
    pub(super) fn learn(&self, scope: &str, verdict: Verdict, answer: &Answer) -> Verdict {
        let speaker = &self.speaker;
        let used_up = headers::used_up(answer, SystemTime::now());
        let asked = match &verdict {
            Verdict::Failed { fault, .. } => asked_by(fault),
            _ => None,
        };
        if let Some(time) = asked.max(used_up) {
            if speaker.is_full(answer) {
                self.desk.hold_in(scope, time);
            } else {
                self.desk.hold(time);
            }
        }
        let Verdict::Failed { fault, finding } = verdict else {
            return verdict;
        };
        let fault = clock::explain(fault, &speaker.authentication(), answer, SystemTime::now());
        Verdict::Failed { fault, finding }
    }

    /// What a call asks its account for: the one in that place of all that the order's call comes to.
    fn wish(
        &self,
        (place, call): (usize, &NativeCall),
        filled: &NativeCall,
        repeatable: bool,
    ) -> Result<Wish, Fault> {
        // The same whoever says it: without the execution's id.
        let nobody = ExecutionId {
            command: CommandId::from_uuid(Uuid::nil()),
            participant: self.execution.participant.clone(),
        };
        let plain = NativeCall {
            selectors: Vec::new(),
            ..self.fill_for(&nobody, 0, call)?
        };
        // A call says neither which credentials it goes out with nor who judges its answer, and its lead decides both for all.
        let by = format!("{} {:?}", self.speaker.identity(), self.account.file());
        let bulk = self.speaker.bulk(filled, self.limits);
        // What it comes to at the account is no part of the order: how it was cut, and what the account keeps apart.
        let items = bulk.as_ref().map(|bulk| &bulk.items);
        Ok(Wish {
            flow: self.flow.clone(),
            draws: self.speaker.draws(filled),
            same: Key::of(&format!("{by} {place} {plain:?} {items:?}")),
            bulk: bulk.filter(|_| repeatable).map(|bulk| Bulk {
                kind: [by.as_str(), bulk.kind.as_str()].join(" "),
                ..bulk
            }),
            scope: filled.path.clone(),
            shares: repeatable,
            asks: false,
            until: self.last_moment(),
        })
    }

    /// What a question after a job asks its account for.
    fn question(&self, call: &NativeCall) -> Wish {
        Wish {
            flow: self.flow.clone(),
            draws: self.speaker.draws(call),
            same: Key::default(),
            bulk: None,
            scope: call.path.clone(),
            shares: false,
            asks: true,
            until: self.last_moment(),
        }
    }

    fn last_moment(&self) -> Moment {
        Moment::now().plus(self.time_left())
    }
}

/// What a reply to a call of so many items means for one that has these of them; `None` where only a call of its own can tell.
fn of_whole(reply: &Reply, whole: usize, items: &[String]) -> Option<Reply> {
    match reply {
        Reply::Judged(Verdict::Failed { fault, .. })
            if items.len() < whole
                && fault.again == Again::Never
                && fault.code == FaultCode::Refused
                && !names_one_of(&fault.message, items) =>
        {
            None
        }
        reply => Some(reply.clone()),
    }
}

/// Whether all that a call asked for is done, as far as the provider says.
pub(super) fn is_done(end: &End) -> bool {
    matches!(
        end,
        End::Judged(
            Verdict::Done { .. } | Verdict::Estimated { .. } | Verdict::Each { fault: None, .. }
        )
    )
}

/// For how long others shall wait too: where the fault is that it was too much.
fn asked_by(fault: &Fault) -> Option<Duration> {
    match (fault.code, fault.again) {
        (FaultCode::Throttled, Again::AfterSeconds(seconds)) => {
            Some(Duration::from_secs(seconds.into()))
        }
        (FaultCode::Throttled, Again::Soon) => Some(THROTTLED_PAUSE),
        _ => None,
    }
}

/// Sleeps until then. `None` where the order was no longer ours before that.
pub(super) async fn sleep_as_ours(until: Instant, around: &dyn Surroundings) -> Option<()> {
    while around.is_current() {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Some(());
        }
        sleep(rest.min(LOOK_EVERY)).await;
    }
    None
}

/// What the reply says of the provider: any answer, that it is there.
fn settle(pass: Pass<'_>, reply: &Reply) {
    match reply {
        Reply::Judged(_) => pass.answered(),
        Reply::Unsent(fault) | Reply::Lost(fault) => match fault.code {
            FaultCode::Unreachable | FaultCode::TimedOut => pass.failed(fault),
            _ => drop(pass),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Reply {
        Reply::Judged(Verdict::Failed {
            fault: Fault::participant(FaultCode::Refused, Again::Never, message),
            finding: None,
        })
    }

    /// A refusal of the whole is nobody's own, but for those whose item the provider names; what holds for all is told to all.
    #[test]
    fn a_refusal_is_for_whom_it_names() {
        let (good, bad) = (
            ["\"https://a.example/1\"".to_owned()],
            ["\"x:y\"".to_owned()],
        );
        let reply = refused("Cloudflare answered 400: 1016: invalid url: x:y");
        assert!(of_whole(&reply, 2, &bad).is_some());
        assert!(of_whole(&reply, 2, &good).is_none());
        assert!(of_whole(&reply, 1, &good).is_some());
        assert!(of_whole(&reply, 0, &[]).is_some());
        let lost = Reply::Lost(Fault::participant(FaultCode::TimedOut, Again::Soon, "no"));
        assert!(of_whole(&lost, 2, &good).is_some());
    }
}
