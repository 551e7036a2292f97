use std::time::Duration;

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

fn refused(code: Code, details: ErrorDetails) -> Failure {
    Failure::Submit {
        status: Box::new(Status::with_error_details(
            code,
            "the command is malformed",
            details,
        )),
        selectors: vec![SelectorView::Url {
            url: "ftp://a".to_owned(),
        }],
        retry: Some("--request-id 0198".to_owned()),
    }
}

/// A file of 900 URLs has one bad line: the answer shows the field, the text of that line and the rule.
#[test]
fn a_violated_field_is_shown_with_the_text_that_was_given() {
    let details =
        ErrorDetails::with_bad_request_violation("draft.selectors[0].url", "must be http");
    let failure = refused(Code::InvalidArgument, details);
    assert_eq!(
        failure.to_string(),
        "the broker answered INVALID_ARGUMENT: the command is malformed"
    );
    assert_eq!(
        failure.details(),
        ["--url ftp://a (draft.selectors[0].url): must be http"]
    );
    assert_eq!(failure.exit(), Exit::Usage);
}

/// A tag is typed without the word that stands before it in a table.
#[test]
fn the_text_of_a_tag_is_what_was_typed() {
    let rule = "must have no spaces";
    let details = ErrorDetails::with_bad_request_violation("draft.selectors[0].tag", rule);
    let status = Status::with_error_details(Code::InvalidArgument, "is malformed", details);
    let failure = Failure::Submit {
        status: Box::new(status),
        selectors: vec![SelectorView::Tag {
            tag: "a b".to_owned(),
        }],
        retry: None,
    };
    let line = "--tag a b (draft.selectors[0].tag): must have no spaces";
    assert_eq!(failure.details(), [line]);
}

/// Everything else that the broker says is shown too: the resource, when to retry, the reason.
#[test]
fn resource_retry_delay_and_reason_have_a_line_each() {
    let mut details = ErrorDetails::with_resource_info("configuration", "shop", "", "is unknown");
    details.set_retry_info(Some(Duration::from_secs(5)));
    details.set_error_info(
        "TOO_MANY",
        "federation.v1",
        [("limit".to_owned(), "3".to_owned())],
    );
    assert_eq!(
        refused(Code::NotFound, details).details(),
        [
            "configuration shop: is unknown",
            "try again in 5 s",
            "reason: TOO_MANY, limit = 3"
        ]
    );
}

/// What is not there is said once, and a field that is typed with a flag is named by it.
#[test]
fn nothing_is_said_twice() {
    let message = "command `7` not found";
    let mut details = ErrorDetails::with_resource_info("command", "7", "", message);
    let metadata = [("command".to_owned(), "7".to_owned())];
    details.set_error_info("NOT_FOUND", "federation.v1", metadata);
    let failure: Failure = Status::with_error_details(Code::NotFound, message, details).into();
    assert_eq!(
        failure.to_string(),
        "the broker answered NOT_FOUND: command `7` not found"
    );
    assert!(failure.details().is_empty(), "{:?}", failure.details());
    let details = ErrorDetails::with_bad_request_violation("originator_id", "must be lower case");
    let message = "the request is malformed: originator_id must be lower case";
    let failure: Failure =
        Status::with_error_details(Code::InvalidArgument, message, details).into();
    assert_eq!(
        failure.to_string(),
        "the broker answered INVALID_ARGUMENT: the request is malformed"
    );
    assert_eq!(
        failure.details(),
        ["--originator (originator_id): must be lower case"]
    );
}

/// A script reads code, reason and fields from a document instead of lines.
#[test]
fn a_failure_is_a_document_for_scripts() {
    let mut details =
        ErrorDetails::with_bad_request_violation("draft.selectors[0].url", "must be http");
    details.set_error_info(
        "INVALID_FIELDS",
        "federation.v1",
        [("limit".to_owned(), "3".to_owned())],
    );
    let document = serde_json::to_value(refused(Code::InvalidArgument, details).document());
    let document = document.expect("is a document");
    assert_eq!(
        document,
        serde_json::json!({"error": {
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_FIELDS",
            "message": "the broker answered INVALID_ARGUMENT: the command is malformed",
            "exit_code": 2,
            "fields": [{
                "field": "draft.selectors[0].url",
                "flag": "--url",
                "given": "ftp://a",
                "rule": "must be http",
            }],
            "metadata": {"limit": "3"},
            "retry_after_ms": null,
            "details": ["--url ftp://a (draft.selectors[0].url): must be http", "reason: INVALID_FIELDS, limit = 3"],
        }})
    );
    let usage = serde_json::to_value(Failure::Usage("no".to_owned()).document());
    let usage = usage.expect("is a document");
    assert_eq!(
        (&usage["error"]["code"], &usage["error"]["exit_code"]),
        (&"USAGE".into(), &2.into())
    );
}

/// The connection broke before the answer came: nobody knows, and the same request id makes another try safe.
#[test]
fn after_an_uncertain_end_the_request_id_is_named() {
    let lines = refused(Code::Unavailable, ErrorDetails::new()).details();
    assert!(lines[0].contains("--request-id 0198"), "{lines:?}");
}
