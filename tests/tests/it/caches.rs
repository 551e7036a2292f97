//! The shipped configurations of the four caches, on the real caches, told by hand what dialects will tell them.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use reqwest::{StatusCode, header};
use tests::{
    caches::{Cache, Kind},
    origin::{Object, Origin},
};

const HOST: &str = "www.one.test";
const OTHER: &str = "www.two.test";

async fn all(origin: &Origin) -> Result<Vec<Cache>> {
    try_join_all(Kind::ALL.map(|kind| Cache::start(kind, origin.address()))).await
}

/// Asks until the cache holds it: the second answer is a hit with the same body.
async fn warm(cache: &Cache, host: &str, path: &str) -> Result<()> {
    let first = cache.probe(host, path).await?;
    let second = cache.probe(host, path).await?;
    ensure!(
        second.hit && first.body == second.body,
        "{:?} does not hold {host}{path}: {second:?}",
        cache.kind()
    );
    Ok(())
}

/// Asks once: it must be a hit or a miss, with that body.
async fn expect(cache: &Cache, host: &str, path: &str, hit: bool, body: &str) -> Result<()> {
    let seen = cache.probe(host, path).await?;
    ensure!(
        seen.hit == hit && seen.body == body,
        "{:?} {host}{path}: expected hit {hit} and {body}, seen {seen:?}",
        cache.kind()
    );
    Ok(())
}

async fn purge(cache: &Cache, path: &str, headers: &[(&str, &str)]) -> Result<StatusCode> {
    Ok(cache.send("PURGE", HOST, path, headers).await?.status())
}

/// How many objects Varnish says it removed or marked.
async fn counted(
    cache: &Cache,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<String> {
    let answer = cache.send("PURGE", host, path, headers).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    let count = answer.headers().get("x-purged").context("no X-Purged")?;
    Ok(count.to_str()?.to_owned())
}

/// The heart of the product, by hand: what was held and old is fresh after a purge, and nothing else moved,
/// neither the same path of another configuration nor another query.
#[tokio::test]
async fn a_purged_url_is_fetched_again_and_nothing_else_is() -> Result<()> {
    let origin = Origin::start().await?;
    let paths = ["/a", "/a?x=1", "/a%20b", "/a%3Fx=1", "/%C3%A9"];
    for path in paths {
        origin.set(path, Object::new("old"));
    }
    for cache in all(&origin).await? {
        for path in paths {
            warm(&cache, HOST, path).await?;
            warm(&cache, OTHER, path).await?;
        }
        for path in paths {
            origin.set(path, Object::new("new"));
            expect(&cache, HOST, path, true, "old").await?;
            ensure!(purge(&cache, path, &[]).await? == StatusCode::OK);
            expect(&cache, HOST, path, false, "new").await?;
            expect(&cache, HOST, path, true, "new").await?;
            expect(&cache, OTHER, path, true, "old").await?;
            origin.set(path, Object::new("old"));
            ensure!(purge(&cache, path, &[]).await? == StatusCode::OK);
            warm(&cache, HOST, path).await?;
        }
    }
    Ok(())
}

/// nginx and Squid keep a variant for each kind of visitor, and a purge finds only the one of its own headers.
/// With the shipped files no visitor gets an old one, whatever the visitor's headers are.
#[tokio::test]
async fn a_purge_leaves_no_variant_behind() -> Result<()> {
    let origin = Origin::start().await?;
    let visitors = [
        ("accept-encoding", "gzip"),
        ("accept-encoding", "br"),
        ("accept-language", "fr"),
    ];
    for cache in all(&origin).await? {
        for (path, vary) in [
            ("/encoding", "Accept-Encoding"),
            ("/language", "Accept-Language"),
        ] {
            origin.set(path, Object::new("old").header("vary", vary));
            for visitor in visitors {
                cache.probe_with(HOST, path, &[visitor]).await?;
                cache.probe_with(HOST, path, &[visitor]).await?;
            }
            origin.set(path, Object::new("new").header("vary", vary));
            purge(&cache, path, &[]).await?;
            for visitor in visitors {
                let seen = cache.probe_with(HOST, path, &[visitor]).await?;
                ensure!(
                    seen.body == "new",
                    "{:?} {path} {visitor:?}: {seen:?}",
                    cache.kind()
                );
            }
        }
    }
    Ok(())
}

/// A purge of what nobody asked for is no failure, and no claim that something was removed.
#[tokio::test]
async fn a_purge_says_when_nothing_was_held() -> Result<()> {
    let origin = Origin::start().await?;
    for cache in all(&origin).await? {
        let answer = cache.send("PURGE", HOST, "/nothing", &[]).await?;
        let count = answer
            .headers()
            .get("x-purged")
            .map(|count| count.to_str().unwrap_or_default());
        let expected = match cache.kind() {
            Kind::Varnish => (StatusCode::OK, Some("0")),
            _ => (StatusCode::NOT_FOUND, None),
        };
        assert_eq!((answer.status(), count), expected, "{:?}", cache.kind());
    }
    Ok(())
}

/// Visitors share the port with adapters. Whoever comes from another address is refused, and nothing is removed.
#[tokio::test]
async fn only_the_adapter_may_purge() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/a", Object::new("old"));
    let _provider = tests::http();
    let stranger = reqwest::Client::builder()
        .no_proxy()
        .local_address(IpAddr::from(Ipv4Addr::new(127, 0, 0, 2)))
        .build()?;
    for cache in all(&origin).await? {
        warm(&cache, HOST, "/a").await?;
        let methods: &[&str] = match cache.kind() {
            Kind::Varnish => &["PURGE", "BAN"],
            _ => &["PURGE"],
        };
        for &method in methods {
            let url = format!("http://{}/a", cache.address());
            let request = stranger.request(method.parse()?, url).header("host", HOST);
            let status = request.send().await?.status();
            assert_eq!(status, StatusCode::FORBIDDEN, "{:?} {method}", cache.kind());
        }
        expect(&cache, HOST, "/a", true, "old").await?;
    }
    Ok(())
}

/// What a load needs to know: held from now on, or not, and why not.
#[tokio::test]
async fn a_cache_tells_what_it_will_not_store() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/large", Object::of_size(10_000_000));
    origin.set("/fits", Object::of_size(1_000_000));
    origin.set(
        "/private",
        Object::new("x").header("cache-control", "private"),
    );
    for cache in all(&origin).await? {
        for (path, stored) in [("/large", false), ("/fits", true), ("/private", false)] {
            let answer = cache.send("GET", HOST, path, &[]).await?;
            let signals = answer.headers().clone();
            answer.bytes().await?;
            let again = cache.probe(HOST, path).await?;
            assert_eq!(
                again.hit,
                stored,
                "{:?} {path} {signals:?} {:?}",
                cache.kind(),
                again.age
            );
            let store = signals
                .get("x-store")
                .map_or("", |value| value.to_str().unwrap_or_default());
            assert_eq!(
                store == "too-large",
                path == "/large",
                "{:?} {path} {signals:?}",
                cache.kind()
            );
            if cache.kind() == Kind::TrafficServer {
                let filled = signals[header::VIA].to_str()?.contains("fW");
                assert_eq!(filled, stored, "{path} {signals:?}");
            }
        }
    }
    Ok(())
}

/// The marks that bans and tags look at are the cache's own business; visitors see none of them.
#[tokio::test]
async fn varnish_keeps_its_marks_to_itself() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/a", Object::new("a").tagged(&["news"]));
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    let answer = varnish.send("GET", HOST, "/a", &[]).await?;
    for name in ["x-host", "x-url", "xkey", "surrogate-key"] {
        assert!(answer.headers().get(name).is_none(), "{name}");
    }
    assert_eq!(answer.headers()["x-cache"], "MISS");
    assert_eq!(answer.headers()["x-store"], "stored");
    Ok(())
}

/// A hard purge counts what it removed. A soft one lets the old object serve once more while it is fetched again.
#[tokio::test]
async fn varnish_counts_and_can_do_it_softly() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/a", Object::new("old"));
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    warm(&varnish, HOST, "/a").await?;
    origin.set("/a", Object::new("new"));
    let soft = [("x-purge-mode", "soft")];
    assert_eq!(counted(&varnish, HOST, "/a", &soft).await?, "1");
    expect(&varnish, HOST, "/a", true, "old").await?;
    let fresh = async || -> Result<()> { expect(&varnish, HOST, "/a", true, "new").await };
    tests::wait::until(
        std::time::Duration::from_secs(10),
        "the new object is served",
        fresh,
    )
    .await?;
    // Two objects: the one that is fresh, and the stale one that is not yet thrown away, if it is still there.
    assert_ne!(counted(&varnish, HOST, "/a", &[]).await?, "0");
    // What is purged can be hit no more; the thread that expires objects takes it off the list a moment later.
    let gone = async || -> Result<()> {
        let count = counted(&varnish, HOST, "/a", &[]).await?;
        ensure!(count == "0", "{count} are still counted");
        Ok(())
    };
    tests::wait::until(
        std::time::Duration::from_secs(10),
        "nothing is held any more",
        gone,
    )
    .await
}

/// A tag means one configuration's objects; another customer on the same cache may use the same word.
#[tokio::test]
async fn varnish_purges_tags_of_one_host_only() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/1", Object::new("old").tagged(&["news", "front"]));
    origin.set("/2", Object::new("old").tagged(&["news"]));
    origin.set("/3", Object::new("old").tagged(&["newspaper"]));
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    for path in ["/1", "/2", "/3"] {
        warm(&varnish, HOST, path).await?;
        warm(&varnish, OTHER, path).await?;
    }
    for (tag, count) in [("news", "2"), ("nobody", "0")] {
        let tag = [("x-purge-tags", tag)];
        assert_eq!(counted(&varnish, HOST, "/", &tag).await?, count, "{tag:?}");
    }
    for (path, held) in [("/1", false), ("/2", false), ("/3", true)] {
        expect(&varnish, HOST, path, held, "old").await?;
        expect(&varnish, OTHER, path, true, "old").await?;
    }
    let soft = [("x-purge-tags", "front"), ("x-purge-mode", "soft")];
    assert_eq!(counted(&varnish, OTHER, "/", &soft).await?, "1");
    expect(&varnish, OTHER, "/1", true, "old").await
}

/// An origin that finds its object unchanged need not repeat the tags, and may give new ones: both are known after it.
#[tokio::test]
async fn varnish_knows_an_objects_tags_after_it_was_found_unchanged() -> Result<()> {
    let origin = Origin::start().await?;
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    let tagged = |tag| Object::new("same").header("xkey", tag);
    for (path, unchanged, tag) in [
        ("/silent", Object::new("same"), "red"),
        ("/same", tagged("red"), "red"),
        ("/other", tagged("blue"), "blue"),
    ] {
        origin.set(path, tagged("red"));
        warm(&varnish, HOST, path).await?;
        origin.set(path, unchanged);
        // Twice: what was stored after a 304 is compared again.
        for fetches in [2, 3] {
            counted(&varnish, HOST, path, &[("x-purge-mode", "soft")]).await?;
            let fresh = async || -> Result<()> {
                let answer = varnish.send("GET", HOST, path, &[]).await?;
                ensure!(answer.headers()["x-cache"] == "HIT", "{answer:?}");
                ensure!(origin.fetches(HOST, path) == fetches);
                Ok(())
            };
            let limit = std::time::Duration::from_secs(10);
            tests::wait::until(limit, "the object is fresh again", fresh).await?;
        }
        let by_tag = [("x-purge-tags", tag)];
        assert_ne!(counted(&varnish, HOST, "/", &by_tag).await?, "0", "{path}");
        expect(&varnish, HOST, path, false, "same").await?;
    }
    Ok(())
}

/// Visitors write one host name in several ways; a purge removes what any of them stored.
#[tokio::test]
async fn a_purge_finds_every_spelling_of_the_host_name() -> Result<()> {
    let origin = Origin::start().await?;
    // Traffic Server maps no host name with a port, so it stores none.
    let mut caches = all(&origin).await?;
    caches.retain(|cache| cache.kind() != Kind::TrafficServer);
    for cache in caches {
        for spelling in [
            "WWW.one.test",
            "www.one.test:8080",
            "www.one.test.",
            "www.one.test.:80",
        ] {
            origin.set("/a", Object::new("old"));
            warm(&cache, spelling, "/a").await?;
            origin.set("/a", Object::new("new"));
            let status = purge(&cache, "/a", &[]).await?;
            assert_eq!(status, StatusCode::OK, "{:?} {spelling}", cache.kind());
            expect(&cache, spelling, "/a", false, "new").await?;
            purge(&cache, "/a", &[]).await?;
        }
    }
    Ok(())
}

/// A ban hides what matches, of one host; without an expression, everything of that host.
#[tokio::test]
async fn varnish_bans_within_one_host_only() -> Result<()> {
    let origin = Origin::start().await?;
    let paths = ["/img/1.png", "/img/2.png?x=1", "/css/1.css"];
    for path in paths {
        origin.set(path, Object::new("old"));
    }
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    for path in paths {
        warm(&varnish, HOST, path).await?;
        warm(&varnish, OTHER, path).await?;
    }
    let regex = [("x-ban-regex", r"^/img/\d\.png(\?.*)?$")];
    let answer = varnish.send("BAN", HOST, "/", &regex).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    for (path, held) in paths.into_iter().zip([false, false, true]) {
        expect(&varnish, HOST, path, held, "old").await?;
    }
    assert_eq!(
        varnish.send("BAN", HOST, "/", &[]).await?.status(),
        StatusCode::OK
    );
    for path in paths {
        expect(&varnish, HOST, path, false, "old").await?;
        expect(&varnish, OTHER, path, true, "old").await?;
    }
    Ok(())
}

/// A hostile expression or host name is refused; it cannot add a second condition or take one away.
#[tokio::test]
async fn varnish_refuses_expressions_that_break_out() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/a", Object::new("old"));
    let varnish = Cache::start(Kind::Varnish, origin.address()).await?;
    warm(&varnish, OTHER, "/a").await?;
    for regex in [
        "x && obj.status == 200",
        "x\t&&\tobj.status == 200",
        r#"x" && obj.status == "200"#,
        r#"x""#,
        "(",
        "[",
    ] {
        let answer = varnish
            .send("BAN", HOST, "/", &[("x-ban-regex", regex)])
            .await?;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{regex}");
    }
    for host in [
        "a.test && obj.status == 200",
        "x\"",
        "a.test/../www.two.test",
        "a test",
    ] {
        let answer = varnish.send("BAN", host, "/", &[]).await?;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{host}");
    }
    expect(&varnish, OTHER, "/a", true, "old").await
}
