//! The roads to Redis and RabbitMQ, from their part of the configuration.

use std::{sync::Arc, time::Duration};

use amqp::{
    ClientCertificate, Consumer, ConsumerSettings, LinkSettings, ManagementSettings, Provisioner,
    Topology, UserLimits, Users,
};
use service::{
    configuration::{Problems, Secret, SecretUrl},
    exit::Chain,
};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    config::{AmqpSettings, Config},
    directory::{Directory, Follower},
    registry::Access,
    store::{Keys, Store, StoreError, StoreTls},
};

/// How long RabbitMQ's management API may take for one call.
const MANAGEMENT_LIMIT: Duration = Duration::from_secs(10);

/// Where somebody else declares, the user that brokers serve with configures nothing.
pub(super) async fn restrict_ourselves(config: &Config, access: &Access) -> Result<(), Failure> {
    let (Some(users), Some(provision_url)) = (&access.users, &config.amqp.provision_url) else {
        return Ok(());
    };
    let (own, declares) = (parts(&config.amqp.url)?, parts(provision_url)?);
    if own.user != declares.user {
        users.prepare_broker(&own.user, &own.password).await?;
    }
    Ok(())
}

pub(super) async fn open_store(
    config: &Config,
) -> Result<(Store, Follower, Arc<Directory>), Failure> {
    let keys = Keys::new(&config.store.prefix, config.store.shards);
    let store = Store::connect_with(&config.redis.url, &store_tls(config), keys).await?;
    store.check_beginning().await.map_err(of_configuration)?;
    let directory = Arc::<Directory>::default();
    let follower = Follower::new(store.clone(), Arc::clone(&directory));
    Ok((store, follower, directory))
}

/// What only Redis could tell is wrong with the configuration.
fn of_configuration(error: StoreError) -> Failure {
    match error {
        StoreError::OtherShards { .. } => Problems::one("store.shards", Chain(&error)).into(),
        StoreError::OtherLayout(_) => Problems::one("store.prefix", Chain(&error)).into(),
        error => error.into(),
    }
}

pub(super) fn topology(config: &Config) -> Result<Topology, Failure> {
    Ok(Topology::new(
        config.amqp.prefix.clone(),
        config.amqp.queue_limits(),
    )?)
}

pub(super) fn provisioner(config: &Config, name: &str) -> Result<Provisioner, Failure> {
    let url = config
        .amqp
        .provision_url
        .as_ref()
        .unwrap_or(&config.amqp.url);
    let link = LinkSettings {
        url: url.expose().to_owned().into(),
        ..link(&config.amqp, &format!("broker {name} provision"))
    };
    Ok(Provisioner::new(link, topology(config)?))
}

fn store_tls(config: &Config) -> StoreTls {
    let pem = |secret: &Option<Secret>| secret.as_ref().map(|pem| pem.expose().as_bytes().to_vec());
    let redis = &config.redis;
    let own = pem(&redis.client_certificate).zip(pem(&redis.client_key));
    StoreTls {
        authority: pem(&redis.certificate_authority),
        own,
    }
}

/// Who makes the users of participants.
pub(super) fn access(config: &Config) -> Result<Access, Failure> {
    let (settings, topology) = (&config.amqp.management, topology(config)?);
    let own = parts(&config.amqp.url)?;
    let adapters_url = settings.adapters_url.as_ref();
    let adapters_url = adapters_url.map_or(own.bare, |url| url.expose().to_owned());
    let limits = UserLimits {
        connections: settings.connections,
        channels: settings.channels,
    };
    let users = match &settings.url {
        None => None,
        Some(url) => {
            let authority = config.amqp.certificate_authority.as_ref();
            let settings = ManagementSettings {
                url: url.expose().to_owned().into(),
                virtual_host: own.virtual_host.clone(),
                certificate_authority: authority.map(|pem| pem.expose().to_owned()),
                timeout: MANAGEMENT_LIMIT,
            };
            Some(Users::new(
                settings,
                topology.clone(),
                limits,
                adapters_url,
            )?)
        }
    };
    Ok(Access {
        topology,
        virtual_host: own.virtual_host,
        users,
    })
}

fn parts(url: &SecretUrl) -> Result<amqp::UrlParts, Failure> {
    let parts = amqp::parts_of(&url.expose().to_owned().into());
    Ok(parts.ok_or(amqp::LinkError::Url)?)
}

pub(super) fn link(amqp: &AmqpSettings, name: &str) -> LinkSettings {
    let pem = |secret: &Option<Secret>| secret.as_ref().map(|pem| pem.expose().to_owned());
    let own = pem(&amqp.client_certificate).zip(pem(&amqp.client_key));
    LinkSettings {
        certificate_authority: pem(&amqp.certificate_authority),
        client_certificate: own.map(|(certificate, key)| ClientCertificate {
            certificate,
            key: key.into(),
        }),
        ..LinkSettings::new(
            amqp.url.expose().to_owned().into(),
            format!("{name} {}", env!("CARGO_PKG_VERSION")),
        )
    }
}

pub(super) fn reports_consumer(
    config: &Config,
    name: &str,
    topology: &Topology,
    stop: &CancellationToken,
) -> Consumer {
    let settings = ConsumerSettings {
        queue: topology.replies_queue(),
        consumer_tag: format!("broker {name}"),
        prefetch: config.amqp.report_prefetch,
    };
    Consumer::start(
        link(&config.amqp, &format!("broker {name} consume")),
        settings,
        stop,
    )
}
