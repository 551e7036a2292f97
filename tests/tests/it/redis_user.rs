//! The broker's user at Redis: it can do what a broker does in its store, and nothing else.
//!
//! A federation that is restricted runs its brokers as such a user (`tests::federation`).

use std::{fs, path::Path};

use anyhow::{Context, Result};
use broker::store::Keys;
use redis::{ErrorKind, FromRedisValue, Value};
use tests::{
    binaries,
    federation::{Federation, purge},
    redis::{Redis, connect, put_user},
    shared,
};

fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Compose makes its users from this file; `broker redis-acl` prints the same for any other prefix.
#[test]
fn the_file_of_rules_is_what_the_broker_does() -> Result<()> {
    let file = root().join("config/redis/broker.acl");
    let rules = format!("{}\n", broker::store::rules(&Keys::new("", 1)));
    if std::env::var_os("UPDATE_RULES").is_some() {
        fs::write(&file, &rules)?;
    }
    assert_eq!(fs::read_to_string(file)?, rules);
    Ok(())
}

/// As an operator does it: the broker prints a file of users, Redis starts with it, and knows nobody else. A command goes its
/// whole way, and what a broker has no business with is refused by name.
#[tokio::test]
async fn a_broker_works_as_the_user_that_it_prints_and_can_do_no_more() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("broker.toml");
    let url = "redis://broker:p%40ssword@127.0.0.1:1/";
    fs::write(
        &file,
        format!("[store]\nprefix = \"x:\"\n[redis]\nurl = \"{url}\"\n"),
    )?;
    let mut command = std::process::Command::new(binaries::broker()?);
    let printed = command
        .arg("--config")
        .arg(&file)
        .arg("redis-acl")
        .output()?;
    anyhow::ensure!(printed.status.success(), "{printed:?}");
    assert!(printed.stderr.is_empty(), "{printed:?}");
    let users = String::from_utf8(printed.stdout)?;
    assert!(
        users.lines().all(|line| line.starts_with("user ")),
        "{users}"
    );
    assert!(
        !users.contains("p@ssword") && users.starts_with("user default off\n"),
        "{users}"
    );
    let acl = folder.path().join("users.acl");
    fs::write(&acl, users)?;

    let redis = Redis::start_with(&["--aclfile", &acl.to_string_lossy()]).await?;
    let address = redis.url().replace("redis://", "");
    let mut stranger = connect(&redis.url()).await?;
    let refused = redis::cmd("PING").query_async::<Value>(&mut stranger).await;
    assert!(refused.is_err(), "{refused:?}");
    let mut broker = connect(&format!("redis://broker:p%40ssword@{address}")).await?;
    let mut ask = async |words: &str| {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(word);
        }
        let answer: redis::RedisResult<Value> = command.query_async(&mut broker).await;
        answer
    };
    ask("SET x:{s0}:sequences 1").await?;
    for words in [
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET *",
        "CONFIG SET appendonly no",
        "KEYS *",
        "SCAN 0",
        "ACL LIST",
        "ACL WHOAMI",
        "SHUTDOWN",
        "MODULE LIST",
        "REPLICAOF no one",
        "CLIENT LIST",
        "MONITOR",
        "INFO",
        "SAVE",
        "RENAME x:{s0}:sequences y",
        "GET other",
        "GET {s0}:sequences",
        "SET y:{s0}:sequences 1",
        "HGETALL {registry}:participants",
        "PUBLISH x:{s0}:elsewhere 1",
        "SUBSCRIBE everything",
        "EVAL return(1) 0",
        "SWAPDB 0 1",
        "SELECT 1",
    ] {
        let error = ask(words)
            .await
            .err()
            .with_context(|| format!("{words} was done"))?;
        let said = format!("{:?} {error}", error.kind());
        assert!(
            said.contains("NOPERM") || said.contains("NoPerm") || said.contains("permission"),
            "{words}: {said}"
        );
    }
    Ok(())
}

/// Two federations in one Redis: each sees its own.
#[tokio::test]
async fn a_federation_does_not_see_anothers_keys() -> Result<()> {
    let shared = shared()?;
    let federation = Federation::restricted(shared.clone(), "").await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    operator.create_participant("a").await?;
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    operator.deploy("shop", "a").await?;
    let mut owner = federation.client(&broker, "participant/a")?;
    let mut adapter = federation.scripted("a")?;
    operator
        .create_server("a-1", "a", "varnish", "127.0.0.1:9".parse()?)
        .await?;
    owner.submit(purge(&["http://www.shop.example/a"])).await?;
    adapter.carry_out().await?;

    let name = format!("{}reader", tests::prefix());
    let rules = broker::store::rules(&Keys::new(&format!("{name}:"), 1));
    put_user(&shared.redis, &name, "x", &rules).await?;
    let url = shared
        .redis
        .replace("redis://", &format!("redis://{name}:x@"));
    let mut neighbour = connect(&url).await?;
    let key = format!("{}{{registry}}:participants", federation.prefix());
    let read = redis::cmd("HGETALL")
        .arg(key)
        .query_async::<Value>(&mut neighbour)
        .await;
    let error = read.err().context("it was read")?;
    assert_ne!(error.kind(), ErrorKind::Io, "{error}");
    let own = format!("{name}:{{registry}}:participants");
    let own = redis::cmd("HGETALL")
        .arg(own)
        .query_async::<Value>(&mut neighbour)
        .await?;
    assert!(Vec::<String>::from_redis_value(own)?.is_empty());
    Ok(())
}
