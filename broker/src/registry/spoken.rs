//! Which language a record may name.

use dialects::{BrokenLimit, Counterpart};
use domain::DialectName;

use crate::{directory::Tables, error::Error};

/// A participant's own system is told by a dialect of such systems, or by a mapping.
pub(super) fn check_system(tables: &Tables, name: &DialectName) -> Result<(), Error> {
    if tables.mappings.contains_key(name) || speaks_to(name, is_system) {
        return Ok(());
    }
    let names = names_of(is_system);
    let rule = format!("must be a mapping or a dialect of invocation systems: {names}");
    Err(Error::invalid("participant.invocation_system", rule))
}

/// A server is told by a dialect of servers; the rule, where this is none.
pub fn broken_by_server(name: &DialectName) -> Option<String> {
    let rule = || format!("must be a dialect of servers: {}", names_of(is_server));
    (!speaks_to(name, is_server)).then(rule)
}

/// What is wrong with a limit of one call, at a participant with this `system`: the member of it, and the rule.
pub fn broken_by_limit(
    system: Option<&DialectName>,
    unit: &str,
    amount: u32,
) -> Option<(&'static str, String)> {
    let dialect = system.and_then(dialects::by_name);
    let limits = dialect.map(|dialect| (dialect.name(), dialect.limits()));
    let Some((name, limits)) = limits.filter(|(_, limits)| !limits.sizes.is_empty()) else {
        let rule = "must not be given for this invocation system: only a provider's API has such numbers, and a mapping has its own `items` and `bytes`";
        return Some(("unit", rule.to_owned()));
    };
    match limits.check(unit, amount) {
        Ok(()) => None,
        Err(BrokenLimit::Unit(rule)) => Some(("unit", format!("{rule}, which {name} counts"))),
        Err(BrokenLimit::Amount(rule)) => Some(("amount", rule)),
    }
}

/// Whether commands go to it once, and it tells its servers.
const fn is_system(counterpart: Counterpart) -> bool {
    match counterpart {
        Counterpart::InvocationSystem | Counterpart::Api => true,
        Counterpart::Server => false,
    }
}

const fn is_server(counterpart: Counterpart) -> bool {
    !is_system(counterpart)
}

fn speaks_to(name: &DialectName, wanted: fn(Counterpart) -> bool) -> bool {
    dialects::by_name(name).is_some_and(|dialect| wanted(dialect.counterpart()))
}

fn names_of(wanted: fn(Counterpart) -> bool) -> String {
    let names = dialects::all()
        .iter()
        .filter(|dialect| wanted(dialect.counterpart()));
    names
        .map(|dialect| dialect.name())
        .collect::<Vec<_>>()
        .join(", ")
}
