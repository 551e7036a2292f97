//! Waits until a command has settled, showing what happens.
//!
//! Invariant: leaving early changes nothing for the command: it goes on, and the reader is told how to come back.

use std::time::Duration;

use proto::v1::{Command, Standing, WatchCommandResponse};
use tokio::{signal, time::sleep};

use super::Context;
use crate::{
    clock::Clock,
    exit::{Answer, Exit},
    failure::{Failure, resume},
    follow::{Event, Follow},
    progress::{self, Progress, Told},
    table,
    view::{ChangeView, CommandView},
    words,
};

/// How to wait.
pub(super) struct Watch {
    /// Whether changes are shown.
    pub(super) shown: bool,
    /// In what is left of this.
    pub(super) clock: Clock,
    /// From where; from the beginning when empty.
    pub(super) resume_token: String,
}

/// What is known when nobody waits any more.
pub(super) struct Waited {
    /// The command as it stood last.
    pub(super) command: CommandView,
    standing: Standing,
    told: Told,
    left: Left,
}

/// The command as it stands now.
struct Current {
    view: CommandView,
    standing: Standing,
}

/// Why nobody waits any more.
enum Left {
    Settled,
    TimedOut,
    Interrupted,
}

/// Waits, shows the command, and says how it ended.
pub(super) async fn wait(
    context: &Context,
    command: Command,
    watch: Watch,
) -> Result<Exit, Failure> {
    let timeout = watch.clock.limit();
    let waited = until_left(context, command, watch).await?;
    tell(context, &waited)?;
    let ended = Exit::of(Answer::Standing(&waited.standing));
    Ok(waited.leave(context, timeout).unwrap_or(ended))
}

/// Waits and shows what happens, but not how it ended.
pub(super) async fn until_left(
    context: &Context,
    command: Command,
    watch: Watch,
) -> Result<Waited, Failure> {
    let mut follow = Follow::new(&context.broker, &command.id, &watch.resume_token);
    let mut current = Current {
        standing: command.standing.clone().unwrap_or_default(),
        view: CommandView::from(command).seen_by(context.broker.participant()),
    };
    let mut progress = progress::choose(watch.shown, context.output);
    let left = tokio::select! {
        settled = until_settled(&mut follow, &mut current, progress.as_mut()) => settled.map(|()| Left::Settled),
        () = sleep(watch.clock.left()) => Ok(Left::TimedOut),
        _ = signal::ctrl_c() => Ok(Left::Interrupted),
    };
    progress.finish();
    Ok(Waited {
        command: current.view,
        standing: current.standing,
        told: progress.told(),
        left: left?,
    })
}

impl Waited {
    /// Where it has not settled: says so, how to come back, and that it is still running.
    pub(super) fn leave(&self, context: &Context, timeout: Duration) -> Option<Exit> {
        let why = match self.left {
            Left::Settled => return None,
            Left::TimedOut => format!("not settled in {}", words::duration(timeout)),
            Left::Interrupted => "interrupted".to_owned(),
        };
        context
            .output
            .note(&format!("fedctl: {why}; the command goes on"));
        for line in resume(&self.command.command_id) {
            context.output.note(&format!("  {line}"));
        }
        Some(Exit::StillRunning)
    }
}

async fn until_settled(
    follow: &mut Follow<'_>,
    current: &mut Current,
    progress: &mut dyn Progress,
) -> Result<(), Failure> {
    let mut is_lost = false;
    loop {
        match follow.next().await? {
            Event::Change(change) => {
                is_lost = false;
                let change = current.apply(*change);
                progress.change(&change, &current.view)?;
            }
            // Said once; the tries that follow are no news.
            Event::Lost(reason) if !std::mem::replace(&mut is_lost, true) => {
                progress.note(&format!("fedctl: {reason}; trying again"));
            }
            Event::Lost(_) => {}
            Event::End => return Ok(()),
        }
    }
}

fn tell(context: &Context, waited: &Waited) -> Result<(), Failure> {
    match waited.told {
        Told::Everything => Ok(()),
        Told::Details => {
            let headline = table::headline(&waited.command.standing);
            context.output.text(&format!("{headline}\n"))
        }
        Told::Nothing => context.output.show(&waited.command, table::details),
    }
}

impl Current {
    /// Takes a change over; executions that it does not name stay as they are.
    fn apply(&mut self, change: WatchCommandResponse) -> ChangeView {
        if let Some(standing) = &change.standing {
            self.standing.clone_from(standing);
        }
        let change = ChangeView::new(&self.view.command_id, change);
        self.view.standing = change.standing.clone();
        if change.approval.is_some() {
            self.view.approval.clone_from(&change.approval);
        }
        for changed in &change.executions {
            let executions = &mut self.view.executions;
            let known = executions
                .iter_mut()
                .find(|known| known.participant_id == changed.participant_id);
            match known {
                Some(known) => known.clone_from(changed),
                None => executions.push(changed.clone()),
            }
        }
        change
    }
}
