//! The statements of one report, and the receipts that they become.
//!
//! Invariant: a statement becomes a receipt only where the root over all statements of its report is signed by a key that the
//! participant has in the registry; a report is verified once, however many executions it is of.

use amqp::envelope::{ExecutionReport, SignedStatements};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::{
    receipt::{Batch, Digest, Receipt, Statement, Tree, root_bytes},
    signing::TimedKey,
};
use metrics::counter;
use tracing::warn;

use crate::metrics as names;

/// What a report says of executions that have ended, in its order.
#[derive(Debug, Default)]
pub(super) struct Statements {
    statements: Vec<Statement>,
    leaves: Vec<Digest>,
}

impl Statements {
    /// Adds that of one execution; its place, if it has one.
    pub(super) fn add(&mut self, report: &ExecutionReport) -> Option<usize> {
        let statement = report.statement()?;
        self.leaves.push(statement.leaf());
        self.statements.push(statement);
        Some(self.leaves.len() - 1)
    }

    /// The receipts, by place; none where nobody of the participant signed them.
    pub(super) fn receipts(
        self,
        signed: &SignedStatements,
        keys: &[TimedKey],
    ) -> Option<Vec<Option<Receipt>>> {
        let tree = Tree::new(&self.leaves)?;
        let key = keys.iter().find(|timed| timed.key.id() == signed.key);
        let size = self.leaves.len() as u64;
        let participant = &self.statements.first()?.execution.participant;
        let bytes = root_bytes(participant, size, &tree.root);
        let is_signed = |key: &TimedKey| {
            let signature = BASE64.decode(&signed.signature);
            signature.is_ok_and(|signature| key.key.verifies(&bytes, &signature))
        };
        let Some(key) = key.filter(|key| is_signed(key)) else {
            let count = self.leaves.len() as u64;
            counter!(names::RECEIPTS_TOTAL, "result" => "not_signed").increment(count);
            warn!(participant.id = %participant, receipts = count, "receipts are not what their participant signed");
            return None;
        };
        let statements = self.statements.into_iter().zip(tree.paths);
        let receipts = (0..).zip(statements).map(|(index, (statement, path))| {
            Some(Receipt {
                statement,
                key: key.key,
                batch: Batch {
                    size,
                    index,
                    path,
                    signature: signed.signature.clone(),
                },
            })
        });
        Some(receipts.collect())
    }
}
