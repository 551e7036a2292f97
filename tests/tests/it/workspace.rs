//! The house: who may depend on whom, and on what from outside.
//!
//! Only normal and build dependencies count. A crate's own tests may use more, within deny.toml's fences.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate, and the crates of this workspace that it may use. An arrow that is missing here is refused.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("proto", &[]),
    ("service", &[]),
    ("dialects", &["domain"]),
    ("amqp", &["domain"]),
    (
        "broker",
        &["proto", "domain", "dialects", "amqp", "service"],
    ),
    ("adapters", &["domain", "dialects", "amqp", "service"]),
    // Pure crates alone: a mapping is checked where it is written.
    ("cli", &["proto", "domain", "dialects"]),
    ("bench", ALL),
    ("tests", ALL),
];

/// What measurements and tests may use: everything, each other too.
const ALL: &[&str] = &[
    "domain", "proto", "service", "dialects", "amqp", "broker", "adapters", "cli", "bench", "tests",
];

/// What the outside world is spoken to with, and the crates that may name it.
const FENCES: [(&str, &[&str]); 5] = [
    // The bench measures RabbitMQ without us, too.
    ("lapin", &["amqp", "bench", "tests"]),
    ("redis", &["broker", "tests"]),
    ("deadpool-redis", &["broker"]),
    ("reqwest", &["adapters", "amqp", "tests"]),
    ("tonic", &["proto", "broker", "cli", "bench", "tests"]),
];

/// What a pure crate may not know: a runtime, a network, a clock that waits.
const IMPURE: [&str; 8] = [
    "tokio",
    "tonic",
    "lapin",
    "redis",
    "reqwest",
    "axum",
    "deadpool",
    "deadpool-redis",
];

/// Second TLS crypto providers, and the systems they come with. `ring` is the one that is used.
const OTHER_PROVIDERS: [&str; 6] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "aws-lc-fips-sys",
    "openssl",
    "openssl-sys",
    "native-tls",
];

/// The crates are rooms with doors in one direction; broker and adapters never see each other.
#[test]
fn crates_depend_on_each_other_in_one_direction_only() -> Result<()> {
    let metadata = workspace()?;
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<_> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let known: BTreeSet<_> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        ours, known,
        "a new crate has its line in MAY_USE and a decision record"
    );
    for package in packages {
        let allowed = MAY_USE
            .iter()
            .find(|(name, _)| *name == package.name.as_str());
        let (_, allowed) = allowed.context("every crate is known, as asserted")?;
        for used in dependencies(package).filter(|used| ours.contains(used)) {
            assert!(allowed.contains(&used), "{} uses {used}", package.name);
        }
    }
    Ok(())
}

/// RabbitMQ, Redis, HTTP and gRPC each have one crate that speaks them.
#[test]
fn what_speaks_to_the_outside_is_fenced_to_its_crate() -> Result<()> {
    for package in workspace()?.workspace_packages() {
        for (fenced, allowed) in FENCES {
            let uses = package
                .dependencies
                .iter()
                .any(|dependency| dependency.name == fenced);
            assert!(
                !uses || allowed.contains(&package.name.as_str()),
                "{} uses {fenced}",
                package.name
            );
        }
    }
    Ok(())
}

/// `domain` and `dialects` decide without waiting, so that every decision can be tested without a server.
#[test]
fn the_pure_crates_know_no_network() -> Result<()> {
    for package in workspace()?.workspace_packages() {
        if ["domain", "dialects"].contains(&package.name.as_str()) {
            let impure = dependencies(package).find(|used| IMPURE.contains(used));
            assert_eq!(impure, None, "{} is pure", package.name);
        }
    }
    Ok(())
}

/// Two providers in one program make rustls panic when it has to choose one. The lock file names all that any
/// crate of ours can pull in, on any platform.
#[test]
fn the_tree_has_one_tls_crypto_provider() -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(serde::Deserialize)]
    struct Locked {
        name: String,
    }
    let lock: Lock = toml::from_str(&fs::read_to_string(root()?.join("Cargo.lock"))?)?;
    let names: BTreeSet<_> = lock
        .package
        .into_iter()
        .map(|package| package.name)
        .collect();
    assert!(names.contains("ring"));
    assert_eq!(
        OTHER_PROVIDERS
            .into_iter()
            .find(|name| names.contains(*name)),
        None
    );
    Ok(())
}

/// Every crate has the workspace's lints; a manifest without that line would have none.
#[test]
fn every_crate_inherits_the_lint_table() -> Result<()> {
    for package in workspace()?.workspace_packages() {
        let manifest: toml::Table = toml::from_str(&fs::read_to_string(&package.manifest_path)?)?;
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        assert_eq!(
            inherits.and_then(toml::Value::as_bool),
            Some(true),
            "{}",
            package.name
        );
    }
    Ok(())
}

fn dependencies(package: &Package) -> impl Iterator<Item = &str> {
    let counts = |kind| kind != DependencyKind::Development;
    let used = package
        .dependencies
        .iter()
        .filter(move |dependency| counts(dependency.kind));
    used.map(|dependency| dependency.name.as_str())
}

/// The manifests alone: that needs no network and no other platform's crates.
pub(crate) fn workspace() -> Result<Metadata> {
    let manifest = root()?.join("Cargo.toml");
    Ok(MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()?)
}

fn root() -> Result<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(own
        .parent()
        .context("the crate lies in the workspace")?
        .to_owned())
}
