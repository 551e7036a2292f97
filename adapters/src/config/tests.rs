//! The configuration as an operator meets it.

use std::ffi::OsString;

use service::configuration::load_with;

use super::*;

fn with(variables: &[(&str, &str)]) -> Result<Configuration, Problems> {
    let variables = variables.iter().map(|(name, value)| {
        (
            OsString::from(format!("ADAPTER__{name}")),
            OsString::from(value),
        )
    });
    load_with(DEFAULT, None, ENVIRONMENT_PREFIX, variables)
}

fn problems(variables: &[(&str, &str)]) -> String {
    with(variables).unwrap_err().to_string()
}

/// Two keys are the operator's alone: whose adapter it is and where it may connect.
#[test]
fn the_default_lacks_only_the_participant_and_the_addresses() {
    let said = problems(&[]);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("allowed_addresses: must name"), "{said}");
    assert!(said.contains("participant: is missing"), "{said}");
    let whole = with(&[
        ("PARTICIPANT", "cdn-b"),
        ("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]"),
    ]);
    assert_eq!(whole.unwrap().kind, Kind::Caches);
}

/// An operator mends everything in one go.
#[test]
fn every_problem_is_listed() {
    let said = problems(&[
        ("PARTICIPANT", "Not An Id"),
        ("KIND", "invocation-system"),
        ("ALLOWED_ADDRESSES", "[\"nonsense:\"]"),
        ("AMQP__URL", "http://host"),
        ("AMQP__PREFIX", "a b"),
        ("CALLS__ATTEMPTS", "0"),
        ("JOURNAL__KEEP_FOR", "never"),
        ("INVOCATION_SYSTEM__CALLBACK_LISTEN", "127.0.0.1:1"),
        ("EXECUTION__CONCURENCY", "1"),
    ]);
    for key in [
        "participant",
        "allowed_addresses[0]",
        "amqp.url",
        "amqp.prefix",
        "calls.attempts",
        "journal.keep_for",
        "invocation_system.base_url",
        "invocation_system.token",
        "invocation_system.callback_url",
        "execution.concurency",
    ] {
        assert!(
            said.lines()
                .any(|line| line.starts_with(&format!("{key}: "))),
            "{key}\n{said}"
        );
    }
}

/// What a header or a path cannot follow is refused at the start, and not with the first call.
#[test]
fn the_invocation_systems_url_and_token_can_be_used() {
    let system = |url, token| {
        with(&[
            ("PARTICIPANT", "cdn-b"),
            ("KIND", "invocation-system"),
            ("INVOCATION_SYSTEM__BASE_URL", url),
            ("INVOCATION_SYSTEM__TOKEN", token),
        ])
    };
    assert!(system("https://purge.example/base/", "a.b-c_d~e+f/g=").is_ok());
    for url in [
        "ftp://purge.example",
        "https://user@purge.example",
        "https://:secret@purge.example",
        "https://purge.example/?a=b",
        "https://purge.example/#a",
    ] {
        let said = system(url, "token").unwrap_err().to_string();
        assert!(
            said.contains("invocation_system.base_url: "),
            "{url}: {said}"
        );
    }
    for token in ["two words", "line\nbreak", "ü"] {
        let said = system("https://purge.example", token)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("invocation_system.token: "),
            "{token}: {said}"
        );
        assert!(!said.contains(token), "{said}");
    }
}

/// The AMQP library logs whole messages; nobody should have to know that.
#[test]
fn the_default_log_silences_the_amqp_library() {
    let whole = with(&[
        ("PARTICIPANT", "cdn-b"),
        ("ALLOWED_ADDRESSES", "[\"127.0.0.1\"]"),
    ]);
    assert!(whole.unwrap().logs.filter.contains(amqp::LOG_DIRECTIVE));
}
