//! What the dialect says, letter by letter, and what it makes of answers.

use domain::{
    Ceiling, Evidence,
    fault::{FaultCode, Side},
    selector::HostPath,
};
use proptest::prelude::*;

use super::*;
use crate::fixture::{answer, command, regex, said, selectors, translate, url};

fn judged(call: &NativeCall, status: u16, headers: &[(&str, &str)]) -> Verdict {
    Varnish.judge(call, &answer(status, headers))
}

/// Every selector has its call, each bound to a host name of the configuration.
#[test]
fn it_deletes_whatever_is_selected() {
    insta::assert_snapshot!(said(&Varnish, Operation::Purge(PurgeMode::Delete), selectors()), @r#"
    PURGE www.example.com /a/b.html?x=1 [0]
    BAN www.example.com / [1] x-ban-regex: ^/img/
    BAN www.example.com / [2] x-ban-regex: ^/img/(?>[^?]*?/large-)[^?]*\.png(?:\?|$)
    BAN www.example.com / [3] x-ban-regex: ^/img/[0-9]++\.(?:png|jpg)$
    PURGE www.example.com / [4] x-purge-tags: news
    PURGE img.example.com / [4] x-purge-tags: news
    BAN www.example.com / [5]
    BAN www.example.com / [6]
    BAN img.example.com / [6]
    "#);
}

/// Varnish can mark a url or a tag stale. A ban deletes; under the default ceiling that is allowed.
#[test]
fn it_invalidates_urls_and_tags_softly() {
    insta::assert_snapshot!(said(&Varnish, Operation::Purge(PurgeMode::Invalidate), selectors()), @r#"
    PURGE www.example.com /a/b.html?x=1 [0] x-purge-mode: soft
    BAN www.example.com / [1] x-ban-regex: ^/img/
    BAN www.example.com / [2] x-ban-regex: ^/img/(?>[^?]*?/large-)[^?]*\.png(?:\?|$)
    BAN www.example.com / [3] x-ban-regex: ^/img/[0-9]++\.(?:png|jpg)$
    PURGE www.example.com / [4] x-purge-tags: news x-purge-mode: soft
    PURGE img.example.com / [4] x-purge-tags: news x-purge-mode: soft
    BAN www.example.com / [5]
    BAN www.example.com / [6]
    BAN img.example.com / [6]
    "#);
}

/// A ban hides now and lets the lurker delete later, which is what deferring means; a tag is deleted at once.
#[test]
fn it_defers_by_banning() {
    let mut selectors = selectors();
    selectors.retain(|selector| !matches!(selector, Selector::Tag(_)));
    insta::assert_snapshot!(said(&Varnish, Operation::Purge(PurgeMode::Deferred), selectors), @r#"
    BAN www.example.com / [0] x-ban-regex: ^/a/b\.html\x3fx=1$
    BAN www.example.com / [1] x-ban-regex: ^/img/
    BAN www.example.com / [2] x-ban-regex: ^/img/(?>[^?]*?/large-)[^?]*\.png(?:\?|$)
    BAN www.example.com / [3] x-ban-regex: ^/img/[0-9]++\.(?:png|jpg)$
    BAN www.example.com / [4]
    BAN www.example.com / [5]
    BAN img.example.com / [5]
    "#);
    let tag = vec![Selector::Tag("news".parse().unwrap())];
    insta::assert_snapshot!(said(&Varnish, Operation::Purge(PurgeMode::Deferred), tag), @r#"varnish cannot say this command: Varnish deletes by tag at once, it cannot wait until it is idle"#);
}

/// A load is a visitor's request; what else could be meant, only the origin knows.
#[test]
fn it_loads_urls_only() {
    insta::assert_snapshot!(said(&Varnish, Operation::Load, vec![url("https://www.example.com/a?x=%c3%a9")]), @r#"GET www.example.com /a?x=%c3%a9 [0]"#);
    insta::assert_snapshot!(said(&Varnish, Operation::Load, vec![Selector::Everything]), @r#"varnish cannot say this command: a load needs URLs: no cache knows what the origin has"#);
}

/// An originator who allows nothing but what was asked gets no deletion for an invalidation.
#[test]
fn a_ban_for_an_invalidation_needs_the_ceiling() {
    let mut command = command(
        Operation::Purge(PurgeMode::Invalidate),
        vec![Selector::Everything],
    );
    assert_eq!(translate(&Varnish, &command).unwrap().len(), 2);
    command.ceiling = Ceiling {
        widest: None,
        narrowed: false,
    };
    assert!(translate(&Varnish, &command).is_err());
}

/// An expression that could make Varnish panic would take other customers' content with it, so it is refused.
#[test]
fn a_dangerous_regex_is_refused() {
    let dangerous = vec![regex("^/(a|aa)+[0-9]$")];
    insta::assert_snapshot!(said(&Varnish, Operation::Purge(PurgeMode::Delete), dangerous), @r#"varnish cannot say this command: the regular expression may take more steps than Varnish survives; use prefixes or wildcards"#);
}

/// A host name of another configuration is refused here too, though the broker has looked before.
#[test]
fn another_configurations_host_is_refused() {
    let other = vec![Selector::Host("www.other.com".parse().unwrap())];
    insta::assert_snapshot!(said(&Varnish, Operation::Purge(PurgeMode::Delete), other), @r#"varnish cannot say this command: www.other.com is no host name of the configuration"#);
}

/// The count tells removed from nothing held; without one, nothing is claimed.
#[test]
fn answers_to_a_purge_are_understood() {
    let hard = NativeCall::new("PURGE", Some("www.example.com"), "/a", vec![0]);
    let soft = softly(hard.clone(), true);
    let ban = NativeCall::new("BAN", Some("www.example.com"), "/", vec![0]);
    let done = |finding| Verdict::Done {
        evidence: Evidence::Reported,
        finding,
    };
    let counted = |call, count| judged(call, 200, &[("x-purged", count)]);
    assert_eq!(counted(&hard, "3"), done(Finding::Removed(Some(3))));
    assert_eq!(counted(&soft, "3"), done(Finding::Invalidated(Some(3))));
    assert_eq!(counted(&hard, "0"), done(Finding::NothingHeld));
    let marked = [("x-federation-purge", "1")];
    assert_eq!(judged(&hard, 404, &marked), done(Finding::NothingHeld));
    assert_eq!(judged(&ban, 200, &marked), done(Finding::Banned));
    let silent = Verdict::Done {
        evidence: Evidence::Acknowledged,
        finding: Finding::Accepted,
    };
    for (call, status) in [(&hard, 200), (&hard, 404), (&ban, 200)] {
        assert_eq!(judged(call, status, &[]), silent);
    }
    for (call, status, code) in [
        (&hard, 403, FaultCode::Refused),
        (&ban, 404, FaultCode::Refused),
        (&ban, 400, FaultCode::Refused),
        (&soft, 503, FaultCode::NativeError),
    ] {
        let verdict = judged(call, status, &[]);
        assert!(
            matches!(&verdict, Verdict::Failed { fault, .. } if fault.code == code),
            "{status}: {verdict:?}"
        );
    }
}

/// The shipped VCL says what its rules decided.
#[test]
fn answers_to_a_load_are_understood() {
    let call = NativeCall::new("GET", Some("www.example.com"), "/a", vec![0]);
    let loaded = |status, headers: &[(&str, &str)]| match judged(&call, status, headers) {
        Verdict::Done { finding, .. } => (None, finding),
        Verdict::Failed { fault, finding } => (Some(fault.side), finding.unwrap()),
        other @ (Verdict::Estimated { .. } | Verdict::Each { .. } | Verdict::Running { .. }) => {
            panic!("{other:?}")
        }
    };
    let miss = ("x-cache", "MISS");
    let store = |word| loaded(200, &[miss, ("x-store", word)]);
    assert_eq!(
        loaded(200, &[("x-cache", "HIT"), ("x-store", "stored")]),
        (None, Finding::AlreadyThere)
    );
    assert_eq!(store("stored"), (None, Finding::Stored));
    assert_eq!(
        store("too-large"),
        (Some(Side::Participant), Finding::TooLarge)
    );
    assert_eq!(
        store("uncacheable"),
        (Some(Side::Origin), Finding::RefusedByRules)
    );
    assert_eq!(
        loaded(200, &[("x-cache", "PASS")]),
        (Some(Side::Origin), Finding::RefusedByRules)
    );
    assert_eq!(
        loaded(200, &[("x-cache", "STALE")]),
        (None, Finding::Accepted)
    );
    assert_eq!(
        loaded(404, &[miss]),
        (Some(Side::Origin), Finding::OriginStatus(404))
    );
    assert_eq!(
        loaded(503, &[miss]),
        (Some(Side::Origin), Finding::OriginStatus(503))
    );
}

/// Any selector that the federation lets through, however hostile its text.
fn any_selector() -> impl Strategy<Value = Selector> {
    let path = r#"(/|[a-c]|\PC|[*"'\\ \r\n&|()\[\]{}.%^$#?]){0,12}"#;
    let parsed = |text: &str| text.parse::<HostPath>().ok();
    prop_oneof![
        path.prop_filter_map("a prefix", move |text| {
            parsed(&format!("www.example.com/{text}")).map(Selector::Prefix)
        }),
        path.prop_filter_map("a wildcard", move |text| {
            parsed(&format!("www.example.com/{text}")).map(Selector::Wildcard)
        }),
        path.prop_filter_map("a URL", |text| {
            format!("http://www.example.com/{text}")
                .parse()
                .ok()
                .map(Selector::Url)
        }),
        path.prop_filter_map("a regex", |text| {
            let host = "www.example.com".parse().unwrap();
            domain::selector::HostRegex::new(host, &text)
                .ok()
                .map(Selector::Regex)
        }),
        r"\PC{1,20}".prop_filter_map("a tag", |text| text.parse().ok().map(Selector::Tag)),
    ]
}

proptest! {
    /// Whatever a selector holds, nothing of it can end a header, an argument of a ban, or its one host name.
    #[test]
    fn no_selector_breaks_out(selector in any_selector(), mode in 0..3) {
        let mode = [PurgeMode::Delete, PurgeMode::Invalidate, PurgeMode::Deferred][usize::try_from(mode).unwrap()];
        for call in translate(&Varnish, &command(Operation::Purge(mode), vec![selector])).unwrap_or_default() {
            prop_assert!(["www.example.com", "img.example.com"].contains(&call.host.as_deref().unwrap()));
            prop_assert!(call.path.starts_with('/') && call.path.bytes().all(|octet| octet.is_ascii_graphic()));
            for (name, value) in &call.headers {
                prop_assert!(value.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"'), "{name}: {value}");
            }
        }
    }
}
