//! What caches are told, by exact key and by expression.

use super::*;

/// Caches take a `PURGE` with a host or with a whole URL; Varnish also bans, and purges by tag.
#[test]
fn caches_are_read() {
    let call = |method: &str, host: &str, path: &str| {
        NativeCall::new(method, (!host.is_empty()).then_some(host), path, Vec::new())
    };
    let www = "www.example.com";
    let ban = |regex: &str| call("BAN", www, "/").header("X-Ban-Regex", regex);
    let tags = |host: &str| call("PURGE", host, "/").header("X-Purge-Tags", "a b,c");
    let lines = [
        asked("squid", &call("PURGE", "", URL)),
        asked("nginx", &call("PURGE", "www.example.com:8080", "/a")),
        asked("traffic-server", &call("GET", www, "/a")),
        asked("nginx", &call("BAN", www, "/a")),
        asked("nginx", &call("PURGE", "", "/a")),
        asked("nginx", &call("PURGE", "www.example.com:8/b", "/a")),
        asked(
            "varnish",
            &call("PURGE", www, "/a").header("x-purge-mode", "soft"),
        ),
        asked("varnish", &tags(www)),
        asked("varnish", &tags("www.other.example")),
        asked("varnish", &call("BAN", www, "/")),
        asked("varnish", &ban(r"^/img/a\.b")),
        asked("varnish", &ban(r"^/img/\d+$")),
        asked("varnish", &ban("(?=a)")),
        asked(
            "varnish",
            &ban(r"^/img/(?>[^?]*?large\-)[^?]*\.png(?:\?|$)"),
        ),
        asked("acme", &call("PURGE", www, "/a")),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Delete) https://www.example.com/a/b?x=1
    Purge(Delete) https://www.example.com:8080/a
    Load https://www.example.com/a
    method must be PURGE or GET
    host the name: must be a DNS host name without port, not an IP address
    host must have a number for its port
    Purge(Invalidate) https://www.example.com/a
    Purge(Delete) tag a | tag b | tag c
    host must be one of the host names of the configuration
    Purge(Delete) host www.example.com
    Purge(Delete) www.example.com/img/a.b…
    Purge(Delete) www.example.com ~ ^/img/\d+$
    headers x-ban-regex: must be a regular expression that means the same to Varnish as here
    headers x-ban-regex: must be a regular expression that means the same to Varnish as here
    dialect must be one of varnish, nginx, squid, traffic-server, agent, canonical, fastly, cloudflare, akamai, cloudfront, cloudfront-tenant, google-cloud-cdn, google-media-cdn, bunny, edgecast, alibaba-cloud-cdn, varnish-broadcaster, cloudflare-zone, or the mapping by which the caller is told
    "##);
}

/// A prefix survives Varnish's expression with all that stands for something else there.
#[test]
fn a_prefix_comes_back_from_its_expression() {
    let command = fixture::command(DELETE, vec![prefix("www.example.com/a.b/(c)+$[d]^")]);
    let call = fixture::translate(by_name(&"varnish".parse().unwrap()).unwrap(), &command).unwrap();
    let asked = read("varnish", &call[0], &hosts()).unwrap();
    assert_eq!(asked.selectors, command.selectors);
}
