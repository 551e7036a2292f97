//! What each fuzz target does with bytes, whoever made them: the fuzzer, or a test that plays found inputs again.
//!
//! Invariant: whatever comes in ends as something that keeps its rules, or as a mistake; nothing panics.

mod inputs;

#[allow(dead_code, reason = "only what is parsed matters here")]
#[path = "../../../amqp/src/envelope.rs"]
mod envelope;

use std::{str::FromStr, sync::LazyLock};

use dialects::{
    agent::AgentAnswer,
    all,
    canonical::Progress,
    mapped::Mapping,
    native::{self, Asked},
};
use domain::{
    BrokenRule, CommandId, ConfigurationId, DialectName, ExecutionId, Fidelity, HostName,
    ParticipantId, Selector, limits,
    selector::{ContentUrl, HostPath, HostRegex, Tag},
};

use inputs::Input;

/// A mapping with everything that there is.
static EXAMPLE: LazyLock<Mapping> = LazyLock::new(|| {
    Mapping::read(include_str!("../../../dialects/src/mapped/example.yaml"))
        .expect("the example is good")
});

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 7] = [
    ("native", native),
    ("mapped", mapped),
    ("mapping", mapping),
    ("answers", answers),
    ("selectors", selectors),
    ("messages", messages),
    ("translate", translate),
];

/// A request in the format of any dialect.
pub fn native(data: &[u8]) {
    let mut input = Input::new(data);
    let dialect = input.dialect();
    let request = input.request();
    for hosts in [&inputs::hosts()[..], &[]] {
        if let Ok(asked) = native::read(dialect.name(), &request, hosts) {
            check(&asked);
        }
    }
}

/// A request that may be one of a mapping.
pub fn mapped(data: &[u8]) {
    let request = Input::new(data).request();
    for hosts in [&inputs::hosts()[..], &inputs::hosts()[..1]] {
        if let Ok(asked) = EXAMPLE.ask(&request, hosts) {
            check(&asked);
        }
    }
}

/// A document that may be a mapping.
pub fn mapping(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Mapping::read(&text) {
        Ok(mapping) => {
            let _ = mapping.unread();
            let _ = mapping.poll("7");
        }
        Err(mistakes) => assert!(!mistakes.is_empty(), "it is refused for a reason"),
    }
}

/// What a native system answers.
pub fn answers(data: &[u8]) {
    let mut input = Input::new(data);
    let dialect = input.dialect();
    let call = input.call(dialect);
    let answer = input.answer();
    let _ = dialect.judge(&call, &answer);
    let job = input.text();
    if dialect.poll(&job).is_some() {
        let _ = dialect.judge_poll(&job, &answer);
    }
    let _ = EXAMPLE.judge(&answer);
    let _ = EXAMPLE.judge_poll(&job, &answer);
    let _ = Progress::read(&answer.body).map(|progress| progress.results([]));
    let _ = serde_json::from_str::<AgentAnswer>(&answer.body);
}

/// Texts of selectors and ids: what is read once is read the same again.
pub fn selectors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    same_again::<ContentUrl>(&text);
    same_again::<HostPath>(&text);
    same_again::<Tag>(&text);
    same_again::<HostName>(&text);
    same_again::<ParticipantId>(&text);
    same_again::<ConfigurationId>(&text);
    same_again::<CommandId>(&text);
    same_again::<ExecutionId>(&text);
    same_again::<DialectName>(&text);
    let _ = HostRegex::new(inputs::hosts()[0].clone(), &text);
}

/// What travels through RabbitMQ.
pub fn messages(data: &[u8]) {
    if let Ok(dispatch) = serde_json::from_slice::<envelope::Dispatch<'_>>(data) {
        let _ = serde_json::to_vec(&dispatch).map(|again| again.len());
    }
    let _ = serde_json::from_slice::<envelope::Order>(data);
    if let Ok(report) = serde_json::from_slice::<envelope::Report>(data) {
        let again = serde_json::to_vec(&report).expect("what was read can be written");
        let _: envelope::Report = serde_json::from_slice(&again).expect("and read again");
    }
}

/// A command of any selectors, said by every dialect: and what is said exactly is read.
pub fn translate(data: &[u8]) {
    let mut input = Input::new(data);
    let command = input.command();
    for dialect in all() {
        let Ok(calls) = inputs::said(*dialect, &command) else {
            continue;
        };
        let exact =
            |selector: &Selector| dialect.fidelity(&command.operation, selector) == Fidelity::Exact;
        let all_exact = command.selectors.iter().all(exact);
        for call in calls {
            let call = inputs::filled_in(*dialect, call);
            let asked = native::read(dialect.name(), &call, &inputs::hosts());
            assert!(
                asked.is_ok() || !all_exact,
                "{}: {asked:?}: {call:?}",
                dialect.name()
            );
        }
    }
}

fn check(asked: &Asked) {
    assert!((1..=limits::SELECTORS_PER_COMMAND).contains(&asked.selectors.len()));
}

fn same_again<T: FromStr<Err = BrokenRule> + ToString + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse::<T>().as_ref(), Ok(&read));
    }
}
