//! Cloudflare where a zone carries one configuration and nothing else: everything of it is everything of the zone.
//!
//! Invariant: as [`crate::cloudflare`], but that the operators of the participant and of its adapter both say that each zone is one
//! configuration's alone: in the registry by this dialect's name, in the adapter's configuration by the zone's id. So
//! `purge_everything` reaches no further than the configuration, and no tag does.
//! Also for plans of Cloudflare's that know URLs and whole zones only.
//!
//! Facts: `developers.cloudflare.com/cache/how-to/purge-cache/purge-everything`.

use domain::{Command, Fidelity, HostName, NativeCall, NativeLimits, Operation, Selector};
use serde_json::json;

use crate::{
    AccountField, Answer, Authentication, Bulk, CannotSay, Counterpart, Dialect, Draw, Length,
    Limits, Presence, Site, Unfit, Verdict,
    cloudflare::{self, ALONE, Cloudflare, PATH, VARIANTS, ZONE},
    http,
    native::{Asked, Mistake},
    vendor::write,
};

/// The dialect.
#[derive(Debug)]
pub struct CloudflareZone;

impl Dialect for CloudflareZone {
    fn name(&self) -> &'static str {
        "cloudflare-zone"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        Cloudflare.fidelity(operation, selector)
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let (all, some): (Vec<_>, Vec<_>) =
            http::numbered(command).partition(|(_, one)| **one == Selector::Everything);
        let mut calls = cloudflare::calls(some, site);
        if !all.is_empty() {
            let selectors = all.into_iter().map(|(number, _)| number).collect();
            let body = write::json(&json!({ "purge_everything": true }));
            calls.push(write::post_json(PATH, selectors, body));
        }
        Ok(calls)
    }

    fn read(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
        Cloudflare.read(request, hosts)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        Cloudflare.judge(call, answer)
    }

    fn account(&self) -> &'static [AccountField] {
        &[
            AccountField {
                name: ZONE,
                about: "the id of the zone that carries the configuration and no other",
                presence: Presence::Required,
                exclusive: true,
                own_credentials: false,
            },
            VARIANTS,
        ]
    }

    fn at_account(
        &self,
        call: &NativeCall,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        // That the zone is alone is said already: it stands there by this dialect's name.
        let known = |name: &str| value(if name == ALONE.name { ZONE } else { name });
        Cloudflare.at_account(call, &known)
    }

    fn authentication(&self) -> Authentication {
        Cloudflare.authentication()
    }

    fn limits(&self) -> Limits {
        Cloudflare.limits()
    }

    fn lengths(&self) -> &'static [Length] {
        Cloudflare.lengths()
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        Cloudflare.draws(call)
    }

    fn may_add(&self, call: &NativeCall) -> Option<&'static str> {
        Cloudflare.may_add(call)
    }

    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        Cloudflare.bulk(call, limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::url,
        vendor::fixture::{DELETE, call, spoken, tag},
    };

    /// Everything is the zone, once; all else is said as it is everywhere at Cloudflare.
    #[test]
    fn everything_is_the_zone() {
        let some = vec![
            Selector::Everything,
            tag("news"),
            url("https://www.example.com:8443/a"),
            Selector::Everything,
        ];
        insta::assert_snapshot!(spoken(&CloudflareZone, DELETE, some), @r#"
        POST /client/v4/zones/{account:zone}/purge_cache [2] content-type: application/json
        {"files":["https://www.example.com:8443/a"]}
        POST /client/v4/zones/{account:zone}/purge_cache [1] content-type: application/json
        {"tags":["news"]}
        POST /client/v4/zones/{account:zone}/purge_cache [0, 3] content-type: application/json
        {"purge_everything":true}
        "#);
    }

    /// Who says that a zone is one configuration's has nothing more to say for its tags.
    #[test]
    fn a_tag_needs_no_more_than_the_zone() {
        let by_tag = call(&CloudflareZone, DELETE, tag("news"));
        let zone = |name: &str| (name == ZONE).then(|| "z1".to_owned());
        let calls = CloudflareZone.at_account(&by_tag, &zone);
        assert_eq!(calls, Ok(vec![by_tag.clone()]));
        assert!(Cloudflare.at_account(&by_tag, &zone).is_err());
        assert!(CloudflareZone.account().iter().all(|field| *field != ALONE));
    }
}
