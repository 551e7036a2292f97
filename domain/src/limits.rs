//! Every limit on what a command or a registry record may hold, once, by name.
//!
//! Invariant: a limit here is the widest that any deployment accepts; configuration may only lower it.

/// Characters in an id that people choose (participant, server, configuration, …). The length of a DNS label.
pub const ID_LENGTH: usize = 63;
/// Characters in a URL, prefix or wildcard. CloudFront takes 4,000 in a path, most caches 8,192 in a line.
pub const URL_LENGTH: usize = 4_096;
/// Characters in a regular expression.
pub const REGEX_LENGTH: usize = 512;
/// Bytes that a compiled regular expression may take: a bound on its cost.
pub const REGEX_SIZE: usize = 256 * 1024;
/// Characters in a tag. CloudFront takes 256, Akamai 128.
pub const TAG_LENGTH: usize = 256;
/// Selectors in one command.
pub const SELECTORS_PER_COMMAND: usize = 1_000;
/// Participants, servers or places named in one scope.
pub const SCOPE_ENTRIES: usize = 1_000;
/// Host names of one configuration.
pub const HOSTS_PER_CONFIGURATION: usize = 100;
/// Servers named in one deployment.
pub const SERVERS_PER_DEPLOYMENT: usize = 10_000;
/// Executions of one command, which is participants that carry its configuration.
pub const EXECUTIONS_PER_COMMAND: usize = 1_000;
/// Characters in a display name, a place's part, or an address.
pub const LABEL_LENGTH: usize = 200;
/// Characters of a native system's own words that a fault keeps.
pub const FAULT_MESSAGE_LENGTH: usize = 500;
/// Parameters of a custom operation.
pub const PARAMETERS_PER_OPERATION: usize = 50;
/// Operations that a participant declares of its own invocation system.
pub const CAPABILITIES_PER_PARTICIPANT: usize = 100;
/// Limits of one call that a participant's record names; no dialect knows as many units.
pub const NATIVE_LIMITS_PER_PARTICIPANT: usize = 20;
/// Public keys that one sender may have at a time: one that goes, one that comes, and room for more than one adapter.
pub const SIGNING_KEYS: usize = 16;
/// Findings that one server's result keeps; all further ones are only counted.
pub const FINDINGS_PER_RESULT: usize = SELECTORS_PER_COMMAND;
/// Bytes of what one participant is told for one command, as JSON. RabbitMQ 4 takes messages of up to 16 MiB.
pub const ORDER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of what all participants of one command are told, as JSON.
pub const COMMAND_BYTES: usize = 32 * 1024 * 1024;
/// Tries of one server's part that its result tells of.
pub const TRIES_PER_RESULT: usize = 10;
/// States of one execution that its history tells of; the oldest are forgotten first, but for the very first.
pub const HISTORY_ENTRIES: usize = 32;
/// URLs of one command that are looked at afterwards, on each of its servers.
pub const PROBES_PER_COMMAND: usize = 20;
/// How far ahead a command may be scheduled, in seconds: 30 days.
pub const NOT_BEFORE_SECONDS: u64 = 30 * 24 * 60 * 60;
