//! Google Media CDN: invalidations of an edge cache service by host name, path and cache tag.
//!
//! Invariant: never wider than the configuration, as [`crate::google`]: every call names a host name. The answer is empty, and
//! nobody can ask what became of it.
//! Each response has tags that Media CDN makes itself, of its status, origin and type. They are no origin's tags, and nobody
//! else has them: none goes out, and none is read.
//!
//! Facts: `cloud.google.com/media-cdn/docs/reference/rest`, `edgeCacheServices.invalidateCache`: host, path and `cacheTags` as at
//! Cloud CDN, but no id of the request, and no operation. And `/media-cdn/docs/cache-invalidation`, "Cache tags".

use std::time::Duration;

use domain::{Command, Fidelity, Finding, HostName, NativeCall, NativeLimits, Operation, Selector};

use crate::{
    AccountField, Answer, Authentication, Budget, Bulk, CannotSay, Counterpart, Dialect, Draw,
    Length, Limits, Site, Verdict,
    google::{self, Google, PATHS, TAGS},
    http,
    native::{Asked, Mistake},
    vendor::{
        budget::CALLS,
        bulk, read,
        sizes::{self, Size},
    },
};

const WHO: &str = "Google Media CDN";
const INVALIDATE: &str = "/v1/projects/{account:project}/locations/global/edgeCacheServices/{account:service}:invalidateCache";

/// Where Cloud CDN takes a body like ours.
const AT_CLOUD_CDN: &str = "/compute/v1/projects/p/global/urlMaps/m/invalidateCache";

/// What the tags begin with that Media CDN makes itself.
const BUILT_IN: [&str; 3] = ["status=", "origin=", "content-type="];

const BUDGETS: &[Budget] = &[Budget {
    unit: CALLS,
    amount: 500,
    per: Duration::from_mins(1),
    burst: 50,
    source: "ours: the pages of Media CDN's that were read give no number; as Cloud CDN",
}];

const ACCOUNT: [AccountField; 2] = [
    google::required("project", "the id of the project"),
    google::required("service", "the name of the edge cache service"),
];

/// The dialect.
#[derive(Debug)]
pub struct MediaCdn;

impl Dialect for MediaCdn {
    fn name(&self) -> &'static str {
        "google-media-cdn"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        if is_built_in(selector) {
            return http::impossible(format!("{WHO} {MAKES_ITSELF}"));
        }
        let ours = |why: String| why.replace(google::WHO, WHO);
        match Google.fidelity(operation, selector) {
            Fidelity::Exact => Fidelity::Exact,
            Fidelity::Widened { to, why } => Fidelity::Widened { to, why: ours(why) },
            Fidelity::Narrowed { why } => Fidelity::Narrowed { why: ours(why) },
            Fidelity::Impossible { why } => Fidelity::Impossible { why: ours(why) },
        }
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let calls = Google.translate(command, site)?.into_iter();
        let here = |call| NativeCall {
            path: INVALIDATE.to_owned(),
            ..call
        };
        Ok(calls.map(here).collect())
    }

    fn read(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
        let mut segments = request
            .path
            .strip_prefix("/v1/projects/")
            .unwrap_or_default()
            .split('/');
        let is_ours = segments.next().is_some_and(|project| !project.is_empty())
            && segments.next() == Some("locations")
            && segments.next() == Some("global")
            && segments.next() == Some("edgeCacheServices")
            && segments
                .next()
                .is_some_and(|last| last.ends_with(":invalidateCache"))
            && segments.next().is_none();
        if !is_ours {
            let rule = "must be `/v1/projects/`, an id, `/locations/global/edgeCacheServices/`, a name, and `:invalidateCache`";
            return Err(Mistake::new("path", rule));
        }
        let at_cloud_cdn = NativeCall {
            path: AT_CLOUD_CDN.to_owned(),
            ..request.clone()
        };
        let asked = Google.read(&at_cloud_cdn, hosts)?;
        match asked.selectors.iter().position(is_built_in) {
            None => Ok(asked),
            Some(place) => {
                let rule = format!(
                    "cacheTags[{place}]: must be a tag of the origin's; {WHO} {MAKES_ITSELF}"
                );
                Err(Mistake::new("body", rule))
            }
        }
    }

    fn judge(&self, _: &NativeCall, answer: &Answer) -> Verdict {
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(google::refusal(WHO, answer));
        }
        match read::object(WHO, answer) {
            Ok(body) if body.get("error").is_some() => {
                Verdict::failed(read::refused_by_words(WHO, &body))
            }
            Ok(_) => http::acknowledged(Finding::Accepted),
            Err(fault) => Verdict::failed(fault),
        }
    }

    fn account(&self) -> &'static [AccountField] {
        &ACCOUNT
    }

    fn authentication(&self) -> Authentication {
        Google.authentication()
    }

    fn limits(&self) -> Limits {
        Limits {
            sizes: SIZES,
            budgets: BUDGETS,
            ..Limits::NONE
        }
    }

    fn lengths(&self) -> &'static [Length] {
        &[Length {
            what: "characters of a path",
            most: google::PATH_LENGTH,
            source: "ours: the pages of Media CDN's that were read give no number; as Cloud CDN",
        }]
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        Google.draws(call)
    }

    /// Tags of one host name. Without an id of the request, others can be said with it.
    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        bulk::of_json(call, self.limits().room(TAGS, limits))
    }
}

const SIZES: &[Size] = &[
    sizes::exactly(
        TAGS,
        10,
        "cloud.google.com/media-cdn/docs/reference/rest, edgeCacheServices.invalidateCache: 10 tags",
    ),
    sizes::alone(
        PATHS,
        "cloud.google.com/media-cdn/docs/reference/rest, edgeCacheServices.invalidateCache: one path a call",
    ),
    sizes::ANY_BODY,
];

/// Why such a tag is not said.
const MAKES_ITSELF: &str =
    "makes tags that begin with `status=`, `origin=` or `content-type=` itself";

fn is_built_in(selector: &Selector) -> bool {
    let Selector::Tag(tag) = selector else {
        return false;
    };
    let begins = |start: &&str| {
        let beginning = tag.as_str().get(..start.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
    };
    BUILT_IN.iter().any(begins)
}

#[cfg(test)]
mod tests {
    //! What Media CDN is told, letter by letter, and what its answers mean.

    use domain::{
        Evidence,
        fault::{Again, FaultCode},
    };

    use super::*;
    use crate::{
        fixture::{reasons, url},
        vendor::fixture::{DELETE, answer, call, done, failed, prefix, spoken, tag},
    };

    /// One path a call, tags together for each host name.
    #[test]
    fn it_is_told_by_host_name() {
        let some = vec![
            url("https://www.example.com/a?x=1"),
            prefix("img.example.com/i/"),
            tag("news"),
            tag("shoes"),
        ];
        insta::assert_snapshot!(spoken(&MediaCdn, DELETE, some), @r#"
        POST /v1/projects/{account:project}/locations/global/edgeCacheServices/{account:service}:invalidateCache [0] content-type: application/json
        {"host":"www.example.com","path":"/a"}
        POST /v1/projects/{account:project}/locations/global/edgeCacheServices/{account:service}:invalidateCache [1] content-type: application/json
        {"host":"img.example.com","path":"/i/*"}
        POST /v1/projects/{account:project}/locations/global/edgeCacheServices/{account:service}:invalidateCache [2, 3] content-type: application/json
        {"cacheTags":["news","shoes"],"host":"www.example.com"}
        POST /v1/projects/{account:project}/locations/global/edgeCacheServices/{account:service}:invalidateCache [2, 3] content-type: application/json
        {"cacheTags":["news","shoes"],"host":"img.example.com"}
        "#);
        assert!(!reasons(&MediaCdn, &DELETE).contains("Cloud CDN"));
    }

    /// What goes there today is read as it is at Cloud CDN; what goes to Cloud CDN does not go there.
    #[test]
    fn a_request_is_read() {
        let made = call(&MediaCdn, DELETE, tag("news"));
        assert_eq!(MediaCdn.read(&made, &[]).unwrap().selectors, [tag("news")]);
        let elsewhere = call(&Google, DELETE, tag("news"));
        assert_eq!(MediaCdn.read(&elsewhere, &[]).unwrap_err().field, "path");
    }

    /// Every 404 of a host name is no content that the origin tagged, and no other participant knows it by that name.
    #[test]
    fn a_tag_of_its_own_making_is_no_tag() {
        let why = "Google Media CDN makes tags that begin with `status=`, `origin=` or `content-type=` itself";
        for text in [
            "status=404",
            "origin=staging-origin",
            "content-type=application/x-mpegurl",
            "Status=200",
        ] {
            let fidelity = MediaCdn.fidelity(&DELETE, &tag(text));
            assert_eq!(
                (fidelity.as_str(), fidelity.why()),
                ("impossible", Some(why))
            );
            assert_eq!(Google.fidelity(&DELETE, &tag(text)), Fidelity::Exact);
            let body = format!(r#"{{"cacheTags":["news","{text}"]}}"#);
            let request = NativeCall {
                body: Some(body),
                ..call(&MediaCdn, DELETE, tag("news"))
            };
            let mistake = MediaCdn.read(&request, &[]).unwrap_err();
            assert_eq!(mistake.field, "body");
            assert!(mistake.rule.starts_with("cacheTags[1]: "), "{mistake:?}");
        }
        for fine in ["status", "my-status=404", "news"] {
            assert_eq!(MediaCdn.fidelity(&DELETE, &tag(fine)), Fidelity::Exact);
        }
    }

    /// An empty object is all that it answers: taken, and nobody knows more.
    #[test]
    fn answers_are_understood() {
        let made = call(&MediaCdn, DELETE, tag("news"));
        let taken = MediaCdn.judge(&made, &answer(200, &[], "{}"));
        assert_eq!(taken, done(Evidence::Acknowledged, Finding::Accepted));
        let body =
            r#"{"error":{"code":403,"message":"no","errors":[{"reason":"rateLimitExceeded"}]}}"#;
        let (code, again, message) = failed(MediaCdn.judge(&made, &answer(403, &[], body)));
        assert_eq!(
            (code, again),
            (FaultCode::Throttled, Again::AfterSeconds(60))
        );
        assert!(
            message.starts_with("Google Media CDN answered 403"),
            "{message}"
        );
        assert!(MediaCdn.poll("1").is_none());
    }
}
