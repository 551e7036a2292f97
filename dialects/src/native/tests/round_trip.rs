//! Whatever is said exactly is read as it was meant, and whatever else comes in is read or refused.
//!
//! The same URL means the same content, whatever its scheme ([`Selector`]), so identity is what a system tells apart: who is told
//! a whole URL gives the scheme back; who is told host name and path gives one of the two; and a cache has keys without scheme
//! and port (`config/caches`), so it gives back neither.

#[path = "filled.rs"]
mod filled;

use std::sync::LazyLock;

use ::regex::Regex;

use super::*;
use filled::filled_in;

/// Percent-encoded octets.
static OCTET: LazyLock<Regex> = LazyLock::new(|| Regex::new("%[0-9a-fA-F]{2}").unwrap());

fn any_selector() -> impl Strategy<Value = Selector> {
    let name = || prop_oneof![Just(fixture::HOST), Just("img.example.com")];
    let path = "(/([a-z0-9._~!$&'()+,;=:@%{-]|%[0-9a-fA-F]{2}){0,8}){1,4}";
    let pattern = "(/([a-z0-9._~!$&'()+,;=:@{-]|%[0-9a-fA-F]{2}){0,6}){1,3}[*]?[a-z./-]{0,6}[*]?";
    let regex = prop_oneof![
        r"\^/[a-z]{1,5}(/|\\[.]|[0-9]|\[a-c\]|\(ab\|c\)){0,2}[$]?",
        r"(\^?)(/|a|b|\.|\\d|\\w\+|\[ab/\]|\[\^a\]|\(a\|b/\)|\(c\)|\(\?i:A\)|x\*|b\+|\[ab\]\*|(a|b|/)\?|\(ab\)\{1,2\}|\(a\[0-9\]\)\*|\\b|\\B|\\<|\\b\{(end|start-half|end-half)\}|\\p\{Greek\}|a\{2,\}|\.\*\?){0,6}(\$?)",
    ];
    let query = prop_oneof![
        Just(String::new()),
        r"\?([a-z0-9=&{}:+\-]|%[0-9a-fA-F]{2}){0,12}"
    ];
    let text = |(name, path): (&str, String)| format!("{name}{path}");
    let at = (
        prop::sample::select(vec!["http", "https"]),
        name(),
        prop::sample::select(vec!["", "", ":80", ":443", ":8080"]),
    );
    prop_oneof![
        (at, path, query).prop_filter_map("a URL", |((scheme, name, port), path, query)| {
            let url = format!("{scheme}://{name}{port}{path}{query}").parse();
            url.ok().map(Selector::Url)
        }),
        (name(), path).prop_filter_map("a prefix", move |named| {
            text(named).parse().ok().map(Selector::Prefix)
        }),
        (name(), pattern).prop_filter_map("a wildcard", move |named| {
            text(named).parse().ok().map(Selector::Wildcard)
        }),
        (name(), regex).prop_filter_map("an expression", |(name, regex)| {
            let name = name.parse().unwrap();
            HostRegex::new(name, &regex).ok().map(Selector::Regex)
        }),
        r"[!#-+\--~]{1,20}".prop_map(|text| tag(&text)),
        name().prop_map(host),
        Just(Selector::Everything),
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
        "\\PC{0,8}".prop_map(custom),
    ]
}

/// As both sides mean it: sorted, each once. All that begins with `/` is a host name, and a wildcard whose only `*` is its
/// end is a prefix. Where a system knows no more than the host names of a configuration, everything of it is those; and
/// where it knows expressions only, what it is told is what that is as an expression. A percent-encoded octet is the same in
/// upper and in lower case, and a cache is told of each.
fn meant(dialect: &str, selectors: &[Selector]) -> Vec<String> {
    let by_host = BY_HOST.contains(&dialect);
    let upper = |found: &::regex::Captures<'_>| found[0].to_ascii_uppercase();
    // Several `*` in a row are one.
    let is_run = |rest: &str| rest.bytes().all(|letter| letter == b'*');
    let each = |selector: &Selector| match selector {
        Selector::Everything if by_host => hosts().into_iter().map(Selector::Host).collect(),
        Selector::Prefix(part) if part.path() == "/" => vec![Selector::Host(part.host.clone())],
        Selector::Wildcard(part) => match part.path().split_once('*') {
            Some(("/", rest)) if is_run(rest) => vec![Selector::Host(part.host.clone())],
            Some((start, rest)) if is_run(rest) => {
                let prefix = format!("{}{start}", part.host).parse();
                vec![prefix.map_or_else(|_| selector.clone(), Selector::Prefix)]
            }
            _ => vec![selector.clone()],
        },
        other => vec![other.clone()],
    };
    let text = |selector: Selector| {
        let said = match &selector {
            Selector::Url(url) => expression::exactly(url.path_and_query()),
            Selector::Prefix(part) => expression::prefix(part.path()),
            Selector::Wildcard(part) => expression::wildcard(part.path()),
            Selector::Regex(regex) => expression::regex(regex.pattern()),
            Selector::Host(_) => expression::prefix("/"),
            Selector::Tag(_) | Selector::Everything => return format!("{selector:?}"),
        };
        match (dialect, said, selector.host()) {
            ("varnish" | "varnish-broadcaster", Ok(said), Some(host)) => format!("{host} {said}"),
            _ if matches!(selector, Selector::Regex(_)) => format!("{selector:?}"),
            _ => OCTET
                .replace_all(&told_apart(dialect, &selector), upper)
                .into_owned(),
        }
    };
    let texts: std::collections::BTreeSet<_> = selectors.iter().flat_map(each).map(text).collect();
    texts.into_iter().collect()
}

/// A URL by what its system tells apart; all else as it is.
fn told_apart(dialect: &str, selector: &Selector) -> String {
    match selector {
        Selector::Url(url) if BY_KEY.contains(&dialect) => {
            format!("{}{}", url.host(), url.path_and_query())
        }
        Selector::Url(url) if !WHOLE_URLS.contains(&dialect) => url.without_scheme().to_owned(),
        _ => format!("{selector:?}"),
    }
}

/// Those that are told a URL with its scheme.
const WHOLE_URLS: [&str; 5] = ["agent", "canonical", "akamai", "bunny", "edgecast"];

/// Those whose keys have neither scheme nor port.
const BY_KEY: [&str; 3] = ["nginx", "squid", "traffic-server"];

/// Those that say everything by naming each host name.
const BY_HOST: [&str; 7] = [
    "cloudflare",
    "varnish",
    "varnish-broadcaster",
    "google-cloud-cdn",
    "google-media-cdn",
    "edgecast",
    "alibaba-cloud-cdn",
];

proptest! {
    /// Whatever a dialect says exactly is read as what it was said for, by every dialect there is.
    #[test]
    fn what_is_said_exactly_is_read_as_it_was_meant(
        selectors in prop::collection::vec(any_selector(), 1..6),
        operation in any_operation(),
    ) {
        for dialect in all() {
            let name = dialect.name();
            let exact = |selector: &&Selector| dialect.fidelity(&operation, selector) == Fidelity::Exact;
            let said: Vec<_> = selectors.iter().filter(exact).cloned().collect();
            if said.is_empty() {
                continue;
            }
            let command = fixture::command(operation.clone(), said.clone());
            let mut read_back = Vec::new();
            for call in fixture::translate(*dialect, &command).unwrap() {
                let call = filled_in(*dialect, call);
                let asked = read(name, &call, &hosts());
                let asked = asked.map_err(|mistake| TestCaseError::fail(format!("{name}: {mistake}: {call:?}")))?;
                // A ban deletes what nobody finds from then on, whichever of the two was meant.
                let is_ban = call.method == "BAN" && operation == Operation::Purge(PurgeMode::Deferred);
                let meant = if is_ban { &DELETE } else { &operation };
                prop_assert_eq!(&asked.operation, meant, "{}", name);
                read_back.extend(asked.selectors);
            }
            prop_assert_eq!(meant(name, &read_back), meant(name, &said), "{}", name);
        }
    }

    /// Whatever comes in ends as a command or as a mistake.
    #[test]
    fn any_text_is_read_or_refused(body in r#"(\PC|[<>&;"{}]|<Path>|</Path>|<Quantity>1</Quantity>|<InvalidationBatch){0,40}"#, path in "\\PC{0,40}") {
        let paths = [
            path.as_str(),
            "/ccu/v3/delete/url",
            "/service/x/purge",
            "/client/v4/zones/x/purge_cache",
            "/2020-05-31/distribution/x/invalidation",
            "/2020-05-31/distribution-tenant/x/invalidation",
            "/compute/v1/projects/x/global/urlMaps/x/invalidateCache",
            "/v1/projects/x/locations/global/edgeCacheServices/x:invalidateCache",
            "/pullzone/x/purgeCache",
            "/v2/mcc/customers/x/edge/bulkpurge",
            "/?Action=RefreshObjectCaches&ObjectType=Directory",
            "/v1/executions/x",
        ];
        for name in all().iter().map(|dialect| dialect.name()) {
            for path in paths {
                for method in ["POST", "PUT", "PURGE", "BAN"] {
                    let call = NativeCall { host: Some(body.clone()), ..request(method, path, &body) };
                    let call = call.header("x-ban-regex", &body).header("x-purge-tags", path);
                    if let Ok(asked) = read(name, &call, &hosts()) {
                        prop_assert!(!asked.selectors.is_empty());
                    }
                }
            }
        }
    }
}
