//! Who says what an answer means: a dialect of ours, or a document of the participant's.
//!
//! Invariant: an order that was made by a version of a document is judged by that version and no other.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use amqp::envelope::MappingDocument;
use dialects::{
    AccountField, Answer, Authentication, Bulk, Counterpart, Dialect, Draw, Limits, Unfit, Verdict,
    mapped::Mapping,
};
use domain::{
    DialectName, Fault, NativeCall, NativeLimits,
    fault::{Again, FaultCode},
};

use crate::config::TokenHeader;

/// Documents that are kept read.
const KEPT: usize = 64;

/// One of them.
#[derive(Clone)]
pub(super) enum Speaker {
    /// A dialect of ours.
    Dialect(&'static dyn Dialect),
    /// One from a document.
    Mapped(Arc<Document>, TokenHeader),
}

/// A version of a document, read.
#[derive(Debug)]
pub(super) struct Document {
    name: DialectName,
    version: u32,
    mapping: Mapping,
}

/// How a call proves who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// As the dialect says.
    Known(Authentication),
    /// A header that the adapter's configuration names.
    Header { name: String, prefix: String },
}

/// All of them.
#[derive(Debug)]
pub(super) struct Speakers {
    token_header: TokenHeader,
    read: Mutex<HashMap<(DialectName, u32), Arc<Document>>>,
}

impl Speakers {
    pub(super) fn new(token_header: TokenHeader) -> Self {
        Self {
            token_header,
            read: Mutex::default(),
        }
    }

    /// Who speaks the dialect of an order, by that version of its `document` where it has one.
    pub(super) fn find(
        &self,
        name: &DialectName,
        version: Option<u32>,
        document: Option<&MappingDocument>,
    ) -> Result<Speaker, Fault> {
        let Some(version) = version else {
            let dialect =
                dialects::by_name(name).filter(|dialect| dialect.counterpart() == Counterpart::Api);
            return dialect.map(Speaker::Dialect).ok_or_else(|| {
                unreadable(&format!("this adapter calls no API in the dialect {name}"))
            });
        };
        let document = document
            .filter(|document| document.name == *name && document.version == version)
            .ok_or_else(|| {
                unreadable(&format!(
                    "version {version} of the mapping {name} did not come with the order"
                ))
            })?;
        let document = self.read(document)?;
        Ok(Speaker::Mapped(document, self.token_header.clone()))
    }

    /// A version never changes, so it is read once.
    fn read(&self, document: &MappingDocument) -> Result<Arc<Document>, Fault> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (document.name.clone(), document.version);
        if let Some(known) = read.get(&key) {
            return Ok(Arc::clone(known));
        }
        let mapping = Mapping::read(&document.document).map_err(|mistakes| {
            let (name, version) = (&document.name, document.version);
            let first = mistakes.first().map(ToString::to_string);
            unreadable(&format!(
                "version {version} of the mapping {name} cannot be read: {}",
                first.unwrap_or_default()
            ))
        })?;
        if read.len() >= KEPT {
            read.clear();
        }
        let document = Arc::new(Document {
            name: document.name.clone(),
            version: document.version,
            mapping,
        });
        read.insert(key, Arc::clone(&document));
        Ok(document)
    }
}

impl Speaker {
    /// Its name in metrics: documents share one.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Dialect(dialect) => dialect.name(),
            Self::Mapped(..) => "mapped",
        }
    }

    /// Which it is: who judges the same answer the same, and nobody else.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Dialect(dialect) => dialect.name().to_owned(),
            // No dialect has a blank in its name.
            Self::Mapped(document, _) => format!("{} {}", document.name, document.version),
        }
    }

    pub(super) fn answer_bytes(&self) -> usize {
        match self {
            Self::Dialect(dialect) => dialect.answer_bytes(),
            Self::Mapped(..) => dialects::mapped::ANSWER_BYTES,
        }
    }

    pub(super) fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        match self {
            Self::Dialect(dialect) => dialect.judge(call, answer),
            Self::Mapped(document, _) => document.mapping.judge(answer),
        }
    }

    pub(super) fn poll(&self, job: &str) -> Option<NativeCall> {
        match self {
            Self::Dialect(dialect) => dialect.poll(job),
            Self::Mapped(document, _) => document.mapping.poll(job),
        }
    }

    pub(super) fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        match self {
            Self::Dialect(dialect) => dialect.judge_poll(job, answer),
            Self::Mapped(document, _) => document.mapping.judge_poll(job, answer),
        }
    }

    /// The values of an account that its calls name. A document may name any that the account has.
    pub(super) fn fields(&self) -> Option<&'static [AccountField]> {
        match self {
            Self::Dialect(dialect) => Some(dialect.account()),
            Self::Mapped(..) => None,
        }
    }

    pub(super) fn authentication(&self) -> Proof {
        match self {
            Self::Dialect(dialect) => Proof::Known(dialect.authentication()),
            Self::Mapped(_, header) => Proof::Header {
                name: header.name.clone(),
                prefix: header.prefix.clone(),
            },
        }
    }

    /// The calls that one with the account's values in it comes to. A document says nothing of that.
    pub(super) fn at_account(
        &self,
        call: &NativeCall,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        match self {
            Self::Dialect(dialect) => dialect.at_account(call, value),
            Self::Mapped(..) => Ok(vec![call.clone()]),
        }
    }

    /// After which pause the same call once more makes up for a race inside the provider.
    pub(super) fn second_call(&self, call: &NativeCall) -> Option<Duration> {
        match self {
            Self::Dialect(dialect) => dialect.second_call(call),
            Self::Mapped(..) => None,
        }
    }

    /// What the provider takes, as far as that is known.
    pub(super) fn limits(&self) -> Limits {
        match self {
            Self::Dialect(dialect) => dialect.limits(),
            Self::Mapped(..) => Limits::NONE,
        }
    }

    /// Whether its calls name host names of the configuration: only where they carry no credentials.
    pub(super) fn names_hosts(&self) -> bool {
        self.authentication() == Proof::Known(Authentication::None)
    }

    /// Whether its calls begin jobs.
    pub(super) fn has_jobs(&self) -> bool {
        match self {
            Self::Dialect(dialect) => dialect.has_jobs(),
            Self::Mapped(document, _) => document.mapping.poll("0").is_some(),
        }
    }

    /// What a call takes of it.
    pub(super) fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        match self {
            Self::Dialect(dialect) => dialect.draws(call),
            Self::Mapped(..) => dialects::mapped::draws(call),
        }
    }

    /// The call as a list of what it says, each once, where others can be said with it, within the participant's limits. A document says
    /// nothing of that.
    pub(super) fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        match self {
            Self::Dialect(dialect) => dialect.bulk(call, limits).map(of_each_one),
            Self::Mapped(..) => None,
        }
    }

    /// A call for all these items.
    pub(super) fn together(&self, like: &NativeCall, items: &[String]) -> NativeCall {
        match self {
            Self::Dialect(dialect) => dialect.together(like, items),
            Self::Mapped(..) => like.clone(),
        }
    }

    /// Whether it is refused because of what is under way where the call goes. A document says nothing of that.
    pub(super) fn is_full(&self, answer: &Answer) -> bool {
        match self {
            Self::Dialect(dialect) => dialect.is_full(answer),
            Self::Mapped(..) => false,
        }
    }

    /// What the provider says is left of its units.
    pub(super) fn left(&self, call: &NativeCall, answer: &Answer) -> Vec<Draw> {
        match self {
            Self::Dialect(dialect) => dialect.left(call, answer),
            Self::Mapped(..) => Vec::new(),
        }
    }
}

impl fmt::Debug for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The list with each item once.
fn of_each_one(mut bulk: Bulk) -> Bulk {
    let mut known = HashSet::new();
    bulk.items.retain(|item| known.insert(item.clone()));
    bulk
}

fn unreadable(message: &str) -> Fault {
    Fault::participant(FaultCode::UnreadableOrder, Again::Never, message)
}
