//! Instructions that the pure parts of the way take, counted by valgrind: steady on any machine, however busy.
//!
//! Invariant: what is counted is the difference of two runs of this program that differ in nothing but how often they go the
//! way, so start and end of the program are not in it.
//! Not here: time, and whatever waits for Redis, RabbitMQ or a disk.

use std::{env, hint::black_box, process::Command};

use amqp::envelope::{Dispatch, ExecutionReport, Order, Report as Reports, ReportedOutcome};
use anyhow::{Context as _, Result};
use broker::{
    directory::{Directory, Tables},
    dispatch::message,
    resolve::resolve,
    store::{Entry, Keys, Lane, Mark, Record},
    translate::{Planned, translate},
    verify::{Draft, Registered, verify},
};
use clap::ValueEnum;
use domain::{
    Agreement, Ceiling, Configuration, Deployment, Evidence, Operation, Outcome, Participant,
    Place, PurgeMode, Scope, Selector, Server, ServerResult, Timestamp, command::WhenImpossible,
    participant::OwnServers,
};

use crate::report::Report;

/// Executions in one message.
const BATCH: u64 = 100;
/// How much more often the longer run goes the way.
const TIMES: u64 = 100;

/// A way that waits for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Verify, resolve, translate, and the command as it is stored.
    Accept,
    /// The message of a batch, for each execution.
    DispatchEncode,
    /// The adapter reads the batch, for each execution.
    DispatchDecode,
    /// The adapter writes a batch of reports, for each execution.
    ReportEncode,
    /// The broker reads it, for each execution.
    ReportDecode,
}

/// Counts each way; nothing where valgrind is not installed.
pub(crate) fn count(report: &mut Report) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: no instructions are counted");
        return Ok(());
    }
    for way in Way::value_variants() {
        let name = way.to_possible_value().context("each way has a name")?;
        let name = name.get_name().replace('-', "_");
        let executions = if *way == Way::Accept { 1 } else { BATCH };
        let longer = instructions(*way, 1 + TIMES)?;
        let each = longer.saturating_sub(instructions(*way, 1)?) / TIMES / executions;
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        report.add(format!("instructions_{name}_per_execution"), each as f64);
    }
    Ok(())
}

fn instructions(way: Way, times: u64) -> Result<u64> {
    let name = way.to_possible_value().context("each way has a name")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["walk", name.get_name(), &times.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("Collected :"));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.with_context(|| format!("valgrind counted nothing:\n{text}"))
}

/// Goes a way so often.
pub(crate) fn walk(way: Way, times: u64) -> Result<()> {
    let directory = directory()?;
    let planned = plan(&directory)?;
    let orders = orders(&planned)?;
    let lane = lane()?;
    let message = message(&lane, &orders, &directory)?;
    let reports = reports(&orders)?;
    let report_body = serde_json::to_vec(&reports)?;
    for _ in 0..times {
        match way {
            Way::Accept => {
                let planned = plan(black_box(&directory))?;
                black_box(serde_json::to_string(&planned.command)?);
            }
            Way::DispatchEncode => {
                black_box(self::message(&lane, black_box(&orders), &directory)?);
            }
            Way::DispatchDecode => {
                let dispatch: Dispatch<'_> = serde_json::from_slice(black_box(&message))?;
                for order in dispatch.executions {
                    black_box(serde_json::from_str::<Order>(order.get())?);
                }
            }
            Way::ReportEncode => {
                black_box(serde_json::to_vec(black_box(&reports))?);
            }
            Way::ReportDecode => {
                black_box(serde_json::from_slice::<Reports>(black_box(&report_body))?);
            }
        }
    }
    Ok(())
}

fn directory() -> Result<Directory> {
    let mut tables = Tables::default();
    for id in ["owner", "cdn"] {
        tables.insert(Record::Participant(Participant {
            id: id.parse()?,
            display_name: String::new(),
            invocation_system: None,
            own_servers: OwnServers::Included,
            capabilities: Vec::new(),
            signing_keys: Vec::new(),
            native_limits: domain::NativeLimits::NONE,
        }));
    }
    tables.insert(Record::Server(Server {
        id: "server".parse()?,
        participant: "cdn".parse()?,
        dialect: "varnish".parse()?,
        address: "192.0.2.1:80".parse()?,
        place: Place::default(),
    }));
    tables.insert(Record::Configuration(Configuration {
        id: "shop".parse()?,
        customer: "customer".parse()?,
        owner: "owner".parse()?,
        hosts: vec!["shop.example".parse()?],
        wide_purges_need_approval: None,
    }));
    tables.insert(Record::Deployment(Deployment {
        id: "shop-cdn".parse()?,
        configuration: "shop".parse()?,
        participant: "cdn".parse()?,
        servers: Vec::new(),
        agreement: Agreement::Granted,
    }));
    let directory = Directory::default();
    *directory.write() = tables;
    Ok(directory)
}

fn plan(directory: &Directory) -> Result<Planned> {
    let draft = Draft {
        originator: "owner".parse()?,
        submitted_by: broker::ingress::Identity::Participant("owner".parse()?),
        configuration: None,
        operation: Operation::Purge(PurgeMode::Delete),
        selectors: vec![Selector::Url("http://shop.example/images/1.jpg".parse()?)],
        scope: Scope::Everywhere,
        ceiling: Ceiling::default(),
        when_impossible: WhenImpossible::Skip,
        verification: None,
        not_before: None,
        expires_at: None,
        request_id: None,
        traceparent: None,
        tracestate: None,
    };
    let now = Timestamp::from_millis(1_764_000_000_000);
    let verified = verify(draft, directory, &Registered::default(), now)?;
    let resolved = resolve(verified, directory)?;
    let keys = Keys::new("", 1);
    let id = Keys::new_command_id(keys.shard_of(&resolved.configuration.id));
    Ok(translate(resolved, id, now)?)
}

fn lane() -> Result<Lane> {
    Ok(Lane {
        shard: Keys::new("", 1).shard(0).context("there is one shard")?,
        participant: "cdn".parse()?,
    })
}

fn orders(planned: &Planned) -> Result<Vec<Entry>> {
    let execution = planned.executions.first().context("one is reached")?;
    let order = |sequence| {
        let order = Order {
            execution: domain::ExecutionId {
                command: planned.command.id,
                participant: execution.participant.clone(),
            },
            sequence,
            configuration: planned.command.configuration.clone(),
            originator: Some(planned.command.originator.clone()),
            operation: "purge".to_owned(),
            repeatable: true,
            accepted_at: planned.command.accepted_at,
            expires_at: None,
            traceparent: None,
            tracestate: None,
            native: execution.native.clone(),
            probes: None,
        };
        Ok(Entry {
            sequence,
            command: planned.command.id,
            order: serde_json::value::to_raw_value(&order)?,
        })
    };
    (1..=BATCH).map(order).collect()
}

fn message(lane: &Lane, orders: &[Entry], directory: &Directory) -> Result<Vec<u8>> {
    let marked: Vec<_> = orders.iter().map(|entry| (entry, &Mark::Send)).collect();
    let now = Timestamp::from_millis(1_764_000_000_000);
    Ok(message::of(lane, &marked, &[], &[], directory, now)?.body)
}

fn reports(orders: &[Entry]) -> Result<Reports> {
    let report = |entry: &Entry| {
        let order: Order = serde_json::from_str(entry.order.get())?;
        Ok(ExecutionReport {
            execution: order.execution,
            outcome: ReportedOutcome::Done(Evidence::Reported),
            results: vec![ServerResult {
                outcome: Outcome::Done(Evidence::Reported),
                attempts: 1,
                ..ServerResult::unknown("server".parse()?)
            }],
            reported_at: order.accepted_at,
            traceparent: None,
            absorbed_by: None,
            told: None,
        })
    };
    Ok(Reports {
        participant: "cdn".parse()?,
        executions: orders.iter().map(report).collect::<Result<_>>()?,
        progress: Vec::new(),
        receipts: None,
    })
}
