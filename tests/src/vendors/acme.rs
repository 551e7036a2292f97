//! The API that `dialects/src/mapped/example.yaml` is a mapping for: a home-grown one behind a token.

use serde_json::{Value, json};

use super::{Answer, Request, Vendor};

/// URLs of one call, and bytes of its body.
const URLS: usize = 3;
const BODY_BYTES: usize = 200;

/// The system of one participant.
#[derive(Debug)]
pub struct Acme {
    /// The bearer token.
    pub token: &'static str,
    /// Questions that are answered with a job at work before it is finished.
    pub questions: u32,
}

impl Vendor for Acme {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.header("authorization") != format!("Bearer {}", self.token) {
            return refused(401, "who are you");
        }
        let parts: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("POST", ["v2", "properties", _, "delete" | "invalidate"]) => purge(&request.body),
            ("DELETE", ["v2", "tags" | "hosts", name]) if !name.is_empty() => (204, String::new()),
            ("GET", ["v2", "jobs", "77"]) => self.job(),
            ("GET", ["warm", ..]) => (200, "{}".to_owned()),
            _ => refused(422, "no such thing"),
        }
    }

    fn busy(&self) -> Answer {
        (
            503,
            json!({ "wait": 1, "error": { "text": "busy" } }).to_string(),
        )
    }
}

impl Acme {
    fn job(&mut self) -> Answer {
        let state = if self.questions == 0 {
            "finished"
        } else {
            "at work"
        };
        self.questions = self.questions.saturating_sub(1);
        (200, json!({ "state": state }).to_string())
    }
}

fn purge(body: &str) -> Answer {
    let tree: Value = serde_json::from_str(body).unwrap_or_default();
    let urls = tree["urls"].as_array().cloned().unwrap_or_default();
    let is_url = |url: &Value| url.as_str().is_some_and(|url| url.starts_with("http"));
    if body.len() > BODY_BYTES || !(1..=URLS).contains(&urls.len()) || !urls.iter().all(is_url) {
        return refused(422, "urls");
    }
    (202, json!({ "job": { "id": 77 } }).to_string())
}

fn refused(status: u16, text: &str) -> Answer {
    (status, json!({ "error": { "text": text } }).to_string())
}
