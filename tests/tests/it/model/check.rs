//! The invariants, as `super` states them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use broker::store::{Lane, Store, StoredCommand};
use domain::{CommandId, ExecutionId, ParticipantId, ServerId, State, Timestamp, fault::Side};

use super::{
    cast::ORIGINATOR,
    world::{World, short},
};

/// How often each server was told of each command.
type Tellings<'a> = BTreeMap<(CommandId, &'a ServerId), usize>;

/// What was seen of the commands so far.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<ExecutionId, (u64, State)>);

impl Seen {
    /// Looks at a command as it stands now, and compares with what was seen before.
    pub(super) fn look(&mut self, stored: &StoredCommand) -> Result<()> {
        for execution in &stored.executions {
            let now = (execution.sequence, execution.state.clone());
            let Some((sequence, before)) = self.0.insert(execution.id.clone(), now) else {
                continue;
            };
            let name = &execution.id;
            // What is scheduled has none before its time.
            ensure!(
                sequence == execution.sequence || sequence == 0,
                "{name} changed its number"
            );
            ensure!(
                may_follow(&before, &execution.state),
                "{name} was {before:?} and is {:?}",
                execution.state
            );
        }
        Ok(())
    }
}

/// Whether a state may be seen after another one: what has settled keeps its meaning.
fn may_follow(before: &State, after: &State) -> bool {
    match (before, after) {
        (before, after) if before == after => true,
        (State::Done(less), State::Done(more)) => more > less,
        (State::Unanswered, after) => after.is_settled(),
        (State::Accepted, _) => true,
        (State::Dispatched, after) => *after != State::Accepted,
        (State::Running, after) => after.is_settled(),
        _ => false,
    }
}

/// Everything that must be true when nothing moves any more.
pub(super) async fn at_rest(
    world: &World,
    store: &Store,
    seen: &mut Seen,
    accepted: &[CommandId],
    one_journal: bool,
) -> Result<()> {
    let page = store.commands_of(&ORIGINATOR.parse()?, None, 1_000).await?;
    for stored in &page.commands {
        seen.look(stored)?;
    }
    let there = page.commands.iter().map(|stored| stored.command.id);
    ensure!(
        there.collect::<BTreeSet<_>>() == accepted.iter().copied().collect(),
        "the commands that are there are not those that were accepted"
    );
    let told = tellings(world);
    for stored in &page.commands {
        settled(world, stored)?;
        servers_were_told(world, stored, &told)
            .with_context(|| format!("of {}", short(stored.command.id)))?;
    }
    begun_in_time(world, &page.commands)?;
    ensure!(world.rabbit.is_empty(), "RabbitMQ still holds messages");
    in_order(world, one_journal)?;
    nothing_left(world, store, accepted.len()).await
}

/// How often each server was told of each execution.
fn tellings(world: &World) -> Tellings<'_> {
    let mut told = BTreeMap::new();
    for telling in &world.tellings {
        *told.entry((telling.command, &telling.server)).or_default() += 1;
    }
    told
}

/// Whoever is asked after everything works again has an answer, and silence is none. What a cancel was said to have taken
/// back is cancelled.
fn settled(world: &World, stored: &StoredCommand) -> Result<()> {
    for execution in &stored.executions {
        let (id, state) = (&execution.id, &execution.state);
        ensure!(
            state.is_settled() && *state != State::Unanswered,
            "{id} is {state:?} at the end"
        );
        ensure!(
            !world.taken_back.contains(id) || *state == State::Cancelled,
            "{id} was taken back and is {state:?}"
        );
    }
    Ok(())
}

fn servers_were_told(world: &World, stored: &StoredCommand, told: &Tellings<'_>) -> Result<()> {
    let command = stored.command.id;
    let repeatable = stored.command.operation.is_repeatable();
    for execution in &stored.executions {
        // Who was absorbed is done where its absorber was told.
        let absorbers = world.absorbed.get(&execution.id);
        for server in &execution.servers {
            let times = |command| told.get(&(command, server)).copied().unwrap_or_default();
            let for_it = absorbers
                .into_iter()
                .flatten()
                .map(|absorber| times(*absorber));
            let (times, for_it) = (times(command), for_it.sum::<usize>());
            let state = &execution.state;
            ensure!(
                repeatable || times <= 1,
                "{server} was told {times} times what may not be repeated"
            );
            match state {
                State::Failed(fault) if fault.side == Side::Federation => {}
                State::Done(_) | State::Failed(_) => {
                    ensure!(
                        times + for_it >= 1,
                        "{server} was never told, and it is {state:?}"
                    );
                }
                State::Cancelled | State::Expired | State::Unsupported => {
                    ensure!(
                        times == 0,
                        "{server} was told {times} times, and it is {state:?}"
                    );
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Nothing begins when its time is over, by the clock of the adapter that begins it.
fn begun_in_time(world: &World, commands: &[StoredCommand]) -> Result<()> {
    let ends = commands
        .iter()
        .map(|stored| (stored.command.id, stored.command.expires_at));
    let ends = ends.collect::<BTreeMap<CommandId, Option<Timestamp>>>();
    for telling in &world.tellings {
        if let Some(Some(end)) = ends.get(&telling.command) {
            ensure!(
                telling.begun < *end,
                "{} began when its time was over",
                short(telling.command)
            );
        }
    }
    Ok(())
}

/// Executions of one configuration at one participant. With one journal a repetition never goes back behind a later
/// execution. An adapter that stands by has not the journal of the other, so there only the first tellings keep their order,
/// and that of an execution is its absorber's where it was absorbed.
fn in_order(world: &World, one_journal: bool) -> Result<()> {
    let mut furthest: BTreeMap<(&ParticipantId, _), u64> = BTreeMap::new();
    let mut before = BTreeSet::new();
    for telling in &world.tellings {
        let execution = ExecutionId {
            command: telling.command,
            participant: telling.participant.clone(),
        };
        let first = before.insert((&telling.server, telling.command))
            && !world.absorbed.contains_key(&execution);
        let furthest = furthest
            .entry((&telling.participant, &telling.configuration))
            .or_default();
        ensure!(
            telling.sequence >= *furthest || !(first || one_journal),
            "{} told #{} of {} after #{furthest}",
            telling.participant,
            telling.sequence,
            telling.configuration
        );
        *furthest = telling.sequence.max(*furthest);
    }
    Ok(())
}

/// Outboxes and lists of what is unreported are empty, and every command counts as settled: all of them can be deleted.
async fn nothing_left(world: &World, store: &Store, accepted: usize) -> Result<()> {
    let mut retired = 0;
    for shard in store.keys().shards() {
        for (participant, _) in &world.cast.participants {
            let lane = Lane {
                shard,
                participant: participant.clone(),
            };
            let state = store.outbox_state(&lane).await?;
            ensure!(
                state.waiting == 0 && state.unreported == 0,
                "{participant} has {state:?} left"
            );
        }
        retired += store
            .retire(shard, Timestamp::from_millis(u64::MAX >> 12), 1_000)
            .await?;
    }
    ensure!(
        retired == accepted,
        "{retired} of {accepted} commands count as settled"
    );
    Ok(())
}
