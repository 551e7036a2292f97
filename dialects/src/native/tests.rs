//! What providers' own documentation shows is read, what is meant otherwise is refused, and what we say we can read.

use domain::Fidelity;
use proptest::prelude::*;

use super::*;
use crate::{
    by_name, fixture,
    vendor::fixture::{DELETE, INVALIDATE, host, prefix, tag},
};

const URL: &str = "https://www.example.com/a/b?x=1";

fn hosts() -> Vec<HostName> {
    let names = [fixture::HOST, "img.example.com"];
    names.map(|name| name.parse().unwrap()).to_vec()
}

fn request(method: &str, path: &str, body: &str) -> NativeCall {
    NativeCall {
        body: (!body.is_empty()).then(|| body.to_owned()),
        ..NativeCall::new(method, None, path, Vec::new())
    }
}

/// What is asked in one line, or the mistake.
fn asked(dialect: &str, request: &NativeCall) -> String {
    match read(dialect, request, &hosts()) {
        Ok(asked) => {
            let selectors: Vec<_> = asked.selectors.iter().map(ToString::to_string).collect();
            format!("{:?} {}", asked.operation, selectors.join(" | "))
        }
        Err(mistake) => mistake.to_string(),
    }
}

/// Akamai's own examples: whole URLs, paths beside a host name, tags, a CP code; staging is another network.
#[test]
fn akamai_is_read() {
    let post = |path: &str, body: &str| asked("akamai", &request("POST", path, body));
    let lines = [
        post(
            "/ccu/v3/delete/url/production",
            r#"{"objects":["https://www.example.com/a/b?x=1","http://img.example.com/c"]}"#,
        ),
        post(
            "/ccu/v3/invalidate/url?accountSwitchKey=1-2",
            r#"{"hostname":"www.example.com","objects":["/a","/b"]}"#,
        ),
        post("/ccu/v3/invalidate/tag", r#"{"objects":["red","blue"]}"#),
        post("/ccu/v3/delete/cpcode", r#"{"objects":[12345]}"#),
        post("/ccu/v3/delete/cpcode", r#"{"objects":[12345,6]}"#),
        post("/ccu/v3/delete/url/staging", r#"{"objects":[]}"#),
        post("/ccu/v3/delete/url", r#"{"objects":["/a"]}"#),
        post("/ccu/v3/delete/url", r#"{"objects":[1]}"#),
        post(
            "/ccu/v3/delete/tag",
            r#"{"objects":["a"],"hostname":"www.example.com"}"#,
        ),
        post("/ccu/v3/delete/tag", r#"{"objects":[]}"#),
        post("/ccu/v3/delete/tag", "<html>"),
        asked("akamai", &request("GET", "/ccu/v3/delete/tag", "")),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Purge(Delete) https://www.example.com/a/b?x=1 | http://img.example.com/c
    Purge(Invalidate) https://www.example.com/a | https://www.example.com/b
    Purge(Invalidate) tag red | tag blue
    Purge(Delete) everything
    body objects: must be one number, a CP code
    path must be `/ccu/v3/`, invalidate or delete, url or tag or cpcode, and nothing or `production`
    body objects[0]: must be an absolute http or https URL
    body objects[0]: must be a text
    body must have no members but objects
    body must name 1 to 1000 things to purge (SELECTORS_PER_COMMAND)
    body must be a JSON object
    method must be POST
    "#);
}

/// Fastly's ways: a URL, `PURGE` on it, one key, a batch in the body or in a header, a whole service; soft where it can be.
#[test]
fn fastly_is_read() {
    let post = |path: &str, body: &str| request("POST", path, body);
    let soft = |call: NativeCall| call.header("Fastly-Soft-Purge", "1");
    let purge = NativeCall::new("PURGE", Some("www.example.com"), "/a", Vec::new());
    let lines = [
        post("/purge/www.example.com/a/b?x=1", ""),
        soft(purge),
        soft(post("/service/abc/purge/a%2Fb", "")),
        post("/service/abc/purge", r#"{"surrogate_keys":["a","b"]}"#),
        post("/service/abc/purge", "").header("Surrogate-Key", "a  b"),
        post("/service/abc/purge_all", ""),
        soft(post("/service/abc/purge_all", "")),
        post("/service/abc/purge", ""),
        post("/service/abc", ""),
        post("/purge/www.example.com/a", "").header("fastly-soft-purge", "yes"),
    ]
    .map(|call| asked("fastly", &call));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Purge(Delete) https://www.example.com/a/b?x=1
    Purge(Invalidate) https://www.example.com/a
    Purge(Invalidate) tag a/b
    Purge(Delete) tag a | tag b
    Purge(Delete) tag a | tag b
    Purge(Delete) everything
    headers fastly-soft-purge: must not be given with purge_all, which cannot mark stale
    body must be a JSON object
    path must be `/purge/` and a URL without its scheme, or `/service/`, an id, and `/purge_all`, `/purge` or `/purge/` and a key
    headers fastly-soft-purge: must be 1
    "#);
}

/// All kinds of one body; a URL in two schemes is one; a variant of a URL is less than a command can say.
#[test]
fn cloudflare_is_read() {
    let lines = [
        r#"{"files":["https://www.example.com/a","http://www.example.com/a",{"url":"https://www.example.com/b"}],"tags":["t"]}"#,
        r#"{"hosts":["www.example.com"],"prefixes":["www.example.com/img","img.example.com"]}"#,
        r#"{"purge_everything":true}"#,
        r#"{"purge_everything":true,"tags":["t"]}"#,
        r#"{"files":[{"url":"https://www.example.com/b","headers":{"CF-Device-Type":"mobile"}}]}"#,
        r#"{"files":"https://www.example.com/a"}"#,
        r#"{"everything":true}"#,
        "{}",
    ]
    .map(|body| {
        asked(
            "cloudflare",
            &request("POST", "/client/v4/zones/z/purge_cache", body),
        )
    });
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Purge(Delete) https://www.example.com/a | https://www.example.com/b | tag t
    Purge(Delete) host www.example.com | www.example.com/img… | host img.example.com
    Purge(Delete) everything
    body purge_everything: must be true, and alone
    body files[0]: must have a url and nothing else; with headers it would mean one variant, and a command means all
    body files: must be a list
    body must have no members but files, tags, hosts, prefixes, purge_everything
    body must name 1 to 1000 things to purge (SELECTORS_PER_COMMAND)
    "#);
}

fn batch(paths: &[&str]) -> String {
    let items = paths.join("</Path>\n <Path>");
    format!(
        "<?xml version=\"1.0\"?><InvalidationBatch><CallerReference>x</CallerReference><Paths><Items><Path>{items}</Path></Items>\
         <Quantity>{}</Quantity></Paths></InvalidationBatch>",
        paths.len()
    )
}

/// Paths are of the host that is named beside them, or of the only one; tags and `/*` need none.
#[test]
fn cloudfront_is_read() {
    let path = "/2020-05-31/distribution/E1/invalidation";
    let of = |named: Option<&str>, body: &str| NativeCall {
        host: named.map(str::to_owned),
        ..request("POST", path, body)
    };
    let www = Some("www.example.com");
    let some = batch(&["/a?x=1&amp;y=&#123;", "img/*", "#red"]);
    let lines = [
        of(www, &some),
        of(www, &batch(&["/*"])),
        of(None, &batch(&["/*"])),
        of(None, &batch(&["#red"])),
        of(None, &some),
        of(www, &batch(&["/a&nbsp;"])),
        of(www, &batch(&["/a<b>"])),
        of(www, &batch(&["/a?x=*"])),
        of(www, &some.replace("<Quantity>3", "<Quantity>4")),
        of(www, &some.replace("<Items>", "<Items><!-- <Path>")),
        of(www, "{}"),
    ]
    .map(|call| asked("cloudfront", &call));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Purge(Delete) https://www.example.com/a?x=1&y={ | www.example.com/img/… | tag red
    Purge(Delete) host www.example.com
    Purge(Delete) everything
    Purge(Delete) tag red
    host must be given with a path, unless configuration_id names a configuration with one host name
    body Path 1: must be a text
    body Path 1: must be a text
    body Path 1: must have no query and no fragment
    body Quantity: must be the number of Path elements
    body must have no doctype, comment or CDATA
    body must be an InvalidationBatch with its Quantity
    "#);
    let only = ["www.example.com".parse().unwrap()];
    let read = read("cloudfront", &of(None, &batch(&["/a"])), &only).unwrap();
    assert_eq!(read.selectors, [fixture::url("https://www.example.com/a")]);
}

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
        asked("bunny", &call("PURGE", www, "/a")),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
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
    headers x-ban-regex: must be a regular expression of bounded size, without look-around
    dialect must be one of akamai, fastly, cloudflare, cloudfront, varnish, nginx, squid, traffic-server
    "#);
}

/// More than a command may name is refused by the field that names it.
#[test]
fn a_request_has_the_limit_of_a_command() {
    let tags = vec!["t"; limits::SELECTORS_PER_COMMAND + 1];
    let body = serde_json::json!({ "objects": tags }).to_string();
    let read = read("akamai", &request("POST", "/ccu/v3/delete/tag", &body), &[]);
    assert_eq!(read.unwrap_err().field, "body");
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let name = || prop_oneof![Just(fixture::HOST), Just("img.example.com")];
    let path = "(/[a-z0-9._~!$&'()+,;=:@%{-]{0,8}){1,4}";
    let query = prop_oneof![Just(String::new()), r"\?[a-z0-9=&{}:\-]{0,12}"];
    let text = |(name, path): (&str, String)| format!("{name}{path}");
    prop_oneof![
        (name(), path, query).prop_filter_map("a URL", |(name, path, query)| {
            let url = format!("https://{name}{path}{query}").parse();
            url.ok().map(Selector::Url)
        }),
        (name(), path).prop_filter_map("a prefix", move |named| {
            text(named).parse().ok().map(Selector::Prefix)
        }),
        r"[!#-+\--~]{1,20}".prop_map(|text| tag(&text)),
        name().prop_map(host),
        Just(Selector::Everything),
    ]
}

/// As both sides mean it: sorted, each once. Where a system knows no more than the host names of a configuration,
/// everything of it is those.
fn meant(selectors: &[Selector], everything_is_hosts: bool) -> Vec<String> {
    let mut texts = Vec::new();
    for selector in selectors {
        match selector {
            Selector::Everything if everything_is_hosts => {
                let each = hosts().into_iter().map(Selector::Host);
                texts.extend(each.map(|host| format!("{host:?}")));
            }
            other => texts.push(format!("{other:?}")),
        }
    }
    texts.sort();
    texts.dedup();
    texts
}

proptest! {
    /// Whatever a dialect says exactly is read as what it was said for, by every reader there is.
    #[test]
    fn what_is_said_exactly_is_read_as_it_was_meant(
        selectors in prop::collection::vec(any_selector(), 1..6),
        operation in prop_oneof![Just(DELETE), Just(INVALIDATE), Just(Operation::Load)],
    ) {
        for name in NAMES {
            let dialect = by_name(&name.parse().unwrap()).unwrap();
            let exact = |selector: &&Selector| dialect.fidelity(&operation, selector) == Fidelity::Exact;
            // A cache is told of each spelling of a percent-encoded octet: the same URL, but not the same text.
            let has_one_spelling = |selector: &&Selector| !selector.to_string().contains('%');
            let said: Vec<_> = selectors.iter().filter(exact).filter(has_one_spelling).cloned().collect();
            if said.is_empty() {
                continue;
            }
            let command = fixture::command(operation.clone(), said.clone());
            let calls = fixture::translate(dialect, &command).unwrap();
            let mut read_back = Vec::new();
            for mut call in calls {
                // What the adapter puts in.
                call.path = call.path.replace("{account:network}", "production");
                call.body = call.body.map(|body| body.replace("{account:cpcode}", "12345"));
                let asked = read(name, &call, &hosts()).map_err(|mistake| TestCaseError::fail(format!("{mistake}: {call:?}")))?;
                prop_assert_eq!(&asked.operation, &operation);
                read_back.extend(asked.selectors);
            }
            let by_host = matches!(name, "cloudflare" | "varnish");
            prop_assert_eq!(meant(&read_back, by_host), meant(&said, by_host), "{}", name);
        }
    }

    /// Whatever comes in ends as a command or as a mistake.
    #[test]
    fn any_text_is_read_or_refused(body in r#"(\PC|[<>&;"{}]|<Path>|</Path>|<Quantity>1</Quantity>|<InvalidationBatch){0,40}"#, path in "\\PC{0,40}") {
        let paths = [
            path.as_str(),
            "/ccu/v3/delete/url",
            "/service/x/purge",
            "/client/v4/zones/x/purge_cache",
            "/2020-05-31/distribution/x/invalidation",
        ];
        for name in NAMES {
            for path in paths {
                for method in ["POST", "PURGE", "BAN"] {
                    let call = NativeCall { host: Some(body.clone()), ..request(method, path, &body) };
                    let call = call.header("x-ban-regex", &body).header("x-purge-tags", path);
                    if let Ok(asked) = read(name, &call, &hosts()) {
                        prop_assert!(!asked.selectors.is_empty());
                    }
                }
            }
        }
    }
}

/// A prefix survives Varnish's expression with all that stands for something else there.
#[test]
fn a_prefix_comes_back_from_its_expression() {
    let command = fixture::command(DELETE, vec![prefix("www.example.com/a.b/(c)+$[d]^")]);
    let call = fixture::translate(by_name(&"varnish".parse().unwrap()).unwrap(), &command).unwrap();
    let asked = read("varnish", &call[0], &hosts()).unwrap();
    assert_eq!(asked.selectors, command.selectors);
}
