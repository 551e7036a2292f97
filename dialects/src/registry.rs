//! Every dialect, one line each.

use domain::DialectName;

use crate::{
    Dialect, agent::Agent, akamai::Akamai, alibaba::Alibaba, broadcaster::Broadcaster,
    bunny::Bunny, canonical::Canonical, cloudflare::Cloudflare, cloudflare_zone::CloudflareZone,
    cloudfront::CloudFront, cloudfront_tenant::CloudFrontTenant, edgecast::Edgecast,
    fastly::Fastly, google::Google, media_cdn::MediaCdn, nginx::NGINX, squid::SQUID,
    traffic_server::TRAFFIC_SERVER, varnish::Varnish,
};

static DIALECTS: &[&dyn Dialect] = &[
    &Varnish,
    &NGINX,
    &SQUID,
    &TRAFFIC_SERVER,
    &Agent,
    &Canonical,
    &Fastly,
    &Cloudflare,
    &Akamai,
    &CloudFront,
    &CloudFrontTenant,
    &Google,
    &MediaCdn,
    &Bunny,
    &Edgecast,
    &Alibaba,
    &Broadcaster,
    &CloudflareZone,
];

/// All dialects, in the order of the documentation.
pub fn all() -> &'static [&'static dyn Dialect] {
    DIALECTS
}

/// The dialect of that name.
pub fn by_name(name: &DialectName) -> Option<&'static dyn Dialect> {
    DIALECTS
        .iter()
        .copied()
        .find(|dialect| dialect.name() == name.as_str())
}
