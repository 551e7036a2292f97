//! What the broker does in Redis, as Redis' own list of users says it: which commands, on which keys and channels.
//!
//! Invariant: everything in this folder works with these rules, and nothing beyond it does. A test reads the sources beside
//! this file, so that a command that is new here is missed at once.
//! Not here: the names of keys (`keys`).

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use redis::IntoConnectionInfo as _;
use service::configuration::SecretUrl;

use super::{Keys, StoreError};

/// Every command that the store sends, in scripts too.
const COMMANDS: [&str; 37] = [
    "del",
    "evalsha",
    "exec",
    "get",
    "hdel",
    "hget",
    "hgetall",
    "hincrby",
    "hkeys",
    "hmget",
    "hscan",
    "hset",
    "hsetnx",
    "lrange",
    "ltrim",
    "multi",
    "pexpire",
    "publish",
    "rpush",
    "set",
    "setnx",
    "time",
    "unlink",
    "xadd",
    "xdel",
    "xlen",
    "xrange",
    "xread",
    "xrevrange",
    "xtrim",
    "zadd",
    "zcard",
    "zrange",
    "zrangebyscore",
    "zrem",
    "zremrangebyscore",
    "zscore",
];

/// What the client library sends besides, to load scripts, to look after its connections and to listen.
const OF_THE_CLIENT: [&str; 5] = ["ping", "script|load", "subscribe", "unsubscribe", "unwatch"];

/// The rules of a user who may do what the broker does in this store, and nothing else; for `ACL SETUSER` or a file of users,
/// behind `on` and a password.
pub fn rules(keys: &Keys) -> String {
    let shards = keys.shard_pattern();
    let mut rules = format!(
        "resetkeys resetchannels -@all ~{shards}* ~{} &{shards}wake &{shards}changes",
        keys.registry_pattern()
    );
    for command in COMMANDS.iter().chain(&OF_THE_CLIENT) {
        // Writing to a string does not fail.
        let _ = write!(rules, " +{command}");
    }
    rules
}

/// A file of users (`aclfile`) with the one of this URL alone. Its password stands there as its SHA-256. `None` where the URL
/// names no user or no password.
pub fn acl(keys: &Keys, url: &SecretUrl) -> Result<Option<String>, StoreError> {
    let address = url
        .expose()
        .into_connection_info()
        .map_err(StoreError::Address)?;
    let settings = address.redis_settings();
    let named = settings.username().zip(settings.password());
    Ok(named.map(|(user, password)| file(keys, user, password)))
}

fn file(keys: &Keys, user: &str, password: &str) -> String {
    let mut hash = String::new();
    for byte in digest(&SHA256, password.as_bytes()).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    format!("user default off\nuser {user} on #{hash} {}\n", rules(keys))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Methods of the client library that are a command under another name.
    const NAMES: [(&str, &str); 4] = [
        ("xrange_count", "xrange"),
        ("xrange_all", "xrange"),
        ("zrange_withscores", "zrange"),
        ("zrangebyscore_limit", "zrangebyscore"),
    ];

    /// Who sends a new command adds it to the list, and who sends one no longer takes it away: users of Redis are made by it.
    #[test]
    fn the_commands_are_those_of_the_sources() {
        let mut sources = String::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("access.rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
        let mut used = BTreeSet::from(["evalsha".to_owned()]);
        for opening in ["call('", "on_all('", "cmd(\"", "Cmd::"] {
            used.extend(words_behind(&sources, opening));
        }
        for method in words_behind(&sources, ".") {
            let name = NAMES.iter().find(|(other, _)| *other == method);
            let name = name.map_or(method.as_str(), |(_, command)| command);
            // Short ones are methods of others, too.
            if COMMANDS.contains(&name) && name.len() > 4 {
                used.insert(name.to_owned());
            }
        }
        if sources.contains(".atomic()") {
            used.extend(["multi".to_owned(), "exec".to_owned()]);
        }
        used.remove("ping");
        let listed: BTreeSet<_> = COMMANDS.iter().map(|&command| command.to_owned()).collect();
        assert_eq!(used, listed);
    }

    fn words_behind(text: &str, opening: &str) -> BTreeSet<String> {
        let words = text.split(opening).skip(1).map(|rest| {
            let word: String = rest
                .chars()
                .take_while(|one| one.is_ascii_alphabetic() || *one == '_')
                .collect();
            let word = word.to_ascii_lowercase();
            let name = NAMES.iter().find(|(other, _)| *other == word);
            name.map_or(word.clone(), |(_, command)| (*command).to_owned())
        });
        words.filter(|word| !word.is_empty()).collect()
    }

    /// A prefix may hold what means something in a pattern.
    #[test]
    fn a_prefix_means_itself() {
        let rules = rules(&Keys::new("a*[b]:", 1));
        assert!(
            rules.contains(r"~a\*\[b\]:{s*}:* ~a\*\[b\]:{registry}:*"),
            "{rules}"
        );
    }
}
