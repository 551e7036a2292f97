//! The commands of `fedctl`, one module each: what the user typed, and what is done with it.
//!
//! Invariant: a command returns how it ended, or a failure; it never ends the process.

pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod cancel;
pub(crate) mod dead_letters;
pub(crate) mod dialects;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod mappings;
pub(crate) mod pki;
pub(crate) mod plan;
pub(crate) mod receipts;
pub(crate) mod registry;
pub(crate) mod status;
pub(crate) mod submission;
mod submit;
mod wait;
pub(crate) mod watch;

use crate::{arguments::Verb, broker::Broker, exit::Exit, failure::Failure, output::Output};

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// Whom to ask.
    pub(crate) broker: Broker,
    /// Where to print.
    pub(crate) output: Output,
}

/// Does what was typed.
pub(crate) async fn run(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::Purge(purge) => purge.run(context).await,
        Verb::Run(run) => run.run(context).await,
        Verb::Native(native) => native.run(context).await,
        Verb::Load(load) => load.run(context).await,
        Verb::Plan(plan) => plan.run(context).await,
        Verb::Status(status) => status.run(context).await,
        Verb::Watch(watch) => watch.run(context).await,
        Verb::List(list) => list.run(context).await,
        Verb::Cancel(cancel) => cancel.run(context).await,
        Verb::Approve(approve) => approve.run(context).await,
        Verb::Participants(registry) => registry.run(context).await,
        Verb::Servers(registry) => registry.run(context).await,
        Verb::Configurations(registry) => registry.run(context).await,
        Verb::Deployments(registry) => registry.run(context).await,
        Verb::Mappings(mappings) => mappings.run(context).await,
        Verb::Dialects(dialects) => dialects.run(context.output),
        Verb::Receipts(receipts) => receipts.run(context).await,
        Verb::Keys(keys) => keys.run(context.output),
        Verb::DeadLetters(letters) => letters.run(context).await,
        Verb::Pki(pki) => pki.run(context.output),
        Verb::Audit(audit) => audit.run(context).await,
    }
}
