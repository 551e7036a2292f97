//! What providers' own documentation shows is read, what is meant otherwise is refused, and what we say we can read.

mod documented;

use domain::{Fidelity, operation::CustomOperation, selector::HostRegex};
use proptest::prelude::*;

use super::*;
use crate::{
    Dialect, Presence, by_name, expression, fixture,
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
    dialect must be one of varnish, nginx, squid, traffic-server, agent, canonical, fastly, cloudflare, akamai, cloudfront, cloudfront-tenant, google-cloud-cdn, google-media-cdn, bunny, edgecast, alibaba-cloud-cdn, varnish-broadcaster
    "##);
}

/// Google's host names, paths and tags, together as far as a command can say the same.
#[test]
fn google_is_read() {
    let path = "/compute/v1/projects/p/global/urlMaps/m/invalidateCache?requestId=x";
    let lines = [
        r#"{"host":"www.example.com","path":"/img/*"}"#,
        r#"{"host":"www.example.com","path":"/a"}"#,
        r#"{"path":"/a"}"#,
        r#"{"path":"/*"}"#,
        r#"{"host":"www.example.com","path":"/*"}"#,
        r#"{"cacheTags":["red","blue"]}"#,
        r#"{"host":"img.example.com","path":"/*","cacheTags":["red"]}"#,
        r#"{"host":"www.other.example","cacheTags":["red"]}"#,
        r#"{"host":"*.example.com","path":"/a"}"#,
        r#"{"path":"/a/*","cacheTags":["red"]}"#,
        r#"{"host":"www.example.com","path":"/img*"}"#,
        r#"{"host":"www.example.com","path":"/a?x=1"}"#,
        r#"{"host":1}"#,
        "{}",
    ]
    .map(|body| asked("google-cloud-cdn", &request("POST", path, body)));
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Delete) www.example.com/img/…
    Purge(Delete) www.example.com/a
    Purge(Delete) www.example.com/a | img.example.com/a
    Purge(Delete) everything
    Purge(Delete) host www.example.com
    Purge(Delete) tag red | tag blue
    Purge(Delete) tag red
    body host: must be one of the host names of the configuration
    body host: must be a DNS host name without port, not an IP address
    body path: must be left out or be `/*` beside cacheTags, for a command means a tag wherever it is
    body path: must have a `*` only at its end, after a `/`
    body path: must have no query and no fragment
    body host: must be a text
    body must have a path or cacheTags
    "##);
}

/// bunny.net's URLs, which end as prefixes unless they are exact, and a pull zone's tag or everything of it.
#[test]
fn bunny_is_read() {
    let post = |path: &str, body: &str| asked("bunny", &request("POST", path, body));
    let url = "url=https%3A%2F%2Fwww.example.com";
    let lines = [
        post(&format!("/purge?{url}%2Fa%3Fx%3D1&async=false"), ""),
        post(&format!("/purge?{url}%2Fimg%2F"), ""),
        post(&format!("/purge?{url}%2Fimg%2F&exactPath=true"), ""),
        post(&format!("/purge?{url}%2Fimg%2Fl*"), ""),
        post(&format!("/purge?{url}%2F*%2Fx*"), ""),
        post(&format!("/purge?{url}%2F*"), ""),
        post("/pullzone/7/purgeCache", ""),
        post("/pullzone/7/purgeCache", r#"{"CacheTag":"red"}"#),
        post("/pullzone/7/purgeCache", r#"{"CacheTag":7}"#),
        post(&format!("/purge?{url}%2Fa&headerName=x"), ""),
        post("/purge?url=a", ""),
        post("/purge", ""),
        post("/zone", ""),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Delete) https://www.example.com/a?x=1
    Purge(Delete) www.example.com/img/…
    Purge(Delete) https://www.example.com/img/
    Purge(Delete) www.example.com/img/l…
    Purge(Delete) www.example.com/*/x*
    Purge(Delete) host www.example.com
    Purge(Delete) everything
    Purge(Delete) tag red
    body CacheTag: must be a text
    path must have one `url`, and nothing besides but `async` and `exactPath`, true or false; with a header it would mean one variant, and a command means all
    path url: must be an absolute http or https URL
    path must have a `url`
    path must be `/purge` with a `url`, or `/pullzone/`, an id, and `/purgeCache`
    "##);
}

/// Edgecast's purges and loads, one at a time and in bulk.
#[test]
fn edgecast_is_read() {
    let put = |kind: &str, body: &str| {
        let path = format!("/v2/mcc/customers/0001/edge/{kind}");
        asked("edgecast", &request("PUT", &path, body))
    };
    let lines = [
        put(
            "purge",
            r#"{"MediaPath":"http:\/\/www.example.com\/a","MediaType":3}"#,
        ),
        put(
            "load",
            r#"{"MediaPath":"https://www.example.com/a","MediaType":8}"#,
        ),
        put(
            "bulkpurge",
            r#"{"MediaPath":["http://www.example.com/img/*","http://www.example.com/*"],"MediaType":14}"#,
        ),
        put(
            "bulkload",
            r#"{"MediaPath":["http://www.example.com/a"],"MediaType":3}"#,
        ),
        put(
            "purge",
            r#"{"MediaPath":"http://www.example.com/gala*.fl*","MediaType":2}"#,
        ),
        put(
            "purge",
            r#"{"MediaPath":"http://www.example.com/img/*.*","MediaType":3}"#,
        ),
        put(
            "purge",
            r#"{"MediaPath":"http://www.example.com/a","MediaType":3,"EdgeNodeRegionIds":[1]}"#,
        ),
        put(
            "purge",
            r#"{"MediaPath":["http://www.example.com/a"],"MediaType":3}"#,
        ),
        put(
            "purge",
            r#"{"MediaPath":"http://www.example.com/a","MediaType":"3"}"#,
        ),
        put("bulkpurge", r#"{"MediaPath":[],"MediaType":3}"#),
        put("move", "{}"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Delete) http://www.example.com/a
    Load https://www.example.com/a
    Purge(Delete) www.example.com/img/… | host www.example.com
    Load http://www.example.com/a
    Purge(Delete) www.example.com/gala*.fl*
    body MediaPath: must not end in `*.*`, which means one directory without those below it
    body must have no members but MediaPath, MediaType
    body MediaPath: must be a text
    body MediaType: must be 2, 3, 8 or 14
    body must name 1 to 1000 things to purge (SELECTORS_PER_COMMAND)
    path must be `/v2/mcc/customers/`, a number, `/edge/`, and purge, load, bulkpurge or bulkload
    "##);
}

/// Alibaba's actions, whether their parameters stand in the query or in the form.
#[test]
fn alibaba_is_read() {
    let post = |query: &str, form: &str| {
        asked(
            "alibaba-cloud-cdn",
            &request("POST", &format!("/?{query}"), form),
        )
    };
    let refresh = "Action=RefreshObjectCaches&Version=2018-05-10&AccessKeyId=k&Signature=s";
    let lines = [
        post(
            refresh,
            "ObjectType=File&ObjectPath=http%3A%2F%2Fwww.example.com%2Fa%0Awww.example.com%2Fb%3Fc",
        ),
        post(refresh, "ObjectPath=www.example.com%2Fa%0D%0A"),
        post(
            refresh,
            "ObjectType=Directory&ObjectPath=https%3A%2F%2Fwww.example.com%2Fimg%2F",
        ),
        post(
            refresh,
            "ObjectType=Directory&Force=true&ObjectPath=www.example.com%2F",
        ),
        post("Action=PushObjectCache&ObjectPath=www.example.com%2Fa", ""),
        post(
            "Action=PushObjectCache&ObjectPath=www.example.com%2Fa&Area=domestic",
            "",
        ),
        post(refresh, "ObjectType=Regex&ObjectPath=www.example.com%2Fa"),
        post(
            refresh,
            "ObjectType=Directory&ObjectPath=www.example.com%2Fa",
        ),
        post(refresh, "ObjectPath=a&ObjectPath=b"),
        post(refresh, ""),
        post("Action=DeleteEverything", ""),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Delete) http://www.example.com/a | https://www.example.com/b?c
    Purge(Delete) https://www.example.com/a
    Purge(Invalidate) www.example.com/img/…
    Purge(Delete) host www.example.com
    Load https://www.example.com/a
    path must have no parameters but Action, Force, ObjectPath, ObjectType and those of the signature
    body ObjectType: must be File or Directory
    body ObjectPath: must end in `/` and have no `*`, for a directory
    body must have each parameter once
    body must name 1 to 1000 things to purge (SELECTORS_PER_COMMAND)
    path must have an Action, RefreshObjectCaches or PushObjectCache
    "##);
}

/// What invocation systems and agents of the federation are told is read by them as well, but for where and how far.
#[test]
fn the_federations_own_format_is_read() {
    let ask = |dialect: &str, method: &str, path: &str, body: &str| {
        asked(dialect, &request(method, path, body))
    };
    let execution = "/v1/executions/x";
    let purge = r#"{"operation":{"purge":"invalidate"},"selectors":[{"tag":"red"}]"#;
    let lines = [
        ask("canonical", "PUT", execution, &format!("{purge}}}")),
        ask(
            "agent",
            "POST",
            "/federation/v1/executions/x",
            &format!("{purge}}}"),
        ),
        ask(
            "agent",
            "POST",
            "/federation/v1/executions/x",
            &format!(r#"{purge},"accepted_at":"now","originator":7}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            &format!(r#"{purge},"servers":["b1"]}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            &format!(r#"{purge},"ceiling":{{"widest":null,"narrowed":false}}}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            &format!(r#"{purge},"more":1}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            r#"{"operation":"load","selectors":[{"regex":{"host":"www.example.com","pattern":"(?=a)"}}]}"#,
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            r#"{"operation":"load","selectors":[]}"#,
        ),
        ask("canonical", "PUT", "/v1/executions/", "{}"),
        ask("canonical", "PUT", "/v1/executions/x/y", "{}"),
        ask("canonical", "POST", execution, "{}"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Invalidate) tag red
    Purge(Invalidate) tag red
    Purge(Invalidate) tag red
    body servers: must be said beside it, in the draft
    body ceiling: must be said beside it, in the draft
    body must be an execution: unknown field `more`, expected one of `operation`, `selectors`, `ceiling`, `servers`, `execution`, `originator`, `accepted_at`, `configuration` at line 1 column 70
    body must be a regular expression of bounded size, without look-around
    body must name 1 to 1000 things to purge (SELECTORS_PER_COMMAND)
    path must be `/v1/executions/` and an id
    path must be `/v1/executions/` and an id
    method must be PUT
    "##);
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
    let path = "(/([a-z0-9._~!$&'()+,;=:@%{-]|%[0-9a-fA-F]{2}){0,8}){1,4}";
    let pattern = "(/([a-z0-9._~!$&'()+,;=:@{-]|%[0-9a-fA-F]{2}){0,6}){1,3}[*]?[a-z./-]{0,6}[*]?";
    let regex = prop_oneof![
        r"\^/[a-z]{1,5}(/|\\[.]|[0-9]|\[a-c\]|\(ab\|c\)){0,2}[$]?",
        r"(\^?)(/|a|b|\.|\\d|\\w\+|\[ab/\]|\[\^a\]|\(a\|b/\)|\(c\)|\(\?i:A\)|x\*|b\+|\[ab\]\*|(a|b|/)\?|\(ab\)\{1,2\}|\(a\[0-9\]\)\*|\\b|\\B|\\<|\\b\{(end|start-half|end-half)\}|\\p\{Greek\}|a\{2,\}|\.\*\?){0,6}(\$?)",
    ];
    let query = prop_oneof![
        Just(String::new()),
        r"\?([a-z0-9=&{}:+\-]|%[0-9a-fA-F]{2}){0,12}"
    ];
    let text = |(name, path): (&str, String)| format!("{name}{path}");
    prop_oneof![
        (name(), path, query).prop_filter_map("a URL", |(name, path, query)| {
            let url = format!("https://{name}{path}{query}").parse();
            url.ok().map(Selector::Url)
        }),
        (name(), path).prop_filter_map("a prefix", move |named| {
            text(named).parse().ok().map(Selector::Prefix)
        }),
        (name(), pattern).prop_filter_map("a wildcard", move |named| {
            text(named).parse().ok().map(Selector::Wildcard)
        }),
        (name(), regex).prop_filter_map("an expression", |(name, regex)| {
            let name = name.parse().unwrap();
            HostRegex::new(name, &regex).ok().map(Selector::Regex)
        }),
        r"[!#-+\--~]{1,20}".prop_map(|text| tag(&text)),
        name().prop_map(host),
        Just(Selector::Everything),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let custom = |generation: String| {
        Operation::Custom(CustomOperation {
            name: "rotate-keys".parse().unwrap(),
            repeatable: false,
            parameters: [("generation".to_owned(), generation)].into(),
        })
    };
    prop_oneof![
        Just(DELETE),
        Just(INVALIDATE),
        Just(Operation::Purge(PurgeMode::Deferred)),
        Just(Operation::Load),
        "\\PC{0,8}".prop_map(custom),
    ]
}

/// As both sides mean it: sorted, each once. All that begins with `/` is a host name, and a wildcard whose only `*` is its
/// end is a prefix. Where a system knows no more than the host names of a configuration, everything of it is those; and
/// where it knows expressions only, what it is told is what that is as an expression. A percent-encoded octet is the same in
/// upper and in lower case, and a cache is told of each.
fn meant(dialect: &str, selectors: &[Selector]) -> Vec<String> {
    let by_host = BY_HOST.contains(&dialect);
    let octet = ::regex::Regex::new("%[0-9a-fA-F]{2}").unwrap();
    let upper = |found: &::regex::Captures<'_>| found[0].to_ascii_uppercase();
    // Several `*` in a row are one.
    let is_run = |rest: &str| rest.bytes().all(|letter| letter == b'*');
    let each = |selector: &Selector| match selector {
        Selector::Everything if by_host => hosts().into_iter().map(Selector::Host).collect(),
        Selector::Prefix(part) if part.path() == "/" => vec![Selector::Host(part.host.clone())],
        Selector::Wildcard(part) => match part.path().split_once('*') {
            Some(("/", rest)) if is_run(rest) => vec![Selector::Host(part.host.clone())],
            Some((start, rest)) if is_run(rest) => {
                let prefix = format!("{}{start}", part.host).parse();
                vec![prefix.map_or_else(|_| selector.clone(), Selector::Prefix)]
            }
            _ => vec![selector.clone()],
        },
        other => vec![other.clone()],
    };
    let text = |selector: Selector| {
        let said = match &selector {
            Selector::Url(url) => expression::exactly(url.path_and_query()),
            Selector::Prefix(part) => expression::prefix(part.path()),
            Selector::Wildcard(part) => expression::wildcard(part.path()),
            Selector::Regex(regex) => expression::regex(regex.pattern()),
            Selector::Host(_) => expression::prefix("/"),
            Selector::Tag(_) | Selector::Everything => return format!("{selector:?}"),
        };
        match (dialect, said, selector.host()) {
            ("varnish" | "varnish-broadcaster", Ok(said), Some(host)) => format!("{host} {said}"),
            _ if matches!(selector, Selector::Regex(_)) => format!("{selector:?}"),
            _ => octet
                .replace_all(&format!("{selector:?}"), upper)
                .into_owned(),
        }
    };
    let texts: std::collections::BTreeSet<_> = selectors.iter().flat_map(each).map(text).collect();
    texts.into_iter().collect()
}

/// The call as it goes out: with the values of an account, which the adapter puts in.
fn filled_in(dialect: &dyn Dialect, mut call: NativeCall) -> NativeCall {
    for field in dialect.account() {
        let value = match field.presence {
            Presence::Default(value) => value,
            Presence::Required | Presence::Optional => "12345",
        };
        let name = format!("{{account:{}}}", field.name);
        call.path = call.path.replace(&name, value);
        call.body = call.body.map(|body| body.replace(&name, value));
    }
    call
}

/// Those that say everything by naming each host name.
const BY_HOST: [&str; 7] = [
    "cloudflare",
    "varnish",
    "varnish-broadcaster",
    "google-cloud-cdn",
    "google-media-cdn",
    "edgecast",
    "alibaba-cloud-cdn",
];

proptest! {
    /// Whatever a dialect says exactly is read as what it was said for, by every dialect there is.
    #[test]
    fn what_is_said_exactly_is_read_as_it_was_meant(
        selectors in prop::collection::vec(any_selector(), 1..6),
        operation in any_operation(),
    ) {
        for dialect in all() {
            let name = dialect.name();
            let exact = |selector: &&Selector| dialect.fidelity(&operation, selector) == Fidelity::Exact;
            let said: Vec<_> = selectors.iter().filter(exact).cloned().collect();
            if said.is_empty() {
                continue;
            }
            let command = fixture::command(operation.clone(), said.clone());
            let mut read_back = Vec::new();
            for call in fixture::translate(*dialect, &command).unwrap() {
                let call = filled_in(*dialect, call);
                let asked = read(name, &call, &hosts());
                let asked = asked.map_err(|mistake| TestCaseError::fail(format!("{name}: {mistake}: {call:?}")))?;
                // A ban deletes what nobody finds from then on, whichever of the two was meant.
                let is_ban = call.method == "BAN" && operation == Operation::Purge(PurgeMode::Deferred);
                let meant = if is_ban { &DELETE } else { &operation };
                prop_assert_eq!(&asked.operation, meant, "{}", name);
                read_back.extend(asked.selectors);
            }
            prop_assert_eq!(meant(name, &read_back), meant(name, &said), "{}", name);
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
            "/2020-05-31/distribution-tenant/x/invalidation",
            "/compute/v1/projects/x/global/urlMaps/x/invalidateCache",
            "/v1/projects/x/locations/global/edgeCacheServices/x:invalidateCache",
            "/pullzone/x/purgeCache",
            "/v2/mcc/customers/x/edge/bulkpurge",
            "/?Action=RefreshObjectCaches&ObjectType=Directory",
            "/v1/executions/x",
        ];
        for name in all().iter().map(|dialect| dialect.name()) {
            for path in paths {
                for method in ["POST", "PUT", "PURGE", "BAN"] {
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
