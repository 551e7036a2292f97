//! What each dialect can say, as a page: operation × selector × dialect, and what a provider's API needs.
//!
//! Invariant: it is made from the code that plans commands, so it cannot say anything else.

use domain::{
    Fidelity, NativeLimits, Operation, PurgeMode, Selector, fidelity::Breadth, selector::HostRegex,
};

use crate::{
    Authentication, Budget, Counterpart, Dialect, Length, Presence, Size, all, mapped::sample,
};

/// The selectors that stand for all; their heads are the columns.
const COLUMNS: [(&str, &str); 9] = [
    ("url", "https://www.example.com/a?x=1"),
    ("prefix `/img/`", "www.example.com/img/"),
    ("prefix `/img`", "www.example.com/img"),
    ("wildcard `/img/*`", "www.example.com/img/*"),
    ("wildcard `/img/*.png`", "www.example.com/img/*.png"),
    ("regex", r"^/img/\d+\.png$"),
    ("tag", "news"),
    ("host", "www.example.com"),
    ("everything", ""),
];

/// The operations, with the title of each.
const OPERATIONS: [(&str, Operation); 4] = [
    ("Purge: delete", Operation::Purge(PurgeMode::Delete)),
    ("Purge: invalidate", Operation::Purge(PurgeMode::Invalidate)),
    ("Purge: deferred", Operation::Purge(PurgeMode::Deferred)),
    ("Load", Operation::Load),
];

const INTRODUCTION: &str = "\
# What each dialect can say

Made from the code by `dialects::matrix`; a test compares. Renew with `RENEW_DOCS=1 cargo test -p dialects --lib matrix`.

How well each native system can do an operation with each kind of selector, whatever the originator's ceiling:

- **exact**: just what was asked;
- **operation**: the same objects, but a stronger operation (deleted where invalidation was asked);
- **host**: more than was asked, up to everything of the host name;
- **configuration**: more than was asked, up to everything of the configuration, never beyond;
- –: impossible. The command is refused before anything is sent, or that participant's execution is `unsupported`.

The scheme of a URL never matters: `http://www.example.com/a` and `https://www.example.com/a` are one URL. Who keeps the two apart
is told both (Cloudflare), others are told a host name and a path (Fastly, Google, Alibaba Cloud, the caches) or purge both
whichever is named (Akamai, Edgecast). So a request that comes in in a native format may come back with the other scheme. A port
is part of a URL, but of none in a cache with the shipped configuration: its keys have none.

The ceiling of a command says how far it may be widened; by default up to the configuration. A participant that joins with
a mapping (`mapped`) can say what its document maps. `agent` and `canonical` are the federation's own formats.
";

/// The page.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, operation) in &OPERATIONS {
        page.push_str(&["\n## ", title, "\n\n"].concat());
        page.push_str(&table(operation));
        page.push_str(&reasons(operation));
    }
    page.push_str(&providers());
    page
}

fn table(operation: &Operation) -> String {
    let heads = COLUMNS.map(|(head, _)| head);
    let mut table = row("dialect", heads.map(str::to_owned));
    table.push_str(&row("---", heads.map(|_| "---".to_owned())));
    let selectors = selectors();
    for dialect in all() {
        let cells = selectors
            .iter()
            .map(|selector| cell(&dialect.fidelity(operation, selector)).to_owned());
        table.push_str(&row(dialect.name(), cells));
    }
    table
}

fn row(first: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<_> = cells.into_iter().collect();
    format!("| {first} | {} |\n", cells.join(" | "))
}

const fn cell(fidelity: &Fidelity) -> &'static str {
    match fidelity {
        Fidelity::Exact => "exact",
        Fidelity::Widened {
            to: Breadth::Operation,
            ..
        } => "operation",
        Fidelity::Widened {
            to: Breadth::Host, ..
        } => "host",
        Fidelity::Widened {
            to: Breadth::Configuration,
            ..
        } => "configuration",
        Fidelity::Narrowed { .. } => "narrowed",
        Fidelity::Impossible { .. } => "–",
    }
}

/// Why a cell is not `exact`, each reason of a dialect once; a fidelity joins several with `; `.
fn reasons(operation: &Operation) -> String {
    let mut text = "\n".to_owned();
    for dialect in all() {
        let mut said: Vec<String> = Vec::new();
        for selector in selectors() {
            let fidelity = dialect.fidelity(operation, &selector);
            for why in fidelity.why().into_iter().flat_map(|why| why.split("; ")) {
                if !said.iter().any(|said| said == why) {
                    said.push(why.to_owned());
                }
            }
        }
        if !said.is_empty() {
            let why = said.join("; ");
            text.push_str(&["- ", dialect.name(), ": ", &why, ".\n"].concat());
        }
    }
    text
}

/// What the adapter needs to speak to each provider.
fn providers() -> String {
    let mut text = "\n## What a provider's API needs\n\nValues of the account are in the adapter's configuration, by the \
                    federation's configuration. *Exclusive*: no two configurations may share the value, because some calls \
                    reach all that has it.\n\n"
        .to_owned();
    text.push_str("| dialect | authentication |\n| --- | --- |\n");
    let providers = || {
        all()
            .iter()
            .filter(|dialect| dialect.counterpart() == Counterpart::Api)
    };
    for dialect in providers() {
        let cell = authentication(dialect.authentication());
        text.push_str(&row(dialect.name(), [cell]));
    }
    text.push_str("\n| dialect | value | must be there | exclusive | what it is |\n| --- | --- | --- | --- | --- |\n");
    for dialect in providers() {
        text.push_str(&fields(*dialect));
    }
    text.push_str(SIZES);
    for dialect in providers() {
        let rows = dialect.limits().sizes.iter();
        text.extend(rows.map(|size| row(dialect.name(), size_of(size))));
    }
    text.push_str(TOGETHER);
    for dialect in providers() {
        text.push_str(&row(dialect.name(), together(*dialect)));
    }
    text.push_str(TOGETHER_MAPPED);
    text.push_str(LENGTHS);
    for dialect in providers() {
        let rows = dialect.lengths().iter();
        text.extend(rows.map(|length| row(dialect.name(), length_of(length))));
    }
    text.push_str(
        "\n## Budgets\n\nWhat each provider counts, for one account: a bucket holds so many at once and fills with so many in \
         a time. *Under way* is what may be in progress at the same time. These are the defaults; the adapter's configuration \
         may say other numbers (`api.budgets`, `api.outstanding`). A plan says what an order takes in the same units, each \
         call counted once, and what may come on top that only the adapter knows (`may_add`). Of a mapping `items` are counted, the selectors that its calls say.\n\n\
         | dialect | unit | budget | source |\n| --- | --- | --- | --- |\n",
    );
    for dialect in providers() {
        text.push_str(&budgets(*dialect));
    }
    text
}

const SIZES: &str = "
## What one call holds

So much of each unit, and so many `bytes` of a body. Where a participant's account has another number its record says so \
(`native_limits`; `fedctl participants update ID --native-limits tags=30`), at least 1, or 8192 bytes, and *at most* what stands here. Calls \
are planned by that, and the adapter puts no more together; an execution keeps what it was planned with. `–`: no number is known.

| dialect | unit | one call | at most | source |
| --- | --- | --- | --- | --- |
";

fn size_of(size: &Size) -> [String; 4] {
    let usual = size.usual.map(|usual| usual.to_string());
    [
        size.unit.to_owned(),
        usual.unwrap_or("–".to_owned()),
        size.most.to_string(),
        size.source.to_owned(),
    ]
}

const TOGETHER: &str = "
## What is said together

What one command says is put together when it is planned. What several commands say, and wait for the same account with, the adapter \
puts together when it calls, where the operation may be repeated. `–`: the dialect cannot say it.

| dialect | URLs of one command | URLs of several | tags of one command | tags of several |
| --- | --- | --- | --- | --- |
";

const TOGETHER_MAPPED: &str = "\
| a mapping | as its `items` and `bytes` say | apart | as its `items` and `bytes` say | apart |

- Apart although those of one command go together: a call that has a key of its own against repetitions (`cloudfront`, \
`cloudfront-tenant`, `google-cloud-cdn`) would have another one with other items; of a mapping nobody knows how two bodies become one.
- Equal calls of several commands with the same credentials are one, of every dialect and of each version of a mapping \
(`api.duplicate_window`): also those whose key alone differs, and those of a mapping that puts neither the command nor the execution into them.
";

/// URLs, and tags: of one command, and of several.
fn together(dialect: &dyn Dialect) -> impl Iterator<Item = String> {
    let urls = ["https://www.example.com/a", "https://www.example.com/b"];
    let urls = urls.map(|url| url.parse().ok().map(Selector::Url));
    let tags = ["a", "b"].map(|tag| tag.parse().ok().map(Selector::Tag));
    let said = |two: [Option<Selector>; 2]| said_together(dialect, two.into_iter().flatten());
    let cells = [said(urls), said(tags)].into_iter().flatten();
    cells.map(str::to_owned)
}

/// Whether a purge of these is one call, and whether that can be said with another one's.
fn said_together(
    dialect: &dyn Dialect,
    selectors: impl Iterator<Item = Selector>,
) -> [&'static str; 2] {
    let delete = Operation::Purge(PurgeMode::Delete);
    let command = sample::command(delete, selectors.collect());
    let Ok(calls) = sample::at_site(|site| dialect.translate(&command, site)) else {
        return ["–", "–"];
    };
    let word = |is_so: bool| if is_so { "together" } else { "apart" };
    let mut bulks = calls
        .iter()
        .map(|call| dialect.bulk(call, &NativeLimits::NONE));
    [
        word(calls.len() == 1),
        word(bulks.all(|bulk| bulk.is_some())),
    ]
}

const LENGTHS: &str = "
## How long one thing may be

What is longer is impossible, or said more widely.

| dialect | length | at most | source |
| --- | --- | --- | --- |
";

fn length_of(length: &Length) -> [String; 3] {
    [
        length.what.to_owned(),
        length.most.to_string(),
        length.source.to_owned(),
    ]
}

fn budgets(dialect: &dyn Dialect) -> String {
    let limits = dialect.limits();
    let budgets = limits.budgets.iter().map(|budget| {
        let cells = [budget.unit, &rate(budget), budget.source];
        row(dialect.name(), cells.map(str::to_owned))
    });
    let outstanding = limits.outstanding.iter().map(|limit| {
        let cells = [
            limit.unit,
            &format!("{} under way", limit.amount),
            limit.source,
        ];
        row(dialect.name(), cells.map(str::to_owned))
    });
    budgets.chain(outstanding).collect()
}

fn fields(dialect: &dyn Dialect) -> String {
    let row_of = |field: &crate::AccountField| {
        let presence = match field.presence {
            Presence::Required => "yes".to_owned(),
            Presence::Optional => "for some calls".to_owned(),
            Presence::Default(value) => format!("no: `{value}`"),
        };
        let exclusive = match (field.exclusive, field.own_credentials) {
            (true, true) => "yes, and so are its `credentials`",
            (true, false) => "yes",
            (false, _) => "no",
        };
        let name = format!("`{}`", field.name);
        row(
            dialect.name(),
            [name, presence, exclusive.to_owned(), field.about.to_owned()],
        )
    };
    dialect.account().iter().map(row_of).collect()
}

fn authentication(authentication: Authentication) -> String {
    match authentication {
        Authentication::None => "none".to_owned(),
        Authentication::Header { name, prefix } => format!("`{name}: {prefix}…`"),
        Authentication::EdgeGrid => "EdgeGrid".to_owned(),
        Authentication::SigV4 { service, region } => {
            format!("Signature Version 4 (`{service}`, `{region}`)")
        }
        Authentication::AlibabaRpc => "RPC signature 1.0".to_owned(),
    }
}

fn rate(budget: &Budget) -> String {
    let Budget {
        amount, per, burst, ..
    } = budget;
    format!("{amount} in {} s, {burst} at once", per.as_secs())
}

/// A selector for each column.
fn selectors() -> Vec<Selector> {
    let read = |(head, text): (&str, &str)| {
        let kind = head.split(' ').next().unwrap_or_default();
        match kind {
            "url" => text.parse().ok().map(Selector::Url),
            "prefix" => text.parse().ok().map(Selector::Prefix),
            "wildcard" => text.parse().ok().map(Selector::Wildcard),
            "regex" => HOST
                .parse()
                .ok()
                .and_then(|host| HostRegex::new(host, text).ok())
                .map(Selector::Regex),
            "tag" => text.parse().ok().map(Selector::Tag),
            "host" => text.parse().ok().map(Selector::Host),
            _ => Some(Selector::Everything),
        }
    };
    COLUMNS.into_iter().filter_map(read).collect()
}

/// The host name of the regular expression.
const HOST: &str = "www.example.com";

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// The page is what the code says. Where it is not, look at the difference and renew it:
    /// `RENEW_DOCS=1 cargo test -p dialects --lib matrix`.
    #[test]
    fn the_page_is_what_the_code_says() {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/dialects.md");
        if std::env::var_os("RENEW_DOCS").is_some() {
            fs::write(&file, page()).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap();
        assert_eq!(
            written,
            page(),
            "docs/dialects.md is not what the code says; renew it with RENEW_DOCS=1"
        );
    }

    /// No number stands there that nobody can look up: each size, length and budget says who says so, and no provider has none.
    #[test]
    fn every_number_has_its_source() {
        for dialect in all() {
            let (limits, name) = (dialect.limits(), dialect.name());
            let lengths = dialect.lengths().iter().map(|length| length.source);
            let sizes = limits.sizes.iter().map(|size| size.source);
            let budgets = limits.budgets.iter().map(|budget| budget.source);
            let outstanding = limits.outstanding.iter().map(|limit| limit.source);
            let mut all = lengths.chain(sizes).chain(budgets).chain(outstanding);
            assert!(all.all(|source| source.len() > 10), "{name}");
            let has_pace = !limits.budgets.is_empty() || !limits.outstanding.is_empty();
            let is_provider = dialect.counterpart() == Counterpart::Api;
            assert_eq!(
                has_pace,
                is_provider && name != "varnish-broadcaster",
                "{name}"
            );
        }
    }

    /// Every column has its selector, of the kind that its head names.
    #[test]
    fn every_column_has_its_selector() {
        let kinds: Vec<_> = selectors().iter().map(Selector::kind).collect();
        let heads = COLUMNS.map(|(head, _)| head.split(' ').next().unwrap());
        assert_eq!(kinds, heads);
    }
}
