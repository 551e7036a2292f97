//! Whether the rest of an order is still told.

use super::*;
use crate::tally::UNANSWERED_LIMIT;

/// A cut-off for calls that nobody answers.
fn impatient() -> config::Calls {
    config::Calls {
        timeout: Duration::from_millis(100),
        attempts: 1,
        ..calls_settings()
    }
}

/// The connection to RabbitMQ broke, and another adapter has the order by now: this one stops, retries included.
#[tokio::test]
async fn an_order_that_is_no_longer_current_is_left() {
    for status in [200, 500] {
        let server = answering(status).await;
        let order = order("purge", true, &[server.address], vec![purge(), purge()]);
        let is_current = || server.calls() < 1;
        let results = caches(&calls_settings())
            .carry_out(&order, &TraceContext::new(), &is_current)
            .await;
        assert_eq!((results, server.calls()), (None, 1));
    }
}

/// One call that hangs says nothing of the next; its fault stands for the server all the same.
#[tokio::test]
async fn the_calls_after_an_unanswered_one_are_made() {
    let server = server(|number, _| async move {
        if number == 0 {
            std::future::pending::<()>().await;
        }
        StatusCode::OK.into_response()
    })
    .await;
    let order = order("purge", true, &[server.address], vec![purge(), purge()]);
    let results = caches(&impatient())
        .carry_out(&order, &TraceContext::new(), &|| true)
        .await
        .unwrap();
    assert_eq!(fault_of(&results[0]).code, FaultCode::TimedOut);
    assert_eq!((server.calls(), results[0].findings.len()), (2, 1));
}

/// A server that answers nothing at all does not cost a timeout for every URL.
#[tokio::test]
async fn a_server_that_answers_nothing_is_left_alone_after_some_calls() {
    let server = server(|_, _| std::future::pending()).await;
    let order = order("purge", true, &[server.address], vec![purge(); 5]);
    let results = caches(&impatient())
        .carry_out(&order, &TraceContext::new(), &|| true)
        .await
        .unwrap();
    let asked = u32::try_from(server.calls()).unwrap();
    assert_eq!((asked, results[0].attempts), (UNANSWERED_LIMIT, 3));
}
