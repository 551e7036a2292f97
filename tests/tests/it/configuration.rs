//! A configuration with mistakes, as the operator meets it: one list, exit code 64, nothing started.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result};
use tests::{binaries, federation::Federation, shared};

/// Everything of a broker that is wrong without being of the wrong type.
const BROKER: &str = r#"
[logs]
filter = "???=="
[listen]
certificate = "/nowhere/broker.pem"
key = "KEY"
client_authority = "KEY"
revoked = "KEY"
[redis]
url = "http://127.0.0.1"
certificate_authority = "garbage"
[amqp]
url = "http://127.0.0.1"
provision_url = "ftp://127.0.0.1"
certificate_authority = "garbage"
client_certificate = "garbage"
client_key = "garbage"
commands_length = 0
replies_length = 0
[amqp.management]
url = "amqp://127.0.0.1"
[audit]
retention = "0s"
[signing]
key = "/nowhere/signing.pem"
former_keys = "KEY"
"#;

/// And of an adapter.
const ADAPTER: &str = r#"
participant = "a"
allowed_addresses = ["127.0.0.1"]
[amqp]
url = "http://127.0.0.1"
certificate_authority = "garbage"
[journal]
folder = "KEY/journal"
[signing]
key = "/nowhere/signing.pem"
broker_keys = "/nowhere/broker.keys"
[logs]
filter = "???=="
"#;

fn assert_lists(output: &Output, keys: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for key in keys {
        let listed = said
            .lines()
            .any(|line| line.starts_with(&format!("  {key}: ")));
        assert!(listed, "{key} is not in\n{said}");
    }
    assert_eq!(said.lines().count(), keys.len() + 1, "{said}");
}

fn write(folder: &Path, text: &str) -> Result<std::path::PathBuf> {
    let (file, key) = (folder.join("config.toml"), folder.join("no-key"));
    fs::write(&key, "garbage\n")?;
    let key = key.to_str().context("the folder has a plain name")?;
    fs::write(&file, text.replace("KEY", key))?;
    Ok(file)
}

/// `check` opens what a start would open, and both say the same.
#[test]
fn everything_that_is_wrong_with_a_broker_is_listed() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let file = write(folder.path(), BROKER)?;
    for task in ["check", "serve"] {
        let mut command = Command::new(binaries::broker()?);
        let output = command.arg("--config").arg(&file).arg(task).output()?;
        assert_lists(
            &output,
            &[
                "amqp.certificate_authority",
                "amqp.client_certificate",
                "amqp.client_key",
                "amqp.commands_length",
                "amqp.management.url",
                "amqp.provision_url",
                "amqp.replies_length",
                "amqp.url",
                "audit.retention",
                "listen.certificate",
                "listen.client_authority",
                "listen.key",
                "listen.revoked",
                "logs.filter",
                "redis.certificate_authority",
                "redis.url",
                "redis.url",
                "signing.former_keys",
                "signing.key",
            ],
        );
    }
    Ok(())
}

/// An adapter finds what it cannot open before it begins, as a broker does.
#[test]
fn everything_that_is_wrong_with_an_adapter_is_listed() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let file = write(folder.path(), ADAPTER)?;
    for task in ["check", "run"] {
        let mut command = Command::new(binaries::adapter()?);
        let output = command.arg("--config").arg(&file).arg(task).output()?;
        assert_lists(
            &output,
            &[
                "amqp.certificate_authority",
                "amqp.url",
                "journal.folder",
                "logs.filter",
                "signing.broker_keys",
                "signing.key",
            ],
        );
    }
    Ok(())
}

/// What is typed wrongly ends like a wrong file; what prints the defaults needs no file.
#[test]
fn wrong_arguments_end_with_64_and_defaults_are_printed() -> Result<()> {
    for program in [binaries::broker()?, binaries::adapter()?] {
        for wrong in ["chek", "--bogus"] {
            let output = Command::new(&program).arg(wrong).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{said}");
            assert!(said.contains(wrong), "{said}");
        }
        let output = Command::new(&program).arg("defaults").output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("[amqp]"), "{said}");
    }
    Ok(())
}

/// A folder that nobody can make shows only when it is made; it is the configuration's mistake all the same.
#[test]
fn a_journal_that_cannot_be_made_ends_with_64() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let text = "participant = \"a\"\nallowed_addresses = [\"127.0.0.1\"]\n[signals]\nlisten = \"127.0.0.1:0\"\n\
                [journal]\nfolder = \"/proc/journal\"\n";
    let file = write(folder.path(), text)?;
    let mut command = Command::new(binaries::adapter()?);
    let output = command.arg("--config").arg(&file).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("journal.folder: "), "{said}");
    Ok(())
}

/// How a store was begun only the store knows; who says otherwise has a wrong file, and not a broken broker.
#[tokio::test]
async fn a_store_that_was_begun_otherwise_ends_with_64() -> Result<()> {
    let federation = Federation::start(shared()?).await?;
    let provision = async |shards: &str| {
        let mut command = tokio::process::Command::new(binaries::broker()?);
        command
            .arg("--config")
            .arg(federation.folder().join("provision.toml"))
            .arg("provision")
            .env("BROKER__STORE__SHARDS", shards);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::Ok((output.status.code(), said))
    };
    let (code, said) = provision("3").await?;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("store.shards: "), "{said}");
    // As brokers wrote it before they wrote its layout.
    let mut redis = tests::redis::connect(&federation.shared().redis).await?;
    let key = format!("{}{{registry}}:shards", federation.prefix());
    redis::cmd("SET")
        .arg(&key)
        .arg(1)
        .exec_async(&mut redis)
        .await?;
    let (code, said) = provision("1").await?;
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("store.prefix: the store has layout 1"),
        "{said}"
    );
    Ok(())
}
