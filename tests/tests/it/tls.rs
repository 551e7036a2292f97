//! TLS to RabbitMQ and Redis: both sides show certificates, and whoever shows a wrong one is not spoken to.

use std::{fs, path::PathBuf, time::Duration};

use ::amqp::{LinkSettings, Provisioner, QueueLimits, Topology};
use anyhow::{Context, Result};
use broker::store::{Keys, Store, StoreTls};
use proto::v1;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use service::{configuration::SecretUrl, exit::Chain};
use tempfile::TempDir;
use tests::{
    Shared,
    caches::{Cache, Kind},
    federation::{Federation, load},
    origin::{Object, Origin},
    ports,
    rabbitmq::RabbitMq,
    redis::Redis,
};

/// How long a command on this machine may take.
const SETTLES: Duration = Duration::from_mins(1);

/// An authority and what it signed, as files.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// A server's certificate for `localhost`, and a client's.
    fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (key, mut params) = (KeyPair::generate()?, CertificateParams::new(Vec::new())?);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two authorities have one name, and none has that of what it signs: that would be a certificate of its own making.
        params.distinguished_name = named(&folder.path().to_string_lossy());
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = params.self_signed(&key)?;
        fs::write(folder.path().join("ca.pem"), authority.pem())?;
        let issuer = Issuer::new(params, key);
        for (name, host, usage) in [
            ("server", "localhost", ExtendedKeyUsagePurpose::ServerAuth),
            (
                "client",
                "broker.example",
                ExtendedKeyUsagePurpose::ClientAuth,
            ),
        ] {
            let (key, mut params) = (
                KeyPair::generate()?,
                CertificateParams::new(vec![host.to_owned()])?,
            );
            params.distinguished_name = named(name);
            params.extended_key_usages = vec![usage];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            let signed = params.signed_by(&key, &issuer)?;
            fs::write(folder.path().join(format!("{name}.pem")), signed.pem())?;
            fs::write(
                folder.path().join(format!("{name}.key")),
                key.serialize_pem(),
            )?;
        }
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.path(name))?)
    }

    /// The keys of a configuration, without a table.
    fn settings(&self) -> String {
        let file = |name: &str| format!("{{ file = \"{}\" }}", self.path(name).display());
        format!(
            "certificate_authority = {}\nclient_certificate = {}\nclient_key = {}\n",
            file("ca.pem"),
            file("client.pem"),
            file("client.key")
        )
    }

    /// RabbitMQ that asks every AMQP client for a certificate.
    async fn rabbitmq(&self) -> Result<(RabbitMq, String)> {
        let port = ports::free()?;
        let configuration = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
            self.path("ca.pem").display(),
            self.path("server.pem").display(),
            self.path("server.key").display()
        );
        let rabbitmq = RabbitMq::start_with(&configuration).await?;
        Ok((
            rabbitmq,
            format!("amqps://guest:guest@localhost:{port}/%2f"),
        ))
    }

    /// Redis that asks every client for a certificate.
    async fn redis(&self) -> Result<(Redis, String)> {
        let (port, path) = (ports::free()?.to_string(), |name: &str| {
            self.path(name).to_string_lossy().into_owned()
        });
        let options = [
            "--tls-port",
            &port,
            "--tls-ca-cert-file",
            &path("ca.pem"),
            "--tls-cert-file",
            &path("server.pem"),
            "--tls-key-file",
            &path("server.key"),
            "--tls-auth-clients",
            "yes",
        ];
        let redis = Redis::start_with(&options).await?;
        Ok((redis, format!("rediss://localhost:{port}")))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// The whole road, where nothing is readable on the wire: a load and a purge of a real cache.
#[tokio::test]
async fn a_command_travels_over_tls_everywhere() -> Result<()> {
    let certificates = Certificates::make()?;
    let ((rabbitmq, amqp), (redis, rediss)) =
        tokio::try_join!(certificates.rabbitmq(), certificates.redis())?;
    // The user at Redis is made on the port without TLS, which a real one would not have.
    let shared = Shared {
        amqp,
        management: rabbitmq.management_url(),
        redis: redis.url(),
    };
    let tls = certificates.settings();
    let settings = format!("[amqp]\n{tls}[redis]\n{tls}");
    let federation = Federation::over_tls(shared, &rediss, &settings, &tls).await?;
    let origin = Origin::start().await?;
    let cache = Cache::start(Kind::Nginx, origin.address()).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    operator.create_participant("a").await?;
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    operator
        .create_server("a-1", "a", Kind::Nginx.dialect(), cache.address())
        .await?;
    operator.deploy("shop", "a").await?;
    let _adapter = federation.adapter("adapter-a", "a", "").await?;
    let mut owner = federation.client(&broker, "participant/a")?;
    origin.set("/a", Object::new("old"));
    let loaded = owner.submit(load(&["http://www.shop.example/a"])).await?;
    let loaded = owner.settled(&loaded.id, SETTLES).await?;
    let overall = loaded.standing.as_ref().map(v1::Standing::overall);
    assert_eq!(overall, Some(v1::Overall::Processed), "{loaded:#?}");
    let probe = cache.probe("www.shop.example", "/a").await?;
    assert!(probe.hit && probe.body == "old", "{probe:?}");
    Ok(())
}

/// A server whose certificate another authority signed, or that is called by another name than it has, and a client that
/// shows none: no connection, and the reason is said.
#[tokio::test]
async fn whoever_shows_a_wrong_certificate_is_not_spoken_to() -> Result<()> {
    let (right, wrong) = (Certificates::make()?, Certificates::make()?);
    let ((_rabbitmq, amqp), (_redis, rediss)) = tokio::try_join!(right.rabbitmq(), right.redis())?;
    let own = Some((&right, "client"));
    let cases = [
        (
            "another authority",
            "localhost",
            &wrong,
            own,
            Some("UnknownIssuer"),
        ),
        (
            "another name",
            "127.0.0.1",
            &right,
            own,
            Some("not valid for name"),
        ),
        ("no certificate of ours", "localhost", &right, None, None),
        (
            "ours of another authority",
            "localhost",
            &right,
            Some((&wrong, "client")),
            None,
        ),
        ("all as it should be", "localhost", &right, own, Some("")),
    ];
    for (case, host, authority, own, reason) in cases {
        let url = |url: &str| url.replace("localhost", host);
        let rabbitmq = declare(&url(&amqp), authority, own).await?;
        let redis = open(&url(&rediss), authority, own).await?;
        for (server, answer) in [("RabbitMQ", rabbitmq), ("Redis", redis)] {
            let expects_success = reason == Some("");
            let said = answer.as_ref().err().cloned().unwrap_or_default();
            assert_eq!(answer.is_ok(), expects_success, "{case}, {server}: {said}");
            let reason = reason.unwrap_or_default();
            assert!(said.contains(reason), "{case}, {server}: {said}");
            assert!(!said.contains("guest"), "{said}");
        }
    }
    Ok(())
}

type Own<'a> = Option<(&'a Certificates, &'a str)>;

async fn declare(url: &str, authority: &Certificates, own: Own<'_>) -> Result<Result<(), String>> {
    let mut link = LinkSettings::new(url.to_owned().into(), "test");
    link.certificate_authority = Some(authority.read("ca.pem")?);
    if let Some((certificates, name)) = own {
        link.client_certificate = Some(::amqp::ClientCertificate {
            certificate: certificates.read(&format!("{name}.pem"))?,
            key: certificates.read(&format!("{name}.key"))?.into(),
        });
    }
    let topology = Topology::new(format!("{}.", tests::prefix()), QueueLimits::default())?;
    let declared = Provisioner::new(link, topology).declare_base().await;
    Ok(declared.map_err(|error| Chain(&error).to_string()))
}

async fn open(url: &str, authority: &Certificates, own: Own<'_>) -> Result<Result<(), String>> {
    let own = match own {
        None => None,
        Some((certificates, name)) => Some((
            certificates.read(&format!("{name}.pem"))?.into_bytes(),
            certificates.read(&format!("{name}.key"))?.into_bytes(),
        )),
    };
    let tls = StoreTls {
        authority: Some(authority.read("ca.pem")?.into_bytes()),
        own,
    };
    let url = SecretUrl::parse(url).context("a URL")?;
    service::install_crypto();
    let answer = async {
        let store = Store::connect_with(&url, &tls, Keys::new("t:", 1)).await?;
        store.ping().await
    };
    Ok(answer.await.map_err(|error| Chain(&error).to_string()))
}
