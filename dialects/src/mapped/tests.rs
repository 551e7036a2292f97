//! What a mapping says, letter by letter, and what it makes of answers.

mod mistakes;

use std::{sync::LazyLock, time::Duration};

use domain::{
    Ceiling, Configuration, Evidence, ExecutionId, Finding,
    fault::{Again, FaultCode},
    operation::CustomOperation,
};
use proptest::prelude::*;

use super::*;
use crate::fixture::{answer, command, regex, url};

const EXAMPLE: &str = include_str!("example.yaml");
const DELETE: Operation = Operation::Purge(PurgeMode::Delete);

fn example() -> &'static Mapping {
    static MAPPING: LazyLock<Mapping> = LazyLock::new(|| Mapping::read(EXAMPLE).unwrap());
    &MAPPING
}

fn translate(mapping: &Mapping, command: &Command) -> Result<Vec<NativeCall>, CannotMap> {
    let configuration = Configuration {
        id: "shop".parse().unwrap(),
        customer: "acme".parse().unwrap(),
        owner: "cdn-a".parse().unwrap(),
        hosts: vec!["www.example.com".parse().unwrap()],
        wide_purges_need_approval: None,
    };
    let execution: ExecutionId = "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b"
        .parse()
        .unwrap();
    let site = Site {
        execution: &execution,
        configuration: &configuration,
        servers: &[],
        limits: &domain::NativeLimits::NONE,
    };
    mapping.translate(command, &site)
}

/// The calls as text, one per line, or why there are none.
fn said(mapping: &Mapping, operation: Operation, selectors: Vec<Selector>) -> String {
    let line = |call: &NativeCall| {
        let body = call.body.as_deref().unwrap_or_default();
        let line = format!("{} {} {:?} {body}", call.method, call.path, call.selectors);
        line.trim_end().to_owned()
    };
    match translate(mapping, &command(operation, selectors)) {
        Ok(calls) => calls.iter().map(line).collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string(),
    }
}

fn tag(text: &str) -> Selector {
    Selector::Tag(text.parse().unwrap())
}

fn rotate_keys(generation: &str) -> Operation {
    Operation::Custom(CustomOperation {
        name: "rotate-keys".parse().unwrap(),
        repeatable: false,
        parameters: [("generation".to_owned(), generation.to_owned())].into(),
    })
}

/// Each selector goes into the call that is for its kind, and whatever it holds stays in its place.
#[test]
fn a_command_is_said_as_the_document_says() {
    let selectors = vec![
        url("https://www.example.com/a'b\"?c=d"),
        tag("a/b?c'{{x}}"),
        url("https://www.example.com/2"),
        Selector::Host("www.example.com".parse().unwrap()),
    ];
    insta::assert_snapshot!(said(example(), DELETE, selectors), @r##"
    POST /v2/properties/acme/delete [0, 2] {"urls": ["https://www.example.com/a'b%22?c=d","https://www.example.com/2"]}
    DELETE /v2/tags/a%2Fb%3Fc%27%7B%7Bx%7D%7D [1]
    DELETE /v2/hosts/www.example.com [3]
    "##);
    let load = vec![url("https://www.example.com/a?b=%20")];
    insta::assert_snapshot!(said(example(), Operation::Load, load), @r##"GET /warm/a?b=%20 [0]"##);
    let everything = vec![Selector::Everything];
    insta::assert_snapshot!(said(example(), rotate_keys("7&of=other"), everything), @r##"POST /v2/keys [0] generation=7%26of%3Dother&of=shop"##);
}

/// No call has more selectors or a longer body than the document allows, and together they have every selector once.
#[test]
fn calls_keep_to_the_limits() {
    let page = |number| url(&format!("https://www.example.com/{number}"));
    insta::assert_snapshot!(said(example(), DELETE, (0..7).map(page).collect()), @r##"
    POST /v2/properties/acme/delete [0, 1, 2] {"urls": ["https://www.example.com/0","https://www.example.com/1","https://www.example.com/2"]}
    POST /v2/properties/acme/delete [3, 4, 5] {"urls": ["https://www.example.com/3","https://www.example.com/4","https://www.example.com/5"]}
    POST /v2/properties/acme/delete [6] {"urls": ["https://www.example.com/6"]}
    "##);
    let long = |number| {
        url(&format!(
            "https://www.example.com/{number}{}",
            "x".repeat(60)
        ))
    };
    let calls = translate(example(), &command(DELETE, (0..3).map(long).collect())).unwrap();
    let selectors: Vec<_> = calls.iter().map(|call| call.selectors.clone()).collect();
    assert_eq!(selectors, [vec![0], vec![1, 2]]);
    let longer = vec![url(&format!("https://www.example.com/{}", "x".repeat(200)))];
    insta::assert_snapshot!(said(example(), DELETE, longer), @r##"acme cannot say this command: one selector alone makes a body of 238 bytes, and the limit is 200"##);
}

/// What the document does not map is impossible, and what it maps more widely is so only under the ceiling.
#[test]
fn what_is_not_mapped_is_impossible() {
    insta::assert_snapshot!(said(example(), Operation::Purge(PurgeMode::Deferred), vec![tag("a")]), @r##"acme cannot say this command: acme maps no purge (deferred) by tag"##);
    insta::assert_snapshot!(said(example(), DELETE, vec![regex("^/a")]), @r##"acme cannot say this command: acme maps no purge (delete) by regex"##);
    let other = vec![url("https://www.other.com/")];
    insta::assert_snapshot!(said(example(), DELETE, other), @r##"acme cannot say this command: www.other.com is no host name of the configuration"##);
    insta::assert_snapshot!(said(example(), rotate_keys("7"), vec![tag("a")]), @r##"acme cannot say this command: acme maps no rotate-keys by tag"##);
    let prefix = Selector::Prefix("www.example.com/img/".parse().unwrap());
    let mut command = command(DELETE, vec![prefix]);
    assert_eq!(
        translate(example(), &command).unwrap()[0].path,
        "/v2/hosts/www.example.com"
    );
    command.ceiling = Ceiling {
        widest: None,
        narrowed: false,
    };
    assert!(translate(example(), &command).is_err());
}

/// A parameter that the template wants and the originator did not give is no empty text.
#[test]
fn a_missing_parameter_is_named() {
    let without = Operation::Custom(CustomOperation {
        parameters: [].into(),
        ..match rotate_keys("") {
            Operation::Custom(custom) => custom,
            other => panic!("{other:?}"),
        }
    });
    let said = said(example(), without, vec![Selector::Everything]);
    assert!(said.contains("undefined"), "{said}");
}

fn told(status: u16, body: &str) -> Answer {
    Answer {
        body: body.to_owned(),
        ..answer(status, &[("location", "/jobs/8"), ("retry-after", "9")])
    }
}

fn fault(verdict: Verdict) -> (FaultCode, Again, String) {
    match verdict {
        Verdict::Failed { fault, .. } => (fault.code, fault.again, fault.message),
        other => panic!("{other:?}"),
    }
}

/// The first rule that fits says what an answer means.
#[test]
fn answers_are_read_as_the_document_says() {
    let judged = |status, body: &str| example().judge(&told(status, body));
    let running = |job: &str| Verdict::Running {
        job: job.to_owned(),
    };
    let done = |finding| Verdict::Done {
        evidence: Evidence::Reported,
        finding,
    };
    assert_eq!(judged(202, r#"{"job":{"id":77}}"#), running("77"));
    assert_eq!(judged(200, r#"{"state":"queued"}"#), running("/jobs/8"));
    assert_eq!(judged(204, ""), done(Finding::Accepted));
    assert_eq!(judged(404, "<html>"), done(Finding::NothingHeld));
    let code = |status, body: &str| fault(judged(status, body));
    let (unreadable, never) = (FaultCode::UnreadableAnswer, Again::Never);
    assert_eq!(code(202, "<html>").0, unreadable);
    assert_eq!(code(202, r#"{"job":{"id":""}}"#).0, unreadable);
    assert_eq!(code(201, "").0, unreadable);
    let (throttled, after) = (FaultCode::Throttled, Again::AfterSeconds);
    assert_eq!(code(409, r#"{"wait":3}"#).1, after(3));
    assert_eq!(code(503, "busy").1, after(9));
    assert_eq!(code(429, "").0, throttled);
    let words = "the native system answered 422: no such tag";
    assert_eq!(
        code(422, r#"{"error":{"text":"no such tag"}}"#),
        (FaultCode::Refused, never, words.to_owned())
    );
    assert_eq!(code(401, "").0, FaultCode::Unauthorized);
}

/// An estimate has the time of the answer, or else that of the mapping; where there is none, it was taken and no more is known.
#[test]
fn an_estimate_has_its_time() {
    let within = |seconds| Verdict::Estimated {
        within: Duration::from_secs(seconds),
        finding: Finding::Accepted,
    };
    let judged = |body| example().judge(&told(203, body));
    assert_eq!(judged(r#"{"seconds":5}"#), within(5));
    assert_eq!(judged(r#"{"seconds":"7"}"#), within(7));
    for silent in ["", "{}", r#"{"seconds":"soon"}"#, r#"{"seconds":-1}"#] {
        assert_eq!(judged(silent), within(60), "{silent}");
    }
    let alone = EXAMPLE.replace("estimate: /seconds, within: 60", "estimate: retry-after");
    let mapping = Mapping::read(&alone).unwrap();
    assert_eq!(mapping.judge(&told(203, "")), within(9));
    let alone = EXAMPLE.replace(", within: 60", "");
    let mapping = Mapping::read(&alone).unwrap();
    let taken = Verdict::Done {
        evidence: Evidence::Acknowledged,
        finding: Finding::Accepted,
    };
    assert_eq!(mapping.judge(&told(203, "{}")), taken);
}

/// A job is asked after by its name until a rule says that it has ended.
#[test]
fn a_job_is_polled() {
    let call = example().poll("a/../b").unwrap();
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("GET", "/v2/jobs/a%2F..%2Fb")
    );
    let judged = |body: &str| example().judge_poll("8", &told(200, body));
    let job = "8".to_owned();
    assert_eq!(judged(r#"{"state":"at work"}"#), Verdict::Running { job });
    assert!(matches!(
        judged(r#"{"state":"finished"}"#),
        Verdict::Done { .. }
    ));
    let (code, again, message) = fault(judged(r#"{"state":"broken","error":{"text":"disk"}}"#));
    // That is the end of the job: nobody asks after it again.
    assert_eq!((code, again), (FaultCode::NativeError, Again::Never));
    assert!(message.ends_with("disk"), "{message}");
}

/// The smallest mapping of the documentation is a good one.
#[test]
fn the_documented_mapping_is_good() {
    let text = include_str!("../../../docs/mappings.md");
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (smallest, _) = rest.split_once("```").unwrap();
    let mapping = Mapping::read(smallest).unwrap();
    let page = url("http://www.example.com/a");
    assert_eq!(
        said(&mapping, DELETE, vec![page]),
        r#"POST /purge [0] {"url": "http://www.example.com/a"}"#
    );
}

/// The participant's account is for its own document to speak of: no selector gets a value of it into a call.
#[test]
fn no_value_asks_for_the_account() {
    let mapping = Mapping::read(
        "mapping: 1
name: acme
calls:
  - operation: purge
    modes: [delete]
    selectors: [tag]
    method: POST
    path: '/p/{account:zone}/{{ item.text }}'
    headers: { content-type: application/json }
    body: '{\"zone\": \"{account:zone}\", \"tags\": {{ items | map(attribute=\"text\") | list }}}'
  - operation: purge
    modes: [delete]
    selectors: [url]
    method: GET
    path: '/p{{ item.path | safe }}'
  - operation: purge
    modes: [invalidate]
    selectors: [tag]
    method: POST
    path: /p
    headers: { x-tag: '{{ item.text }}' }
answers: [{ status: 200, means: done, evidence: reported }]
",
    )
    .unwrap();
    insta::assert_snapshot!(said(&mapping, DELETE, vec![tag("{account:zone}")]), @r##"POST /p/{account:zone}/%7Baccount%3Azone%7D [0] {"zone": "{account:zone}", "tags": ["\u007baccount:zone}"]}"##);
    let asked = url("https://www.example.com/?{account:zone}");
    let invalidate = Operation::Purge(PurgeMode::Invalidate);
    for (operation, selector) in [(DELETE, asked), (invalidate, tag("{execution}"))] {
        let refused = said(&mapping, operation, vec![selector]);
        let why = "a value has what the adapter would fill in";
        assert!(refused.ends_with(why), "{refused}");
    }
}

proptest! {
    /// Whatever a selector or a job holds, a call goes where the document says, and its body is what its header says.
    #[test]
    fn nothing_breaks_out(tag in r"[!-~&&[^,\x22]]{1,40}", path in r"/[!-~]{0,40}", job in r"\PC{1,40}") {
        let page = format!("https://www.example.com{path}").parse().map(Selector::Url);
        let selectors: Vec<_> = page.ok().into_iter().chain([Selector::Tag(tag.parse().unwrap())]).collect();
        // Dots alone are no segment of a path, however they are written: a call that would need one is refused.
        let dots = [".", ".."].contains(&tag.as_str());
        let calls = translate(example(), &command(DELETE, selectors));
        prop_assert_eq!(calls.is_err(), dots, "{:?}", calls);
        for call in calls.into_iter().flatten() {
            prop_assert!(call.path.starts_with("/v2/properties/acme/delete") || call.path[9..].find('/').is_none(), "{}", call.path);
            if let Some(body) = call.body {
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                prop_assert_eq!(body["urls"].as_array().unwrap().len(), 1);
            }
        }
        if let Some(call) = example().poll(&job) {
            prop_assert!(call.path.strip_prefix("/v2/jobs/").unwrap().find(['/', '?', '#']).is_none());
        }
    }

    /// No document and no answer makes it panic.
    #[test]
    fn nothing_panics(document in r"[ \n:\-\[\]{}a-z0-9%&*!|>#']{0,200}", body in r"\PC{0,100}", status in 100_u16..600) {
        let _ = Mapping::read(&document);
        let _ = example().judge(&told(status, &body));
        let _ = example().judge_poll("x", &told(status, &body));
    }
}

/// What a mapping's calls take is counted as its document counts, by the call alone: so a plan and the adapter count alike.
#[test]
fn a_plan_counts_the_items_of_a_mapping() {
    let urls = (0..7).map(|n| url(&format!("https://www.example.com/{n}")));
    let purge = command(Operation::Purge(PurgeMode::Delete), urls.collect());
    let calls = translate(example(), &purge).unwrap();
    let cost = crate::cost_of_mapped(&calls);
    assert_eq!((cost.calls, &cost.units), (3, &[("items", 7)].into()));
    assert_eq!(cost.more.len(), 1);
    let question = example().poll("7").unwrap();
    assert_eq!(draws(&question), [crate::Draw::CALL]);
}
