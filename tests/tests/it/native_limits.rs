//! How much one call to a participant's provider holds, where its record says so: from the registry to the wire and the plan.

use anyhow::{Context, Result};
use proto::v1::{self, Evidence, ExecutionState, selector::Kind};
use tests::{
    federation::{Federation, purge, selector},
    shared,
    vendors::{Peer, Provider, Stage, cloudflare::Cloudflare},
};
use tonic_types::StatusExt as _;

/// A unit and a number.
type Said<'a> = (&'a str, u32);

fn participant(id: &str, system: &str, limits: &[Said<'_>]) -> v1::Participant {
    let limits = limits.iter().map(|(unit, amount)| v1::NativeLimit {
        unit: (*unit).to_owned(),
        amount: *amount,
    });
    v1::Participant {
        id: id.to_owned(),
        invocation_system: system.to_owned(),
        native_limits: limits.collect(),
        ..v1::Participant::default()
    }
}

/// A limit that the participant's dialect does not know, or that no account there has, is refused by its field, with the rule.
#[tokio::test]
async fn a_limit_that_nobody_can_have_is_refused() -> Result<()> {
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let operator = federation.client(&broker, "operator/ops")?;
    let many = [("tags", 1); 21];
    let elsewhere = "only a provider's API has such numbers";
    let cases: [(&str, &[Said<'_>], &str, &str); 9] = [
        (
            "cloudflare",
            &[("tags", 30), ("files", 1)],
            "[1].unit",
            "urls, tags, hosts, prefixes, bytes",
        ),
        (
            "cloudflare",
            &[("urls", 0)],
            "[0].amount",
            "1 to 500 for `urls`",
        ),
        (
            "cloudflare",
            &[("urls", 501)],
            "[0].amount",
            "1 to 500 for `urls`",
        ),
        (
            "akamai",
            &[("bytes", 50_001)],
            "[0].amount",
            "8192 to 50000 for `bytes`",
        ),
        (
            "fastly",
            &[("keys", 10), ("keys", 9)],
            "[1].unit",
            "stands before",
        ),
        ("canonical", &[("urls", 1)], "[0].unit", elsewhere),
        ("varnish-broadcaster", &[("urls", 1)], "[0].unit", elsewhere),
        ("", &[("urls", 1)], "[0].unit", elsewhere),
        ("cloudflare", &many, "", "NATIVE_LIMITS_PER_PARTICIPANT"),
    ];
    for (system, limits, field, rule) in cases {
        let refused = operator
            .clone()
            .put_participant(participant("c", system, limits))
            .await;
        let status = refused.expect_err(field).downcast::<tonic::Status>()?;
        let details = status.get_error_details();
        let bad = details.bad_request().context("a field is named")?;
        let [one] = &bad.field_violations[..] else {
            anyhow::bail!("{bad:?}");
        };
        assert_eq!(one.field, format!("participant.native_limits{field}"));
        assert!(one.description.contains(rule), "{}", one.description);
    }
    Ok(())
}

fn draft(kinds: impl IntoIterator<Item = Kind>) -> v1::CommandDraft {
    v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        selectors: kinds.into_iter().map(selector).collect(),
        ..purge(&[])
    }
}

fn tags() -> v1::CommandDraft {
    draft((0..5).map(|number| Kind::Tag(format!("t{number}"))))
}

async fn cost(stage: &mut Stage, draft: v1::CommandDraft) -> Result<v1::NativeCost> {
    let request = v1::SubmitCommandRequest {
        draft: Some(draft),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let answer = stage.owner.commands.submit_command(request).await?;
    let plan = answer.into_inner().plan.context("a plan")?;
    let mut native = plan.executions.into_iter().flat_map(|one| one.native);
    native.find_map(|order| order.cost).context("a cost")
}

/// An account takes less in a call than most: its participant's record says so, and then the plan counts more calls for the same
/// tags, and the provider hears them. Taken back, it is as before.
#[tokio::test]
async fn a_lowered_limit_shows_in_the_plan_and_on_the_wire() -> Result<()> {
    let mut stage = Stage::new(None).await?;
    let peer = Peer::start(Cloudflare {
        token: "cloudflare-token",
        zone: "Z1",
    })
    .await?;
    let provider = Provider::new(
        "c",
        "cloudflare",
        &peer,
        "cloudflare-token",
        "zone = \"Z1\", alone = \"Z1\"",
    );
    stage.add(provider).await?;
    for (limits, calls) in [
        (&[][..], vec![5]),
        (&[("tags", 2)], vec![2, 2, 1]),
        (&[], vec![5]),
    ] {
        let wanted = participant("c", "cloudflare", limits);
        let request = v1::UpdateParticipantRequest {
            participant: Some(wanted.clone()),
            ..v1::UpdateParticipantRequest::default()
        };
        let updated = stage.operator.registry.update_participant(request).await?;
        let kept = updated.into_inner().participant.context("as stored")?;
        assert_eq!(kept.native_limits, wanted.native_limits);
        let cost = cost(&mut stage, tags()).await?;
        let units: Vec<_> = cost
            .units
            .iter()
            .map(|one| (one.unit.as_str(), one.amount))
            .collect();
        assert_eq!(
            (usize::try_from(cost.calls)?, units),
            (calls.len(), vec![("tags", 5)])
        );
        assert_eq!(cost.may_add, Vec::<String>::new());
        let before = peer.taken().len();
        let command = stage.settled(tags()).await?;
        let one = command.executions.first().context("an execution")?;
        assert_eq!(
            (one.state(), one.evidence()),
            (ExecutionState::Done, Evidence::Acknowledged),
            "{one:#?}"
        );
        let mut said = Vec::new();
        for (request, status) in peer.taken().into_iter().skip(before) {
            assert_eq!(status, 200, "{request:?}");
            let body: serde_json::Value = serde_json::from_str(&request.body)?;
            said.push(body["tags"].as_array().context("tags")?.len());
        }
        assert_eq!(said, calls);
    }
    // Variants of a URL are the account's, which the broker does not know; so the plan says that there may be more.
    let url = Kind::Url("https://www.shop.example/a".to_owned());
    let cost = cost(&mut stage, draft([url.clone()])).await?;
    assert!(
        cost.may_add.iter().any(|more| more.contains("`variants`")),
        "{cost:?}"
    );
    // Who looks afterwards may tell it again, and only then.
    let looks_again = |cost: &v1::NativeCost| {
        let mut more = cost.may_add.iter();
        more.any(|more| more.contains("`probes.repeats`"))
    };
    assert!(!looks_again(&cost), "{cost:?}");
    let verified = v1::CommandDraft {
        verify: true,
        ..draft([url])
    };
    let cost = self::cost(&mut stage, verified).await?;
    assert!(looks_again(&cost), "{cost:?}");
    Ok(())
}
