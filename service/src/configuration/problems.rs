//! The list of everything that is wrong with a configuration, and the checker that adds to it.
//!
//! Invariant: one problem is one line that names the key, says the rule, and says where the value
//! came from. A key whose value could not be read is listed once; rules about it are not.
//! Not here: reading values (`read`).

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, with dots between its levels; a file's name where the whole file is meant.
    pub key: String,
    /// What is wrong, or which rule does not hold.
    pub what: String,
    /// The file or variable that gave the value, where one did.
    pub origin: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.what)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A list of one, for what goes wrong outside of the configuration itself: an argument, a file.
    pub fn one(key: &str, what: impl fmt::Display) -> Self {
        let mut problems = Self::default();
        problems.add(key, what);
        problems
    }

    /// Adds a problem.
    pub fn add(&mut self, key: &str, what: impl fmt::Display) {
        self.push(Problem {
            key: key.to_owned(),
            what: what.to_string(),
            origin: None,
        });
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds the rules of a configuration that do not hold.
    pub fn check(&mut self, configuration: &impl Checked) {
        let unread = self.0.iter().map(|problem| problem.key.clone()).collect();
        let mut check = Check {
            prefix: String::new(),
            unread,
            problems: self,
        };
        configuration.check(&mut check);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by(|one, other| one.key.cmp(&other.key));
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let line_break = if position == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A configuration, or a part of one, that has rules beyond the types of its fields.
pub trait Checked {
    /// States the rules. Without rules there is nothing to write.
    fn check(&self, check: &mut Check<'_>) {
        let _ = check;
    }
}

/// Collects the rules that do not hold.
#[derive(Debug)]
pub struct Check<'a> {
    prefix: String,
    /// Keys whose values could not be read: a stand-in is in their place, and no rule about it counts.
    unread: Vec<String>,
    problems: &'a mut Problems,
}

impl Check<'_> {
    /// Adds `rule` as a problem of `key` when `condition` does not hold. The key is relative to the part checked.
    pub fn require(&mut self, key: &str, condition: bool, rule: impl fmt::Display) {
        let key = self.full(key);
        if !condition && !self.is_unread(&key) {
            self.problems.add(&key, rule);
        }
    }

    /// States the rules of a part, under its key.
    pub fn within(&mut self, key: &str, part: &impl Checked) {
        let prefix = self.full(key);
        let unread = self.unread.clone();
        part.check(&mut Check {
            prefix,
            unread,
            problems: self.problems,
        });
    }

    fn full(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        }
    }

    fn is_unread(&self, key: &str) -> bool {
        self.unread.iter().any(|unread| {
            key.strip_prefix(unread.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}
