//! Commands that are taken back, that expire, that wait for their time, and requests that are repeated.

use std::time::{Duration, SystemTime};

use ::amqp::envelope::ReportedOutcome;
use anyhow::{Context, Result};
use broker::store::{Keys, Lane, Store};
use domain::Evidence;
use proto::v1;
use tests::{
    federation::purge,
    http,
    relay::{Relay, Weather},
    shared, wait,
};

use crate::stage::{Stage, stage};

mod repeated;

const SOON: Duration = Duration::from_secs(20);
const URL: &str = "http://www.shop.example/x";
const WINDOW_OF_ONE: &str = "[outbox]\nwindow = 1";

/// The same, with a link between broker and RabbitMQ that can be cut.
async fn stage_with_relay() -> Result<(Stage, Relay)> {
    let direct = shared()?.amqp;
    let (head, tail) = direct.split_once('@').context("a user in the address")?;
    let (behind, virtual_host) = tail.split_once('/').context("a virtual host")?;
    let relay = Relay::start(behind.parse()?).await?;
    let through = format!("{head}@{}/{virtual_host}", relay.address());
    Ok((stage(&format!("[amqp]\nurl = \"{through}\"")).await?, relay))
}

fn cut(relay: &Relay) {
    relay.set(Weather {
        refuses: true,
        ..Weather::default()
    });
    relay.cut();
}

impl Stage {
    async fn cancel(&mut self, id: &str) -> Result<v1::CancelCommandResponse> {
        let request = v1::CancelCommandRequest {
            command_id: id.to_owned(),
        };
        Ok(self
            .owner
            .commands
            .cancel_command(request)
            .await?
            .into_inner())
    }

    /// The participant's execution of a command once it is in this state.
    async fn becomes(&self, id: &str, expected: v1::ExecutionState) -> Result<v1::Execution> {
        let what = format!("the execution is {expected:?}");
        wait::until(SOON, &what, async || {
            let command = self.owner.clone().get(id).await.ok()?;
            let execution = command.executions.into_iter().next()?;
            (execution.state() == expected).then_some(execution)
        })
        .await
    }

    /// Nothing is due, nothing is out and nothing waits: what has settled left nothing behind.
    async fn nothing_is_left(&self) -> Result<()> {
        let url = toml::Value::String(self.federation.shared().redis.clone()).try_into()?;
        let store = Store::connect(&url, Keys::new(self.federation.prefix(), 1)).await?;
        let shard = store.keys().shards().next().context("a shard")?;
        let lane = Lane {
            shard,
            participant: "a".parse()?,
        };
        wait::until(SOON, "nothing waits, is out or is due", async || {
            let state = store.outbox_state(&lane).await?;
            let due = store.next_due(shard).await?;
            anyhow::ensure!(
                state.waiting == 0 && state.unreported == 0 && due.is_none(),
                "{state:?}, due {due:?}"
            );
            anyhow::Ok(())
        })
        .await
    }
}

fn states(execution: &v1::Execution) -> Vec<v1::ExecutionState> {
    let states = execution.history.iter().map(v1::StateChange::state);
    states.collect()
}

fn in_time(span: Duration) -> prost_types::Timestamp {
    (SystemTime::now() + span).into()
}

/// A purge of the URL, not before and only until these times from now.
fn timed(not_before: Option<Duration>, expires: Option<Duration>) -> v1::CommandDraft {
    v1::CommandDraft {
        not_before: not_before.map(in_time),
        expire_time: expires.map(in_time),
        ..purge(&[URL])
    }
}

fn not_before(moment: SystemTime) -> v1::CommandDraft {
    v1::CommandDraft {
        not_before: Some(moment.into()),
        ..purge(&[URL])
    }
}

/// While RabbitMQ is away everything waits, so a cancel is certain; what expires there ends within seconds of its time.
#[tokio::test]
async fn without_rabbitmq_a_cancel_is_certain_and_expiry_goes_on() -> Result<()> {
    let (mut stage, relay) = stage_with_relay().await?;
    // One command goes through, so that the lane has its owner.
    let before = stage.owner.submit(purge(&[URL])).await?;
    stage.a.carry_out().await?;
    stage.owner.settled(&before.id, SOON).await?;
    cut(&relay);
    let (ready, client) = (format!("http://{}/readyz", stage.broker.signals), http());
    wait::until(SOON, "the broker knows that RabbitMQ is away", async || {
        let answer = client.get(&ready).send().await.ok()?.text().await.ok()?;
        answer.contains("publish").then_some(())
    })
    .await?;
    let waiting = stage.owner.submit(purge(&[URL])).await?;
    let cancelled = stage.owner.submit(purge(&[URL])).await?;
    let expiring = stage
        .owner
        .submit(timed(None, Some(Duration::from_secs(5))))
        .await?;
    let answer = stage.cancel(&cancelled.id).await?;
    assert_eq!(answer.cancelled_participant_ids, ["a"], "{answer:?}");
    let expired = stage
        .becomes(&expiring.id, v1::ExecutionState::Expired)
        .await?;
    let over = expiring.draft.and_then(|draft| draft.expire_time);
    let over = SystemTime::try_from(over.context("a time")?)?;
    let ended = SystemTime::try_from(expired.change_time.context("a time")?)?;
    let late = ended.duration_since(over).context("it came too early")?;
    assert!(late < Duration::from_secs(10), "{late:?} late");
    stage
        .becomes(&waiting.id, v1::ExecutionState::Accepted)
        .await?;
    relay.heal();
    let orders = stage.a.carry_out().await?;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].execution.command.to_string(), waiting.id);
    stage.owner.settled(&waiting.id, SOON).await?;
    assert_eq!(
        states(
            &stage
                .becomes(&cancelled.id, v1::ExecutionState::Cancelled)
                .await?
        ),
        [v1::ExecutionState::Accepted, v1::ExecutionState::Cancelled]
    );
    stage.nothing_is_left().await
}

/// What is out is asked for once, ahead of what the window holds back; the adapter leaves it, and the state says so.
#[tokio::test]
async fn a_cancel_of_what_is_out_is_asked_and_reported() -> Result<()> {
    let mut stage = stage(WINDOW_OF_ONE).await?;
    let first = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    let second = stage.owner.submit(purge(&[URL])).await?;
    for _ in 0..2 {
        let answer = stage.cancel(&first.id).await?;
        assert_eq!(answer.sent_participant_ids, ["a"], "{answer:?}");
    }
    let (asked, more, cancels) = stage.a.next_with_cancels().await?;
    assert!(more.is_empty(), "the second one is held back");
    assert_eq!(cancels, [orders[0].execution.clone()]);
    let dispatched = stage
        .becomes(&first.id, v1::ExecutionState::Dispatched)
        .await?;
    assert!(dispatched.cancel_request_time.is_some() && dispatched.deadline.is_some());
    stage
        .a
        .report(&orders[0], ReportedOutcome::Cancelled)
        .await?;
    delivery.ack().await?;
    asked.ack().await?;
    let cancelled = stage
        .becomes(&first.id, v1::ExecutionState::Cancelled)
        .await?;
    assert_eq!(
        states(&cancelled),
        [
            v1::ExecutionState::Accepted,
            v1::ExecutionState::Dispatched,
            v1::ExecutionState::Cancelled
        ]
    );
    assert!(cancelled.deadline.is_none());
    let answer = stage.cancel(&first.id).await?;
    assert_eq!(answer.settled_participant_ids, ["a"], "{answer:?}");
    stage.a.carry_out().await?;
    stage.owner.settled(&second.id, SOON).await?;
    let line = "broker_cancels_asked_total{participant=\"a\"} 1";
    stage.broker.shows(SOON, line).await?;
    stage.nothing_is_left().await
}

/// The adapter was faster than the cancel: the command is done, and says that a cancel was asked. A report that it was cancelled
/// comes too late.
#[tokio::test]
async fn a_cancel_that_comes_too_late_changes_nothing() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    stage.cancel(&command.id).await?;
    let (asked, _, _) = stage.a.next_with_cancels().await?;
    stage
        .a
        .report(&orders[0], ReportedOutcome::Done(Evidence::Reported))
        .await?;
    let done = stage.becomes(&command.id, v1::ExecutionState::Done).await?;
    assert!(done.cancel_request_time.is_some());
    // Reports are taken side by side: this one is sent when the first has been taken, and looked for when both have.
    stage
        .a
        .report(&orders[0], ReportedOutcome::Cancelled)
        .await?;
    delivery.ack().await?;
    asked.ack().await?;
    let both = "broker_reports_total{result=\"applied\"} 2";
    stage.broker.shows(SOON, both).await?;
    let after = stage.owner.get(&command.id).await?;
    assert_eq!(after.executions, [done], "it does not move");
    stage.nothing_is_left().await
}

/// What is over while the window holds it back is never sent; of what is out the adapter decides, who knows the time: it stays as it
/// is although its time was over before.
#[tokio::test]
async fn what_expires_in_the_outbox_is_never_sent() -> Result<()> {
    let mut stage = stage(WINDOW_OF_ONE).await?;
    let out = stage
        .owner
        .submit(timed(None, Some(Duration::from_secs(5))))
        .await?;
    let (delivery, orders) = stage.a.next().await?;
    assert!(orders[0].expires_at.is_some());
    let waiting = stage
        .owner
        .submit(timed(None, Some(Duration::from_secs(8))))
        .await?;
    let later = stage.owner.submit(purge(&[URL])).await?;
    stage
        .becomes(&waiting.id, v1::ExecutionState::Expired)
        .await?;
    let still_out = stage.owner.get(&out.id).await?;
    assert_eq!(
        still_out.executions[0].state(),
        v1::ExecutionState::Dispatched
    );
    stage.a.report(&orders[0], ReportedOutcome::Expired).await?;
    delivery.ack().await?;
    stage.becomes(&out.id, v1::ExecutionState::Expired).await?;
    let orders = stage.a.carry_out().await?;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].execution.command.to_string(), later.id);
    assert_eq!(orders[0].sequence, 3);
    stage.owner.settled(&later.id, SOON).await?;
    stage.nothing_is_left().await
}

/// Scheduled commands wait outside the outbox; each takes the place in the order that it has at its time.
#[tokio::test]
async fn scheduled_commands_are_released_in_the_order_of_their_times() -> Result<()> {
    let mut stage = stage("").await?;
    let _second = stage.federation.broker("second").await?;
    let base = SystemTime::now();
    let at = |seconds| not_before(base + Duration::from_secs(seconds));
    let third = stage.owner.submit(at(8)).await?;
    let second = stage.owner.submit(at(6)).await?;
    let first = stage.owner.submit(purge(&[URL])).await?;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        for order in stage.a.carry_out().await? {
            seen.push((order.execution.command.to_string(), order.sequence));
        }
    }
    let now = SystemTime::now();
    let ids = [(&first.id, 1), (&second.id, 2), (&third.id, 3)];
    assert_eq!(seen, ids.map(|(id, sequence)| (id.clone(), sequence)));
    let due = third.draft.and_then(|draft| draft.not_before);
    let due = SystemTime::try_from(due.context("a time")?)?;
    let late = now.duration_since(due).context("it came too early")?;
    assert!(late < SOON, "{late:?} late");
    stage.owner.settled(&third.id, SOON).await?;
    stage.nothing_is_left().await
}

/// Until its time a scheduled command is nobody's: a cancel is certain, and so is its end when it expires at once.
#[tokio::test]
async fn a_scheduled_command_is_cancelled_for_certain() -> Result<()> {
    let mut stage = stage("").await?;
    let hour = Duration::from_hours(1);
    let cancelled = stage
        .owner
        .submit(timed(Some(hour), Some(2 * hour)))
        .await?;
    let answer = stage.cancel(&cancelled.id).await?;
    assert_eq!(answer.cancelled_participant_ids, ["a"], "{answer:?}");
    let soon = SystemTime::now() + Duration::from_secs(10);
    let due = stage.owner.submit(not_before(soon)).await?;
    let answer = stage.cancel(&due.id).await?;
    assert_eq!(answer.cancelled_participant_ids, ["a"], "{answer:?}");
    // When the time comes, this one is sent and the other is not.
    let sent = stage.owner.submit(not_before(soon)).await?;
    let orders = stage.a.carry_out().await?;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].execution.command.to_string(), sent.id);
    assert_eq!(orders[0].sequence, 1);
    stage.owner.settled(&sent.id, SOON).await?;
    stage.nothing_is_left().await
}

/// What is scheduled is bounded like the outbox, and keeps nobody from being told something now.
#[tokio::test]
async fn what_is_scheduled_is_bounded() -> Result<()> {
    let mut stage = stage("[outbox]\nlimit = 2").await?;
    let hour = Some(Duration::from_hours(1));
    let first = stage.owner.submit(timed(hour, None)).await?;
    stage.owner.submit(timed(hour, None)).await?;
    let full = stage
        .owner
        .submit(timed(hour, None))
        .await
        .expect_err("it is full");
    assert_eq!(full.code(), tonic::Code::ResourceExhausted);
    let now = stage.owner.submit(purge(&[URL])).await?;
    stage.a.carry_out().await?;
    stage.owner.settled(&now.id, SOON).await?;
    stage.cancel(&first.id).await?;
    stage.owner.submit(timed(hour, None)).await?;
    Ok(())
}

/// A time that is over, one that lies too far ahead, and an end before the beginning are refused by name.
#[tokio::test]
async fn times_that_make_no_sense_are_refused() -> Result<()> {
    let mut stage = stage("").await?;
    let day = Duration::from_hours(24);
    let passed = v1::CommandDraft {
        expire_time: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        ..purge(&[URL])
    };
    let cases = [
        passed,
        timed(Some(31 * day), None),
        timed(Some(2 * day), Some(day)),
    ];
    for draft in cases {
        let status = stage
            .owner
            .submit(draft.clone())
            .await
            .expect_err("it is refused");
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{draft:?}");
    }
    Ok(())
}
