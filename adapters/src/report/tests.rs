//! Batches, and what becomes of a report that nobody takes.

use std::sync::Mutex;

use service::configuration::load_with;

use super::*;

fn of_length(length: usize) -> Reportable {
    let text = format!("\"{}\"", "x".repeat(length - 2));
    let report = RawValue::from_string(text).unwrap().into();
    Reportable {
        report,
        traceparent: None,
        receipt: None,
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

/// One report that RabbitMQ will never take must not silence the adapter.
#[tokio::test]
async fn a_report_that_nobody_takes_does_not_hold_up_the_others() {
    let variables = [
        ("ADAPTER__PARTICIPANT".into(), "b".into()),
        (
            "ADAPTER__ALLOWED_ADDRESSES".into(),
            "[\"127.0.0.1\"]".into(),
        ),
    ];
    let prefix = config::ENVIRONMENT_PREFIX;
    let configuration = load_with(config::DEFAULT, None, prefix, variables).unwrap();
    let (sender, reports) = mpsc::channel(10);
    for word in ["first", "poison", "second"] {
        sender.send(saying(word)).await.unwrap();
    }
    drop(sender);
    let taken = Picky::default();
    Reporter::new(&configuration, taken.clone(), reports)
        .run()
        .await;
    let taken = taken.0.lock().unwrap().concat();
    assert!(
        taken.contains("first") && taken.contains("second"),
        "{taken}"
    );
}
