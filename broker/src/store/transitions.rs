//! The domain's state machine as a table that a Redis script can look into.
//!
//! Invariant: the table is made from [`domain::State::next`] and nothing else, so there is one state machine; the
//! script only looks up. A state is one or two letters: `A`, `S`, `R`, `D0` to `D3` (by evidence), `F`, ….

use domain::{
    Event, Evidence, Fault, State,
    fault::{Again, FaultCode},
};

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

/// The Lua tables `next_state[state .. ' ' .. event]` (only where the state moves) and `settled[state]`.
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
        "local next_state={{{}}}\nlocal settled={{{settled}}}\n",
        moves.join(",")
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
