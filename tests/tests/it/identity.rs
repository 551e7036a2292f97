//! Who gets in: a caller is the one URI of a certificate that is right in every respect, and only as long as it is.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use proto::v1;
use tests::{
    binaries,
    federation::{Client, Federation, Program, purge},
    pki::{Credentials, Defect, Pki},
    shared, wait,
};
use tonic::{Code, Status, Streaming};

const SOON: Duration = Duration::from_secs(20);
/// How often the broker looks at its files here, and how soon after that a stream must have ended, on a busy machine.
const LOOK_EVERY: &str = "reload_every = \"100ms\"\n";
const PROMPT: Duration = Duration::from_secs(10);

/// Shows a figure to whoever runs the test.
#[expect(
    clippy::print_stdout,
    reason = "figures are for those who run the tests"
)]
pub(crate) fn tell(figure: &str) {
    println!("{figure}");
}

/// A federation whose callers show certificates.
pub(crate) struct Guarded {
    pub(crate) federation: Federation,
    pub(crate) pki: Pki,
    pub(crate) broker: Program,
}

impl Guarded {
    /// With more lines for the table `[listen]`, which may go on to other tables.
    pub(crate) async fn start(settings: &str) -> Result<Self> {
        let mut federation = Federation::start(shared()?).await?;
        let pki = Pki::new(federation.folder())?;
        federation.broker_settings = format!("{}{LOOK_EVERY}{settings}", pki.settings());
        let broker = federation.broker("broker").await?;
        let guarded = Self {
            federation,
            pki,
            broker,
        };
        // A certificate alone is not enough: its holder must take part.
        let mut ops = guarded.client(&guarded.pki.issue("operator/ops")?)?;
        for participant in ["a", "acme"] {
            ops.create_participant(participant).await?;
        }
        Ok(guarded)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.address
    }

    pub(crate) fn client(&self, caller: &Credentials) -> Result<Client> {
        self.pki.client(self.address(), Some(caller))
    }

    /// What a new connection with this certificate is answered.
    async fn ask(&self, caller: Option<&Credentials>) -> Result<(), Status> {
        let client = self.pki.client(self.address(), caller);
        list(&mut client.map_err(|error| Status::internal(format!("{error:#}")))?).await
    }

    /// A command of `a` that nobody carries out, so that watching it does not end.
    async fn endless_command(&self, a: &mut Client) -> Result<String> {
        let mut ops = self.client(&self.pki.issue("operator/ops")?)?;
        ops.open_shop("a", ("varnish", ([127, 0, 0, 1], 9).into()))
            .await?;
        Ok(a.submit(purge(&["http://www.shop.example/"])).await?.id)
    }

    /// Whether a metric with these labels stands at 1.
    async fn is_counted(&self, name: &str, labels: &[&str]) -> Result<bool> {
        let url = format!("http://{}/metrics", self.broker.signals);
        let text = tests::http().get(url).send().await?.text().await?;
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        Ok(lines.any(|line| line.ends_with(" 1") && labels.iter().all(|it| line.contains(it))))
    }
}

async fn list(client: &mut Client) -> Result<(), Status> {
    let request = v1::ListParticipantsRequest::default();
    client.registry.list_participants(request).await.map(|_| ())
}

async fn watch(client: &mut Client, id: &str) -> Result<Streaming<v1::WatchCommandResponse>> {
    let request = v1::WatchCommandRequest {
        command_id: id.to_owned(),
        ..v1::WatchCommandRequest::default()
    };
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_mins(2));
    let mut watch = client.commands.watch_command(request).await?.into_inner();
    watch
        .message()
        .await?
        .context("the first answer comes at once")?;
    Ok(watch)
}

/// How a stream ends that has no more answers.
async fn end<T>(stream: &mut Streaming<T>) -> Result<Status> {
    let end = tokio::time::timeout(3 * SOON, async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("it ended well"),
                Err(status) => return status,
            }
        }
    });
    end.await.context("the stream stays open")
}

/// Where the handshake fails, how a client sees that depends on which side speaks first.
fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::Unavailable | Code::Unknown | Code::Cancelled
    )
}

/// A certificate that is right in every respect says who calls; one that is wrong in one respect, or none, says nothing.
#[tokio::test]
async fn one_defect_is_enough_to_be_nobody() -> Result<()> {
    let guarded = Guarded::start("").await?;
    let pki = &guarded.pki;
    guarded.ask(Some(&pki.issue("operator/ops")?)).await?;
    guarded.ask(Some(&pki.issue("participant/acme")?)).await?;
    let nameless = guarded.ask(None).await;
    let nameless = nameless.expect_err("a certificate is missing");
    assert!(is_refusal(&nameless), "{nameless}");
    for defect in Defect::ALL {
        let caller = pki.issue_with("operator/ops", defect)?;
        if defect == Defect::Revoked {
            let read = async || {
                let status = guarded.ask(Some(&caller)).await.err();
                status.filter(|status| status.code() == Code::Unauthenticated)
            };
            let status = wait::until(SOON, "the deny list is read", read).await?;
            assert!(status.message().contains("revoked"), "{status}");
            continue;
        }
        let status = guarded.ask(Some(&caller)).await;
        let status = status.expect_err(&format!("{defect:?} gets in"));
        assert!(is_refusal(&status), "{defect:?}: {status}");
    }
    // What it said of itself by metadata counts for nothing where certificates are shown.
    let plain = guarded.federation.client(&guarded.broker, "operator/ops")?;
    assert!(list(&mut plain.clone()).await.is_err());
    Ok(())
}

/// A revoked certificate's next call is refused, on the connection that it has, and its streams end with the reason; who was
/// not revoked notices nothing.
#[tokio::test]
async fn revoking_ends_what_runs_and_refuses_what_comes() -> Result<()> {
    let guarded = Guarded::start("").await?;
    let (stolen, kept) = (
        guarded.pki.issue("participant/a")?,
        guarded.pki.issue("participant/a")?,
    );
    let (mut thief, mut owner) = (guarded.client(&stolen)?, guarded.client(&kept)?);
    let id = guarded.endless_command(&mut owner).await?;
    let mut watched = watch(&mut thief, &id).await?;
    let mut own = watch(&mut owner, &id).await?;
    let (sender, drafts) = tokio::sync::mpsc::channel::<v1::SubmitCommandsRequest>(1);
    let drafts = futures::stream::unfold(drafts, |mut drafts| async move {
        drafts.recv().await.map(|draft| (draft, drafts))
    });
    let submitting = thief.commands.submit_commands(drafts).await?;
    let mut submitting = submitting.into_inner();

    guarded.pki.revoke(&stolen)?;
    let began = Instant::now();
    for status in [end(&mut watched).await?, end(&mut submitting).await?] {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains("revoked"), "{status}");
    }
    ensure!(began.elapsed() < PROMPT, "it took {:?}", began.elapsed());
    for _ in 0..3 {
        let status = list(&mut thief).await.expect_err("it is revoked");
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    }
    drop(sender);

    list(&mut owner).await?;
    let quiet = tokio::time::timeout(Duration::from_millis(200), own.message()).await;
    // Its own command may have gone on meanwhile; the watch has not ended.
    if let Ok(change) = quiet {
        ensure!(change?.is_some(), "another's certificate ended this watch");
    }
    Ok(())
}

/// A connection does not outlive its certificate: streams end when it does, and calls are refused, without anybody's help.
#[tokio::test]
async fn a_connection_ends_with_its_certificate() -> Result<()> {
    let guarded = Guarded::start("").await?;
    let mut owner = guarded.client(&guarded.pki.issue("participant/a")?)?;
    let id = guarded.endless_command(&mut owner).await?;
    let short = guarded
        .pki
        .issue_for("participant/a", Duration::from_secs(15))?;
    let mut caller = guarded.client(&short)?;
    let mut watched = watch(&mut caller, &id).await?;
    let status = end(&mut watched).await?;
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(status.message().contains("expired"), "{status}");
    let status = list(&mut caller).await.expect_err("it has expired");
    assert!(is_refusal(&status), "{status}");
    // The connection goes too, so that the next try is a handshake, which fails.
    let gone = async || {
        let status = list(&mut caller.clone()).await.err();
        status.filter(|status| status.code() != Code::Unauthenticated)
    };
    wait::until(SOON, "the connection is closed", gone).await?;
    list(&mut owner).await?;
    Ok(())
}

/// Calls that go on and on while certificates are replaced, on connections that stand and on new ones.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    tasks: tokio::task::JoinSet<Result<()>>,
}

impl Load {
    fn start(guarded: &Guarded, callers: usize) -> Result<Self> {
        let mut load = Self {
            stop: Arc::default(),
            calls: Arc::default(),
            tasks: tokio::task::JoinSet::new(),
        };
        for at in 0..callers {
            let caller = guarded.pki.issue("operator/ops")?;
            let endpoint = guarded.pki.endpoint(guarded.address(), Some(&caller))?;
            let mut standing = guarded.client(&caller)?;
            let (stop, calls) = (Arc::clone(&load.stop), Arc::clone(&load.calls));
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    list(&mut standing).await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                    if at % 2 == 0 {
                        let channel = endpoint.connect().await?;
                        let mut new =
                            v1::registry_service_client::RegistryServiceClient::new(channel);
                        new.list_participants(v1::ListParticipantsRequest::default())
                            .await?;
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            });
        }
        Ok(load)
    }

    /// Waits until so many more calls were answered.
    async fn go_on(&self, calls: usize) -> Result<()> {
        let wanted = self.calls.load(Ordering::Relaxed) + calls;
        let enough = async || self.calls.load(Ordering::Relaxed) >= wanted;
        wait::until(Duration::from_mins(1), "calls are answered", enough).await?;
        Ok(())
    }

    /// Ends it; the first call that failed is the error.
    async fn end(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.calls.load(Ordering::Relaxed))
    }
}

/// Puts a new certificate where the link `live` leads, as Kubernetes does: a new folder, and the link put elsewhere in one step.
fn put_live(pki: &Pki, version: usize) -> Result<()> {
    pki.renew_broker()?;
    let folder = pki.path(&format!("version-{version}"));
    fs::create_dir(&folder)?;
    for name in ["broker.pem", "broker.key", "authority.pem"] {
        fs::copy(pki.path(name), folder.join(name))?;
    }
    let link = pki.path("live.new");
    symlink(&folder, &link)?;
    fs::rename(&link, pki.path("live"))?;
    Ok(())
}

/// The broker's certificate is renewed five times under load: every call is answered, and each new handshake soon shows the
/// newest.
#[tokio::test]
async fn certificates_are_renewed_without_a_dropped_call() -> Result<()> {
    let mut federation = Federation::start(shared()?).await?;
    let pki = Pki::new(federation.folder())?;
    put_live(&pki, 0)?;
    federation.broker_settings = pki.settings() + LOOK_EVERY;
    for name in ["broker.pem", "broker.key", "authority.pem"] {
        let settings = &federation.broker_settings;
        federation.broker_settings =
            settings.replace(&format!("/{name}"), &format!("/live/{name}"));
    }
    let broker = federation.broker("broker").await?;
    let guarded = Guarded {
        federation,
        pki,
        broker,
    };
    let caller = guarded.pki.issue("operator/ops")?;
    let shown = async || guarded.pki.shown_by(guarded.address(), &caller).await;
    let load = Load::start(&guarded, 4)?;
    let mut seen = vec![shown().await?];
    for version in 1..=5 {
        load.go_on(20).await?;
        put_live(&guarded.pki, version)?;
        let renewed = async || {
            let now = shown().await.ok()?;
            (!seen.contains(&now)).then_some(now)
        };
        let now = wait::until(SOON, "a new certificate is shown", renewed).await?;
        seen.push(now);
    }
    load.go_on(20).await?;
    let calls = load.end().await?;
    tell(&format!(
        "certificates renewed: 5, calls answered: {calls}, dropped: 0"
    ));
    Ok(())
}

/// A new certificate or deny list that cannot be used changes nothing; it is logged, counted, and mended by the next one.
#[tokio::test]
async fn a_bad_new_file_leaves_the_old_one_in_force() -> Result<()> {
    let guarded = Guarded::start("").await?;
    let pki = &guarded.pki;
    let (thief, owner) = (pki.issue("participant/a")?, pki.issue("participant/a")?);
    pki.revoke(&thief)?;
    let is_revoked = async || {
        let status = guarded.ask(Some(&thief)).await.err();
        status.is_some_and(|status| status.code() == Code::Unauthenticated)
    };
    wait::until(SOON, "the deny list is read", async || is_revoked().await).await?;
    let refused = async |what: &str| {
        let what = format!("what=\"{what}\"");
        let labels = [what.as_str(), "result=\"refused\""];
        let name = "broker_trust_reloads_total";
        let told = async || guarded.is_counted(name, &labels).await.unwrap_or(false);
        wait::until(SOON, "the bad file is counted", told).await
    };

    fs::write(pki.path("revoked"), format!("{}\nnobody\n", owner.serial))?;
    refused("revoked").await?;
    fs::write(pki.path("broker.pem"), "no certificate\n")?;
    refused("certificate").await?;
    let log = fs::read_to_string(guarded.broker.process.log())?;
    assert!(log.contains("line 2"), "{log}");
    assert!(log.contains("broker.pem"), "{log}");
    guarded.ask(Some(&owner)).await?;
    assert!(is_revoked().await, "the list before stays in force");

    fs::write(pki.path("revoked"), format!("{}\n", owner.serial))?;
    pki.renew_broker()?;
    let owner_is_out = async || {
        let status = guarded.ask(Some(&owner)).await.err();
        status.is_some_and(|status| status.code() == Code::Unauthenticated)
    };
    wait::until(SOON, "the next list is in force", owner_is_out).await?;
    wait::until(SOON, "whoever was taken off it is back", async || {
        guarded.ask(Some(&thief)).await.is_ok()
    })
    .await?;
    Ok(())
}

/// A broker that cannot know who is who does not start, and says which file and which line.
#[tokio::test]
async fn a_broker_does_not_start_with_what_it_cannot_read() -> Result<()> {
    let mut federation = Federation::start(shared()?).await?;
    let pki = Pki::new(federation.folder())?;
    federation.broker_settings = pki.settings();
    fs::write(pki.path("revoked"), "# list\n01\nacme\n")?;
    let error = federation.broker("listed").await.err();
    let error = format!("{:#}", error.context("it starts")?);
    assert!(error.contains("line 3"), "{error}");
    fs::write(pki.path("revoked"), "")?;
    fs::write(pki.path("broker.key"), "no key\n")?;
    let error = federation.broker("keyed").await.err();
    let error = format!("{:#}", error.context("it starts")?);
    assert!(error.contains("broker.key"), "{error}");
    Ok(())
}

/// Plain text is loud, and never leaves the machine.
#[tokio::test]
async fn plain_text_is_told_at_every_start_and_stays_on_loopback() -> Result<()> {
    let federation = Federation::start(shared()?).await?;
    for name in ["first", "second"] {
        let broker = federation.broker(name).await?;
        let log = fs::read_to_string(broker.process.log())?;
        assert!(log.contains("INSECURE"), "{log}");
    }
    for address in ["0.0.0.0:7443", "[::]:7443", "192.0.2.1:7443"] {
        let file = federation.folder().join("open.toml");
        fs::write(
            &file,
            format!("[listen]\naddress = \"{address}\"\ninsecure = true\n"),
        )?;
        let said = check(&file)?;
        assert!(said.contains("listen.insecure"), "{address}: {said}");
    }
    Ok(())
}

/// What `broker check` says of a configuration that is wrong.
fn check(file: &Path) -> Result<String> {
    let checked = Command::new(binaries::broker()?)
        .arg("--config")
        .arg(file)
        .arg("check")
        .output()?;
    ensure!(!checked.status.success(), "it passes");
    Ok(String::from_utf8_lossy(&checked.stderr).into_owned())
}

/// What `fedctl pki` makes is what brokers take, with the real programs on both sides: issued, used, revoked, refused.
#[tokio::test]
async fn what_fedctl_issues_gets_in_until_it_is_revoked() -> Result<()> {
    let mut federation = Federation::start(shared()?).await?;
    let folder = federation.folder().join("authority");
    let dir = folder.display().to_string();
    let pki = async |words: &str| -> Result<String> {
        let mut command = tokio::process::Command::new(binaries::fedctl()?);
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        command
            .args(["pki", verb, &dir])
            .args(rest.split_whitespace());
        let output = command.output().await?;
        ensure!(
            output.status.success(),
            "fedctl pki {words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    pki("init --federation federation.example").await?;
    pki("issue server broker --dns localhost --ip 127.0.0.1").await?;
    pki("issue operator/ops").await?;
    federation.broker_settings = format!(
        "[listen]\ninsecure = false\ncertificate = \"{dir}/server-broker.pem\"\nkey = \"{dir}/server-broker.key\"\n\
         client_authority = \"{dir}/authority.pem\"\nrevoked = \"{dir}/revoked\"\n{LOOK_EVERY}"
    );
    let broker = federation.broker("broker").await?;
    let call = async || -> Result<std::process::Output> {
        let mut command = tokio::process::Command::new(binaries::fedctl()?);
        command
            .args([
                "participants",
                "--broker",
                &format!("https://{}", broker.address),
            ])
            .args(["--ca", &format!("{dir}/authority.pem")])
            .args(["--certificate", &format!("{dir}/operator-ops.pem")])
            .args(["--key", &format!("{dir}/operator-ops.key")]);
        Ok(command.output().await?)
    };
    let output = call().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    pki(&format!("revoke {dir}/operator-ops.pem")).await?;
    let refused = async || {
        let output = call().await.ok()?;
        (output.status.code() == Some(4)).then_some(output.stderr)
    };
    let said = wait::until(SOON, "the caller is refused", refused).await?;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("revoked"), "{said}");
    Ok(())
}
