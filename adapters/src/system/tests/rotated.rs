//! A token that is exchanged while the adapter runs, and a system that repeats it.

use service::configuration::Secret;
use tokio::sync::Semaphore;

use super::*;

/// What the system heard as the token of one submission, and what its refusal came to.
async fn submitted(system: &System, script: &Script) -> (String, String) {
    let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let result = match system.submit(&order(), &TraceContext::new(), place).await {
        Submitted::Settled(mut results) => results.remove(0),
        Submitted::Running(job, _) => panic!("{job:?}"),
    };
    let shown = script.headers.lock().unwrap()["authorization"].clone();
    let said = serde_json::to_string(&result).unwrap();
    (shown.to_str().unwrap().to_owned(), said)
}

/// Waits until another token goes out than the one before.
async fn until_shown(system: &System, script: &Script, expected: &str) -> String {
    let began = std::time::Instant::now();
    loop {
        let (shown, said) = submitted(system, script).await;
        if shown == expected {
            return said;
        }
        assert!(began.elapsed() < LONG, "still {shown}");
        tokio::task::yield_now().await;
    }
}

/// A new content of the token's file counts without a restart. Whichever went out is not shown, however the system repeats it.
#[tokio::test]
async fn a_new_token_counts_without_a_restart_and_none_is_shown() {
    const TOKENS: [&str; 2] = ["the-f1rst+token", "the-s3cond/token"];
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{}\n", TOKENS[0])).unwrap();
    let (script, url) = invocation_system().await;
    let mut settings = configuration(&folder, &url, "1h");
    let token: Secret = serde_json::from_value(json!({ "file": file })).unwrap();
    settings.invocation_system.token = Some(token);
    let system = System::new(&settings.invocation_system, &settings.calls, &[]).unwrap();
    for token in TOKENS {
        let encoded = token.replace('+', "%2B").replace('/', "%2F");
        let title = format!("{token} is not allowed ({encoded})");
        script.answer_submissions(StatusCode::FORBIDDEN, &json!({ "title": title }));
        let new = folder.path().join("new");
        std::fs::write(&new, token).unwrap();
        std::fs::rename(&new, &file).unwrap();
        let said = until_shown(&system, &script, &format!("Bearer {token}")).await;
        assert!(said.contains("*** is not allowed (***)"), "{said}");
        assert!(!said.contains(&token[..8]), "{said}");
    }
}
