//! Reading commands back: one with its executions, or a page of an originator's.

use std::collections::HashMap;

use domain::{
    Command, CommandId, Execution, ExecutionId, ParticipantId, State, Timestamp, execution::Change,
};

use super::{
    ApprovalAsked, Shard, Store, StoreError, StoredCommand, accept::PlanRecord,
    apply::ReportRecord, transitions,
};

/// Commands that are read together for a page: few at first, and more while they prove to be small.
const READ_TOGETHER: [usize; 2] = [8, 64];
/// What one page says, but for a command that has more to say by itself: what clients take unless told otherwise is 4 MiB.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

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
        let mut read = read_command(id, &fields)?;
        self.add_deadlines(read.as_mut_slice()).await?;
        Ok(read)
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
        let (found, mut page) = (ids.len(), CommandPage::default());
        ids.truncate(count);
        let (mut looked_at, mut bytes) = (0, 0);
        let [mut together, most] = READ_TOGETHER;
        'page: while looked_at < ids.len() {
            let some = &ids[looked_at..ids.len().min(looked_at + together)];
            for (id, fields) in some.iter().zip(self.shown_fields(some).await?) {
                bytes += fields.values().map(String::len).sum::<usize>();
                if bytes > PAGE_BYTES && looked_at > 0 {
                    break 'page;
                }
                looked_at += 1;
                // A command may have passed its retention between the two reads.
                page.commands.extend(read_command(*id, &fields)?);
            }
            let fitting = PAGE_BYTES.saturating_sub(bytes) / (bytes / looked_at).max(1);
            together = (together * 2).min(fitting).clamp(1, most);
        }
        if found > looked_at {
            page.next = looked_at.checked_sub(1).map(|last| ids[last]);
        }
        self.add_deadlines(&mut page.commands).await?;
        Ok(page)
    }

    /// Reads until when those that are out may be silent. What has not been sent or has settled costs nothing.
    async fn add_deadlines(&self, commands: &mut [StoredCommand]) -> Result<(), StoreError> {
        let (mut out, mut pipeline) = (Vec::new(), redis::pipe());
        for execution in commands
            .iter_mut()
            .flat_map(|stored| &mut stored.executions)
        {
            if matches!(execution.state, State::Dispatched | State::Running)
                && let Some(shard) = self.keys.shard_of_command(execution.id.command)
            {
                let key = self.keys.unreported(shard, &execution.id.participant);
                pipeline.zscore(key, execution.id.command.to_string());
                out.push(execution);
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        let scores: Vec<Option<f64>> = self.redis.pipeline(&pipeline).await?;
        for (execution, score) in out.into_iter().zip(scores) {
            execution.deadline = score.map(moment);
        }
        Ok(())
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

    /// All that is shown of commands: the orders of those that wait for their time are not.
    async fn shown_fields(
        &self,
        ids: &[CommandId],
    ) -> Result<Vec<HashMap<String, String>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (mut keys, mut names) = (Vec::with_capacity(ids.len()), redis::pipe());
        for id in ids {
            let shard = self
                .keys
                .shard_of_command(*id)
                .ok_or_else(|| StoreError::lacking("a command's shard"))?;
            let key = self.keys.command(shard, *id);
            names.hkeys(&key);
            keys.push(key);
        }
        let mut names: Vec<Vec<String>> = self.redis.pipeline(&names).await?;
        let mut values = redis::pipe();
        for (key, names) in keys.iter().zip(&mut names) {
            names.retain(|name| !name.starts_with("o:"));
            // One that is gone has no field, and is asked for one that is never there.
            if names.is_empty() {
                names.push("body".to_owned());
            }
            values.hmget(key, &*names);
        }
        let values: Vec<Vec<Option<String>>> = self.redis.pipeline(&values).await?;
        let together = names.into_iter().zip(values);
        let fields = together.map(|(names, values)| {
            let present = names.into_iter().zip(values);
            present
                .filter_map(|(name, value)| Some((name, value?)))
                .collect()
        });
        Ok(fields.collect())
    }
}

/// A score of a sorted set that we wrote as a moment.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a moment is not negative, and the cast saturates"
)]
pub(super) fn moment(score: f64) -> Timestamp {
    Timestamp::from_millis(score as u64)
}

fn read_command(
    id: CommandId,
    fields: &HashMap<String, String>,
) -> Result<Option<StoredCommand>, StoreError> {
    let Some(body) = fields.get("body") else {
        return Ok(None);
    };
    let command: Command = serde_json::from_str(body)
        .map_err(|error| StoreError::unreadable(format!("command {id}"), error))?;
    let lacking = |what: &str| StoreError::lacking(format!("{what} of command {id}"));
    let revision = fields
        .get("n")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .ok_or_else(|| lacking("the revision"))?;
    let mut executions = Vec::new();
    for (field, record) in fields {
        if let Some(participant) = field.strip_prefix("s:") {
            let participant: ParticipantId =
                participant.parse().map_err(|_| lacking("a participant"))?;
            executions.push(read_execution(&command, participant, record, fields)?);
        }
    }
    executions.sort_unstable_by(|one, other| one.id.participant.cmp(&other.id.participant));
    let approval = fields.get("a").map(|asked| {
        let unreadable =
            |error| StoreError::unreadable(format!("the approval of command {id}"), error);
        ApprovalAsked::read(asked, fields.get("p").map(String::as_str), unreadable)
    });
    Ok(Some(StoredCommand {
        approval: approval.transpose()?,
        command,
        revision,
        executions,
    }))
}

fn read_execution(
    command: &Command,
    participant: ParticipantId,
    record: &str,
    fields: &HashMap<String, String>,
) -> Result<Execution, StoreError> {
    let id = ExecutionId {
        command: command.id,
        participant,
    };
    let field = |kind: char| fields.get(&format!("{kind}:{}", id.participant));
    let unreadable = |error| StoreError::unreadable(format!("execution {id}"), error);
    let lacking = || StoreError::lacking(format!("the state of execution {id}"));
    let plan = field('x').and_then(|field| PlanRecord::text_in(field));
    let plan: PlanRecord = serde_json::from_str(plan.ok_or_else(lacking)?).map_err(unreadable)?;
    let report = field('r')
        .map(|text| serde_json::from_str(text))
        .transpose();
    let report: ReportRecord = report.map_err(unreadable)?.unwrap_or_default();
    let mut words = record.split(' ');
    let code = words.next().ok_or_else(lacking)?;
    let mut number = || {
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        number.ok_or_else(lacking)
    };
    let (revision, changed_at, sequence) = (number()?, number()?, number()?);
    let state = transitions::state(code, report.fault).ok_or_else(lacking)?;
    let began = match &state {
        State::Unsupported => &state,
        _ => &State::Accepted,
    };
    let began = Change {
        state: began.as_str().to_owned(),
        at: command.accepted_at,
    };
    let asked = field('c').map(|text| text.parse().map(Timestamp::from_millis));
    let absorbed_by = field('b').map(|text| text.parse());
    Ok(Execution {
        sequence,
        fidelity: plan.fidelity,
        servers: plan.servers,
        results: report.results,
        changed_at: Timestamp::from_millis(changed_at),
        revision,
        history: transitions::history(began, words).ok_or_else(lacking)?,
        deadline: None,
        cancel_asked_at: asked.transpose().map_err(|_| lacking())?,
        absorbed_by: absorbed_by.transpose().map_err(|_| lacking())?,
        state,
        id,
    })
}
