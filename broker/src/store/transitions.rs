//! The domain's state machine as a table that a Redis script can look into.
//!
//! Invariant: the table is made from [`domain::State::next`] and nothing else, so there is one state machine; the
//! script only looks up. A state is one or two letters: `A`, `S`, `R`, `D0` to `D3` (by evidence), `F`, …. Every script
//! moves an execution by `move`, so every move is in its history, and ends it by `ended`.

use domain::{
    Event, Evidence, Fault, State, Timestamp,
    execution::Change,
    fault::{Again, FaultCode},
    limits,
};

/// What all scripts use that move executions. An execution's record is `state revision changed_at sequence`; its history
/// has each move as `state:moment`, without the beginning, which is the command's acceptance.
const HELPERS: &str = r"
-- The state and the sequence of an execution, nothing where there is none.
local function standing(key, participant)
  return string.match(redis.call('HGET', key, 's:' .. participant) or '', '^(%S+) %S+ %S+ (%S+)$')
end
-- Lets an event happen to an execution; answers its new state, nothing where it stays.
local function move(key, participant, event, now)
  local code, sequence = standing(key, participant)
  local after = code and next_state[code .. ' ' .. event]
  if not after then return nil end
  local revision = redis.call('HINCRBY', key, 'revision', 1)
  local history = redis.call('HGET', key, 'h:' .. participant)
  history = (history and history .. ' ' or '') .. after .. ':' .. now
  local _, moves = string.gsub(history, '%S+', '')
  if moves > most_moves then history = string.match(history, ' (.*)$') end
  redis.call('HSET', key, 's:' .. participant, after .. ' ' .. revision .. ' ' .. now .. ' ' .. sequence, 'h:' .. participant, history)
  return after
end
-- One execution of the command has settled; with the last of them the command is noted for deletion.
local function ended(key, id, retire, expiring, deleted_at)
  if redis.call('HINCRBY', key, 'open', -1) > 0 then return false end
  redis.call('ZADD', retire, deleted_at, id)
  redis.call('ZREM', expiring, id)
  return true
end
";

/// A state as the store writes it; what a fault says stands in the report beside it.
pub(super) fn code(state: &State) -> &'static str {
    match state {
        State::Accepted => "A",
        State::Dispatched => "S",
        State::Running => "R",
        State::Done(Evidence::Acknowledged) => "D0",
        State::Done(Evidence::Estimated) => "D1",
        State::Done(Evidence::Reported) => "D2",
        State::Done(Evidence::Verified) => "D3",
        State::Failed(_) => "F",
        State::Unsupported => "X",
        State::Cancelled => "C",
        State::Expired => "E",
        State::Unanswered => "N",
        State::Unknown => "U",
    }
}

/// The state of a code; `fault` is what the report said.
pub(super) fn state(code: &str, fault: Option<Fault>) -> Option<State> {
    Some(match code {
        "A" => State::Accepted,
        "S" => State::Dispatched,
        "R" => State::Running,
        "D0" => State::Done(Evidence::Acknowledged),
        "D1" => State::Done(Evidence::Estimated),
        "D2" => State::Done(Evidence::Reported),
        "D3" => State::Done(Evidence::Verified),
        "F" => State::Failed(fault.unwrap_or_else(no_words)),
        "X" => State::Unsupported,
        "C" => State::Cancelled,
        "E" => State::Expired,
        "N" => State::Unanswered,
        "U" => State::Unknown,
        _ => return None,
    })
}

/// An event is written as the state that it leads to from `accepted`.
pub(super) fn event_code(event: &Event) -> &'static str {
    code(&State::Accepted.next(event.clone()))
}

/// A history as it is kept, with its beginning: `began` is the state at acceptance.
pub(super) fn history(began: Change, moves: Option<&str>) -> Option<Vec<Change>> {
    let mut history = vec![began];
    for word in moves.unwrap_or_default().split_ascii_whitespace() {
        let (code, moment) = word.split_once(':')?;
        history.push(Change {
            state: state(code, None)?.as_str().to_owned(),
            at: Timestamp::from_millis(moment.parse().ok()?),
        });
    }
    Some(history)
}

/// The Lua tables `next_state[state .. ' ' .. event]` (only where the state moves) and `settled[state]`, and the functions
/// that every script moves executions by.
pub(super) fn lua() -> String {
    let states = states();
    let mut moves = Vec::new();
    for before in &states {
        for event in events() {
            let after = code(&before.clone().next(event.clone()));
            if after != code(before) {
                moves.push(format!(
                    "['{} {}']='{after}'",
                    code(before),
                    event_code(&event)
                ));
            }
        }
    }
    let settled = states
        .iter()
        .filter(|state| state.is_settled())
        .map(|state| format!("{}=1", code(state)));
    let settled = settled.collect::<Vec<_>>().join(",");
    format!(
        "local next_state={{{}}}\nlocal settled={{{settled}}}\nlocal most_moves={}{HELPERS}",
        moves.join(","),
        limits::HISTORY_ENTRIES - 1
    )
}

fn no_words() -> Fault {
    Fault::participant(FaultCode::NativeError, Again::Never, "")
}

fn states() -> Vec<State> {
    let mut states = vec![
        State::Accepted,
        State::Dispatched,
        State::Running,
        State::Failed(no_words()),
        State::Unsupported,
        State::Cancelled,
        State::Expired,
        State::Unanswered,
        State::Unknown,
    ];
    states.extend(Evidence::ALL.map(State::Done));
    states
}

fn events() -> Vec<Event> {
    let mut events = vec![
        Event::Dispatched,
        Event::Running,
        Event::Failed(no_words()),
        Event::Cancelled,
        Event::Expired,
        Event::Silence,
        Event::Interrupted,
    ];
    events.extend(Evidence::ALL.map(Event::Done));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state is read back as it was written.
    #[test]
    fn a_state_survives_its_code() {
        for before in states() {
            assert_eq!(state(code(&before), Some(no_words())), Some(before));
        }
    }

    /// The beginning is not written down: it is the command's acceptance.
    #[test]
    fn a_history_begins_with_its_acceptance() {
        let at = Timestamp::from_millis;
        let began = Change {
            state: "accepted".to_owned(),
            at: at(1),
        };
        let read = history(began.clone(), Some("S:2 D0:3 D2:4")).unwrap();
        let words = read
            .iter()
            .map(|change| (change.state.as_str(), change.at.as_millis()))
            .collect::<Vec<_>>();
        assert_eq!(
            words,
            [("accepted", 1), ("dispatched", 2), ("done", 3), ("done", 4)]
        );
        assert_eq!(history(began.clone(), None), Some(vec![began.clone()]));
        assert_eq!(history(began, Some("S")), None);
    }

    /// The table says what the state machine says: a few rows by hand, and none for what stays.
    #[test]
    fn the_table_holds_the_moves_and_only_those() {
        let table = lua();
        for row in [
            "['A S']='S'",
            "['S D2']='D2'",
            "['D0 D2']='D2'",
            "['N F']='F'",
            "['S N']='N'",
        ] {
            assert!(table.contains(row), "{row}");
        }
        for row in [
            "['D2 D0']",
            "['F D2']",
            "['N N']",
            "['C S']",
            "['N S']",
            "['N R']",
        ] {
            assert!(!table.contains(row), "{row}");
        }
    }
}
