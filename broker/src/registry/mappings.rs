//! Mappings: dialects from documents, in versions.
//!
//! Invariant: a document with a mistake is never kept. A version never changes, and is kept for as long as an execution that
//! was planned with it may still be told: a command begins at most 30 days ahead, and the rest is for a participant that is
//! away. A name that was deleted goes on counting where it comes back.

use std::{sync::Arc, time::Duration};

use dialects::mapped::{self, Mistake};
use domain::{DialectName, Timestamp};
use tracing::info;

use super::{ATTEMPTS, Registrar, check_delete};
use crate::{
    authorise::Rpc,
    directory::{Mapping, Tables},
    error::{Error, Violation},
    ingress::Identity,
    pipeline::now,
    store::{MappingVersion, Put, Record, RecordKind},
};

/// How long a version is kept after it was replaced.
const KEPT: Duration = Duration::from_hours(60 * 24);
/// Versions of one mapping that are kept at once.
const VERSIONS: usize = 1_000;
/// Mappings in the registry.
const MAPPINGS: usize = 1_000;

impl Registrar {
    /// Stores a document as the next version of the mapping that it names; `name` must be the same, where it is given.
    pub async fn put_mapping(
        &self,
        identity: &Identity,
        name: &str,
        document: String,
    ) -> Result<Arc<Mapping>, Error> {
        Rpc::PutMapping.check_ever(identity)?;
        let named = check_document(name, &document)?;
        let next = |tables: &Tables| next_version(tables, &named, Some(&document));
        self.write_version(&named, next).await?;
        let tables = self.directory.read();
        let current = tables.mappings.get(&named).cloned();
        current.ok_or(Error::Contended)
    }

    /// Deletes a mapping by which nobody is told.
    pub async fn delete_mapping(&self, identity: &Identity, name: &str) -> Result<(), Error> {
        Rpc::DeleteMapping.check_ever(identity)?;
        let named: DialectName = name.parse().map_err(Error::broken("mapping_name"))?;
        let next = |tables: &Tables| {
            check_delete::<Mapping>(tables, identity, &named, name)?;
            next_version(tables, &named, None)
        };
        self.write_version(&named, next).await
    }

    /// Writes what `next` makes of the registry as it is, if that is anything, and lets go of versions that are out of use.
    async fn write_version(
        &self,
        name: &DialectName,
        next: impl Fn(&Tables) -> Result<Option<MappingVersion>, Error>,
    ) -> Result<(), Error> {
        let _alone = self.changing.lock().await;
        for _ in 0..ATTEMPTS {
            self.follower.catch_up().await?;
            let (version, seen) = {
                let tables = self.directory.read();
                (next(&tables)?, tables.edition.clone())
            };
            let Some(version) = version else {
                return Ok(());
            };
            let number = version.version;
            if let Put::Written(_) = self.store.put(&Record::Mapping(version), &seen).await? {
                info!(resource = "mapping", id = %name, version = number, "wrote a record of the registry");
                return self.let_go(name).await;
            }
        }
        Err(Error::Contended)
    }

    /// Deletes versions that were replaced long ago; one that cannot be now is left for the next change.
    async fn let_go(&self, name: &DialectName) -> Result<(), Error> {
        self.follower.catch_up().await?;
        let (old, mut seen) = {
            let tables = self.directory.read();
            (out_of_use(&tables, name, now()), tables.edition.clone())
        };
        for version in old {
            let id = MappingVersion::id_of(name, version);
            let deleted = self.store.delete_record(RecordKind::Mapping, &id, &seen);
            let Put::Written(changed) = deleted.await? else {
                break;
            };
            seen = changed;
        }
        Ok(self.follower.catch_up().await?)
    }
}

/// The name of the mapping that the document is, or all that is wrong with it.
fn check_document(name: &str, document: &str) -> Result<DialectName, Error> {
    let read = mapped::Mapping::read_new(document);
    let mapping = read.map_err(|mistakes| Error::Invalid(violations(&mistakes)))?;
    let named = mapping.name().clone();
    if !name.is_empty() && name != named.as_str() {
        let rule = format!("must be the document's: {named}");
        return Err(Error::invalid("mapping.name", rule));
    }
    Ok(named)
}

fn violations(mistakes: &[Mistake]) -> Vec<Violation> {
    let violation = |mistake: &Mistake| {
        let field = format!("mapping.document line {}", mistake.line);
        let rule = format!("{} {}", mistake.field, mistake.rule);
        Violation::new(field, rule.trim_start())
    };
    mistakes.iter().map(violation).collect()
}

/// The version that follows; `None` where the document is what it was.
fn next_version(
    tables: &Tables,
    name: &DialectName,
    document: Option<&String>,
) -> Result<Option<MappingVersion>, Error> {
    let current = tables.mappings.get(name);
    if current.is_some_and(|current| Some(current.text()) == document.map(String::as_str)) {
        return Ok(None);
    }
    if current.is_none() && document.is_some() && tables.mappings.len() >= MAPPINGS {
        let rule = format!("must be one of at most {MAPPINGS} (MAPPINGS)");
        return Err(Error::invalid("mapping.name", rule));
    }
    if document.is_some() && tables.versions_of(name).count() >= VERSIONS {
        let rule = format!("must not change more than {VERSIONS} times in 60 days (VERSIONS)");
        return Err(Error::invalid("mapping.document", rule));
    }
    let latest = tables.versions_of(name).next_back();
    Ok(Some(MappingVersion {
        name: name.clone(),
        version: latest.map_or(0, |latest| latest.version()) + 1,
        put_at: now(),
        document: document.cloned(),
    }))
}

/// The versions that were replaced before anything that may still be told was planned.
fn out_of_use(tables: &Tables, name: &DialectName, now: Timestamp) -> Vec<u32> {
    let versions: Vec<_> = tables.versions_of(name).collect();
    let replaced = versions
        .windows(2)
        .filter(|pair| now.since(pair[1].put_at()) > KEPT);
    replaced.map(|pair| pair[0].version()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;

    const DOCUMENT: &str = "mapping: 1
name: acme
calls: [{operation: load, selectors: [url], method: GET, path: '/warm{{ item.path | safe }}'}]
answers: [{status: 200, means: done, evidence: reported}]
";

    fn name() -> DialectName {
        "acme".parse().unwrap()
    }

    fn tables(put: &[(u32, u64, Option<&str>)]) -> Tables {
        let mut tables = Tables::default();
        for (version, seconds, document) in put {
            tables.apply(Change::Put(Record::Mapping(MappingVersion {
                name: name(),
                version: *version,
                put_at: Timestamp::from_millis(seconds * 1_000),
                document: document.map(str::to_owned),
            })));
        }
        tables
    }

    fn broken(name: &str, document: &str) -> Vec<String> {
        match check_document(name, document) {
            Err(Error::Invalid(violations)) => violations
                .iter()
                .map(|violation| format!("{}: {}", violation.field, violation.rule))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Every mistake is named by its line, and a mapping cannot pass for a dialect that is there already.
    #[test]
    fn a_document_is_checked_whole() {
        assert_eq!(check_document("", DOCUMENT).unwrap(), name());
        assert_eq!(check_document("acme", DOCUMENT).unwrap(), name());
        let wrong = DOCUMENT
            .replace("mapping: 1", "mapping: 2")
            .replace("GET", "get");
        assert_eq!(
            broken("", &wrong),
            [
                "mapping.document line 1: mapping must be 1",
                "mapping.document line 3: calls[0].method must be 1 to 20 upper-case letters"
            ]
        );
        assert_eq!(
            broken("other", DOCUMENT),
            ["mapping.name: must be the document's: acme"]
        );
        let taken = DOCUMENT.replace("acme", "varnish");
        assert_eq!(
            broken("", &taken),
            ["mapping.document line 2: name must not be that of a dialect already"]
        );
    }

    /// The same document is the same version; another one, and one that comes back after it was deleted, is a new one.
    #[test]
    fn a_version_grows_with_every_other_document() {
        let next = |tables: &Tables, document: Option<&str>| {
            let document = document.map(str::to_owned);
            let next = next_version(tables, &name(), document.as_ref()).unwrap();
            next.map(|next| (next.version, next.document.is_some()))
        };
        assert_eq!(next(&tables(&[]), Some("a")), Some((1, true)));
        let one = tables(&[(1, 0, Some("a"))]);
        assert_eq!(next(&one, Some("a")), None);
        assert_eq!(next(&one, Some("b")), Some((2, true)));
        assert_eq!(next(&one, None), Some((2, false)));
        let deleted = tables(&[(1, 0, Some("a")), (2, 0, None)]);
        assert_eq!(next(&deleted, Some("a")), Some((3, true)));
    }

    /// A version goes 60 days after it was replaced, however old it is; the latest never goes, so the count goes on.
    #[test]
    fn a_version_is_kept_while_it_may_be_in_use() {
        let day = 24 * 60 * 60;
        let tables = tables(&[
            (1, 0, Some("a")),
            (2, 10 * day, Some("b")),
            (3, 50 * day, None),
        ]);
        let gone = |days: u64| {
            let now = Timestamp::from_millis(days * day * 1_000 + 1);
            out_of_use(&tables, &name(), now)
        };
        assert!(gone(69).is_empty());
        assert_eq!(gone(70), [1]);
        assert_eq!(gone(110), [1, 2]);
        assert_eq!(gone(1_000), [1, 2]);
    }
}
