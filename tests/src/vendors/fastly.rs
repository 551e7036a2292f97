//! Fastly's purge API (`fastly-py`, docs/PurgeApi.md; "Authenticating URL purge requests").

use serde_json::{Value, json};

use super::{Answer, Rate, Request, Vendor};

/// Of one account (docs.fastly.com/api): calls in an hour, purges of URLs and keys exempt.
const RATES: &[Rate] = &[Rate {
    unit: "calls",
    burst: 1_000.0,
    per_second: 1_000.0 / 3_600.0,
}];

/// One account.
#[derive(Debug)]
pub struct Fastly {
    /// What `Fastly-Key` must be.
    pub token: &'static str,
    /// The one service.
    pub service: &'static str,
}

impl Vendor for Fastly {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.method != "POST" {
            return (405, json!({ "msg": "Method not allowed" }).to_string());
        }
        let path = request.path.as_str();
        // A purge of one URL needs no token by default.
        if let Some(url) = path.strip_prefix("/purge/") {
            return match url.split_once('/') {
                Some((host, _)) if host.contains('.') => ok(&json!("1-1")),
                _ => (400, json!({ "msg": "Bad request" }).to_string()),
            };
        }
        if request.header("fastly-key") != self.token {
            return (
                401,
                json!({ "msg": "Provided credentials are missing or invalid" }).to_string(),
            );
        }
        let Some(rest) = path.strip_prefix(&format!("/service/{}/", self.service)) else {
            return (404, json!({ "msg": "Record not found" }).to_string());
        };
        match rest.split_once('/') {
            None if rest == "purge_all" && request.header("fastly-soft-purge").is_empty() => {
                (200, json!({ "status": "ok" }).to_string())
            }
            None if rest == "purge" => batch(&request.body),
            Some(("purge", key)) if !key.is_empty() => ok(&json!("2-1")),
            _ => (400, json!({ "msg": "Bad request" }).to_string()),
        }
    }

    fn busy(&self) -> Answer {
        (429, json!({ "msg": "Rate limit exceeded" }).to_string())
    }

    fn rates(&self) -> &'static [Rate] {
        RATES
    }

    fn takes(&self, request: &Request) -> Vec<(&'static str, usize)> {
        let is_counted = request.path == format!("/service/{}/purge_all", self.service);
        vec![("calls", usize::from(is_counted))]
    }

    fn headers_for_rates(&self) -> &'static [(&'static str, &'static str)] {
        &[("fastly-ratelimit-remaining", "calls")]
    }
}

fn ok(id: &Value) -> Answer {
    (200, json!({ "status": "ok", "id": id }).to_string())
}

/// Up to 256 keys; the answer names a purge for each.
fn batch(body: &str) -> Answer {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let keys = body["surrogate_keys"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
    if keys.is_empty() || keys.len() > 256 {
        return (
            400,
            json!({ "msg": "Invalid number of surrogate keys" }).to_string(),
        );
    }
    let ids: serde_json::Map<_, _> = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!("3-1")))
        .collect();
    (200, Value::from(ids).to_string())
}
