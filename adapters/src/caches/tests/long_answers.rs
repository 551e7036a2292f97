//! Answers that are larger than what is kept of them.

use super::*;

/// A purge's answer of a megabyte says no more than its first bytes; memory does not grow with it.
#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let server = server(|_, _| async { Body::from(vec![b'x'; 10_000_000]).into_response() }).await;
    assert!(is_done(&tell_one(&server).await));
}

/// A load reads the whole object, so that the cache has it whole, up to the operator's limit.
#[tokio::test]
async fn a_load_reads_whole_objects_up_to_the_limit() {
    for (length, done) in [(900_000, true), (2_000_000, false)] {
        let server = server(move |_, _| async move {
            (
                [("x-cache", "MISS"), ("age", "0")],
                Body::from(vec![b'x'; length]),
            )
                .into_response()
        })
        .await;
        let order = order("load", true, &[server.address], vec![load()]);
        let results = tell(&order).await;
        let too_long = matches!(&results[0].outcome, Outcome::Failed(fault) if fault.message.contains("1048576"));
        assert_eq!(too_long, !done, "{results:?}");
    }
}
