//! A mapping read backwards: which command a request of the participant's own API is.
//!
//! A call of the mapping is made with words that nothing else has in the places of what is not known, which shows where in a
//! request the command stands. What is found there is put into the call again: only where that makes the request is it the
//! command, and only where no other command makes it too.
//!
//! Invariant: what a request is read as is exactly what the mapping would be said for; where it may be several things, or
//! stands for more or less than the call says ([`Fidelity`]), it is refused by name.

mod reading;
mod sketch;
mod text;
mod tokens;

use std::collections::BTreeMap;

use domain::{
    Fidelity, HostName, NativeCall, Operation, Selector, SelectorKind, operation::CustomOperation,
};
use minijinja::value::Value;

use self::{
    reading::{Found, Reading},
    sketch::Sketch,
    text::READINGS,
    tokens::{Hole, Tokens},
};
use super::{Mapped, Mapping, Mistake, Said, items, sample, template::Values, word_of};
use crate::native::{self, Asked};

/// What a request may mean: a kind of operation, and what it is for.
#[derive(Debug, Clone, PartialEq)]
struct Meaning {
    operation: Operation,
    selectors: Vec<Selector>,
}

impl Mapping {
    /// Reads a request that is sent to the participant's API today as the command that this mapping says by it. `hosts` are
    /// those of the configuration, where it is known.
    pub fn ask(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, native::Mistake> {
        let named = match request.host.as_deref() {
            Some(host) => Some(native::parse("host", "the name", host)?),
            None => None,
        };
        let reading = Reading {
            named: named.as_ref(),
            hosts,
        };
        let mut meanings: Vec<Meaning> = Vec::new();
        let mut exactly = false;
        for mapped in self
            .calls
            .iter()
            .filter(|mapped| mapped.fidelity == Fidelity::Exact)
        {
            for (meaning, is_exact) in mapped.meanings(request, &self.header_names(), &reading) {
                // What makes the very request is what it means, where others make one that is as good.
                if is_exact && !exactly {
                    (exactly, meanings) = (true, Vec::new());
                }
                if is_exact == exactly && !meanings.contains(&meaning) {
                    meanings.push(meaning);
                }
            }
        }
        match meanings.as_slice() {
            [] => Err(self.not_understood(request, &reading)),
            [meaning] => Asked {
                operation: meaning.operation.clone(),
                selectors: meaning.selectors.clone(),
                field: if request.body.is_some() {
                    "body"
                } else {
                    "path"
                },
            }
            .within_limits(),
            [one, other, ..] => Err(native::Mistake::new(
                "path",
                format!(
                    "with the body may be {one} or {other} by the mapping {}, and says not which",
                    self.name
                ),
            )),
        }
    }

    /// What no request can be read by, and why; by line.
    pub(super) fn unread(&self) -> Vec<Mistake> {
        let mut notes = Vec::new();
        for (number, mapped) in self.calls.iter().enumerate() {
            let place = format!("calls[{number}]");
            let mut note = |why: &str| notes.push(Mistake::new(mapped.line, &place, why));
            if mapped.fidelity != Fidelity::Exact {
                note("is not read backwards: it is not exact");
                continue;
            }
            let wrong = mapped
                .samples()
                .into_iter()
                .filter_map(|sample| self.misread(mapped, &sample));
            let mut wrong: Vec<String> = wrong.collect();
            wrong.dedup();
            for why in wrong {
                note(&format!("is not read backwards: {why}"));
            }
        }
        notes
    }

    /// Why a request of the mapping's own is not read as what it was made for.
    fn misread(&self, mapped: &Mapped, meaning: &Meaning) -> Option<String> {
        let values = mapped.values_of(meaning, &[sample::host()], &Tokens::default());
        let call = mapped.request.render(&values, Vec::new()).ok()?;
        match self.ask(&call, &[sample::host()]) {
            Ok(asked) if asked.selectors == meaning.selectors => None,
            Ok(asked) => {
                let (operation, selectors) = (asked.operation, asked.selectors);
                Some(format!(
                    "{meaning} is read as {}",
                    Meaning {
                        operation,
                        selectors
                    }
                ))
            }
            Err(mistake) => Some(mistake.to_string()),
        }
    }

    fn not_understood(&self, request: &NativeCall, reading: &Reading<'_>) -> native::Mistake {
        let names_host = reading.named.is_some() || reading.hosts.len() == 1;
        let by_method = self
            .calls
            .iter()
            .any(|mapped| mapped.request.method == request.method);
        let name = &self.name;
        let rule = match (by_method, names_host) {
            (false, _) => {
                return native::Mistake::new(
                    "method",
                    format!("must be one of a call of the mapping {name}"),
                );
            }
            (true, true) => format!(
                "must be, with headers and body, a call of the mapping {name} that says something exactly"
            ),
            (true, false) => format!(
                "must be, with headers and body, a call of the mapping {name} that says something exactly; where a call names no \
                 host name, `host` must be given, or configuration_id name a configuration with one"
            ),
        };
        native::Mistake::new("path", rule)
    }

    fn header_names(&self) -> Vec<&str> {
        let headers = self.calls.iter().flat_map(|mapped| &mapped.request.headers);
        headers.map(|(name, _)| name.as_str()).collect()
    }
}

impl Mapped {
    /// Everything that a request may mean by this call, and whether it is the very request that is made of it.
    fn meanings(
        &self,
        request: &NativeCall,
        known: &[&str],
        reading: &Reading<'_>,
    ) -> Vec<(Meaning, bool)> {
        if self.request.method != request.method {
            return Vec::new();
        }
        let mut meanings: Vec<(Meaning, bool)> = Vec::new();
        for operation in self.operations() {
            for sketch in self.sketches(&operation, reading.hosts) {
                for found in sketch
                    .find(request, known, reading)
                    .into_iter()
                    .take(READINGS)
                {
                    for selectors in found.lists(sketch.kind, reading) {
                        let meaning = Meaning {
                            operation: with_parameters(&operation, &found),
                            selectors,
                        };
                        if meanings.iter().any(|(known, _)| *known == meaning) {
                            continue;
                        }
                        if let Some(is_exact) = self.makes(&meaning, request, known, reading) {
                            meanings.push((meaning, is_exact));
                        }
                    }
                }
            }
        }
        meanings
    }

    /// Whether that is said by this request: just so, or in another spelling of it.
    fn makes(
        &self,
        meaning: &Meaning,
        request: &NativeCall,
        known: &[&str],
        reading: &Reading<'_>,
    ) -> Option<bool> {
        let tokens = Tokens::default();
        let values = self.values_of(meaning, reading.hosts, &tokens);
        let call = self.request.render(&values, Vec::new()).ok()?;
        let made = Sketch::new(SelectorKind::Everything, &call, &tokens)?;
        if !made.find(request, known, reading).is_empty() {
            return Some(true);
        }
        let call = NativeCall {
            path: plainly(&call.path),
            ..call
        };
        let made = Sketch::new(SelectorKind::Everything, &call, &tokens)?;
        let request = NativeCall {
            path: plainly(&request.path),
            ..request.clone()
        };
        (!made.find(&request, known, reading).is_empty()).then_some(false)
    }

    /// What the call looks like for each kind of its selectors, for one of them and for several.
    fn sketches(&self, operation: &Operation, hosts: &[HostName]) -> Vec<Sketch> {
        let mut sketches: Vec<Sketch> = Vec::new();
        for count in 1..=self.items.min(2) {
            let mut of_count: Vec<Sketch> = Vec::new();
            for kind in &self.selectors {
                let tokens = Tokens::default();
                let items: Vec<_> = (0..count).map(|index| tokens.item(*kind, index)).collect();
                let values = self.values(operation, items, tokens.parameters(), hosts, &tokens);
                let call = self.request.render(&values, Vec::new()).ok();
                let mut sketch = call.and_then(|call| Sketch::new(*kind, &call, &tokens));
                for before in &mut of_count {
                    sketch = sketch.and_then(|sketch| before.join(sketch));
                }
                of_count.extend(sketch);
            }
            sketches.extend(of_count);
        }
        sketches
    }

    fn values_of(&self, meaning: &Meaning, hosts: &[HostName], tokens: &Tokens) -> Values {
        let items = meaning.selectors.iter().map(items::item).collect();
        let parameters = match &meaning.operation {
            Operation::Custom(custom) => custom.parameters.clone(),
            Operation::Purge(_) | Operation::Load => BTreeMap::new(),
        };
        self.values(&meaning.operation, items, parameters.into(), hosts, tokens)
    }

    /// What a template may speak of: what a request does not say is a word.
    fn values(
        &self,
        operation: &Operation,
        items: Vec<Value>,
        parameters: Value,
        hosts: &[HostName],
        tokens: &Tokens,
    ) -> Values {
        let free = || Value::from(tokens.word(Hole::Free));
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mode = match operation {
            Operation::Purge(mode) => word_of(*mode),
            Operation::Load | Operation::Custom(_) => "",
        };
        let first = items.first().filter(|_| self.items == 1).cloned();
        let mut values: Values = [
            ("execution", free()),
            ("command", free()),
            ("originator", free()),
            ("configuration", free()),
            ("customer", free()),
            ("hosts", hosts.into()),
            ("operation", operation.name().into()),
            ("mode", mode.into()),
            ("parameters", parameters),
            ("items", items.into()),
        ]
        .into();
        values.extend(first.map(|item| ("item", item)));
        values
    }

    fn operations(&self) -> Vec<Operation> {
        match &self.operation {
            Said::Purge(modes) => modes.iter().map(|mode| Operation::Purge(*mode)).collect(),
            Said::Load => vec![Operation::Load],
            Said::Custom(name) => {
                let custom = name.parse().ok().map(|name| CustomOperation {
                    name,
                    // The registration says whether it is.
                    repeatable: false,
                    parameters: BTreeMap::new(),
                });
                custom.map(Operation::Custom).into_iter().collect()
            }
        }
    }

    /// One selector of each kind alone, and all kinds together where a call takes several.
    fn samples(&self) -> Vec<Meaning> {
        let one = self
            .selectors
            .iter()
            .map(|kind| vec![sample::selector(*kind)]);
        let several = self
            .selectors
            .iter()
            .cycle()
            .map(|kind| sample::selector(*kind));
        let several: Vec<_> = several
            .take(self.items.min(2 * self.selectors.len()))
            .collect();
        let groups: Vec<_> = one.chain([several]).collect();
        let of = |operation: Operation| {
            let with = move |selectors: &Vec<Selector>| Meaning {
                operation: operation.clone(),
                selectors: selectors.clone(),
            };
            groups.iter().map(with).collect::<Vec<_>>()
        };
        self.operations().into_iter().flat_map(of).collect()
    }
}

impl std::fmt::Display for Meaning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.operation.name())?;
        if let Operation::Purge(mode) = &self.operation {
            write!(f, " ({})", word_of(*mode))?;
        }
        match self.selectors.as_slice() {
            [] => Ok(()),
            [one] => write!(f, " by {}: {one}", SelectorKind::of(one)),
            [one, ..] => write!(
                f,
                " of {} selectors, first by {}: {one}",
                self.selectors.len(),
                SelectorKind::of(one)
            ),
        }
    }
}

fn with_parameters(operation: &Operation, found: &Found) -> Operation {
    match operation {
        Operation::Custom(custom) => Operation::Custom(CustomOperation {
            parameters: found.parameters.iter().cloned().collect(),
            ..custom.clone()
        }),
        other => other.clone(),
    }
}

/// A target in one spelling: an octet that needs no encoding has none, and digits are upper case (RFC 3986, 6.2.2).
fn plainly(target: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(target.len()), target);
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let octet = behind
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(octet) = octet else {
            out.push('%');
            rest = behind;
            continue;
        };
        match char::from(octet) {
            letter @ ('a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~') => {
                out.push(letter);
            }
            _ => out.extend(["%", &format!("{octet:02X}")]),
        }
        rest = &behind[2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
