//! Against a model: the same backlog carried out whole and compacted leaves the same in every cache.

use std::collections::BTreeSet;

use domain::{PurgeMode, Selector};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const CONFIGURATIONS: [&str; 2] = ["shop", "news"];
const PATHS: [&str; 5] = ["/", "/a", "/a/b", "/a/b?q", "/c"];
const ROOMY: Room = Room {
    executions: 1_000,
    bytes: 1_000_000,
};

fn host(configuration: &str) -> String {
    format!("{configuration}.example")
}

fn subject(configuration: &str, mode: Option<PurgeMode>, selectors: Vec<Selector>) -> Subject {
    Subject {
        originator: "owner".parse().unwrap(),
        configuration: configuration.parse().unwrap(),
        mode,
        selectors,
        servers: ["s1".parse().unwrap()].into(),
        whole: true,
        expires_at: None,
        is_verified: false,
    }
}

fn url(configuration: &str, path: &str) -> Selector {
    let text = format!("http://{}{path}", host(configuration));
    Selector::Url(text.parse().unwrap())
}

fn prefix(configuration: &str, path: &str) -> Selector {
    Selector::Prefix(format!("{}{path}", host(configuration)).parse().unwrap())
}

fn purge(configuration: &str, selectors: Vec<Selector>) -> Subject {
    subject(configuration, Some(PurgeMode::Delete), selectors)
}

fn purge_url(configuration: &str, path: &str) -> Subject {
    purge(configuration, vec![url(configuration, path)])
}

fn load(configuration: &str, path: &str) -> Subject {
    subject(configuration, None, vec![url(configuration, path)])
}

fn planned(backlog: &[Subject], room: Room) -> Vec<Option<usize>> {
    let candidate = |subject| Candidate {
        bytes: 10,
        subject: Some(subject),
    };
    compact(&backlog.iter().map(candidate).collect::<Vec<_>>(), room)
}

/// Whether an object is held, and since which load: what a cache knows.
type Cache = BTreeSet<(&'static str, &'static str, usize)>;

fn full() -> Cache {
    let of = |configuration| {
        PATHS
            .into_iter()
            .map(move |path| (configuration, path, usize::MAX))
    };
    CONFIGURATIONS.into_iter().flat_map(of).collect()
}

fn carry_out(cache: &mut Cache, index: usize, subject: &Subject) {
    let meant = |configuration: &str, path: &str| {
        let of_selector = |selector: &Selector| match selector {
            Selector::Url(url) => {
                url.host().as_str() == host(configuration) && url.path_and_query() == path
            }
            Selector::Prefix(part) => {
                part.host.as_str() == host(configuration) && path.starts_with(part.path())
            }
            Selector::Everything => subject.configuration.as_str() == configuration,
            other => panic!("{other:?} is not in this test"),
        };
        subject.selectors.iter().any(of_selector)
    };
    if subject.mode.is_some() {
        cache.retain(|(configuration, path, _)| !meant(configuration, path));
        return;
    }
    for configuration in CONFIGURATIONS {
        for path in PATHS {
            let held = cache
                .iter()
                .any(|(other, held, _)| *other == configuration && *held == path);
            // What is there already is not fetched again: a load after a purge differs from one before it.
            if meant(configuration, path) && !held {
                cache.insert((configuration, path, index));
            }
        }
    }
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let (configuration, path) = (select(&CONFIGURATIONS[..]), select(&PATHS[..]));
    let plain = select(&["/", "/a", "/a/"][..]);
    prop_oneof![
        5 => (configuration.clone(), vec(path.clone(), 1..3)).prop_map(|(configuration, paths)| {
            purge(configuration, paths.iter().map(|path| url(configuration, path)).collect())
        }),
        2 => (configuration.clone(), plain)
            .prop_map(|(configuration, path)| purge(configuration, vec![prefix(configuration, path)])),
        1 => configuration.clone().prop_map(|configuration| purge(configuration, vec![Selector::Everything])),
        1 => (configuration, path).prop_map(|(configuration, path)| load(configuration, path)),
    ]
}

proptest! {
    /// The caches hold the same after a compacted message as after its executions one by one, and what is absorbed is
    /// done by one that is sent, behind it.
    #[test]
    fn a_compacted_backlog_leaves_the_same(backlog in vec(any_subject(), 1..40), most in 1_usize..8) {
        let room = Room { executions: most, ..ROOMY };
        let plan = planned(&backlog, room);
        prop_assert!((1..=backlog.len()).contains(&plan.len()));
        prop_assert!(plan.iter().filter(|by| by.is_none()).count() <= most);
        let (mut whole, mut compacted) = (full(), full());
        for (index, by) in plan.iter().enumerate() {
            carry_out(&mut whole, index, &backlog[index]);
            match by {
                None => carry_out(&mut compacted, index, &backlog[index]),
                Some(by) => {
                    prop_assert!(*by > index && plan[*by].is_none());
                    prop_assert!(covers(&backlog[*by], &backlog[*by].reach(), &backlog[index]));
                }
            }
        }
        prop_assert_eq!(whole, compacted);
    }

    /// Whatever fits without compaction fits with it: a message never covers less of the outbox than a plain batch.
    #[test]
    fn compaction_never_covers_less(backlog in vec(any_subject(), 1..40), most in 1_usize..8) {
        let plan = planned(&backlog, Room { executions: most, ..ROOMY });
        prop_assert!(plan.len() >= most.min(backlog.len()));
    }
}

/// A page that is purged again and again is purged once; the chain ends at the last.
#[test]
fn the_last_one_does_the_work_of_all() {
    let backlog = vec![
        purge_url("shop", "/a"),
        purge_url("news", "/a"),
        purge_url("shop", "/a"),
        purge("shop", vec![prefix("shop", "/a")]),
        purge("shop", vec![Selector::Everything]),
    ];
    assert_eq!(
        planned(&backlog, ROOMY),
        [Some(4), None, Some(4), Some(4), None]
    );
}

/// A load between two purges stays between them, and one of another configuration is in nobody's way.
#[test]
fn nothing_passes_a_load_of_its_configuration() {
    let page = || purge_url("shop", "/a");
    let backlog = vec![
        page(),
        load("shop", "/c"),
        page(),
        load("news", "/c"),
        page(),
    ];
    assert_eq!(planned(&backlog, ROOMY), [None, None, Some(4), None, None]);
}

/// Where the subject of an entry cannot be found, it may be a load of anything.
#[test]
fn nothing_passes_what_is_not_known() {
    let page = purge_url("shop", "/a");
    let of = |subject| Candidate { bytes: 10, subject };
    let backlog = [Some(&page), None, Some(&page), Some(&page)].map(of);
    assert_eq!(compact(&backlog, ROOMY), [None, None, Some(3), None]);
}

/// What is absorbed takes no room, so a message reaches over thousands; one whose absorber does not fit is sent itself.
#[test]
fn the_message_ends_where_the_room_ends() {
    let mut backlog = (0..1_000)
        .map(|index| purge_url("shop", PATHS[index % 3]))
        .collect::<Vec<_>>();
    let three = Room {
        executions: 3,
        ..ROOMY
    };
    let plan = planned(&backlog, three);
    assert_eq!(plan.len(), 1_000);
    assert_eq!(plan.iter().filter(|by| by.is_none()).count(), 3);

    backlog.insert(2, load("shop", "/c"));
    backlog.insert(3, load("shop", "/c"));
    let plan = planned(&backlog, three);
    assert_eq!(plan, [None; 3], "two pages and the first load");

    let bytes = Room { bytes: 5, ..ROOMY };
    assert_eq!(
        planned(&backlog, bytes),
        [None],
        "the first goes whatever it has"
    );
}

/// Purges that have nothing in common cost a bounded time, and the message still goes.
#[test]
fn a_backlog_without_repetition_is_given_up_in_time() {
    let backlog = (0..5_000)
        .map(|index| purge("shop", vec![prefix("shop", &format!("/{index}/"))]))
        .collect::<Vec<_>>();
    let plan = planned(&backlog, ROOMY);
    assert!((300..1_000).contains(&plan.len()), "{}", plan.len());
    assert!(plan.iter().all(Option::is_none));
}
