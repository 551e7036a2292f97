//! Against a model: a cache is a set of objects, a purge removes some of them.

use proptest::{collection::vec, option, prelude::*, sample::select};
use regex::Regex;

use super::*;

const HOSTS: [&str; 2] = ["a.example", "b.example"];
const PATHS: [&str; 9] = [
    "/", "/x", "/x/", "/x/y", "/x/yz", "/xy", "/x?q=1", "/x/y?q=1", "/z",
];
const TAGS: [&str; 2] = ["red", "blue"];
const SERVERS: [&str; 3] = ["s1", "s2", "s3"];

/// Something that a server holds.
#[derive(Debug, Clone, Copy)]
struct Object {
    server: &'static str,
    host: &'static str,
    target: &'static str,
    tag: &'static str,
}

fn objects() -> impl Iterator<Item = Object> {
    SERVERS.into_iter().flat_map(|server| {
        HOSTS.into_iter().flat_map(move |host| {
            PATHS.into_iter().flat_map(move |target| {
                TAGS.into_iter().map(move |tag| Object {
                    server,
                    host,
                    target,
                    tag,
                })
            })
        })
    })
}

/// A selector, ready to be asked.
struct Asked<'a> {
    selector: &'a Selector,
    /// Of a wildcard or a regular expression.
    regex: Option<Regex>,
}

impl<'a> Asked<'a> {
    fn new(selector: &'a Selector) -> Self {
        let pattern = match selector {
            Selector::Wildcard(part) => {
                let pieces = part.path().split('*').map(regex::escape);
                Some(format!("^{}$", pieces.collect::<Vec<_>>().join(".*")))
            }
            Selector::Regex(regex) => Some(regex.pattern().to_owned()),
            _ => None,
        };
        let regex = pattern.map(|pattern| Regex::new(&pattern).unwrap());
        Self { selector, regex }
    }

    /// What the selector means, written down as its documentation says it.
    fn means(&self, object: &Object) -> bool {
        let path = object.target.split('?').next().unwrap();
        let matches = |text| self.regex.as_ref().unwrap().is_match(text);
        let of_host = |host: &HostName| host.as_str() == object.host;
        match self.selector {
            Selector::Url(url) => of_host(url.host()) && url.path_and_query() == object.target,
            Selector::Prefix(part) => of_host(&part.host) && path.starts_with(part.path()),
            Selector::Wildcard(part) => of_host(&part.host) && matches(path),
            Selector::Regex(regex) => of_host(&regex.host) && matches(object.target),
            Selector::Tag(tag) => tag.as_str() == object.tag,
            Selector::Host(host) => of_host(host),
            Selector::Everything => true,
        }
    }
}

/// What stands of each object after a purge: 3 as it was, 2 stale, 1 hidden and not deleted yet, 0 gone.
fn left(subject: &Subject) -> Vec<u8> {
    let after = match subject.mode {
        Some(PurgeMode::Delete) => 0,
        Some(PurgeMode::Deferred) => 1,
        Some(PurgeMode::Invalidate) => 2,
        None => 3,
    };
    let asked = subject.selectors.iter().map(Asked::new);
    let asked = asked.collect::<Vec<_>>();
    let on_server = |object: &Object| {
        let mut servers = subject.servers.iter();
        servers.any(|server| server.as_str() == object.server)
    };
    let meant = |object: &Object| on_server(object) && asked.iter().any(|one| one.means(object));
    objects()
        .map(|object| if meant(&object) { after } else { 3 })
        .collect()
}

fn one_selector() -> impl Strategy<Value = Selector> {
    let (host, path) = (select(&HOSTS[..]), select(&PATHS[..]));
    let plain = select(&["/", "/x", "/x/", "/x/y", "/xy", "/z"][..]);
    prop_oneof![
        4 => (host.clone(), path, select(&["http", "https"][..]))
            .prop_map(|(host, path, scheme)| url(&format!("{scheme}://{host}{path}"))),
        4 => (host.clone(), plain).prop_map(|(host, path)| prefix(&format!("{host}{path}"))),
        1 => (host.clone(), select(&["/x*", "/*y", "/x/*", "*"][..]))
            .prop_filter_map("a path begins with a slash", |(host, path)| {
                format!("{host}{path}").parse().ok().map(Selector::Wildcard)
            }),
        1 => (host.clone(), select(&["^/x", "y$", "q="][..]))
            .prop_map(|(host, pattern)| Selector::Regex(
                HostRegex::new(host.parse().unwrap(), pattern).unwrap()
            )),
        1 => select(&TAGS[..]).prop_map(|tag| Selector::Tag(tag.parse().unwrap())),
        1 => host.prop_map(|host| Selector::Host(host.parse().unwrap())),
        1 => Just(Selector::Everything),
    ]
}

fn subject() -> impl Strategy<Value = Subject> {
    let mode = option::weighted(
        0.95,
        select(
            &[
                PurgeMode::Delete,
                PurgeMode::Invalidate,
                PurgeMode::Deferred,
            ][..],
        ),
    );
    let servers = proptest::sample::subsequence(&SERVERS[..], 1..=3);
    let expires = option::weighted(0.3, 1_u64..4);
    (
        mode,
        vec(one_selector(), 1..5),
        servers,
        expires,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(mode, selectors, servers, expires, whole)| Subject {
            mode,
            whole,
            expires_at: expires.map(Timestamp::from_millis),
            servers: servers
                .into_iter()
                .map(|server| server.parse().unwrap())
                .collect(),
            ..purge(selectors)
        })
}

fn purge(selectors: Vec<Selector>) -> Subject {
    Subject {
        originator: "owner".parse().unwrap(),
        configuration: "shop".parse().unwrap(),
        mode: Some(PurgeMode::Delete),
        selectors,
        servers: SERVERS.map(|server| server.parse().unwrap()).into(),
        whole: true,
        expires_at: None,
        is_verified: false,
    }
}

fn url(text: &str) -> Selector {
    Selector::Url(text.parse().unwrap())
}

fn prefix(text: &str) -> Selector {
    Selector::Prefix(text.parse().unwrap())
}

fn covered(later: &Subject, earlier: &Subject) -> bool {
    covers(later, &later.reach(), earlier)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// After the later purge alone nothing stands that the earlier one would have taken, and it is carried out whenever
    /// the earlier one had to be.
    #[test]
    fn what_is_covered_is_done_by_the_later_one(later in subject(), earlier in subject()) {
        if covered(&later, &earlier) {
            for (object, (later, earlier)) in objects().zip(left(&later).iter().zip(left(&earlier))) {
                prop_assert!(*later <= earlier, "{object:?}");
            }
            prop_assert!(later.whole);
            let never = u64::MAX;
            let until = |subject: &Subject| subject.expires_at.map_or(never, Timestamp::as_millis);
            prop_assert!(until(&later) >= until(&earlier));
        }
    }

    /// So a chain of absorbed ones ends at the one that is sent.
    #[test]
    fn covering_is_transitive(one in subject(), two in subject(), three in subject()) {
        if covered(&three, &two) && covered(&two, &one) {
            prop_assert!(covered(&three, &one));
        }
    }

    /// A purge that is said whole covers its like, however it is spelled; anything else covers nothing.
    #[test]
    fn a_purge_covers_its_like(one in subject()) {
        prop_assert_eq!(covered(&one, &one), one.whole && one.mode.is_some());
    }

    /// The last prefix that is not behind a path decides: the same as asking each of them.
    #[test]
    fn a_prefix_is_found_among_many(
        prefixes in vec("/[xy]{0,3}(/[xy]{0,2})?", 1..20),
        path in "/[xy]{0,4}(/[xy]{0,3})?",
    ) {
        let selectors = prefixes.iter().map(|path| prefix(&format!("a.example{path}"))).collect();
        let later = purge(selectors);
        let held = later.reach().holds(&url(&format!("http://a.example{path}")));
        prop_assert_eq!(held, prefixes.iter().any(|prefix| path.starts_with(prefix)));
    }
}

/// A rule that never said yes would be safe too: the cases that people have.
#[test]
fn the_usual_backlog_is_covered() {
    let x = "http://a.example/x/y";
    let host = Selector::Host("a.example".parse().unwrap());
    let tag = Selector::Tag("red".parse().unwrap());
    let pattern = Selector::Wildcard("a.example/*.css".parse().unwrap());
    let yes = [
        (vec![url(x)], vec![url("https://a.example/x/y")]),
        (
            vec![prefix("a.example/x/")],
            vec![url(x), url("http://a.example/x/?q=1")],
        ),
        (vec![prefix("a.example/x")], vec![prefix("a.example/x/")]),
        (
            vec![host.clone()],
            vec![url(x), prefix("a.example/"), pattern.clone(), host.clone()],
        ),
        (
            vec![Selector::Everything],
            vec![url("http://b.example/"), tag.clone(), host.clone()],
        ),
        (vec![tag.clone(), url(x)], vec![tag.clone()]),
        (vec![pattern.clone()], vec![pattern.clone()]),
    ];
    for (later, earlier) in yes {
        assert!(
            covered(&purge(later.clone()), &purge(earlier.clone())),
            "{later:?} {earlier:?}"
        );
    }
    let no = [
        (vec![url(x)], vec![url("http://a.example/x/y?q=1")]),
        (vec![url(x)], vec![url("http://a.example:8080/x/y")]),
        (
            vec![prefix("a.example/x/")],
            vec![url("http://b.example/x/y")],
        ),
        (vec![prefix("a.example/x/")], vec![prefix("a.example/x")]),
        (vec![host], vec![tag]),
        (vec![pattern], vec![url("http://a.example/x.css")]),
        (vec![url(x)], vec![Selector::Everything]),
    ];
    for (later, earlier) in no {
        assert!(
            !covered(&purge(later.clone()), &purge(earlier.clone())),
            "{later:?} {earlier:?}"
        );
    }
}

/// A weaker purge does not stand for a stronger one, and another's configuration is another's.
#[test]
fn strength_and_place_decide_too() {
    use PurgeMode::{Deferred, Delete, Invalidate};
    let all = || vec![Selector::Everything];
    let with = |mode| Subject {
        mode: Some(mode),
        ..purge(all())
    };
    for (later, earlier, expected) in [
        (Delete, Delete, true),
        (Delete, Invalidate, true),
        (Delete, Deferred, true),
        (Invalidate, Invalidate, true),
        (Invalidate, Delete, false),
        (Invalidate, Deferred, false),
        (Deferred, Deferred, true),
        (Deferred, Delete, false),
        (Deferred, Invalidate, false),
    ] {
        assert_eq!(
            covered(&with(later), &with(earlier)),
            expected,
            "{later:?} {earlier:?}"
        );
    }
    let elsewhere = Subject {
        configuration: "other".parse().unwrap(),
        ..purge(all())
    };
    let another = Subject {
        originator: "another".parse().unwrap(),
        ..purge(all())
    };
    let fewer = Subject {
        servers: ["s1".parse().unwrap()].into(),
        ..purge(all())
    };
    for other in [elsewhere, another, fewer.clone()] {
        assert!(!covered(&other, &purge(all())), "{other:?}");
    }
    assert!(covered(&purge(all()), &fewer));
}

/// A proof is of one command: what is to be looked at afterwards does no other's work, and no other does its.
#[test]
fn what_is_to_be_verified_is_carried_out_by_itself() {
    let plain = purge(vec![Selector::Everything]);
    let verified = Subject {
        is_verified: true,
        ..plain.clone()
    };
    assert!(covers(&plain, &plain.reach(), &plain));
    assert!(!covers(&verified, &verified.reach(), &plain));
    assert!(!covers(&plain, &plain.reach(), &verified));
}
