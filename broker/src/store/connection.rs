//! The roads to Redis: one that all ordinary calls share, a pool for calls that block, and one for listening.
//!
//! Invariant: every call has a limit, and a call that failed may be repeated, for each script is idempotent.
//! Redis away means [`StoreError::Unavailable`], never a wait without end.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{Manager, Pool, PoolConfig, Runtime, Timeouts};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, FromRedisValue, IntoConnectionInfo, Pipeline,
    Script, ServerErrorKind, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use service::configuration::SecretUrl;
use thiserror::Error;

/// How long a connection may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long Redis may take for one call; a flush to a slow disk is in it.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long a blocking read waits on the server, below the limit of its connection.
pub(super) const BLOCK_LIMIT: Duration = Duration::from_secs(5);
/// How long a silent connection is left alone before it is asked, and between two questions.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long what we sent may stay unacknowledged by the other machine.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(10);
/// Connections for blocking reads; there is one such reader, and one more while it reconnects.
const BLOCKING_CONNECTIONS: usize = 2;

/// Redis did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Not reachable, too slow, or not able to take writes now; nothing is half written.
    #[error("the store is not available")]
    Unavailable(#[source] redis::RedisError),
    /// Redis does not know us, or does not let us do this. It will not until somebody changes that.
    #[error("the store does not let the broker do this")]
    Denied(#[source] redis::RedisError),
    /// What Redis holds is not what we wrote there, or it cannot do what we ask. It will not be better when it is asked again.
    #[error("the store cannot do this with what it holds")]
    Broken(#[source] redis::RedisError),
    /// The pool of connections gave none.
    #[error("the store gives no connection")]
    NoConnection(#[source] deadpool_redis::PoolError),
    /// The address of Redis is none.
    #[error("the store's address cannot be used")]
    Address(#[source] redis::RedisError),
    /// The configuration changed what may not change.
    #[error("the store was begun with {begun} shards, and `store.shards` says {ours}")]
    OtherShards {
        /// As the store was begun.
        begun: usize,
        /// As this replica is configured.
        ours: usize,
    },
    /// It was written by another version of the broker.
    #[error(
        "the store has layout {0}, and this broker reads another: an empty store is begun with its own"
    )]
    OtherLayout(usize),
    /// A record does not read as what was written.
    #[error("a record of the store cannot be read: {what}")]
    Unreadable {
        /// Which record.
        what: String,
        /// Why.
        #[source]
        source: Option<serde_json::Error>,
    },
}

/// Why Redis refuses for a while, in its own words: as the code of an error, or within that of a script.
const PASSING: [&str; 9] = [
    "OOM",
    "MISCONF",
    "READONLY",
    "LOADING",
    "BUSY",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "max number of clients",
];
/// Why it does not let us in.
const DENIED: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "user executing the script"];

impl From<redis::RedisError> for StoreError {
    fn from(error: redis::RedisError) -> Self {
        use redis::ErrorKind;
        let (code, detail) = (error.code(), error.detail());
        let says = |words: &[&str]| {
            let mut texts = code.iter().chain(detail.iter());
            texts.any(|text| words.iter().any(|word| text.contains(word)))
        };
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Denied(error),
            ErrorKind::Server(_) | ErrorKind::Extension if says(&PASSING) => {
                Self::Unavailable(error)
            }
            ErrorKind::Server(_) | ErrorKind::Extension if says(&DENIED) => Self::Denied(error),
            ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot)
            | ErrorKind::Extension => Self::Broken(error),
            _ => Self::Unavailable(error),
        }
    }
}

impl StoreError {
    /// Whether it is about what was asked, so that it would be the same when asked again, and others are not concerned.
    pub(crate) fn is_of_data(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Unreadable { .. })
    }

    /// A record that does not read.
    pub(crate) fn unreadable(what: impl Into<String>, source: serde_json::Error) -> Self {
        Self::Unreadable {
            what: what.into(),
            source: Some(source),
        }
    }

    /// A record that lacks something.
    pub(super) fn lacking(what: impl Into<String>) -> Self {
        Self::Unreadable {
            what: what.into(),
            source: None,
        }
    }
}

/// What of TLS is our own; all PEM. Without anything the machine's certificates are trusted.
#[derive(Clone, Default)]
pub struct StoreTls {
    /// Whom we trust, instead of the machine's own.
    pub authority: Option<Vec<u8>>,
    /// The certificate and the key that we show.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

/// All connections of one replica.
#[derive(Clone)]
pub(super) struct Redis {
    /// Shared, for each call clones the rest.
    client: Arc<Client>,
    shared: ConnectionManager,
    blocking: Pool,
}

impl Redis {
    /// Connects once, so that a wrong address is known at the start.
    pub(super) async fn connect(url: &SecretUrl, tls: &StoreTls) -> Result<Self, StoreError> {
        let client = client(url, tls)?;
        let shared = ConnectionManager::new_with_config(client.clone(), settings()).await?;
        Self::new(client, shared)
    }

    /// A Redis that is not there.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        let client = Client::open("redis://127.0.0.1:1").expect("an address");
        let shared = ConnectionManager::new_lazy_with_config(client.clone(), settings());
        Self::new(client, shared.expect("no connection yet")).expect("a pool")
    }

    fn new(client: Client, shared: ConnectionManager) -> Result<Self, StoreError> {
        Ok(Self {
            blocking: blocking_pool(&client)?,
            client: Arc::new(client),
            shared,
        })
    }

    /// Runs a script.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        call: &redis::ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        Ok(self.script_or_error(call).await?)
    }

    /// The same, with an error that many can be told.
    pub(super) async fn script_or_error<T: FromRedisValue>(
        &self,
        call: &redis::ScriptInvocation<'_>,
    ) -> Result<T, redis::RedisError> {
        call.invoke_async(&mut self.shared.clone()).await
    }

    /// Runs several commands in one round trip.
    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<T, StoreError> {
        Ok(pipeline.query_async(&mut self.shared.clone()).await?)
    }

    /// Runs one command.
    pub(super) async fn command<T: FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        Ok(command.query_async(&mut self.shared.clone()).await?)
    }

    /// Runs one command that may block up to [`BLOCK_LIMIT`].
    pub(super) async fn block<T: FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        let mut connection = self
            .blocking
            .get()
            .await
            .map_err(StoreError::NoConnection)?;
        Ok(command.query_async(&mut *connection).await?)
    }

    /// A connection that listens.
    pub(super) async fn listen(&self) -> Result<redis::aio::PubSub, StoreError> {
        let connecting = tokio::time::timeout(CONNECT_LIMIT, self.client.get_async_pubsub()).await;
        let late = |_| redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        Ok(connecting.map_err(late)??)
    }
}

/// Of the connection that all share.
fn settings() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(CALL_LIMIT))
        .set_number_of_retries(1)
}

/// Whether a URL can be the address of Redis. Why not could repeat it, so that is not said.
pub fn is_address(url: &SecretUrl) -> bool {
    url.expose().into_connection_info().is_ok()
}

/// Small calls leave at once, and a link that is dead without a word is noticed.
fn client(url: &SecretUrl, tls: &StoreTls) -> Result<Client, StoreError> {
    let address = url
        .expose()
        .into_connection_info()
        .map_err(StoreError::Address)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(UNACKNOWLEDGED_LIMIT);
    let address = address.set_tcp_settings(tcp);
    if tls.authority.is_none() && tls.own.is_none() {
        return Client::open(address).map_err(StoreError::Address);
    }
    let own = tls.own.as_ref();
    let certificates = TlsCertificates {
        client_tls: own.map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.clone(),
        }),
        root_cert: tls.authority.clone(),
    };
    Client::build_with_tls(address, certificates).map_err(StoreError::Address)
}

/// Over the same kind of connection as the client's.
fn blocking_pool(client: &Client) -> Result<Pool, StoreError> {
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(BLOCK_LIMIT + CALL_LIMIT));
    let address = client.get_connection_info().clone();
    let manager = Manager::new_with_config(address, settings).map_err(StoreError::Address)?;
    let limits = PoolConfig {
        max_size: BLOCKING_CONNECTIONS,
        timeouts: Timeouts {
            wait: Some(CALL_LIMIT),
            create: Some(CONNECT_LIMIT),
            recycle: Some(CALL_LIMIT),
        },
        ..PoolConfig::default()
    };
    let builder = Pool::builder(manager)
        .config(limits)
        .runtime(Runtime::Tokio1);
    Ok(builder
        .build()
        .expect("a runtime is given, which is all that the builder asks for"))
}

/// A script with the state machine in front of it.
pub(super) fn with_transitions(script: &str) -> Script {
    Script::new(&format!("{}{script}", super::transitions::lua()))
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, RedisError, make_extension_error};

    use super::*;

    /// An error as it comes from the server.
    fn said(code: &str, detail: &str) -> StoreError {
        make_extension_error(code.to_owned(), Some(detail.to_owned())).into()
    }

    /// Who is told to try again in a second must be able to hope.
    #[test]
    fn only_what_passes_is_called_unavailable() {
        for (code, detail) in [
            ("OOM", "command not allowed when used memory > 'maxmemory'."),
            ("MISCONF", "Errors writing to the AOF file: No space left"),
            ("LOADING", "Redis is loading the dataset in memory"),
            ("BUSY", "Redis is busy running a script."),
            ("ERR", "max number of clients reached"),
        ] {
            let error = said(code, detail);
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
        for (code, detail) in [
            ("NOAUTH", "Authentication required."),
            ("NOPERM", "this user has no permissions"),
            (
                "ERR",
                "The user executing the script can't run this command",
            ),
        ] {
            let error = said(code, detail);
            assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
            assert!(!error.is_of_data());
        }
        for (code, detail) in [
            (
                "WRONGTYPE",
                "Operation against a key holding the wrong kind of value",
            ),
            ("ERR", "user_script:3: attempt to index a nil value"),
        ] {
            let error = said(code, detail);
            assert!(error.is_of_data(), "{error:?}");
        }
        let parse = RedisError::from((ErrorKind::Parse, "no protocol"));
        assert!(StoreError::from(parse).is_of_data());
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let lost = StoreError::from(RedisError::from(lost));
        assert!(matches!(lost, StoreError::Unavailable(_)), "{lost:?}");
    }
}
