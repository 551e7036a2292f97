//! What a provider's account has: shown by the plan, kept by the adapter, and shared by what waits for it.

use std::time::Duration;

use anyhow::{Context, Result};
use proto::v1::{self, Evidence, ExecutionState, selector::Kind};
use tests::{
    federation::{Client, Federation, Program, purge, selector},
    shared,
    vendors::{Peer, cloudflare::Cloudflare},
};

/// How long all purges of a test may take.
const SETTLE: Duration = Duration::from_mins(1);
/// Purges that are submitted at once.
const PURGES: usize = 40;

/// A participant at Cloudflare whose account takes one call a second.
struct Stage {
    owner: Client,
    peer: Peer,
    _programs: [Program; 2],
    _federation: Federation,
}

async fn stage() -> Result<Stage> {
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    operator.create_participant("a").await?;
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    operator
        .put_participant(v1::Participant {
            id: "c".to_owned(),
            invocation_system: "cloudflare".to_owned(),
            ..v1::Participant::default()
        })
        .await?;
    let address = "192.0.2.1:80".parse()?;
    operator
        .create_server("c-1", "c", "varnish", address)
        .await?;
    operator.deploy("shop", "c").await?;
    let peer = Peer::start(Cloudflare {
        token: "cloudflare-token",
        zone: "Z1",
    })
    .await?;
    let secrets = federation.folder().join("credentials");
    std::fs::write(&secrets, "cloudflare-token")?;
    let settings = format!(
        "kind = \"api\"\n[api]\nbase_url = \"{}\"\ncredentials = \"{}\"\n\
         budgets = {{ calls = {{ amount = 1, per = \"1s\", burst = 1 }} }}\n\
         [api.accounts.shop]\nvalues = {{ zone = \"Z1\", alone = \"Z1\" }}\n",
        peer.url(),
        secrets.display()
    );
    let adapter = federation.adapter("adapter-c", "c", &settings).await?;
    let owner = federation.client(&broker, "participant/a")?;
    Ok(Stage {
        owner,
        peer,
        _programs: [broker, adapter],
        _federation: federation,
    })
}

fn tags(names: &[&str]) -> v1::CommandDraft {
    let tags = names
        .iter()
        .map(|name| selector(Kind::Tag((*name).to_owned())));
    v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        selectors: tags.collect(),
        ..purge(&[])
    }
}

/// An originator sees before it submits what its purge takes of the account, in the provider's own units.
#[tokio::test]
async fn a_plan_shows_the_cost_in_native_units() -> Result<()> {
    let mut stage = stage().await?;
    let mut draft = tags(&["shoes", "hats"]);
    let url = Kind::Url("https://www.shop.example/a".to_owned());
    draft.selectors.push(selector(url));
    let request = v1::SubmitCommandRequest {
        draft: Some(draft),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let answer = stage.owner.commands.submit_command(request).await?;
    let plan = answer.into_inner().plan.context("a plan")?;
    let mut native = plan.executions.iter().flat_map(|one| &one.native);
    let cost = native.find_map(|order| order.cost.clone());
    let cost = cost.context("a cost")?;
    let units: Vec<_> = cost
        .units
        .iter()
        .map(|one| (one.unit.as_str(), one.amount))
        .collect();
    assert_eq!((cost.calls, units), (2, vec![("tags", 2), ("urls", 2)]));
    assert_eq!(stage.peer.taken().len(), 0);
    Ok(())
}

/// Forty purges on an account with one call a second: they wait together, and a few calls say all of them; each originator's
/// command has its own outcome.
#[tokio::test]
async fn what_waits_for_an_account_is_said_in_few_calls() -> Result<()> {
    let mut stage = stage().await?;
    let mut commands = Vec::new();
    for number in 0..PURGES {
        let draft = tags(&[&format!("t{number}")]);
        commands.push(stage.owner.submit(draft).await?.id);
    }
    for id in &commands {
        let command = stage.owner.settled(id, SETTLE).await?;
        let one = &command.executions[0];
        assert_eq!(
            (one.state(), one.evidence()),
            (ExecutionState::Done, Evidence::Acknowledged),
            "{one:#?}"
        );
    }
    let taken = stage.peer.taken();
    assert!(taken.iter().all(|(_, status)| *status == 200), "{taken:?}");
    let mut said: Vec<String> = Vec::new();
    for (request, _) in &taken {
        let body: serde_json::Value = serde_json::from_str(&request.body)?;
        let tags = body["tags"].as_array().context("tags")?;
        said.extend(tags.iter().filter_map(|tag| Some(tag.as_str()?.to_owned())));
    }
    said.sort();
    said.dedup();
    assert_eq!(said.len(), PURGES);
    assert!(taken.len() <= PURGES / 2, "{} calls", taken.len());
    Ok(())
}
