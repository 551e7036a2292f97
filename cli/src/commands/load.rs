//! `fedctl load`.

use clap::Args;

use super::{
    Context, plan,
    submit::{self, Attempt},
};
use crate::{
    arguments::waiting::Waiting,
    draft::{Asked as _, LoadRequest},
    exit::Exit,
    failure::Failure,
};

/// Fetches content into the caches.
#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    request: LoadRequest,
    #[command(flatten)]
    waiting: Waiting,
    /// Only show what each participant would be told, like fedctl plan load
    #[arg(long, conflicts_with_all = ["watch", "no_wait"])]
    plan: bool,
    #[command(flatten)]
    attempt: Attempt,
}

impl Load {
    /// Plans or submits.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let draft = self.request.draft()?;
        let clock = self.waiting.start();
        if self.plan {
            return plan::show_within(context, draft, &clock).await;
        }
        submit::submit(context, draft, &self.attempt, &self.waiting, clock).await
    }
}
