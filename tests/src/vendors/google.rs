//! Google Cloud CDN's invalidations (`urlMaps.invalidateCache`, `globalOperations.get`; "Cache invalidation overview").

use serde_json::{Value, json};

use super::{Answer, Rate, Request, Vendor};

/// Of one project ("Cache invalidation overview"): 500 invalidations a minute.
const RATES: &[Rate] = &[Rate {
    unit: "invalidations",
    burst: 500.0,
    per_second: 500.0 / 60.0,
}];

/// Tags of one request.
const TAGS: usize = 10;
const ZERO: &str = "00000000-0000-0000-0000-000000000000";

/// One project.
#[derive(Debug)]
pub struct Google {
    /// The bearer token.
    pub token: &'static str,
    /// The project's id.
    pub project: &'static str,
    /// The one URL map.
    pub url_map: &'static str,
    /// Questions that are answered with `RUNNING` before an operation is `DONE`.
    pub questions: u32,
    /// The ids of requests: the index is the operation's number.
    pub known: Vec<String>,
}

impl Vendor for Google {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != format!("Bearer {}", self.token) {
            let message = "Request had invalid authentication credentials.";
            return error(401, "UNAUTHENTICATED", "authError", message);
        }
        let global = format!("/compute/v1/projects/{}/global/", self.project);
        let Some(rest) = request.path.strip_prefix(&global) else {
            return not_found("The project was not found");
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parts: Vec<_> = path.split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("POST", ["urlMaps", map, "invalidateCache"]) if *map == self.url_map => {
                self.invalidate(query, &request.body)
            }
            ("GET", ["operations", name]) => self.operation(name),
            _ => not_found("The resource was not found"),
        }
    }

    fn busy(&self) -> Answer {
        error(
            403,
            "RESOURCE_EXHAUSTED",
            "rateLimitExceeded",
            "Rate Limit Exceeded",
        )
    }

    fn rates(&self) -> &'static [Rate] {
        RATES
    }

    fn takes(&self, request: &Request) -> Vec<(&'static str, usize)> {
        vec![("invalidations", usize::from(request.method == "POST"))]
    }
}

impl Google {
    fn invalidate(&mut self, query: &str, body: &str) -> Answer {
        let id = query.strip_prefix("requestId=").unwrap_or_default();
        if id.len() != 36 || id == ZERO {
            return invalid("Invalid value for field 'requestId'");
        }
        let Ok(Value::Object(rule)) = serde_json::from_str(body) else {
            return invalid("Invalid JSON payload received");
        };
        if rule
            .keys()
            .any(|name| !matches!(name.as_str(), "host" | "path" | "cacheTags"))
        {
            return invalid("Invalid JSON payload received. Unknown name");
        }
        let path = rule
            .get("path")
            .map(|path| path.as_str().unwrap_or_default());
        let tags = rule.get("cacheTags").and_then(Value::as_array);
        let host = rule
            .get("host")
            .map(|host| host.as_str().unwrap_or_default());
        if path.is_none() && tags.is_none() {
            return invalid("Required field 'path' not specified");
        }
        if !path.is_none_or(is_path) {
            return invalid("Invalid value for field 'path'");
        }
        if !host.is_none_or(|host| host.contains('.') && !host.contains('/')) {
            return invalid("Invalid value for field 'host'");
        }
        if !tags.is_none_or(|tags| {
            (1..=TAGS).contains(&tags.len()) && tags.iter().all(Value::is_string)
        }) {
            return invalid("Invalid value for field 'cacheTags'");
        }
        let number = self
            .known
            .iter()
            .position(|known| known == id)
            .unwrap_or_else(|| {
                self.known.push(id.to_owned());
                self.known.len() - 1
            });
        operation(number, "PENDING")
    }

    fn operation(&mut self, name: &str) -> Answer {
        let number = name
            .strip_prefix("operation-")
            .and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number| *number < self.known.len()) else {
            return not_found("The operation was not found");
        };
        if self.questions > 0 {
            self.questions -= 1;
            return operation(number, "RUNNING");
        }
        operation(number, "DONE")
    }
}

/// It begins with `/`, has no query and no fragment, and a `*` only at its end behind a `/`.
pub(super) fn is_path(path: &str) -> bool {
    let fixed = path.strip_suffix("/*").map_or(path, |start| start);
    let whole = path == "/*" || fixed.starts_with('/');
    whole && !fixed.contains(['*', '?', '#']) && path.len() <= 1_024
}

fn operation(number: usize, status: &str) -> Answer {
    let progress = if status == "DONE" { 100 } else { 0 };
    let body = json!({
        "kind": "compute#operation", "id": number.to_string(), "name": format!("operation-{number}"),
        "operationType": "invalidateCache", "status": status, "progress": progress,
    });
    (200, body.to_string())
}

pub(super) fn invalid(message: &str) -> Answer {
    error(400, "INVALID_ARGUMENT", "invalid", message)
}

pub(super) fn not_found(message: &str) -> Answer {
    error(404, "NOT_FOUND", "notFound", message)
}

pub(super) fn error(code: u16, status: &str, reason: &str, message: &str) -> Answer {
    let errors = json!([{ "message": message, "domain": "global", "reason": reason }]);
    let error = json!({ "code": code, "message": message, "errors": errors, "status": status });
    (code, json!({ "error": error }).to_string())
}
