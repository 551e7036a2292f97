//! Submissions that nobody answers.

use tokio::{io::AsyncReadExt, sync::Semaphore};

use super::*;

/// Submits there, and says how each server ended.
async fn submit(url: &str, repeatable: bool) -> Outcome {
    let folder = TempDir::new().unwrap();
    let configuration = configuration(&folder, url, "1h");
    let system = System::new(&configuration.invocation_system, &configuration.calls, &[]).unwrap();
    let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let order = Order {
        repeatable,
        ..order()
    };
    match system.submit(&order, &TraceContext::new(), place).await {
        Submitted::Settled(mut results) => results.remove(0).outcome,
        Submitted::Running(job, _) => panic!("{job:?}"),
    }
}

/// It was heard each time and never answered: whether it runs there, nobody knows, and nobody may do it again.
#[tokio::test]
async fn a_submission_that_was_sent_and_never_answered_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 1_024]).await;
        }
    });
    assert_eq!(submit(&url, false).await, Outcome::Unknown);
    assert!(matches!(submit(&url, true).await, Outcome::Failed(_)));
}

/// Nobody heard of it, so it has certainly not been done.
#[tokio::test]
async fn a_submission_that_was_never_sent_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let outcome = submit(&url, false).await;
    assert!(
        matches!(&outcome, Outcome::Failed(fault) if fault.code == FaultCode::Unreachable),
        "{outcome:?}"
    );
}
