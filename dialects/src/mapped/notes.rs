//! What is good in a mapping and perhaps not meant.
//!
//! Invariant: nothing of it is a mistake: a home-grown system may have methods of its own, and need not be commanded by.

use super::{Mapping, Mistake};

/// Methods that APIs and caches are known to take.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PURGE", "BAN", "REFRESH",
];

impl Mapping {
    /// Methods that may be slips, and what no request is read backwards by; by line.
    pub fn notes(&self) -> Vec<Mistake> {
        let calls = self.calls.iter().enumerate();
        let unusual = calls.filter_map(|(number, mapped)| {
            let method = mapped.request.method.as_str();
            let why = format!("has the method {method}, which may be a slip");
            let is_known = METHODS.contains(&method);
            (!is_known).then(|| Mistake::new(mapped.line, &format!("calls[{number}]"), &why))
        });
        let mut notes: Vec<_> = unusual.chain(self.unread()).collect();
        notes.sort_by_key(|note| note.line);
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is named, and the mapping is good all the same.
    #[test]
    fn an_unusual_method_is_noted() {
        let document = include_str!("example.yaml").replacen("method: DELETE", "method: DELTE", 1);
        let notes = Mapping::read_new(&document).unwrap().notes();
        let slips = notes.iter().filter(|note| note.rule.contains("DELTE"));
        assert_eq!(slips.count(), 1, "{notes:?}");
    }
}
