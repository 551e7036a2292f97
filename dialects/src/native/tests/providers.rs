//! Each provider's own ways to say it, and its own mistakes.

use super::*;

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
    body must have no members but objects, and not `hostname`
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

/// All kinds of one body; a URL in two schemes is one, but with a port there are two; a variant of a URL is less than a command can say.
#[test]
fn cloudflare_is_read() {
    let lines = [
        r#"{"files":["https://www.example.com/a","http://www.example.com/a",{"url":"https://www.example.com/b"}],"tags":["t"]}"#,
        r#"{"hosts":["www.example.com"],"prefixes":["www.example.com/img","img.example.com"]}"#,
        r#"{"files":["https://www.example.com:8443/a","http://www.example.com:8443/a"]}"#,
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
    Purge(Delete) https://www.example.com:8443/a | http://www.example.com:8443/a
    Purge(Delete) everything
    body purge_everything: must be true, and alone
    body files[0]: must have a url and nothing else; with headers it would mean one variant, and a command means all
    body files: must be a list
    body must have no members but files, tags, hosts, prefixes, purge_everything, and not `everything`
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
    body must have no members but MediaPath, MediaType, and not `EdgeNodeRegionIds`
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
