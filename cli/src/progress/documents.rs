//! One document per change, a line each, for scripts.

use super::{Progress, Told};
use crate::{
    failure::Failure,
    output::Output,
    view::{ChangeView, CommandView},
};

/// Prints every change as a document.
pub(super) struct Documents {
    output: Output,
}

impl Documents {
    pub(super) const fn new(output: Output) -> Self {
        Self { output }
    }
}

impl Progress for Documents {
    fn change(&mut self, change: &ChangeView, _: &CommandView) -> Result<(), Failure> {
        self.output.document_line(change)
    }

    fn note(&mut self, text: &str) {
        self.output.note(text);
    }

    fn finish(&mut self) {}

    fn told(&self) -> Told {
        Told::Everything
    }
}
