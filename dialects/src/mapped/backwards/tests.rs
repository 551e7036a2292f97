//! What a mapping says is read as what it was said for, and what it does not say just so is refused with a reason.

use std::sync::LazyLock;

use domain::{Operation, PurgeMode, operation::CustomOperation};
use proptest::prelude::*;

use super::*;
use crate::{
    Site, fixture,
    vendor::fixture::{DELETE, INVALIDATE, host, prefix, tag, wildcard},
};

const EXAMPLE: &str = include_str!("../example.yaml");

fn only_host() -> Vec<HostName> {
    vec![fixture::HOST.parse().unwrap()]
}

fn request(method: &str, path: &str, body: &str) -> NativeCall {
    let call = NativeCall::new(method, None, path, Vec::new());
    NativeCall {
        body: (!body.is_empty()).then(|| body.to_owned()),
        ..call.header("content-type", "application/json; charset=utf-8")
    }
}

fn asked(mapping: &Mapping, request: &NativeCall) -> String {
    match mapping.ask(request, &only_host()) {
        Ok(asked) => {
            let selectors: Vec<_> = asked.selectors.iter().map(ToString::to_string).collect();
            format!("{:?} {}", asked.operation, selectors.join(" | "))
        }
        Err(mistake) => mistake.to_string(),
    }
}

fn mapping(calls: &str) -> Mapping {
    let answers = "answers: [{ status: 200, means: done, evidence: reported }]";
    Mapping::read(&format!(
        "mapping: 1\nname: acme\n{answers}\ncalls:\n{calls}"
    ))
    .unwrap()
}

fn unread(mapping: &Mapping) -> String {
    let notes = mapping.notes();
    notes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The calls of the example come back, whatever white space and further headers they have; ids are anybody's.
#[test]
fn the_example_is_read_backwards() {
    let example = Mapping::read(EXAMPLE).unwrap();
    let urls = r#"{ "urls" : ["https://www.example.com/a?b=c", "http://www.example.com/%7Eb"] }"#;
    let invalidate = request("POST", "/v2/properties/whoever/invalidate", urls);
    let lines = [
        invalidate.clone().header("user-agent", "curl/8"),
        invalidate.clone().header("X-Request-Id", "mine"),
        request("POST", "/v2/properties/a/b/invalidate", urls),
        request("POST", "/v2/properties/a/deferred", urls),
        request("POST", "/v2/properties/a/delete", r#"{"urls":[]}"#),
        request("POST", "/v2/properties/a/delete", r#"{"urls":["ftp://a"]}"#),
        request(
            "POST",
            "/v2/properties/a/delete",
            r#"{"urls":["https://www.example.com/"],"recursive":true}"#,
        ),
        request("DELETE", "/v2/tags/a%2fb", ""),
        request("DELETE", "/v2/hosts/www.example.com", ""),
        request("GET", "/warm/a?b=%20", ""),
        NativeCall::new("POST", None, "/v2/keys", Vec::new())
            .header("content-type", "application/x-www-form-urlencoded"),
        request("PUT", "/v2/keys", ""),
    ];
    let mut lines: Vec<_> = lines.iter().map(|call| asked(&example, call)).collect();
    let rotate = NativeCall {
        body: Some("generation=7%26of&of=shop".to_owned()),
        ..NativeCall::new("POST", None, "/v2/keys", Vec::new())
    };
    lines.push(asked(
        &example,
        &rotate.header("content-type", "application/x-www-form-urlencoded"),
    ));
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Invalidate) https://www.example.com/a?b=c | http://www.example.com/%7Eb
    Purge(Invalidate) https://www.example.com/a?b=c | http://www.example.com/%7Eb
    path must be, with headers and body, a call of the mapping acme that says something exactly
    path must be, with headers and body, a call of the mapping acme that says something exactly
    path must be, with headers and body, a call of the mapping acme that says something exactly
    path must be, with headers and body, a call of the mapping acme that says something exactly
    path must be, with headers and body, a call of the mapping acme that says something exactly
    Purge(Delete) tag a/b
    Purge(Delete) host www.example.com
    Load https://www.example.com/a?b=%20
    path must be, with headers and body, a call of the mapping acme that says something exactly
    method must be one of a call of the mapping acme
    Custom(CustomOperation { name: rotate-keys, repeatable: false, parameters: {"generation": "7&of"} }) everything
    "##);
    insta::assert_snapshot!(unread(&example), @"line 26: calls[2] is not read backwards: it is not exact");
}

/// A path alone is of the host name that is named beside it, or of the only one.
#[test]
fn a_path_needs_its_host_name() {
    let example = Mapping::read(EXAMPLE).unwrap();
    let warm = request("GET", "/warm/a", "");
    let two = [
        fixture::HOST.parse().unwrap(),
        "img.example.com".parse().unwrap(),
    ];
    assert!(
        example
            .ask(&warm, &two)
            .unwrap_err()
            .rule
            .contains("`host` must be given")
    );
    let named = NativeCall {
        host: Some("img.example.com".to_owned()),
        ..warm
    };
    let asked = example.ask(&named, &two).unwrap();
    assert_eq!(asked.selectors, [fixture::url("https://img.example.com/a")]);
}

/// What may be several things is refused, and the check of the document says so before.
#[test]
fn what_is_ambiguous_is_refused_by_name() {
    let modes = mapping(
        "  - { operation: purge, modes: [delete, invalidate], selectors: [tag], method: POST, path: '/p/{{ item.text }}' }\n",
    );
    let kinds = mapping(
        "  - { operation: purge, modes: [delete], selectors: [tag, host], method: POST, path: '/p/{{ item.text }}' }\n",
    );
    let lost = mapping(
        "  - { operation: purge, modes: [delete], selectors: [tag], method: POST, path: '/p/{{ item.text | lower }}' }\n",
    );
    let nothing = mapping(
        "  - { operation: purge, modes: [delete], selectors: [tag], method: POST, path: /p }\n",
    );
    let lines = [
        asked(&modes, &request("POST", "/p/red", "")),
        unread(&modes),
        asked(&kinds, &request("POST", "/p/red/", "")),
        asked(&kinds, &request("POST", "/p/a_b", "")),
        asked(&kinds, &request("POST", "/p/www.example.com", "")),
        unread(&kinds),
        asked(&lost, &request("POST", "/p/red", "")),
        unread(&lost),
        asked(&nothing, &request("POST", "/p", "")),
        unread(&nothing),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    path with the body may be purge (delete) by tag: tag red or purge (invalidate) by tag: tag red by the mapping acme, and says not which
    line 5: calls[0] is not read backwards: path with the body may be purge (delete) by tag: tag a\b'{{c}}%&= or purge (invalidate) by tag: tag a\b'{{c}}%&= by the mapping acme, and says not which
    path must be, with headers and body, a call of the mapping acme that says something exactly
    Purge(Delete) tag a_b
    path with the body may be purge (delete) by tag: tag www.example.com or purge (delete) by host: host www.example.com by the mapping acme, and says not which
    line 5: calls[0] is not read backwards: path with the body may be purge (delete) by tag: tag www.example.com or purge (delete) by host: host www.example.com by the mapping acme, and says not which
    path must be, with headers and body, a call of the mapping acme that says something exactly
    line 5: calls[0] is not read backwards: path must be, with headers and body, a call of the mapping acme that says something exactly
    path must be, with headers and body, a call of the mapping acme that says something exactly
    line 5: calls[0] is not read backwards: path must be, with headers and body, a call of the mapping acme that says something exactly
    "##);
}

/// A header that tells two calls apart is not passed over.
#[test]
fn a_header_of_the_mapping_counts() {
    let both = mapping(
        "  - { operation: purge, modes: [delete], selectors: [tag], method: POST, path: '/p/{{ item.text }}' }
  - { operation: purge, modes: [invalidate], selectors: [tag], method: POST, path: '/p/{{ item.text }}', headers: { x-soft: '1' } }\n",
    );
    let call = request("POST", "/p/red", "");
    assert_eq!(asked(&both, &call), "Purge(Delete) tag red");
    assert_eq!(
        asked(&both, &call.clone().header("X-Soft", "1")),
        "Purge(Invalidate) tag red"
    );
    assert!(
        asked(&both, &call.header("x-soft", "2")).contains("must be, with headers"),
        "a value that is not the mapping's"
    );
    assert_eq!(unread(&both), "");
}

/// Calls of every form: JSON of several kinds, a form, lines of text, a query.
const FORMS: &str = r#"  - operation: purge
    modes: [delete, invalidate]
    selectors: [url, prefix, wildcard, tag, host]
    method: POST
    path: /v1/{{ mode }}?zone={account:zone}
    headers: { content-type: application/json, x-request-id: '{execution}' }
    body: '{"soft": {{ mode == "invalidate" }}, "what": [{% for item in items %}{"kind": {{ item.kind }}, "of": {{ item.text }}}{% if not loop.last %}, {% endif %}{% endfor %}]}'
    items: 10
  - operation: purge
    modes: [deferred]
    selectors: [url]
    method: POST
    path: /v1/later
    headers: { content-type: text/plain }
    body: "{% for item in items %}https://{{ item.host }}{{ item.path }}{% if not loop.last %}\n{% endif %}{% endfor %}"
    items: 5
  - operation: load
    selectors: [url]
    method: PUT
    path: /v1/load?u={{ item.host }}{{ item.path }}&by={{ originator }}
  - operation: purge
    modes: [delete]
    selectors: [everything]
    method: DELETE
    path: /v1/all
  - operation: rotate-keys
    selectors: [tag]
    method: POST
    path: /v1/keys
    headers: { content-type: application/x-www-form-urlencoded }
    body: tag={{ item.text }}&generation={{ parameters.generation }}
"#;

static ALL: LazyLock<[Mapping; 2]> =
    LazyLock::new(|| [mapping(FORMS), Mapping::read(EXAMPLE).unwrap()]);

/// The check finds nothing that is not read.
#[test]
fn every_form_of_a_call_is_read_backwards() {
    assert_eq!(unread(&ALL[0]), "");
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let path = "(/[a-zA-Z0-9._~!$&'()+,;=:@%{-]{0,8}){1,4}";
    let query = prop_oneof![Just(String::new()), r"\?[a-z0-9=&{}:\-]{0,12}"];
    prop_oneof![
        4 => (path, query).prop_filter_map("a URL", |(path, query)| {
            format!("https://{}{path}{query}", fixture::HOST).parse().ok().map(Selector::Url)
        }),
        1 => "/[a-z*]{1,6}/[a-z]{0,3}".prop_map(|path| prefix(&format!("{}{path}", fixture::HOST))),
        1 => "/[a-z]{1,6}[*][a-z]{0,3}".prop_map(|path| wildcard(&format!("{}{path}", fixture::HOST))),
        2 => r"[!#-+\--~]{1,20}".prop_map(|text| tag(&text)),
        1 => Just(host(fixture::HOST)),
        1 => Just(Selector::Everything),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let custom = |generation: String| {
        Operation::Custom(CustomOperation {
            name: "rotate-keys".parse().unwrap(),
            repeatable: false,
            parameters: [("generation".to_owned(), generation)].into(),
        })
    };
    prop_oneof![
        Just(DELETE),
        Just(INVALIDATE),
        Just(Operation::Purge(PurgeMode::Deferred)),
        Just(Operation::Load),
        "[a-z%&= é]{1,8}".prop_map(custom),
    ]
}

proptest! {
    /// Whatever a mapping says exactly is read as what it was said for.
    #[test]
    fn what_a_mapping_says_exactly_is_read_as_it_was_meant(
        selectors in prop::collection::vec(any_selector(), 1..8),
        operation in any_operation(),
    ) {
        for mapping in &*ALL {
            let exact = |selector: &&Selector| mapping.fidelity(&operation, selector) == Fidelity::Exact;
            let said: Vec<_> = selectors.iter().filter(exact).cloned().collect();
            if said.is_empty() {
                continue;
            }
            let command = fixture::command(operation.clone(), said);
            let configuration = domain::Configuration {
                id: "shop".parse().unwrap(),
                customer: "acme".parse().unwrap(),
                owner: "cdn-a".parse().unwrap(),
                hosts: only_host(),
                wide_purges_need_approval: None,
            };
            let execution = "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b".parse().unwrap();
            let site = Site { execution: &execution, configuration: &configuration, servers: &[], limits: &domain::NativeLimits::NONE };
            // A document may refuse what it cannot say in its limits.
            let Ok(calls) = mapping.translate(&command, &site) else {
                continue;
            };
            for call in calls {
                let numbers = call.selectors.clone();
                let call = NativeCall { path: call.path.replace("{account:zone}", "Z1"), ..call };
                let asked = mapping.ask(&call, &only_host());
                let asked = asked.map_err(|mistake| TestCaseError::fail(format!("{mistake}: {call:?}")))?;
                prop_assert_eq!(&asked.operation, &operation);
                let meant: Vec<_> = numbers.iter().map(|number| command.selectors[*number as usize].clone()).collect();
                prop_assert_eq!(asked.selectors, meant);
            }
        }
    }

    /// Whatever comes in ends as a command or as a mistake.
    #[test]
    fn any_request_is_read_or_refused(path in r"/v1/(keys|load|later|delete)?[?a-z%&=/]{0,30}", body in r"\PC{0,60}", method in "(POST|PUT|DELETE)") {
        for mapping in &*ALL {
            if let Ok(asked) = mapping.ask(&request(&method, &path, &body), &only_host()) {
                prop_assert!(!asked.selectors.is_empty());
            }
        }
    }
}
