//! Requests as the providers' own public documentation quotes them, and what each means here.

use super::*;

/// Where it is quoted, whose format it is, the request, and what it asks.
struct Quoted {
    page: &'static str,
    dialect: &'static str,
    request: NativeCall,
    asks: &'static str,
}

fn quoted(
    page: &'static str,
    dialect: &'static str,
    request: NativeCall,
    asks: &'static str,
) -> Quoted {
    Quoted {
        page,
        dialect,
        request,
        asks,
    }
}

fn cloudflare() -> Vec<Quoted> {
    let page = "developers.cloudflare.com/api, Purge Cached Content";
    let post = |body: &str| {
        request(
            "POST",
            "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache",
            body,
        )
    };
    let of = |body: &str, asks| quoted(page, "cloudflare", post(body), asks);
    vec![
        of(r#"{"purge_everything": true}"#, "Purge(Delete) everything"),
        of(
            r#"{"files": ["http://www.example.com/css/styles.css", "http://www.example.com/js/index.js"]}"#,
            "Purge(Delete) http://www.example.com/css/styles.css | http://www.example.com/js/index.js",
        ),
        of(
            r#"{"files": [{"url": "http://www.example.com/cat_picture.jpg", "headers": {"CF-IPCountry": "US", "CF-Device-Type": "desktop", "Accept-Language": "zh-CN"}}]}"#,
            "body files[0]: must have a url and nothing else; with headers it would mean one variant, and a command means all",
        ),
        of(
            r#"{"tags": ["a-cache-tag", "another-cache-tag"]}"#,
            "Purge(Delete) tag a-cache-tag | tag another-cache-tag",
        ),
        of(
            r#"{"hosts": ["www.example.com", "images.example.com"]}"#,
            "Purge(Delete) host www.example.com | host images.example.com",
        ),
        of(
            r#"{"prefixes": ["www.example.com/foo", "images.example.com/bar/baz"]}"#,
            "Purge(Delete) www.example.com/foo… | images.example.com/bar/baz…",
        ),
    ]
}

fn fastly() -> Vec<Quoted> {
    let fastly = "fastly-api, docs/PurgeApi.md";
    let service = "/service/SU1Z0isxPaozGVKXdv0eY/purge";
    let keys = request("POST", service, "");
    vec![
        quoted(
            fastly,
            "fastly",
            keys.header("Surrogate-Key", "key_1 key_2 key_3"),
            "Purge(Delete) tag key_1 | tag key_2 | tag key_3",
        ),
        quoted(
            fastly,
            "fastly",
            request(
                "POST",
                service,
                r#"{"surrogate_keys":["key_1","key_2","key_3"]}"#,
            ),
            "Purge(Delete) tag key_1 | tag key_2 | tag key_3",
        ),
        quoted(
            fastly,
            "fastly",
            request("POST", &format!("{service}/key_1"), "").header("fastly-soft-purge", "1"),
            "Purge(Invalidate) tag key_1",
        ),
        quoted(
            fastly,
            "fastly",
            request("POST", &format!("{service}_all"), ""),
            "Purge(Delete) everything",
        ),
        quoted(
            fastly,
            "fastly",
            request("POST", "/purge/www.example.com/path/to/object-to-purge", "")
                .header("fastly-soft-purge", "1"),
            "Purge(Invalidate) https://www.example.com/path/to/object-to-purge",
        ),
    ]
}

fn akamai() -> Vec<Quoted> {
    let ccu = "akamai-apis, apis/ccu/v3/openapi.json";
    let akamai = |path: &str, body: &str| request("POST", path, body);
    vec![
        quoted(
            ccu,
            "akamai",
            akamai(
                "/ccu/v3/invalidate/cpcode/staging",
                r#"{"objects":[12345]}"#,
            ),
            "path must be `/ccu/v3/`, invalidate or delete, url or tag or cpcode, and nothing or `production`",
        ),
        quoted(
            ccu,
            "akamai",
            akamai(
                "/ccu/v3/invalidate/tag/production",
                r#"{"objects":["black-friday","electronics"]}"#,
            ),
            "Purge(Invalidate) tag black-friday | tag electronics",
        ),
        quoted(
            ccu,
            "akamai",
            akamai(
                "/ccu/v3/invalidate/url/production",
                r#"{"objects":["https://foo1.bar.com/some/path","http://foo2.bar.com/some/other/path"]}"#,
            ),
            "Purge(Invalidate) https://foo1.bar.com/some/path | http://foo2.bar.com/some/other/path",
        ),
    ]
}

fn bunny() -> Vec<Quoted> {
    vec![
        quoted(
            "docs.bunny.net/cdn/purge-cache",
            "bunny",
            request("POST", "/pullzone/1/purgeCache", ""),
            "Purge(Delete) everything",
        ),
        quoted(
            "docs.bunny.net/cdn/purge-cache",
            "bunny",
            request(
                "POST",
                "/pullzone/1/purgeCache",
                r#"{"CacheTag": "product-123"}"#,
            ),
            "Purge(Delete) tag product-123",
        ),
    ]
}

fn with_paths() -> Vec<Quoted> {
    let batch = "<?xml version=\"1.0\" encoding=\"UTF-8\"?> <InvalidationBatch \
                 xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"> <CallerReference>20120301090000</CallerReference> \
                 <Paths> <Items> <Path>/images/image1.jpg</Path> <Path>/images/*</Path> </Items> <Quantity>2</Quantity> </Paths> \
                 </InvalidationBatch>";
    let cloudfront = NativeCall {
        host: Some(fixture::HOST.to_owned()),
        ..request(
            "POST",
            "/2020-05-31/distribution/S11A16G5KZMEQD/invalidation",
            batch,
        )
    };
    let google = request(
        "POST",
        "/compute/v1/projects/example/global/urlMaps/map/invalidateCache",
        r#"{"path": "/whatever/x.html", "host": "www.example.com"}"#,
    );
    let edgecast = request(
        "PUT",
        "/v2/mcc/customers/0001/edge/purge",
        r#"{"MediaPath":"http:\/\/wac.0001.edgecastcdn.net\/000001\/*","MediaType":3}"#,
    );
    let alibaba = request(
        "POST",
        "/?Action=RefreshObjectCaches&ObjectPath=http%3A%2F%2Fexample.com%2Fimage%2F1.png%0Ahttp%3A%2F%2Fexample.com%2Fimage%2F2.png&ObjectType=File",
        "",
    );
    vec![
        quoted(
            "docs.aws.amazon.com, API_CreateInvalidation",
            "cloudfront",
            cloudfront,
            "Purge(Delete) https://www.example.com/images/image1.jpg | www.example.com/images/…",
        ),
        quoted(
            "cloud.google.com, gcloud compute url-maps invalidate-cdn-cache",
            "google-cloud-cdn",
            google,
            "Purge(Delete) www.example.com/whatever/x.html",
        ),
        quoted(
            "docs.edgecast.com, Purging Cached Assets",
            "edgecast",
            edgecast,
            "Purge(Delete) wac.0001.edgecastcdn.net/000001/…",
        ),
        quoted(
            "alibabacloud.com/help/en/cdn, RefreshObjectCaches",
            "alibaba-cloud-cdn",
            alibaba,
            "Purge(Delete) http://example.com/image/1.png | http://example.com/image/2.png",
        ),
    ]
}

/// A page that lists parameters shows no request; then the request is made of them, with a URL of ours.
fn with_urls() -> Vec<Quoted> {
    let bunny = |query: &str, asks| {
        let url = "/purge?url=https%3A%2F%2Fmyzone.b-cdn.net%2F";
        let request = request("POST", &format!("{url}{query}"), "");
        let page = "docs.bunny.net/api-reference/core/purge/purge-url: url, async, exactPath";
        quoted(page, "bunny", request, asks)
    };
    let batch = |id: &str, path: &str| {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?> <InvalidationBatch \
             xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"> <CallerReference>20120301090000</CallerReference> \
             <Paths> <Items> <Path>{path}</Path> </Items> <Quantity>1</Quantity> </Paths> </InvalidationBatch>"
        );
        request("POST", &format!("/2020-05-31/{id}/invalidation"), &body)
    };
    let edgecast = request(
        "PUT",
        "/v2/mcc/customers/0001/edge/bulkpurge",
        r#"{"MediaPath":["http:\/\/cdn.example.com\/marketing\/brochure.pdf","http:\/\/cdn.example.com\/marketing\/*"],"MediaType":3}"#,
    );
    let alibaba = "/?Action=PushObjectCache&ObjectPath=example.com/test.txt&ObjectType=File";
    vec![
        bunny(
            "css%2Fsite.css&async=false",
            "Purge(Delete) https://myzone.b-cdn.net/css/site.css",
        ),
        bunny("css%2F", "Purge(Delete) myzone.b-cdn.net/css/…"),
        bunny(
            "css%2F&exactPath=true",
            "Purge(Delete) https://myzone.b-cdn.net/css/",
        ),
        quoted(
            "docs.aws.amazon.com, invalidation-specifying-tags",
            "cloudfront",
            batch("distribution/S11A16G5KZMEQD", "#product:electronics"),
            "Purge(Delete) tag product:electronics",
        ),
        quoted(
            "aws-cli, create-invalidation-for-distribution-tenant.rst",
            "cloudfront-tenant",
            batch("distribution-tenant/dt_2wjDZi3hD1ivOXf6rpZJO1AB", "/*"),
            "Purge(Delete) everything",
        ),
        quoted(
            "developer.edgecast.com, Bulk Purge Content; the URLs of its Purging Content Tutorial",
            "edgecast",
            edgecast,
            "Purge(Delete) http://cdn.example.com/marketing/brochure.pdf | cdn.example.com/marketing/…",
        ),
        quoted(
            "alibabacloud.com/help, api-pushobjectcache",
            "alibaba-cloud-cdn",
            request("POST", alibaba, ""),
            "Load https://example.com/test.txt",
        ),
    ]
}

/// The fields are those of the reference, their values those of its examples for the command line.
fn media_cdn() -> Vec<Quoted> {
    let page = "cloud.google.com/media-cdn/docs/reference/rest, edgeCacheServices.invalidateCache";
    let of = |body: &str, asks| {
        let path =
            "/v1/projects/example/locations/global/edgeCacheServices/my-service:invalidateCache";
        quoted(page, "google-media-cdn", request("POST", path, body), asks)
    };
    vec![
        of(
            r#"{"host": "www.example.com", "path": "/videos/hls/139123.mp4"}"#,
            "Purge(Delete) www.example.com/videos/hls/139123.mp4",
        ),
        of(
            r#"{"host": "www.example.com", "path": "/manifests/*"}"#,
            "Purge(Delete) www.example.com/manifests/…",
        ),
        of(
            r#"{"cacheTags": ["status=404", "origin=staging-origin"]}"#,
            "body cacheTags[0]: must be a tag of the origin's; Google Media CDN makes tags that begin with `status=`, `origin=` or `content-type=` itself",
        ),
    ]
}

fn of_caches() -> Vec<Quoted> {
    let purge = |host: Option<&str>, path| NativeCall::new("PURGE", host, path, Vec::new());
    vec![
        quoted(
            "metacpan.org/pod/Net::Squid::Purge, after Squid's FAQ",
            "squid",
            purge(None, "http://www.miscreant.com/"),
            "Purge(Delete) http://www.miscreant.com/",
        ),
        quoted(
            "apache/trafficserver, doc/admin-guide/storage/index.en.rst",
            "traffic-server",
            purge(Some("example.com"), "/remove_me.jpg"),
            "Purge(Delete) https://example.com/remove_me.jpg",
        ),
        quoted(
            "varnishcache/varnish-cache, doc/sphinx/users-guide/purging.rst",
            "varnish",
            purge(Some("example.com"), "/"),
            "Purge(Delete) https://example.com/",
        ),
    ]
}

/// What a provider tells its customers to send is understood, or refused for what it means.
#[test]
fn what_providers_document_is_read() {
    let all = [
        cloudflare(),
        fastly(),
        akamai(),
        bunny(),
        with_paths(),
        with_urls(),
        media_cdn(),
        of_caches(),
    ];
    for one in all.into_iter().flatten() {
        assert_eq!(asked(one.dialect, &one.request), one.asks, "{}", one.page);
    }
}
