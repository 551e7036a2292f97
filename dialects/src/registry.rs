//! Every dialect, one line each.

use domain::DialectName;

use crate::{
    Dialect, agent::Agent, akamai::Akamai, alibaba::Alibaba, bunny::Bunny, canonical::Canonical,
    cloudflare::Cloudflare, cloudfront::CloudFront, edgecast::Edgecast, fastly::Fastly,
    google::Google, nginx::NGINX, squid::SQUID, traffic_server::TRAFFIC_SERVER, varnish::Varnish,
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
    &Google,
    &Bunny,
    &Edgecast,
    &Alibaba,
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
