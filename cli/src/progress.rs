//! What is shown while a command is under way.
//!
//! Invariant: a display only shows; what the outcome is, and when it ends, is decided by `commands::wait`.

mod documents;
mod lines;
mod live;
mod quiet;
mod seen;

use crate::{
    failure::Failure,
    output::{Output, stdout_is_terminal},
    view::{ChangeView, CommandView},
};

/// Shows changes as they come.
pub(crate) trait Progress {
    /// The command changed, and stands like this now.
    fn change(&mut self, change: &ChangeView, command: &CommandView) -> Result<(), Failure>;
    /// A message in between.
    fn note(&mut self, text: &str);
    /// Takes the display down; what is worth keeping stays.
    fn finish(&mut self);
    /// What the reader knows when the command has settled.
    fn told(&self) -> Told;
}

/// What the reader knows already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing: the result is to be printed whole.
    Nothing,
    /// All details; the standing in one sentence is missing.
    Details,
    /// Everything.
    Everything,
}

/// The display that fits: live on a terminal, lines elsewhere, documents for scripts, quiet when nobody watches.
pub(crate) fn choose(watch: bool, output: Output) -> Box<dyn Progress> {
    match (watch, output.json) {
        (true, true) => Box::new(documents::Documents::new(output)),
        (true, false) if stdout_is_terminal() => Box::new(live::Live::new()),
        (true, false) => Box::new(lines::Lines::new(output)),
        (false, _) => Box::new(quiet::Quiet::new(output)),
    }
}
