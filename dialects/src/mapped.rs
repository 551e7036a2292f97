//! A dialect from a document: a participant with an HTTP API of its own joins with a mapping and no code.
//!
//! A mapping says which calls carry out which operation with which selectors, within which limits, and how each answer is
//! to be read. `mapped/example.yaml` shows all of it.
//!
//! Invariant: a mapping that was read makes calls that HTTP can carry and whose bodies are what their headers say, and it
//! never names a host name that is not the configuration's. Every mistake of a document is named with its line.
//! Not here: where a mapping is kept, and which version of it an execution was planned with.

mod answers;
mod backwards;
mod check;
mod items;
mod notes;
mod reader;
mod rules;
pub(crate) mod sample;
mod template;
mod tree;

use domain::{
    Command, DialectName, Fidelity, NativeCall, Operation, Selector, SelectorKind,
    operation::PurgeMode,
};

pub use self::reader::Mistake;
use self::{
    answers::Rule,
    template::{Templates, Values},
};
use crate::{Answer, Draw, Site, Verdict, fidelity_of_each, http, vendor::sizes};

/// Bytes of a document.
pub const DOCUMENT_BYTES: usize = 64 * 1024;
/// Calls and rules for answers in one document, of each.
pub const ENTRIES: usize = 100;
/// How selectors are counted that a call says, as a document's `items` counts them.
pub const ITEMS: &str = "items";
/// Bytes of an answer that a mapping sees.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// A document that was read and has no mistake.
#[derive(Debug)]
pub struct Mapping {
    name: DialectName,
    calls: Vec<Mapped>,
    answers: Vec<Rule>,
    poll: Option<Poll>,
}

/// How some operations are said.
#[derive(Debug)]
struct Mapped {
    /// Where it stands in the document.
    line: u64,
    operation: Said,
    selectors: Vec<SelectorKind>,
    fidelity: Fidelity,
    request: Templates,
    /// Selectors in one call.
    items: usize,
    /// Bytes of one body.
    bytes: usize,
}

/// Which operation an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Purge(Vec<PurgeMode>),
    Load,
    Custom(String),
}

/// How a job is asked after.
#[derive(Debug)]
struct Poll {
    request: Templates,
    answers: Vec<Rule>,
}

/// A mapping cannot say a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{dialect} cannot say this command: {why}")]
pub struct CannotMap {
    /// The mapping's name.
    pub dialect: DialectName,
    /// Why, as a sentence for people.
    pub why: String,
}

impl Mapping {
    /// Reads a document, or says all that is wrong with it, by line.
    pub fn read(document: &str) -> Result<Self, Vec<Mistake>> {
        check::read(document, false)
    }

    /// The same for a document that is to be kept from now on: its name is not one that a dialect has already. What is
    /// kept goes on to be read where a dialect of that name comes later.
    pub fn read_new(document: &str) -> Result<Self, Vec<Mistake>> {
        check::read(document, true)
    }

    /// Its name.
    pub fn name(&self) -> &DialectName {
        &self.name
    }

    /// How well it can do `operation` with one `selector`, whatever the ceiling.
    pub fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        self.mapped(operation, selector).map_or_else(
            || {
                let (name, said, kind) = (&self.name, operation.name(), selector.kind());
                let mode = match operation {
                    Operation::Purge(mode) => format!(" ({})", word_of(*mode)),
                    Operation::Load | Operation::Custom(_) => String::new(),
                };
                http::impossible(format!("{name} maps no {said}{mode} by {kind}"))
            },
            |mapped| mapped.fidelity.clone(),
        )
    }

    /// How well it can say a whole command under its originator's ceiling: the worst of its selectors.
    pub fn fidelity_of(&self, command: &Command) -> Fidelity {
        fidelity_of_each(command, |selector| {
            self.fidelity(&command.operation, selector)
        })
    }

    /// The calls that carry the command out, split to the limits; together they name every selector once.
    pub fn translate(
        &self,
        command: &Command,
        site: &Site<'_>,
    ) -> Result<Vec<NativeCall>, CannotMap> {
        let cannot = |why| CannotMap {
            dialect: self.name.clone(),
            why,
        };
        if let Fidelity::Impossible { why } = self.fidelity_of(command) {
            return Err(cannot(why));
        }
        http::check_hosts(command, site).map_err(cannot)?;
        let mut calls = Vec::new();
        for mapped in &self.calls {
            let of_this = |(_, selector): &(u32, &Selector)| {
                self.mapped(&command.operation, selector)
                    .is_some_and(|found| std::ptr::eq(found, mapped))
            };
            let numbered: Vec<_> = http::numbered(command).filter(of_this).collect();
            for chunk in numbered.chunks(mapped.items) {
                mapped
                    .say(command, site, chunk, &mut calls)
                    .map_err(cannot)?;
            }
        }
        Ok(calls)
    }

    /// What the answer to a call of [`Self::translate`] means.
    pub fn judge(&self, answer: &Answer) -> Verdict {
        answers::judge(&self.answers, None, answer)
    }

    /// The call that asks after a job; `None` where the mapping knows no jobs, or the job's name cannot be said.
    pub fn poll(&self, job: &str) -> Option<NativeCall> {
        let poll = self.poll.as_ref()?;
        let values: Values = [("job", job.into())].into();
        poll.request.render(&values, Vec::new()).ok()
    }

    /// What the answer to a call of [`Self::poll`] means, for the same `job`.
    pub fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        let rules = self.poll.as_ref().map_or(&[][..], |poll| &poll.answers);
        answers::judge(rules, Some(job), answer)
    }

    fn mapped(&self, operation: &Operation, selector: &Selector) -> Option<&Mapped> {
        let kind = SelectorKind::of(selector);
        let covers =
            |mapped: &&Mapped| mapped.operation.is(operation) && mapped.selectors.contains(&kind);
        self.calls.iter().find(covers)
    }
}

impl Mapped {
    /// One call for these selectors, or two for half of them each where the body is too long.
    fn say(
        &self,
        command: &Command,
        site: &Site<'_>,
        selectors: &[(u32, &Selector)],
        calls: &mut Vec<NativeCall>,
    ) -> Result<(), String> {
        let items: Vec<_> = selectors.iter().map(|(_, selector)| *selector).collect();
        let mut values = items::values(command, site, &items);
        if self.items == 1 {
            values.extend(items.first().map(|item| ("item", items::item(item))));
        }
        let numbers = selectors.iter().map(|(number, _)| *number).collect();
        let call = self.request.render(&values, numbers)?;
        let length = call.body.as_deref().map_or(0, sizes::filled);
        if length <= self.bytes {
            calls.push(call);
            return Ok(());
        }
        let (some, others) = selectors.split_at(selectors.len() / 2);
        if some.is_empty() {
            let limit = self.bytes;
            return Err(format!(
                "one selector alone makes a body of {length} bytes, and the limit is {limit}"
            ));
        }
        self.say(command, site, some, calls)?;
        self.say(command, site, others, calls)
    }
}

impl Said {
    /// Whether there is something that both are about.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Purge(modes), Self::Purge(others)) => {
                modes.iter().any(|mode| others.contains(mode))
            }
            _ => self == other,
        }
    }

    fn is(&self, operation: &Operation) -> bool {
        match (self, operation) {
            (Self::Purge(modes), Operation::Purge(mode)) => modes.contains(mode),
            (Self::Load, Operation::Load) => true,
            (Self::Custom(name), Operation::Custom(custom)) => name == custom.name.as_str(),
            _ => false,
        }
    }
}

/// What a call of any mapping takes: a question after a job says no selectors.
pub fn draws(call: &NativeCall) -> Vec<Draw> {
    let said = (!call.selectors.is_empty()).then(|| Draw::of(ITEMS, call.selectors.len()));
    [Draw::CALL].into_iter().chain(said).collect()
}

/// The word for a mode, as documents and templates have it.
const fn word_of(mode: PurgeMode) -> &'static str {
    match mode {
        PurgeMode::Delete => "delete",
        PurgeMode::Invalidate => "invalidate",
        PurgeMode::Deferred => "deferred",
    }
}

#[cfg(test)]
mod tests;
