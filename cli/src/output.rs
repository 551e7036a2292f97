//! Where things are printed: data on stdout, messages on stderr.
//!
//! Invariant: colour reaches only a terminal, and none with `NO_COLOR`; `anstream` strips it everywhere else.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::failure::{Failure, FailureView};

/// Where things are printed, and for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Documents for scripts instead of tables for people.
    pub(crate) json: bool,
}

impl Output {
    /// For scripts or for people.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Data: text that ends with a line end.
    #[expect(
        clippy::unused_self,
        reason = "printing goes through the one who knows for whom"
    )]
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        written.map_err(Failure::Write)
    }

    /// Data: one document over several lines.
    pub(crate) fn document(self, view: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(view).map_err(io::Error::from);
        self.text(&(text.map_err(Failure::Write)? + "\n"))
    }

    /// Data: one document on one line.
    pub(crate) fn document_line(self, view: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(view).map_err(io::Error::from);
        self.text(&(text.map_err(Failure::Write)? + "\n"))
    }

    /// Data: the document for scripts, or what `text` makes of it for people.
    pub(crate) fn show<V: Serialize>(
        self,
        view: &V,
        text: impl FnOnce(&V) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return self.document(view);
        }
        self.text(&text(view))
    }

    /// A message.
    #[expect(
        clippy::unused_self,
        reason = "printing goes through the one who knows for whom"
    )]
    pub(crate) fn note(self, text: &str) {
        // When stderr is gone there is nobody left to tell.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Why it ended early, for scripts.
    pub(crate) fn failure_document(self, view: &FailureView) {
        // It holds text and numbers alone, which can always be written.
        let text = serde_json::to_string_pretty(view);
        self.note(&text.unwrap_or_default());
    }

    /// Why it ended early, with all details.
    pub(crate) fn failure(self, failure: &Failure) {
        if failure.is_closed_pipe() {
            return;
        }
        if self.json {
            self.failure_document(&failure.document());
            return;
        }
        self.note(&format!("fedctl: {failure}"));
        for line in failure.details() {
            self.note(&format!("  {line}"));
        }
    }
}

/// Whether a person looks at stdout.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether a person can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
