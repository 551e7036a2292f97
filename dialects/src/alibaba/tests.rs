//! What Alibaba Cloud CDN is told, letter by letter, and what its answers mean. Answers are those of its API reference.

use super::*;
use crate::{
    fixture::{command, reasons, translate, url},
    vendor::fixture::{
        DELETE, INVALIDATE, answer, call, failed, host, prefix, running, spoken, wildcard,
    },
};

/// One call for each kind and host name, with one object on a line.
#[test]
fn it_refreshes_files_and_directories() {
    let some = || {
        vec![
            url("https://www.example.com/image/1.png?x={1}"),
            url("http://www.example.com/image/2.png"),
            url("http://img.example.com/3.png"),
            prefix("www.example.com/img/"),
            wildcard("www.example.com/img/*.png"),
            host("img.example.com"),
        ]
    };
    insta::assert_snapshot!(spoken(&Alibaba, DELETE, some()), @r"
    POST /?Action=RefreshObjectCaches&Version=2018-05-10&Format=JSON [2] content-type: application/x-www-form-urlencoded
    ObjectPath=img.example.com%2F3.png&ObjectType=File
    POST /?Action=RefreshObjectCaches&Version=2018-05-10&Format=JSON [0, 1] content-type: application/x-www-form-urlencoded
    ObjectPath=www.example.com%2Fimage%2F1.png%3Fx%3D%7B1%7D%0Awww.example.com%2Fimage%2F2.png&ObjectType=File
    POST /?Action=RefreshObjectCaches&Version=2018-05-10&Format=JSON [5] content-type: application/x-www-form-urlencoded
    ObjectPath=img.example.com%2F&ObjectType=Directory&Force=true
    POST /?Action=RefreshObjectCaches&Version=2018-05-10&Format=JSON [3, 4] content-type: application/x-www-form-urlencoded
    ObjectPath=www.example.com%2Fimg%2F&ObjectType=Directory&Force=true
    ");
    assert!(spoken(&Alibaba, INVALIDATE, some()).contains("Force=false"));
}

/// 100 URLs to load are one call.
#[test]
fn it_loads_a_hundred_at_a_time() {
    let some = (0..101).map(|number| url(&format!("https://www.example.com/{number}")));
    let calls = translate(&Alibaba, &command(Operation::Load, some.collect())).unwrap();
    let sizes: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(sizes, [100, 1]);
    assert_eq!(
        calls[1].path,
        "/?Action=PushObjectCache&Version=2018-05-10&Format=JSON"
    );
    assert_eq!(
        calls[1].body.as_deref(),
        Some("ObjectPath=www.example.com%2F100")
    );
}

/// A directory can be marked stale, a file cannot; an object has 1,024 characters.
#[test]
fn it_says_why_it_cannot() {
    insta::assert_snapshot!(reasons(&Alibaba, &INVALIDATE), @r"
    widened: Alibaba Cloud CDN cannot mark stale here, it can only delete
    exact
    widened: Alibaba Cloud CDN cannot say it more narrowly than by all paths that begin with /img/
    impossible: Alibaba Cloud CDN knows no regular expressions
    impossible: Alibaba Cloud CDN knows no tags
    exact
    exact
    ");
    let long = url(&format!("https://www.example.com/{}", "x".repeat(1_024)));
    assert_eq!(Alibaba.fidelity(&DELETE, &long).as_str(), "impossible");
    assert_eq!(
        Alibaba.fidelity(&Operation::Load, &long).as_str(),
        "impossible"
    );
}

/// The task's id is the job.
#[test]
fn a_success_is_a_job() {
    let page = || url("https://www.example.com/a");
    let refresh = call(&Alibaba, DELETE, page());
    let push = call(&Alibaba, Operation::Load, page());
    let taken = |call, body| Alibaba.judge(call, &answer(200, &[], body));
    assert_eq!(
        taken(
            &refresh,
            r#"{"RefreshTaskId":"95248880","RequestId":"E5BD4B50-7A02-493A-AE0B-97B9024B4135"}"#
        ),
        running("95248880")
    );
    assert_eq!(
        taken(
            &push,
            r#"{"PushTaskId":"95248881","RequestId":"E5BD4B50-7A02-493A-AE0B-97B9024B4135"}"#
        ),
        running("95248881")
    );
    assert_eq!(
        failed(taken(&push, r#"{"RefreshTaskId":"1"}"#)).0,
        FaultCode::UnreadableAnswer
    );
    assert_eq!(
        Alibaba.poll("1,2").unwrap().path,
        "/?Action=DescribeRefreshTaskById&Version=2018-05-10&Format=JSON&TaskId=1%2C2"
    );
}

/// It is asked after until every task of it is complete; one that failed fails all.
#[test]
fn a_job_runs_until_all_of_it_is_complete() {
    let task = |status: &str, kind: &str| {
        format!(
            r#"{{"TaskId":"704222904","ObjectPath":"http://example.com/1.txt","Status":"{status}","Process":"100%",
               "ObjectType":"{kind}","CreationTime":"2020-08-03T08:54:23Z","Description":"Internal Error"}}"#
        )
    };
    let judged = |tasks: &[String]| {
        let body = format!(
            r#"{{"RequestId":"E0C2EF95","TotalCount":1,"Tasks":[{}]}}"#,
            tasks.join(",")
        );
        Alibaba.judge_poll("704222904", &answer(200, &[], &body))
    };
    let complete = || task("Complete", "file");
    assert_eq!(judged(&[]), running("704222904"));
    assert_eq!(
        judged(&[complete(), task("Refreshing", "file")]),
        running("704222904")
    );
    assert_eq!(judged(&[complete()]), http::done(Finding::Removed(None)));
    assert_eq!(
        judged(&[task("Complete", "preload")]),
        http::done(Finding::Stored)
    );
    assert_eq!(
        judged(&[task("Complete", "directory")]),
        http::done(Finding::Accepted)
    );
    assert_eq!(
        failed(judged(&[complete(), task("Failed", "file")])),
        (
            FaultCode::NativeError,
            Again::Never,
            "Alibaba Cloud CDN ended the task as Failed: Internal Error".to_owned()
        )
    );
    let older = format!(r#"{{"Tasks":{{"CDNTask":[{}]}}}}"#, complete());
    assert_eq!(
        Alibaba.judge_poll("1", &answer(200, &[], &older)),
        http::done(Finding::Removed(None))
    );
}

/// The code says what the status does not: a limit by the minute passes, one by the day does not.
#[test]
fn errors_are_understood() {
    let one = call(&Alibaba, DELETE, url("https://www.example.com/a"));
    for (status, code, expected, again) in [
        (503, "Throttling", FaultCode::Throttled, Again::Soon),
        (400, "Throttling.User", FaultCode::Throttled, Again::Soon),
        (
            400,
            "QuotaPerMinuteExceeded.Refresh",
            FaultCode::Throttled,
            Again::AfterSeconds(60),
        ),
        (
            400,
            "TooMany.Refresh",
            FaultCode::Throttled,
            Again::AfterSeconds(60),
        ),
        (
            403,
            "PreloadQueueFull",
            FaultCode::Throttled,
            Again::AfterSeconds(60),
        ),
        (
            400,
            "QuotaExceeded.Refresh",
            FaultCode::Throttled,
            Again::Never,
        ),
        (
            400,
            "InvalidObjectPath.Malformed",
            FaultCode::Refused,
            Again::Never,
        ),
        (
            404,
            "InvalidDomain.NotFound",
            FaultCode::Refused,
            Again::Never,
        ),
        (403, "Forbidden.RAM", FaultCode::Refused, Again::Never),
        (
            400,
            "SignatureDoesNotMatch",
            FaultCode::Unauthorized,
            Again::Never,
        ),
        (
            404,
            "InvalidAccessKeyId.NotFound",
            FaultCode::Unauthorized,
            Again::Never,
        ),
        (500, "InternalError", FaultCode::NativeError, Again::Soon),
    ] {
        let body = format!(
            r#"{{"Message":"The domain provided does not belong to you.","RequestId":"43730243","HostId":"cdn.aliyuncs.com","Code":"{code}"}}"#
        );
        let fault = failed(Alibaba.judge(&one, &answer(status, &[], &body)));
        assert_eq!((fault.0, fault.1), (expected, again), "{code}");
        assert!(fault.2.ends_with(&format!(
            "{code}: The domain provided does not belong to you."
        )));
    }
}

/// A question after as many files as one call takes, with names as long as they may be, is answered at length: all of it is kept.
#[test]
fn the_answer_for_a_whole_call_is_kept() {
    const FILES: usize = 1_000;
    let path = format!("https://www.example.com/{}", "a".repeat(OBJECT_LENGTH));
    let task = format!(
        r#"{{"TaskId":"70422290400","ObjectPath":"{path}","Status":"Complete","Process":"100%","ObjectType":"file",
           "CreationTime":"2020-08-03T08:54:23Z","Description":"Internal Error"}}"#
    );
    let tasks = vec![task; FILES].join(",");
    let body = format!(r#"{{"TotalCount":{FILES},"Tasks":[{tasks}],"RequestId":"r"}}"#);
    assert!(body.len() <= Alibaba.answer_bytes(), "{}", body.len());
    assert_eq!(
        Alibaba.judge_poll("1", &answer(200, &[], &body)),
        read::removed()
    );
}
