//! How each kind of native system is spoken to: what it can say, what it is told, what its answers mean.
//!
//! Invariant: pure functions, and never wider than the command within the originator's ceiling, nor ever than the
//! configuration. A server carries many configurations, so a call names its host names (a tag is looked up per host).
//! Not here: sending, credentials, addresses, retries (`adapters`); which servers are told (`broker::resolve`).

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps nothing fails there"
    )
)]

pub mod agent;
pub mod akamai;
pub mod alibaba;
pub mod broadcaster;
pub mod bunny;
pub mod by_key;
pub mod canonical;
pub mod cloudflare;
pub mod cloudflare_zone;
pub mod cloudfront;
pub mod cloudfront_tenant;
pub mod edgecast;
pub mod fastly;
pub mod google;
pub mod mapped;
pub mod matrix;
pub mod media_cdn;
pub mod native;
pub mod nginx;
pub mod probe;
pub mod squid;
pub mod traffic_server;
pub mod varnish;
pub mod vendor;

mod answer;
mod expression;
#[cfg(test)]
mod fixture;
mod http;
mod problem;
mod registry;
mod site;
#[cfg(test)]
mod widest;

pub use answer::{Answer, Verdict};
pub use registry::{all, by_name};
pub use site::Site;
pub use vendor::{
    AccountField, Authentication, Length, Limits, Presence, Unfit,
    budget::{Budget, Cost, Draw, Outstanding, cost_of, cost_of_mapped},
    bulk::Bulk,
    sizes::{BrokenLimit, Size},
};

use std::time::Duration;

use domain::{Command, Fidelity, HostName, NativeCall, NativeLimits, Operation, Selector};
use thiserror::Error;

use native::{Asked, Mistake};

/// Bytes of an answer that are enough for words and counts.
const ANSWER_BYTES: usize = 4_096;

/// What a dialect speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counterpart {
    /// One cache: the calls go to every server of the execution.
    Server,
    /// A participant's invocation system: the calls go there once, and it tells its servers.
    InvocationSystem,
    /// A provider's HTTP API: the calls go there once, in order, each judged by itself, and what came of them holds for
    /// every server of the execution.
    Api,
}

/// One kind of native system.
pub trait Dialect: Send + Sync {
    /// Its name in the registry: a valid [`domain::DialectName`].
    fn name(&self) -> &'static str;

    /// What it speaks to.
    fn counterpart(&self) -> Counterpart;

    /// Bytes of an answer's body that [`Self::judge`] wants to see; the adapter keeps no more.
    fn answer_bytes(&self) -> usize {
        match self.counterpart() {
            Counterpart::Api => vendor::ANSWER_BYTES,
            Counterpart::Server | Counterpart::InvocationSystem => ANSWER_BYTES,
        }
    }

    /// How well it can do `operation` with one `selector`, whatever the ceiling.
    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity;

    /// The calls that carry the command out, in order; each call names the selectors that it carries out, and together
    /// they name every one.
    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay>;

    /// What a request of this kind, sent by somebody who speaks to such a system today, asks for: the way back from
    /// [`Self::translate`]. `hosts` are those of the configuration, where it is known.
    fn read(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake>;

    /// What the answer to a call means.
    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict;

    /// The call that asks after a job of [`Verdict::Running`]; `None` where jobs cannot be asked after. It names no selector.
    fn poll(&self, _job: &str) -> Option<NativeCall> {
        None
    }

    /// Whether an answer refuses a call because of all that is under way where it goes, which is a limit of that place and not of
    /// the account.
    fn is_full(&self, _answer: &Answer) -> bool {
        false
    }

    /// What the answer to a call of [`Self::poll`] means, for the same `job`: running again, done, or failed.
    fn judge_poll(&self, _job: &str, answer: &Answer) -> Verdict {
        Verdict::failed(problem::refusal(self.name(), answer))
    }

    /// Whether its calls begin jobs that are asked after.
    fn has_jobs(&self) -> bool {
        self.poll("0").is_some()
    }

    /// Whether what it speaks to serves content to visitors, so that looking there shows what they get.
    fn serves(&self) -> bool {
        self.counterpart() == Counterpart::Server
    }

    /// How long after a call that went well the same call is to go out once more, where the adapter's configuration asks
    /// for that: an inner cache of the provider may have put back what an outer one had just removed.
    fn second_call(&self, _call: &NativeCall) -> Option<Duration> {
        None
    }

    /// The values of an account that its calls name.
    fn account(&self) -> &'static [AccountField] {
        &[]
    }

    /// The calls that one comes to at an account with these values, in the same places: more than one where the account
    /// keeps apart what the command does not. A list may be longer than a call holds: whoever makes it cuts it
    /// ([`Self::bulk`]). Why not, where a value cannot be used, or the call must not be made without one.
    ///
    /// # Errors
    /// Which value is wrong or missing.
    fn at_account(
        &self,
        call: &NativeCall,
        _value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        Ok(vec![call.clone()])
    }

    /// How a call proves who sends it.
    fn authentication(&self) -> Authentication {
        Authentication::None
    }

    /// What it takes by default.
    fn limits(&self) -> Limits {
        Limits::NONE
    }

    /// How long what it says may be; what is longer is impossible, or said more widely.
    fn lengths(&self) -> &'static [Length] {
        &[]
    }

    /// What a call takes of the budgets; a question after a job takes something too.
    fn draws(&self, _call: &NativeCall) -> Vec<Draw> {
        vec![Draw::CALL]
    }

    /// What an account may make a call take more than that: a sentence for whoever sees a plan. Whether it does, the adapter's
    /// configuration says alone.
    fn may_add(&self, _call: &NativeCall) -> Option<&'static str> {
        None
    }

    /// What the answer to a call says is left of the units that it took.
    fn left(&self, _call: &NativeCall, _answer: &Answer) -> Vec<Draw> {
        Vec::new()
    }

    /// The call as a list that can be said together with others of its kind, within the participant's limits; `None` where it
    /// cannot.
    fn bulk(&self, _call: &NativeCall, _limits: &NativeLimits) -> Option<Bulk> {
        None
    }

    /// A call as `like`, for all these items: of [`Self::bulk`] of `like` and of others of its kind.
    fn together(&self, like: &NativeCall, items: &[String]) -> NativeCall {
        vendor::bulk::with_items(like, items)
    }
}

/// A dialect was asked to say what it cannot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{dialect} cannot say this command: {why}")]
pub struct CannotSay {
    /// Which dialect.
    pub dialect: &'static str,
    /// Why, as a sentence for people.
    pub why: String,
}

/// How well a dialect can say a whole command under its originator's ceiling: the worst of its selectors.
pub fn fidelity_of(dialect: &dyn Dialect, command: &Command) -> Fidelity {
    fidelity_of_each(command, |selector| {
        dialect.fidelity(&command.operation, selector)
    })
}

/// The same by what `of` says of each selector.
fn fidelity_of_each(command: &Command, of: impl Fn(&Selector) -> Fidelity) -> Fidelity {
    let each = command.selectors.iter().map(of);
    each.map(|fidelity| command.ceiling.judge(fidelity))
        .fold(Fidelity::Exact, Fidelity::and)
}
