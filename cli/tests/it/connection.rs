//! How the broker is reached, and as whom.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::{
    examples::accepted,
    fedctl::{fedctl, run, run_with},
    peer::Peer,
};

const PURGE: &str = "purge https://www.example.com/a --no-wait";

/// A port on which nobody listens.
async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    format!("http://{}", listener.local_addr().expect("is bound"))
}

/// One of two brokers is down: the other answers.
#[tokio::test]
async fn the_next_broker_is_tried_when_one_is_down() {
    let (_peer, broker) = Peer::default().accepts(accepted()).listen().await;
    let brokers = format!("{},{broker}", dead().await);
    assert_eq!(run(&brokers, PURGE).await.code, Some(0));
}

/// No broker at all: exit code 1 after a few tries, the reason, and that another try is safe.
#[tokio::test]
async fn no_broker_at_all_is_said_with_the_reason() {
    let run = run(&dead().await, PURGE).await;
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("cannot be reached"), "{}", run.stderr);
    assert!(run.stderr.contains("Connection refused"), "{}", run.stderr);
    assert!(run.stderr.contains("--request-id"), "{}", run.stderr);
}

/// Where the broker runs insecure, a metadata field says who is calling.
#[tokio::test]
async fn the_caller_is_named_in_the_metadata() {
    let peer = Peer::default()
        .accepts(accepted())
        .accepts(accepted())
        .accepts(accepted());
    let (peer, broker) = peer.listen().await;
    run(&broker, &format!("{PURGE} --as north")).await;
    run(&broker, &format!("{PURGE} --as-operator anna")).await;
    run_with(
        fedctl(&broker)
            .args(PURGE.split(' '))
            .env("FEDCTL_AS", "south"),
    )
    .await;
    let callers = peer.callers.lock().expect("nobody panicked");
    assert_eq!(
        *callers,
        ["participant/north", "operator/anna", "participant/south"]
    );
}

/// With TLS both sides show a certificate of the federation's authority.
#[tokio::test]
async fn both_sides_show_their_certificates() {
    let folder = tempfile::tempdir().expect("there is room");
    let ca_key = KeyPair::generate().expect("can be made");
    let mut ca = CertificateParams::new(Vec::new()).expect("is well formed");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("can be signed").pem();
    let issuer = Issuer::new(ca, ca_key);
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("can be made");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("is well formed");
        (
            params
                .signed_by(&key, &issuer)
                .expect("can be signed")
                .pem(),
            key.serialize_pem(),
        )
    };
    let (broker, client) = (issue("localhost"), issue("north"));
    write(folder.path(), &ca_pem, &client);

    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(broker.0, broker.1))
        .client_ca_root(Certificate::from_pem(&ca_pem));
    let (peer, port) = Peer::default().accepts(accepted()).listen_tls(tls).await;
    let mut with_certificate = fedctl(&format!("https://localhost:{port}"));
    let file = |name: &str| folder.path().join(name);
    with_certificate
        .args(PURGE.split(' '))
        .arg("--ca")
        .arg(file("ca.pem"))
        .arg("--certificate")
        .arg(file("client.pem"))
        .env("FEDCTL_KEY", file("client.key"));
    let run = run_with(&mut with_certificate).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        *peer.callers.lock().expect("nobody panicked"),
        ["1 certificates"]
    );
}

fn write(folder: &Path, ca: &str, (certificate, key): &(String, String)) {
    for (name, text) in [
        ("ca.pem", ca),
        ("client.pem", certificate),
        ("client.key", key),
    ] {
        fs::write(folder.join(name), text).expect("there is room");
    }
}

/// Half an identity is a slip that is told at once.
#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let run = run(
        "http://127.0.0.1:9",
        &format!("{PURGE} --certificate client.pem"),
    )
    .await;
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("belong together"), "{}", run.stderr);
}
