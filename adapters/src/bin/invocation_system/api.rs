//! What adapters call: submit with PUT, ask with GET.
//!
//! Invariant: the same submission again is the same execution; another one under its id is a conflict. Whoever does not
//! show the token learns nothing.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::put,
};
use dialects::canonical::{EXECUTIONS_PATH, Progress, ProgressState, Submission};
use domain::{ExecutionId, ServerId};
use serde_json::json;
use service::configuration::Secret;
use tokio::sync::mpsc;

use crate::{
    Configuration,
    store::{Record, Store},
};

/// Bytes of a submission: a thousand URLs of four thousand characters each.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

struct Shared {
    token: Secret,
    servers: Vec<ServerId>,
    store: Arc<Store>,
    waiting: mpsc::Sender<ExecutionId>,
}

/// An error as `application/problem+json` (RFC 9457).
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, detail) = self;
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, 1.into());
        }
        response
    }
}

impl Api {
    pub(crate) fn new(
        configuration: &Configuration,
        store: Arc<Store>,
        waiting: mpsc::Sender<ExecutionId>,
    ) -> Self {
        let token = configuration.token.clone();
        let servers = configuration
            .servers
            .iter()
            .map(|server| server.id.clone())
            .collect();
        Self(Arc::new(Shared {
            token,
            servers,
            store,
            waiting,
        }))
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route(
                &format!("{EXECUTIONS_PATH}/{{execution}}"),
                put(submit).get(ask),
            )
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .layer(middleware::from_fn_with_state(self.clone(), authorize))
            .with_state(self)
    }
}

async fn authorize(State(api): State<Api>, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let shown = shown
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if is_same(shown.as_bytes(), api.0.token.expose().as_bytes()) {
        return next.run(request).await;
    }
    Problem(
        StatusCode::UNAUTHORIZED,
        "the bearer token is missing or wrong".to_owned(),
    )
    .into_response()
}

/// Takes equally long wherever the first difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && difference == 0
}

async fn submit(
    State(Api(api)): State<Api>,
    Path(execution): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Submission<'static>>, JsonRejection>,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    let bad = |detail: String| Problem(StatusCode::BAD_REQUEST, detail);
    let Json(submission) = body.map_err(|error| bad(error.body_text()))?;
    if submission.execution.to_string() != execution {
        return Err(bad(
            "the execution in the body is not the one in the path".to_owned()
        ));
    }
    if let Some(unknown) = submission
        .servers
        .iter()
        .find(|server| !api.servers.contains(server))
    {
        return Err(bad(format!("no such server: {unknown}")));
    }
    if let Some(record) = api.store.get(&submission.execution) {
        return again(&record, &submission);
    }
    // A place first: what was written must also be carried out.
    let place = api.waiting.try_reserve();
    let busy = "too many executions wait".to_owned();
    let place = place.map_err(|_| Problem(StatusCode::SERVICE_UNAVAILABLE, busy))?;
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let record = Record::new(submission, header);
    let progress = record.progress.clone();
    api.store
        .put(&record)
        .map_err(|error| Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    place.send(progress.execution.clone());
    Ok((StatusCode::ACCEPTED, Json(progress)))
}

fn again(
    record: &Record,
    submission: &Submission<'_>,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    if record.submission != *submission {
        let detail = "another submission has this execution's id".to_owned();
        return Err(Problem(StatusCode::CONFLICT, detail));
    }
    let status = match record.progress.state {
        ProgressState::Running => StatusCode::ACCEPTED,
        ProgressState::Settled => StatusCode::OK,
    };
    Ok((status, Json(record.progress.clone())))
}

async fn ask(
    State(Api(api)): State<Api>,
    Path(execution): Path<String>,
) -> Result<Json<Progress>, Problem> {
    let record = execution
        .parse()
        .ok()
        .and_then(|execution| api.store.get(&execution));
    let unknown = || Problem(StatusCode::NOT_FOUND, "no such execution".to_owned());
    record
        .map(|record| Json(record.progress))
        .ok_or_else(unknown)
}
