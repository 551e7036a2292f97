//! What a replica accepts for a lane that it empties itself: marked at once and handed over, where that can harm nobody.

use std::{sync::Arc, time::Duration};

use amqp::envelope::{NativeOrder, OrderedServer};
use anyhow::{Context, Result, bail};
use broker::{
    dispatch::tenure::Tenure,
    store::{
        Accepted, BatchLimits, Bounds, Gone, KeptRecord, Keys, Lane, Placed, Store, StoredCommand,
    },
    translate::{Planned, PlannedExecution},
};
use domain::{
    Ceiling, Command, ConfigurationId, Fidelity, NativeCall, Operation, Place, Scope, Selector,
    Server, State, Timestamp,
    command::WhenImpossible,
    operation::{CustomOperation, PurgeMode},
};
use service::configuration::SecretUrl;
use tests::{redis::connect, shared, wait};
use uuid::Uuid;

const BOUNDS: Bounds = Bounds {
    outbox: 100,
    open: u64::MAX,
    window: 12,
    report: Duration::from_mins(1),
};
const LIMITS: BatchLimits = BatchLimits {
    entries: 100,
    bytes: 1_000_000,
    window: BOUNDS.window,
};
const LEASE: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(20);

/// A store, and one lane of it.
struct Stage {
    prefix: String,
    store: Store,
    lane: Lane,
}

async fn stage() -> Result<Stage> {
    let url = SecretUrl::parse(&shared()?.redis)?;
    let prefix = format!("{}:", Uuid::now_v7());
    let store = Store::connect(&url, Keys::new(&prefix, 1)).await?;
    let shard = store.keys().shard(0).context("the first shard")?;
    let lane = Lane {
        shard,
        participant: "birch".parse()?,
    };
    Ok(Stage {
        prefix,
        store,
        lane,
    })
}

impl Stage {
    /// Somebody takes the lease and has read the outbox, which is empty.
    async fn owner(&self, holder: &str) -> Result<Tenure> {
        let lease = self.store.own(&self.lane, holder, LEASE).await?;
        let lease = lease.context("a free lease")?;
        let handed = self
            .store
            .handing_over(&self.lane, &lease, Arc::default(), || true);
        let mut tenure = Tenure::new(lease, handed);
        self.read(&mut tenure).await?;
        Ok(tenure)
    }

    /// Reads the outbox; the sequences of what is there.
    async fn read(&self, tenure: &mut Tenure) -> Result<Vec<u64>> {
        let reading = self.store.next_entries(&self.lane, &tenure.gone, LIMITS);
        let batch = reading.await?;
        tenure.has_read(batch.reach);
        tenure.has_dealt_with(batch.reach);
        Ok(batch.entries.iter().map(|entry| entry.sequence).collect())
    }

    async fn accept(&self, planned: &Planned) -> Result<Vec<Placed>> {
        self.accept_within(planned, BOUNDS).await
    }

    async fn accept_within(&self, planned: &Planned, bounds: Bounds) -> Result<Vec<Placed>> {
        match self.store.accept(planned, bounds).await? {
            Accepted::New(places) => Ok(places),
            other => bail!("it was answered with {other:?}"),
        }
    }

    /// What may not be repeated.
    fn once(&self) -> Result<Planned> {
        let mut once = self.purge()?;
        once.command.operation = Operation::Custom(CustomOperation {
            name: "charge".parse()?,
            repeatable: false,
            parameters: [].into(),
        });
        Ok(once)
    }

    /// A purge of everything for the lane's participant alone.
    fn purge(&self) -> Result<Planned> {
        let configuration: ConfigurationId = "shop".parse()?;
        let server = Arc::new(Server {
            id: "birch-1".parse()?,
            participant: self.lane.participant.clone(),
            dialect: "varnish".parse()?,
            address: "127.0.0.1:80".parse()?,
            place: Place::default(),
        });
        let ordered = OrderedServer {
            id: server.id.clone(),
            address: server.address.clone(),
        };
        let native = NativeOrder {
            mapping: None,
            limits: domain::NativeLimits::NONE,
            dialect: "varnish".parse()?,
            servers: vec![ordered],
            calls: vec![NativeCall::new("PURGE", Some("www.example"), "/", vec![0])],
        };
        let command = Command {
            id: Keys::new_command_id(self.lane.shard),
            originator: "alder".parse()?,
            configuration,
            operation: Operation::Purge(PurgeMode::Delete),
            selectors: vec![Selector::Everything],
            scope: Scope::default(),
            ceiling: Ceiling::default(),
            when_impossible: WhenImpossible::Skip,
            request_id: None,
            accepted_at: Timestamp::from_millis(1_000),
            verification: None,
            not_before: None,
            expires_at: None,
            traceparent: None,
            tracestate: None,
        };
        Ok(Planned {
            command,
            submitted_by: "participant/alder".to_owned(),
            approve_until: None,
            without_servers: Vec::new(),
            executions: vec![PlannedExecution {
                participant: self.lane.participant.clone(),
                fidelity: Fidelity::Exact,
                servers: vec![server],
                native: vec![native],
            }],
        })
    }
}

fn place(sequence: u64, is_dispatched: bool) -> Placed {
    Placed {
        sequence,
        is_dispatched,
    }
}

/// It need not be read back, and what the caller is told is what the store would tell.
#[tokio::test]
async fn what_its_owner_accepts_is_marked_and_handed_over() -> Result<()> {
    let stage = stage().await?;
    let mut owner = stage.owner("one").await?;
    let planned = stage.purge()?;
    let places = stage.accept(&planned).await?;
    assert_eq!(places, [place(1, true)]);
    let handed = owner.take(LIMITS);
    assert_eq!(handed.len(), 1);
    assert_eq!(
        (handed[0].sequence, handed[0].command),
        (1, planned.command.id)
    );
    let order: serde_json::Value = serde_json::from_str(handed[0].order.get())?;
    assert_eq!(order["sequence"], 1);

    let stored = stage.store.command(planned.command.id).await?;
    let stored = stored.context("it is stored")?;
    assert_eq!(stored.executions[0].state, State::Dispatched);
    // Whoever watches on from the acceptance, which is revision 1, is told.
    assert_eq!((stored.revision, stored.executions[0].revision), (2, 2));
    assert!(stored.executions[0].deadline.is_some());
    assert_eq!(
        StoredCommand::accepted(planned, &places),
        stored.as_accepted()
    );

    // It stands in the outbox all the same: who takes over after a crash finds it.
    assert_eq!(stage.read(&mut owner).await?, [1]);
    Ok(())
}

/// Who comes at once with many others shares a few calls with them, two of which are under way at a time: each has a place of its
/// own, all are handed over in the order of their places, and the audit log has a record of each, whichever way its pages are turned.
#[tokio::test]
async fn many_at_once_have_their_places_in_order() -> Result<()> {
    const MANY: u64 = 400;
    const PAGE: usize = 7;
    let stage = stage().await?;
    let mut owner = stage.owner("one").await?;
    let bounds = Bounds {
        outbox: MANY,
        window: 4 * MANY,
        ..BOUNDS
    };
    let planned = (0..MANY).map(|_| stage.purge());
    let planned = planned.collect::<Result<Vec<_>>>()?;
    let accepting = planned
        .iter()
        .map(|planned| stage.accept_within(planned, bounds));
    let places = futures::future::try_join_all(accepting).await?;
    let mut by_place: Vec<_> = places.concat().into_iter().zip(&planned).collect();
    by_place.sort_unstable_by_key(|(place, _)| place.sequence);
    let given = by_place.iter().map(|(given, _)| *given);
    assert!(given.eq((1..=MANY).map(|sequence| place(sequence, true))));

    let mut handed = Vec::new();
    while handed.len() < planned.len() {
        let taken = owner.take(LIMITS);
        assert!(!taken.is_empty(), "{} were taken", handed.len());
        handed.extend(taken.into_iter().map(|entry| entry.command));
    }
    let commands = by_place.iter().map(|(_, planned)| planned.command.id);
    assert!(commands.eq(handed));

    let (store, shard) = (&stage.store, stage.lane.shard);
    let all = store.audit_after(shard, "0-0", 1_000).await?;
    assert_eq!(all.len() as u64, MANY);
    let (mut onwards, mut backwards) = (Vec::new(), Vec::new());
    let (mut behind, mut before) = ("0-0".to_owned(), "+".to_owned());
    while onwards.len() < all.len() {
        onwards.extend(store.audit_after(shard, &behind, PAGE).await?);
        backwards.extend(store.audit_before(shard, &before, PAGE).await?);
        let last = |records: &[KeptRecord]| records.last().map(|record| record.id.clone());
        behind = last(&onwards).context("a page")?;
        before = last(&backwards).context("a page")?;
    }
    assert_eq!(onwards, all);
    backwards.reverse();
    assert_eq!(backwards, all);
    assert_eq!(store.seal_audit(shard).await? as u64, MANY);
    assert_eq!(store.seal_audit(shard).await?, 0);
    Ok(())
}

/// Whoever asks first drives the call of all that come meanwhile, and may give up: the others are answered, and what was asked for
/// is written all the same.
#[tokio::test]
async fn who_gives_up_stops_nobody() -> Result<()> {
    const OTHERS: u64 = 8;
    let stage = stage().await?;
    let (first, others) = (stage.purge()?, (0..OTHERS).map(|_| stage.purge()));
    let others = others.collect::<Result<Vec<_>>>()?;
    let mut driving = Box::pin(stage.accept(&first));
    assert!(futures::poll!(&mut driving).is_pending(), "it asks Redis");
    let mut waiting = Box::pin(futures::future::try_join_all(
        others.iter().map(|other| stage.accept(other)),
    ));
    assert!(
        futures::poll!(&mut waiting).is_pending(),
        "they wait for it"
    );
    drop(driving);
    let places = tokio::time::timeout(SOON, waiting).await;
    let places = places.context("they wait for who gave up")??.concat();
    let given = places.iter().map(|place| place.sequence);
    assert!(
        given.eq(2..=OTHERS + 1),
        "the first has its place: {places:?}"
    );
    let stored = stage.store.command(first.command.id).await?;
    assert!(stored.is_some(), "it was written");
    Ok(())
}

/// An acceptance that ends half way leaves no request that names nothing: the same request is not taken for accepted.
#[tokio::test]
async fn what_failed_half_way_is_no_earlier_request() -> Result<()> {
    let stage = stage().await?;
    let mut redis = connect(&shared()?.redis).await?;
    // A place that nobody gave, so that the next one does not fit behind it.
    let mut broken = redis::cmd("XADD");
    broken.arg(format!("{}{{s0}}:outbox:birch", stage.prefix));
    broken.arg("99-1").arg("c").arg("").arg("o").arg("");
    broken.exec_async(&mut redis).await?;
    let mut planned = stage.purge()?;
    planned.command.request_id = Some(Uuid::now_v7().to_string().parse()?);
    for _ in 0..2 {
        let accepted = stage.store.accept(&planned, BOUNDS).await;
        assert!(accepted.is_err(), "{accepted:?}");
    }
    Ok(())
}

/// What may not be repeated, what expires, and what a quarter of the window has no room for is marked right before it is sent.
#[tokio::test]
async fn what_could_harm_is_not_marked_ahead() -> Result<()> {
    let stage = stage().await?;
    let mut owner = stage.owner("one").await?;
    let once = stage.once()?;
    let mut expiring = stage.purge()?;
    expiring.command.expires_at = Some(Timestamp::from_millis(u64::MAX >> 12));
    assert_eq!(stage.accept(&once).await?, [place(1, false)]);
    assert_eq!(stage.accept(&expiring).await?, [place(2, false)]);
    // Something is missing in between, so nothing is taken that was handed over behind it.
    for sequence in 3..=5 {
        assert_eq!(
            stage.accept(&stage.purge()?).await?,
            [place(sequence, true)]
        );
    }
    assert_eq!(stage.accept(&stage.purge()?).await?, [place(6, false)]);
    assert!(owner.take(LIMITS).is_empty());
    assert_eq!(stage.read(&mut owner).await?, [1, 2, 3, 4, 5, 6]);
    Ok(())
}

/// What waits in front and is not marked finds room, even where the lane keeps half of its window free; and what is marked behind it
/// is not counted as out.
#[tokio::test]
async fn what_is_not_marked_finds_room_in_front() -> Result<()> {
    let stage = stage().await?;
    let owner = stage.owner("one").await?;
    assert_eq!(stage.accept(&stage.once()?).await?, [place(1, false)]);
    for _ in 0..8 {
        stage.accept(&stage.purge()?).await?;
    }
    let progress = stage.store.progress(&stage.lane.participant).await?;
    assert_eq!((progress.waiting, progress.unreported), (9, 0));
    let half = BatchLimits {
        window: BOUNDS.window / 2,
        ..LIMITS
    };
    let reading = stage.store.next_entries(&stage.lane, &owner.gone, half);
    let batch = reading.await?;
    assert_eq!(batch.entries.first().map(|entry| entry.sequence), Some(1));
    Ok(())
}

/// Another replica, whose acceptances nobody marks, fills pages of the outbox in front of what the owner marks: each
/// execution is counted once all the same.
#[tokio::test]
async fn what_stands_far_behind_and_is_marked_waits_and_is_not_out() -> Result<()> {
    let stage = stage().await?;
    let owner = stage.owner("one").await?;
    let url = SecretUrl::parse(&shared()?.redis)?;
    let other = Store::connect(&url, stage.store.keys().clone()).await?;
    let roomy = Bounds {
        outbox: 1_000,
        window: 1_000,
        ..BOUNDS
    };
    assert_eq!(
        stage.accept_within(&stage.purge()?, roomy).await?,
        [place(1, true)]
    );
    for _ in 0..250 {
        let accepted = other.accept(&stage.purge()?, roomy).await?;
        assert!(matches!(&accepted, Accepted::New(places) if !places[0].is_dispatched));
    }
    assert_eq!(
        stage.accept_within(&stage.purge()?, roomy).await?,
        [place(252, true)]
    );
    let progress = stage.store.progress(&stage.lane.participant).await?;
    assert_eq!((progress.waiting, progress.unreported), (252, 0));
    // What has left the outbox is out, however much waits behind it.
    let gone = Gone {
        sequences: vec![1],
        ..Gone::default()
    };
    stage.store.forget_entries(&stage.lane, &gone).await?;
    let progress = stage.store.progress(&stage.lane.participant).await?;
    assert_eq!((progress.waiting, progress.unreported), (251, 1));
    drop(owner);
    Ok(())
}

/// RabbitMQ that takes long to confirm: nothing more is marked when it is accepted, and what was handed over is still sent.
#[tokio::test]
async fn a_slow_confirm_ends_marking_ahead() -> Result<()> {
    let stage = stage().await?;
    let mut owner = stage.owner("one").await?;
    assert_eq!(stage.accept(&stage.purge()?).await?, [place(1, true)]);
    // It is confirmed when nothing more is marked, and never else; there is room for more than the outbox takes.
    let roomy = Bounds {
        window: 8 * BOUNDS.outbox,
        ..BOUNDS
    };
    let not_marked = wait::until(SOON, "nothing is marked any more", async || {
        let places = stage.accept_within(&stage.purge()?, roomy).await?;
        let last = places.into_iter().find(|place| !place.is_dispatched);
        last.context("it is marked")
    });
    let mut seen = None;
    let slow = async {
        seen = Some(not_marked.await);
        Ok(())
    };
    owner.confirmed(slow, None).await?;
    let last = seen.context("it was waited for")??.sequence;
    assert_eq!(owner.take(LIMITS).len() as u64, last - 1);
    let all: Vec<_> = (1..=last).collect();
    assert_eq!(stage.read(&mut owner).await?, all);
    Ok(())
}

/// Who has lost the lease without noticing it marks nothing.
#[tokio::test]
async fn an_old_lease_marks_nothing() -> Result<()> {
    let stage = stage().await?;
    let owner = stage.owner("one").await?;
    stage.store.release(&stage.lane, &owner.lease).await?;
    let other = Store::own(&stage.store, &stage.lane, "other", LEASE).await?;
    assert!(other.is_some());
    assert_eq!(stage.accept(&stage.purge()?).await?, [place(1, false)]);
    Ok(())
}

/// Nothing is handed to who has fallen behind, until it has read the outbox to its end.
#[tokio::test]
async fn who_fell_behind_reads_the_outbox() -> Result<()> {
    let stage = stage().await?;
    let mut owner = stage.owner("one").await?;
    stage.accept(&stage.purge()?).await?;
    owner.fell_behind();
    assert!(owner.take(LIMITS).is_empty());
    assert_eq!(stage.accept(&stage.purge()?).await?, [place(2, false)]);
    assert_eq!(stage.read(&mut owner).await?, [1, 2]);
    assert_eq!(stage.accept(&stage.purge()?).await?, [place(3, true)]);
    assert_eq!(owner.take(LIMITS).len(), 1);
    Ok(())
}
