//! The federation's own format, as invocation systems (`canonical`) and agents take it: `PUT` or `POST` of one execution.
//!
//! The ids in it are those of a command that was; this one gets its own. On which servers, and how far anybody may stray,
//! is said beside it.

use domain::{Ceiling, NativeCall, Operation, Selector, ServerId};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Asked, Mistake, segments};
use crate::{agent, canonical};

/// Of a submission to an invocation system or an order for an agent, what matters here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Execution {
    operation: Operation,
    selectors: Vec<Selector>,
    #[serde(default)]
    ceiling: Ceiling,
    #[serde(default)]
    servers: Vec<ServerId>,
    #[serde(default, rename = "execution")]
    _id: IgnoredAny,
    #[serde(default, rename = "originator")]
    _originator: IgnoredAny,
    #[serde(default, rename = "accepted_at")]
    _accepted_at: IgnoredAny,
    #[serde(default, rename = "configuration")]
    _configuration: IgnoredAny,
}

pub(crate) fn read_canonical(request: &NativeCall) -> Result<Asked, Mistake> {
    read(request, "PUT", canonical::EXECUTIONS_PATH)
}

pub(crate) fn read_agent(request: &NativeCall) -> Result<Asked, Mistake> {
    read(request, "POST", agent::EXECUTIONS_PATH)
}

fn read(request: &NativeCall, method: &str, below: &str) -> Result<Asked, Mistake> {
    super::check_method(request, &[method])?;
    let path = format!("/{}", segments(request).join("/"));
    let id = path.strip_prefix(below).and_then(|id| id.strip_prefix('/'));
    if id.is_none_or(|id| id.is_empty() || id.contains('/')) {
        return Err(Mistake::new(
            "path",
            format!("must be `{below}/` and an id"),
        ));
    }
    let body = request.body.as_deref().unwrap_or_default();
    let execution: Execution = serde_json::from_str(body)
        .map_err(|error| Mistake::new("body", format!("must be an execution: {error}")))?;
    let said_beside = |name: &str| {
        Mistake::new(
            "body",
            format!("{name}: must be said beside it, in the draft"),
        )
    };
    if !execution.servers.is_empty() {
        return Err(said_beside("servers"));
    }
    if execution.ceiling != Ceiling::default() {
        return Err(said_beside("ceiling"));
    }
    check(&execution)?;
    Ok(Asked {
        operation: execution.operation,
        selectors: execution.selectors,
        field: "body",
    })
}

/// An expression that is stored is not compiled anew; one that comes in is.
fn check(execution: &Execution) -> Result<(), Mistake> {
    let wrong = |rule| Mistake::new("body", format!("{rule}"));
    if let Operation::Custom(custom) = &execution.operation {
        custom.check().map_err(wrong)?;
    }
    for selector in &execution.selectors {
        if let Selector::Regex(regex) = selector {
            domain::selector::HostRegex::new(regex.host.clone(), regex.pattern()).map_err(wrong)?;
        }
    }
    Ok(())
}
