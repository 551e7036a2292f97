//! Every key and channel of Redis, once.
//!
//! ```text
//! {s0}:command:<command>              hash    body; n: revision, how many executions are open, originator, when it expires;
//!                                             per participant s: state and moves, x: digest of its order and configuration,
//!                                             and the plan, r: report, c: when its cancel was asked, b: what absorbed it,
//!                                             o: its order while it is scheduled;
//!                                             q: the key of its request, where that has an id;
//!                                             a: what of a second person is asked for, p: what was given
//! {s0}:request:<originator>:<request> string  digest, command id and configuration of an earlier submit
//! {s0}:commands:<originator>          zset    command ids in order of acceptance (all scores 0)
//! {s0}:sequences                      hash    participant → executions counted so far
//! {s0}:outbox:<participant>           stream  orders that RabbitMQ has not confirmed yet, by sequence
//! {s0}:unreported:<participant>       zset    command ids that are out, by their deadline
//! {s0}:cancels:<participant>          zset    commands whose execution is to be left, until RabbitMQ has confirmed that
//! {s0}:scheduled                      zset    commands that wait for their time, by it
//! {s0}:approvals                      zset    commands that wait for a second person, by when that must have been
//! {s0}:scheduled-counts               hash    participant → executions that wait for their time
//! {s0}:expiring                       zset    commands with executions that have not settled, by the time they expire
//! {s0}:progress                       hash    r:<participant> → highest sequence read, h:<participant> → last heard
//! {s0}:owner:<participant>            string  the replica that dispatches, and its fencing token
//! {s0}:fences                         hash    participant → last fencing token
//! {s0}:receipts                       list    receipts that are not in a chain yet
//! {s0}:receipts:<configuration>       stream  the configuration's chain of receipts, by sequence
//! {s0}:receipt-heads                  hash    configuration → sequence and hash of its chain's end
//! {s0}:retire                         zset    settled command ids, those of a call together, by the time at which they are deleted
//! {s0}:open                           hash    originator → commands of it that have not settled
//! {s0}:audit                          stream  audit records in order, those of a call in one entry
//! {s0}:audit-seals                    stream  the chain over them, by the last record of each seal
//! {s0}:audit-head, {s0}:audit-anchor  hash    the latest seal; the one from which the chain is kept
//! {s0}:audit-sealer                   string  somebody seals at the moment
//! {s0}:wake, {s0}:changes             pub/sub outboxes that were filled; commands that changed
//! {registry}:participants, :servers, :configurations, :deployments   hashes id → record
//! {registry}:mappings                 hash    name.version → version of a mapping
//! {registry}:shards                   string  how many shards the store was begun with, and the layout of all these keys
//! {registry}:version, :log            the count of changes, and the latest of them, each with a random stamp
//! {registry}:turn:<participant>       string  who changes its part of RabbitMQ at the moment
//! {registry}:replicas                 zset    broker replicas by their last sign of life
//! ```
//!
//! Invariant: all keys of one script carry one hash tag, so every script stays in one slot of a Redis Cluster.

use domain::{CommandId, ConfigurationId, ParticipantId, RequestId};
use uuid::Uuid;

/// The bits of a command's UUID that hold its shard; 58 random ones remain.
const SHARD_BITS: u128 = 0xffff;

/// One part of the store: every key of it lives in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u16);

impl Shard {
    /// Its number, from 0.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Makes the names, all behind one prefix.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
    shards: u16,
}

impl Keys {
    /// All names begin with `prefix`; `shards` is at least 1.
    pub fn new(prefix: &str, shards: u16) -> Self {
        Self {
            prefix: prefix.to_owned(),
            shards: shards.max(1),
        }
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.shards).map(Shard)
    }

    /// The shard with this number; `None` where there are fewer.
    pub fn shard(&self, number: u16) -> Option<Shard> {
        (number < self.shards).then_some(Shard(number))
    }

    /// The shard of a configuration: all its commands, and so their order, live there.
    pub fn shard_of(&self, configuration: &ConfigurationId) -> Shard {
        let hash = stable_hash(configuration.as_str().as_bytes());
        Shard(u16::try_from(hash % u64::from(self.shards)).unwrap_or_default())
    }

    /// A new command id, a UUID of version 7, whose last 16 bits say the shard: the id alone finds the command.
    pub fn new_command_id(shard: Shard) -> CommandId {
        let random = Uuid::now_v7().as_u128() & !SHARD_BITS;
        CommandId::from_uuid(Uuid::from_u128(random | u128::from(shard.0)))
    }

    /// The shard that a command id names; `None` for an id that no broker of this store gave.
    pub fn shard_of_command(&self, id: CommandId) -> Option<Shard> {
        let number = u16::try_from(id.as_uuid().as_u128() & SHARD_BITS).ok()?;
        (number < self.shards).then_some(Shard(number))
    }

    fn named(&self, shard: Shard, rest: &str) -> String {
        format!("{}{{s{}}}:{rest}", self.prefix, shard.0)
    }

    pub(super) fn command(&self, shard: Shard, id: CommandId) -> String {
        self.named(shard, &format!("command:{id}"))
    }

    pub(super) fn request(
        &self,
        shard: Shard,
        originator: &ParticipantId,
        id: RequestId,
    ) -> String {
        self.named(shard, &format!("request:{originator}:{id}"))
    }

    pub(super) fn commands(&self, shard: Shard, originator: &ParticipantId) -> String {
        self.named(shard, &format!("commands:{originator}"))
    }

    pub(super) fn sequences(&self, shard: Shard) -> String {
        self.named(shard, "sequences")
    }

    pub(super) fn outbox(&self, shard: Shard, participant: &ParticipantId) -> String {
        self.named(shard, &format!("outbox:{participant}"))
    }

    pub(super) fn unreported(&self, shard: Shard, participant: &ParticipantId) -> String {
        self.named(shard, &format!("unreported:{participant}"))
    }

    pub(super) fn cancels(&self, shard: Shard, participant: &ParticipantId) -> String {
        self.named(shard, &format!("cancels:{participant}"))
    }

    pub(super) fn scheduled(&self, shard: Shard) -> String {
        self.named(shard, "scheduled")
    }

    pub(super) fn approvals(&self, shard: Shard) -> String {
        self.named(shard, "approvals")
    }

    pub(super) fn scheduled_counts(&self, shard: Shard) -> String {
        self.named(shard, "scheduled-counts")
    }

    pub(super) fn open(&self, shard: Shard) -> String {
        self.named(shard, "open")
    }

    pub(super) fn audit(&self, shard: Shard) -> String {
        self.named(shard, "audit")
    }

    pub(super) fn audit_seals(&self, shard: Shard) -> String {
        self.named(shard, "audit-seals")
    }

    pub(super) fn audit_head(&self, shard: Shard) -> String {
        self.named(shard, "audit-head")
    }

    pub(super) fn audit_anchor(&self, shard: Shard) -> String {
        self.named(shard, "audit-anchor")
    }

    pub(super) fn audit_sealer(&self, shard: Shard) -> String {
        self.named(shard, "audit-sealer")
    }

    pub(super) fn expiring(&self, shard: Shard) -> String {
        self.named(shard, "expiring")
    }

    pub(super) fn progress(&self, shard: Shard) -> String {
        self.named(shard, "progress")
    }

    pub(super) fn owner(&self, shard: Shard, participant: &ParticipantId) -> String {
        self.named(shard, &format!("owner:{participant}"))
    }

    pub(super) fn fences(&self, shard: Shard) -> String {
        self.named(shard, "fences")
    }

    pub(super) fn retire(&self, shard: Shard) -> String {
        self.named(shard, "retire")
    }

    pub(super) fn receipts(&self, shard: Shard) -> String {
        self.named(shard, "receipts")
    }

    pub(super) fn receipt_chain(&self, shard: Shard, configuration: &ConfigurationId) -> String {
        self.named(shard, &format!("receipts:{configuration}"))
    }

    pub(super) fn receipt_heads(&self, shard: Shard) -> String {
        self.named(shard, "receipt-heads")
    }

    pub(super) fn wake(&self, shard: Shard) -> String {
        self.named(shard, "wake")
    }

    pub(super) fn changes(&self, shard: Shard) -> String {
        self.named(shard, "changes")
    }

    /// What every key and channel of every shard begins with, as a pattern of Redis.
    pub(super) fn shard_pattern(&self) -> String {
        format!("{}{{s*}}:", literal(&self.prefix))
    }

    /// Every key of the registry, as a pattern of Redis.
    pub(super) fn registry_pattern(&self) -> String {
        format!("{}{{registry}}:*", literal(&self.prefix))
    }

    pub(super) fn registry(&self, rest: &str) -> String {
        format!("{}{{registry}}:{rest}", self.prefix)
    }
}

/// A text in which nothing is a pattern.
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}

/// FNV-1a: stable over versions and machines, which the standard library's hash is not. Not for secrets.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration's shard never changes, or its order would break: a published value of the hash.
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(stable_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    /// Whoever has a command's id finds its shard without asking.
    #[test]
    fn a_command_id_names_its_shard() {
        let keys = Keys::new("t:", 4);
        for shard in keys.shards() {
            let id = Keys::new_command_id(shard);
            assert_eq!(keys.shard_of_command(id), Some(shard));
            assert_eq!(id.as_uuid().get_version_num(), 7);
        }
        let foreign = Keys::new_command_id(Shard(9));
        assert_eq!(keys.shard_of_command(foreign), None);
    }
}
