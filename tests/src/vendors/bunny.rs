//! bunny.net's purges (docs.bunny.net, "Purge URL" and "Purge Cache" of a pull zone).

use serde_json::{Value, json};

use super::{Answer, Rate, Request, Vendor, decoded};

/// Of one account (docs.bunny.net, "cdn-api-purge-rate-limits").
const RATES: &[Rate] = &[
    Rate {
        unit: "urls",
        burst: 120.0,
        per_second: 5.0,
    },
    Rate {
        unit: "prefixes",
        burst: 20.0,
        per_second: 0.5,
    },
];

/// One account.
#[derive(Debug)]
pub struct Bunny {
    /// What `AccessKey` must be.
    pub key: &'static str,
    /// The id of the one pull zone.
    pub zone: &'static str,
}

impl Vendor for Bunny {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("accesskey") != self.key {
            return refused(
                401,
                "Unauthorized",
                "",
                "Authorization has been denied for this request.",
            );
        }
        if request.method != "POST" {
            return refused(
                405,
                "MethodNotAllowed",
                "",
                "The requested resource does not support this method.",
            );
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/purge" {
            return of_url(query);
        }
        let id = path
            .strip_prefix("/pullzone/")
            .and_then(|rest| rest.strip_suffix("/purgeCache"));
        match id {
            Some(id) if id == self.zone => of_zone(&request.body),
            Some(_) => refused(
                404,
                "pullzone.not_found",
                "Id",
                "The requested pull zone was not found",
            ),
            None => refused(404, "NotFound", "", "No such resource"),
        }
    }

    fn busy(&self) -> Answer {
        refused(
            429,
            "RateLimit",
            "",
            "Rate limit exceeded, please try again later",
        )
    }

    fn rates(&self) -> &'static [Rate] {
        RATES
    }

    fn takes(&self, request: &Request) -> Vec<(&'static str, usize)> {
        let url = decoded(&request.path);
        match () {
            () if !url.starts_with("/purge?") => Vec::new(),
            () if url.contains('*') => vec![("prefixes", 1)],
            () => vec![("urls", 1)],
        }
    }
}

fn of_url(query: &str) -> Answer {
    let mut url = String::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "url" => url = decoded(value),
            "async" | "exactPath" if matches!(value, "true" | "false") => {}
            "headerName" | "headerValue" => {}
            _ => return refused(400, "validation_error", name, "The parameter is not valid"),
        }
    }
    if url.starts_with("http://") || url.starts_with("https://") {
        return (200, String::new());
    }
    refused(
        400,
        "purge.invalid_url",
        "Url",
        "The provided URL was not valid",
    )
}

/// Everything, or one tag. What is a pattern reaches further than a tag here, so nobody is to say it.
fn of_zone(body: &str) -> Answer {
    let tag = match body {
        "" => Value::Null,
        _ => serde_json::from_str::<Value>(body).unwrap_or_default()["CacheTag"].take(),
    };
    if body.is_empty() || tag.as_str().is_some_and(is_tag) {
        return (204, String::new());
    }
    refused(
        400,
        "validation_error",
        "CacheTag",
        "The cache tag is not valid",
    )
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && !tag.contains('*')
}

fn refused(status: u16, key: &str, field: &str, message: &str) -> Answer {
    (
        status,
        json!({ "ErrorKey": key, "Field": field, "Message": message }).to_string(),
    )
}
