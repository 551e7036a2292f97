//! What can be tried over the management API.

use ::amqp::{Credentials, Topology};
use anyhow::{Result, ensure};
use domain::ParticipantId;
use reqwest::{Method, Url};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// What was tried, and whether it was refused.
pub(super) async fn attempts(
    management: &str,
    topology: &Topology,
    enemy: &Credentials,
    victim: &ParticipantId,
) -> Result<Vec<(String, bool)>> {
    let (queue, entry) = (
        topology.commands_queue(victim),
        topology.entry_exchange(victim),
    );
    let (user, commands) = (&enemy.user, topology.commands_exchange());
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    let message = json!({
        "properties": {}, "routing_key": victim.as_str(), "payload": "forged", "payload_encoding": "string",
    });
    let get = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
    let calls = [
        (Method::GET, "overview".to_owned(), Value::Null),
        (Method::GET, "queues".to_owned(), Value::Null),
        (Method::GET, "users".to_owned(), Value::Null),
        (Method::GET, "definitions".to_owned(), Value::Null),
        (Method::GET, format!("queues/%2f/{queue}"), Value::Null),
        (Method::POST, format!("queues/%2f/{queue}/get"), get),
        (
            Method::DELETE,
            format!("queues/%2f/{queue}/contents"),
            Value::Null,
        ),
        (Method::DELETE, format!("queues/%2f/{queue}"), Value::Null),
        (
            Method::DELETE,
            format!("exchanges/%2f/{entry}"),
            Value::Null,
        ),
        (
            Method::POST,
            format!("exchanges/%2f/{entry}/publish"),
            message.clone(),
        ),
        (
            Method::POST,
            format!("exchanges/%2f/{commands}/publish"),
            message,
        ),
        (Method::PUT, format!("permissions/%2f/{user}"), all),
        (
            Method::PUT,
            format!("users/{user}"),
            json!({ "password": "x", "tags": "administrator" }),
        ),
        (
            Method::PUT,
            format!("users/{}", topology.user(victim)),
            json!({ "password": "x", "tags": "" }),
        ),
        (
            Method::DELETE,
            format!("users/{}", topology.user(victim)),
            Value::Null,
        ),
    ];
    let base = Url::parse(management)?.join("api/")?;
    let mut found = Vec::new();
    for (method, path, body) in calls {
        let mut url = base.join(&path)?;
        let plain = url.set_username("").and_then(|()| url.set_password(None));
        ensure!(plain.is_ok());
        let mut request = tests::http()
            .request(method.clone(), url)
            .basic_auth(user, Some(enemy.password.expose_secret()));
        if !body.is_null() {
            request = request.json(&body);
        }
        let status = request.send().await?.status();
        found.push((
            format!("{method} {path}: {status}"),
            matches!(status.as_u16(), 401 | 403),
        ));
    }
    Ok(found)
}
