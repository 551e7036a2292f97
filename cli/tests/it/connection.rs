//! How the broker is reached, and as whom.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::{
    examples::{COMMAND, accepted},
    fedctl::{Run, fedctl, run, run_with},
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

/// A broker that takes connections and never answers, for as long as the listener is there.
pub(crate) async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let broker = format!("http://{}", listener.local_addr().expect("is bound"));
    (listener, broker)
}

/// One of two brokers is down: the other answers.
#[tokio::test]
async fn the_next_broker_is_tried_when_one_is_down() {
    let (_peer, broker) = Peer::default().accepts(accepted()).listen().await;
    let brokers = format!("{},{broker}", dead().await);
    assert_eq!(run(&brokers, PURGE).await.code, Some(0));
}

/// No broker at all: exit code 1 after a few tries, the address and the reason, and that nothing was sent.
#[tokio::test]
async fn no_broker_at_all_is_said_with_the_reason() {
    let (first, second) = (dead().await, dead().await);
    let one = run(&first, PURGE).await;
    assert_eq!(one.code, Some(1));
    assert_eq!(
        one.stderr,
        format!("fedctl: cannot connect to {first}: connection refused; nothing was sent\n")
    );
    let two = run(&format!("{first},{second}"), PURGE).await;
    assert_eq!(
        two.stderr,
        format!(
            "fedctl: none of 2 brokers can be reached; nothing was sent\n  \
             cannot connect to {first}: connection refused\n  \
             cannot connect to {second}: connection refused\n"
        )
    );
}

/// With TLS the caller is its certificate: whoever names another one is told, and not ignored.
#[tokio::test]
async fn a_named_caller_is_refused_where_certificates_count() {
    for flag in ["--as", "--as-operator"] {
        let run = run("https://127.0.0.1:1", &format!("list {flag} birch")).await;
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        let said = format!("fedctl: {flag}: counts only with an insecure (http) broker");
        assert!(run.stderr.starts_with(&said), "{}", run.stderr);
    }
}

/// Files that hold something else are named by their option, before anybody is called.
#[tokio::test]
async fn a_wrong_file_is_named_by_its_option() {
    let (authority, strange) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("there is room");
    let (certificate, key) = authority.issue("north");
    for (name, text) in [
        ("ca.pem", authority.pem.as_str()),
        ("acme.yaml", "mapping: acme"),
        ("north.pem", &certificate),
        ("north.key", &key),
        ("other.key", &strange.issue("north").1),
    ] {
        fs::write(folder.path().join(name), text).expect("there is room");
    }
    let said = async |words: &str| {
        let mut command = fedctl("https://127.0.0.1:1");
        command.current_dir(folder.path()).arg("list");
        let run = run_with(command.args(words.split(' '))).await;
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        run.stderr
    };
    assert_eq!(
        said("--ca acme.yaml").await,
        "fedctl: --ca acme.yaml: holds no certificate\n"
    );
    assert_eq!(
        said("--certificate acme.yaml --key north.key").await,
        "fedctl: --certificate acme.yaml: holds no certificate\n"
    );
    assert_eq!(
        said("--certificate north.pem --key acme.yaml").await,
        "fedctl: --key acme.yaml holds no key\n"
    );
    assert_eq!(
        said("--certificate north.pem --key other.key").await,
        "fedctl: --key other.key does not belong to --certificate north.pem\n"
    );
}

/// A broker of a strange authority, and one that speaks TLS where it was not asked to: both are told by their address.
#[tokio::test]
async fn a_broker_that_is_another_than_thought_is_named() {
    let (authority, strange) = (Authority::new(), Authority::new());
    let (_peer, port) = Peer::default().listen_tls(authority.strict()).await;
    let stranger = call(port, &strange, Some(authority.issue("north"))).await;
    assert_eq!(stranger.code, Some(1));
    let said = format!("the certificate of https://localhost:{port} is not signed by --ca ");
    assert!(stranger.stderr.contains(&said), "{}", stranger.stderr);
    let plain = run(&format!("http://localhost:{port}"), PURGE).await;
    assert_eq!(plain.code, Some(2), "{}", plain.stderr);
    assert!(
        plain.stderr.contains("speaks TLS there; say https://"),
        "{}",
        plain.stderr
    );
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

/// An authority, and the certificates that it gave.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("can be made");
        let mut ca = CertificateParams::new(Vec::new()).expect("is well formed");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&key).expect("can be signed").pem();
        Self {
            pem,
            issuer: Issuer::new(ca, key),
        }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]);
        self.sign(&params.expect("is well formed"))
    }

    /// The same for somebody in the federation.
    fn issue_to(&self, path: &str) -> (String, String) {
        let uri = format!("spiffe://federation.example/{path}");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("is ASCII"))];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("can be signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// A broker that takes only callers with a certificate of this authority.
    fn strict(&self) -> ServerTlsConfig {
        let (certificate, key) = self.issue("localhost");
        ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(&self.pem))
    }
}

/// Calls a broker behind TLS, with a certificate or without.
async fn call(port: u16, ca: &Authority, client: Option<(String, String)>) -> Run {
    call_with(port, ca, client, PURGE).await
}

async fn call_with(
    port: u16,
    ca: &Authority,
    client: Option<(String, String)>,
    words: &str,
) -> Run {
    let folder = tempfile::tempdir().expect("there is room");
    let file = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| fs::write(file(name), text).expect("there is room");
    write("ca.pem", &ca.pem);
    let mut command = fedctl(&format!("https://localhost:{port}"));
    command
        .args(words.split(' '))
        .arg("--ca")
        .arg(file("ca.pem"));
    if let Some((certificate, key)) = client {
        write("client.pem", &certificate);
        write("client.key", &key);
        command
            .arg("--certificate")
            .arg(file("client.pem"))
            .env("FEDCTL_KEY", file("client.key"));
    }
    run_with(&mut command).await
}

/// With TLS both sides show a certificate of the federation's authority.
#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new();
    let peer = Peer::default().accepts(accepted());
    let (peer, port) = peer.listen_tls(authority.strict()).await;
    let run = call(port, &authority, Some(authority.issue("north"))).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        *peer.callers.lock().expect("nobody panicked"),
        ["1 certificates"]
    );
}

/// Whose part of a command is shown is known by the certificate, also by that of one of its people.
#[tokio::test]
async fn a_host_is_known_by_its_certificate() {
    let authority = Authority::new();
    let words = format!("status {COMMAND}");
    for (holder, host) in [
        ("participant/south", Some("south")),
        ("participant/south/person/ann", Some("south")),
        ("participant/north", None),
        ("operator/south", None),
    ] {
        let peer = Peer::default().shows(accepted());
        let (_peer, port) = peer.listen_tls(authority.strict()).await;
        let client = Some(authority.issue_to(holder));
        let run = call_with(port, &authority, client, &words).await;
        let shown = run.stdout.lines().find(|line| line.starts_with("Shown"));
        let expected = host
            .map(|host| format!("Shown     the part of {host} alone; the rest is north's to see"));
        assert_eq!(shown, expected.as_deref(), "{holder}: {}", run.transcript());
    }
}

/// A caller without a certificate, or with one of a strange authority, is not known: exit code 4, and why.
#[tokio::test]
async fn a_caller_whom_the_broker_does_not_know_is_not_allowed() {
    let (authority, strange) = (Authority::new(), Authority::new());
    let (_peer, port) = Peer::default().listen_tls(authority.strict()).await;
    let nameless = call(port, &authority, None).await;
    assert_eq!(nameless.code, Some(4), "{}", nameless.stderr);
    assert!(
        nameless.stderr.contains("asks for a certificate"),
        "{}",
        nameless.stderr
    );
    let stranger = call(port, &authority, Some(strange.issue("north"))).await;
    assert_eq!(stranger.code, Some(4), "{}", stranger.stderr);
    assert!(
        stranger.stderr.contains("certificate"),
        "{}",
        stranger.stderr
    );
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

/// The broker took the connection and says nothing: the time covers the submission too, and nobody claims to know.
#[tokio::test]
async fn the_time_counts_from_the_first_call() {
    let (_silent, broker) = silent().await;
    let purge = run(&broker, "purge https://www.example.com/a --timeout 1s").await;
    assert_eq!(purge.code, Some(5), "{}", purge.transcript());
    for said in [
        "fedctl: no answer in 1 s\n",
        "it may have been accepted; another try with --request-id ",
    ] {
        assert!(purge.stderr.contains(said), "{}", purge.transcript());
    }
    for words in ["watch 7 --timeout 1s", "cancel 7 --timeout 1s"] {
        let run = run(&broker, words).await;
        assert_eq!(run.code, Some(5), "{}", run.transcript());
        assert!(
            run.stderr.contains("fedctl status 7"),
            "{}",
            run.transcript()
        );
    }
}

/// Nothing is sent where only the plan was asked for, or a person was to see it first: that is no command that goes on.
#[tokio::test]
async fn a_plan_that_comes_too_late_sends_nothing() {
    let (_silent, broker) = silent().await;
    for words in [
        "purge https://www.example.com/a --plan",
        "load https://www.example.com/a --plan",
        "native acme /v2/tags/red -X DELETE --configuration shop",
    ] {
        let run = run(&broker, &format!("{words} --timeout 1s")).await;
        assert_eq!(
            run.transcript(),
            "--- stderr\nfedctl: no answer in 1 s\n  nothing was sent\n--- exit code 1\n",
            "{words}"
        );
    }
    let purge = "purge https://www.example.com/a --plan --timeout 1s --json";
    let failure = run(&broker, purge).await.stderr;
    let failure: serde_json::Value = serde_json::from_str(&failure).expect("is a document");
    assert_eq!(
        (&failure["error"]["code"], &failure["error"]["exit_code"]),
        (&"DEADLINE_EXCEEDED".into(), &1.into())
    );
}

/// Clap counts the environment as typed; the usage below a mistake is what the command takes, and no more.
#[tokio::test]
async fn a_mistake_shows_no_option_that_was_not_typed() {
    let mut command = fedctl("http://127.0.0.1:9");
    let run = run_with(command.env("FEDCTL_AS", "birch").args(["keys", "generate"])).await;
    assert_eq!(run.code, Some(2));
    let usage = "Usage: fedctl keys generate <FILE>\n";
    assert!(run.stderr.contains(usage), "{}", run.stderr);
    let mut command = fedctl("broker.example");
    let run = run_with(command.arg("list")).await;
    assert!(run.stderr.contains("must be an http"), "{}", run.stderr);
}

/// Keys, mappings and authorities are of this machine: their help speaks of no broker, and nothing of its is opened.
#[tokio::test]
async fn what_needs_no_broker_asks_for_nothing_of_it() {
    for (words, is_connected) in [
        ("purge --help", true),
        ("keys --help", false),
        ("keys show --help", false),
        ("dialects check --help", false),
        ("dialects try acme.yaml purge --help", false),
        ("pki issue --help", false),
    ] {
        let help = run("http://127.0.0.1:9", words).await.stdout;
        assert_eq!(help.contains("FEDCTL_CA"), is_connected, "{words}: {help}");
        assert!(help.contains("--json"), "{words}: {help}");
    }
    let asked = run("http://127.0.0.1:9", "help purge").await;
    assert_eq!(asked.code, Some(0));
    assert_eq!(
        asked.stdout,
        run("http://127.0.0.1:9", "purge --help").await.stdout
    );
    let folder = tempfile::tempdir().expect("there is room");
    let key = folder.path().join("key.pem");
    let mut command = fedctl("http://127.0.0.1:9");
    command.env("FEDCTL_CA", folder.path().join("not-there"));
    let made = run_with(command.args(["keys", "generate"]).arg(&key)).await;
    assert_eq!(made.code, Some(0), "{}", made.transcript());
}
