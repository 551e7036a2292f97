//! RabbitMQ's management API, as far as tests and the demo ask it.
//!
//! Invariant: an answer other than success is an error with RabbitMQ's own reason.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};

use crate::http;

/// How long the management API may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A client of one RabbitMQ's management API, in the virtual host `/`.
#[derive(Clone, Debug)]
pub struct Management {
    client: Client,
    base: Url,
}

impl Management {
    /// For an address like `http://guest:guest@127.0.0.1:15672`.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self {
            client: http(),
            base: Url::parse(url)?.join("api/")?,
        })
    }

    /// What stands under `path`, which starts after `/api/`.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// The state of one queue. Counts are at most some seconds old.
    pub async fn queue(&self, name: &str) -> Result<Value> {
        self.get(&format!("queues/%2f/{name}")).await
    }

    /// How many messages a queue holds, ready and unacknowledged. Counts are at most some seconds old.
    pub async fn depth(&self, name: &str) -> Result<u64> {
        let queue = self.queue(name).await?;
        queue["messages"]
            .as_u64()
            .with_context(|| format!("{name} has no count yet"))
    }

    /// Adds a user, or changes the password, and sets what it may configure, write and read (regular expressions).
    pub async fn put_user(
        &self,
        name: &str,
        password: &str,
        [configure, write, read]: [&str; 3],
    ) -> Result<()> {
        let user = json!({ "password": password, "tags": "" });
        self.call(Method::PUT, &format!("users/{name}"), Some(user))
            .await?;
        let permissions = json!({ "configure": configure, "write": write, "read": read });
        self.call(
            Method::PUT,
            &format!("permissions/%2f/{name}"),
            Some(permissions),
        )
        .await?;
        Ok(())
    }

    /// One call; a body that is empty gives null.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self
            .client
            .request(method, self.base.join(path)?)
            .timeout(ANSWER);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {text}");
        }
        Ok(if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        })
    }
}
