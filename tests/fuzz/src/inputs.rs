//! Bytes as requests, answers and commands.
//!
//! Fields are ended by a zero byte, so that an input can be written by hand; what is missing is empty.

#[path = "../../../dialects/src/native/tests/filled.rs"]
mod filled;

use std::sync::LazyLock;

use dialects::{
    Answer, CannotSay, Dialect, Presence, Site, all,
    mapped::{CannotMap, Mapping},
};
use domain::{
    Ceiling, Command, Configuration, ExecutionId, HostName, NativeCall, NativeLimits, Operation,
    PurgeMode, Scope, Selector, Timestamp, command::WhenImpossible, selector::HostRegex,
};

pub(crate) use filled::filled_in;

const METHODS: [&str; 6] = ["POST", "PURGE", "PUT", "GET", "DELETE", "BAN"];
/// Headers that any dialect reads.
const HEADERS: [&str; 6] = [
    "content-type",
    "surrogate-key",
    "fastly-soft-purge",
    "x-purge-tags",
    "x-purge-mode",
    "x-ban-regex",
];
/// What needs escaping in one place or another.
const PAGES: [&str; 2] = [
    "https://www.example.com/a?x=%7B1%7D&y=\"",
    "http://img.example.com/b",
];
const HOSTS: [&str; 2] = ["www.example.com", "img.example.com"];

/// What is left of the bytes.
pub(crate) struct Input<'a>(&'a [u8]);

/// Whose content all commands are for.
static SHOP: LazyLock<Configuration> = LazyLock::new(|| Configuration {
    id: parsed("shop"),
    customer: parsed("acme"),
    owner: parsed("cdn-a"),
    hosts: HOSTS.map(parsed).into(),
    wide_purges_need_approval: None,
});

/// The host names of the configuration.
pub(crate) fn hosts() -> &'static [HostName] {
    &SHOP.hosts
}

impl<'a> Input<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The dialect of the first byte.
    pub(crate) fn dialect(&mut self) -> &'static dyn Dialect {
        let number = usize::from(self.byte());
        all()[number % all().len()]
    }

    /// The text up to the next zero byte.
    pub(crate) fn text(&mut self) -> String {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }

    /// Method, path, host name, one header, body.
    pub(crate) fn request(&mut self) -> NativeCall {
        let method = METHODS[usize::from(self.byte()) % METHODS.len()];
        let header = HEADERS[usize::from(self.byte()) % HEADERS.len()];
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let path = self.text();
        let host = some(self.text());
        let value = self.text();
        let body = some(self.text());
        let call = NativeCall::new(method, host.as_deref(), &path, Vec::new());
        let call = if value.is_empty() {
            call
        } else {
            call.header(header, &value)
        };
        NativeCall { body, ..call }
    }

    /// Status, one header, body.
    pub(crate) fn answer(&mut self) -> Answer {
        const NAMES: [&str; 6] = [
            "retry-after",
            "location",
            "age",
            "x-cache",
            "x-purged",
            "x-federation-purge",
        ];
        let status = 100 + u16::from_be_bytes([self.byte(), self.byte()]) % 500;
        let name = NAMES[usize::from(self.byte()) % NAMES.len()];
        let headers = vec![(name.to_owned(), self.text())];
        Answer {
            status,
            headers: headers.into_iter().collect(),
            body: self.text(),
        }
    }

    /// What a visitor gets: a status, up to twelve headers that say where it is from and how fresh it is, and a body.
    pub(crate) fn seen(&mut self) -> Answer {
        const NAMES: [&str; 16] = [
            "cache-control",
            "expires",
            "date",
            "age",
            "vary",
            "via",
            "x-varnish",
            "etag",
            "last-modified",
            "cache-status",
            "x-cache",
            "cf-cache-status",
            "x-cache-status",
            "cdn-cache",
            "x-proxy-cache",
            "set-cookie",
        ];
        const STATUSES: [u16; 8] = [200, 200, 200, 206, 301, 404, 403, 503];
        let status = STATUSES[usize::from(self.byte()) % STATUSES.len()];
        let count = self.byte() % 13;
        let mut header = || {
            let name = NAMES[usize::from(self.byte()) % NAMES.len()];
            (name.to_owned(), self.text())
        };
        let headers = (0..count).map(|_| header()).collect();
        Answer {
            status,
            headers,
            body: self.text(),
        }
    }

    /// A success or one call too many, with up to eight headers that speak of limits.
    pub(crate) fn paced(&mut self) -> Answer {
        const NAMES: [&str; 9] = [
            "retry-after",
            "ratelimit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "fastly-ratelimit-remaining",
            "fastly-ratelimit-reset",
            "x-ratelimit-remaining-objects",
        ];
        let status = [200, 429, 503][usize::from(self.byte()) % 3];
        let mut headers = Vec::new();
        while !self.0.is_empty() && headers.len() < 8 {
            let name = NAMES[usize::from(self.byte()) % NAMES.len()];
            headers.push((name.to_owned(), self.text()));
        }
        let body = "{}".to_owned();
        Answer {
            status,
            headers: headers.into_iter().collect(),
            body,
        }
    }

    /// Four bytes.
    pub(crate) fn number(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// A call that the dialect makes.
    pub(crate) fn call(&mut self, dialect: &dyn Dialect) -> NativeCall {
        let url = "https://www.example.com/a".parse().expect("it is a URL");
        let operations = [Operation::Purge(PurgeMode::Delete), Operation::Load];
        let selectors = [
            Selector::Url(url),
            Selector::Everything,
            Selector::Tag("red".parse().expect("it is a tag")),
        ];
        let operation = operations[usize::from(self.byte()) % 2].clone();
        let selector = selectors[usize::from(self.byte()) % 3].clone();
        let calls = said(dialect, &command(operation, vec![selector])).unwrap_or_default();
        let other = NativeCall::new("GET", None, "/", vec![0]);
        calls.into_iter().next().unwrap_or(other)
    }

    /// A command with up to eight selectors that are well formed.
    pub(crate) fn command(&mut self) -> Command {
        let operation = match self.byte() % 4 {
            0 => Operation::Load,
            1 => Operation::Purge(PurgeMode::Invalidate),
            2 => Operation::Purge(PurgeMode::Deferred),
            _ => Operation::Purge(PurgeMode::Delete),
        };
        let mut selectors = Vec::new();
        while !self.0.is_empty() && selectors.len() < 8 {
            selectors.extend(self.selector());
        }
        if selectors.is_empty() {
            selectors.push(Selector::Everything);
        }
        command(operation, selectors)
    }

    fn selector(&mut self) -> Option<Selector> {
        let kind = self.byte();
        let host = HOSTS[usize::from(kind / 7) % HOSTS.len()];
        let text = self.text();
        let on_host = format!("{host}/{text}");
        match kind % 7 {
            0 => {
                let scheme = ["https", "http"][usize::from(kind / 14) % 2];
                let port = ["", ":8080", ":443", ":80"][usize::from(kind / 28) % 4];
                let url = format!("{scheme}://{host}{port}/{text}");
                url.parse().ok().map(Selector::Url)
            }
            1 => on_host.parse().ok().map(Selector::Prefix),
            2 => on_host.parse().ok().map(Selector::Wildcard),
            3 => HostRegex::new(host.parse().ok()?, &text)
                .ok()
                .map(Selector::Regex),
            4 => text.parse().ok().map(Selector::Tag),
            5 => host.parse().ok().map(Selector::Host),
            _ => Some(Selector::Everything),
        }
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }
}

/// What the dialect says for the configuration.
pub(crate) fn said(dialect: &dyn Dialect, command: &Command) -> Result<Vec<NativeCall>, CannotSay> {
    said_within(dialect, command, &NativeLimits::NONE)
}

/// The same at a participant with limits of its own.
pub(crate) fn said_within(
    dialect: &dyn Dialect,
    command: &Command,
    limits: &NativeLimits,
) -> Result<Vec<NativeCall>, CannotSay> {
    dialect.translate(command, &site(limits))
}

/// The same of a document.
pub(crate) fn mapped(mapping: &Mapping, command: &Command) -> Result<Vec<NativeCall>, CannotMap> {
    mapping.translate(command, &site(&NativeLimits::NONE))
}

fn site(limits: &NativeLimits) -> Site<'_> {
    static EXECUTION: LazyLock<ExecutionId> =
        LazyLock::new(|| parsed("01890a5d-ac96-774b-bcce-b302099a8057_cdn-b"));
    Site {
        execution: &EXECUTION,
        configuration: &SHOP,
        servers: &[],
        limits,
    }
}

/// A load of one page.
pub(crate) fn load() -> Command {
    command(Operation::Load, vec![Selector::Url(parsed(PAGES[0]))])
}

/// Every operation with every kind of selector, each by itself, and one with two pages.
pub(crate) fn one_of_each() -> Vec<Command> {
    let operations = [
        Operation::Load,
        Operation::Purge(PurgeMode::Delete),
        Operation::Purge(PurgeMode::Invalidate),
        Operation::Purge(PurgeMode::Deferred),
    ];
    let pages = PAGES.map(|page| Selector::Url(parsed(page)));
    let regex = HostRegex::new(parsed(HOSTS[0]), "^/a.*").expect("it is an expression");
    let mut selectors = vec![
        vec![Selector::Prefix(parsed("www.example.com/a/"))],
        vec![Selector::Wildcard(parsed("www.example.com/a/*.png"))],
        vec![Selector::Regex(regex)],
        vec![Selector::Tag(parsed("red"))],
        vec![Selector::Host(parsed(HOSTS[1]))],
        vec![Selector::Everything],
    ];
    selectors.extend(pages.clone().map(|page| vec![page]));
    selectors.push(pages.into());
    let of = |operation: &Operation| {
        let selectors = selectors.iter().cloned();
        let all = selectors.map(|selectors| command(operation.clone(), selectors));
        all.collect::<Vec<_>>()
    };
    operations.iter().flat_map(of).collect()
}

fn command(operation: Operation, selectors: Vec<Selector>) -> Command {
    Command {
        id: parsed("01890a5d-ac96-774b-bcce-b302099a8057"),
        originator: parsed("cdn-a"),
        configuration: parsed("shop"),
        operation,
        selectors,
        scope: Scope::default(),
        ceiling: Ceiling::default(),
        when_impossible: WhenImpossible::default(),
        request_id: None,
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
        verification: None,
        not_before: None,
        expires_at: None,
        traceparent: None,
        tracestate: None,
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    let Ok(parsed) = text.parse() else {
        unreachable!("{text} keeps the rules of what it is")
    };
    parsed
}
