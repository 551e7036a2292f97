//! `AuditService`: the log page by page, shard by shard.
//!
//! Invariant: a participant sees its own acts and nothing of the chain, whose seals count what others did.

use std::sync::Arc;

use proto::v1::{self, audit_service_server::AuditService};
use tonic::{Request, Response, Status};

use super::{commands::page_size, gate::Gate, identity::Identity, view::timestamp};
use crate::{
    authorise::{Resource, Rpc, admit},
    error::Error,
    store::{AuditRecord, KeptRecord, Seal, Shard, Store, StoreError},
};

/// Records of a page unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (100, 1_000);
/// Records that are looked through for one page of one caller's.
const LOOKED_THROUGH: usize = 10_000;

/// The service of one replica.
pub(super) struct Service {
    pub(super) store: Store,
    pub(super) gate: Arc<Gate>,
}

/// What is asked for.
struct Asked {
    count: usize,
    /// Everybody's when `None`.
    caller: Option<String>,
    newest_first: bool,
    shard: Shard,
    /// Behind this id, or before it when newest first; `None` where the shard begins.
    from: Option<String>,
}

impl Service {
    async fn list(
        &self,
        identity: &Identity,
        request: v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Error> {
        let asked = self.read(identity, &request)?;
        let found = self.look(&asked).await?;
        let last = found.last().map(|record| record.id.clone());
        let whole = found.len() < asked.looked_through();
        let mut answer = v1::ListAuditResponse::default();
        if asked.caller.is_none() && !asked.newest_first {
            self.add_seals(&asked, last.as_deref().filter(|_| !whole), &mut answer)
                .await?;
        }
        let mut shown = Vec::new();
        let mut next = last.filter(|_| !whole);
        for record in found {
            let act: AuditRecord = serde_json::from_str(&record.text)
                .map_err(|error| StoreError::unreadable("an audit record", error))?;
            if !asked.means(&act.caller) {
                continue;
            }
            let id = record.id.clone();
            shown.push(show(asked.shard, record, act));
            if shown.len() == asked.count {
                // What was looked at behind it is looked at again.
                next = Some(id);
                break;
            }
        }
        answer.records = shown;
        answer.next_page_token = self.next_token(&asked, next);
        Ok(answer)
    }

    fn read(&self, identity: &Identity, request: &v1::ListAuditRequest) -> Result<Asked, Error> {
        let (shard, from) = self.read_token(&request.page_token)?;
        Ok(Asked {
            count: page_size(request.page_size, PAGE_SIZE)?,
            caller: whose(identity, &request.caller)?,
            newest_first: request.newest_first,
            shard,
            from,
        })
    }

    /// `<shard>` where it begins, `<shard>.<id>` within it.
    fn read_token(&self, token: &str) -> Result<(Shard, Option<String>), Error> {
        let malformed = || Error::invalid("page_token", "must be from an answer before");
        let (number, id) = match token.split_once('.') {
            Some((number, id)) => (number, Some(id)),
            None if token.is_empty() => ("0", None),
            None => (token, None),
        };
        let is_part = |part: &str| part.parse::<u64>().is_ok();
        let is_id = |id: &str| {
            id.split_once('-')
                .is_some_and(|(moment, count)| is_part(moment) && is_part(count))
        };
        let shard = number.parse().ok();
        let shard = shard.and_then(|number| self.store.keys().shard(number));
        match (shard, id) {
            (Some(shard), None) => Ok((shard, None)),
            (Some(shard), Some(id)) if is_id(id) => Ok((shard, Some(id.to_owned()))),
            _ => Err(malformed()),
        }
    }

    fn next_token(&self, asked: &Asked, next: Option<String>) -> String {
        let number = asked.shard.number();
        match next {
            Some(id) => format!("{number}.{id}"),
            None => match self.store.keys().shard(number + 1) {
                Some(following) => following.number().to_string(),
                None => String::new(),
            },
        }
    }

    async fn look(&self, asked: &Asked) -> Result<Vec<KeptRecord>, StoreError> {
        let count = asked.looked_through();
        let from = asked.from.as_deref();
        if asked.newest_first {
            let before = from.unwrap_or("+");
            self.store.audit_before(asked.shard, before, count).await
        } else {
            let behind = from.unwrap_or("0-0");
            self.store.audit_after(asked.shard, behind, count).await
        }
    }

    /// The seals of the page; with the last page of a shard all that follow, also of records that are not there any more.
    async fn add_seals(
        &self,
        asked: &Asked,
        until: Option<&str>,
        answer: &mut v1::ListAuditResponse,
    ) -> Result<(), StoreError> {
        let number = asked.shard.number();
        if asked.from.is_none() {
            let anchor = self.store.audit_anchor(asked.shard).await?;
            answer.anchors.push(show_seal(number, anchor));
        }
        let behind = asked.from.as_deref().unwrap_or("0-0");
        let seals = self
            .store
            .seals(asked.shard, behind, until.unwrap_or("+"), LOOKED_THROUGH)
            .await?;
        let seals = seals.into_iter();
        answer.seals = seals.map(|seal| show_seal(number, seal)).collect();
        Ok(())
    }
}

impl Asked {
    /// Whether somebody's acts are asked for; a participant's are its people's too.
    fn means(&self, caller: &str) -> bool {
        let Some(asked) = &self.caller else {
            return true;
        };
        let rest = caller.strip_prefix(asked.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("/person/"))
    }

    fn looked_through(&self) -> usize {
        match self.caller {
            None => self.count,
            Some(_) => LOOKED_THROUGH,
        }
    }
}

/// Whose acts are shown: a participant's own and its people's; everybody's, or those of one caller, to an operator.
fn whose(identity: &Identity, asked: &str) -> Result<Option<String>, Error> {
    match (identity, asked) {
        (Identity::Operator(_), "") => Ok(None),
        (_, "") => Ok(Some(identity.acts_as().to_string())),
        (_, asked) => {
            let named = Identity::from_path(asked).ok();
            let participant = named.as_ref().and_then(Identity::participant);
            let resource = participant.map(Resource::of).unwrap_or_default();
            admit(
                identity,
                Rpc::ListAudit,
                ("caller", asked),
                Some((&(), resource)),
            )?;
            Ok(Some(asked.to_owned()))
        }
    }
}

fn show(shard: Shard, record: KeptRecord, act: AuditRecord) -> v1::AuditRecord {
    v1::AuditRecord {
        shard: shard.number().into(),
        id: record.id,
        time: Some(timestamp(act.at)),
        caller: act.caller,
        call: act.call,
        resource: act.resource,
        result: act.result,
        count: act.count,
        text: record.text,
    }
}

fn show_seal(shard: u16, seal: Seal) -> v1::AuditSeal {
    v1::AuditSeal {
        shard: shard.into(),
        record_id: seal.id,
        sequence: seal.sequence,
        hash: seal.hash.to_string(),
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let about = |request: &v1::ListAuditRequest| format!("audit/{}", request.caller);
        let work = |caller, request| async move { self.list(&caller, request).await };
        self.gate.call(Rpc::ListAudit, request, about, work).await
    }
}
