//! A cache that removes by exact key, and knows nothing else: `PURGE` for a url, and a request through the cache to load it.
//!
//! Invariant: never wider than the command. Such a cache is asked for exact URLs and for nothing else.
//! Not here: how one kind says what came of a load; each has a file for that.

use domain::{
    Command, Fidelity, Finding, HostName, NativeCall, Operation, PurgeMode, Selector,
    fidelity::Breadth,
};

use crate::{
    Answer, CannotSay, Counterpart, Dialect, Site, Verdict,
    http::{self, LoadSignal},
    native,
};

/// One kind of such caches.
#[derive(Debug)]
pub struct ByKey {
    /// Its name in the registry.
    pub(crate) name: &'static str,
    /// Who cannot do what is asked: the beginning of a sentence.
    pub(crate) who: &'static str,
    /// What its answer to a load says.
    pub(crate) signal: fn(&Answer) -> LoadSignal,
}

impl Dialect for ByKey {
    fn name(&self) -> &'static str {
        self.name
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Server
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        let who = self.who;
        let url = matches!(selector, Selector::Url(_));
        match operation {
            Operation::Load => http::fidelity_of_load(selector),
            Operation::Purge(_) if !url => {
                let others = plural(selector);
                http::impossible(format!("{who} knows exact URLs only, no {others}"))
            }
            Operation::Purge(PurgeMode::Delete) => Fidelity::Exact,
            Operation::Purge(PurgeMode::Invalidate) => Fidelity::Widened {
                to: Breadth::Operation,
                why: format!("{who} cannot mark stale, it can only delete"),
            },
            Operation::Purge(PurgeMode::Deferred) => http::impossible(format!(
                "{who} deletes at once, it cannot wait until it is idle"
            )),
            Operation::Custom(_) => http::impossible(format!("{who} knows no custom operations")),
        }
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let mut calls = Vec::new();
        for (number, selector) in http::numbered(command) {
            let Selector::Url(url) = selector else {
                continue; // Impossible, so checked already.
            };
            match command.operation {
                Operation::Load => calls.push(http::load_url(number, url)),
                Operation::Purge(_) | Operation::Custom(_) => {
                    calls.extend(http::purge_url(number, url));
                }
            }
        }
        Ok(calls)
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::cache::read(request)
    }

    /// A purge: 2xx removed, 404 nothing held (412 in nginx' cache-purge module from 2.5 on). Without the shipped
    /// configuration's word it may be the origin that says so, and nothing is claimed.
    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        if http::is_load(call) {
            return http::judge_load(answer, (self.signal)(answer));
        }
        match answer.status {
            200..=299 | 404 | 412 if !http::is_marked(answer) => {
                http::acknowledged(Finding::Accepted)
            }
            200..=299 => http::done(Finding::Removed(None)),
            404 | 412 => http::done(Finding::NothingHeld),
            _ => http::refused(answer),
        }
    }
}

/// The kind of a selector, in a sentence about what somebody does not know.
pub(crate) fn plural(selector: &Selector) -> &'static str {
    match selector {
        Selector::Url(_) => "URLs",
        Selector::Prefix(_) => "prefixes",
        Selector::Wildcard(_) => "wildcards",
        Selector::Regex(_) => "regular expressions",
        Selector::Tag(_) => "tags",
        Selector::Host(_) => "whole host names",
        Selector::Everything => "whole configurations",
    }
}

#[cfg(test)]
mod tests {
    //! What such a cache is told, letter by letter, and what it makes of answers.

    use domain::{Ceiling, Evidence, fault::FaultCode};

    use super::*;
    use crate::{
        fixture::{answer, command, reasons, said, translate, url},
        nginx::NGINX,
        squid::SQUID,
        traffic_server::TRAFFIC_SERVER,
    };

    const ALL: [&ByKey; 3] = [&NGINX, &SQUID, &TRAFFIC_SERVER];
    const DELETE: Operation = Operation::Purge(PurgeMode::Delete);

    /// Every URL is one exact key; a spelling that means the same is another key.
    #[test]
    fn it_purges_and_loads_urls() {
        let urls = || {
            vec![
                url("https://www.example.com/a/b.html?x=1"),
                url("http://img.example.com/%c3%a9"),
            ]
        };
        for cache in ALL {
            insta::allow_duplicates! {
                insta::assert_snapshot!(said(cache, DELETE, urls()), @r#"
                PURGE www.example.com /a/b.html?x=1 [0]
                PURGE img.example.com /%c3%a9 [1]
                PURGE img.example.com /%C3%A9 [1]
                "#);
                insta::assert_snapshot!(said(cache, Operation::Load, urls()), @r#"
                GET www.example.com /a/b.html?x=1 [0]
                GET img.example.com /%c3%a9 [1]
                "#);
            }
        }
    }

    /// What it cannot say is refused with a sentence for the originator, never said more widely.
    #[test]
    fn it_says_why_it_cannot() {
        let why = |mode| reasons(&SQUID, &Operation::Purge(mode));
        insta::assert_snapshot!(why(PurgeMode::Delete), @r#"
        exact
        impossible: Squid knows exact URLs only, no prefixes
        impossible: Squid knows exact URLs only, no wildcards
        impossible: Squid knows exact URLs only, no regular expressions
        impossible: Squid knows exact URLs only, no tags
        impossible: Squid knows exact URLs only, no whole host names
        impossible: Squid knows exact URLs only, no whole configurations
        "#);
        let first = |cache, mode| {
            let all = reasons(cache, &Operation::Purge(mode));
            all.lines().next().unwrap().to_owned()
        };
        let urls = ALL.map(|cache| {
            format!(
                "{}\n{}",
                first(cache, PurgeMode::Invalidate),
                first(cache, PurgeMode::Deferred)
            )
        });
        insta::assert_snapshot!(urls.join("\n"), @r#"
        widened: nginx's cache-purge module 2.3 cannot mark stale, it can only delete
        impossible: nginx's cache-purge module 2.3 deletes at once, it cannot wait until it is idle
        widened: Squid cannot mark stale, it can only delete
        impossible: Squid deletes at once, it cannot wait until it is idle
        widened: Traffic Server's PURGE cannot mark stale, it can only delete
        impossible: Traffic Server's PURGE deletes at once, it cannot wait until it is idle
        "#);
    }

    /// Deleting is more than invalidating: done where the originator lets it, refused where it does not.
    #[test]
    fn an_invalidation_deletes_if_the_ceiling_lets_it() {
        let invalidate = Operation::Purge(PurgeMode::Invalidate);
        let mut command = command(invalidate, vec![url("https://www.example.com/a")]);
        assert_eq!(translate(&NGINX, &command).unwrap().len(), 1);
        command.ceiling = Ceiling {
            widest: None,
            narrowed: false,
        };
        assert!(translate(&NGINX, &command).is_err());
    }

    /// A host name of another configuration is refused here too, though the broker has looked before.
    #[test]
    fn another_configurations_host_is_refused() {
        let command = command(DELETE, vec![url("https://www.other.com/a")]);
        assert!(translate(&NGINX, &command).is_err());
    }

    /// Nothing held is a success, and told apart; a refusal by the cache's own rules will not change by asking again.
    #[test]
    fn answers_to_a_purge_are_understood() {
        let call = NativeCall::new("PURGE", Some("www.example.com"), "/a", vec![0]);
        let done = |finding| Verdict::Done {
            evidence: Evidence::Reported,
            finding,
        };
        let unmarked = Verdict::Done {
            evidence: Evidence::Acknowledged,
            finding: Finding::Accepted,
        };
        for cache in ALL {
            let purged = |status| {
                let marker = ("x-federation-purge", "1");
                cache.judge(&call, &answer(status, &[marker]))
            };
            for status in [200, 404] {
                assert_eq!(cache.judge(&call, &answer(status, &[])), unmarked);
            }
            assert_eq!(purged(200), done(Finding::Removed(None)));
            assert_eq!(purged(404), done(Finding::NothingHeld));
            assert_eq!(purged(412), done(Finding::NothingHeld));
            for (status, code) in [(403, FaultCode::Refused), (502, FaultCode::NativeError)] {
                assert!(
                    matches!(purged(status), Verdict::Failed { fault, .. } if fault.code == code)
                );
            }
        }
    }
}
