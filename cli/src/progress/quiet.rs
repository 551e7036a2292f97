//! Nothing but a sign of life on the terminal, while somebody waits for the result.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Progress, Told};
use crate::{
    failure::Failure,
    output::Output,
    view::{ChangeView, CommandView},
    words,
};

const TICK: Duration = Duration::from_millis(100);

/// One line with a spinner on stderr, gone at the end.
pub(super) struct Quiet {
    output: Output,
    spinner: Option<ProgressBar>,
}

impl Quiet {
    pub(super) fn new(output: Output) -> Self {
        let spinner = io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            spinner.set_style(ProgressStyle::default_spinner());
            spinner.enable_steady_tick(TICK);
            spinner.with_message("waiting for the participants")
        });
        Self { output, spinner }
    }
}

impl Progress for Quiet {
    fn change(&mut self, _: &ChangeView, command: &CommandView) -> Result<(), Failure> {
        if let Some(spinner) = &self.spinner {
            let executions = &command.executions;
            let settled = executions
                .iter()
                .filter(|execution| !execution.is_under_way());
            let all = words::count(executions.len(), "participant");
            spinner.set_message(format!("{} of {all} settled", settled.count()));
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }

    fn finish(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    fn told(&self) -> Told {
        Told::Nothing
    }
}
