//! One call to a provider: paced, signed anew at each try, and tried as long as that makes sense.
//!
//! Invariant: a call waits for its account's turn before each try, whatever it is for; what the provider says of its pace
//! holds for everybody with that account.

use std::time::{Duration, Instant, SystemTime};

use dialects::{Answer, Verdict};
use domain::{
    Fault, NativeCall,
    fault::{Again, FaultCode},
};
use tokio::time::sleep;

use super::{Api, Telling, clock, sign};
use crate::{
    attempt::{Attempt, End, Next, Reply},
    caches::Surroundings,
    circuit::Pass,
    http::{CallError, CallLimits, Target, trace_headers},
    metrics,
    part::Part,
};

/// How often somebody who waits looks whether to go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Api {
    /// Makes one call, as often as it takes. `None` where it was left.
    pub(super) async fn call(
        &self,
        telling: &Telling<'_>,
        (number, call, repeatable): (usize, &NativeCall, bool),
        around: &dyn Surroundings,
        part: &mut Part,
    ) -> Option<End> {
        let call = match telling.fill(number, call) {
            Ok(call) => call,
            Err(fault) => return Some(End::Failed(fault)),
        };
        let mut attempt = Attempt::new(self.attempts, repeatable, Some(telling.until));
        loop {
            if let Some(fault) = self.wait_for_turn(telling, around).await? {
                return Some(End::Failed(fault));
            }
            let reply = match self.circuits.enter(&self.address) {
                Ok(pass) => {
                    part.attempted();
                    let reply = self.call_once(telling, &call).await;
                    settle(pass, &reply);
                    reply
                }
                Err(refused) => Reply::Unsent(refused.fault),
            };
            match attempt.next(reply) {
                Next::Ended(end) => return Some(end),
                Next::Again(pause, fault) => {
                    part.tried(fault, pause);
                    sleep_as_ours(Instant::now() + pause, around).await?;
                }
            }
        }
    }

    /// Waits until the account may call again. The outer `None` where the order was left meanwhile; a fault where the turn
    /// comes too late.
    pub(super) async fn wait_for_turn(
        &self,
        telling: &Telling<'_>,
        around: &dyn Surroundings,
    ) -> Option<Option<Fault>> {
        let bucket = self.paces.of(&telling.account, telling.speaker.pace());
        let began = Instant::now();
        while around.is_current() {
            let Some(turn) = bucket.reserve(Instant::now(), telling.until) else {
                return Some(Some(bucket.fault()));
            };
            sleep_as_ours(turn, around).await?;
            // Meanwhile the provider may have asked everybody to wait.
            if !bucket.is_held(Instant::now()) {
                metrics::paced(began.elapsed());
                return Some(None);
            }
        }
        None
    }

    /// One try, signed now.
    async fn call_once(&self, telling: &Telling<'_>, call: &NativeCall) -> Reply {
        let speaker = &telling.speaker;
        match self.send(telling, call).await {
            Ok(Ok(answer)) => {
                let verdict = speaker.judge(call, &answer);
                Reply::Judged(self.learn(telling, verdict, &answer))
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
            time: self.limits.time.min(telling.time_left()),
            kept: speaker.answer_bytes(),
            ..self.limits
        };
        let began = Instant::now();
        let answer = self.http.send(&to, &call, limits).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        metrics::native_call(speaker.label(), status, began.elapsed());
        Ok(answer)
    }

    /// What an answer says besides: that everybody has to wait, or that our clock is off.
    pub(super) fn learn(
        &self,
        telling: &Telling<'_>,
        verdict: Verdict,
        answer: &Answer,
    ) -> Verdict {
        let Verdict::Failed { fault, finding } = verdict else {
            return verdict;
        };
        let speaker = &telling.speaker;
        if let (FaultCode::Throttled, Again::AfterSeconds(seconds)) = (fault.code, fault.again) {
            let bucket = self.paces.of(&telling.account, speaker.pace());
            bucket.hold(Instant::now() + Duration::from_secs(seconds.into()));
        }
        let fault = clock::explain(fault, &speaker.authentication(), answer, SystemTime::now());
        Verdict::Failed { fault, finding }
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
