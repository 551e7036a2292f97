//! A draft of a command from what the user typed.

use clap::{Args, ValueEnum};
use proto::v1::{CommandDraft, Load, Operation, Purge, PurgeMode, operation::Kind};

use crate::{
    arguments::{
        reach::Reach,
        selection::{Selected, Selection, Urls},
    },
    failure::Failure,
};

/// What a purge is asked to do.
#[derive(Debug, Args)]
pub(crate) struct PurgeRequest {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How cached content is made unusable
    #[arg(long, value_enum, default_value_t = Mode::Delete)]
    mode: Mode,
    #[command(flatten)]
    reach: Reach,
}

/// What a load is asked to do.
#[derive(Debug, Args)]
pub(crate) struct LoadRequest {
    #[command(flatten)]
    urls: Urls,
    #[command(flatten)]
    reach: Reach,
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

impl PurgeRequest {
    /// The draft; files are read here.
    pub(crate) fn draft(&self) -> Result<CommandDraft, Failure> {
        let mode = match self.mode {
            Mode::Delete => PurgeMode::Delete,
            Mode::Invalidate => PurgeMode::Invalidate,
            Mode::Deferred => PurgeMode::Deferred,
        };
        let purge = Kind::Purge(Purge { mode: mode.into() });
        Ok(draft(self.selection.selected()?, purge, &self.reach))
    }
}

impl LoadRequest {
    /// The draft; files are read here.
    pub(crate) fn draft(&self) -> Result<CommandDraft, Failure> {
        Ok(draft(
            self.urls.selected()?,
            Kind::Load(Load {}),
            &self.reach,
        ))
    }
}

fn draft(selected: Selected, kind: Kind, reach: &Reach) -> CommandDraft {
    CommandDraft {
        configuration_id: selected.configuration_id,
        operation: Some(Operation { kind: Some(kind) }),
        selectors: selected.selectors,
        scope: Some(reach.scope()),
        ceiling: reach.ceiling(),
        when_impossible: reach.when_impossible().into(),
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

    /// A command has one scope; two that could contradict each other are refused.
    #[test]
    fn two_scopes_are_refused() {
        assert!(typed("--only-foreign --participant north").is_err());
        assert!(typed("--participant north --participant south").is_ok());
    }
}
