//! The gRPC side under callers who are slow, silent, many, or do not keep to the protocol: they harm themselves alone.

mod raw;

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use proto::v1;
use tests::{
    federation::{Client, Federation, Program, purge},
    shared, wait,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::raw::{Raw, reset};
use super::identity::{Guarded, tell};

const SOON: Duration = Duration::from_secs(20);
/// Resets that one connection sends (CVE-2023-44487).
const RESETS: u32 = 10_000;

/// A broker in plain text with these settings.
async fn start(settings: &str) -> Result<(Federation, Program)> {
    let mut federation = Federation::start(shared()?).await?;
    federation.broker_settings = settings.to_owned();
    let broker = federation.broker("broker").await?;
    Ok((federation, broker))
}

async fn list(client: &mut Client) -> Result<(), Status> {
    let request = v1::ListParticipantsRequest::default();
    client.registry.list_participants(request).await.map(|_| ())
}

/// Whether the caller's own HTTP/2 gave the call up before any of it was sent, because its connection closed just then: hyper's
/// client says so of what it had not begun ("connection closed"), and whoever calls repeats it on the next connection.
fn was_never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.to_string() == "connection closed" {
            return status.code() == Code::Cancelled;
        }
        source = error.source();
    }
    false
}

/// Waits until the broker has ended a connection.
async fn ended(stream: &mut TcpStream) -> Result<()> {
    let mut bytes = [0; 4096];
    let reading = async { while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(SOON, reading)
        .await
        .context("the connection stays open")
}

/// Hundreds of callers who connect and say nothing keep nobody from shaking hands, and do not delay the end.
#[tokio::test]
async fn handshakes_that_stand_still_are_in_nobodys_way() -> Result<()> {
    let settings = "[connections]\nhandshakes = 8\nhandshake_time = \"2m\"\n";
    let guarded = Guarded::start(settings).await?;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(guarded.address()).await?);
    }
    let ops = guarded.pki.issue("operator/ops")?;
    let began = Instant::now();
    for _ in 0..5 {
        list(&mut guarded.client(&ops)?).await?;
    }
    let calls = began.elapsed();
    ensure!(calls < SOON, "five handshakes took {calls:?}");
    // The oldest gave way.
    ended(silent.first_mut().context("there are many")?).await?;
    let (mut broker, began) = (guarded.broker, Instant::now());
    // On a thread of its own: the clients of before say goodbye meanwhile.
    let ending = tokio::task::spawn_blocking(move || {
        broker.process.terminate();
        (broker.process.exit_status(), broker.process.log_tail())
    });
    let (status, log) = ending.await?;
    let end = began.elapsed();
    let ended_well = status.is_some_and(|status| status.success());
    ensure!(ended_well, "it ended with {status:?}\n{log}");
    tell(&format!(
        "beside 300 half-open handshakes: five calls {calls:?}, end {end:?}"
    ));
    Ok(())
}

/// A caller who connects and never begins, in plain text too, is shown out.
#[tokio::test]
async fn who_says_nothing_is_shown_out() -> Result<()> {
    let (_federation, broker) = start("[connections]\nhandshake_time = \"1s\"\n").await?;
    ended(&mut TcpStream::connect(broker.address).await?).await?;
    Ok(())
}

/// Ten thousand calls that are reset as soon as they are made: the others are answered as before, and the broker goes on.
#[tokio::test]
async fn ten_thousand_resets_harm_nobody_else() -> Result<()> {
    let (federation, broker) = start("").await?;
    let mut other = federation.client(&broker, "operator/ops")?;
    list(&mut other).await?;
    let attack = async {
        let mut raw = Raw::open(broker.address).await?;
        for number in 0..RESETS {
            // Where the broker has hung up, that is its good right.
            if raw.send(&reset(2 * number + 1)).await.is_err() {
                return Ok(number);
            }
        }
        anyhow::Ok(RESETS)
    };
    let calls = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let began = Instant::now();
            list(&mut other).await?;
            slowest = slowest.max(began.elapsed());
        }
        anyhow::Ok(slowest)
    };
    let (sent, slowest) = tokio::try_join!(attack, calls)?;
    list(&mut federation.client(&broker, "operator/ops")?).await?;
    tell(&format!(
        "resets sent until the broker hung up: {sent} of {RESETS}; the others' slowest call {slowest:?}"
    ));
    Ok(())
}

/// A caller who opens more streams than were granted has those past the limit refused, and no call of anybody else.
#[tokio::test]
async fn streams_past_the_limit_are_refused() -> Result<()> {
    let (federation, broker) = start("[connections]\nstreams = 4\n").await?;
    let mut raw = Raw::open(broker.address).await?;
    for number in 0..20 {
        raw.call(2 * number + 1).await?;
    }
    let refused = raw.count_resets(16).await?;
    assert_eq!(refused, 16, "REFUSED_STREAM or the end of the connection");
    list(&mut federation.client(&broker, "operator/ops")?).await?;
    Ok(())
}

/// Headers, in one block or in endless parts, and messages have a size.
#[tokio::test]
async fn what_is_too_large_is_refused() -> Result<()> {
    let (federation, broker) = start("[limits]\nrequest_bytes = \"64KiB\"\n").await?;
    let mut ops = federation.client(&broker, "operator/ops")?;
    let long = "x".repeat(100 << 10);
    let participant = v1::Participant {
        id: "a".to_owned(),
        display_name: long.clone(),
        ..v1::Participant::default()
    };
    let refused = ops.put_participant(participant).await;
    let refused = refused.expect_err("it is too large").downcast::<Status>()?;
    said_of_what_is_too_large(&refused)?;
    a_stream_ends_at_what_is_too_large(&federation, &broker, &mut ops).await?;
    let mut request = tonic::Request::new(v1::ListParticipantsRequest::default());
    request.metadata_mut().insert("x-long", long.parse()?);
    assert!(ops.registry.list_participants(request).await.is_err());
    // CVE-2024-27316: a header block that never ends.
    let mut raw = Raw::open(broker.address).await?;
    ensure!(raw.endless_headers().await < 64 << 20, "it reads on and on");
    list(&mut federation.client(&broker, "operator/ops")?).await?;
    Ok(())
}

/// In our words: which field, and which rule.
fn said_of_what_is_too_large(refused: &Status) -> Result<()> {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let details = refused
        .get_details_bad_request()
        .context("it has details")?;
    let violation = details.field_violations.first().context("a field")?;
    assert_eq!(violation.field, "request");
    let rule = "must be at most 65536 bytes (limits.request_bytes)";
    assert_eq!(violation.description, rule);
    Ok(())
}

/// What came before it is answered, and its own bytes are taken for no commands.
async fn a_stream_ends_at_what_is_too_large(
    federation: &Federation,
    broker: &Program,
    ops: &mut Client,
) -> Result<()> {
    ops.create_participant("a").await?;
    ops.open_shop("a", ("varnish", ([127, 0, 0, 1], 9).into()))
        .await?;
    let mut a = federation.client(broker, "participant/a")?;
    let request = |tag: String| v1::SubmitCommandsRequest {
        tag,
        draft: Some(purge(&["http://www.shop.example/"])),
        ..v1::SubmitCommandsRequest::default()
    };
    let before = request("before".to_owned());
    // Taken for beginnings of messages, its zeros would be empty ones.
    let requests = [
        before,
        request("\0".repeat(100 << 10)),
        request("x".to_owned()),
    ];
    let answers = a.commands.submit_commands(futures::stream::iter(requests));
    let mut answers = answers.await?.into_inner();
    let first = answers.message().await?.context("an answer")?;
    assert_eq!(first.tag, "before");
    let refused = answers.message().await;
    said_of_what_is_too_large(&refused.expect_err("it is too large"))
}

/// A caller who asks and never reads is cut off, however many answers wait for it.
#[tokio::test]
async fn who_reads_nothing_is_cut_off() -> Result<()> {
    let settings = "[connections]\nwrite_time = \"1s\"\n";
    let (federation, broker) = start(settings).await?;
    let mut raw = Raw::open(broker.address).await?;
    let cut = tokio::time::timeout(3 * SOON, raw.ping_without_reading()).await;
    cut.context("the broker keeps who reads nothing")?;
    list(&mut federation.client(&broker, "operator/ops")?).await?;
    Ok(())
}

/// At its age a connection is left by its caller without a call lost; a stream ends after the grace, so that it can be resumed
/// elsewhere.
#[tokio::test]
async fn a_connection_that_is_too_old_is_renewed_without_a_dropped_call() -> Result<()> {
    let (federation, broker) = start("[connections]\nage = \"2s\"\ngrace = \"2s\"\n").await?;
    let mut ops = federation.client(&broker, "operator/ops")?;
    ops.create_participant("a").await?;
    ops.open_shop("a", ("varnish", ([127, 0, 0, 1], 9).into()))
        .await?;
    let mut a = federation.client(&broker, "participant/a")?;
    let command = a.submit(purge(&["http://www.shop.example/"])).await?;
    let request = v1::WatchCommandRequest {
        command_id: command.id,
        ..v1::WatchCommandRequest::default()
    };
    let mut watched = a.commands.watch_command(request).await?.into_inner();
    let began = Instant::now();
    let (mut calls, mut unsent) = (0, 0);
    let status = loop {
        tokio::select! {
            answer = watched.message() => {
                if let Err(status) = answer {
                    break status;
                }
            }
            called = async { list(&mut ops.clone()).await } => {
                match called {
                    Err(status) if was_never_sent(&status) => unsent += 1,
                    called => called?,
                }
                calls += 1;
                ensure!(began.elapsed() < SOON, "the stream stays open");
            }
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("connect anew"), "{status}");
    tell(&format!(
        "calls over a connection's age: {calls}, dropped: 0, not sent by their client: {unsent}"
    ));
    // Its client gives up one at most each time that it connects anew.
    ensure!(
        unsent <= 10 && calls > 10 * unsent,
        "{unsent} of {calls} calls were not sent"
    );
    Ok(())
}

/// One caller's connections are bounded, so that it cannot take the others' places; a place that is left can be taken.
#[tokio::test]
async fn a_caller_has_so_many_connections_and_no_more() -> Result<()> {
    let guarded = Guarded::start("[connections]\nmost_of_one_caller = 2\n").await?;
    let (greedy, other) = (
        guarded.pki.issue("participant/a")?,
        guarded.pki.issue("operator/ops")?,
    );
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = guarded.client(&greedy)?;
        list(&mut client).await?;
        kept.push(client);
    }
    assert!(list(&mut guarded.client(&greedy)?).await.is_err());
    list(&mut guarded.client(&other)?).await?;
    kept.pop();
    let free = async || match guarded.client(&greedy) {
        Ok(mut client) => list(&mut client).await.is_ok(),
        Err(_) => false,
    };
    wait::until(SOON, "the place that was left is free", free).await?;
    Ok(())
}

/// Open streams count as calls: past the limit a call is refused with the time of the next try, and a stream that ends makes room.
#[tokio::test]
async fn open_calls_have_a_limit() -> Result<()> {
    let (federation, broker) = start("[limits]\nopen_calls = 2\n").await?;
    federation
        .client(&broker, "operator/ops")?
        .create_participant("a")
        .await?;
    let mut a = federation.client(&broker, "participant/a")?;
    let submit = async |client: &mut Client| {
        let (open, drafts) = tokio::sync::mpsc::channel::<v1::SubmitCommandsRequest>(1);
        let drafts = futures::stream::unfold(drafts, |mut drafts| async move {
            drafts.recv().await.map(|draft| (draft, drafts))
        });
        let answers = client.commands.submit_commands(drafts).await?;
        Ok::<_, Status>((open, answers))
    };
    let first = submit(&mut a.clone()).await?;
    let _second = submit(&mut a.clone()).await?;
    let status = list(&mut a).await.expect_err("two are open");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    drop(first);
    let room = async || list(&mut a.clone()).await.is_ok();
    wait::until(SOON, "there is room again", room).await?;
    Ok(())
}
