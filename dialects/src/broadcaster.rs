//! Varnish Enterprise behind its broadcaster: one call, which it makes to every node of a group.
//!
//! Invariant: each node hears what [`crate::varnish`] says to one, bound to one host name; it is done only where every node that
//! the broadcaster names says so. What the nodes themselves answered is not passed on, so nobody knows what was held, nor whether
//! it was the cache that answered: a success is acknowledged, never more.
//! A body is not passed on, and no call has one. `X-Broadcast-…` headers are the broadcaster's own.
//! Not here: its asynchronous mode (`-a`), beyond that it took the call: jobs are known at its management port only, for ten
//! minutes.
//!
//! Facts: `docs.varnish-software.com/varnish-broadcaster`, "Examples" and "Configuration".

use domain::{
    Command, Fault, Fidelity, Finding, HostName, NativeCall, Operation, Selector,
    fault::{Again, FaultCode},
};
use serde_json::{Map, Value};

use crate::{
    AccountField, Answer, Authentication, CannotSay, Counterpart, Dialect, Limits, Presence, Site,
    Verdict, http,
    native::{Asked, Mistake},
    varnish::Varnish,
    vendor::{read, say},
};

const WHO: &str = "the Varnish broadcaster";
/// Names the group of `nodes.conf` whose nodes are called.
const GROUP: &str = "x-broadcast-group";
/// Nodes that are named in a fault.
const NAMED: usize = 5;

/// The dialect.
#[derive(Debug)]
pub struct Broadcaster;

impl Dialect for Broadcaster {
    fn name(&self) -> &'static str {
        "varnish-broadcaster"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        say::verbatim(WHO, selector).unwrap_or_else(|| Varnish.fidelity(operation, selector))
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let calls = Varnish.translate(command, site)?.into_iter();
        Ok(calls
            .map(|call| call.header(GROUP, "{account:group}"))
            .collect())
    }

    /// What one Varnish is told; the headers for the broadcaster itself say nothing about content.
    fn read(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
        let mut to_a_node = request.clone();
        to_a_node
            .headers
            .retain(|(name, _)| !name.to_ascii_lowercase().starts_with("x-broadcast"));
        Varnish.read(&to_a_node, hosts)
    }

    /// Its own status is 200 whatever the nodes said; theirs are in the body.
    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        let is_begun = answer.status == 202 && answer.header("x-job-id").is_some();
        if is_begun {
            return http::acknowledged(Finding::Accepted);
        }
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(read::refusal(WHO, answer));
        }
        let body = match read::object(WHO, answer) {
            Ok(body) => body,
            Err(fault) => return Verdict::failed(fault),
        };
        match body.get("nodes").and_then(Value::as_object) {
            Some(nodes) => judge_nodes(call, nodes),
            None => Verdict::failed(read::unreadable(WHO, answer, "no nodes")),
        }
    }

    fn account(&self) -> &'static [AccountField] {
        &[AccountField {
            name: "group",
            about: "the group of the broadcaster's `nodes.conf` whose nodes carry the configuration",
            presence: Presence::Required,
            exclusive: false,
            own_credentials: false,
        }]
    }

    fn authentication(&self) -> Authentication {
        Authentication::None
    }

    fn limits(&self) -> Limits {
        Limits::NONE
    }
}

/// A node that holds nothing may say 404 to a purge.
fn judge_nodes(call: &NativeCall, nodes: &Map<String, Value>) -> Verdict {
    let is_done = |status: u64| {
        matches!(
            (status, call.method.as_str()),
            (200..=299, _) | (404, "PURGE")
        )
    };
    let status = |value: &Value| value.as_u64().unwrap_or_default();
    let others = nodes.iter().filter(|(_, value)| !is_done(status(value)));
    let others: Vec<_> = others.map(|(node, value)| (node, status(value))).collect();
    if nodes.is_empty() {
        let message = format!("{WHO} called no node: its group is empty or unknown");
        return Verdict::failed(Fault::participant(
            FaultCode::Refused,
            Again::Never,
            &message,
        ));
    }
    if others.is_empty() {
        return http::acknowledged(Finding::Accepted);
    }
    let named = others
        .iter()
        .take(NAMED)
        .map(|(node, status)| format!("{node} answered {status}"));
    let named = named.collect::<Vec<_>>().join(", ");
    let (all, some) = (nodes.len(), others.len());
    let message = format!("{WHO} reached {all} nodes, and {some} of them did not do it: {named}");
    // A rule says the same again; a node that is away may come back.
    let is_rule = others
        .iter()
        .all(|(_, status)| (400..=499).contains(status));
    let (code, again) = if is_rule {
        (FaultCode::Refused, Again::Never)
    } else {
        (FaultCode::NativeError, Again::Soon)
    };
    Verdict::failed(Fault::participant(code, again, &message))
}

#[cfg(test)]
mod tests {
    //! What the broadcaster is told, and what it says of its nodes. Answers are those of its documentation.

    use domain::Evidence;

    use super::*;
    use crate::{
        fixture::{command, translate, url},
        vendor::fixture::{DELETE, INVALIDATE, answer, done, failed, prefix, tag},
    };

    fn call() -> NativeCall {
        let purge = command(DELETE, vec![url("https://www.example.com/foo/bar")]);
        translate(&Broadcaster, &purge).unwrap().remove(0)
    }

    fn judged(nodes: &str) -> Verdict {
        let body = format!(
            r#"{{"done":true,"method":"PURGE","uri":"/foo/bar","ts":1512995646,"rate":25,"nodes":{nodes}}}"#
        );
        Broadcaster.judge(&call(), &answer(200, &[], &body))
    }

    /// What one Varnish hears, with the group, without a body.
    #[test]
    fn it_is_told_what_a_node_is_told() {
        let some = [
            url("https://www.example.com/a?x=1"),
            tag("news"),
            prefix("img.example.com/i/"),
        ];
        let calls = translate(&Broadcaster, &command(INVALIDATE, some[..2].to_vec())).unwrap();
        let ban = translate(&Broadcaster, &command(DELETE, some[2..].to_vec())).unwrap();
        let calls: Vec<_> = calls.into_iter().chain(ban).collect();
        assert!(calls.iter().all(|call| call.body.is_none()));
        let said = calls.iter().map(|call| {
            let headers: Vec<_> = call
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            format!(
                "{} {} {} {}",
                call.method,
                call.host.as_deref().unwrap(),
                call.path,
                headers.join(" ")
            )
        });
        insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"), @r"
        PURGE www.example.com /a?x=1 x-purge-mode: soft x-broadcast-group: {account:group}
        PURGE www.example.com / x-purge-tags: news x-purge-mode: soft x-broadcast-group: {account:group}
        PURGE img.example.com / x-purge-tags: news x-purge-mode: soft x-broadcast-group: {account:group}
        BAN img.example.com / x-ban-regex: ^/i/ x-broadcast-group: {account:group}
        ");
    }

    /// Done where every node did it; one that did not is named, and is tried again where that may help.
    #[test]
    fn every_node_counts() {
        let acknowledged = done(Evidence::Acknowledged, Finding::Accepted);
        assert_eq!(judged(r#"{"Cache1":200,"Cache2":404}"#), acknowledged);
        let (code, again, message) = failed(judged(r#"{"Cache1":503,"Cache2":500,"Cache4":200}"#));
        assert_eq!((code, again), (FaultCode::NativeError, Again::Soon));
        assert!(
            message.ends_with(
                "3 nodes, and 2 of them did not do it: Cache1 answered 503, Cache2 answered 500"
            ),
            "{message}"
        );
        let (code, again, _) = failed(judged(r#"{"Cache1":405,"Cache2":200}"#));
        assert_eq!((code, again), (FaultCode::Refused, Again::Never));
        let (code, _, message) = failed(judged("{}"));
        assert_eq!(code, FaultCode::Refused);
        assert!(message.contains("no node"), "{message}");
        assert_eq!(
            failed(judged(r#"{"Cache1":"fine"}"#)).0,
            FaultCode::NativeError
        );
    }

    /// In its asynchronous mode it only says that it began.
    #[test]
    fn a_job_is_taken_and_no_more() {
        let begun = answer(202, &[("x-job-id", "570204483")], "");
        assert_eq!(
            Broadcaster.judge(&call(), &begun),
            done(Evidence::Acknowledged, Finding::Accepted)
        );
        let strange = Broadcaster.judge(&call(), &answer(202, &[], ""));
        assert!(matches!(strange, Verdict::Failed { .. }), "{strange:?}");
    }
}
