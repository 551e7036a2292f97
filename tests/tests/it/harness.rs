//! The harness itself: what the other tests rely on without looking.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use redis::AsyncCommands;
use serde_json::json;
use tests::{
    binaries, http,
    origin::{Object, Origin},
    ports, prefix,
    process::Process,
    rabbitmq::RabbitMq,
    redis::{Redis, connect},
    shared::{self, shared},
    wait,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Many tests ask for ports at the same time, and all get different ones on which a server can listen.
#[test]
fn ports_are_given_once_and_can_be_listened_on() -> Result<()> {
    let given = (0..100)
        .map(|_| ports::free())
        .collect::<Result<Vec<_>>>()?;
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
    for port in given {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    }
    Ok(())
}

/// A server whose main process forks: freezing, killing and dropping reach what it forked.
#[tokio::test]
async fn a_process_ends_with_all_that_it_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 600 & echo $!; wait"]);
    let process = Process::start("forking", folder.path(), command)?;
    let forked = wait::until(LIMIT, "the log names the forked process", async || {
        std::fs::read_to_string(process.log())?
            .trim()
            .parse::<u32>()
            .context("no number yet")
    })
    .await?;
    process.pause()?;
    process.resume()?;
    drop(process);
    wait::until(LIMIT, "the forked process is gone", async || {
        is_gone(forked)
    })
    .await
}

/// A server that cannot start says why in the error, because nobody looks into a log file of a deleted folder.
#[tokio::test]
async fn a_failed_start_shows_the_end_of_the_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(["-c", "echo no such option >&2; exit 3"]);
    let mut process = Process::start("broken", folder.path(), command)?;
    let error = process
        .ready(LIMIT, async || false)
        .await
        .expect_err("it ended");
    let text = format!("{error:#}");
    assert!(
        text.contains("exit status: 3") && text.contains("no such option"),
        "{text}"
    );
    Ok(())
}

/// Waiting in vain ends at the limit, and tells what was waited for and what was there instead.
#[tokio::test]
async fn a_wait_in_vain_says_what_it_saw_last() {
    let look = async || Err::<(), _>("4 messages");
    let error = wait::until(Duration::from_millis(50), "the queue is empty", look).await;
    let text = error.expect_err("it never is").to_string();
    assert!(
        text.contains("the queue is empty") && text.ends_with("4 messages"),
        "{text}"
    );
}

/// The shared servers answer, and two tests never use the same names on them.
#[tokio::test]
async fn the_shared_servers_answer() -> Result<()> {
    let shared = shared()?;
    assert_ne!(prefix(), prefix());
    tests::rabbitmq::Management::new(&shared.management)?
        .get("overview")
        .await?;
    let mut redis = connect(&shared.redis).await?;
    let missing: Option<String> = redis.get(prefix()).await?;
    assert_eq!(missing, None);
    Ok(())
}

/// What Redis answered is there after SIGKILL.
#[tokio::test]
async fn redis_keeps_what_it_answered_when_it_is_killed() -> Result<()> {
    let mut server = Redis::start().await?;
    let mut connection = connect(&server.url()).await?;
    let () = connection.set("name", "value").await?;
    server.process().kill9();
    server.restart().await?;
    let mut connection = connect(&server.url()).await?;
    let kept: String = connection.get("name").await?;
    assert_eq!(kept, "value");
    Ok(())
}

/// A restarted node has its queues and users, on the same port, and a control command finds it.
#[tokio::test]
async fn rabbitmq_keeps_queues_and_users_over_a_restart() -> Result<()> {
    let mut server = RabbitMq::start().await?;
    let management = server.management()?;
    let queue = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    management
        .call(reqwest::Method::PUT, "queues/%2f/kept", Some(queue))
        .await?;
    management
        .put_user("somebody", "secret", ["^$", "^$", "^kept$"])
        .await?;
    server.restart().await?;
    assert_eq!(management.queue("kept").await?["type"], "quorum");
    assert!(server.control(&["list_users"]).await?.contains("somebody"));
    let address = server.amqp_url().replace("guest:guest", "somebody:secret");
    lapin::Connection::connect(&address, lapin::ConnectionProperties::default()).await?;
    Ok(())
}

/// An object changes at the origin when the test says so; the origin knows who asked how often.
#[tokio::test]
async fn the_origin_serves_what_it_is_told_and_counts() -> Result<()> {
    let origin = Origin::start().await?;
    let url = format!("http://{}/a?b=c", origin.address());
    origin.set("/a?b=c", Object::new("one").tagged(&["red", "blue"]));
    let first = http()
        .get(&url)
        .header("host", "www.example.com")
        .send()
        .await?;
    assert_eq!(first.headers()["xkey"], "red blue");
    let entity_tag = first.headers()["etag"].clone();
    let same = http()
        .get(&url)
        .header("if-none-match", &entity_tag)
        .send()
        .await?;
    assert_eq!(same.status(), 304);
    origin.set("/a?b=c", Object::new("two"));
    let changed = http()
        .get(&url)
        .header("if-none-match", &entity_tag)
        .send()
        .await?;
    assert_eq!(changed.text().await?, "two");
    origin.set("/a?b=c", Object::failing(503));
    assert_eq!(http().get(&url).send().await?.status(), 503);
    assert_eq!(origin.fetches("www.example.com", "/a?b=c"), 1);
    assert_eq!(
        (origin.fetches_of("/a?b=c"), origin.fetches_in_all()),
        (4, 4)
    );
    Ok(())
}

/// `make test` fails when a test fails: the code comes through.
#[tokio::test]
async fn with_servers_ends_with_the_code_of_its_command() -> Result<()> {
    let mut command = tokio::process::Command::new(binaries::path("with-servers")?);
    command.args([
        "--",
        "sh",
        "-c",
        "test -n \"$FEDERATION_TEST_AMQP\" && exit 7",
    ]);
    let output = command.kill_on_drop(true).output().await?;
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        String::from_utf8(output.stderr)?,
        "",
        "silent when all is well"
    );
    Ok(())
}

/// Somebody kills the whole run with SIGKILL: RabbitMQ, its port mapper and Redis end all the same.
/// Only their folders stay behind, here in a folder that the test deletes.
#[tokio::test]
async fn servers_end_when_their_starter_is_killed() -> Result<()> {
    let mut command = tokio::process::Command::new(binaries::path("with-servers")?);
    command.args([
        "--",
        "sh",
        "-c",
        "ps -o pid=,comm= --ppid $PPID; kill -KILL $PPID",
    ]);
    let folder = tempfile::tempdir()?;
    command.env("TMPDIR", folder.path());
    for variable in [shared::AMQP, shared::MANAGEMENT, shared::REDIS] {
        command.env_remove(variable);
    }
    let output = command.kill_on_drop(true).output().await?;
    let listing = String::from_utf8(output.stdout)?;
    for server in ["beam.smp", "epmd", "redis-server"] {
        assert!(listing.contains(server), "{server} ran: {listing}");
    }
    for line in listing.lines() {
        let pid = line
            .split_whitespace()
            .next()
            .context("a process id")?
            .parse()?;
        wait::until(LIMIT, &format!("{line} is gone"), async || is_gone(pid)).await?;
    }
    Ok(())
}

/// Gone, or dead and not yet fetched by the one who adopted it.
fn is_gone(pid: u32) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).map_or(
        true,
        |stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" Z"))
        },
    )
}
