//! What the user typed: the command tree and what all commands share.
//!
//! Invariant: flags are whole words and mean the same in every command.

pub(crate) mod capability;
pub(crate) mod connection;
pub(crate) mod looking;
pub(crate) mod native_limit;
pub(crate) mod place;
pub(crate) mod reach;
pub(crate) mod selection;
mod suggested;
pub(crate) mod waiting;
pub(crate) mod when;

use std::ffi::OsString;

use clap::{
    Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{OsStr, Resettable},
};

use crate::{
    commands::{
        approve::Approve,
        audit::Audit,
        cancel::Cancel,
        dead_letters::DeadLetters,
        dialects::Dialects,
        keys::Keys,
        list::List,
        load::Load,
        mappings::Mappings,
        pki::Pki,
        plan::Plan,
        receipts::Receipts,
        registry::{
            Registry, configurations::Configurations, deployments::DeploymentsCommand,
            progress::ParticipantsCommand, servers::Servers,
        },
        status::Status,
        submission::Submission,
        watch::Watch,
    },
    draft::{CustomRequest, PurgeRequest, native::NativeRequest},
};
use connection::Connection;

/// Tells the CDNs of a federation what to do with cached content, and shows what each of them did.
#[derive(Debug, Parser)]
#[command(
    name = "fedctl",
    version,
    disable_help_subcommand = true,
    max_term_width = 110,
    about = "Tells the CDNs of a federation what to do with cached content, and shows what each of them did.",
    long_about = include_str!("help/description.txt"),
    after_long_help = include_str!("help/manual.txt"),
    after_help = "fedctl --help has examples and the exit codes.",
)]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print documents for scripts instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make cached content unusable on every server that carries it
    Purge(Submission<PurgeRequest>),
    /// Fetch content into the caches before anybody asks for it
    Load(Load),
    /// Have an operation carried out that the operator of the federation registered
    Run(Submission<CustomRequest>),
    /// Send what a provider or a cache is told today; the federation does the same
    Native(Submission<NativeRequest>),
    /// Show what a purge, load or run would do at each participant, and do nothing
    Plan(Plan),
    /// Show one command and what each participant and server made of it
    Status(Status),
    /// Follow one command until it has settled
    Watch(Watch),
    /// List your commands, newest first
    List(List),
    /// Take a command back: for certain where it has not been sent yet, and elsewhere by asking
    Cancel(Cancel),
    /// Let a wide purge go that somebody else submitted and that waits for a second person
    Approve(Approve),
    /// The CDNs in the federation, and who is behind
    Participants(ParticipantsCommand),
    /// Their caches
    Servers(Registry<Servers>),
    /// The customers' properties and their host names
    Configurations(Registry<Configurations>),
    /// Which configuration is placed at which participant
    Deployments(DeploymentsCommand),
    /// How participants with an HTTP API of their own are told: dialects from documents
    Mappings(Mappings),
    /// Check and try out such a document, without the broker
    Dialects(Dialects),
    /// What participants signed of a configuration's commands: take it away, and check it without the broker
    Receipts(Receipts),
    /// Make and show the keys that messages are signed with, without the broker
    Keys(Keys),
    /// Messages that nobody could handle: look at them, send them again, throw them away
    DeadLetters(DeadLetters),
    /// Keep an authority for a small federation: who may call the broker, and until when
    Pki(Pki),
    /// Who did what, and whether that log was tampered with
    Audit(Audit),
}

/// Those that speak to no broker.
const OFFLINE: [&str; 3] = ["dialects", "keys", "pki"];

impl Arguments {
    /// Reads what was typed, and the environment beside it.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let typed = typed(std::env::args_os());
        let read = tree(Self::command()).try_get_matches_from(&typed);
        read.map_err(|error| as_typed(Self::command(), &typed, error))
            .map_err(suggested::only_near)
            .and_then(|matches| Self::from_arg_matches(&matches))
    }
}

/// The words, where `help purge` stands for `purge --help`.
fn typed(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = words.collect();
    if words.get(1).is_some_and(|word| word == "help") {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

/// A mistake in what was typed, whose usage names what was typed alone: clap counts the environment as typed.
fn as_typed(command: Command, typed: &[OsString], error: clap::Error) -> clap::Error {
    if !error.use_stderr() {
        return error;
    }
    let without = command.mut_args(|known| known.env(Resettable::<OsStr>::Reset));
    let again = tree(without).try_get_matches_from(typed).err();
    again
        .filter(|again| again.kind() == error.kind())
        .unwrap_or(error)
}

/// The commands as they are, except that those without a broker do not show how it is reached.
fn tree(mut command: Command) -> Command {
    command.build();
    command.mut_subcommands(|verb| {
        if OFFLINE.contains(&verb.get_name()) {
            unconnected(verb)
        } else {
            verb
        }
    })
}

fn unconnected(verb: Command) -> Command {
    let verb = verb.mut_args(|known| {
        let is_hidden = known.get_help_heading() == Some(connection::HEADING);
        known.hide(is_hidden)
    });
    verb.mut_subcommands(unconnected)
}

/// How many to show.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number, at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clap checks the whole tree: no flag twice, no impossible combination.
    #[test]
    fn the_command_tree_is_sound() {
        Arguments::command().debug_assert();
    }

    /// Nothing is shown with nothing asked for, which is a slip.
    #[test]
    fn a_limit_is_at_least_1() {
        assert_eq!(at_least_one("0"), Err("at least 1".to_owned()));
        assert_eq!(at_least_one("7"), Ok(7));
        assert!(at_least_one("-1").is_err());
    }

    /// The manual is part of the contract with its readers: a change of it is seen in review.
    #[test]
    fn the_manual_reads_as_agreed() {
        let mut command = Arguments::command().term_width(100);
        insta::assert_snapshot!(command.render_long_help().to_string());
    }

    /// The same for the authority's, which people type seldom.
    #[test]
    fn the_help_of_pki_reads_as_agreed() {
        let mut command = tree(Arguments::command().term_width(100));
        let pki = command.find_subcommand_mut("pki").expect("there is a pki");
        let mut help = vec![pki.render_help().to_string()];
        for verb in ["init", "issue", "revoke", "list"] {
            let verb = pki.find_subcommand_mut(verb).expect("there is such a verb");
            help.push(verb.render_help().to_string());
        }
        insta::assert_snapshot!(help.join("\n----\n"));
    }

    /// The same for the command that is used most.
    #[test]
    fn the_help_of_purge_reads_as_agreed() {
        let mut command = Arguments::command().term_width(100);
        command.build();
        let purge = command
            .find_subcommand_mut("purge")
            .expect("there is a purge");
        insta::assert_snapshot!(purge.render_help().to_string());
    }
}
