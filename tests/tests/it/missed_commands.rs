//! A participant that was away gets what it missed: compacted, in order, nothing lost; and everybody sees how far it is.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use amqp::envelope::{Absorbed, Dispatch, Order, ReportedOutcome};
use anyhow::{Context, Result};
use domain::Evidence;
use futures::StreamExt as _;
use proto::v1::{self, selector::Kind};
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, Program, load, purge, selector},
    shared, wait,
};
use tonic::Code;

const SOON: Duration = Duration::from_secs(30);
/// Executions that may be out: all others wait in the outbox.
const WINDOW: usize = 40;
const SETTINGS: &str = "[outbox]\nwindow = 40\n";
/// For longer nothing waits in a lane that keeps up.
const OLD: Duration = Duration::from_secs(3);
/// Pages that are purged again and again.
const PAGES: usize = 10;

/// One participant without an adapter.
struct Stage {
    federation: Federation,
    broker: Program,
    operator: Client,
    owner: Client,
}

async fn stage(settings: &str) -> Result<Stage> {
    let federation = Federation::with_settings(shared()?, settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for participant in ["a", "b"] {
        operator.create_participant(participant).await?;
    }
    operator
        .create_server("a1", "a", "varnish", ([127, 0, 0, 1], 1).into())
        .await?;
    for configuration in ["shop", "news"] {
        let host = format!("www.{configuration}.example");
        operator
            .create_configuration(configuration, "a", &[&host])
            .await?;
        operator.deploy(configuration, "a").await?;
    }
    let owner = federation.client(&broker, "participant/a")?;
    Ok(Stage {
        federation,
        broker,
        operator,
        owner,
    })
}

fn page(configuration: &str, number: usize) -> String {
    format!("http://www.{configuration}.example/{}", number % PAGES)
}

/// What came in one message.
struct Came {
    orders: Vec<Order>,
    absorbed: Vec<Absorbed>,
}

/// Takes a dispatch and reports all of it as done.
async fn carry_out(adapter: &mut ScriptedAdapter) -> Result<Came> {
    let (delivery, orders) = adapter.next().await?;
    let dispatch: Dispatch<'_> = serde_json::from_slice(&delivery.message.body)?;
    let absorbed = dispatch.absorbed;
    for order in &orders {
        let done = ReportedOutcome::Done(Evidence::Reported);
        adapter.report(order, done).await?;
    }
    adapter.report_absorbed(&delivery, &orders).await?;
    delivery.ack().await?;
    Ok(Came { orders, absorbed })
}

/// Takes dispatches until `count` executions have come, sent or absorbed.
async fn carry_out_all(adapter: &mut ScriptedAdapter, count: usize) -> Result<Vec<Came>> {
    let (mut all, mut came) = (Vec::new(), 0);
    while came < count {
        let one = carry_out(adapter).await?;
        came += one.orders.len() + one.absorbed.len();
        all.push(one);
    }
    Ok(all)
}

async fn progress(client: &Client) -> Result<Vec<v1::ParticipantProgress>> {
    let request = v1::ListParticipantProgressRequest::default();
    let mut registry = client.registry.clone();
    let answer = registry.list_participant_progress(request).await?;
    Ok(answer.into_inner().progress)
}

async fn progress_of(client: &Client, participant: &str) -> Result<v1::ParticipantProgress> {
    let mut all = progress(client).await?.into_iter();
    all.find(|one| one.participant_id == participant)
        .context("the participant has a progress")
}

/// The backlog is old enough to be one, and shows so: the oldest has waited for longer than any lane that keeps up.
async fn is_behind(client: &Client, count: usize) -> Result<v1::ParticipantProgress> {
    wait::until(SOON, "the participant is behind", async || {
        let progress = progress_of(client, "a").await.ok()?;
        let oldest = SystemTime::try_from(progress.oldest_time?).ok()?;
        let behind = progress.waiting + progress.unreported;
        (behind == count as u64 && oldest.elapsed().ok()? > OLD).then_some(progress)
    })
    .await
}

/// Submits all, in one stream; their ids in the order in which they were accepted.
async fn submit_all(owner: &Client, drafts: Vec<v1::CommandDraft>) -> Result<Vec<String>> {
    let requests = drafts.into_iter().map(|draft| v1::SubmitCommandsRequest {
        draft: Some(draft),
        ..v1::SubmitCommandsRequest::default()
    });
    let requests = futures::stream::iter(requests.collect::<Vec<_>>());
    let mut owner = owner.clone();
    let answers = owner.commands.submit_commands(requests).await?.into_inner();
    let ids = answers.map(|answer| match answer?.result {
        Some(v1::submit_commands_response::Result::CommandId(id)) => Ok(id),
        other => anyhow::bail!("not accepted: {other:?}"),
    });
    let mut accepted = Vec::new();
    for id in ids.collect::<Vec<_>>().await {
        let command = owner.get(&id?).await?;
        accepted.push((command.executions[0].sequence, command.id));
    }
    accepted.sort_unstable();
    Ok(accepted.into_iter().map(|(_, id)| id).collect())
}

/// Submits all, of which the first ones fill the window: each of them alone, when the one before is out. So none of these waits beside
/// another one, and however slow the machine is, the lane is behind only with what the window holds back. That is old at the end.
async fn submit_backlog(stage: &Stage, mut drafts: Vec<v1::CommandDraft>) -> Result<Vec<String>> {
    let held_back = drafts.split_off(WINDOW);
    let mut ids = Vec::new();
    for draft in drafts {
        ids.push(stage.owner.clone().submit(draft).await?.id);
        wait::until(SOON, "it is out", async || {
            let progress = progress_of(&stage.operator, "a").await?;
            let seen = (progress.waiting, progress.unreported);
            anyhow::ensure!(seen == (0, ids.len() as u64), "{progress:?}");
            Ok(())
        })
        .await?;
    }
    ids.extend(submit_all(&stage.owner, held_back).await?);
    let oldest = stage.owner.clone().get(&ids[WINDOW]).await?.accept_time;
    let oldest = SystemTime::try_from(oldest.context("a time")?)?;
    wait::until(SOON, "what is held back is old", async || {
        oldest.elapsed().is_ok_and(|age| age > OLD)
    })
    .await?;
    Ok(ids)
}

/// Several hundred purges of few pages, and a load between them, wait for a participant that is away. When its adapter
/// comes it carries out a few dozen executions; each purge that another does is said to be done by that one, the load
/// stays between what was before and after it, and everybody could see all the time how far behind the participant was.
#[tokio::test]
async fn a_participant_that_was_away_gets_few_executions_for_many_commands() -> Result<()> {
    let stage = stage(SETTINGS).await?;
    assert_eq!(
        progress_of(&stage.operator, "a").await?.accepted_sequence,
        0
    );
    let configurations = ["shop", "news"];
    let mut drafts = (0..400)
        .map(|number| purge(&[&page(configurations[number % 2], number)]))
        .collect::<Vec<_>>();
    drafts.insert(200, load(&[&page("shop", 0)]));
    let total = drafts.len();
    let ids = submit_backlog(&stage, drafts).await?;
    assert_eq!(ids.len(), total);

    let behind = is_behind(&stage.operator, total).await?;
    assert_eq!(behind.accepted_sequence, total as u64);
    assert_eq!((behind.read_sequence, &behind.heard_time), (0, &None));
    assert_eq!(behind.unreported, WINDOW as u64);

    let mut adapter = stage.federation.scripted("a")?;
    let came = carry_out_all(&mut adapter, total).await?;
    let orders = came.iter().flat_map(|one| &one.orders).collect::<Vec<_>>();
    // What was in the window had been sent before anybody could know of a backlog.
    let few = WINDOW + 6 * PAGES;
    assert!(orders.len() <= few, "{} executions came", orders.len());
    in_order(&orders, &came);

    let mut settled = BTreeMap::new();
    for id in &ids {
        let command = stage.owner.clone().settled(id, SOON).await?;
        let execution = command.executions[0].clone();
        assert_eq!(execution.state(), v1::ExecutionState::Done, "{id}");
        settled.insert(id.clone(), execution);
    }
    let absorbed = came.iter().map(|one| one.absorbed.len()).sum::<usize>();
    let shown = settled
        .values()
        .filter(|execution| !execution.absorbed_by_command_id.is_empty())
        .collect::<Vec<_>>();
    assert_eq!(shown.len(), absorbed);
    for execution in shown {
        let by = &settled[&execution.absorbed_by_command_id];
        assert!(by.sequence > execution.sequence && by.absorbed_by_command_id.is_empty());
    }

    let there = wait::until(SOON, "nothing is behind", async || {
        let progress = progress_of(&stage.owner, "a").await.ok()?;
        (progress.waiting + progress.unreported == 0 && progress.read_sequence == total as u64)
            .then_some(progress)
    })
    .await?;
    assert!(there.oldest_time.is_none() && there.heard_time.is_some());
    let line = format!("broker_absorbed_executions_total{{participant=\"a\"}} {absorbed}");
    stage.broker.shows(SOON, &line).await
}

/// Each came once, those of one configuration in the order of their acceptance, and nothing was absorbed over the load.
#[track_caller]
fn in_order(orders: &[&Order], came: &[Came]) {
    let mut last: BTreeMap<_, u64> = BTreeMap::new();
    for order in orders {
        let before = last.insert(&order.configuration, order.sequence);
        assert!(before.is_none_or(|before| before < order.sequence));
    }
    let load = orders
        .iter()
        .find(|order| order.operation == "load")
        .expect("the load came itself");
    for one in came {
        for absorbed in &one.absorbed {
            let by = one
                .orders
                .iter()
                .find(|order| order.sequence == absorbed.by);
            let by = by.expect("the absorber is in the same message");
            let over = absorbed.sequence < load.sequence && load.sequence < by.sequence;
            assert!(
                !over || by.configuration != load.configuration,
                "{absorbed:?}"
            );
        }
    }
}

/// One purge of everything at the end does the work of all before it, but for what is on its way already.
#[tokio::test]
async fn a_purge_of_everything_ends_a_backlog() -> Result<()> {
    let stage = stage(SETTINGS).await?;
    let drafts = (0..300)
        .map(|number| purge(&[&format!("http://www.shop.example/{number}")]))
        .collect::<Vec<_>>();
    let everything = v1::CommandDraft {
        selectors: vec![selector(Kind::Everything(v1::Everything {}))],
        configuration_id: "shop".to_owned(),
        ..purge(&[])
    };
    let mut ids = submit_backlog(&stage, drafts).await?;
    ids.extend(submit_all(&stage.owner, vec![everything]).await?);
    is_behind(&stage.operator, ids.len()).await?;
    let mut adapter = stage.federation.scripted("a")?;
    let came = carry_out_all(&mut adapter, ids.len()).await?;
    let last = came.last().context("something came")?;
    assert!(
        last.absorbed.len() >= 300 - WINDOW - WINDOW,
        "{}",
        last.absorbed.len()
    );
    for id in &ids {
        let command = stage.owner.clone().settled(id, SOON).await?;
        assert_eq!(command.executions[0].state(), v1::ExecutionState::Done);
    }
    Ok(())
}

/// What is taken back while it waits neither comes nor takes with it what it would have absorbed.
#[tokio::test]
async fn a_cancelled_absorber_leaves_the_others() -> Result<()> {
    let stage = stage(SETTINGS).await?;
    let drafts = (0..200).map(|number| purge(&[&page("shop", number)]));
    let ids = submit_backlog(&stage, drafts.collect()).await?;
    is_behind(&stage.operator, ids.len()).await?;
    let mut adapter = stage.federation.scripted("a")?;
    // Room for one: the broker looks at all that waits, and sends one.
    let (delivery, first) = adapter.next().await?;
    let done = || ReportedOutcome::Done(Evidence::Reported);
    adapter.report(&first[0], done()).await?;
    wait::until(SOON, "the backlog was looked at", async || {
        let progress = progress_of(&stage.operator, "a").await.ok()?;
        (progress.waiting < (ids.len() - WINDOW) as u64).then_some(())
    })
    .await?;
    // The last ones would do the work of all before them.
    let (kept, cancelled) = ids.split_at(ids.len() - PAGES);
    for id in cancelled {
        let request = v1::CancelCommandRequest {
            command_id: id.clone(),
        };
        let mut owner = stage.owner.clone();
        let answer = owner.commands.cancel_command(request).await?;
        assert_eq!(answer.into_inner().cancelled_participant_ids, ["a"]);
    }
    for order in &first[1..] {
        adapter.report(order, done()).await?;
    }
    delivery.ack().await?;
    carry_out_all(&mut adapter, kept.len() - first.len()).await?;
    for (ids, state) in [
        (kept, v1::ExecutionState::Done),
        (cancelled, v1::ExecutionState::Cancelled),
    ] {
        for id in ids {
            let command = stage.owner.clone().settled(id, SOON).await?;
            assert_eq!(command.executions[0].state(), state, "{id}");
        }
    }
    Ok(())
}

/// A replica that is killed while a backlog goes out leaves marked executions behind; the next one sends or absorbs them
/// anew, and none is lost.
#[tokio::test]
async fn a_backlog_survives_the_replica_that_sends_it() -> Result<()> {
    let mut stage = stage("[outbox]\nwindow = 40\nlease = \"2s\"\n").await?;
    let drafts = (0..400).map(|number| purge(&[&page("shop", number)]));
    let ids = submit_backlog(&stage, drafts.collect()).await?;
    is_behind(&stage.operator, ids.len()).await?;
    let second = stage.federation.broker("second").await?;
    let owner = stage.federation.client(&second, "participant/a")?;
    let mut adapter = stage.federation.scripted("a")?;
    carry_out(&mut adapter).await?;
    stage.broker.process.kill9();
    let left = async || {
        let progress = progress_of(&owner, "a").await.ok()?;
        (progress.waiting + progress.unreported == 0).then_some(())
    };
    let all_reported = async {
        while left().await.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::pin!(all_reported);
    // What came twice is reported twice. Nothing is left half-way: what was taken and not reported would not come again.
    loop {
        tokio::select! {
            () = &mut all_reported => break,
            carried_out = carry_out(&mut adapter) => drop(carried_out?),
        }
    }
    for id in &ids {
        let command = owner.clone().settled(id, SOON).await?;
        assert_eq!(
            command.executions[0].state(),
            v1::ExecutionState::Done,
            "{id}"
        );
    }
    Ok(())
}

/// A participant hears how far it is itself; an operator hears it of all.
#[tokio::test]
async fn a_participant_sees_its_own_progress_only() -> Result<()> {
    let stage = stage("").await?;
    let names = |all: Vec<v1::ParticipantProgress>| {
        let names = all.into_iter().map(|one| one.participant_id);
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(progress(&stage.operator).await?), ["a", "b"]);
    assert_eq!(names(progress(&stage.owner).await?), ["a"]);
    let first = v1::ListParticipantProgressRequest {
        page_size: 1,
        ..v1::ListParticipantProgressRequest::default()
    };
    let mut operator = stage.operator.clone();
    let page = operator.registry.list_participant_progress(first).await?;
    let page = page.into_inner();
    assert_eq!(names(page.progress), ["a"]);
    let rest = v1::ListParticipantProgressRequest {
        page_token: page.next_page_token,
        ..v1::ListParticipantProgressRequest::default()
    };
    let rest = operator.registry.list_participant_progress(rest).await?;
    assert_eq!(names(rest.into_inner().progress), ["b"]);
    let wrong = v1::ListParticipantProgressRequest {
        page_size: -1,
        ..v1::ListParticipantProgressRequest::default()
    };
    let refused = operator.registry.list_participant_progress(wrong).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    Ok(())
}
