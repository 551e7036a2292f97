//! Mappings: checked and tried out without a broker, and kept by it.

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    fedctl::{Run, run},
    peer::Peer,
};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";
const EXAMPLE: &str = include_str!("../../../dialects/src/mapped/example.yaml");

/// A file with this document.
fn file(document: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("there is room");
    let file = folder.path().join("acme.yaml");
    fs::write(&file, document).expect("there is room");
    (folder, file)
}

/// Runs where no broker is; the file's folder is left out of what was said.
async fn alone(document: &str, before: &str, after: &str) -> Run {
    let (folder, file) = file(document);
    let words = format!("{before} {}{after}", file.display());
    let run = run(NOBODY, &words).await;
    let folder = format!("{}/", folder.path().display());
    Run {
        code: run.code,
        stdout: run.stdout.replace(&folder, ""),
        stderr: run.stderr.replace(&folder, ""),
    }
}

/// Whoever writes a mapping is told everything that is wrong with it, and where, before anything is sent anywhere.
#[tokio::test]
async fn a_check_names_every_mistake_by_its_line() {
    let good = alone(EXAMPLE, "dialects check", "").await;
    assert_eq!(
        (good.code, good.stdout.as_str()),
        (Some(0), "acme.yaml is good: acme\n")
    );
    let bad = EXAMPLE
        .replace("name: acme", "name: varnish")
        .replace("method: DELETE", "method: delete")
        .replace("{{ item.host }}", "{{ item.hots }}");
    let found = alone(&bad, "dialects check", "").await;
    insta::assert_snapshot!(found.transcript());
    let found = alone(&bad, "--json dialects check", "").await;
    let document: serde_json::Value = serde_json::from_str(&found.stdout).expect("is a document");
    assert_eq!(found.code, Some(2));
    let mistake = &document["mistakes"][0];
    assert_eq!(
        (&mistake["line"], &mistake["field"]),
        (&6.into(), &"name".into())
    );
    let slip = EXAMPLE.replacen("method: DELETE", "method: DELTE", 1);
    let found = alone(&slip, "dialects check", "").await;
    assert_eq!(found.code, Some(0), "{}", found.transcript());
    let said = "has the method DELTE, which may be a slip";
    assert!(found.stderr.contains(said), "{}", found.transcript());
    let missing = run(NOBODY, "dialects check /nowhere/acme.yaml").await;
    assert_eq!(missing.code, Some(2), "{}", missing.transcript());
}

/// The calls are shown as the broker would plan them; what the document does not map is named.
#[tokio::test]
async fn a_try_shows_the_calls_without_sending() {
    let words = " purge shop https://www.example.com/a https://www.example.com/b --tag red";
    let shown = alone(EXAMPLE, "dialects try", words).await;
    let impossible = alone(
        EXAMPLE,
        "dialects try",
        " purge shop --tag red --everything",
    )
    .await;
    let custom = " run rotate-keys shop --everything --param generation=7";
    let custom = alone(EXAMPLE, "dialects try", custom).await;
    let all = [shown, impossible, custom].map(|run| run.transcript());
    insta::assert_snapshot!(all.join("\n"));
    let narrow = " purge --prefix www.example.com/img/ --widest exact";
    let narrow = alone(EXAMPLE, "--json dialects try", narrow).await;
    let plan: serde_json::Value = serde_json::from_str(&narrow.stdout).expect("is a document");
    let execution = &plan["executions"][0];
    assert_eq!(execution["fidelity"]["fidelity"], "impossible");
    let wrong = alone(
        EXAMPLE,
        "dialects try",
        " purge --url ftp://www.example.com/",
    )
    .await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.transcript());
}

/// What is kept has a version, is listed, and comes back as it was written.
#[tokio::test]
async fn mappings_are_put_listed_and_removed() {
    let (_peer, broker) = Peer::default().listen().await;
    let (_folder, file) = file(EXAMPLE);
    let put = format!("mappings put {}", file.display());
    let mut said = Vec::new();
    for words in [
        "mappings",
        &put,
        &put,
        "mappings list",
        "mappings list --json",
        "mappings delete acme",
        "mappings get acme",
    ] {
        let run = run(&broker, words).await.transcript();
        let words = words.replace(&file.display().to_string(), "acme.yaml");
        said.push(format!("$ fedctl {words}\n{run}\n"));
    }
    insta::assert_snapshot!(said.concat());
    run(&broker, &put).await;
    let got = run(&broker, "mappings get acme").await;
    assert_eq!(got.stdout, EXAMPLE);
}

/// The broker's own reading counts; what it says of each line is shown.
#[tokio::test]
async fn a_mapping_that_the_broker_refuses_is_shown_with_its_mistakes() {
    let (peer, broker) = Peer::default().listen().await;
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("mapping.document line 5", "name must not be that");
    let status = Status::with_error_details(Code::InvalidArgument, "malformed", details);
    peer.directory.refuse(status);
    let (_folder, file) = file(EXAMPLE);
    let refused = run(&broker, &format!("mappings put {}", file.display())).await;
    assert_eq!(refused.code, Some(2), "{}", refused.transcript());
    let line = "mapping.document line 5: name must not be that";
    assert!(refused.stderr.contains(line), "{}", refused.transcript());
}
