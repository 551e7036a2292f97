//! The domain's state machine as a table that a Redis script can look into.
//!
//! Invariant: the table is made from [`domain::State::next`] and nothing else, so there is one state machine; the
//! script only looks up. A state is one or two letters: `A`, `S`, `R`, `D0` to `D3` (by evidence), `F`, …. Every script
//! moves an execution that it finds by `move`, so every move is in its record, and notes by `ended` that a command has. The script
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
local function on_all(command, key, list, option)
  local length = #list
  if length == 0 then return end
  if length <= 1000 and not option then return redis.call(command, key, unpack(list)) end
  for from = 1, length, 1000 do
    local to = math.min(from + 999, length)
    if option then
      redis.call(command, key, option, unpack(list, from, to))
    else
      redis.call(command, key, unpack(list, from, to))
    end
  end
end
";

/// What all scripts use that change executions. A command's field `n` is `revision open originator expires`, the last a dash
/// where it does not; an execution's record is `state revision changed_at sequence`, and behind it each move as
/// `state:moment`, without the beginning, which is the command's acceptance. A call to Redis and a field that it writes cost
/// more than all else that a script does for an execution, so there is one call to look at it and one to write, of two fields, and
/// one for a whole batch to each index.
const HELPERS: &str = r"
local KEYS, ARGV, call = KEYS, ARGV, redis.call
local function text(number) return string.format('%d', number) end
local looked_at = {}
-- All that is to be known of an execution before it moves, and one more field; without a code where there is none. It is the
-- same table each time: what was looked at before is forgotten.
local function look(key, participant, more)
  local one, field = looked_at, 's:' .. participant
  local had = more and call('HMGET', key, field, 'n', more) or call('HMGET', key, field, 'n')
  one.code = nil
  if had[1] then
    one.key, one.field, one.more = key, field, had[3]
    one.code, one.changed_at, one.sequence, one.moves = string.match(had[1], '^(%S+) %S+ (%S+) (%S+)(.*)$')
    one.revision, one.open, one.by, one.expires = string.match(had[2], '^(%d+) (%d+) (%S+) (%S+)$')
  end
  return one
end
-- Lets an event happen to an execution that was looked at, and writes one more field with it; answers its new state and, where it
-- has ended with that, how many of its command have not. Nothing where it stays.
local function move(one, event, now, field, value)
  local code = one.code
  local after = code and next_state[code][event]
  if not after then return nil end
  -- Whole numbers as text: Lua would print them as fractions, which takes longer than all the rest.
  local revision, moves, open = text(one.revision + 1), one.moves, one.open
  -- A move has four letters and more with its space, so short moves need not be counted.
  if #moves >= 4 * most_moves then
    local _, count = string.gsub(moves, '%S+', '')
    if count >= most_moves then moves = string.match(moves, '^ %S+(.*)$') end
  end
  local ended = settled[after] and not settled[code]
  if ended then open = text(open - 1) end
  local record = after .. ' ' .. revision .. ' ' .. now .. ' ' .. one.sequence .. moves .. ' ' .. after .. ':' .. now
  local n = revision .. ' ' .. open .. ' ' .. one.by .. ' ' .. one.expires
  if field then
    call('HSET', one.key, one.field, record, 'n', n, field, value)
  else
    call('HSET', one.key, one.field, record, 'n', n)
  end
  return after, ended and tonumber(open)
end
local function is_over(one, now) return one.expires ~= '-' and tonumber(one.expires) <= tonumber(now) end
-- Notes commands whose executions have all settled for deletion, those of a call together.
local ended_retire, ended_expiring, ended_by = {}, {}, {}
local function ended(one, id)
  ended_retire[#ended_retire + 1] = id
  if one.expires ~= '-' then ended_expiring[#ended_expiring + 1] = id end
  ended_by[one.by] = (ended_by[one.by] or 0) + 1
end
local function note_ended(retire, expiring, deleted_at)
  if #ended_retire > 0 then call('ZADD', retire, text(deleted_at), table.concat(ended_retire, ' ')) end
  on_all('ZREM', expiring, ended_expiring)
  -- How many are open for each originator is counted beside, in the same slot.
  local counts = string.gsub(retire, 'retire$', 'open')
  for by, count in pairs(ended_by) do
    if call('HINCRBY', counts, by, text(-count)) <= 0 then call('HDEL', counts, by) end
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

/// The moves of a record with their beginning: `began` is the state at acceptance.
pub(super) fn history<'a>(
    began: Change,
    moves: impl Iterator<Item = &'a str>,
) -> Option<Vec<Change>> {
    let mut history = vec![began];
    for word in moves {
        let (code, moment) = word.split_once(':')?;
        history.push(Change {
            state: state(code, None)?.as_str().to_owned(),
            at: Timestamp::from_millis(moment.parse().ok()?),
        });
    }
    Some(history)
}

/// The Lua tables `next_state[state][event]` (only where the state moves) and `settled[state]`, and the functions
/// that every script moves executions by.
pub(super) fn lua() -> String {
    let states = states();
    let of = |before: &State| {
        let moves = events().into_iter().filter_map(|event| {
            let after = code(&before.clone().next(event.clone()));
            (after != code(before)).then(|| format!("{}='{after}'", event_code(&event)))
        });
        format!(
            "{}={{{}}}",
            code(before),
            moves.collect::<Vec<_>>().join(",")
        )
    };
    let moves: Vec<_> = states.iter().map(of).collect();
    let settled = states
        .iter()
        .filter(|state| state.is_settled())
        .map(|state| format!("{}=1", code(state)));
    let settled = settled.collect::<Vec<_>>().join(",");
    format!(
        "local next_state={{{}}}\nlocal settled={{{settled}}}\nlocal most_moves={}{ON_ALL}{HELPERS}",
        moves.join(",\n"),
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
        let moves = |text: &'static str| text.split_ascii_whitespace();
        let read = history(began.clone(), moves("S:2 D0:3 D2:4")).unwrap();
        let words = read
            .iter()
            .map(|change| (change.state.as_str(), change.at.as_millis()))
            .collect::<Vec<_>>();
        assert_eq!(
            words,
            [("accepted", 1), ("dispatched", 2), ("done", 3), ("done", 4)]
        );
        assert_eq!(history(began.clone(), moves("")), Some(vec![began.clone()]));
        assert_eq!(history(began, moves("S")), None);
    }

    /// The table says what the state machine says: a few rows by hand, and none for what stays.
    #[test]
    fn the_table_holds_the_moves_and_only_those() {
        let table = lua();
        let moves_of = |before: &str| {
            let line = table.lines().find_map(|line| {
                let line = line.trim_start_matches("local next_state={");
                line.strip_prefix(&format!("{before}={{"))
            });
            line.unwrap().split('}').next().unwrap()
        };
        for (before, moves) in [
            ("A", "S='S'"),
            ("S", "D2='D2'"),
            ("D0", "D2='D2'"),
            ("N", "F='F'"),
            ("S", "N='N'"),
        ] {
            assert!(
                moves_of(before).split(',').any(|one| one == moves),
                "{before} {moves}"
            );
        }
        for (before, event) in [
            ("D2", "D0"),
            ("F", "D2"),
            ("N", "N"),
            ("C", "S"),
            ("N", "S"),
            ("N", "R"),
        ] {
            let stays = moves_of(before)
                .split(',')
                .all(|one| !one.starts_with(&format!("{event}=")));
            assert!(stays, "{before} {event}");
        }
    }
}
