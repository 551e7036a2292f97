//! Google Media CDN's invalidations (`networkservices` v1, `edgeCacheServices.invalidateCache`): no id, no operation, an empty answer.

use serde_json::{Value, json};

use super::{
    Answer, Request, Vendor,
    google::{error, invalid, is_path, not_found},
};

/// Tags of one request.
const TAGS: usize = 10;

/// One project.
#[derive(Debug)]
pub struct MediaCdn {
    /// The bearer token.
    pub token: &'static str,
    /// The project's id.
    pub project: &'static str,
    /// The one edge cache service.
    pub service: &'static str,
}

impl Vendor for MediaCdn {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != format!("Bearer {}", self.token) {
            let message = "Request had invalid authentication credentials.";
            return error(401, "UNAUTHENTICATED", "authError", message);
        }
        let services = format!(
            "/v1/projects/{}/locations/global/edgeCacheServices/",
            self.project
        );
        let method = request
            .path
            .strip_prefix(&services)
            .and_then(|rest| rest.split_once(':'));
        match method {
            Some((service, "invalidateCache"))
                if service == self.service && request.method == "POST" =>
            {
                invalidate(&request.body)
            }
            _ => not_found("The resource was not found"),
        }
    }

    fn busy(&self) -> Answer {
        let message = "Quota exceeded for quota metric 'Invalidation requests'";
        error(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", message)
    }
}

fn invalidate(body: &str) -> Answer {
    let Ok(Value::Object(rule)) = serde_json::from_str(body) else {
        return invalid("Invalid JSON payload received");
    };
    let is_known = |name: &String| matches!(name.as_str(), "host" | "path" | "cacheTags");
    if !rule.keys().all(is_known) {
        return invalid("Invalid JSON payload received. Unknown name");
    }
    let text = |name: &str| rule.get(name).map(|text| text.as_str().unwrap_or_default());
    if text("path").is_none() && !rule.contains_key("cacheTags") {
        return invalid("One of path and cacheTags must be specified");
    }
    if !text("path").is_none_or(is_path) {
        return invalid("Invalid value for field 'path'");
    }
    if !text("host").is_none_or(|host| host.contains('.') && !host.contains('/')) {
        return invalid("Invalid value for field 'host'");
    }
    let are_tags = |tags: &Value| {
        let tags = tags.as_array().map(Vec::as_slice).unwrap_or_default();
        (1..=TAGS).contains(&tags.len()) && tags.iter().all(Value::is_string)
    };
    if !rule.get("cacheTags").is_none_or(are_tags) {
        return invalid("Invalid value for field 'cacheTags'");
    }
    (200, json!({}).to_string())
}
