//! Who plays: participants, their servers, two configurations, and the commands that are submitted.
//!
//! Invariant: everything about a command comes from the seed, its id included, so a seed is replayed exactly.

use std::{sync::Arc, time::Duration};

use amqp::envelope::{NativeOrder, OrderedServer};
use broker::{
    store::{Keys, Shard},
    translate::{Planned, PlannedExecution},
};
use domain::{
    Command, CommandId, ConfigurationId, Fidelity, NativeCall, Operation, ParticipantId, RequestId,
    Scope, Selector, Server, Timestamp,
    command::WhenImpossible,
    operation::{CustomOperation, PurgeMode},
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom as _};
use uuid::{Builder, Uuid};

/// Who submits all commands.
pub(super) const ORIGINATOR: &str = "owner";
/// The configurations that commands are about.
const CONFIGURATIONS: [&str; 2] = ["shop", "news"];

/// Those who take part in one run.
pub(super) struct Cast {
    /// Participants with their servers.
    pub(super) participants: Vec<(ParticipantId, Vec<Arc<Server>>)>,
    configurations: [ConfigurationId; 2],
}

impl Cast {
    /// Two or three participants with one or two servers each.
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        let count = rng.random_range(2..=3);
        let participants = (0..count).map(|index| {
            let participant: ParticipantId = format!("p{index}").parse().unwrap();
            let servers = (0..rng.random_range(1..=2)).map(|number| {
                Arc::new(Server {
                    id: format!("p{index}-{number}").parse().unwrap(),
                    participant: participant.clone(),
                    dialect: "varnish".parse().unwrap(),
                    address: "127.0.0.1:80".parse().unwrap(),
                    place: domain::Place::default(),
                })
            });
            let servers = servers.collect();
            (participant, servers)
        });
        Self {
            participants: participants.collect(),
            configurations: CONFIGURATIONS.map(|name| name.parse().unwrap()),
        }
    }

    /// A command for all or most participants; now and then one of them cannot say it.
    pub(super) fn draw_command(&self, rng: &mut StdRng, keys: &Keys, now: Timestamp) -> Planned {
        let configuration = self.configurations.choose(rng).unwrap().clone();
        let command = Command {
            id: draw_id(rng, keys.shard_of(&configuration), now),
            originator: ORIGINATOR.parse().unwrap(),
            configuration,
            operation: draw_operation(rng),
            selectors: vec![Selector::Everything],
            scope: Scope::default(),
            ceiling: domain::Ceiling::default(),
            when_impossible: WhenImpossible::Skip,
            request_id: Some(RequestId::from_uuid(draw_uuid(rng, now))),
            accepted_at: now,
            verification: None,
            not_before: draw_moment(rng, now, 0.15),
            expires_at: draw_moment(rng, now, 0.15),
            traceparent: None,
            tracestate: None,
        };
        let mut executions = Vec::new();
        for (participant, servers) in &self.participants {
            if executions.is_empty() || rng.random_bool(0.8) {
                let sayable = executions.is_empty() || rng.random_bool(0.95);
                executions.push(execution(participant, servers, sayable));
            }
        }
        Planned {
            submitted_by: String::new(),
            approve_until: None,
            without_servers: Vec::new(),
            command,
            executions,
        }
    }
}

/// The same command under a new id, as a replica makes it of a repeated request.
pub(super) fn repeated(
    planned: &Planned,
    rng: &mut StdRng,
    keys: &Keys,
    now: Timestamp,
) -> Planned {
    let mut again = planned.clone();
    again.command.id = draw_id(rng, keys.shard_of(&again.command.configuration), now);
    again.command.accepted_at = now;
    again
}

fn execution(
    participant: &ParticipantId,
    servers: &[Arc<Server>],
    sayable: bool,
) -> PlannedExecution {
    let ordered = |server: &Arc<Server>| OrderedServer {
        id: server.id.clone(),
        address: server.address.clone(),
    };
    let order = NativeOrder {
        mapping: None,
        limits: domain::NativeLimits::NONE,
        dialect: "varnish".parse().unwrap(),
        servers: servers.iter().map(ordered).collect(),
        calls: vec![NativeCall::new("PURGE", Some("www.example"), "/", vec![0])],
    };
    let why = String::new();
    PlannedExecution {
        participant: participant.clone(),
        fidelity: if sayable {
            Fidelity::Exact
        } else {
            Fidelity::Impossible { why }
        },
        servers: servers.to_vec(),
        native: sayable.then_some(order).into_iter().collect(),
    }
}

fn draw_operation(rng: &mut StdRng) -> Operation {
    match rng.random_range(0..10) {
        0..5 => Operation::Purge(PurgeMode::Delete),
        5..7 => Operation::Load,
        _ => Operation::Custom(CustomOperation {
            name: "charge".parse().unwrap(),
            repeatable: false,
            parameters: [].into(),
        }),
    }
}

/// Some time within the run, with this probability.
fn draw_moment(rng: &mut StdRng, now: Timestamp, probability: f64) -> Option<Timestamp> {
    rng.random_bool(probability)
        .then(|| now.plus(Duration::from_millis(rng.random_range(100..20_000))))
}

/// What [`Keys::new_command_id`] gives, but from the seed.
fn draw_id(rng: &mut StdRng, shard: Shard, now: Timestamp) -> CommandId {
    let random = draw_uuid(rng, now).as_u128() & !0xffff;
    CommandId::from_uuid(Uuid::from_u128(random | u128::from(shard.number())))
}

fn draw_uuid(rng: &mut StdRng, now: Timestamp) -> Uuid {
    Builder::from_unix_timestamp_millis(now.as_millis(), &rng.random()).into_uuid()
}
