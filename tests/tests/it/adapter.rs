//! The adapter as a process: dispatches published by hand, real RabbitMQ, real caches, and servers that can be held.

mod carrying_out;
mod interrupted;
mod invocation_system;
mod not_begun;
mod signed;
mod unreadable;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU16,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::amqp::{
    Consumer, ConsumerSettings, LinkSettings, Message, Provisioner, Publisher, PublisherSettings,
    QueueLimits, Topology,
    envelope::{
        DISPATCH_TYPE, ExecutionReport, NativeOrder, Order, OrderedServer, Report, ReportedOutcome,
    },
};
use anyhow::{Context, Result, ensure};
use axum::{Router, extract::Request, http::StatusCode};
use domain::{CommandId, ExecutionId, NativeCall, ParticipantId, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{binaries, prefix, process::Process, rabbitmq::Management, shared, wait};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long anything may take here, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// The content that orders are about.
const HOST: &str = "www.one.test";

/// A topology of its own with the participant `b`, and its adapter's folder and RabbitMQ user.
struct Stage {
    amqp: String,
    management: Management,
    prefix: String,
    topology: Topology,
    participant: ParticipantId,
    publisher: Publisher,
    replies: Consumer,
    folder: TempDir,
}

impl Stage {
    async fn new() -> Result<Self> {
        let shared = shared()?;
        let prefix = format!("{}.", prefix());
        let topology = Topology::new(&prefix, QueueLimits::default())?;
        let participant: ParticipantId = "b".parse()?;
        let link = |name: &str| LinkSettings::new(shared.amqp.clone().into(), name);
        let provisioner = Provisioner::new(link("provisioner"), topology.clone());
        provisioner.declare_base().await?;
        provisioner.declare_participant(&participant).await?;
        let settings = ConsumerSettings {
            queue: topology.replies_queue(),
            consumer_tag: "test".to_owned(),
            prefetch: NonZeroU16::new(100).context("100 is not 0")?,
        };
        let stage = Self {
            management: Management::new(&shared.management)?,
            publisher: Publisher::new(link("publisher"), PublisherSettings::default()),
            replies: Consumer::start(link("replies"), settings, &CancellationToken::new()),
            folder: TempDir::new()?,
            amqp: shared.amqp,
            prefix,
            topology,
            participant,
        };
        stage.add_user().await?;
        Ok(stage)
    }

    /// The adapter's own user configures nothing, writes to one exchange and reads one queue.
    async fn add_user(&self) -> Result<()> {
        let exactly = |name: String| format!("^{}$", name.replace('.', "\\."));
        let write = exactly(self.topology.entry_exchange(&self.participant));
        let read = exactly(self.topology.commands_queue(&self.participant));
        self.management
            .put_user(&self.user(), "secret", ["^$", &write, &read])
            .await
    }

    fn user(&self) -> String {
        format!("{}b", self.prefix)
    }

    /// Starts the adapter, for caches on this machine.
    fn adapter(&self) -> Result<Process> {
        self.adapter_with(&[("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]")])
    }

    /// Starts the adapter with these keys of its configuration.
    fn adapter_with(&self, keys: &[(&str, &str)]) -> Result<Process> {
        let url = self
            .amqp
            .replace("guest:guest@", &format!("{}:secret@", self.user()));
        let journal = self.folder.path().join("journal");
        let own = [
            ("PARTICIPANT", self.participant.as_str()),
            ("AMQP__URL", &url),
            ("AMQP__PREFIX", &self.prefix),
            ("JOURNAL__FOLDER", path(&journal)?),
            ("SIGNALS__LISTEN", "127.0.0.1:0"),
        ];
        let mut command = Command::new(binaries::adapter()?);
        for (key, value) in own.iter().chain(keys) {
            command.env(format!("ADAPTER__{key}"), value);
        }
        Process::start("adapter", self.folder.path(), command)
    }

    /// Publishes one dispatch, as the broker does.
    async fn dispatch(&self, orders: &[Value]) -> Result<()> {
        self.dispatch_with(orders, json!({})).await
    }

    /// The same, with these members besides.
    async fn dispatch_with(&self, orders: &[Value], members: Value) -> Result<()> {
        let mut body = json!({ "participant": self.participant, "executions": orders });
        if let (Value::Object(body), Value::Object(members)) = (&mut body, members) {
            body.extend(members);
        }
        self.publish(DISPATCH_TYPE, serde_json::to_vec(&body)?)
            .await
    }

    async fn publish(&self, kind: &str, body: Vec<u8>) -> Result<()> {
        let message = Message {
            message_id: Uuid::now_v7().to_string(),
            kind: kind.to_owned(),
            app_id: "test".to_owned(),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            correlation_id: None,
            headers: BTreeMap::new(),
            body,
        };
        let exchange = self.topology.commands_exchange();
        self.publisher
            .publish(&exchange, self.participant.as_str(), &message)
            .await?;
        Ok(())
    }

    /// The next so many reports, by the order in which they came.
    async fn reports(&mut self, count: usize) -> Result<Vec<ExecutionReport>> {
        let mut reports = Vec::new();
        while reports.len() < count {
            let report = self.report_message().await;
            let report = report.with_context(|| format!("{} reports came", reports.len()))?;
            reports.extend(report.executions);
        }
        ensure!(
            reports.len() == count,
            "{} reports came instead of {count}",
            reports.len()
        );
        Ok(reports)
    }

    /// The next message with reports. How far the adapter has come, which it also says alone from time to time, is all in it.
    async fn report_message(&mut self) -> Result<Report> {
        let mut progress = Vec::new();
        loop {
            let mut report = self.message().await?;
            progress.append(&mut report.progress);
            if !report.executions.is_empty() {
                return Ok(Report { progress, ..report });
            }
        }
    }

    /// The next message.
    async fn message(&mut self) -> Result<Report> {
        let waiting = timeout(LIMIT, self.replies.next()).await;
        let delivery = waiting
            .context("no message came")?
            .context("the consumer ended")?;
        ensure!(delivery.exchange == self.topology.entry_exchange(&self.participant));
        let report: Report = serde_json::from_slice(&delivery.message.body)?;
        ensure!(report.participant == self.participant);
        delivery.ack().await?;
        Ok(report)
    }

    /// Waits until every dispatch is acknowledged.
    async fn settled(&self) -> Result<()> {
        let queue = self.topology.commands_queue(&self.participant);
        self.holds(&queue, 0).await
    }

    /// Waits until the queue holds so many messages, delivered ones included.
    async fn holds(&self, queue: &str, messages: u64) -> Result<()> {
        wait::until(LIMIT, &format!("{queue} holds {messages}"), async || {
            let state = self.management.queue(queue).await?;
            let held = state["messages"].as_u64();
            ensure!(held == Some(messages), "it holds {held:?}");
            Ok(())
        })
        .await
    }
}

/// A server that writes down what it is told. What begins with `/held` has no answer before it is released.
struct Server {
    address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    released: watch::Sender<bool>,
}

impl Server {
    async fn start() -> Result<Self> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (released, waiting) = watch::channel(false);
        let heard = Arc::clone(&told);
        let router = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let held = path.starts_with("/held");
            heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(path);
            let mut waiting = waiting.clone();
            async move {
                if held {
                    // An error means that the test is over.
                    let _ = waiting.wait_for(|released| *released).await;
                }
                StatusCode::OK
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            told,
            released,
        })
    }

    /// Everything that it was told, in order.
    fn told(&self) -> Vec<String> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often it was told this path.
    fn count(&self, path: &str) -> usize {
        self.told().iter().filter(|told| *told == path).count()
    }

    async fn is_told(&self, path: &str) -> Result<()> {
        wait::until(LIMIT, &format!("the server is told {path}"), async || {
            self.count(path) > 0
        })
        .await
    }

    fn release(&self) {
        self.released.send_replace(true);
    }

    /// An order that tells it one path.
    fn order(&self, configuration: &str, path: &str) -> Result<Order> {
        order(configuration, "varnish", self.address, vec![purge(path)])
    }
}

fn purge(path: &str) -> NativeCall {
    NativeCall::new("PURGE", Some(HOST), path, vec![0])
}

fn order(
    configuration: &str,
    dialect: &str,
    address: SocketAddr,
    calls: Vec<NativeCall>,
) -> Result<Order> {
    let command = CommandId::from_uuid(Uuid::now_v7());
    let servers = vec![OrderedServer {
        id: "b-1".parse()?,
        address: address.to_string().parse()?,
    }];
    Ok(Order {
        expires_at: None,
        tracestate: None,
        originator: None,
        probes: None,
        execution: ExecutionId {
            command,
            participant: "b".parse()?,
        },
        sequence: 1,
        configuration: configuration.parse()?,
        operation: "purge".to_owned(),
        repeatable: true,
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        native: vec![NativeOrder {
            mapping: None,
            limits: domain::NativeLimits::NONE,
            dialect: dialect.parse()?,
            servers,
            calls,
        }],
    })
}

fn json_of(orders: &[Order]) -> Result<Vec<Value>> {
    Ok(orders
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()?)
}

fn is_done(report: &ExecutionReport) -> bool {
    matches!(report.outcome, ReportedOutcome::Done(_))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary folder's path is text")
}
