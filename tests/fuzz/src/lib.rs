//! What each fuzz target does with bytes, whoever made them: the fuzzer, or a test that plays found inputs again.
//!
//! Invariant: whatever comes in ends as something that keeps its rules, or as a mistake; nothing panics.

mod adapter;
mod broker;
mod inputs;
mod signed;
mod typed;

#[allow(dead_code, reason = "only what is parsed matters here")]
#[path = "../../../amqp/src/envelope.rs"]
mod envelope;

use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use dialects::{
    Answer, Counterpart, Dialect,
    agent::AgentAnswer,
    all,
    canonical::Progress,
    mapped::Mapping,
    native::{self, Asked},
    probe::{self, Judgement, Told},
};
use domain::{
    BrokenRule, Command, CommandId, ConfigurationId, DialectName, ExecutionId, Fidelity, HostName,
    NativeCall, NativeLimits, Operation, ParticipantId, PurgeMode, Selector, Timestamp, limits,
    selector::{ContentUrl, HostPath, HostRegex, Tag},
    signing::{KeyId, PublicKey},
    verification::Expect,
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
pub const ALL: [Target; 15] = [
    ("native", native),
    ("mapped", mapped),
    ("mapping", mapping),
    ("answers", answers),
    ("selectors", selectors),
    ("messages", messages),
    ("translate", translate),
    ("cli", cli),
    ("dates", dates),
    ("pace", pace),
    ("credentials", credentials),
    ("places", places),
    ("probe", probe),
    ("signing", signing),
    ("certificate", certificate),
];

/// A request in the format of any dialect.
pub fn native(data: &[u8]) {
    let mut input = Input::new(data);
    let dialect = input.dialect();
    let request = input.request();
    for hosts in [inputs::hosts(), &[]] {
        if let Ok(asked) = native::read(dialect.name(), &request, hosts) {
            check(&asked);
        }
    }
}

/// A request that may be one of a mapping.
pub fn mapped(data: &[u8]) {
    let request = Input::new(data).request();
    for hosts in [inputs::hosts(), &inputs::hosts()[..1]] {
        if let Ok(asked) = EXAMPLE.ask(&request, hosts) {
            check(&asked);
        }
    }
}

/// A document that may be a mapping, and behind a zero byte an answer: what is read is spoken, read back, asked after and judged.
pub fn mapping(data: &[u8]) {
    let mut input = Input::new(data);
    let mapping = match Mapping::read(&input.text()) {
        Ok(mapping) => mapping,
        Err(mistakes) => return assert!(!mistakes.is_empty(), "it is refused for a reason"),
    };
    let _ = mapping.notes();
    let answer = input.answer();
    for answer in [&answer, &ANSWER] {
        let _ = mapping.judge(answer);
        if mapping.poll("7").is_some() {
            let _ = mapping.judge_poll("7", answer);
        }
    }
    for command in inputs::one_of_each() {
        let Ok(calls) = inputs::mapped(&mapping, &command) else {
            continue;
        };
        let told: BTreeSet<u32> = calls
            .iter()
            .flat_map(|call| call.selectors.clone())
            .collect();
        assert_eq!(
            told.len(),
            command.selectors.len(),
            "each is told: {calls:?}"
        );
        for call in calls {
            if let Ok(asked) = mapping.ask(&call, inputs::hosts()) {
                check(&asked);
            }
        }
    }
}

/// An answer as many APIs have it.
static ANSWER: LazyLock<Answer> = LazyLock::new(|| Answer {
    status: 200,
    headers: Vec::new(),
    body: r#"{"status":"done","id":"7","job":{"id":7,"state":"done"},"error":null}"#.to_owned(),
});

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

/// A command of any selectors, said by every dialect: what is said exactly is read, and said again it is the same.
pub fn translate(data: &[u8]) {
    let command = Input::new(data).command();
    for dialect in all() {
        let Ok(calls) = inputs::said(*dialect, &command) else {
            continue;
        };
        let exact =
            |selector: &Selector| dialect.fidelity(&command.operation, selector) == Fidelity::Exact;
        let all_exact = command.selectors.iter().all(exact);
        let read = |call: &NativeCall| {
            let call = inputs::filled_in(*dialect, call.clone());
            let asked = native::read(dialect.name(), &call, inputs::hosts());
            assert!(
                asked.is_ok() || !all_exact || is_too_long(&call),
                "{}: {asked:?}: {call:?}",
                dialect.name()
            );
            asked.ok()
        };
        let asked: Option<Vec<Asked>> = calls.iter().map(read).collect();
        if let (true, Some(asked)) = (all_exact, asked) {
            check_said_again(*dialect, &command, &calls, &asked);
        }
        check_said_narrowly(*dialect, &command, &calls);
    }
}

/// What people type for `fedctl`: a whole request, a moment, how much is meant.
pub fn cli(data: &[u8]) {
    let mut input = Input::new(data);
    typed::moment(&input.text());
    typed::breadth(&input.text(), &input.text());
    typed::request(input.dialect(), &input.text());
}

/// The dates of an answer: the answerer's own, and one to wait for.
pub fn dates(data: &[u8]) {
    let mut input = Input::new(data);
    let ours = input.number();
    adapter::dates(ours, &input.text(), &input.text());
}

/// What an answer says of its provider's limits, in headers of any names, and in what its dialect reads.
pub fn pace(data: &[u8]) {
    let mut input = Input::new(data);
    let now = UNIX_EPOCH + Duration::from_secs(input.number().into());
    let dialect = input.dialect();
    let call = input.call(dialect);
    let answer = input.paced();
    adapter::pace(now, &answer);
    for left in dialect.left(&call, &answer) {
        assert!(
            dialect
                .draws(&call)
                .iter()
                .any(|draw| draw.unit == left.unit)
        );
    }
    let _ = dialect.judge(&call, &answer);
}

/// A file of credentials, and the name of one of its values.
pub fn credentials(data: &[u8]) {
    let mut input = Input::new(data);
    let name = input.text();
    let file = input.text();
    for name in [&name, "client_secret", "aws_access_key_id"] {
        adapter::credentials(&file, name);
    }
}

/// A value of an account in any text, and in the calls of every provider.
pub fn places(data: &[u8]) {
    let mut input = Input::new(data);
    let value = input.text();
    adapter::places(&input.text(), &value);
    let command = input.command();
    for dialect in all() {
        if dialect.counterpart() == Counterpart::Api {
            for call in inputs::said(*dialect, &command).unwrap_or_default() {
                adapter::call(*dialect, &call, &value);
            }
        }
    }
}

/// What looking at a URL before and after a command shows, and what the headers of an answer say of how fresh it is.
pub fn probe(data: &[u8]) {
    let mut input = Input::new(data);
    let expect = [Expect::Gone, Expect::Refreshed, Expect::Held][usize::from(input.byte() % 3)];
    let began = Timestamp::from_millis(MOMENT);
    let ended = began.plus(Duration::from_millis(input.number().into()));
    let mut at = |from: Timestamp| from.plus(Duration::from_millis(u64::from(input.number()) / 2));
    let moments = [
        Timestamp::from_millis(MOMENT - 60_000),
        at(ended),
        at(ended),
    ];
    let answers = [input.seen(), input.seen(), input.seen()];
    let mut seen = moments.iter().zip(&answers).map(|(at, answer)| {
        let hash = answer.body.clone();
        let seen = probe::sighting(answer, *at, hash.clone());
        assert_eq!(seen, probe::sighting(answer, *at, hash));
        let kept = [&seen.etag, &seen.last_modified, &seen.vary];
        assert!(
            kept.into_iter()
                .flatten()
                .all(|kept| kept.chars().count() <= 100)
        );
        seen
    });
    let (Some(mut before), Some(first), Some(second)) = (seen.next(), seen.next(), seen.next())
    else {
        unreachable!("there are three")
    };
    before.before = true;
    let told = Told { began, ended };
    let judged = probe::judge(expect, told, &[before], [&first, &second]);
    let speaks = |status: u16| (200..300).contains(&status);
    if first.status >= 500 || second.status >= 500 {
        assert!(matches!(judged, Judgement::Unseen(_)), "{judged:?}");
    }
    if expect == Expect::Held && judged == Judgement::Proven {
        assert!(
            speaks(second.status) && second.hit != Some(false),
            "{second:?}"
        );
    }
    for dialect in all() {
        for call in inputs::said(*dialect, &inputs::load()).unwrap_or_default() {
            for answer in &answers {
                let _ = dialect.judge(&call, answer);
            }
        }
    }
}

/// A moment after 1970.
const MOMENT: u64 = 1_700_000_000_000;

/// Keys and what they signed: texts of keys, files of them, a bundle of anybody, and one that was good and is changed by a byte.
pub fn signing(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => {
            let text = input.text();
            same_again::<PublicKey>(&text);
            same_again::<KeyId>(&text);
            same_again::<domain::receipt::Digest>(&text);
        }
        1 => signed::keys(&input.text()),
        2 => signed::bundle(&input.text(), &input.text()),
        _ => {
            let numbers = [input.number(), input.number(), input.number()];
            signed::changed(numbers, &input.text());
        }
    }
}

/// A caller's certificate, behind its length in two bytes, and a deny list.
pub fn certificate(data: &[u8]) {
    let (length, rest) = data.split_at(data.len().min(2));
    let length = length
        .iter()
        .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    let (leaf, list) = rest.split_at(length.min(rest.len()));
    broker::certificate(leaf, list);
}

/// An expression, written out for Varnish, may be longer than those that a command takes.
fn is_too_long(call: &NativeCall) -> bool {
    call.headers
        .iter()
        .any(|(_, value)| value.len() > limits::REGEX_LENGTH)
}

/// What was read of a command's calls makes the same calls, whichever of several names for one thing was read.
fn check_said_again(
    dialect: &dyn Dialect,
    command: &Command,
    calls: &[NativeCall],
    asked: &[Asked],
) {
    let again = Command {
        selectors: asked
            .iter()
            .flat_map(|asked| asked.selectors.clone())
            .collect(),
        ..command.clone()
    };
    for (call, asked) in calls.iter().zip(asked) {
        // A ban deletes what nobody finds from then on: it reads as that, whichever of the two was meant.
        let is_ban = call.method == "BAN" && asked.operation == Operation::Purge(PurgeMode::Delete);
        let as_meant = asked.operation == command.operation;
        assert!(as_meant || is_ban, "{}: {asked:?}", dialect.name());
    }
    // The same command is said in the same way.
    if again == *command {
        return;
    }
    let said = inputs::said(dialect, &again);
    if said.as_ref().is_ok_and(|said| texts(said) == texts(calls)) {
        return;
    }
    let said = said.map(|calls| texts(&with_bans_as_purges(dialect, &again, &calls)));
    let before = texts(&with_bans_as_purges(dialect, &again, calls));
    assert_eq!(
        said,
        Ok(before),
        "{}: {:?}",
        dialect.name(),
        again.selectors
    );
}

/// A participant whose calls hold little is told the same, in calls that hold no more.
fn check_said_narrowly(dialect: &dyn Dialect, command: &Command, calls: &[NativeCall]) {
    let sizes = dialect.limits().sizes;
    let few = u32::try_from(command.selectors.len() % 3).unwrap_or_default();
    let limits: NativeLimits = sizes
        .iter()
        .map(|size| (size.unit.to_owned(), (size.least() + few).min(size.most)))
        .collect();
    let said = inputs::said_within(dialect, command, &limits);
    let said = said.expect("what is said at all is said in shorter calls");
    let selectors = |calls: &[NativeCall]| -> BTreeSet<u32> {
        let all = calls.iter().flat_map(|call| call.selectors.iter().copied());
        all.collect()
    };
    assert_eq!(selectors(&said), selectors(calls), "{}", dialect.name());
    for draw in said.iter().flat_map(|call| dialect.draws(call)) {
        let most = limits.get(draw.unit);
        let fits = most.is_none_or(|most| draw.amount <= most);
        assert!(fits, "{}: {draw:?}: {limits:?}", dialect.name());
    }
}

/// Calls without the numbers of their selectors, in any order; what one call says twice counts once.
fn texts(calls: &[NativeCall]) -> BTreeSet<String> {
    let text = |call: &NativeCall| {
        let selectors = Vec::new();
        let call = NativeCall {
            selectors,
            ..call.clone()
        };
        format!("{call:?}")
    };
    calls.iter().map(text).collect()
}

/// An expression for just one URL is read as that URL, so a ban for it is the same as its purge.
fn with_bans_as_purges(
    dialect: &dyn Dialect,
    command: &Command,
    calls: &[NativeCall],
) -> Vec<NativeCall> {
    let purge_of = |call: &NativeCall| {
        let asked = native::read(dialect.name(), call, inputs::hosts()).ok()?;
        let command = Command {
            operation: asked.operation,
            selectors: asked.selectors,
            ..command.clone()
        };
        let is_one_url = matches!(command.selectors[..], [Selector::Url(_)]);
        let said = || inputs::said(dialect, &command).ok();
        is_one_url.then(said).flatten()
    };
    let same = |call: &NativeCall| {
        let purge = (call.method == "BAN").then(|| purge_of(call)).flatten();
        purge.unwrap_or_else(|| vec![call.clone()])
    };
    calls.iter().flat_map(same).collect()
}

fn check(asked: &Asked) {
    assert!((1..=limits::SELECTORS_PER_COMMAND).contains(&asked.selectors.len()));
}

fn same_again<T: FromStr<Err = BrokenRule> + ToString + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse::<T>().as_ref(), Ok(&read));
    }
}
