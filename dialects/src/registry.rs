//! Every dialect, one line each.

use domain::DialectName;

use crate::{
    Dialect, canonical::Canonical, nginx::Nginx, squid::Squid, traffic_server::TrafficServer,
    varnish::Varnish,
};

static DIALECTS: &[&dyn Dialect] = &[&Varnish, &Nginx, &Squid, &TrafficServer, &Canonical];

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
