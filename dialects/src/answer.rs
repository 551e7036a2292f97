//! A native system's answer, and what it was found to mean.

use std::time::Duration;

use domain::{Evidence, Fault, Finding, result::SelectorFinding};

/// What came back: the status, the headers and the beginning of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, as text; bounded by the adapter.
    pub body: String,
}

impl Answer {
    /// The first header of that name; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done {
        /// How sure we are.
        evidence: Evidence,
        /// What was found.
        finding: Finding,
    },
    /// The native system took it, and says how long it should take: evidence is [`Evidence::Estimated`].
    Estimated {
        /// From the answer on.
        within: Duration,
        /// What was found.
        finding: Finding,
    },
    /// It has ended, and the answer tells the call's selectors apart.
    Each {
        /// How sure we are of what is done.
        evidence: Evidence,
        /// With [`Evidence::Estimated`]: from the answer on.
        within: Option<Duration>,
        /// Why not all is done, where it is not; another try makes no sense.
        fault: Option<Fault>,
        /// What was found, for selectors of the call only; what is not named is as the evidence says.
        findings: Vec<SelectorFinding>,
    },
    /// The native system works on it.
    Running {
        /// Its name for the job, to ask again with.
        job: String,
    },
    /// It is not done.
    Failed {
        /// Why, and whether another try makes sense.
        fault: Fault,
        /// What was found nevertheless: the origin's status, too large, refused by rules.
        finding: Option<Finding>,
    },
}

impl Verdict {
    /// It is not done, and nothing was found.
    pub(crate) fn failed(fault: Fault) -> Self {
        Self::Failed {
            fault,
            finding: None,
        }
    }
}
