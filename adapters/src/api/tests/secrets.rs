//! Credentials are for the provider and nobody else.

use std::sync::{Arc, Mutex};

use tracing::{Level, subscriber::with_default};

use super::*;

const SECRET: &str = "planted-s3cr3t+v";
/// What no form of it is without.
const MARK: &str = "planted-s3";

/// All that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whatever a provider answers, even where it repeats the token, and whatever is logged on the way: the planted secret is in the
/// request and nowhere else. No report holds it, nor the journal, nor what is left of budgets.
#[test]
fn a_planted_secret_is_found_nowhere_but_in_the_request() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("token"), SECRET).unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (asked, reports) = with_default(subscriber, || runtime.block_on(carried_out(&folder)));
    assert!(
        asked
            .iter()
            .all(|asked| asked.headers["fastly-key"] == SECRET)
    );
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("carried out"), "the log was listened to");
    assert!(!log.contains(MARK), "{log}");
    assert!(!reports.contains(MARK), "{reports}");
    for file in files(&folder.path().join("journal")) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes
            .windows(MARK.len())
            .any(|window| window == MARK.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

async fn carried_out(folder: &TempDir) -> (Vec<Asked>, String) {
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(folder, &url, "").await;
    let mut reports = String::new();
    for (status, headers, body) in repeating() {
        for _ in 0..5 {
            provider.answers(status, headers, &body);
        }
        let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
        assert!(
            matches!(report.outcome, ReportedOutcome::Failed(_)),
            "{report:?}"
        );
        reports.push_str(&serde_json::to_string(&report).unwrap());
        provider.answers.lock().unwrap().clear();
    }
    provider.answers(200, &[], "{}");
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    reports.push_str(&serde_json::to_string(&report).unwrap());
    assert!(
        reports.matches("***").count() >= 6,
        "it was repeated: {reports}"
    );
    let asked = provider.asked();
    stage.stop().await;
    (asked, reports)
}

type Repeating = (u16, &'static [(&'static str, &'static str)], String);

/// Answers that repeat the token: in words, in a page, in half a success, in a header, in where they send us, and percent-encoded.
fn repeating() -> Vec<Repeating> {
    const THERE: &str = "https://login.example/?token=planted-s3cr3t%2Bv&from=api";
    let location: &[_] = &[("location", THERE)];
    let as_header: &[_] = &[("fastly-key", SECRET), ("location", SECRET)];
    vec![
        (401, &[], format!(r#"{{"msg":"no such token: {SECRET}"}}"#)),
        (
            403,
            &[],
            format!(
                r#"{{"msg":"{} is not allowed","detail":"Fastly-Key: {SECRET}"}}"#,
                encoded()
            ),
        ),
        (
            500,
            &[],
            format!("<html><title>{SECRET}: internal error</title>"),
        ),
        (200, &[], format!("token {SECRET} was seen")),
        (200, &[], format!("cut off {}", &SECRET[..SECRET.len() - 2])),
        (302, location, String::new()),
        (302, as_header, SECRET.to_owned()),
    ]
}

fn encoded() -> String {
    SECRET.replace('+', "%2B")
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}
