//! `fedctl pki`: an authority in a folder, without a broker.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use crate::fedctl::{Run, fedctl, run_with};

/// Runs one line in a folder.
async fn pki(folder: &TempDir, words: &str) -> Run {
    let mut command = fedctl("http://127.0.0.1:9");
    command
        .current_dir(folder.path())
        .arg("pki")
        .args(words.split(' '));
    // What a caller has set for the broker is nothing to an authority.
    command.env("FEDCTL_CERTIFICATE", "/nowhere");
    run_with(&mut command).await
}

/// The same, which must do it.
async fn done(folder: &TempDir, words: &str) -> Run {
    let run = pki(folder, words).await;
    assert_eq!(run.code, Some(0), "{words}: {}", run.stderr);
    run
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

/// What changes each time, in words.
fn redacted(text: &str) -> String {
    let words = |line: &str| {
        line.split_whitespace()
            .map(word)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: Vec<String> = text.lines().map(words).collect();
    lines.join("\n") + if text.is_empty() { "" } else { "\n" }
}

fn word(bare: &str) -> String {
    let bare = bare.trim_end_matches(';');
    let is_serial = bare.len() > 30 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_date = bare.len() == 10 && bare.as_bytes()[4] == b'-' && bare.starts_with("20");
    let is_time = bare.len() == 8 && bare.as_bytes()[2] == b':';
    let name = match (is_serial, is_date, is_time) {
        (true, ..) => "SERIAL",
        (_, true, _) => "DATE",
        (.., true) => "TIME",
        _ => bare,
    };
    name.to_owned()
}

/// An authority is made, issues, lists, revokes; keys are closed to others, and nothing is overwritten.
#[tokio::test]
async fn an_authority_lives_in_a_folder() {
    let folder = TempDir::new().expect("there is room");
    let mut said = Vec::new();
    for words in [
        "init fed --federation fed.example",
        "issue fed server broker --dns broker.example --ip 127.0.0.1",
        "issue fed participant/acme --days 30",
        "issue fed participant/acme/person/ann --days 30",
        "revoke fed participant/acme/person/ann",
        "issue fed participant/acme",
        "revoke fed fed/participant-acme.pem",
        "revoke fed fed/participant-acme.pem",
        "issue fed participant/acme --days 60 --renew",
        "issue fed participant/acme --days 50 --renew",
        "revoke fed fed/participant-acme.pem",
        "revoke fed participant/acme",
        "revoke fed participant/acme",
        "list fed",
        "init fed --federation fed.example",
        "issue fed server broker",
        "issue fed participant/acme --dns broker.example",
        "issue fed participant/ACME!",
        "issue fed admin/acme",
        "issue fed operator/ops --days 65000",
        "revoke fed 0a1b",
        "init other --federation Fed/Example",
    ] {
        let run = pki(&folder, words).await;
        let code = run.code.unwrap_or(-1);
        said.push(format!(
            "$ fedctl pki {words}\n{}{}exit code {code}\n",
            redacted(&run.stdout),
            redacted(&run.stderr)
        ));
    }
    insta::assert_snapshot!(said.join("\n"));
    let path = |name: &str| folder.path().join("fed").join(name);
    for key in ["authority.key", "participant-acme.key", "server-broker.key"] {
        assert_eq!(mode(&path(key)), 0o600, "{key}");
    }
    assert_eq!(
        fs::read_dir(path("issued")).expect("it is there").count(),
        5
    );
}

/// A certificate is revoked by its serial number too, in any usual spelling; a stranger's is not ours to revoke.
#[tokio::test]
async fn a_serial_number_is_enough_to_revoke() {
    let folder = TempDir::new().expect("there is room");
    for authority in ["one", "two"] {
        done(
            &folder,
            &format!("init {authority} --federation fed.example"),
        )
        .await;
    }
    let issued = done(&folder, "issue one operator/ops --json").await;
    let issued: serde_json::Value = serde_json::from_str(&issued.stdout).expect("a document");
    let serial = issued["serial"].as_str().expect("a serial number");
    let strange = pki(&folder, &format!("revoke two {serial}")).await;
    assert_eq!(strange.code, Some(2), "{}", strange.stderr);
    let strange = pki(&folder, "revoke two one/operator-ops.pem").await;
    assert_eq!(strange.code, Some(2), "{}", strange.stderr);
    done(&folder, &format!("revoke one 0x{}", serial.to_uppercase())).await;
    let list = fs::read_to_string(folder.path().join("one/revoked")).expect("it is there");
    assert!(list.lines().any(|line| line.starts_with(serial)), "{list}");
    let listed = done(&folder, "list one --json").await;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("a document");
    assert_eq!(listed["certificates"][0]["revoked"], true);
    assert_eq!(listed["certificates"][0]["holder"], "operator/ops");
}

/// A participant's people have certificates of their own, which are told apart from its system's and from each other's.
#[tokio::test]
async fn a_participants_people_have_certificates_of_their_own() {
    let folder = TempDir::new().expect("there is room");
    done(&folder, "init fed --federation fed.example").await;
    done(&folder, "issue fed participant/acme").await;
    for name in ["ann", "ben"] {
        done(
            &folder,
            &format!("issue fed participant/acme/person/{name}"),
        )
        .await;
        let key = format!("fed/participant-acme.{name}.key");
        assert_eq!(mode(&folder.path().join(key)), 0o600);
    }
    for wrong in [
        "participant/acme/person/",
        "participant/acme/person/Ann",
        "participant/acme/people/ann",
        "operator/ops/person/ann",
    ] {
        let run = pki(&folder, &format!("issue fed {wrong}")).await;
        assert_eq!(run.code, Some(2), "{wrong}: {}", run.stderr);
    }
    done(&folder, "issue fed participant/acme-two").await;
    // Who leaves takes nobody along; a participant takes its people.
    for (who, left) in [("participant/acme/person/ann", 3), ("participant/acme", 1)] {
        done(&folder, &format!("revoke fed {who}")).await;
        let listed = done(&folder, "list fed --json").await.stdout;
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("is a document");
        let certificates = listed["certificates"].as_array().expect("is a list");
        assert_eq!(certificates.len(), 4);
        let counts = |certificate: &&serde_json::Value| certificate["revoked"] == false;
        assert_eq!(certificates.iter().filter(counts).count(), left, "{who}");
    }
}
