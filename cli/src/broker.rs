//! The way to the broker: connections, who is calling, limits, and another try where one is safe.
//!
//! Invariant: every call has a time limit, and only what was not carried out, or may be repeated, is tried again.
//! Not here: resuming a watch (`follow`).

mod credentials;
mod refusal;

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use proto::v1::{
    audit_service_client::AuditServiceClient, command_service_client::CommandServiceClient,
    dead_letter_service_client::DeadLetterServiceClient,
    receipt_service_client::ReceiptServiceClient, registry_service_client::RegistryServiceClient,
};
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint, Uri},
};
use tonic_types::StatusExt as _;

pub(crate) use refusal::{Refusal, Unreached, is_uncertain, may_have_been_lost};

use credentials::Credentials;

use crate::{arguments::connection::Connection, failure::Failure};

/// What the broker's ingress reads where it runs insecure.
const IDENTITY_METADATA: &str = "x-federation-identity";
/// A connection that takes longer is as good as none.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The broker answers in milliseconds; after this it will not.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(30);
/// A watch may be silent for minutes; a dead peer is noticed by this.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(10);
/// How often all brokers are tried for one call.
const ROUNDS: u32 = 4;
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A command with 1,000 selectors on many servers is larger than gRPC's usual 4 MiB.
const ANSWER_BYTES_MAXIMUM: usize = 64 << 20;

/// A connection that says who is calling.
pub(crate) type Line = InterceptedService<Channel, Caller>;
/// The client for commands.
pub(crate) type Commands = CommandServiceClient<Line>;
/// The client for the registry.
pub(crate) type Registry = RegistryServiceClient<Line>;

/// The client for dead letters.
pub(crate) type DeadLetters = DeadLetterServiceClient<Line>;
/// The client for receipts.
pub(crate) type Receipts = ReceiptServiceClient<Line>;

/// The client for the audit log.
pub(crate) type Audit = AuditServiceClient<Line>;

/// The brokers, of which one is in use.
#[derive(Debug)]
pub(crate) struct Broker {
    urls: Vec<Uri>,
    credentials: Credentials,
    channels: Vec<Channel>,
    caller: Caller,
    participant: Option<String>,
    current: Cell<usize>,
}

/// Adds who is calling to every request, where the broker runs insecure.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Option<MetadataValue<Ascii>>);

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(identity) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert(IDENTITY_METADATA, identity.clone());
        }
        Ok(request)
    }
}

impl Broker {
    /// Connects on the first call, not before.
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        check_caller(connection)?;
        let credentials = Credentials::read(connection)?;
        let tls = credentials.tls();
        let channels = connection.broker.iter().map(|url| channel(url, &tls));
        let named = named(connection);
        let path = named.clone().or_else(|| credentials.path());
        Ok(Self {
            urls: connection.broker.clone(),
            credentials,
            channels: channels.collect::<Result<_, _>>()?,
            caller: caller(named.as_deref())?,
            participant: path.as_deref().and_then(participant_of),
            current: Cell::new(0),
        })
    }

    /// Calls the command service, trying again while it is unavailable.
    pub(crate) async fn commands<T>(
        &self,
        call: impl AsyncFn(Commands) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        self.in_turn(async || call(self.command_client()).await)
            .await
            .map_err(|refusal| refusal.status)
    }

    /// Calls the registry service, trying again while it is unavailable.
    pub(crate) async fn registry<T>(
        &self,
        call: impl AsyncFn(Registry) -> Result<Response<T>, Status>,
    ) -> Result<T, Refusal> {
        let client = || {
            RegistryServiceClient::new(self.line()).max_decoding_message_size(ANSWER_BYTES_MAXIMUM)
        };
        self.in_turn(async || call(client()).await).await
    }

    /// Calls the service for dead letters, trying again while it is unavailable.
    pub(crate) async fn dead_letters<T>(
        &self,
        call: impl AsyncFn(DeadLetters) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let client = || {
            DeadLetterServiceClient::new(self.line())
                .max_decoding_message_size(ANSWER_BYTES_MAXIMUM)
        };
        self.in_turn(async || call(client()).await)
            .await
            .map_err(|refusal| refusal.status)
    }

    /// Calls the service for the audit log, trying again while it is unavailable.
    pub(crate) async fn audit<T>(
        &self,
        call: impl AsyncFn(Audit) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let client =
            || AuditServiceClient::new(self.line()).max_decoding_message_size(ANSWER_BYTES_MAXIMUM);
        self.in_turn(async || call(client()).await)
            .await
            .map_err(|refusal| refusal.status)
    }

    /// Calls the service for receipts, trying again while it is unavailable.
    pub(crate) async fn receipts<T>(
        &self,
        call: impl AsyncFn(Receipts) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let client = || {
            ReceiptServiceClient::new(self.line()).max_decoding_message_size(ANSWER_BYTES_MAXIMUM)
        };
        self.in_turn(async || call(client()).await)
            .await
            .map_err(|refusal| refusal.status)
    }

    /// The command service of the broker in use, without another try.
    pub(crate) fn command_client(&self) -> Commands {
        CommandServiceClient::new(self.line()).max_decoding_message_size(ANSWER_BYTES_MAXIMUM)
    }

    /// From now on the next broker is used.
    pub(crate) fn turn(&self) {
        self.current
            .set((self.current.get() + 1) % self.channels.len());
    }

    /// The participant that calls, itself or one of its people; none for an operator.
    pub(crate) fn participant(&self) -> Option<&str> {
        self.participant.as_deref()
    }

    /// The broker in use.
    pub(crate) fn url(&self) -> String {
        text_of(&self.urls[self.current.get()])
    }

    /// Why the broker in use was not reached, where that is why a call ended.
    fn unreached(&self, status: &Status) -> Option<String> {
        refusal::unreached(status, &self.url(), self.credentials.ca_file())
    }

    /// Whether a connection broke because the two sides do not speak the same, or the broker does not accept the caller.
    async fn misunderstood(&self, status: &Status) -> Option<Status> {
        use std::error::Error as _;
        let url = &self.urls[self.current.get()];
        let is_broken = status.source().is_some() && is_uncertain(status);
        if !is_broken || self.unreached(status).is_some() {
            return None;
        }
        if url.scheme_str() == Some("https") {
            return self.credentials.refused_by(url).await;
        }
        let why = format!("{}: the broker speaks TLS there; say https://", self.url());
        let speaks_tls = self.credentials.is_tls(url).await;
        speaks_tls.then(|| Unreached::status(Code::InvalidArgument, vec![why]))
    }

    fn line(&self) -> Line {
        InterceptedService::new(
            self.channels[self.current.get()].clone(),
            self.caller.clone(),
        )
    }

    async fn in_turn<T>(
        &self,
        call: impl AsyncFn() -> Result<Response<T>, Status>,
    ) -> Result<T, Refusal> {
        let mut tried = 0;
        let mut is_repeated = false;
        let mut is_heard = false;
        let mut unreached: BTreeMap<usize, String> = BTreeMap::new();
        loop {
            let answer = timeout(CALL_LIMIT, call()).await;
            let status = match answer.unwrap_or_else(|_| Err(too_slow())) {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            tried += 1;
            if let (1, Some(status)) = (tried, self.misunderstood(&status).await) {
                return Err(Refusal {
                    status,
                    is_repeated,
                });
            }
            unreached.extend(self.unreached(&status).map(|why| (self.current.get(), why)));
            let rounds = tried / u32::try_from(self.channels.len()).unwrap_or(u32::MAX);
            is_heard |= self.unreached(&status).is_none();
            if !is_unavailable(&status) || rounds >= ROUNDS {
                let nobody =
                    || Unreached::status(Code::Unavailable, unreached.into_values().collect());
                return Err(Refusal {
                    status: if is_heard { status } else { nobody() },
                    is_repeated,
                });
            }
            is_repeated |= is_uncertain(&status);
            self.turn();
            if self.current.get() == 0 {
                sleep(pause(rounds, &status)).await;
            }
        }
    }
}

/// Whether the broker, or the way to it, is out of order at the moment.
pub(crate) fn is_unavailable(status: &Status) -> bool {
    use std::error::Error as _;
    let is_broken_connection = || {
        let source = status.source();
        matches!(source, Some(source) if source.is::<tonic::transport::Error>())
    };
    status.code() == Code::Unavailable || is_broken_connection()
}

/// How long to wait before the try after `failures`; the broker's own wish goes first. Never more than five seconds.
pub(crate) fn pause(failures: u32, status: &Status) -> Duration {
    let wish = status
        .get_details_retry_info()
        .and_then(|retry| retry.retry_delay);
    let doubled = SHORTEST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    wish.unwrap_or(doubled).min(LONGEST_PAUSE)
}

/// The answer when the broker gave none.
pub(crate) fn too_slow() -> Status {
    Status::deadline_exceeded(format!("no answer in {} s", CALL_LIMIT.as_secs()))
}

fn channel(url: &Uri, tls: &ClientTlsConfig) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from(url.clone())
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_LIMIT)
        .keep_alive_while_idle(true)
        .user_agent(concat!("fedctl/", env!("CARGO_PKG_VERSION")));
    let endpoint = match url.scheme_str() {
        Some("https") => endpoint.and_then(|endpoint| endpoint.tls_config(tls.clone())),
        _ => endpoint,
    };
    let endpoint = endpoint.map_err(|source| Failure::Connection {
        url: url.to_string(),
        source,
    })?;
    Ok(endpoint.connect_lazy())
}

/// Who calls over TLS is its certificate; a name beside it would be ignored, and somebody meant it.
fn check_caller(connection: &Connection) -> Result<(), Failure> {
    let flag = match (
        &connection.calling_operator,
        &connection.calling_participant,
    ) {
        (Some(_), _) => "--as-operator",
        (None, Some(_)) => "--as",
        (None, None) => return Ok(()),
    };
    let is_secure = |url: &Uri| url.scheme_str() == Some("https");
    if !connection.broker.iter().any(is_secure) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{flag}: counts only with an insecure (http) broker; with https the caller is the certificate"
    )))
}

/// As it was typed: without the path that every address has.
fn text_of(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

/// Who calls, as the broker's ingress reads it where it runs insecure.
fn named(connection: &Connection) -> Option<String> {
    let operator = connection.calling_operator.as_ref();
    let participant = connection.calling_participant.as_ref();
    let operator = operator.map(|name| format!("operator/{name}"));
    operator.or_else(|| participant.map(|id| format!("participant/{id}")))
}

/// The participant in `participant/<id>` and `participant/<id>/person/<name>`.
fn participant_of(path: &str) -> Option<String> {
    let id = path.strip_prefix("participant/")?.split('/').next()?;
    Some(id.to_owned())
}

fn caller(named: Option<&str>) -> Result<Caller, Failure> {
    let Some(named) = named else {
        return Ok(Caller(None));
    };
    let value = named.parse().map_err(|_| {
        Failure::Usage("--as and --as-operator take plain letters, digits and hyphens".to_owned())
    })?;
    Ok(Caller(Some(value)))
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    /// A person calls for its participant, and an operator for none.
    #[test]
    fn people_are_their_participants() {
        for path in ["participant/north", "participant/north/person/ann"] {
            assert_eq!(participant_of(path).as_deref(), Some("north"), "{path}");
        }
        assert_eq!(participant_of("operator/north"), None);
    }

    /// The pauses grow and stay bounded; where the broker says when, its wish counts, within the same bound.
    #[test]
    fn the_pause_grows_and_stays_bounded() {
        let plain = Status::unavailable("");
        assert_eq!(pause(1, &plain), SHORTEST_PAUSE);
        assert_eq!(pause(2, &plain), SHORTEST_PAUSE * 2);
        assert_eq!(pause(60, &plain), LONGEST_PAUSE);
        let wish = |seconds| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
            Status::with_error_details(Code::Unavailable, "", details)
        };
        assert_eq!(pause(1, &wish(3)), Duration::from_secs(3));
        assert_eq!(pause(1, &wish(3_600)), LONGEST_PAUSE);
    }
}
