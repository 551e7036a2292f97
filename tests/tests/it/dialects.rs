//! The dialects on the caches that they speak to: what is said is done, and what is answered is understood.

use anyhow::{Context, Result, ensure};
use dialects::{Answer, Site, Verdict};
use domain::{
    Ceiling, Command, Configuration, ExecutionId, Finding, Operation, PurgeMode, Scope, Selector,
    Timestamp, command::WhenImpossible, selector::HostRegex,
};
use futures::future::try_join_all;
use tests::{
    caches::{Cache, Kind},
    origin::{Object, Origin},
};

const HOST: &str = "www.one.test";
const IMAGES: &str = "img.one.test";
/// Another customer's, on the same cache.
const OTHER: &str = "www.two.test";

const DELETE: Operation = Operation::Purge(PurgeMode::Delete);

async fn all(origin: &Origin) -> Result<Vec<Cache>> {
    try_join_all(Kind::ALL.map(|kind| Cache::start(kind, origin.address()))).await
}

fn command(operation: Operation, selectors: Vec<Selector>) -> Result<Command> {
    Ok(Command {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".parse()?,
        originator: "cdn-a".parse()?,
        configuration: "shop".parse()?,
        operation,
        selectors,
        scope: Scope::default(),
        ceiling: Ceiling::default(),
        when_impossible: WhenImpossible::default(),
        request_id: None,
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
        not_before: None,
        verification: None,
        tracestate: None,
        expires_at: None,
        traceparent: None,
    })
}

/// Says one selector to a cache as its adapter would, and gives what each call was found to mean.
async fn tell(cache: &Cache, operation: Operation, selector: Selector) -> Result<Vec<Verdict>> {
    let dialect = dialects::by_name(&cache.kind().dialect().parse()?).context("no such dialect")?;
    let configuration = Configuration {
        id: "shop".parse()?,
        customer: "acme".parse()?,
        owner: "cdn-a".parse()?,
        hosts: vec![HOST.parse()?, IMAGES.parse()?],
        wide_purges_need_approval: None,
    };
    let execution: ExecutionId = "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b".parse()?;
    let site = Site {
        execution: &execution,
        configuration: &configuration,
        servers: &[],
        limits: &domain::NativeLimits::NONE,
    };
    let mut verdicts = Vec::new();
    for call in dialect.translate(&command(operation, vec![selector])?, &site)? {
        verdicts.push(dialect.judge(&call, &send(cache, &call).await?));
    }
    Ok(verdicts)
}

async fn send(cache: &Cache, call: &domain::NativeCall) -> Result<Answer> {
    let headers: Vec<_> = call
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let host = call.host.as_deref().context("a call names its host")?;
    let answer = cache.send(&call.method, host, &call.path, &headers).await?;
    let headers = answer.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.to_string(), value.into_owned())
    });
    Ok(Answer {
        status: answer.status().as_u16(),
        headers: headers.collect(),
        body: answer.text().await?,
    })
}

/// What was found, whether the call reached its aim or not.
fn findings(verdicts: &[Verdict]) -> Vec<Finding> {
    let finding = |verdict: &Verdict| match verdict {
        Verdict::Done { finding, .. } => Some(finding.clone()),
        Verdict::Failed { finding, .. } => finding.clone(),
        Verdict::Estimated { .. } | Verdict::Each { .. } | Verdict::Running { .. } => None,
    };
    verdicts.iter().filter_map(finding).collect()
}

fn url(text: &str) -> Selector {
    Selector::Url(text.parse().expect("tests name URLs that parse"))
}

fn regex(pattern: &str) -> Selector {
    let host = HOST.parse().expect("it is a host name");
    Selector::Regex(HostRegex::new(host, pattern).expect("tests name expressions that parse"))
}

async fn warm(cache: &Cache, host: &str, path: &str) -> Result<()> {
    cache.probe(host, path).await?;
    let held = cache.probe(host, path).await?.hit;
    ensure!(held, "{:?} does not hold {host}{path}", cache.kind());
    Ok(())
}

/// The whole life of an object on each kind of cache: loaded, found, purged, gone, and purged in vain.
#[tokio::test]
async fn every_cache_loads_and_purges_a_url() -> Result<()> {
    let origin = Origin::start().await?;
    let target = "/a%2Fb.html?x=%C3%A9&y=1";
    origin.set(target, Object::new("old"));
    for cache in all(&origin).await? {
        let kind = cache.kind();
        let page = || url(&format!("https://{HOST}{target}"));
        let loaded = tell(&cache, Operation::Load, page()).await?;
        assert_eq!(findings(&loaded), [Finding::Stored], "{kind:?}");
        let again = tell(&cache, Operation::Load, page()).await?;
        assert_eq!(findings(&again), [Finding::AlreadyThere], "{kind:?}");
        warm(&cache, OTHER, target).await?;

        origin.set(target, Object::new("new"));
        let removed = Finding::Removed((kind == Kind::Varnish).then_some(1));
        assert_eq!(
            findings(&tell(&cache, DELETE, page()).await?),
            // Nobody wrote the percent-encoding in lower case.
            [removed, Finding::NothingHeld],
            "{kind:?}"
        );
        let seen = cache.probe(HOST, target).await?;
        assert!(!seen.hit && seen.body == "new", "{kind:?} {seen:?}");
        assert!(cache.probe(OTHER, target).await?.hit, "{kind:?}");
        tell(&cache, DELETE, page()).await?;
        let nothing = tell(&cache, DELETE, page()).await?;
        let held = findings(&nothing);
        assert!(
            held.iter().all(|finding| *finding == Finding::NothingHeld),
            "{kind:?} {held:?}"
        );
        origin.set(target, Object::new("old"));
    }
    Ok(())
}

/// A visitor wrote the percent-encoding in lower case, and the originator names the page in lower case too, or not.
#[tokio::test]
async fn a_purge_finds_the_other_spelling() -> Result<()> {
    let origin = Origin::start().await?;
    for cache in all(&origin).await? {
        for named in ["/%c3%a9", "/%C3%A9"] {
            for path in ["/%c3%a9", "/%C3%A9"] {
                origin.set(path, Object::new("old"));
                warm(&cache, HOST, path).await?;
            }
            tell(&cache, DELETE, url(&format!("http://{HOST}{named}"))).await?;
            for path in ["/%c3%a9", "/%C3%A9"] {
                let seen = cache.probe(HOST, path).await?;
                assert!(!seen.hit, "{:?} {named} {path}", cache.kind());
            }
        }
    }
    Ok(())
}

/// Each reason for which a load stores nothing is told apart, on each kind of cache.
#[tokio::test]
async fn a_load_says_why_nothing_was_stored() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/large", Object::of_size(10_000_000));
    origin.set(
        "/private",
        Object::new("x").header("cache-control", "private"),
    );
    origin.set(
        "/never",
        Object::new("x").header("cache-control", "no-store"),
    );
    origin.set(
        "/broken",
        Object::failing(500).header("cache-control", "no-store"),
    );
    for cache in all(&origin).await? {
        for (path, expected) in [
            ("/large", Finding::TooLarge),
            ("/private", Finding::RefusedByRules),
            ("/never", Finding::RefusedByRules),
            ("/missing", Finding::OriginStatus(404)),
            ("/broken", Finding::OriginStatus(500)),
        ] {
            let verdicts = tell(
                &cache,
                Operation::Load,
                url(&format!("http://{HOST}{path}")),
            )
            .await?;
            assert!(
                matches!(verdicts[..], [Verdict::Failed { .. }]),
                "{path} {verdicts:?}"
            );
            assert_eq!(findings(&verdicts), [expected], "{:?} {path}", cache.kind());
        }
    }
    Ok(())
}

/// What each selector removes of a small site, and that the other customer's same paths stay.
#[tokio::test]
async fn varnish_removes_just_what_is_selected() -> Result<()> {
    let origin = Origin::start().await?;
    let paths = [
        "/",
        "/img/1.png",
        "/img/22.jpg?x=1",
        "/img/large/a-b.png",
        "/css/1.css",
    ];
    for path in paths {
        origin.set(path, Object::new("old"));
    }
    origin.set("/", Object::new("old").tagged(&["news", "home"]));
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    let cases = [
        (
            Selector::Prefix(format!("{HOST}/img/").parse()?),
            vec![1, 2, 3],
        ),
        (
            Selector::Wildcard(format!("{HOST}/*g/*.png").parse()?),
            vec![1, 3],
        ),
        (
            Selector::Wildcard(format!("{HOST}/img/*.jpg").parse()?),
            vec![2],
        ),
        (Selector::Wildcard(format!("{HOST}/").parse()?), vec![0]),
        (regex(r"^/img/\d+\.(png|jpg)(\?|$)"), vec![1, 2]),
        (regex(r"(?i)\.PNG$"), vec![1, 3]),
        (regex(r"x=[[:digit:]&&[^2-9]]"), vec![2]),
        (Selector::Tag("news".parse()?), vec![0]),
        (Selector::Host(HOST.parse()?), vec![0, 1, 2, 3, 4]),
        (Selector::Everything, vec![0, 1, 2, 3, 4]),
    ];
    for path in paths {
        warm(&varnish, OTHER, path).await?;
    }
    for (selector, gone) in cases {
        for mode in [PurgeMode::Delete, PurgeMode::Deferred] {
            if mode == PurgeMode::Deferred && matches!(selector, Selector::Tag(_)) {
                continue;
            }
            for path in paths {
                warm(&varnish, HOST, path).await?;
                warm(&varnish, IMAGES, path).await?;
            }
            let verdicts = tell(&varnish, Operation::Purge(mode), selector.clone()).await?;
            assert!(
                verdicts
                    .iter()
                    .all(|verdict| matches!(verdict, Verdict::Done { .. })),
                "{verdicts:?}"
            );
            let both_hosts = matches!(selector, Selector::Tag(_) | Selector::Everything);
            for (number, path) in paths.into_iter().enumerate() {
                let selected = gone.contains(&number);
                let hits = [HOST, IMAGES, OTHER].map(async |host| varnish.probe(host, path).await);
                let hits: Vec<_> = try_join_all(hits)
                    .await?
                    .iter()
                    .map(|seen| seen.hit)
                    .collect();
                let expected = [!selected, !(selected && both_hosts), true];
                assert_eq!(hits, expected, "{selector} {mode:?} {path}");
            }
        }
    }
    Ok(())
}

/// Soft where Varnish can: the old object serves once more, or until the new one is there.
#[tokio::test]
async fn varnish_invalidates_softly_where_it_can() -> Result<()> {
    let origin = Origin::start().await?;
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    for (path, selector) in [
        ("/a", url(&format!("http://{HOST}/a"))),
        ("/b", Selector::Tag("news".parse()?)),
    ] {
        origin.set(path, Object::new("old").tagged(&["news"]));
        warm(&varnish, HOST, path).await?;
        origin.set(path, Object::new("new").tagged(&["news"]));
        let verdicts = tell(&varnish, Operation::Purge(PurgeMode::Invalidate), selector).await?;
        let counted = matches!(findings(&verdicts)[0], Finding::Invalidated(Some(1..)));
        assert!(counted, "{verdicts:?}");
        let seen = varnish.probe(HOST, path).await?;
        assert!(seen.hit && seen.body == "old", "{seen:?}");
    }
    Ok(())
}

/// A ban that takes too many steps makes Varnish panic, and everybody's content is lost. These are the longest walks
/// that the dialect lets through, on the URLs that make them longest.
#[tokio::test]
async fn no_expression_takes_varnish_down() -> Result<()> {
    let origin = Origin::start().await?;
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    origin.set("/keep", Object::new("keep"));
    warm(&varnish, OTHER, "/keep").await?;
    let long = |unit: &str| format!("/{}", &unit.repeat(4_094)[..4_094]);
    let wildcard = |pattern: &str| {
        let part = format!("{HOST}{pattern}").parse();
        Selector::Wildcard(part.expect("tests name patterns that parse"))
    };
    let cases = [
        (wildcard("/*b*b*b*b*b*b*c"), long("b")),
        (wildcard("/*ab*ab*ab*ax*.png"), long("ab")),
        (wildcard("/*aaaaaaaaaaaab*c"), long("a")),
        (regex(r"^/.*\.(?:png|jpe?g|gif|webp)$"), long(".")),
        (regex(r"^/.*(?:ab|ac)[0-9]$"), long("ab")),
        (regex(r"^/(?:[a-z]+/)*[0-9]$"), long("a/")),
        (regex(r"^/(?:ab)*[x0-9]$"), long("ab")),
        (regex(r"[a-z]*[0-9]$"), long("a")),
        (regex(r"(?:[a-z][a-z])*[0-9]$"), long("a")),
    ];
    for (selector, path) in cases {
        origin.set(&path, Object::new("x"));
        warm(&varnish, HOST, &path).await?;
        let verdicts = tell(&varnish, DELETE, selector.clone()).await?;
        assert_eq!(findings(&verdicts), [Finding::Banned], "{selector}");
        ensure!(varnish.probe(HOST, &path).await?.hit, "{selector} matched");
        ensure!(
            varnish.probe(OTHER, "/keep").await?.hit,
            "{selector} took Varnish down"
        );
    }
    Ok(())
}

/// A URL that no command could name is served and not stored.
#[tokio::test]
async fn varnish_stores_no_url_that_no_command_can_name() -> Result<()> {
    let origin = Origin::start().await?;
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    let path = format!("/{}", "a".repeat(4_096));
    origin.set(&path, Object::new("x"));
    for _ in 0..2 {
        let seen = varnish.probe(HOST, &path).await?;
        assert_eq!((seen.hit, seen.body.as_str()), (false, "x"));
    }
    Ok(())
}
