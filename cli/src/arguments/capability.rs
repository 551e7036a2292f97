//! What a participant's own invocation system can do, as people type it: `purge:url,purge:tag,load:url`.

use proto::v1::Capability;

/// All of it, operation by operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Capabilities(pub(crate) Vec<Capability>);

/// Pairs of an operation and a selector.
pub(crate) fn capabilities(text: &str) -> Result<Capabilities, String> {
    let mut found: Vec<Capability> = Vec::new();
    for pair in text.split(',') {
        let (operation, selector) = pair
            .trim()
            .split_once(':')
            .filter(|(operation, selector)| !operation.is_empty() && !selector.is_empty())
            .ok_or_else(|| "must be OPERATION:SELECTOR, such as purge:url,load:url".to_owned())?;
        let selector = selector.to_owned();
        match found.iter_mut().find(|known| known.operation == operation) {
            Some(known) if known.selectors.contains(&selector) => {}
            Some(known) => known.selectors.push(selector),
            None => found.push(Capability {
                operation: operation.to_owned(),
                selectors: vec![selector],
            }),
        }
    }
    Ok(Capabilities(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract has each operation once, with all its selectors.
    #[test]
    fn pairs_are_gathered_by_operation() {
        let found =
            capabilities("purge:url, load:url,purge:tag,purge:url").expect("is well formed");
        let found: Vec<_> = found
            .0
            .iter()
            .map(|one| (one.operation.as_str(), one.selectors.join(" ")))
            .collect();
        assert_eq!(
            found,
            [("purge", "url tag".to_owned()), ("load", "url".to_owned())]
        );
    }

    /// Half a pair is a slip.
    #[test]
    fn a_capability_names_operation_and_selector() {
        for wrong in ["", "purge", "purge:", ":url", "purge:url,"] {
            assert!(capabilities(wrong).is_err(), "{wrong}");
        }
    }
}
