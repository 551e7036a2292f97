//! One version of a mapping, ready to speak.
//!
//! Invariant: a version never changes, so what was read of its document once holds.

use std::sync::OnceLock;

use amqp::envelope::MappingDocument;
use dialects::mapped;
use domain::{DialectName, Timestamp};

use crate::store::MappingVersion;

/// A version of a mapping.
#[derive(Debug)]
pub struct Mapping {
    record: MappingVersion,
    /// Read when somebody is told by it for the first time.
    read: OnceLock<Option<mapped::Mapping>>,
}

impl From<MappingVersion> for Mapping {
    fn from(record: MappingVersion) -> Self {
        Self {
            record,
            read: OnceLock::new(),
        }
    }
}

impl PartialEq for Mapping {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for Mapping {}

impl Mapping {
    /// Its name.
    pub fn name(&self) -> &DialectName {
        &self.record.name
    }

    /// Its version.
    pub const fn version(&self) -> u32 {
        self.record.version
    }

    /// When it was put.
    pub const fn put_at(&self) -> Timestamp {
        self.record.put_at
    }

    /// Whether the mapping was deleted with this version.
    pub const fn is_deleted(&self) -> bool {
        self.record.document.is_none()
    }

    /// Its document as text; empty where it was deleted.
    pub fn text(&self) -> &str {
        self.record.document.as_deref().unwrap_or_default()
    }

    /// What speaks by it; `None` where it was deleted, or a newer broker wrote a form that this one cannot read.
    pub fn read(&self) -> Option<&mapped::Mapping> {
        let read = || mapped::Mapping::read(self.record.document.as_ref()?).ok();
        self.read.get_or_init(read).as_ref()
    }

    /// As adapters are told it.
    pub fn document(&self) -> Option<MappingDocument> {
        Some(MappingDocument {
            name: self.record.name.clone(),
            version: self.record.version,
            document: self.record.document.clone()?,
        })
    }
}
