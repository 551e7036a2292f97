//! Who may do what in RabbitMQ: the users, and the names that each may configure, write and read.
//!
//! Invariant: whoever carries commands out configures nothing, writes to one exchange and reads one queue, all three its
//! own. An expression matches whole names, and a character of a name means only itself.
//! Not here: telling RabbitMQ (`management`).

use domain::ParticipantId;

use crate::topology::{REPLIES, Topology};

/// What begins the name of a participant's user, behind the prefix.
const USER: &str = "participant-";
/// Matches no name. What is empty RabbitMQ takes for the same.
const NOTHING: &str = "^$";

/// Three regular expressions over names of exchanges and queues (PCRE, as RabbitMQ reads them).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// What may be declared and deleted.
    pub configure: String,
    /// What may be published to, and what may be bound.
    pub write: String,
    /// What may be consumed, got and purged, and what may be bound to.
    pub read: String,
}

impl Topology {
    /// The RabbitMQ user of a participant's adapters.
    pub fn user(&self, participant: &ParticipantId) -> String {
        format!("{}{USER}{participant}", self.prefix())
    }

    /// Whose user that is. `None` for every other user.
    pub fn participant_of_user(&self, user: &str) -> Option<ParticipantId> {
        user.strip_prefix(self.prefix())?
            .strip_prefix(USER)?
            .parse()
            .ok()
    }

    /// What the adapters of a participant may do.
    pub fn rights(&self, participant: &ParticipantId) -> Rights {
        Rights {
            configure: NOTHING.to_owned(),
            write: exactly(&self.entry_exchange(participant)),
            read: exactly(&self.commands_queue(participant)),
        }
    }

    /// What the brokers may do while they serve: they write dispatches and their copies, and read reports and dead letters.
    /// Who declares is another user.
    pub fn broker_rights(&self) -> Rights {
        let prefix = escaped(self.prefix());
        Rights {
            configure: NOTHING.to_owned(),
            write: format!(r"^{prefix}(recent\.)?commands$"),
            read: format!(r"^{prefix}({REPLIES}|dead-letters\.[a-z0-9-]+)$"),
        }
    }
}

fn exactly(name: &str) -> String {
    format!("^{}$", escaped(name))
}

/// Names have letters, digits, hyphens and dots (`Topology::new`, and the rule of ids); only the dot means something.
fn escaped(name: &str) -> String {
    name.replace('.', r"\.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::QueueLimits;

    /// A dot of the prefix or of a name is a dot: the user of `a` has nothing of a federation whose prefix looks alike.
    #[test]
    fn an_expression_means_one_name() {
        let topology = Topology::new("cdn.one.", QueueLimits::default()).unwrap();
        let rights = topology.rights(&"a-1".parse().unwrap());
        assert_eq!(
            rights,
            Rights {
                configure: "^$".to_owned(),
                write: r"^cdn\.one\.replies\.a-1$".to_owned(),
                read: r"^cdn\.one\.commands\.a-1$".to_owned(),
            }
        );
    }

    /// Users and participants know each other by name, and nobody else's user looks like one.
    #[test]
    fn a_user_names_its_participant() {
        let topology = Topology::new("x.", QueueLimits::default()).unwrap();
        let participant: ParticipantId = "b".parse().unwrap();
        let user = topology.user(&participant);
        assert_eq!(user, "x.participant-b");
        assert_eq!(topology.participant_of_user(&user), Some(participant));
        for other in [
            "participant-b",
            "x.b",
            "guest",
            "x.participant-",
            "x.participant-B",
        ] {
            assert_eq!(topology.participant_of_user(other), None, "{other}");
        }
    }
}
