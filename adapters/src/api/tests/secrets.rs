//! Credentials are for the provider and nobody else.

use std::sync::{Arc, Mutex};

use tracing::{Level, subscriber::with_default};

use super::*;

const SECRET: &str = "planted-s3cr3t+v";
/// What no form of any secret here is without.
const MARK: &str = "planted-s3";
/// As often as a test needs, and at once.
const PLENTY: &str = "duplicate_window = \"0s\"\nbudgets = { calls = { amount = 1000, per = \"1s\", burst = 1000 }, \
    urls = { amount = 1000, per = \"1s\", burst = 1000 } }";

/// A way to prove who calls, by a file of planted secrets.
struct Scheme {
    dialect: &'static str,
    /// The names of the values in the file; without any it is one token.
    names: &'static [&'static str],
    call: NativeCall,
}

impl Scheme {
    /// The secrets of the file, by the providers' names.
    fn secrets(&self) -> Vec<String> {
        match self.names {
            [] => vec![SECRET.to_owned()],
            names => (0..names.len())
                .map(|number| format!("{SECRET}/{number}="))
                .collect(),
        }
    }

    fn file(&self) -> String {
        if self.names.is_empty() {
            return SECRET.to_owned();
        }
        let lines = self.names.iter().zip(self.secrets());
        let lines: Vec<_> = lines
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        lines.join("\n")
    }
}

/// A token, and each scheme that signs.
fn schemes() -> [Scheme; 4] {
    let json = |path: &str, body: &str| NativeCall {
        body: Some(body.to_owned()),
        ..NativeCall::new("POST", None, path, vec![0]).header("content-type", "application/json")
    };
    [
        Scheme {
            dialect: "fastly",
            names: &[],
            call: url_purge(0),
        },
        Scheme {
            dialect: "akamai",
            names: &["client_token", "client_secret", "access_token"],
            call: json(
                "/ccu/v3/delete/url/production",
                r#"{"objects":["https://a.example/1"]}"#,
            ),
        },
        Scheme {
            dialect: "cloudfront",
            names: &[
                "aws_access_key_id",
                "aws_secret_access_key",
                "aws_session_token",
            ],
            call: NativeCall::new(
                "POST",
                None,
                "/2020-05-31/distribution/D1/invalidation",
                vec![0],
            ),
        },
        Scheme {
            dialect: "alibaba-cloud-cdn",
            names: &["access_key_id", "access_key_secret", "security_token"],
            call: NativeCall::new("POST", None, "/?Action=RefreshObjectCaches", vec![0]),
        },
    ]
}

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

/// Whatever a provider answers, even where it repeats the token or what it was signed with, and whatever is logged on the way: a
/// planted secret is in the request, where its scheme puts it there, and nowhere else. No report holds it, nor the journal, nor what is
/// left of budgets.
#[test]
fn a_planted_secret_is_found_nowhere_but_in_the_request() {
    for scheme in schemes() {
        check(&scheme);
    }
}

fn check(scheme: &Scheme) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("token"), scheme.file()).unwrap();
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
    let carrying_out = carried_out(&folder, scheme);
    let (asked, reports) = with_default(subscriber, || runtime.block_on(carrying_out));
    let shown = |asked: &Asked| {
        let mut headers = asked
            .headers
            .values()
            .filter_map(|value| value.to_str().ok());
        asked.line.contains(MARK) || headers.any(|value| value.contains(MARK))
    };
    assert!(asked.iter().all(shown), "{}", scheme.dialect);
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

async fn carried_out(folder: &TempDir, scheme: &Scheme) -> (Vec<Asked>, String) {
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(folder, &url, PLENTY).await;
    let order = || order(scheme.dialect, vec![scheme.call.clone()]);
    let mut reports = String::new();
    let secrets = scheme.secrets();
    for (status, headers, body) in secrets.iter().flat_map(|secret| repeating(secret)) {
        for _ in 0..5 {
            provider.answers(status, headers, &body);
        }
        let report = stage.carry_out(&order()).await;
        assert!(
            matches!(report.outcome, ReportedOutcome::Failed(_)),
            "{report:?}"
        );
        reports.push_str(&serde_json::to_string(&report).unwrap());
        provider.answers.lock().unwrap().clear();
    }
    let report = stage.carry_out(&order()).await;
    reports.push_str(&serde_json::to_string(&report).unwrap());
    assert!(
        reports.matches("***").count() >= 6 * secrets.len(),
        "it was repeated: {reports}"
    );
    let asked = provider.asked();
    stage.stop().await;
    (asked, reports)
}

type Repeating = (u16, &'static [(&'static str, &'static str)], String);

/// Answers that repeat a secret: in words, in a page, in half a success, in a header, in where they send us, percent-encoded, and
/// percent-encoded twice as in the text that is signed.
fn repeating(secret: &str) -> Vec<Repeating> {
    let encoded = secret
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let signed = encoded.replace('%', "%25");
    let there: &str = format!("https://login.example/?token={encoded}&from=api").leak();
    let repeated: &str = secret.to_owned().leak();
    let location: &[_] = vec![("location", there)].leak();
    let as_header: &[_] = vec![("fastly-key", repeated), ("location", repeated)].leak();
    vec![
        (401, &[], in_words(&format!("no such token: {secret}"))),
        (
            403,
            &[],
            in_words(&format!(
                "{encoded} is not allowed, signed was GET&%2F&Id%3D{signed}"
            )),
        ),
        (400, &[], in_xml(&format!("{secret} signed {signed}"))),
        (
            500,
            &[],
            format!("<html><title>{secret}: internal error</title>"),
        ),
        (200, &[], format!("token {secret} was seen")),
        (200, &[], format!("cut off {}", &secret[..secret.len() - 2])),
        (302, location, String::new()),
        (302, as_header, secret.to_owned()),
    ]
}

/// A refusal, wherever a provider has its words.
fn in_words(text: &str) -> String {
    let names = ["msg", "detail", "title", "Message"].map(|name| (name.to_owned(), text.into()));
    serde_json::Value::Object(names.into_iter().collect()).to_string()
}

fn in_xml(text: &str) -> String {
    format!(
        "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>{text}</Message></Error></ErrorResponse>"
    )
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
