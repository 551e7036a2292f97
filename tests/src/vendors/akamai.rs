//! Akamai's Fast Purge v3 (`akamai-apis`, apis/ccu/v3/openapi.json) behind EdgeGrid ("Authenticate with EdgeGrid").

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::{Answer, Rate, Request, Vendor};

/// Bytes of a body.
const BODY_BYTES: usize = 50_000;
/// By how much a timestamp may be off ("Authenticate with EdgeGrid").
const CLOCK: Duration = Duration::from_secs(30);
/// Of one account (techdocs.akamai.com, purge-cache, rate-limiting).
const RATES: &[Rate] = &[
    Rate {
        unit: "requests",
        burst: 100.0,
        per_second: 50.0,
    },
    Rate {
        unit: "url",
        burst: 10_000.0,
        per_second: 200.0,
    },
    Rate {
        unit: "cpcode",
        burst: 300.0,
        per_second: 0.5,
    },
    Rate {
        unit: "tag",
        burst: 5_000.0,
        per_second: 500.0 / 60.0,
    },
];

/// One API client.
#[derive(Debug)]
pub struct Akamai {
    /// Its three secrets.
    pub client_token: &'static str,
    /// The one that signs.
    pub client_secret: &'static str,
    /// Whose rights it has.
    pub access_token: &'static str,
    /// Nonces that came: each is good once.
    pub nonces: Vec<String>,
}

impl Vendor for Akamai {
    fn answer(&mut self, request: &Request) -> Answer {
        if !self.is_signed(request) {
            return problem(401, "Not authorized", "The signature does not match");
        }
        if let Err(refusal) = self.is_new(request) {
            return refusal;
        }
        if request.method != "POST" {
            return problem(405, "Method Not Allowed", "Only POST");
        }
        if request.body.len() > BODY_BYTES {
            return problem(413, "Request Entity Too Large", "Body is too large");
        }
        let parts: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        let [
            "ccu",
            "v3",
            "invalidate" | "delete",
            kind,
            "production" | "staging",
        ] = parts[..]
        else {
            return problem(404, "Not Found", "No such resource");
        };
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let objects = body["objects"].as_array().cloned().unwrap_or_default();
        let fits = |object: &Value| match kind {
            "cpcode" => object.is_u64(),
            "url" => object.as_str().is_some_and(|url| url.starts_with("http")),
            "tag" => object.as_str().is_some_and(is_tag),
            _ => false,
        };
        if objects.is_empty() || !objects.iter().all(fits) {
            return problem(400, "Bad Request", "Invalid objects");
        }
        let body = json!({ "httpStatus": 201, "detail": "Request accepted", "estimatedSeconds": 5,
                           "purgeId": "p-1", "supportId": "s-1" });
        (201, body.to_string())
    }

    fn busy(&self) -> Answer {
        problem(429, "Too Many Requests", "Rate limit exceeded")
    }

    fn rates(&self) -> &'static [Rate] {
        RATES
    }

    fn takes(&self, request: &Request) -> Vec<(&'static str, usize)> {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let objects = body["objects"].as_array().map_or(0, Vec::len);
        let kinds = RATES.iter().map(|rate| rate.unit).skip(1);
        let kind = kinds.filter(|kind| request.path.contains(&format!("/{kind}/")));
        let objects = kind.map(|kind| (kind, objects));
        [("requests", 1)].into_iter().chain(objects).collect()
    }

    fn headers_for_rates(&self) -> &'static [(&'static str, &'static str)] {
        &[("x-ratelimit-remaining", "requests")]
    }
}

impl Akamai {
    /// Refuses a clock that is off, and what was sent before.
    fn is_new(&mut self, request: &Request) -> Result<(), Answer> {
        let header = request.header("authorization");
        let field = |name: &str| {
            let rest = header.split_once(&format!(";{name}="));
            let value = rest.and_then(|(_, rest)| rest.split(';').next());
            value.unwrap_or_default()
        };
        let is_off = request.is_off_by(field("timestamp"));
        if is_off.is_none_or(|off| off > CLOCK) {
            return Err(problem(400, "Bad request", "Invalid timestamp"));
        }
        let nonce = field("nonce").to_owned();
        if nonce.is_empty() || self.nonces.contains(&nonce) {
            return Err(problem(400, "Bad request", "Duplicate nonce"));
        }
        self.nonces.push(nonce);
        Ok(())
    }

    fn is_signed(&self, request: &Request) -> bool {
        let header = request.header("authorization");
        let Some((unsigned, signature)) = header.split_once("signature=") else {
            return false;
        };
        let field = |name: &str| {
            let (_, rest) = unsigned.split_once(&format!("{name}="))?;
            rest.split(';').next()
        };
        let (Some(timestamp), Some(nonce)) = (field("timestamp"), field("nonce")) else {
            return false;
        };
        let known = format!(
            "EG1-HMAC-SHA256 client_token={};access_token={};timestamp={timestamp};nonce={nonce};",
            self.client_token, self.access_token
        );
        let body = if request.method == "POST" && !request.body.is_empty() {
            BASE64_STANDARD.encode(digest::digest(&digest::SHA256, request.body.as_bytes()))
        } else {
            String::new()
        };
        let (method, path, host) = (&request.method, &request.path, request.header("host"));
        let text = format!("{method}\thttp\t{host}\t{path}\t\t{body}\t{known}");
        let key = mac(self.client_secret, timestamp);
        unsigned == known && signature == mac(&key, &text)
    }
}

/// "Purge content by cache tag", its columns "Allowed" and "Disallowed".
fn is_tag(tag: &str) -> bool {
    let is_disallowed = |one: char| "<>*@\\{}:,\"=()?; []".contains(one);
    (1..=128).contains(&tag.len()) && tag.is_ascii() && !tag.contains(is_disallowed)
}

fn mac(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let body =
        json!({ "httpStatus": status, "title": title, "detail": detail, "supportId": "s-1" });
    (status, body.to_string())
}
