//! The one door behind all doors: who calls, how often, whether it takes part, whether such a caller may ever call this; and
//! what came of it, for the audit log.
//!
//! Invariant: no service does anything before [`Gate::call`] has let the caller in, and every call goes through it. A caller
//! is counted before anything is looked up for it.
//! Not here: what may be done with which resource (`authorise`), which the services ask when they have found it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};
use tonic::{Request, Response, Status};

use super::identity::{Identity, IdentitySource};
use crate::{
    audit::Audit,
    authorise::Rpc,
    directory::{Directory, Follower},
    error::Error,
    metrics::count_refused,
    quotas::Quotas,
};

/// Who calls, as the audit log has it, where nobody knows.
const NOBODY: &str = "nobody";

/// How often the registry is looked at for callers that are not known.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The gate of one replica.
pub struct Gate {
    identities: IdentitySource,
    directory: Arc<Directory>,
    follower: Follower,
    quotas: Arc<Quotas>,
    audit: Audit,
    looked: Mutex<Option<Instant>>,
}

impl Gate {
    /// A gate.
    pub const fn new(
        identities: IdentitySource,
        directory: Arc<Directory>,
        follower: Follower,
        quotas: Arc<Quotas>,
        audit: Audit,
    ) -> Self {
        Self {
            identities,
            directory,
            follower,
            quotas,
            audit,
            looked: Mutex::const_new(None),
        }
    }

    /// Lets the caller in, does its work, and notes what came of it. `about` names what the request is about.
    pub(super) async fn call<T, R, F>(
        &self,
        rpc: Rpc,
        request: Request<T>,
        about: impl FnOnce(&T) -> String,
        work: impl FnOnce(Identity, T) -> F,
    ) -> Result<Response<R>, Status>
    where
        F: Future<Output = Result<R, Error>>,
    {
        self.call_that_names(rpc, request, about, |_: &R| None, work)
            .await
    }

    /// The same where the answer names better than the request what was done: a request that was refused is noted by what it
    /// claims, before anybody has checked it, and one that succeeded by its answer.
    pub(super) async fn call_that_names<T, R, F>(
        &self,
        rpc: Rpc,
        request: Request<T>,
        about: impl FnOnce(&T) -> String,
        named: impl FnOnce(&R) -> Option<String>,
        work: impl FnOnce(Identity, T) -> F,
    ) -> Result<Response<R>, Status>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let resource = about(request.get_ref());
        let identity = match self.identities.identify(&request) {
            Ok(identity) => identity,
            Err(error) => {
                self.refused(NOBODY, rpc, resource, &error);
                return Err(error.into());
            }
        };
        let caller = identity.to_string();
        let outcome = match self.check(&identity, rpc).await {
            Ok(()) => work(identity, request.into_inner()).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(answer) => {
                if notes_success(rpc) {
                    let resource = named(&answer).unwrap_or(resource);
                    self.audit.done(&caller, rpc, resource).await;
                }
                Ok(Response::new(answer))
            }
            Err(error) => {
                self.refused(&caller, rpc, resource, &error);
                Err(error.into())
            }
        }
    }

    /// One of many commands in a stream: a call like any other.
    pub(super) fn count_one(&self, identity: &Identity) -> Result<(), Error> {
        self.quotas.call(identity)
    }

    /// One of many commands in a stream was refused.
    pub(super) fn refused_one(&self, identity: &Identity, resource: String, error: &Error) {
        let caller = identity.to_string();
        count_refused(error.code().1);
        self.audit
            .refused(&caller, Rpc::SubmitCommands, resource, error);
    }

    fn refused(&self, caller: &str, rpc: Rpc, resource: String, error: &Error) {
        if rpc == Rpc::SubmitCommand {
            count_refused(error.code().1);
        }
        self.audit.refused(caller, rpc, resource, error);
    }

    async fn check(&self, identity: &Identity, rpc: Rpc) -> Result<(), Error> {
        self.quotas.call(identity)?;
        if !self.takes_part(identity) {
            // It may have been created at another replica a moment ago.
            self.look().await?;
            if !self.takes_part(identity) {
                return Err(Error::NotAllowed("the caller does not take part"));
            }
        }
        rpc.check_ever(identity)
    }

    /// Sees all that the registry held when it was called. Those who wait share a look, and the looks are paced: whoever does
    /// not take part must not keep the others from the registry.
    async fn look(&self) -> Result<(), Error> {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        match *looked {
            Some(last) if last > asked => return Ok(()),
            Some(last) => tokio::time::sleep_until(last + LOOK_EVERY).await,
            None => {}
        }
        *looked = Some(Instant::now());
        Ok(self.follower.catch_up().await?)
    }

    /// Whoever left the federation may hold a certificate that is still valid.
    fn takes_part(&self, identity: &Identity) -> bool {
        identity
            .participant()
            .is_none_or(|id| self.directory.read().participants.contains_key(id))
    }
}

/// What is accepted is noted by the script that accepts it.
fn notes_success(rpc: Rpc) -> bool {
    rpc.is_act() && !matches!(rpc, Rpc::SubmitCommand | Rpc::SubmitCommands)
}
