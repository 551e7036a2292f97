//! On which servers, and how far a participant may stray from the letter of the command.

use clap::{Args, ValueEnum};
use proto::v1::{
    Breadth, Ceiling, Everywhere, Foreign, Ids, Place, Places, Scope, WhenImpossible, scope::Kind,
};

use super::place::place;

const WHERE: &str = "Where (all servers that carry the configuration, unless one of these)";
const STRAYING: &str = "When a participant cannot say just that";

/// On which servers, and how faithfully.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Only servers of other participants
    #[arg(long, group = "scope", help_heading = WHERE)]
    only_foreign: bool,
    /// Only servers of this participant; may be repeated
    #[arg(long, value_name = "ID", group = "scope", help_heading = WHERE, value_delimiter = ',')]
    participant: Vec<String>,
    /// Only this server; may be repeated
    #[arg(long, value_name = "ID", group = "scope", help_heading = WHERE, value_delimiter = ',')]
    server: Vec<String>,
    /// Only servers in this place, such as eu, eu/de or eu/de/berlin; may be repeated
    #[arg(long, value_name = "PLACE", group = "scope", help_heading = WHERE, value_delimiter = ',', value_parser = place)]
    place: Vec<Place>,
    /// The widest that it may be widened to, where it cannot be said exactly [default: configuration]
    #[arg(long, value_name = "BREADTH", help_heading = STRAYING, value_enum)]
    widest: Option<Widest>,
    /// Less than was asked is better than nothing
    #[arg(long, help_heading = STRAYING)]
    allow_narrowed: bool,
    /// Send nothing to anybody when one participant cannot say it; otherwise the others are told
    #[arg(long, help_heading = STRAYING)]
    refuse_impossible: bool,
}

/// How far a command may be widened.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Widest {
    /// Not at all
    Exact,
    /// The same objects, by a stronger operation
    Operation,
    /// Everything of the host name
    Host,
    /// Everything of the configuration
    Configuration,
}

impl Reach {
    /// The scope; none means everywhere.
    pub(crate) fn scope(&self) -> Scope {
        let ids = |ids: &[String]| Ids { ids: ids.to_vec() };
        let kind = if self.only_foreign {
            Kind::Foreign(Foreign {})
        } else if !self.participant.is_empty() {
            Kind::Participants(ids(&self.participant))
        } else if !self.server.is_empty() {
            Kind::Servers(ids(&self.server))
        } else if !self.place.is_empty() {
            Kind::Places(Places {
                places: self.place.clone(),
            })
        } else {
            Kind::Everywhere(Everywhere {})
        };
        Scope { kind: Some(kind) }
    }

    /// The ceiling, where one was asked for.
    pub(crate) fn ceiling(&self) -> Option<Ceiling> {
        let widest = match self.widest {
            None => Breadth::Unspecified,
            Some(Widest::Exact) => Breadth::Exact,
            Some(Widest::Operation) => Breadth::Operation,
            Some(Widest::Host) => Breadth::Host,
            Some(Widest::Configuration) => Breadth::Configuration,
        };
        let asked = self.widest.is_some() || self.allow_narrowed;
        asked.then(|| Ceiling {
            widest: widest.into(),
            allow_narrowed: self.allow_narrowed,
        })
    }

    /// What happens when a participant cannot say it.
    pub(crate) fn when_impossible(&self) -> WhenImpossible {
        if self.refuse_impossible {
            return WhenImpossible::Refuse;
        }
        WhenImpossible::Skip
    }
}
