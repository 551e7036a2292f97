//! Looking afterwards: which URLs an adapter asks for once it has carried a command out, and what it expects of them.
//!
//! Invariant: a probe is content that a selector of the command means, so what is found there says something of the
//! command; a selector that no probe stands for is named, and never counted as looked at.
//! Not here: how what was seen is judged (`dialects::probe`), and who may name which host (`broker::verify`).

use serde::{Deserialize, Serialize};

use crate::{
    Command, Operation, PurgeMode, Selector,
    limits::PROBES_PER_COMMAND,
    selector::{ContentUrl, HostPath},
};

/// That somebody shall look afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verification {
    /// Sample URLs, for selectors that name none; at most [`PROBES_PER_COMMAND`]. URL selectors are looked at without being
    /// named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<ContentUrl>,
}

/// What an adapter looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// What it should find.
    pub expect: Expect,
    /// At most [`PROBES_PER_COMMAND`].
    pub probes: Vec<Probe>,
    /// Selectors that none of them stands for: of these nothing is proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<u32>,
}

/// What is expected of content that a command was carried out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Nothing older than the command is served.
    Gone,
    /// It may serve once more what was marked stale, and then nothing older than the command.
    Refreshed,
    /// It is served from the cache.
    Held,
}

/// One URL that is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which.
    pub url: ContentUrl,
    /// The selectors of the command that mean it, counted from 0: what is told again where it is found stale.
    pub selectors: Vec<u32>,
    /// Whether all of them name just this URL. Otherwise it stands for more, and where there is nothing, nothing is shown of that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
}

impl Probes {
    /// What is to be looked at for a command; `None` where nobody asked for it or there is nothing to be seen.
    ///
    /// The URLs that the originator named come first, then those of URL selectors, up to the limit.
    pub fn of(command: &Command) -> Option<Self> {
        let verification = command.verification.as_ref()?;
        let expect = expectation(&command.operation)?;
        let named = verification.urls.iter();
        let selected = command
            .selectors
            .iter()
            .filter_map(|selector| match selector {
                Selector::Url(url) => Some(url),
                _ => None,
            });
        let mut urls: Vec<&ContentUrl> = Vec::new();
        for url in named.chain(selected) {
            if urls.len() == PROBES_PER_COMMAND {
                break;
            }
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        let probes: Vec<Probe> = urls
            .into_iter()
            .map(|url| {
                let selectors = meaning(&command.selectors, url);
                let mut meant = (0..).zip(&command.selectors);
                Probe {
                    url: url.clone(),
                    exact: meant.all(|(number, selector)| {
                        matches!(selector, Selector::Url(_)) || !selectors.contains(&number)
                    }),
                    selectors,
                }
            })
            .collect();
        let covered = |number: &u32| probes.iter().any(|probe| probe.selectors.contains(number));
        let uncovered = (0..).take(command.selectors.len());
        let uncovered = uncovered.filter(|number| !covered(number)).collect();
        Some(Self {
            expect,
            probes,
            uncovered,
        })
    }
}

/// What is expected after an operation; `None` where that cannot be seen from outside.
pub const fn expectation(operation: &Operation) -> Option<Expect> {
    match operation {
        Operation::Purge(PurgeMode::Delete | PurgeMode::Deferred) => Some(Expect::Gone),
        Operation::Purge(PurgeMode::Invalidate) => Some(Expect::Refreshed),
        Operation::Load => Some(Expect::Held),
        Operation::Custom(_) => None,
    }
}

/// The selectors that mean a URL, counted from 0. What has a tag only the caches know, so a tag may mean any URL.
pub fn meaning(selectors: &[Selector], url: &ContentUrl) -> Vec<u32> {
    let numbered = (0..).zip(selectors);
    let meaning = numbered.filter(|(_, selector)| may_mean(selector, url));
    meaning.map(|(number, _)| number).collect()
}

fn may_mean(selector: &Selector, url: &ContentUrl) -> bool {
    let target = url.path_and_query();
    match selector {
        Selector::Url(own) => own.without_scheme() == url.without_scheme(),
        Selector::Prefix(HostPath { host, .. }) | Selector::Wildcard(HostPath { host, .. })
            if host != url.host() =>
        {
            false
        }
        Selector::Prefix(part) => target.starts_with(part.path()),
        Selector::Wildcard(part) => {
            let path = target.split_once('?').map_or(target, |(path, _)| path);
            matches_wildcard(part.path(), path)
        }
        Selector::Regex(regex) => regex.host == *url.host() && regex.matches(target),
        Selector::Host(host) => host == url.host(),
        Selector::Tag(_) | Selector::Everything => true,
    }
}

/// Whether the whole path matches a pattern in which `*` is any run of characters.
fn matches_wildcard(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    // The first place where a part fits leaves the most to those that follow.
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        CommandId, Scope, Timestamp, command::WhenImpossible, fidelity::Ceiling,
        selector::HostRegex,
    };

    fn url(text: &str) -> ContentUrl {
        text.parse().unwrap()
    }

    fn command(operation: Operation, selectors: Vec<Selector>, named: &[&str]) -> Command {
        Command {
            id: "01890a5d-ac96-774b-bcce-b302099a8057"
                .parse::<CommandId>()
                .unwrap(),
            originator: "a".parse().unwrap(),
            configuration: "shop".parse().unwrap(),
            operation,
            selectors,
            scope: Scope::default(),
            ceiling: Ceiling::default(),
            when_impossible: WhenImpossible::default(),
            verification: Some(Verification {
                urls: named.iter().map(|text| url(text)).collect(),
            }),
            request_id: None,
            accepted_at: Timestamp::default(),
            not_before: None,
            expires_at: None,
            traceparent: None,
            tracestate: None,
        }
    }

    const PURGE: Operation = Operation::Purge(PurgeMode::Delete);

    /// URL selectors are looked at themselves; for a prefix and a tag the originator's samples stand, and what nothing
    /// stands for is named.
    #[test]
    fn every_selector_is_looked_at_or_named() {
        let selectors = vec![
            Selector::Url(url("https://a.example/1")),
            Selector::Prefix("a.example/img/".parse().unwrap()),
            Selector::Prefix("a.example/css/".parse().unwrap()),
        ];
        let probes = Probes::of(&command(PURGE, selectors.clone(), &[])).unwrap();
        assert_eq!(probes.expect, Expect::Gone);
        assert_eq!(probes.uncovered, [1, 2]);
        let sampled = command(PURGE, selectors, &["http://a.example/img/x.png?v=1"]);
        let probes = Probes::of(&sampled).unwrap();
        let looked: Vec<_> = probes
            .probes
            .iter()
            .map(|probe| {
                let selectors = probe.selectors.clone();
                (probe.url.path_and_query(), selectors, probe.exact)
            })
            .collect();
        let sample = ("/img/x.png?v=1", vec![1], false);
        assert_eq!(looked, [sample, ("/1", vec![0], true)]);
        assert_eq!(probes.uncovered, [2]);
        // Where a wider selector means the URL too, it stands for more than itself.
        let both = vec![
            Selector::Url(url("https://a.example/img/1")),
            Selector::Prefix("a.example/img/".parse().unwrap()),
        ];
        let probes = Probes::of(&command(PURGE, both, &[])).unwrap();
        assert!(!probes.probes[0].exact);
    }

    /// A thousand URLs are not a thousand probes: those past the limit are named as not looked at.
    #[test]
    fn the_number_of_probes_is_bounded() {
        let each = |number| Selector::Url(url(&format!("https://a.example/{number}")));
        let probes = Probes::of(&command(PURGE, (0..1_000).map(each).collect(), &[])).unwrap();
        assert_eq!(probes.probes.len(), PROBES_PER_COMMAND);
        assert_eq!(probes.probes.len() + probes.uncovered.len(), 1_000);
    }

    /// Nobody asked, or nobody can see it.
    #[test]
    fn what_nobody_asked_for_or_can_see_is_not_looked_at() {
        let mut unasked = command(PURGE, vec![Selector::Everything], &["https://a.example/"]);
        unasked.verification = None;
        assert_eq!(Probes::of(&unasked), None);
        let expects = |operation| {
            Probes::of(&command(
                operation,
                vec![Selector::Everything],
                &["https://a.example/"],
            ))
            .map(|probes| probes.expect)
        };
        assert_eq!(expects(Operation::Load), Some(Expect::Held));
        assert_eq!(
            expects(Operation::Purge(PurgeMode::Invalidate)),
            Some(Expect::Refreshed)
        );
        let custom = crate::operation::CustomOperation {
            name: "reindex".parse().unwrap(),
            repeatable: true,
            parameters: [].into(),
        };
        assert_eq!(expects(Operation::Custom(custom)), None);
    }

    /// A selector means a URL as the caches would: the scheme never matters, a wildcard sees no query, another host is
    /// another host.
    #[test]
    fn a_selector_means_what_it_would_reach() {
        let host = || "a.example".parse().unwrap();
        let regex = Selector::Regex(HostRegex::new(host(), r"^/img/\d+\.png(\?|$)").unwrap());
        let wildcard = |text: &str| Selector::Wildcard(text.parse().unwrap());
        for (selector, inside, outside) in [
            (
                Selector::Url(url("https://a.example/a?x=1")),
                "http://a.example/a?x=1",
                "http://a.example/a",
            ),
            (
                Selector::Prefix("a.example/img/".parse().unwrap()),
                "http://a.example/img/1",
                "http://b.example/img/1",
            ),
            (
                wildcard("a.example/*/b*.png"),
                "http://a.example/x/y/b1.png?v=2",
                "http://a.example/x/c.png",
            ),
            (
                wildcard("a.example/a"),
                "http://a.example/a?x",
                "http://a.example/ab",
            ),
            (
                regex,
                "http://a.example/img/7.png",
                "http://a.example/img/x.png",
            ),
            (
                Selector::Host(host()),
                "http://a.example/",
                "http://b.example/",
            ),
        ] {
            assert_eq!(meaning(std::slice::from_ref(&selector), &url(inside)), [0]);
            assert_eq!(
                meaning(std::slice::from_ref(&selector), &url(outside)),
                [0_u32; 0],
                "{selector}"
            );
        }
    }

    proptest! {
        /// The quick match says what the expression would.
        #[test]
        fn a_wildcard_is_an_expression(pattern in "/[ab*]{0,6}", path in "/[ab]{0,8}") {
            let expression = format!("^{}$", pattern.replace('*', ".*"));
            let expected = regex::Regex::new(&expression).unwrap().is_match(&path);
            prop_assert_eq!(matches_wildcard(&pattern, &path), expected);
        }
    }
}
