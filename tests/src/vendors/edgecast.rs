//! Edgecast's bulk purges and loads (developer.edgecast.com, "Bulk Purge Content", "Get Bulk Purge Request").

use serde_json::{Value, json};

use super::{Answer, Request, Vendor};

/// Purges that may be under way, and as many loads; every path of a bulk counts.
const OUTSTANDING: usize = 50;

/// One customer.
#[derive(Debug)]
pub struct Edgecast {
    /// The token behind `TOK:`.
    pub token: &'static str,
    /// The account number.
    pub customer: &'static str,
    /// Questions that are answered with `in-progress` before a bulk is `done`.
    pub questions: u32,
    /// What was asked for: kind, number of paths, whether it is done.
    pub known: Vec<(String, usize, bool)>,
}

impl Vendor for Edgecast {
    fn answer(&mut self, request: &Request) -> Answer {
        let token = request.header("authorization").strip_prefix("TOK:");
        if token.map(str::trim) != Some(self.token) {
            return refused(403, "Access Denied");
        }
        let edge = format!("/v2/mcc/customers/{}/edge/", self.customer);
        let Some(rest) = request.path.strip_prefix(&edge) else {
            return refused(404, "The customer was not found");
        };
        if !request.header("accept").contains("json") {
            return refused(406, "Only JSON is made here");
        }
        let parts: Vec<_> = rest.split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("PUT", [kind @ ("bulkpurge" | "bulkload")]) => self.begin(kind, request),
            ("GET", [kind, id]) => self.get(kind, id),
            _ => refused(405, "The method is not allowed"),
        }
    }

    /// What is over the limit of outstanding requests is a bad request.
    fn busy(&self) -> Answer {
        refused(429, "Too many requests")
    }
}

impl Edgecast {
    fn begin(&mut self, kind: &str, request: &Request) -> Answer {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let is_json = request.header("content-type").contains("json");
        let paths = body["MediaPath"].as_array().cloned().unwrap_or_default();
        let wildcards = kind == "bulkpurge";
        let is_path = |path: &Value| {
            let path = path.as_str().unwrap_or_default();
            path.starts_with("http") && path.contains("://") && (wildcards || !path.contains('*'))
        };
        if !is_json || !matches!(body["MediaType"].as_u64(), Some(2 | 3 | 8 | 14)) {
            return refused(400, "Invalid MediaType");
        }
        if paths.is_empty() || !paths.iter().all(is_path) {
            return refused(400, "Invalid MediaPath");
        }
        let under_way = self
            .known
            .iter()
            .filter(|(known, _, done)| known == kind && !done);
        let under_way: usize = under_way.map(|(_, count, _)| count).sum();
        if under_way + paths.len() > OUTSTANDING {
            return refused(400, "The maximum number of outstanding requests is reached");
        }
        self.known.push((kind.to_owned(), paths.len(), false));
        (
            200,
            json!({ "Id": format!("b-{}", self.known.len() - 1) }).to_string(),
        )
    }

    fn get(&mut self, kind: &str, id: &str) -> Answer {
        let number = id
            .strip_prefix("b-")
            .and_then(|id| id.parse::<usize>().ok());
        let found = number.and_then(|number| self.known.get_mut(number));
        let Some((_, count, done)) = found.filter(|(known, ..)| known == kind) else {
            return refused(404, "The request was not found");
        };
        *done = self.questions == 0;
        self.questions = self.questions.saturating_sub(1);
        let (status, completed) = match done {
            true => ("done", json!("2026-01-31T06:00:05Z")),
            false => ("in-progress", Value::Null),
        };
        let details = json!({ "Count": count, "Status": status, "Created_at": "2026-01-31T06:00:00Z", "Completed_at": completed });
        (
            200,
            json!({ "Id": id, "Status_Details": details }).to_string(),
        )
    }
}

fn refused(status: u16, message: &str) -> Answer {
    (status, json!({ "Message": message }).to_string())
}
