//! Asking a provider for its jobs, one after the other, until all of an execution have ended.
//!
//! Invariant: an answer about the question (credentials, pace), and one that cannot be read, says nothing of the job, which is asked
//! for again. Of one account a named number of executions is asked for at a time, so nobody waits for another's account; and whoever
//! waits for room has no place among them.

use std::{sync::Arc, time::Instant};

use dialects::Verdict;
use domain::{
    Fault,
    fault::{Again, FaultCode},
};
use service::trace::TraceContext;

use super::{
    Api, ApiJob, Running, Telling, all_alike,
    desk::Desk,
    probing::{AtEdges, Later},
    unreadable_order,
};
use crate::{
    attempt::End,
    jobs::{Asked, Heard, all_failed},
    journal::{Job, now},
    tally::Tally,
    verify::Looked,
};

impl Api {
    /// Asks for its jobs that have not ended, in order, up to the first of which nothing new is heard; for those behind it only where
    /// others wait for the room that they hold.
    pub(crate) async fn ask(&self, job: &Job, heard: &mut Heard) -> Asked {
        let Some(api) = &job.api else {
            let fault = unreadable_order("the journal does not say what the provider works on");
            return Asked::Settled(all_failed(&job.servers, &fault));
        };
        let trace = job.trace();
        let telling = match self.telling_of(job, api, &trace) {
            Ok(telling) => telling,
            Err(fault) => return Asked::Silent(fault),
        };
        let desk = Arc::clone(&telling.desk);
        // It is never closed. Waiting for it takes nothing of the time to ask.
        let question = desk.questions.acquire().await.ok();
        let telling = self.anew(telling);
        heard.resize(api.jobs.len(), None);
        let mut still = None;
        for (running, heard) in api.jobs.iter().zip(heard.iter_mut()) {
            let is_due = still.is_none() || is_waited_for(&desk, running);
            if heard.is_some() || !is_due || telling.time_left().is_zero() {
                continue;
            }
            match self.ask_one(&telling, running).await {
                Ok(verdict) => *heard = Some(verdict),
                Err(other) => still = still.or(Some(other)),
            }
        }
        if let Some(still) = still {
            return still;
        }
        if heard.iter().any(Option::is_none) {
            return Asked::Running(Vec::new());
        }
        drop(question);
        let mut tally = api.tally.clone();
        for (running, verdict) in api.jobs.iter().zip(heard.drain(..).flatten()) {
            tally.take(&running.selectors, End::Judged(verdict));
        }
        if let Some(later) = api.later.as_ref().filter(|_| tally.is_done()) {
            // It is never closed. Waiting for it takes nothing of the time to look.
            let _place = desk.looks.acquire().await.ok();
            let telling = self.anew(telling);
            if let Some(again) = self.look(&telling, later, &mut tally).await {
                return Asked::ToldAgain(Box::new(after(job, api, tally, again)));
            }
        }
        let took = now().since(job.submitted_at);
        Asked::Settled(all_alike(tally, &job.servers, took))
    }

    /// Looks afterwards. What runs because it was told again, and what is to be looked at when that has ended.
    async fn look(
        &self,
        telling: &Telling<'_>,
        later: &Later,
        tally: &mut Tally,
    ) -> Option<(Vec<Running>, Later)> {
        let edges = AtEdges {
            api: self,
            telling,
            calls: later.calls(),
            around: &|| true,
        };
        match later.case(self).prove(&edges, tally).await? {
            Looked::Proof(proof) => {
                tally.prove(proof);
                None
            }
            Looked::Runs(jobs, case) => Some((jobs, later.after(&case))),
        }
    }

    fn telling_of<'a>(
        &'a self,
        job: &'a Job,
        api: &'a ApiJob,
        trace: &'a TraceContext,
    ) -> Result<Telling<'a>, Fault> {
        let mapping = api.mapping.as_deref();
        let version = mapping.map(|mapping| mapping.version);
        let speaker = self.speakers.find(&api.dialect, version, mapping)?;
        let account = self.accounts.of(&api.configuration, speaker.fields());
        Ok(Telling {
            execution: &job.execution,
            desk: self.desks.of(&account, speaker.limits()),
            flow: api.flow.clone(),
            speaker,
            limits: &api.limits,
            account,
            trace,
            until: Instant::now() + self.total_time,
        })
    }

    /// The same with all of its time.
    fn anew<'a>(&self, telling: Telling<'a>) -> Telling<'a> {
        Telling {
            until: Instant::now() + self.total_time,
            ..telling
        }
    }

    /// How one job ended, or what to say of the execution because it has not.
    pub(super) async fn ask_one(
        &self,
        telling: &Telling<'_>,
        running: &Running,
    ) -> Result<Verdict, Asked> {
        let key = running.key();
        let Some(call) = telling.speaker.poll(&running.job) else {
            let message = "the provider named a job, and this dialect cannot ask after one";
            let fault = Fault::participant(FaultCode::UnreadableAnswer, Again::Never, message);
            telling.desk.end(&key);
            return Ok(Verdict::Failed {
                fault,
                finding: None,
            });
        };
        if telling.desk.is_resting(&key) {
            return Err(Asked::Running(Vec::new()));
        }
        let call = telling.fill(running.number, &call).map_err(Asked::Silent)?;
        match self.wait_for_turn(telling, &call, &|| true).await {
            Some(None) => {}
            Some(Some(fault)) => return Err(Asked::Silent(fault)),
            None => return Err(Asked::Running(Vec::new())),
        }
        let answer = match self.send(telling, &call).await.map_err(Asked::Silent)? {
            Ok(answer) => answer,
            Err(error) => return Err(Asked::Silent(error.fault())),
        };
        let verdict = telling.speaker.judge_poll(&running.job, &answer);
        if matches!(verdict, Verdict::Running { .. }) {
            telling.rest(&key, &answer);
        }
        match telling.learn(&call.path, verdict, &answer) {
            Verdict::Running { .. } => Err(Asked::Running(Vec::new())),
            Verdict::Failed { fault, .. } if is_ours(&fault) => Err(Asked::Silent(fault)),
            verdict => {
                telling.desk.end(&key);
                Ok(verdict)
            }
        }
    }

    /// A job of the process before: what is under way with it counts from now on.
    pub(crate) fn resume(&self, job: &Job) {
        self.with_desk(job, |desk, running| {
            let takes = running.takes.clone().unwrap_or_default();
            desk.resume(&running.key(), takes);
        });
    }

    /// Nobody asks for it any more.
    pub(crate) fn forget(&self, job: &Job) {
        self.with_desk(job, |desk, running| desk.leave(&running.key()));
    }

    fn with_desk(&self, job: &Job, each: impl Fn(&Desk, &Running)) {
        let trace = job.trace();
        let Some(api) = &job.api else {
            return;
        };
        if let Ok(telling) = self.telling_of(job, api, &trace) {
            api.jobs
                .iter()
                .for_each(|running| each(&telling.desk, running));
        }
    }
}

/// Whether others wait for the room that a job holds.
fn is_waited_for(desk: &Desk, running: &Running) -> bool {
    let takes = running.takes.as_ref().filter(|takes| takes.holds_room());
    takes.is_some_and(|takes| desk.is_full(&takes.scope))
}

/// The job of what was told again.
fn after(job: &Job, api: &ApiJob, tally: Tally, (jobs, later): (Vec<Running>, Later)) -> Job {
    let api = ApiJob {
        jobs,
        tally,
        later: Some(later),
        ..api.clone()
    };
    Job {
        name: api.name(),
        api: Some(api),
        ..job.clone()
    }
}

/// Whether a fault says nothing of the job that was asked after: it is about the question.
fn is_ours(fault: &Fault) -> bool {
    let about_us = matches!(
        fault.code,
        FaultCode::Unauthorized
            | FaultCode::Throttled
            | FaultCode::ClockOff
            | FaultCode::UnreadableAnswer
    );
    about_us || fault.again != Again::Never
}
