//! The domain's state machine as a table that a Redis script can look into.
//!
//! Invariant: the table is made from [`domain::State::next`] and nothing else, so there is one state machine; the
//! script only looks up. A state is one or two letters: `A`, `S`, `R`, `D0` to `D3` (by evidence), `F`, …. Every script
//! moves an execution that it finds by `move`, so every move is in its history, and notes by `ended` that a command has. The script
//! that accepts (`accept_script`) writes what it marks at once as `move` would have left it.

use domain::{
    Event, Evidence, Fault, State, Timestamp,
    execution::Change,
    fault::{Again, FaultCode},
    limits,
};

/// Calls a command of Redis with what a script has gathered.
pub(super) const ON_ALL: &str = r"
-- Calls a command with a list of any length; the lists of pairs stay whole.
local function on_all(command, key, list, ...)
  for from = 1, #list, 1000 do
    local arguments = {...}
    for n = from, math.min(from + 999, #list) do arguments[#arguments + 1] = list[n] end
    redis.call(command, key, unpack(arguments))
  end
end
";

/// What all scripts use that move executions. An execution's record is `state revision changed_at sequence`; its history
/// has each move as `state:moment`, without the beginning, which is the command's acceptance. A call to Redis costs more than
/// all else that a script does for an execution, so there is one to look at it, one to write, and one for a whole batch to
/// each index.
const HELPERS: &str = r"
-- All that is to be known of an execution before it moves, and one more field; nothing where there is none.
local function look(key, participant, more)
  local had = redis.call('HMGET', key, 's:' .. participant, 'h:' .. participant, 'revision', 'open', 'expires', 'by', more or 'by')
  local code, sequence = string.match(had[1] or '', '^(%S+) %S+ %S+ (%S+)$')
  if not code then return {} end
  return {
    key = key, participant = participant, code = code, sequence = sequence, history = had[2], revision = had[3], open = had[4],
    expires = had[5], by = had[6], more = more and had[7]}
end
-- Lets an event happen to an execution that was looked at, and writes more fields with it; answers its new state and, where it
-- has ended with that, how many of its command have not. Nothing where it stays.
local function move(one, event, now, ...)
  local after = one.code and next_state[one.code .. ' ' .. event]
  if not after then return nil end
  -- Whole numbers as text: Lua would print them as fractions, which takes longer than all the rest.
  local revision = string.format('%d', one.revision + 1)
  local history = (one.history and one.history .. ' ' or '') .. after .. ':' .. now
  -- A move has four letters and more with its space, so a short history need not be counted.
  if #history >= 4 * most_moves then
    local _, moves = string.gsub(history, '%S+', '')
    if moves > most_moves then history = string.match(history, ' (.*)$') end
  end
  local ended = settled[after] and not settled[one.code]
  local record = after .. ' ' .. revision .. ' ' .. now .. ' ' .. one.sequence
  if not ended then
    redis.call('HSET', one.key, 's:' .. one.participant, record, 'h:' .. one.participant, history, 'revision', revision, ...)
    return after, false
  end
  local open = one.open - 1
  redis.call('HSET', one.key, 's:' .. one.participant, record, 'h:' .. one.participant, history, 'revision', revision,
    'open', string.format('%d', open), ...)
  return after, open
end
-- Notes commands whose executions have all settled for deletion.
local ended_retire, ended_expiring, ended_by = {}, {}, {}
local function ended(one, id, deleted_at)
  ended_retire[#ended_retire + 1] = deleted_at
  ended_retire[#ended_retire + 1] = id
  if one.expires then ended_expiring[#ended_expiring + 1] = id end
  if one.by then ended_by[one.by] = (ended_by[one.by] or 0) + 1 end
end
local function note_ended(retire, expiring)
  on_all('ZADD', retire, ended_retire)
  on_all('ZREM', expiring, ended_expiring)
  -- How many are open for each originator is counted beside, in the same slot.
  local counts = string.gsub(retire, 'retire$', 'open')
  for by, count in pairs(ended_by) do
    if redis.call('HINCRBY', counts, by, string.format('%d', -count)) <= 0 then redis.call('HDEL', counts, by) end
  end
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
        "local next_state={{{}}}\nlocal settled={{{settled}}}\nlocal most_moves={}{ON_ALL}{HELPERS}",
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
