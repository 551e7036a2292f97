//! `fedctl audit`: who did what, and whether the log was tampered with.

mod chain;

use clap::{Args, Subcommand};
use proto::v1::{AuditRecord, ListAuditRequest, ListAuditResponse};
use serde::Serialize;

use super::Context;
use crate::{
    arguments::at_least_one,
    exit::Exit,
    failure::Failure,
    table::{self, Row},
    words,
};
use chain::Checked;

/// The most that a broker gives in one page.
const PAGE_SIZE: i32 = 1_000;

/// The log of acts and refusals.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what was done and refused, newest first; your own, for operators everybody's
    List(List),
    /// Check that no record was changed or taken away; for operators
    Verify,
}

#[derive(Debug, Args)]
struct List {
    /// Only of this caller: participant/ID or operator/NAME
    #[arg(
        long,
        value_name = "CALLER",
        default_value = "",
        hide_default_value = true
    )]
    caller: String,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = at_least_one)]
    limit: usize,
}

/// A record.
#[derive(Debug, PartialEq, Serialize)]
struct RecordView {
    time: Option<String>,
    caller: String,
    call: String,
    resource: String,
    result: String,
    count: u64,
    shard: u32,
    id: String,
}

/// A list of them.
#[derive(Debug, Serialize)]
struct RecordsView {
    records: Vec<RecordView>,
}

/// What a check came to.
#[derive(Debug, Serialize)]
struct VerifiedView {
    records: u64,
    seals: u64,
    not_sealed_yet: u64,
    heads: Vec<HeadView>,
    problems: Vec<String>,
}

/// Where a shard's chain stands.
#[derive(Debug, Serialize)]
struct HeadView {
    shard: u32,
    sequence: u64,
    hash: String,
}

impl Audit {
    /// Does it.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.action {
            Action::List(list) => list.run(context).await,
            Action::Verify => verify(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut request = ListAuditRequest {
            page_size: PAGE_SIZE,
            caller: self.caller,
            newest_first: true,
            ..ListAuditRequest::default()
        };
        let mut records = Vec::new();
        while records.len() < self.limit {
            let page = page(context, &request).await?;
            records.extend(page.records);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        // Shard after shard came in; people want it by time.
        records.sort_by_key(|record| {
            let time = record.time.unwrap_or_default();
            std::cmp::Reverse((time.seconds, time.nanos))
        });
        records.truncate(self.limit);
        let view = RecordsView {
            records: records.into_iter().map(RecordView::from).collect(),
        };
        context
            .output
            .show(&view, |view| table::records(&view.records))?;
        Ok(Exit::Done)
    }
}

async fn verify(context: &Context) -> Result<Exit, Failure> {
    let mut request = ListAuditRequest {
        page_size: PAGE_SIZE,
        ..ListAuditRequest::default()
    };
    let mut checked = Checked::default();
    loop {
        let mut page = page(context, &request).await?;
        // Who sees only its own records gets no beginning of a chain, and that is no sign of tampering.
        if request.page_token.is_empty() && page.anchors.is_empty() {
            return Err(Failure::NotAllowed("audit verify is for operators"));
        }
        request.page_token = std::mem::take(&mut page.next_page_token);
        checked.take(page);
        if request.page_token.is_empty() {
            break;
        }
    }
    checked.end();
    let heads = checked.heads().map(|(shard, sequence, hash)| HeadView {
        shard,
        sequence,
        hash: hash.to_owned(),
    });
    let view = VerifiedView {
        heads: heads.collect(),
        records: checked.records,
        seals: checked.seals,
        not_sealed_yet: checked.unsealed(),
        problems: checked.problems,
    };
    context.output.show(&view, said)?;
    Ok(if view.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn said(view: &VerifiedView) -> String {
    let mut lines = view.problems.clone();
    let verdict = match view.problems.len() {
        0 => "the chain holds".to_owned(),
        broken => words::count(broken, "break"),
    };
    lines.push(format!(
        "audit: {} records, {} seals, {} not sealed yet: {verdict}",
        view.records, view.seals, view.not_sealed_yet
    ));
    let head = |head: &HeadView| {
        format!(
            "shard {} stands at record {}: {}",
            head.shard, head.sequence, head.hash
        )
    };
    lines.extend(view.heads.iter().map(head));
    lines.join("\n") + "\n"
}

async fn page(context: &Context, request: &ListAuditRequest) -> Result<ListAuditResponse, Failure> {
    let answer = context
        .broker
        .audit(async |mut client| client.list_audit(request.clone()).await);
    Ok(answer.await?)
}

impl From<AuditRecord> for RecordView {
    fn from(record: AuditRecord) -> Self {
        Self {
            time: record.time.as_ref().and_then(words::rfc3339),
            caller: record.caller,
            call: record.call,
            resource: record.resource,
            result: record.result,
            count: record.count,
            shard: record.shard,
            id: record.id,
        }
    }
}

impl Row for RecordView {
    const HEADER: &'static [&'static str] = &["TIME", "CALLER", "CALL", "ABOUT", "RESULT", "COUNT"];

    fn cells(&self) -> Vec<String> {
        vec![
            words::readable(self.time.as_deref().unwrap_or_default()),
            self.caller.clone(),
            self.call.clone(),
            self.resource.clone(),
            self.result.clone(),
            self.count.to_string(),
        ]
    }
}
