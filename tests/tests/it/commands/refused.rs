//! What is refused, and how: each broken rule by its field, and what is another's like what is not there.

use anyhow::Result;
use proto::v1::{self, selector::Kind};
use tests::federation::{load, purge, selector};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{URL, custom, listed, of, stage};

/// Each mistake is answered with the field and the rule, and leaves nothing in the store.
#[tokio::test]
async fn a_malformed_draft_names_its_fields_and_stores_nothing() -> Result<()> {
    let mut stage = stage("").await?;
    let many = vec![selector(Kind::Url(URL.to_owned())); 1_001];
    let cases = [
        (v1::CommandDraft::default(), "draft.operation"),
        (purge(&[]), "draft.selectors"),
        (purge(&["not a url"]), "draft.selectors[0].url"),
        (
            purge(&[URL, "http://www.evil.example/"]),
            "draft.selectors[1].url",
        ),
        (
            v1::CommandDraft {
                selectors: many,
                ..purge(&[])
            },
            "draft.selectors",
        ),
        (of(Kind::Tag("a b".to_owned())), "draft.selectors[0].tag"),
        (
            of(Kind::Prefix("www.news.example/".to_owned())),
            "draft.selectors[0].prefix",
        ),
        (
            v1::CommandDraft {
                configuration_id: "Shop!".to_owned(),
                ..purge(&[URL])
            },
            "draft.configuration_id",
        ),
        (
            v1::CommandDraft {
                when_impossible: 77,
                ..purge(&[URL])
            },
            "draft.when_impossible",
        ),
        (load_of_prefix(), "draft.selectors[0].prefix"),
        (custom("reindex"), "draft.operation.custom.name"),
        (
            of(Kind::Regex(v1::HostRegex {
                host: "www.shop.example".to_owned(),
                pattern: "(".to_owned(),
            })),
            "draft.selectors[0].regex.pattern",
        ),
    ];
    for (draft, field) in cases {
        let status = stage
            .owner
            .submit(draft.clone())
            .await
            .expect_err("it is malformed");
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert!(
            fields(&status).contains(&field.to_owned()),
            "{field}: {status:?}"
        );
    }
    assert_eq!(listed(&mut stage.owner).await?, 0);
    Ok(())
}

fn load_of_prefix() -> v1::CommandDraft {
    v1::CommandDraft {
        selectors: vec![selector(Kind::Prefix("www.shop.example/".to_owned()))],
        ..load(&[])
    }
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .map(|request| request.field_violations.clone())
        .unwrap_or_default();
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// A configuration of somebody else is answered like one that is not there, word for word.
#[tokio::test]
async fn what_is_anothers_does_not_exist() -> Result<()> {
    let mut stage = stage("").await?;
    let of = |id: &str| v1::CommandDraft {
        configuration_id: id.to_owned(),
        ..purge(&["http://www.news.example/"])
    };
    let foreign = stage.owner.submit(of("news")).await.expect_err("it is b's");
    let absent = stage
        .owner
        .submit(of("nowhere"))
        .await
        .expect_err("there is none");
    assert_eq!(
        (foreign.code(), absent.code()),
        (Code::NotFound, Code::NotFound)
    );
    assert_eq!(
        foreign.message().replace("news", "nowhere"),
        absent.message()
    );
    // `b` sees what runs on its servers, and nothing of this.
    let own = v1::Scope {
        kind: Some(v1::scope::Kind::Participants(v1::Ids {
            ids: vec!["a".to_owned()],
        })),
    };
    let draft = v1::CommandDraft {
        scope: Some(own),
        ..purge(&[URL])
    };
    let mine = stage.owner.submit(draft).await?;
    let mut other = stage.federation.client(&stage.broker, "participant/b")?;
    assert_eq!(
        other.get(&mine.id).await.expect_err("it is a's").code(),
        Code::NotFound
    );
    let mut nobody = stage.federation.client(&stage.broker, "nobody")?;
    assert_eq!(
        nobody.get(&mine.id).await.expect_err("nobody").code(),
        Code::Unauthenticated
    );
    Ok(())
}

/// An empty list would say that there is none, where nothing was looked for.
#[tokio::test]
async fn a_filter_that_can_match_nothing_is_a_mistake() -> Result<()> {
    let stage = stage("").await?;
    let mut registry = stage.owner.clone().registry;
    let request = v1::ListDeploymentsRequest {
        configuration_id: "Bad!!".to_owned(),
        participant_id: "Also Bad".to_owned(),
        ..v1::ListDeploymentsRequest::default()
    };
    let refused = registry.list_deployments(request).await;
    let refused = refused.expect_err("no deployment is called so");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(fields(&refused), ["configuration_id", "participant_id"]);
    let request = v1::ListConfigurationsRequest {
        owner_id: "Bad!!".to_owned(),
        host: "not a host".to_owned(),
        ..v1::ListConfigurationsRequest::default()
    };
    let refused = registry.list_configurations(request).await;
    let refused = refused.expect_err("no configuration is like that");
    assert_eq!(fields(&refused), ["owner_id", "host"]);
    let request = v1::ListServersRequest {
        participant_id: "Bad!!".to_owned(),
        ..v1::ListServersRequest::default()
    };
    let refused = registry.list_servers(request).await;
    let refused = refused.expect_err("no participant is called so");
    assert_eq!(fields(&refused), ["participant_id"]);
    let without = v1::UpdateServerRequest::default();
    let refused = registry.update_server(without).await;
    assert_eq!(fields(&refused.expect_err("it has no server")), ["server"]);
    Ok(())
}

/// A token from nowhere would hide every change until then.
#[tokio::test]
async fn a_resume_token_that_is_ahead_of_its_command_is_refused() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let request = v1::WatchCommandRequest {
        command_id: command.id,
        resume_token: "999999".to_owned(),
    };
    let refused = stage.owner.commands.watch_command(request).await;
    let refused = refused.expect_err("the command has not come so far");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(fields(&refused), ["resume_token"]);
    Ok(())
}

/// Each name that does not belong there is listed, and the refusal is counted by its reason.
#[tokio::test]
async fn a_scope_lists_everybody_who_does_not_carry_the_configuration() -> Result<()> {
    let mut stage = stage("").await?;
    let ids = ["a", "x", "y"].map(str::to_owned).to_vec();
    let scope = v1::Scope {
        kind: Some(v1::scope::Kind::Participants(v1::Ids { ids })),
    };
    let draft = v1::CommandDraft {
        scope: Some(scope),
        ..purge(&[URL])
    };
    let refused = stage.owner.submit(draft).await.expect_err("x is nobody");
    assert_eq!(fields(&refused), ["draft.scope.participants.ids"; 2]);
    let metrics = format!("http://{}/metrics", stage.broker.signals);
    let metrics = tests::http().get(metrics).send().await?.text().await?;
    let counted = metrics.lines().any(|line| {
        line.starts_with("broker_commands_total{")
            && line.contains(r#"result="refused""#)
            && line.contains(r#"reason="INVALID_FIELDS""#)
            && line.ends_with(" 1")
    });
    assert!(counted, "{metrics}");
    Ok(())
}
