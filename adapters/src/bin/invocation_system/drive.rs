//! Telling the servers: one execution after the other, its servers side by side, each in its own dialect.
//!
//! Invariant: executions are carried out in the order in which they were submitted, so those of one configuration are.

use std::{sync::Arc, time::Duration};

use adapters::{
    caches::{Caches, Surroundings},
    config,
};
use amqp::envelope::{NativeOrder, Order, OrderedServer};
use dialects::{
    Site,
    canonical::{ProgressState, ServerFault, ServerProgress, ServerState, Submission},
    fidelity_of,
};
use domain::{
    Command, ExecutionId, Fidelity, Server, fault::FaultCode, participant::ServerAddress,
};
use futures::{StreamExt, stream::FuturesUnordered};
use reqwest::redirect::Policy;
use service::trace::TraceContext;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Configuration, Failure, OwnServer,
    store::{Record, Store},
};

/// How long whoever wants to be called back may take to answer.
const CALLBACK_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Driver {
    caches: Caches,
    callbacks: reqwest::Client,
    callbacks_to: Vec<ServerAddress>,
    servers: Vec<OwnServer>,
    store: Arc<Store>,
}

/// One execution at a time: the next one always waits.
struct InLine;

impl Surroundings for InLine {
    fn is_current(&self) -> bool {
        true
    }

    fn is_awaited(&self) -> bool {
        true
    }
}

impl Driver {
    pub(crate) fn new(configuration: &Configuration, store: Arc<Store>) -> Result<Self, Failure> {
        let at_once = configuration.servers_at_once;
        let execution = config::Execution {
            concurrency: 1,
            servers_at_once: at_once,
            total_time: configuration.total_time,
            load_total_time: configuration.load_total_time,
        };
        Ok(Self {
            caches: Caches::new(
                &configuration.calls,
                execution,
                configuration.probes,
                configuration.reach(),
            )?,
            callbacks_to: configuration.callbacks.clone(),
            callbacks: reqwest::Client::builder()
                .no_proxy()
                // The answer is of no interest, so nobody is led elsewhere by it.
                .redirect(Policy::none())
                .timeout(CALLBACK_LIMIT)
                .build()?,
            servers: configuration.servers.clone(),
            store,
        })
    }

    /// First what the last process left, then what comes.
    pub(crate) async fn run(
        self,
        mut queue: mpsc::Receiver<ExecutionId>,
        stopped: CancellationToken,
    ) -> Result<(), Failure> {
        for execution in self.store.resume()? {
            self.carry_out(&execution).await?;
        }
        while let Some(Some(execution)) = stopped.run_until_cancelled(queue.recv()).await {
            self.carry_out(&execution).await?;
        }
        Ok(())
    }

    async fn carry_out(&self, execution: &ExecutionId) -> Result<(), Failure> {
        // What came while the last process's executions were resumed is among them, and comes again.
        let Some(mut record) = self.store.get(execution) else {
            return Ok(());
        };
        if record.progress.state == ProgressState::Settled {
            return Ok(());
        }
        for server in &mut record.progress.servers {
            if server.state == ServerState::Waiting {
                server.state = ServerState::Running;
            }
        }
        self.store.put(&record)?;
        let told = record.progress.servers.iter().enumerate();
        let told = told.filter(|(_, server)| server.state == ServerState::Running);
        let submission = record.submission.clone();
        let (parent, state) = (record.traceparent.as_deref(), record.tracestate.as_deref());
        let trace = TraceContext::continued(parent, state).child();
        let mut told: FuturesUnordered<_> = told
            .map(|(position, server)| self.tell(&submission, &trace, position, server.clone()))
            .collect();
        while let Some((position, server)) = told.next().await {
            record.progress.servers[position] = server;
            self.store.put(&record)?;
        }
        record.progress.state = ProgressState::Settled;
        self.store.put(&record)?;
        tracing::info!(
            execution.id = %execution,
            servers = record.progress.servers.len(),
            trace.id = trace.trace_id_text(),
            "settled"
        );
        self.call_back(&record).await;
        Ok(())
    }

    async fn tell(
        &self,
        submission: &Submission<'_>,
        trace: &TraceContext,
        position: usize,
        server: ServerProgress,
    ) -> (usize, ServerProgress) {
        let own = self.servers.iter().find(|own| own.id == server.server);
        let order = own.map_or(Err("it is no longer ours".to_owned()), |own| {
            order(submission, own)
        });
        let told = match order {
            Ok(order) => self
                .caches
                .carry_out(&order, trace, &InLine)
                .await
                .unwrap_or_default()
                .pop(),
            Err(message) => return (position, refused(server, message)),
        };
        (position, told.map_or(server, ServerProgress::from))
    }

    /// Whether the operator lists that host and port. A user in the URL would be shown to whoever answers there.
    fn may_call_back(&self, url: &str) -> bool {
        let Ok(url) = url.parse::<Url>() else {
            return false;
        };
        let plain = url.username().is_empty() && url.password().is_none();
        let is_web = matches!(url.scheme(), "http" | "https");
        let port = url.port_or_known_default();
        let address = url.host_str().zip(port);
        let address = address.and_then(|(host, port)| format!("{host}:{port}").parse().ok());
        plain && is_web && address.is_some_and(|address| self.callbacks_to.contains(&address))
    }

    /// Once; whoever misses it asks.
    async fn call_back(&self, record: &Record) {
        let Some(url) = &record.callback else { return };
        if !self.may_call_back(url) {
            tracing::warn!("a callback was asked for to a place that `callbacks` does not list");
            return;
        }
        if let Err(error) = self.callbacks.post(url).send().await {
            tracing::info!(error = %error.without_url(), "nobody took the callback");
        }
    }
}

/// What this server is told, in its dialect; or why the dialect cannot say it.
fn order(submission: &Submission<'_>, own: &OwnServer) -> Result<Order, String> {
    let dialect = dialects::by_name(&own.dialect).expect("the configuration was checked");
    let command = command(submission);
    if let Fidelity::Impossible { why } = fidelity_of(dialect, &command) {
        return Err(why);
    }
    let server = Server {
        id: own.id.clone(),
        participant: submission.execution.participant.clone(),
        dialect: own.dialect.clone(),
        address: own.address.clone(),
        place: domain::Place::default(),
    };
    let (execution, configuration) = (&submission.execution, &submission.configuration);
    let site = Site {
        execution,
        configuration,
        servers: std::slice::from_ref(&server),
        limits: &domain::NativeLimits::NONE,
    };
    let calls = dialect
        .translate(&command, &site)
        .map_err(|error| error.why)?;
    let servers = vec![OrderedServer {
        id: server.id,
        address: server.address,
    }];
    Ok(Order {
        expires_at: None,
        tracestate: None,
        originator: None,
        execution: execution.clone().into_owned(),
        sequence: 0,
        configuration: command.configuration,
        operation: command.operation.name().to_owned(),
        repeatable: command.operation.is_repeatable(),
        accepted_at: submission.accepted_at,
        traceparent: None,
        native: vec![NativeOrder {
            mapping: None,
            limits: domain::NativeLimits::NONE,
            dialect: server.dialect,
            servers,
            calls,
        }],
        probes: submission.probes.clone(),
    })
}

/// The command as the originator submitted it, as far as it concerns us.
fn command(submission: &Submission<'_>) -> Command {
    Command {
        expires_at: None,
        not_before: None,
        verification: None,
        tracestate: None,
        id: submission.execution.command,
        originator: submission.originator.clone().into_owned(),
        configuration: submission.configuration.id.clone(),
        operation: submission.operation.clone().into_owned(),
        selectors: submission.selectors.to_vec(),
        scope: domain::Scope::default(),
        ceiling: submission.ceiling,
        when_impossible: domain::command::WhenImpossible::default(),
        request_id: None,
        accepted_at: submission.accepted_at,
        traceparent: None,
    }
}

fn refused(server: ServerProgress, message: String) -> ServerProgress {
    let fault = Some(ServerFault {
        code: FaultCode::Refused,
        message,
    });
    ServerProgress {
        state: ServerState::Failed,
        fault,
        ..server
    }
}
