//! Jobs that take long, and adapters that change meanwhile.

use super::*;

fn under_way(done: &[&str]) -> Value {
    let mut servers = vec![json!({ "server": "b-2", "state": "running" })];
    let done = done
        .iter()
        .map(|server| json!({ "server": server, "state": "done" }));
    servers.extend(done);
    json!({ "execution": EXECUTION, "state": "running", "servers": servers })
}

/// A job of hours: the originator sees each server end, once, and not only the last one.
#[tokio::test]
async fn the_servers_that_have_ended_are_told_while_the_job_runs() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "1ms").await;
    assert_eq!(stage.carry_out(false).await, running_report());
    script.answer_questions(StatusCode::OK, &under_way(&["b-1"]));
    let report = stage.report().await;
    assert_eq!(report.outcome, running_report());
    assert_eq!(report.results.len(), 1);
    assert_eq!(report.results[0].outcome, Outcome::Done(Evidence::Reported));
    let asked = script.asked.load(Ordering::SeqCst);
    while script.asked.load(Ordering::SeqCst) < asked + 5 {
        tokio::task::yield_now().await;
    }
    script.answer_questions(StatusCode::OK, &settled());
    let last = stage.report().await;
    assert_eq!(last.outcome, ReportedOutcome::Done(Evidence::Verified));
    let headers = script.headers.lock().unwrap().clone();
    let span = headers["traceparent"].to_str().unwrap();
    assert_eq!(last.traceparent.unwrap()[..35], span[..35]);
}

/// An answer that is too long is no silence: it ends the job, and the fault names the limit.
#[tokio::test]
async fn an_answer_that_is_too_long_ends_the_job() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "1ms").await;
    stage.carry_out(false).await;
    let long = Value::String("x".repeat(5_000_000));
    script.answer_questions(StatusCode::OK, &long);
    let outcome = stage.report().await.outcome;
    assert!(
        matches!(&outcome, ReportedOutcome::Failed(fault)
            if fault.code == FaultCode::UnreadableAnswer && fault.message.contains("calls.answer_limit")),
        "{outcome:?}"
    );
}

/// Another adapter takes over and has no journal of the job. The order comes again to it and is submitted again, under the
/// same id, so the system does nothing new, and the job is asked for to its end.
#[tokio::test]
async fn a_stand_by_submits_again_and_asks_on() {
    let (folder, another) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "1h").await;
    stage.carry_out(false).await;
    stage.stop().await;
    let mut stage = Stage::start(&another, &url, "5ms").await;
    assert_eq!(stage.carry_out(true).await, running_report());
    script.answer_questions(StatusCode::OK, &settled());
    assert_eq!(
        stage.report().await.outcome,
        ReportedOutcome::Done(Evidence::Verified)
    );
    assert_eq!(script.submitted.load(Ordering::SeqCst), 2);
}

/// What a job absorbed runs and ends with it, over a restart too.
#[tokio::test]
async fn what_a_job_absorbed_ends_with_it() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "1h").await;
    let absorbed: ExecutionId = "01890a5d-ac95-774b-bcce-b302099a8057_b".parse().unwrap();
    let with = vec![absorbed.clone()];
    assert_eq!(stage.carry_out_with(false, with).await, running_report());
    let report = stage.report().await;
    assert_eq!(
        (report.execution, report.outcome),
        (absorbed.clone(), running_report())
    );
    stage.stop().await;
    let mut stage = Stage::start(&folder, &url, "5ms").await;
    script.answer_questions(StatusCode::OK, &settled());
    let own = stage.report().await;
    let report = stage.report().await;
    assert_eq!(
        (report.execution, &report.outcome),
        (absorbed, &own.outcome)
    );
    assert_eq!(report.absorbed_by, Some(own.execution.command));
    assert_eq!(own.outcome, ReportedOutcome::Done(Evidence::Verified));
}
