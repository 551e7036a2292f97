//! Cloudflare's cache purge (developers.cloudflare.com, cache/how-to/purge-cache).

use serde_json::{Value, json};

use super::{Answer, Rate, Request, Vendor};

/// Of an account with the plan "Pro" (developers.cloudflare.com, cache/how-to/purge-cache): all but files, and files.
const RATES: &[Rate] = &[
    Rate {
        unit: "calls",
        burst: 25.0,
        per_second: 5.0,
    },
    Rate {
        unit: "files",
        burst: 1_500.0,
        per_second: 1_500.0,
    },
];

/// Operations of one request.
const ITEMS: usize = 100;

/// One account.
#[derive(Debug)]
pub struct Cloudflare {
    /// The bearer token.
    pub token: &'static str,
    /// The one zone.
    pub zone: &'static str,
}

impl Vendor for Cloudflare {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != format!("Bearer {}", self.token) {
            return refused(403, 10000, "Authentication error");
        }
        let path = format!("/client/v4/zones/{}/purge_cache", self.zone);
        if request.path != path {
            return refused(404, 7003, "Could not route to the zone");
        }
        if request.method != "POST" {
            return refused(
                405,
                10405,
                "Method not allowed for this authentication scheme",
            );
        }
        let Ok(Value::Object(body)) = serde_json::from_str(&request.body) else {
            return refused(400, 6007, "Malformed JSON in request body");
        };
        let [(kind, items)] = body.iter().collect::<Vec<_>>()[..] else {
            return refused(400, 1012, "Request must contain one of the purge kinds");
        };
        let is_good = match (kind.as_str(), items) {
            ("purge_everything", Value::Bool(true)) => true,
            ("files" | "tags" | "hosts" | "prefixes", Value::Array(items)) => {
                let is_good = |item: &Value| is_item(kind, item);
                (1..=ITEMS).contains(&items.len()) && items.iter().all(is_good)
            }
            _ => false,
        };
        if !is_good {
            return refused(400, 1094, "Unable to purge, invalid items");
        }
        let body =
            json!({ "success": true, "errors": [], "messages": [], "result": { "id": "z" } });
        (200, body.to_string())
    }

    fn busy(&self) -> Answer {
        refused(
            429,
            971,
            "Please wait and consider throttling your request speed",
        )
    }

    fn rates(&self) -> &'static [Rate] {
        RATES
    }

    fn takes(&self, request: &Request) -> Vec<(&'static str, usize)> {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        match body["files"].as_array() {
            Some(files) => vec![("files", files.len())],
            None => vec![("calls", 1)],
        }
    }
}

/// A file has a scheme, a prefix has none and no wildcard; a tag has at most 1,024 visible characters ("Purge cache by cache-tags").
fn is_item(kind: &str, item: &Value) -> bool {
    let text = item
        .as_str()
        .or_else(|| item["url"].as_str())
        .unwrap_or_default();
    match kind {
        "files" => text.starts_with("http://") || text.starts_with("https://"),
        "prefixes" => !text.contains("://") && !text.ends_with('*') && text.contains('.'),
        "tags" => {
            (1..=1_024).contains(&text.len()) && text.bytes().all(|one| one.is_ascii_graphic())
        }
        _ => !text.is_empty(),
    }
}

fn refused(status: u16, code: u32, message: &str) -> Answer {
    let errors = json!([{ "code": code, "message": message }]);
    let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
    (status, body.to_string())
}
