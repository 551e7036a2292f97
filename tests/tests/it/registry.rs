//! `RegistryService` and the doors around it: what must hold of a record, who sees it, wrong configurations.

use std::{process::Command, time::Duration};

use anyhow::Result;
use proto::v1;
use tests::{binaries, federation::Federation, shared, wait};
use tonic::Code;
use tonic_types::StatusExt as _;

mod gone;
mod went_back;

const SOON: Duration = Duration::from_secs(20);

/// Nothing may refer to what is not there, a host belongs to one configuration, and what is referred to stays.
#[tokio::test]
async fn records_keep_their_promises() -> Result<()> {
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let mut ops = federation.client(&broker, "operator/ops")?;
    ops.create_participant("a").await?;
    ops.create_participant("b").await?;
    ops.open_shop("a", ("varnish", ([127, 0, 0, 1], 80).into()))
        .await?;

    let code = |result: Result<()>| {
        result
            .expect_err("it breaks a rule")
            .downcast::<tonic::Status>()
            .unwrap()
            .code()
    };
    assert_eq!(code(ops.create_participant("a").await), Code::AlreadyExists);
    assert_eq!(
        code(ops.create_participant("A!").await),
        Code::InvalidArgument
    );
    assert_eq!(
        code(ops.create_participant("replies").await),
        Code::InvalidArgument
    );
    assert_eq!(
        code(
            ops.create_server("a2", "a", "cobol", ([127, 0, 0, 1], 80).into())
                .await
        ),
        Code::InvalidArgument
    );
    let wrong = v1::Server {
        id: "a2".to_owned(),
        participant_id: "a".to_owned(),
        dialect: "cobol".to_owned(),
        address: "nowhere".to_owned(),
        place: None,
    };
    let request = v1::CreateServerRequest {
        server: Some(wrong),
    };
    let refused = ops.registry.create_server(request).await;
    let refused = refused.expect_err("two fields are wrong");
    let details = refused.get_error_details();
    let named = details
        .bad_request()
        .expect("fields")
        .field_violations
        .iter();
    assert_eq!(
        named.map(|one| one.field.as_str()).collect::<Vec<_>>(),
        ["server.dialect", "server.address"]
    );
    assert_eq!(
        code(
            ops.create_server("a2", "z", "varnish", ([127, 0, 0, 1], 80).into())
                .await
        ),
        Code::NotFound
    );
    assert_eq!(
        code(
            ops.create_configuration("news", "a", &["www.shop.example"])
                .await
        ),
        Code::InvalidArgument
    );
    assert_eq!(
        code(ops.create_configuration("news", "a", &["10.0.0.1"]).await),
        Code::InvalidArgument
    );
    assert_eq!(code(ops.deploy("nowhere", "a").await), Code::NotFound);

    let delete = v1::DeleteParticipantRequest {
        participant_id: "a".to_owned(),
    };
    let status = ops
        .registry
        .delete_participant(delete)
        .await
        .expect_err("a server is a's");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let resource = status
        .get_error_details()
        .resource_info()
        .map(|info| info.resource_name.clone());
    assert_eq!(resource.as_deref(), Some("a"));
    Ok(())
}

/// A participant changes and sees its own and nobody else's; an operator sees all; replicas agree within moments.
#[tokio::test]
async fn a_participant_sees_its_own() -> Result<()> {
    let federation = Federation::start(shared()?).await?;
    let (broker, second) = (
        federation.broker("broker").await?,
        federation.broker("second").await?,
    );
    let mut ops = federation.client(&broker, "operator/ops")?;
    ops.create_participant("a").await?;
    ops.create_participant("b").await?;
    let mut a = federation.client(&broker, "participant/a")?;
    let mut b = federation.client(&second, "participant/b")?;
    a.create_server("a-1", "a", "varnish", ([127, 0, 0, 1], 80).into())
        .await?;
    assert!(
        a.create_server("b-1", "b", "varnish", ([127, 0, 0, 1], 80).into())
            .await
            .is_err()
    );
    let status = a
        .create_participant("c")
        .await
        .expect_err("only an operator may")
        .downcast::<tonic::Status>()?;
    assert_eq!(status.code(), Code::PermissionDenied);
    let get = v1::GetServerRequest {
        server_id: "a-1".to_owned(),
    };
    let mut elsewhere = federation.client(&second, "participant/a")?;
    wait::until(SOON, "the other replica knows the server", async || {
        elsewhere
            .clone()
            .registry
            .get_server(get.clone())
            .await
            .is_ok()
    })
    .await?;
    assert_eq!(
        b.registry
            .get_server(get.clone())
            .await
            .expect_err("it is a's")
            .code(),
        Code::NotFound
    );
    let listed = b
        .registry
        .list_servers(v1::ListServersRequest::default())
        .await?
        .into_inner();
    assert!(listed.servers.is_empty());
    let listed = b
        .registry
        .list_participants(v1::ListParticipantsRequest::default())
        .await?
        .into_inner();
    assert_eq!(listed.participants.len(), 1);
    let delete = v1::DeleteServerRequest {
        server_id: "a-1".to_owned(),
    };
    elsewhere.registry.delete_server(delete).await?;
    wait::until(SOON, "the first replica forgets the server", async || {
        ops.clone().registry.get_server(get.clone()).await.is_err()
    })
    .await?;
    Ok(())
}

/// A wrong configuration ends with 64, and every mistake is listed at once.
#[test]
fn a_wrong_configuration_lists_every_mistake() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("broker.toml");
    let text = "[listen]\naddress = \"0.0.0.0:1\"\ninsecure = true\n[store]\nshards = 0\n[outbox]\nbatch = \"many\"\n\
                window = 0\nwindw = 5\n[amqp]\nurl = \"no url\"\n";
    std::fs::write(&file, text)?;
    let output = Command::new(binaries::broker()?)
        .arg("--config")
        .arg(&file)
        .arg("check")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for key in [
        "listen.insecure",
        "store.shards",
        "outbox.batch",
        "outbox.window",
        "outbox.windw",
        "amqp.url",
    ] {
        assert!(said.contains(key), "{key} is not in\n{said}");
    }
    Ok(())
}

/// The default file is the documentation of every key, so it must itself be right but for what only an operator knows.
#[test]
fn the_printed_defaults_are_a_configuration() -> Result<()> {
    let output = Command::new(binaries::broker()?).arg("defaults").output()?;
    let text = String::from_utf8(output.stdout)?;
    toml::from_str::<toml::Table>(&text)?;
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("broker.toml");
    std::fs::write(&file, text.replace("insecure = false", "insecure = true"))?;
    let output = Command::new(binaries::broker()?)
        .arg("--config")
        .arg(&file)
        .arg("check")
        .output()?;
    let said = (output.stdout.as_slice(), output.stderr.as_slice());
    assert_eq!(said, (&b"the configuration is good\n"[..], &b""[..]));
    assert!(output.status.success());
    Ok(())
}
