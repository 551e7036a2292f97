//! Looking further into an outbox than a message reaches: what the entries are about, without reading their orders.
//!
//! Invariant: one call reads a bounded number of entries, whatever they hold. Nothing is changed here but by
//! [`Store::mark_absorbed`], which only the holder of the lease may do, right before the absorber is sent.

use std::{collections::HashMap, sync::Arc};

use domain::{Command, CommandId, Fidelity, ServerId, absorb::Subject};

use super::{
    Entry, Lane, Lease, Mark, Marking, Store, StoreError,
    accept::PlanRecord,
    outbox::{millis, read_entry},
};

/// Entries in one call.
const PAGE: usize = 500;
/// Bytes of the orders that Redis touches in one call; their commands are as large, give or take.
const PAGE_BYTES: usize = 1024 * 1024;
/// Different lists of servers that are remembered: an outbox has a few configurations.
const PLANS: usize = 1_000;

/// KEYS: outbox. ARGV: from where, most entries, most bytes. Answers sequence, command and bytes of each.
pub(super) const LOOK: &str = r"
local from, most, bytes, answer = ARGV[1], tonumber(ARGV[2]), 0, {}
while most > 0 and bytes < tonumber(ARGV[3]) do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(50, most))
  if #page == 0 then break end
  for _, entry in ipairs(page) do
    answer[#answer + 1] = string.match(entry[1], '^(%d+)')
    answer[#answer + 1] = entry[2][2]
    answer[#answer + 1] = tostring(#entry[2][4])
    bytes = bytes + #entry[2][4]
    from = '(' .. entry[1]
  end
  most = most - #page
end
return answer
";

/// KEYS: owner, unreported, retire, expiring, then a command for each entry. ARGV: lease, participant, now, deadline,
/// retention in ms, changes channel, then id and absorbing command for each.
/// Answers -1 when the lease is another's, else for each entry what `mark` answers for one that is sent.
pub(super) const ABSORB: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end
local participant, now, flags, changed, out = ARGV[2], ARGV[3], {}, {}, {}
for n = 1, #KEYS - 4 do
  local key, id, by = KEYS[n + 4], ARGV[5 + 2 * n], ARGV[6 + 2 * n]
  local one = look(key, participant)
  local code, flag, event = one.code, 0, 'S'
  if code == 'A' and is_over(one, now) then event = 'E' end
  local after, open = move(one, event, now)
  if after then changed[#changed + 1] = id end
  if open then
    if open <= 0 then ended(one, id) end
    flag = 3
  elseif after or code == 'S' or code == 'N' then
    redis.call('HSET', key, 'b:' .. participant, by)
    if code ~= 'N' then
      out[#out + 1] = ARGV[4]
      out[#out + 1] = id
    end
    flag = after and 1 or 2
  end
  flags[n] = flag
end
on_all('ZADD', KEYS[2], out, 'NX')
note_ended(KEYS[3], KEYS[4], now + ARGV[5])
if #changed > 0 then redis.call('PUBLISH', ARGV[6], table.concat(changed, ' ')) end
return flags
";

/// An entry that was looked at.
#[derive(Debug)]
pub struct Waiting {
    /// Its place in the outbox.
    pub sequence: u64,
    /// Of which command.
    pub command: CommandId,
    /// Bytes of its order.
    pub bytes: usize,
    /// What it is about; `None` where the command cannot be read.
    pub subject: Option<Subject>,
}

/// An entry whose work a later one does too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsorbedEntry {
    /// Its place in the outbox.
    pub sequence: u64,
    /// Of which command.
    pub command: CommandId,
    /// The absorber's place in the outbox.
    pub by_sequence: u64,
    /// The absorber's command.
    pub by: CommandId,
}

/// Plans that were read before: executions of one configuration mostly share theirs.
#[derive(Debug, Default)]
pub struct Plans(HashMap<String, (Fidelity, Arc<[ServerId]>)>);

impl Plans {
    fn read(&mut self, field: &str) -> Option<(Fidelity, Arc<[ServerId]>)> {
        let text = PlanRecord::text_in(field)?;
        if let Some(known) = self.0.get(text) {
            return Some(known.clone());
        }
        let PlanRecord {
            fidelity,
            mut servers,
        } = serde_json::from_str(text).ok()?;
        servers.sort_unstable();
        let plan = (fidelity, servers.into());
        if self.0.len() >= PLANS {
            self.0.clear();
        }
        self.0.insert(text.to_owned(), plan.clone());
        Some(plan)
    }
}

impl Store {
    /// The next entries behind `after`, at most `count`; empty at the end of the outbox.
    pub async fn look_ahead(
        &self,
        lane: &Lane,
        after: Option<u64>,
        count: usize,
        plans: &mut Plans,
    ) -> Result<Vec<Waiting>, StoreError> {
        let mut call = self.scripts.look.prepare_invoke();
        call.key(self.keys.outbox(lane.shard, &lane.participant));
        call.arg(after.map_or_else(|| "-".to_owned(), |sequence| format!("({sequence}-1")))
            .arg(count.min(PAGE))
            .arg(PAGE_BYTES);
        let answer: Vec<(u64, String, usize)> = self.redis.script(&call).await?;
        let mut waiting = Vec::with_capacity(answer.len());
        for (sequence, command, bytes) in answer {
            let command = command.parse();
            waiting.push(Waiting {
                sequence,
                command: command.map_err(|_| StoreError::lacking("an outbox entry"))?,
                bytes,
                subject: None,
            });
        }
        self.find_subjects(lane, &mut waiting, plans).await?;
        Ok(waiting)
    }

    async fn find_subjects(
        &self,
        lane: &Lane,
        waiting: &mut [Waiting],
        plans: &mut Plans,
    ) -> Result<(), StoreError> {
        if waiting.is_empty() {
            return Ok(());
        }
        let plan = format!("x:{}", lane.participant);
        let mut pipeline = redis::pipe();
        for entry in &*waiting {
            let key = self.keys.command(lane.shard, entry.command);
            pipeline.cmd("HMGET").arg(key).arg("body").arg(&plan);
        }
        let records: Vec<(Option<String>, Option<String>)> = self.redis.pipeline(&pipeline).await?;
        for (entry, (body, plan)) in waiting.iter_mut().zip(records) {
            // A record that cannot be read is nobody's to absorb, and nothing passes it.
            let command = body.and_then(|body| serde_json::from_str::<Command>(&body).ok());
            let plan = plan.and_then(|plan| plans.read(&plan));
            entry.subject = command
                .zip(plan)
                .map(|(command, (fidelity, servers))| Subject::new(command, &fidelity, servers));
        }
        Ok(())
    }

    /// The entries with these sequences; those that are not there any more are passed over.
    pub async fn entries(&self, lane: &Lane, sequences: &[u64]) -> Result<Vec<Entry>, StoreError> {
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let outbox = self.keys.outbox(lane.shard, &lane.participant);
        let mut pipeline = redis::pipe();
        for sequence in sequences {
            let id = format!("{sequence}-1");
            pipeline.xrange(&outbox, &id, &id);
        }
        let found: Vec<redis::streams::StreamRangeReply> = self.redis.pipeline(&pipeline).await?;
        let found = sequences.iter().zip(found);
        found
            .filter_map(|(sequence, reply)| {
                let entry = reply.ids.into_iter().next()?;
                let (command, order) = (entry.get::<String>("c")?, entry.get::<String>("o")?);
                let command = command
                    .parse()
                    .map_err(|_| StoreError::lacking("an outbox entry"));
                Some(command.and_then(|command| read_entry(*sequence, command, &order)))
            })
            .collect()
    }

    /// Marks entries as dispatched whose absorber was marked before, and names it. `None` when the lease is another's.
    pub async fn mark_absorbed(
        &self,
        lane: &Lane,
        lease: &Lease,
        absorbed: &[AbsorbedEntry],
        marking: Marking,
    ) -> Result<Option<Vec<Mark>>, StoreError> {
        let mut marks = Vec::with_capacity(absorbed.len());
        for page in absorbed.chunks(PAGE) {
            let mut call = self.scripts.absorb.prepare_invoke();
            call.key(self.keys.owner(lane.shard, &lane.participant))
                .key(self.keys.unreported(lane.shard, &lane.participant))
                .key(self.keys.retire(lane.shard))
                .key(self.keys.expiring(lane.shard));
            call.arg(&lease.0)
                .arg(lane.participant.as_str())
                .arg(marking.now.as_millis())
                .arg(marking.deadline.as_millis())
                .arg(millis(marking.retention))
                .arg(self.keys.changes(lane.shard));
            for entry in page {
                call.key(self.keys.command(lane.shard, entry.command))
                    .arg(entry.command.to_string())
                    .arg(entry.by.to_string());
            }
            let flags: Vec<i64> = self.redis.script(&call).await?;
            if flags == [-1] {
                return Ok(None);
            }
            marks.extend(flags.iter().copied().map(Mark::from));
        }
        Ok(Some(marks))
    }
}
