//! One command in a native system's own language: an HTTP request without its address and without credentials.
//!
//! Invariant: it is complete but for where it goes and who sends it; both are the adapter's to add.

use serde::{Deserialize, Serialize};

/// One request to a native system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NativeCall {
    /// The HTTP method: `PURGE`, `BAN`, `GET`, `POST`.
    pub method: String,
    /// The `Host` header, where it is not the address that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Path and query, beginning with `/`, percent-encoded.
    pub path: String,
    /// Further headers, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body, with its type in `headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Which selectors of the command it carries out, counted from 0.
    pub selectors: Vec<u32>,
}

impl NativeCall {
    /// A request without headers and body.
    pub fn new(method: &str, host: Option<&str>, path: &str, selectors: Vec<u32>) -> Self {
        Self {
            method: method.to_owned(),
            host: host.map(str::to_owned),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
            selectors,
        }
    }

    /// With one header more; the name in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}
