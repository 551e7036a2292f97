//! Mappings, from the registry to the wire: a participant with an API of its own joins with a document.

use std::time::{Duration, SystemTime};

use ::amqp::envelope::{Dispatch, MappingDocument, Order, ReportedOutcome};
use anyhow::{Context, Result};
use domain::Evidence;
use proto::v1::{self, selector::Kind};
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, Program, purge, selector},
    shared,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SOON: Duration = Duration::from_secs(20);
const DOCUMENT: &str = include_str!("../../../dialects/src/mapped/example.yaml");

/// `a` owns `shop`, which is deployed at `b`; `b` is told by the mapping `acme`.
struct Stage {
    federation: Federation,
    /// Ends when it is dropped.
    broker: Program,
    operator: Client,
    owner: Client,
    told: Client,
}

impl Stage {
    async fn new() -> Result<Self> {
        let federation = Federation::start(shared()?).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        put(&mut operator, DOCUMENT).await?;
        operator.create_participant("a").await?;
        operator.put_participant(b("acme")).await?;
        operator
            .create_server("b1", "b", "varnish", ([127, 0, 0, 1], 1).into())
            .await?;
        operator
            .create_configuration("shop", "a", &["www.shop.example"])
            .await?;
        operator.deploy("shop", "b").await?;
        let (owner, told) = (
            federation.client(&broker, "participant/a")?,
            federation.client(&broker, "participant/b")?,
        );
        Ok(Self {
            federation,
            broker,
            operator,
            owner,
            told,
        })
    }
}

fn b(system: &str) -> v1::Participant {
    v1::Participant {
        id: "b".to_owned(),
        invocation_system: system.to_owned(),
        ..v1::Participant::default()
    }
}

async fn put(client: &mut Client, document: &str) -> Result<v1::Mapping, Status> {
    let mapping = Some(v1::Mapping {
        document: document.to_owned(),
        ..v1::Mapping::default()
    });
    let request = v1::PutMappingRequest { mapping };
    let answer = client.registry.put_mapping(request).await?;
    Ok(answer.into_inner().mapping.unwrap_or_default())
}

async fn get(client: &mut Client, name: &str, version: u32) -> Result<v1::Mapping, Status> {
    let request = v1::GetMappingRequest {
        mapping_name: name.to_owned(),
        version,
    };
    let answer = client.registry.get_mapping(request).await?;
    Ok(answer.into_inner().mapping.unwrap_or_default())
}

async fn delete(client: &mut Client, name: &str) -> Result<(), Status> {
    let request = v1::DeleteMappingRequest {
        mapping_name: name.to_owned(),
    };
    client.registry.delete_mapping(request).await.map(drop)
}

async fn code<T>(call: impl Future<Output = Result<T, Status>>) -> Code {
    call.await.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn by_tag() -> v1::CommandDraft {
    v1::CommandDraft {
        selectors: vec![selector(Kind::Tag("red".to_owned()))],
        configuration_id: "shop".to_owned(),
        ..purge(&[])
    }
}

/// The next dispatch: its one order, and the document that it speaks by.
async fn next(adapter: &mut ScriptedAdapter) -> Result<(Order, MappingDocument)> {
    let (delivery, orders) = adapter.next().await?;
    let dispatch: Dispatch<'_> = serde_json::from_slice(&delivery.message.body)?;
    let order = orders.into_iter().next().context("it has an order")?;
    let document = dispatch
        .mapping(&order.native[0])
        .context("with its document")?;
    let document = document.clone();
    delivery.ack().await?;
    Ok((order, document))
}

/// A mistake in a mapping is named by its line, and nothing of it is kept; what is kept has versions.
#[tokio::test]
async fn a_mapping_is_checked_and_kept_in_versions() -> Result<()> {
    let Stage {
        mut operator,
        mut owner,
        mut told,
        federation: _federation,
        broker: _running,
    } = Stage::new().await?;
    let wrong = DOCUMENT
        .replace("method: DELETE", "method: delete")
        .replace("{{ item.host }}", "{{ item.hots }}");
    let refused = put(&mut operator, &wrong).await.expect_err("it is wrong");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    let violations = &details.bad_request().context("fields")?.field_violations;
    let fields: Vec<_> = violations
        .iter()
        .map(|found| found.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "mapping.document line 24",
            "mapping.document line 31",
            "mapping.document line 32"
        ]
    );
    let taken = DOCUMENT.replace("name: acme", "name: varnish");
    assert_eq!(
        code(put(&mut operator, &taken)).await,
        Code::InvalidArgument
    );

    let changed = DOCUMENT.replace("/v2/", "/v3/");
    assert_eq!(put(&mut operator, DOCUMENT).await?.version, 1);
    assert_eq!(put(&mut operator, &changed).await?.version, 2);
    assert_eq!(get(&mut operator, "acme", 0).await?.document, changed);
    assert_eq!(get(&mut operator, "acme", 1).await?.document, DOCUMENT);
    let list = v1::ListMappingsRequest::default();
    let listed = told.registry.list_mappings(list).await?.into_inner();
    let listed: Vec<_> = listed
        .mappings
        .iter()
        .map(|one| (one.name.as_str(), one.version, one.document.as_str()))
        .collect();
    assert_eq!(listed, [("acme", 2, "")]);

    assert_eq!(code(get(&mut owner, "acme", 0)).await, Code::NotFound);
    assert_eq!(code(put(&mut told, DOCUMENT)).await, Code::PermissionDenied);
    assert_eq!(
        code(delete(&mut told, "acme")).await,
        Code::PermissionDenied
    );
    assert_eq!(
        code(delete(&mut operator, "acme")).await,
        Code::FailedPrecondition
    );
    let update = |system| v1::UpdateParticipantRequest {
        participant: Some(b(system)),
        ..v1::UpdateParticipantRequest::default()
    };
    assert_eq!(
        code(operator.registry.update_participant(update("acme-2"))).await,
        Code::InvalidArgument
    );
    operator
        .registry
        .update_participant(update("canonical"))
        .await?;
    delete(&mut operator, "acme").await?;
    assert_eq!(code(get(&mut operator, "acme", 0)).await, Code::NotFound);
    assert_eq!(put(&mut operator, DOCUMENT).await?.version, 4);
    Ok(())
}

/// The plan names the version; what was planned with one is told by it, however often the document has changed since, and
/// the adapter needs nothing but the message.
#[tokio::test]
async fn an_execution_keeps_the_version_that_it_was_planned_with() -> Result<()> {
    let Stage {
        federation,
        mut operator,
        mut owner,
        broker: _running,
        ..
    } = Stage::new().await?;
    let mut adapter = federation.scripted("b")?;
    let request = v1::SubmitCommandRequest {
        draft: Some(by_tag()),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let answer = owner.commands.submit_command(request).await?.into_inner();
    let native = &answer.plan.context("a plan")?.executions[0].native[0];
    assert_eq!(
        (native.dialect.as_str(), native.mapping_version),
        ("acme", 1)
    );
    assert_eq!(native.calls[0].path, "/v2/tags/red");

    let later = owner
        .submit(v1::CommandDraft {
            not_before: Some((SystemTime::now() + Duration::from_secs(10)).into()),
            ..by_tag()
        })
        .await?;
    let changed = DOCUMENT.replace("/v2/", "/v3/");
    put(&mut operator, &changed).await?;
    let now = owner.submit(by_tag()).await?;

    let (order, document) = next(&mut adapter).await?;
    assert_eq!(order.execution.command.to_string(), now.id);
    assert_eq!(order.native[0].calls[0].path, "/v3/tags/red");
    assert_eq!(
        (document.version, document.document.as_str()),
        (2, changed.as_str())
    );
    let done = ReportedOutcome::Done(Evidence::Reported);
    adapter.report(&order, done.clone()).await?;

    let (order, document) = next(&mut adapter).await?;
    assert_eq!(order.execution.command.to_string(), later.id);
    assert_eq!(order.native[0].calls[0].path, "/v2/tags/red");
    assert_eq!(
        (document.version, document.document.as_str()),
        (1, DOCUMENT)
    );
    let mapping = ::dialects::mapped::Mapping::read(&document.document);
    assert!(mapping.is_ok_and(|mapping| mapping.poll("7").is_some()));
    adapter.report(&order, done).await?;
    for command in [now, later] {
        owner.settled(&command.id, SOON).await?;
    }
    Ok(())
}

/// What the document maps no call for is impossible for that participant, in its own words, and nothing is sent.
#[tokio::test]
async fn what_a_mapping_does_not_say_is_planned_as_impossible() -> Result<()> {
    let mut stage = Stage::new().await?;
    let draft = v1::CommandDraft {
        selectors: vec![selector(Kind::Everything(v1::Everything {}))],
        ..by_tag()
    };
    let refused = stage.owner.submit(draft).await.expect_err("nobody can");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let why = "acme maps no purge (delete) by everything";
    assert!(refused.message().contains(why), "{refused}");
    Ok(())
}
