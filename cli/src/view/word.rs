//! The words of the contract's enums, in lower case and without their prefix.

use proto::v1::{
    ApprovalState, Breadth, Evidence, ExecutionState, Fidelity, Overall, ProofVerdict, PurgeMode,
    WhenImpossible,
};

/// Whose names are words.
pub(super) trait Word: TryFrom<i32> {
    /// What every name begins with.
    const PREFIX: &'static str;

    /// The contract's name.
    fn name(&self) -> &'static str;
}

macro_rules! words {
    ($($kind:ident: $prefix:literal),+ $(,)?) => {$(
        impl Word for $kind {
            const PREFIX: &'static str = $prefix;

            fn name(&self) -> &'static str {
                self.as_str_name()
            }
        }
    )+};
}

words! {
    ApprovalState: "APPROVAL_STATE_",
    Breadth: "BREADTH_",
    Evidence: "EVIDENCE_",
    ExecutionState: "EXECUTION_STATE_",
    Fidelity: "FIDELITY_",
    Overall: "OVERALL_",
    ProofVerdict: "PROOF_VERDICT_",
    PurgeMode: "PURGE_MODE_",
    WhenImpossible: "WHEN_IMPOSSIBLE_",
}

/// The word, `unspecified` included.
pub(super) fn word<W: Word>(number: i32) -> String {
    match W::try_from(number) {
        Ok(known) => known.name().trim_start_matches(W::PREFIX).to_lowercase(),
        Err(_) => format!("unrecognized_{number}"),
    }
}

/// The word, or nothing when it was not said.
pub(super) fn said<W: Word>(number: i32) -> Option<String> {
    (number != 0).then(|| word::<W>(number))
}

/// Text, or nothing when it is empty.
pub(super) fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker of tomorrow may say a word that this `fedctl` does not know; it is shown, not guessed.
    #[test]
    fn an_unknown_word_is_shown_as_such() {
        assert_eq!(word::<ExecutionState>(4), "done");
        assert_eq!(word::<ExecutionState>(99), "unrecognized_99");
        assert_eq!(said::<Evidence>(0), None);
    }
}
