//! Batches, and what becomes of a report that nobody takes.

use std::sync::Mutex;

use service::configuration::load_with;

use super::*;

fn of_length(length: usize) -> Reportable {
    let text = format!("\"{}\"", "x".repeat(length - 2));
    let report = RawValue::from_string(text).unwrap().into();
    Reportable {
        report,
        leaf: None,
        traceparent: None,
        receipt: None,
        asked_by: None,
    }
}

/// A message that RabbitMQ would refuse for its size would be refused for ever.
#[test]
fn a_message_holds_what_fits_and_at_least_one() {
    let reports = [of_length(400), of_length(400), of_length(400)];
    assert_eq!(fitting(&reports, 1_000), 2);
    assert_eq!(fitting(&reports, 10_000), 3);
    assert_eq!(fitting(&reports, 100), 1);
    assert_eq!(fitting(&[], 100), 0);
}

/// Takes everything but what holds a certain word.
#[derive(Clone, Default)]
struct Picky(Arc<Mutex<Vec<String>>>);

impl Outlet for Picky {
    async fn publish(&self, _: &str, message: &Message) -> Result<(), PublishError> {
        let body = String::from_utf8(message.body.clone()).unwrap();
        if body.contains("poison") {
            let (field, limit) = ("body", 1);
            return Err(PublishError::TooLong { field, limit });
        }
        self.0.lock().unwrap().push(body);
        Ok(())
    }

    async fn close(self) {}
}

fn saying(word: &str) -> Reportable {
    let report = RawValue::from_string(format!("\"{word}\"")).unwrap().into();
    Reportable {
        report,
        ..of_length(2)
    }
}

fn sent(taken: &Picky) -> (Picky, Arc<Signing>) {
    let signing = Signing::of_test(&"b".parse().unwrap());
    (taken.clone(), Arc::new(signing))
}

fn configuration(progress_every: &str) -> config::Configuration {
    let variables = [
        ("PARTICIPANT", "b"),
        ("ALLOWED_ADDRESSES", "[\"127.0.0.1\"]"),
        ("REPORT__PROGRESS_EVERY", progress_every),
    ];
    let prefix = config::ENVIRONMENT_PREFIX;
    let variables = variables.map(|(key, value)| (format!("{prefix}__{key}").into(), value.into()));
    load_with(config::DEFAULT, None, prefix, variables).unwrap()
}

/// One report that RabbitMQ will never take must not silence the adapter.
#[tokio::test]
async fn a_report_that_nobody_takes_does_not_hold_up_the_others() {
    let (sender, reports) = mpsc::channel(10);
    for word in ["first", "poison", "second"] {
        sender.send(saying(word)).await.unwrap();
    }
    drop(sender);
    let taken = Picky::default();
    let configuration = configuration("30s");
    Reporter::new(&configuration, sent(&taken), reports, HowFar::default())
        .run()
        .await;
    let taken = taken.0.lock().unwrap().concat();
    assert!(
        taken.contains("first") && taken.contains("second"),
        "{taken}"
    );
}

/// The broker sees who is behind: with each report, and without one from time to time, but not again and again.
#[tokio::test(start_paused = true)]
async fn how_far_we_are_is_said_with_reports_and_without() {
    let (sender, reports) = mpsc::channel(10);
    let (taken, how_far) = (Picky::default(), HowFar::default());
    how_far.read(0, 7);
    let configuration = configuration("10ms");
    let reporter = Reporter::new(&configuration, sent(&taken), reports, how_far.clone());
    let running = tokio::spawn(reporter.run());
    let said = async |count: usize| {
        while taken.0.lock().unwrap().len() < count {
            sleep(Duration::from_millis(1)).await;
        }
        let said: amqp::envelope::Report =
            serde_json::from_str(taken.0.lock().unwrap().last().unwrap()).unwrap();
        assert_eq!(said.executions, []);
        said.progress
    };
    let first = said(1).await;
    assert_eq!((first[0].shard, first[0].sequence), (0, 7));
    how_far.read(3, 1);
    assert_eq!(said(2).await.len(), 2);
    // Time passes when nothing else happens.
    sleep(Duration::from_millis(50)).await;
    sender.send(saying("report")).await.unwrap();
    drop(sender);
    running.await.unwrap();
    let taken = taken.0.lock().unwrap();
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert!(
        taken[2].contains("report") && taken[2].contains("\"sequence\":1"),
        "{taken:?}"
    );
}
