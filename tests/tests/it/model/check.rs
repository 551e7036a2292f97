//! The invariants, as `super` states them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use broker::store::{Store, StoredCommand};
use domain::{CommandId, ExecutionId, ServerId, State, Timestamp, fault::Side};

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
        (State::Unanswered | State::Running, after) => after.is_settled(),
        (State::Accepted, _) => true,
        (State::Dispatched, after) => *after != State::Accepted,
        _ => false,
    }
}

/// Everything that must be true when nothing moves any more.
pub(super) async fn at_rest(
    world: &World,
    store: &Store,
    seen: &mut Seen,
    accepted: &[CommandId],
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
    in_order(world)
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
                // Where another adapter took over, it may know nothing of what the first one left, or had begun.
                State::Cancelled | State::Expired
                    if world.hosts > 1 && !world.taken_back.contains(&execution.id) => {}
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

/// Executions of one configuration at one participant. With one journal, the last tellings have the order of the sequences:
/// what a crash repeats, it repeats from some place on, in order. An adapter that stands by has not the journal of the other, so
/// there only the first tellings keep it, but for what a later one has done too, for what the first adapter took for cancelled
/// and this one does not, and for what one gave up as unknown while the other had begun it; and not even these where a dispatch
/// arrives that was given up, for it is new to that journal.
fn in_order(world: &World) -> Result<()> {
    let one_journal = world.hosts == 1;
    if !one_journal && world.late {
        return Ok(());
    }
    let mut lanes: BTreeMap<_, BTreeMap<u64, usize>> = BTreeMap::new();
    for (index, telling) in world.tellings.iter().enumerate() {
        let lane = lanes
            .entry((&telling.participant, &telling.configuration))
            .or_default();
        let place = lane.entry(telling.sequence).or_insert(index);
        let execution = ExecutionId {
            command: telling.command,
            participant: telling.participant.clone(),
        };
        if one_journal {
            *place = index;
        } else if world.absorbed.contains_key(&execution)
            || world.given_up.contains(&execution)
            || world.cancelled.contains(&telling.command)
        {
            lane.remove(&telling.sequence);
        }
    }
    for ((participant, configuration), lane) in lanes {
        for ((earlier, its_place), (later, place)) in lane.iter().zip(lane.iter().skip(1)) {
            ensure!(
                its_place < place,
                "{participant} told #{earlier} of {configuration} after #{later}"
            );
        }
    }
    Ok(())
}
