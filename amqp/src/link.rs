//! A link to RabbitMQ: settings, one attempt to connect, and what state the connection is in.
//!
//! Invariant: crash-only. A broken connection is dropped and a new one made, by whoever needs it, after a pause
//! that grows and is never the same for two replicas. The client library repairs nothing behind our back.
//! Not here: what the connection is used for. Publishing and consuming have one each, because RabbitMQ stops a
//! connection that publishes while it is short of memory or disk, and acknowledgements must not wait for that.

use std::{path::PathBuf, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use lapin::{
    ConnectionProperties,
    tcp::{OwnedIdentity, OwnedTLSConfig},
    uri::AMQPUri,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tracing::info;

use crate::{
    credentials::Credentials,
    dial::{Socket, open},
    error::LinkError,
    session::{Session, within},
};

/// How long RabbitMQ may take to open or set up a channel.
pub const CHANNEL_LIMIT: Duration = Duration::from_secs(10);

/// How long a polite goodbye may take before we just leave.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What we show RabbitMQ of ourselves in TLS, where it asks.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// PEM.
    pub certificate: String,
    /// PEM. Never shown.
    pub key: SecretString,
}

/// Where RabbitMQ is and how patient we are with it.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps`. Never shown.
    pub url: SecretString,
    /// A file of [`Credentials`], which count instead of `url`. It is read anew for each connection.
    pub credentials: Option<PathBuf>,
    /// What RabbitMQ's console shows: service, replica, version.
    pub connection_name: String,
    /// The most time from the first packet to an open connection.
    pub connect_timeout: Duration,
    /// How often both sides say that they live; after two silent intervals a connection is dead. Whole seconds.
    pub heartbeat: Duration,
    /// Certificates (PEM) to trust besides the machine's own.
    pub certificate_authority: Option<String>,
    /// For a RabbitMQ that asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// The pause after the first failure.
    pub backoff_minimum: Duration,
    /// The longest pause, before the random part, which at most doubles it.
    pub backoff_maximum: Duration,
}

impl LinkSettings {
    /// Settings that suit a data centre.
    pub fn new(url: SecretString, connection_name: impl Into<String>) -> Self {
        Self {
            url,
            credentials: None,
            connection_name: connection_name.into(),
            connect_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            certificate_authority: None,
            client_certificate: None,
            backoff_minimum: Duration::from_millis(200),
            // Most of what an originator waits after RabbitMQ is back, while an attempt in vain costs next to nothing.
            backoff_maximum: Duration::from_secs(2),
        }
    }

    fn uri(&self) -> Result<AMQPUri, LinkError> {
        let mut uri = match &self.credentials {
            Some(file) => Credentials::read(file)?.uri()?,
            // The parser's own error can repeat the URL, so it ends here.
            None => self
                .url
                .expose_secret()
                .parse::<AMQPUri>()
                .map_err(|_| LinkError::Url)?,
        };
        let seconds = self.heartbeat.as_secs().clamp(1, u16::MAX.into());
        uri.query.heartbeat = u16::try_from(seconds).ok();
        Ok(uri)
    }

    /// Whom RabbitMQ will know us as; `None` where that cannot be read now.
    pub(crate) fn user(&self) -> Option<String> {
        Some(self.uri().ok()?.authority.userinfo.username)
    }

    fn tls(&self) -> OwnedTLSConfig {
        let identity = self
            .client_certificate
            .as_ref()
            .map(|own| OwnedIdentity::PKCS8 {
                pem: own.certificate.clone().into_bytes(),
                key: own.key.expose_secret().as_bytes().to_vec(),
            });
        OwnedTLSConfig {
            identity,
            cert_chain: self.certificate_authority.clone(),
        }
    }

    fn backoff(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.backoff_minimum)
            .with_max_delay(self.backoff_maximum)
            .without_max_times()
            .build()
    }
}

/// What a connection is good for at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// There is none, or it is being made.
    Connecting,
    /// It works.
    Ready,
    /// It stands, but RabbitMQ takes nothing from it; in RabbitMQ's words.
    Blocked(String),
}

/// Makes one connection after the other, and shows the state of the present one.
#[derive(Debug)]
pub(crate) struct Link {
    settings: LinkSettings,
    state: Arc<watch::Sender<LinkState>>,
}

impl Link {
    pub(crate) fn new(settings: LinkSettings) -> Self {
        Self {
            settings,
            state: Arc::new(watch::Sender::new(LinkState::Connecting)),
        }
    }

    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            settings: self.settings.clone(),
            delays: self.settings.backoff(),
        }
    }

    /// One attempt. The session shows as ready once its owner says so.
    pub(crate) async fn connect(&self) -> Result<Session, LinkError> {
        let settings = &self.settings;
        let (limit, socket) = (settings.connect_timeout, Socket::default());
        let (uri, tls) = (settings.uri()?, settings.tls());
        let name = settings.connection_name.as_str();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let opening = Box::pin(open(uri, tls, properties, limit, socket.clone()));
        let connection = within(limit, "open a connection", opening)
            .await
            .inspect_err(|_| socket.cut())?;
        info!(connection.name = name, "connected to RabbitMQ");
        Ok(Session::watch(connection, socket, Arc::clone(&self.state)))
    }
}

/// Pauses that grow, with a random part, and start small again after a success.
pub(crate) struct Backoff {
    settings: LinkSettings,
    delays: ExponentialBackoff,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        self.delays = self.settings.backoff();
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.settings.backoff_maximum)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    fn settings(url: &str) -> LinkSettings {
        LinkSettings::new(url.to_owned().into(), "test")
    }

    /// The parser's error for this URL repeats it whole, with the password in it.
    #[test]
    fn a_url_that_cannot_be_used_is_not_repeated() {
        let settings = settings("amqp:guest:planted@host");
        let error = settings.uri().unwrap_err();
        assert!(matches!(error, LinkError::Url));
        assert!(!format!("{error:?} {error} {settings:?}").contains("planted"));
    }

    /// Pauses grow to their limit, and two replicas do not come back at the same moment.
    #[test]
    fn pauses_grow_with_a_random_part() {
        let link = Link::new(settings("amqp://host"));
        let pauses = |mut backoff: Backoff| (0..12).map(|_| backoff.next()).collect::<Vec<_>>();
        let (one, other) = (pauses(link.backoff()), pauses(link.backoff()));
        assert_ne!(one, other);
        let settings = &link.settings;
        assert!(one[0] >= settings.backoff_minimum && one[11] >= settings.backoff_maximum);
        assert!(one[11] <= 2 * settings.backoff_maximum);
    }

    /// A proxy that takes the connection and says nothing, as some do while RabbitMQ is away. The attempt ends in
    /// time, and the socket with it: nothing piles up, however often we try.
    #[tokio::test]
    async fn a_server_that_says_nothing_costs_one_attempt_and_no_socket() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("amqp://{}", server.local_addr().unwrap());
        let limit = Duration::from_millis(100);
        let link = Link::new(LinkSettings {
            connect_timeout: limit,
            ..settings(&url)
        });
        let answer = link.connect().await.map(drop);
        assert!(
            matches!(answer, Err(LinkError::TimedOut { .. })),
            "{answer:?}"
        );
        let (mut socket, _) = server.accept().await.unwrap();
        let mut said = Vec::new();
        socket.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"AMQP\0\0\x09\x01");
    }
}
