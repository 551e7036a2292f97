//! A draft of a command from what the user typed.

pub(crate) mod native;

use std::{collections::HashMap, fmt::Debug};

use clap::{Args, ValueEnum};
use proto::v1::{
    CommandDraft, CustomOperation, Load, Operation, Purge, PurgeMode, operation::Kind,
};

use crate::{
    arguments::{
        looking::Looking,
        reach::Reach,
        selection::{Selected, Selection, Urls},
        when::When,
    },
    failure::Failure,
};

/// What a purge is asked to do.
#[derive(Debug, Args)]
pub(crate) struct PurgeRequest {
    #[command(flatten)]
    selection: Selection,
    /// How cached content is made unusable
    #[arg(long, value_enum, default_value_t = Mode::Delete)]
    mode: Mode,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    looking: Looking,
}

/// What a load is asked to do.
#[derive(Debug, Args)]
pub(crate) struct LoadRequest {
    #[command(flatten)]
    urls: Urls,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    looking: Looking,
}

/// What a registered operation is asked to do.
#[derive(Debug, Args)]
pub(crate) struct CustomRequest {
    /// The operation's registered name
    #[arg(value_name = "OPERATION")]
    name: String,
    /// A parameter of the operation; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    param: Vec<(String, String)>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    terms: Terms,
}

/// On which servers, how faithfully, and when.
#[derive(Debug, Args)]
struct Terms {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    when: When,
}

/// How cached content is made unusable.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Gone: the next request goes to the origin
    Delete,
    /// Stale: it may serve while the origin is asked again
    Invalidate,
    /// Renamed now, deleted when the server is idle
    Deferred,
}

/// What was asked, and can be said as a draft.
pub(crate) trait Asked: Args + Debug {
    /// The draft; files are read and durations become moments here.
    fn draft(&self) -> Result<CommandDraft, Failure>;
    /// That with which one slip of the hand would reach far, with what was read into the draft: a person confirms these.
    fn wide(&self, draft: &CommandDraft) -> Option<Wide>;
}

/// Why a person confirms a command before it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wide {
    /// This is in it, as far as a message has room for it.
    Holds(String),
    /// It is read by the broker alone, so it may be anything.
    Unread,
}

impl Asked for PurgeRequest {
    fn draft(&self) -> Result<CommandDraft, Failure> {
        let mode = match self.mode {
            Mode::Delete => PurgeMode::Delete,
            Mode::Invalidate => PurgeMode::Invalidate,
            Mode::Deferred => PurgeMode::Deferred,
        };
        let purge = Kind::Purge(Purge { mode: mode.into() });
        let draft = self.terms.around(self.selection.selected()?, purge)?;
        Ok(self.looking.at(draft))
    }

    fn wide(&self, _: &CommandDraft) -> Option<Wide> {
        self.selection.wide().map(Wide::Holds)
    }
}

impl Asked for LoadRequest {
    fn draft(&self) -> Result<CommandDraft, Failure> {
        let draft = self
            .terms
            .around(self.urls.selected()?, Kind::Load(Load {}))?;
        Ok(self.looking.at(draft))
    }

    fn wide(&self, _: &CommandDraft) -> Option<Wide> {
        None
    }
}

impl Asked for CustomRequest {
    fn draft(&self) -> Result<CommandDraft, Failure> {
        let mut parameters = HashMap::new();
        for (name, value) in &self.param {
            if parameters.insert(name.clone(), value.clone()).is_some() {
                return Err(Failure::Usage(format!("--param {name} is given twice")));
            }
        }
        let custom = Kind::Custom(CustomOperation {
            name: self.name.clone(),
            parameters,
        });
        self.terms.around(self.selection.selected()?, custom)
    }

    fn wide(&self, _: &CommandDraft) -> Option<Wide> {
        self.selection.wide().map(Wide::Holds)
    }
}

impl Terms {
    /// A draft of just that, within these terms.
    fn around(&self, selected: Selected, kind: Kind) -> Result<CommandDraft, Failure> {
        Ok(CommandDraft {
            configuration_id: selected.configuration_id,
            operation: Some(Operation { kind: Some(kind) }),
            selectors: selected.selectors,
            ..self.draft()?
        })
    }

    /// The terms alone.
    fn draft(&self) -> Result<CommandDraft, Failure> {
        let between = self.when.between()?;
        Ok(CommandDraft {
            scope: Some(self.reach.scope()),
            ceiling: self.reach.ceiling(),
            when_impossible: self.reach.when_impossible().into(),
            not_before: between.not_before,
            expire_time: between.expire_time,
            ..CommandDraft::default()
        })
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proto::v1::{Breadth, WhenImpossible, scope};

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        request: PurgeRequest,
    }

    fn typed(words: &str) -> Result<CommandDraft, clap::Error> {
        let words = ["fedctl", "shop", "--tag", "red"]
            .into_iter()
            .chain(words.split_whitespace());
        let typed = Typed::try_parse_from(words)?;
        Ok(typed.request.draft().expect("is well formed"))
    }

    /// Without flags a purge deletes everywhere, tells whom it can, and leaves the ceiling to the broker.
    #[test]
    fn a_bare_purge_takes_the_contracts_defaults() {
        let draft = typed("").expect("is well formed");
        let purge = Purge {
            mode: PurgeMode::Delete.into(),
        };
        assert_eq!(
            draft.operation.and_then(|operation| operation.kind),
            Some(Kind::Purge(purge))
        );
        assert!(matches!(
            draft.scope.and_then(|scope| scope.kind),
            Some(scope::Kind::Everywhere(_))
        ));
        assert_eq!(
            (draft.ceiling, draft.when_impossible),
            (None, WhenImpossible::Skip.into())
        );
    }

    /// Scope and ceiling reach the broker as typed.
    #[test]
    fn scope_and_ceiling_are_carried() {
        let draft = typed("--place eu/de,na --widest host --allow-narrowed --refuse-impossible")
            .expect("is well formed");
        let Some(scope::Kind::Places(places)) = draft.scope.and_then(|scope| scope.kind) else {
            panic!("not places");
        };
        assert_eq!(
            (places.places.len(), places.places[0].country.as_str()),
            (2, "de")
        );
        let ceiling = draft.ceiling.expect("was asked for");
        assert_eq!(
            (ceiling.widest(), ceiling.allow_narrowed),
            (Breadth::Host, true)
        );
        assert_eq!(draft.when_impossible, i32::from(WhenImpossible::Refuse));
    }

    /// Looking afterwards is asked for by name, and a URL to look at means nothing without it.
    #[test]
    fn looking_afterwards_is_asked_for() {
        let bare = typed("").expect("is well formed");
        assert!(!bare.verify && bare.probe_urls.is_empty());
        let url = "https://www.shop.example/a";
        let draft = typed(&format!("--verify --probe-url {url}")).expect("is well formed");
        assert!(draft.verify);
        assert_eq!(draft.probe_urls, [url]);
        assert!(typed(&format!("--probe-url {url}")).is_err());
    }

    /// A command has one scope; two that could contradict each other are refused.
    #[test]
    fn two_scopes_are_refused() {
        assert!(typed("--only-foreign --participant north").is_err());
        assert!(typed("--participant north --participant south").is_ok());
    }
}
