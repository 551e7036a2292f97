//! Google Media CDN: invalidations of an edge cache service by host name, path and cache tag.
//!
//! Invariant: never wider than the configuration, as [`crate::google`]: every call names a host name. The answer is empty, and
//! nobody can ask what became of it.
//!
//! Facts: `cloud.google.com/media-cdn/docs/reference/rest`, `edgeCacheServices.invalidateCache`: host, path and `cacheTags` as at
//! Cloud CDN, but no id of the request, and no operation.

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
        Google.read(&at_cloud_cdn, hosts)
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
    sizes::alone(PATHS, "the same page: one path a call"),
    sizes::ANY_BODY,
];

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
