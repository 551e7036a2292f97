//! Reading commands back: one with its executions, or a page of an originator's.

use std::collections::HashMap;

use domain::{Command, CommandId, Execution, ExecutionId, ParticipantId, Standing, Timestamp};

use super::{Shard, Store, StoreError, accept::PlanRecord, apply::ReportRecord, transitions};

/// A command as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// As accepted.
    pub command: Command,
    /// Grows with every change.
    pub revision: u64,
    /// One for each participant, by its id.
    pub executions: Vec<Execution>,
}

impl StoredCommand {
    /// All executions in one answer.
    pub fn standing(&self) -> Standing {
        Standing::fold(self.executions.iter().map(|execution| &execution.state))
    }
}

/// A page of commands, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandPage {
    /// The commands.
    pub commands: Vec<StoredCommand>,
    /// The last id that was looked at, where more may follow.
    pub next: Option<CommandId>,
}

impl Store {
    /// One command; `None` when there is none, or no longer.
    pub async fn command(&self, id: CommandId) -> Result<Option<StoredCommand>, StoreError> {
        let Some(shard) = self.keys.shard_of_command(id) else {
            return Ok(None);
        };
        let fields: HashMap<String, String> = self
            .redis
            .command(&redis::Cmd::hgetall(self.keys.command(shard, id)))
            .await?;
        read_command(id, &fields)
    }

    /// The commands of an originator that are older than `before`, newest first, of all shards together.
    pub async fn commands_of(
        &self,
        originator: &ParticipantId,
        before: Option<CommandId>,
        count: usize,
    ) -> Result<CommandPage, StoreError> {
        let mut ids = Vec::new();
        for shard in self.keys.shards() {
            ids.extend(self.ids_before(shard, originator, before, count).await?);
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let more = ids.len() > count;
        ids.truncate(count);
        let next = if more { ids.last().copied() } else { None };
        let mut commands = Vec::with_capacity(ids.len());
        for fields in self.all_fields(&ids).await?.into_iter().zip(&ids) {
            // A command may have passed its retention between the two reads.
            commands.extend(read_command(*fields.1, &fields.0)?);
        }
        Ok(CommandPage { commands, next })
    }

    async fn ids_before(
        &self,
        shard: Shard,
        originator: &ParticipantId,
        before: Option<CommandId>,
        count: usize,
    ) -> Result<Vec<CommandId>, StoreError> {
        let from = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let mut range = redis::cmd("ZRANGE");
        range
            .arg(self.keys.commands(shard, originator))
            .arg(from)
            .arg("-")
            .arg("BYLEX")
            .arg("REV");
        // One more than asked for tells whether there is another page.
        range.arg("LIMIT").arg(0).arg(count + 1);
        let ids: Vec<String> = self.redis.command(&range).await?;
        ids.iter()
            .map(|id| {
                id.parse()
                    .map_err(|_| StoreError::lacking("a command's id in an index"))
            })
            .collect()
    }

    async fn all_fields(
        &self,
        ids: &[CommandId],
    ) -> Result<Vec<HashMap<String, String>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            let shard = self
                .keys
                .shard_of_command(*id)
                .ok_or_else(|| StoreError::lacking("a command's shard"))?;
            pipeline.hgetall(self.keys.command(shard, *id));
        }
        self.redis.pipeline(&pipeline).await
    }
}

fn read_command(
    id: CommandId,
    fields: &HashMap<String, String>,
) -> Result<Option<StoredCommand>, StoreError> {
    let Some(body) = fields.get("body") else {
        return Ok(None);
    };
    let command = serde_json::from_str(body)
        .map_err(|error| StoreError::unreadable(format!("command {id}"), error))?;
    let lacking = |what: &str| StoreError::lacking(format!("{what} of command {id}"));
    let revision = fields
        .get("revision")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| lacking("the revision"))?;
    let mut executions = Vec::new();
    for (field, record) in fields {
        if let Some(participant) = field.strip_prefix("s:") {
            let participant: ParticipantId =
                participant.parse().map_err(|_| lacking("a participant"))?;
            executions.push(read_execution(id, &participant, record, fields)?);
        }
    }
    executions.sort_unstable_by(|one, other| one.id.participant.cmp(&other.id.participant));
    Ok(Some(StoredCommand {
        command,
        revision,
        executions,
    }))
}

fn read_execution(
    command: CommandId,
    participant: &ParticipantId,
    record: &str,
    fields: &HashMap<String, String>,
) -> Result<Execution, StoreError> {
    let unreadable =
        |error| StoreError::unreadable(format!("execution {command}_{participant}"), error);
    let lacking = || StoreError::lacking(format!("the state of execution {command}_{participant}"));
    let plan = fields
        .get(&format!("x:{participant}"))
        .ok_or_else(lacking)?;
    let plan: PlanRecord = serde_json::from_str(plan).map_err(unreadable)?;
    let report = fields
        .get(&format!("r:{participant}"))
        .map(|text| serde_json::from_str(text))
        .transpose();
    let report: ReportRecord = report.map_err(unreadable)?.unwrap_or_default();
    let mut words = record.split(' ');
    let code = words.next().ok_or_else(lacking)?;
    let mut number = || {
        words
            .next()
            .and_then(|word| word.parse::<u64>().ok())
            .ok_or_else(lacking)
    };
    let (revision, changed_at, sequence) = (number()?, number()?, number()?);
    Ok(Execution {
        id: ExecutionId {
            command,
            participant: participant.clone(),
        },
        sequence,
        state: transitions::state(code, report.fault).ok_or_else(lacking)?,
        fidelity: plan.fidelity,
        servers: plan.servers,
        results: report.results,
        changed_at: Timestamp::from_millis(changed_at),
        revision,
    })
}
