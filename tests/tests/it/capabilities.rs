//! What a participant's own system can do, from the registry to the plan, and the server that is told whatever there is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Json, Router, extract::State, routing::post};
use proto::v1::{self, selector::Kind};
use serde_json::{Value, json};
use tests::{
    federation::{Client, Federation, Program, purge, selector},
    shared,
};
use tokio::net::TcpListener;
use tonic::Code;
use tonic_types::StatusExt as _;

const SOON: Duration = Duration::from_secs(20);
const REINDEX: &str = "[operations.reindex]\nrepeatable = false";

/// `a` owns `shop`, which is deployed at `a` alone, on a server of this dialect.
struct Stage {
    federation: Federation,
    broker: Program,
    operator: Client,
    owner: Client,
}

impl Stage {
    async fn new(participant: v1::Participant, dialect: &str, port: u16) -> Result<Self> {
        let federation = Federation::with_settings(shared()?, REINDEX).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        operator.put_participant(participant).await?;
        operator
            .open_shop("a", (dialect, ([127, 0, 0, 1], port).into()))
            .await?;
        let owner = federation.client(&broker, "participant/a")?;
        Ok(Self {
            federation,
            broker,
            operator,
            owner,
        })
    }

    /// How well `a` can do it, by the plan.
    async fn planned(&mut self, draft: v1::CommandDraft) -> Result<v1::FidelityReport> {
        let request = v1::SubmitCommandRequest {
            draft: Some(draft),
            validate_only: true,
            ..v1::SubmitCommandRequest::default()
        };
        let answer = self.owner.commands.submit_command(request).await?;
        let plan = answer.into_inner().plan.context("a plan")?;
        let execution = plan.executions.into_iter().next();
        execution
            .and_then(|execution| execution.fidelity)
            .context("a plan for one participant")
    }
}

/// An operation and the selectors that a participant declares for it.
type Declared<'a> = (&'a str, &'a [&'a str]);

fn a(capabilities: &[Declared<'_>]) -> v1::Participant {
    let capability = |(operation, selectors): &Declared<'_>| v1::Capability {
        operation: (*operation).to_owned(),
        selectors: selectors.iter().map(|&word| word.to_owned()).collect(),
    };
    v1::Participant {
        id: "a".to_owned(),
        invocation_system: "canonical".to_owned(),
        capabilities: capabilities.iter().map(capability).collect(),
        ..v1::Participant::default()
    }
}

fn by(kinds: Vec<Kind>) -> v1::CommandDraft {
    v1::CommandDraft {
        selectors: kinds.into_iter().map(selector).collect(),
        configuration_id: "shop".to_owned(),
        ..purge(&[])
    }
}

fn url() -> Kind {
    Kind::Url("http://www.shop.example/x".to_owned())
}

fn reindex() -> v1::CommandDraft {
    let custom = v1::CustomOperation {
        name: "reindex".to_owned(),
        parameters: [("depth".to_owned(), "2".to_owned())].into(),
    };
    v1::CommandDraft {
        operation: Some(v1::Operation {
            kind: Some(v1::operation::Kind::Custom(custom)),
        }),
        ..by(vec![url()])
    }
}

/// The format says everything, but the system behind it cannot do everything: what it does not declare is impossible, and
/// the reason names the participant, the operation and the selector.
#[tokio::test]
async fn what_a_system_does_not_declare_is_planned_as_impossible() -> Result<()> {
    let declared: &[(&str, &[&str])] = &[("purge", &["url", "host"]), ("load", &["url"])];
    let mut stage = Stage::new(a(declared), "squid", 1).await?;
    let exact = stage.planned(by(vec![url()])).await?;
    assert_eq!(exact.fidelity(), v1::Fidelity::Exact);
    let tag = || Kind::Tag("sale".to_owned());
    let all = Kind::Everything(v1::Everything {});
    let why = "a declares no purge by tag; a declares no purge by everything";
    for (draft, expected) in [
        (by(vec![url(), tag(), tag(), all]), why),
        (reindex(), "a declares no reindex by url"),
    ] {
        let report = stage.planned(draft.clone()).await?;
        assert_eq!(
            (report.fidelity(), report.why.as_str()),
            (v1::Fidelity::Impossible, expected)
        );
        // Nobody else can do it either, so it is refused in the same words.
        let status = stage.owner.submit(draft).await.expect_err("nobody can");
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        let refused = details.precondition_failure().context("who cannot")?;
        assert_eq!(refused.violations[0].description, expected);
    }
    Ok(())
}

/// Who declares nothing is believed to do everything, as before; and a declaration is shown as it was made.
#[tokio::test]
async fn a_declaration_is_kept_and_can_be_taken_back() -> Result<()> {
    let declared: &[(&str, &[&str])] = &[("purge", &["tag", "url"]), ("reindex", &["url"])];
    let mut stage = Stage::new(a(declared), "squid", 1).await?;
    let get = v1::GetParticipantRequest {
        participant_id: "a".to_owned(),
    };
    let kept = stage.operator.registry.get_participant(get).await?;
    let kept = kept.into_inner().participant.context("it is there")?;
    let expected = a(&[("purge", &["url", "tag"]), ("reindex", &["url"])]);
    assert_eq!(kept.capabilities, expected.capabilities);
    let update = v1::UpdateParticipantRequest {
        participant: Some(a(&[])),
        ..v1::UpdateParticipantRequest::default()
    };
    stage.operator.registry.update_participant(update).await?;
    let host = Kind::Host("www.shop.example".to_owned());
    let fidelity = stage.planned(by(vec![host])).await?;
    assert_eq!(fidelity.fidelity(), v1::Fidelity::Exact);
    Ok(())
}

/// A word that the federation does not know would quietly forbid everything, so it is refused by its field's name.
#[tokio::test]
async fn a_declaration_in_unknown_words_is_refused() -> Result<()> {
    let federation = Federation::with_settings(shared()?, REINDEX).await?;
    let broker = federation.broker("broker").await?;
    let operator = federation.client(&broker, "operator/ops")?;
    let cases: [(&[Declared<'_>], &str); 6] = [
        (&[("purge", &["url", "urls"])], "[0].selectors[1]"),
        (&[("purge", &[])], "[0].selectors"),
        (&[("", &["url"])], "[0].operation"),
        (&[("load", &["url"]), ("Purge", &["url"])], "[1].operation"),
        (&[("load", &["url"]), ("prune", &["url"])], "[1].operation"),
        (&[("load", &["url"]), ("load", &["tag"])], "[1].operation"),
    ];
    for (declared, field) in cases {
        let refused = operator.clone().put_participant(a(declared)).await;
        let status = refused.expect_err(field).downcast::<tonic::Status>()?;
        let details = status.get_error_details();
        let bad = details.bad_request().context("a field is named")?;
        let fields = bad
            .field_violations
            .iter()
            .map(|violation| &violation.field);
        let fields: Vec<_> = fields.collect();
        assert_eq!(fields, [&format!("participant.capabilities{field}")]);
    }
    Ok(())
}

type Heard = Arc<Mutex<Vec<Value>>>;

/// An agent beside a server: it does what it is told, and tells its selectors apart.
async fn agent() -> Result<(u16, Heard)> {
    async fn hear(State(heard): State<Heard>, Json(order): Json<Value>) -> Json<Value> {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(order);
        let found = json!([{ "selector": 0, "finding": { "removed": 2 } }, { "selector": 1, "finding": "nothing_held" }]);
        Json(json!({ "evidence": "verified", "findings": found }))
    }
    let heard = Heard::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let router = Router::new()
        .route("/federation/v1/executions/{execution}", post(hear))
        .with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((port, heard))
}

/// A server that speaks the federation's own format is told what no cache understands, once, and says what it found for
/// each selector.
#[tokio::test]
async fn an_agent_is_told_whatever_there_is() -> Result<()> {
    let (port, heard) = agent().await?;
    let participant = v1::Participant {
        id: "a".to_owned(),
        ..v1::Participant::default()
    };
    let mut stage = Stage::new(participant, "agent", port).await?;
    let _adapter = stage.federation.adapter("adapter", "a", "").await?;
    let tag = by(vec![url(), Kind::Tag("sale".to_owned())]);
    for draft in [tag, reindex()] {
        let command = stage.owner.submit(draft).await?;
        let settled = stage.owner.settled(&command.id, SOON).await?;
        let standing = settled.standing.as_ref().context("a standing")?;
        assert_eq!(standing.overall(), v1::Overall::Complete, "{settled:#?}");
    }
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let told: Vec<_> = heard.iter().map(|order| &order["operation"]).collect();
    let custom = json!({ "custom": { "name": "reindex", "repeatable": false, "parameters": { "depth": "2" } } });
    assert_eq!(told, [&json!({ "purge": "delete" }), &custom]);
    drop(stage.broker);
    Ok(())
}
