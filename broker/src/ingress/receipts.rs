//! `ReceiptService`: who may have which receipts.
//!
//! Invariant: a configuration that is not the caller's does not exist for it.

use std::sync::Arc;

use domain::{ConfigurationId, receipt::Head};
use proto::v1::{self, receipt_service_server::ReceiptService};
use tonic::{Request, Response, Status};

use super::{commands::page_size, gate::Gate, identity::Identity, view::timestamp};
use crate::{
    authorise::{Resource, Rpc, admit},
    error::Error,
    receipts::Receipts,
};

/// Records on a page unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (100, 1_000);

/// The service of one replica.
pub(super) struct Service {
    pub(super) receipts: Receipts,
    /// A page ends with the record that comes to so many.
    pub(super) page_bytes: usize,
    pub(super) gate: Arc<Gate>,
}

impl Service {
    async fn list(
        &self,
        identity: &Identity,
        request: &v1::ListReceiptsRequest,
    ) -> Result<v1::ListReceiptsResponse, Error> {
        let configuration = self.visible(identity, &request.configuration_id)?;
        let count = page_size(request.page_size, PAGE_SIZE)?;
        let malformed = |_| Error::invalid("page_token", "must be from an answer before");
        let first = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(malformed)?,
        };
        let mut page = self.receipts.page(&configuration, first, count).await?;
        let is_whole = page.records.len() < count;
        let mut bytes = 0_usize;
        let full = page.records.iter().position(|(_, text)| {
            bytes = bytes.saturating_add(text.len());
            bytes >= self.page_bytes
        });
        let shown = full.map_or(page.records.len(), |full| full + 1);
        let is_whole = is_whole && shown == page.records.len();
        page.records.truncate(shown);
        let last = page.records.last().map_or(0, |(sequence, _)| *sequence);
        let is_last = last == page.end.sequence || is_whole;
        let head = self.receipts.head(&configuration, page.end);
        let records = page.records.into_iter();
        let records = records.map(|(sequence, text)| v1::ReceiptRecord { sequence, text });
        Ok(v1::ListReceiptsResponse {
            records: records.collect(),
            next_page_token: if is_last {
                String::new()
            } else {
                (last + 1).to_string()
            },
            head: Some(show(&head)),
        })
    }

    fn visible(&self, identity: &Identity, id: &str) -> Result<ConfigurationId, Error> {
        let key = id.parse().map_err(Error::broken("configuration_id"))?;
        let found = self.receipts.directory().configuration(&key);
        let found = found.as_ref();
        let found = found.map(|record| (&record.id, Resource::of(&record.owner)));
        let (id, _) = admit(identity, Rpc::ListReceipts, ("configuration", id), found)?;
        Ok(id.clone())
    }
}

fn show(head: &Head) -> v1::ReceiptHead {
    v1::ReceiptHead {
        sequence: head.sequence,
        hash: head.hash.to_string(),
        sign_time: Some(timestamp(head.at)),
        public_key: head.key.map(|key| key.to_string()).unwrap_or_default(),
        signature: head.signature.clone(),
    }
}

#[tonic::async_trait]
impl ReceiptService for Service {
    async fn list_receipts(
        &self,
        request: Request<v1::ListReceiptsRequest>,
    ) -> Result<Response<v1::ListReceiptsResponse>, Status> {
        let work = |caller, request| async move { self.list(&caller, &request).await };
        let about = |request: &v1::ListReceiptsRequest| {
            format!("configuration/{}", request.configuration_id)
        };
        self.gate
            .call(Rpc::ListReceipts, request, about, work)
            .await
    }
}
