//! Who may do what: one table of calls and of how a caller stands to what a call is about.
//!
//! Invariant: pure, and asked by every door; there is no other place that decides. Every call of the contract has a row, and a
//! call without one does not compile or fails the test below. What is hidden is answered like what is not there.
//! Not here: who calls (`ingress::identity`), and what is about to be touched (the doors look it up).

use domain::ParticipantId;

use crate::{error::Error, ingress::Identity};

/// What a caller may do with what a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Not this, and that is no secret: the caller knows of it, or nobody of its kind may ever.
    Denied,
    /// For this caller it does not exist.
    Hidden,
    /// Only what concerns the caller itself: of a command its own executions, of a configuration not whose content it is.
    Part,
    /// All of it.
    Whole,
}

/// How a caller stands to what a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It operates the federation.
    Operator,
    /// It is the caller's: its record, its configuration, its command.
    Owner,
    /// It runs, or is to run, on the caller's servers.
    Host,
    /// Neither.
    Stranger,
}

impl Relation {
    /// All, in the order of the table's columns.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Owner, Self::Host, Self::Stranger];
}

/// What a call is about, as far as the table asks. What belongs to nobody in particular has neither owner nor hosts.
#[derive(Debug, Clone, Default)]
pub struct Resource<'a> {
    /// Whose it is.
    pub owner: Option<&'a ParticipantId>,
    /// On whose servers it runs, or is to run.
    pub hosts: Vec<&'a ParticipantId>,
}

impl<'a> Resource<'a> {
    /// What belongs to one participant and concerns no other.
    pub const fn of(owner: &'a ParticipantId) -> Self {
        Self {
            owner: Some(owner),
            hosts: Vec::new(),
        }
    }
}

/// The calls, service by service: the enum, the list of all, and their names on the wire.
macro_rules! rpcs {
    ($($service:ident { $($rpc:ident),+ $(,)? })+) => {
        /// Every call of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the proto files say what each is")]
        pub enum Rpc {
            $($($rpc,)+)+
        }

        impl Rpc {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$rpc,)+)+];

            /// Its name on the wire.
            pub const fn path(self) -> &'static str {
                match self {
                    $($(Self::$rpc => concat!("federation.v1.", stringify!($service), "/", stringify!($rpc)),)+)+
                }
            }

            /// Its name for people.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$rpc => stringify!($rpc),)+)+
                }
            }
        }
    };
}

rpcs! {
    CommandService {
        SubmitCommand, SubmitCommands, GetCommand, ListCommands, WatchCommand, CancelCommand, ApproveCommand,
    }
    RegistryService {
        CreateParticipant, GetParticipant, ListParticipants, UpdateParticipant, DeleteParticipant, ListParticipantProgress,
        IssueCredentials,
        CreateServer, GetServer, ListServers, UpdateServer, DeleteServer,
        CreateConfiguration, GetConfiguration, ListConfigurations, UpdateConfiguration, DeleteConfiguration,
        CreateDeployment, GetDeployment, ListDeployments, UpdateDeployment, DeleteDeployment,
        GrantDeployment, RevokeDeployment,
        PutMapping, GetMapping, ListMappings, DeleteMapping,
    }
    AuditService {
        ListAudit,
    }
    ReceiptService {
        ListReceipts,
    }
    DeadLetterService {
        ListDeadLetters, GetDeadLetter, RetryDeadLetters, DiscardDeadLetters,
    }
}

impl Rpc {
    /// The table. A list is open to everybody, and shows what the row of its single look shows.
    #[expect(clippy::match_same_arms, reason = "a table has rows that are alike")]
    const fn row(self) -> [Access; 4] {
        use Access::{Denied as D, Hidden as H, Part as P, Whole as W};
        match self {
            // Operator, owner, host, stranger.
            Self::SubmitCommand | Self::SubmitCommands => [D, W, H, H],
            Self::CancelCommand => [D, W, D, H],
            // That it is a second person is asked where it is approved.
            Self::ApproveCommand => [W, W, D, H],
            Self::GetCommand | Self::WatchCommand => [W, W, P, H],
            Self::ListCommands => [W, W, H, H],

            Self::CreateParticipant | Self::UpdateParticipant | Self::DeleteParticipant => {
                [W, D, D, D]
            }
            Self::GetParticipant | Self::IssueCredentials => [W, W, H, H],
            Self::GetServer | Self::CreateServer | Self::UpdateServer | Self::DeleteServer => {
                [W, W, H, H]
            }
            Self::GetConfiguration => [W, W, P, H],
            Self::CreateConfiguration => [W, W, H, H],
            Self::UpdateConfiguration | Self::DeleteConfiguration => [W, W, D, H],

            // The owner wishes, the host grants, and names the servers.
            Self::CreateDeployment => [W, W, H, H],
            Self::GetDeployment => [W, W, W, H],
            Self::UpdateDeployment | Self::GrantDeployment | Self::RevokeDeployment => [W, D, W, H],
            Self::DeleteDeployment => [W, W, D, H],

            // A host is here who is told by the mapping.
            Self::PutMapping | Self::DeleteMapping => [W, D, D, D],
            Self::GetMapping => [W, H, W, H],

            Self::ListParticipants
            | Self::ListParticipantProgress
            | Self::ListServers
            | Self::ListConfigurations
            | Self::ListDeployments
            | Self::ListMappings => [W, W, W, W],
            // Of others only operators see what they did.
            Self::ListAudit => [W, W, H, H],
            // What was done for a configuration is its owner's to show; a host has signed its own part of it.
            Self::ListReceipts => [W, W, H, H],

            Self::ListDeadLetters
            | Self::GetDeadLetter
            | Self::RetryDeadLetters
            | Self::DiscardDeadLetters => [W, W, H, H],
        }
    }

    /// Whether it does something, and does not only look.
    pub fn is_act(self) -> bool {
        !["Get", "List", "Watch"]
            .iter()
            .any(|look| self.name().starts_with(look))
    }

    /// What a caller who stands so may do.
    pub const fn access(self, relation: Relation) -> Access {
        let [operator, owner, host, stranger] = self.row();
        match relation {
            Relation::Operator => operator,
            Relation::Owner => owner,
            Relation::Host => host,
            Relation::Stranger => stranger,
        }
    }

    /// Refuses a caller for whom the row holds nothing, whatever the call is about.
    pub fn check_ever(self, identity: &Identity) -> Result<(), Error> {
        let columns: &[Relation] = match identity {
            Identity::Operator(_) => &[Relation::Operator],
            Identity::Participant(_) | Identity::Person { .. } => {
                &[Relation::Owner, Relation::Host, Relation::Stranger]
            }
        };
        let denied = |relation: &Relation| self.access(*relation) == Access::Denied;
        if columns.iter().all(denied) {
            Err(match identity {
                Identity::Operator(_) => refusal(identity),
                Identity::Participant(_) | Identity::Person { .. } => {
                    Error::NotAllowed("this is for an operator")
                }
            })
        } else {
            Ok(())
        }
    }
}

/// What `identity` may do with the resource. One that owns and hosts it may do what either may.
pub fn authorise(identity: &Identity, rpc: Rpc, resource: &Resource<'_>) -> Access {
    let Some(id) = identity.participant() else {
        return rpc.access(Relation::Operator);
    };
    let owner = (resource.owner == Some(id)).then(|| rpc.access(Relation::Owner));
    let host = (resource.hosts.contains(&id)).then(|| rpc.access(Relation::Host));
    owner
        .max(host)
        .unwrap_or_else(|| rpc.access(Relation::Stranger))
}

/// Whether what the caller asked for exists for it, and how much of it; `kind` and `id` are what it asked for.
pub fn admit<'t, R>(
    identity: &Identity,
    rpc: Rpc,
    (kind, id): (&'static str, &str),
    found: Option<(&'t R, Resource<'_>)>,
) -> Result<(&'t R, Access), Error> {
    let found = found.map(|(record, resource)| (record, authorise(identity, rpc, &resource)));
    match found {
        Some((record, access @ (Access::Whole | Access::Part))) => Ok((record, access)),
        Some((_, Access::Denied)) => Err(refusal(identity)),
        Some((_, Access::Hidden)) | None => Err(Error::not_found(kind, id)),
    }
}

const fn refusal(identity: &Identity) -> Error {
    match identity {
        Identity::Operator(_) => {
            Error::NotAllowed("an operator commands no configuration; its owner does")
        }
        Identity::Participant(_) | Identity::Person { .. } => {
            Error::NotAllowed("this is for another to do: the owner, the host or an operator")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;

    fn participant(id: &str) -> Identity {
        Identity::Participant(id.parse().unwrap())
    }

    /// The contract and the table hold the same calls: a new one without a row fails here.
    #[test]
    fn every_call_of_the_contract_has_a_row() {
        let set = prost_types::FileDescriptorSet::decode(proto::v1::FILE_DESCRIPTOR_SET).unwrap();
        let services = set.file.iter().flat_map(|file| {
            let package = file.package().to_owned();
            file.service
                .iter()
                .map(move |service| (package.clone(), service))
        });
        let contract = services
            .filter(|(package, _)| package == "federation.v1")
            .flat_map(|(package, service)| {
                let methods = service.method.iter();
                methods.map(move |method| format!("{package}.{}/{}", service.name(), method.name()))
            })
            .collect::<BTreeSet<_>>();
        let table = Rpc::ALL.iter().map(|rpc| rpc.path().to_owned());
        assert_eq!(contract, table.collect());
    }

    /// Nobody commands but the owner; a stranger sees nothing in particular, whatever the call.
    #[test]
    fn a_stranger_gets_nothing_and_an_operator_commands_nothing() {
        for rpc in [Rpc::SubmitCommand, Rpc::SubmitCommands, Rpc::CancelCommand] {
            let may = |relation: &Relation| rpc.access(*relation) >= Access::Part;
            let those: Vec<_> = Relation::ALL.into_iter().filter(may).collect();
            assert_eq!(those, [Relation::Owner], "{}", rpc.path());
        }
        for rpc in Rpc::ALL {
            if rpc.access(Relation::Stranger) >= Access::Part {
                assert!(rpc.name().starts_with("List"), "{}", rpc.path());
            }
        }
    }

    /// Who owns and hosts at once may do what either may; to be one of several hosts is to be a host.
    #[test]
    fn the_best_relation_counts() {
        let (a, b, c) = ("a".parse().unwrap(), "b".parse().unwrap(), participant("c"));
        let both = Resource {
            owner: Some(&a),
            hosts: vec![&a, &b],
        };
        let grant = |identity: &Identity| authorise(identity, Rpc::GrantDeployment, &both);
        assert_eq!(grant(&participant("a")), Access::Whole);
        assert_eq!(grant(&participant("b")), Access::Whole);
        assert_eq!(grant(&c), Access::Hidden);
        let wish = Resource {
            owner: Some(&a),
            hosts: vec![&b],
        };
        assert_eq!(
            authorise(&participant("a"), Rpc::GrantDeployment, &wish),
            Access::Denied
        );
    }

    /// What is not there and what is another's are one answer.
    #[test]
    fn hidden_is_answered_like_absent() {
        let owner = "a".parse().unwrap();
        let hidden = admit(
            &participant("b"),
            Rpc::GetServer,
            ("server", "s"),
            Some((&(), Resource::of(&owner))),
        );
        let absent = admit::<()>(&participant("b"), Rpc::GetServer, ("server", "s"), None);
        assert_eq!(
            hidden.unwrap_err().to_string(),
            absent.unwrap_err().to_string()
        );
    }
}
