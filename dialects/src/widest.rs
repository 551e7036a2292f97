//! Over all dialects, whatever the command and its ceiling: nothing reaches past what the originator allows, and nothing ever
//! past the configuration.

use domain::{
    Ceiling, Command, Fidelity, NativeCall, Operation, PurgeMode, Selector,
    fidelity::Breadth,
    selector::{HostPath, HostRegex},
};
use proptest::prelude::*;

use crate::{
    AccountField, Counterpart, Dialect, Presence, all, fidelity_of,
    fixture::{HOST, command, translate},
};

/// The host names of the fixture's configuration.
const HOSTS: [&str; 2] = [HOST, "img.example.com"];

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Purge(PurgeMode::Delete)),
        Just(Operation::Purge(PurgeMode::Invalidate)),
        Just(Operation::Purge(PurgeMode::Deferred)),
        Just(Operation::Load),
    ]
}

fn selector() -> impl Strategy<Value = Selector> {
    let host = || prop::sample::select(HOSTS.to_vec());
    let path = || "/[a-c/]{0,6}";
    let pattern = "/[a-c*/]{0,6}";
    let part = |(host, path): (&str, String)| format!("{host}{path}").parse::<HostPath>();
    let url = (host(), "/[a-c%?=&{}]{0,8}").prop_map(|(host, path)| {
        format!("https://{host}{path}")
            .parse()
            .map(Selector::Url)
            .ok()
    });
    let prefix = (host(), path()).prop_map(move |text| part(text).map(Selector::Prefix).ok());
    let wildcard = (host(), pattern).prop_map(move |text| part(text).map(Selector::Wildcard).ok());
    let regex = (host(), "\\^/[a-c]{1,3}\\$").prop_map(|(host, pattern)| {
        let host = host.parse().ok()?;
        HostRegex::new(host, &pattern).map(Selector::Regex).ok()
    });
    let tag = "[a-z]{1,8}".prop_map(|text| text.parse().map(Selector::Tag).ok());
    let whole = host().prop_map(|host| host.parse().map(Selector::Host).ok());
    let one = prop_oneof![
        3 => url, 2 => prefix, 2 => wildcard, 1 => regex, 2 => tag, 1 => whole,
        1 => Just(Some(Selector::Everything)),
    ];
    one.prop_filter_map("malformed", |selector| selector)
}

fn ceiling() -> impl Strategy<Value = Ceiling> {
    let widest = prop::sample::select(vec![
        None,
        Some(Breadth::Operation),
        Some(Breadth::Host),
        Some(Breadth::Configuration),
    ]);
    (widest, any::<bool>()).prop_map(|(widest, narrowed)| Ceiling { widest, narrowed })
}

/// What an account says whose values are all there; without those that make a call its own where they are `Optional`.
fn said(dialect: &dyn Dialect, own: bool) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let field = dialect.account().iter().find(|field| field.name == name)?;
        match (field.exclusive, field.presence) {
            (true, presence) => (own || presence == Presence::Required).then(|| "1".to_owned()),
            (false, Presence::Default(value)) => Some(value.to_owned()),
            (false, Presence::Required | Presence::Optional) => None,
        }
    }
}

/// Whether all that has the value is one configuration's. A zone of Cloudflare's is no other configuration's, and may hold what
/// is nobody's here.
fn is_the_configurations(dialect: &dyn Dialect, field: &AccountField) -> bool {
    field.exclusive && (dialect.name(), field.name) != ("cloudflare", "zone")
}

/// What holds a call inside of the configuration.
fn is_bound(dialect: &dyn Dialect, call: &NativeCall) -> bool {
    if let Some(host) = call.host.as_deref() {
        return HOSTS.contains(&host);
    }
    let body = call.body.as_deref().unwrap_or_default();
    let text = [call.path.as_str(), body].concat();
    let names_a_host = HOSTS.iter().any(|host| text.contains(host));
    let exclusive = dialect.account().iter();
    let exclusive = exclusive.filter(|field| is_the_configurations(dialect, field));
    let mut exclusive = exclusive.map(|field| format!("{{account:{}}}", field.name));
    // The configuration's own place at the provider, which the adapter lets no two configurations share.
    let is_its_own = exclusive.any(|name| text.contains(&name));
    // How far it reaches stands in no call: then it is made only where the account says that this is the configuration's.
    let is_made = |own| dialect.at_account(call, &said(dialect, own)).is_ok();
    match dialect.counterpart() {
        // In the federation's own formats the configuration stands in the body.
        Counterpart::InvocationSystem => names_a_host,
        Counterpart::Server => dialect.name() == "agent" && names_a_host,
        Counterpart::Api => names_a_host || is_its_own || (is_made(true) && !is_made(false)),
    }
}

/// The test of bounds finds what reaches through a zone, through other host names, or through all that credentials reach.
#[test]
fn what_reaches_further_is_found() {
    let zone = crate::cloudflare::PATH;
    let post = |path: &str, body: &str| NativeCall {
        body: Some(body.to_owned()),
        ..NativeCall::new("POST", None, path, vec![0])
    };
    let everything = post(zone, r#"{"purge_everything":true}"#);
    let elsewhere = post(zone, r#"{"files":["https://www.other.com/"]}"#);
    let ours = post(zone, r#"{"hosts":["img.example.com"]}"#);
    let by_tag = post(zone, r#"{"tags":["a"]}"#);
    for (dialect, call, is_within) in [
        ("cloudflare", &everything, false),
        ("cloudflare-zone", &everything, true),
        ("cloudflare", &elsewhere, false),
        ("cloudflare", &ours, true),
        ("cloudflare", &by_tag, true),
        (
            "akamai",
            &post("/ccu/v3/delete/tag/production", r#"{"objects":["a"]}"#),
            true,
        ),
        (
            "akamai",
            &post("/ccu/v3/delete/cpcode/production", r#"{"objects":[7]}"#),
            false,
        ),
    ] {
        let dialect = crate::by_name(&dialect.parse().unwrap()).unwrap();
        assert_eq!(
            is_bound(dialect, call),
            is_within,
            "{} {call:?}",
            dialect.name()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What the plan says is within the ceiling, or it is impossible and then nothing is said; and it is as wide as the
    /// widest of its selectors, never less.
    #[test]
    fn no_ceiling_is_passed(
        operation in operation(), selectors in prop::collection::vec(selector(), 1..6), ceiling in ceiling(),
    ) {
        for dialect in all() {
            let asked = Command { ceiling, ..command(operation.clone(), selectors.clone()) };
            let whole = fidelity_of(*dialect, &asked);
            let said = translate(*dialect, &asked);
            match &whole {
                Fidelity::Exact => prop_assert!(said.is_ok(), "{}", dialect.name()),
                Fidelity::Widened { to, why } => {
                    prop_assert!(ceiling.widest.is_some_and(|widest| *to <= widest));
                    prop_assert!(!why.is_empty() && said.is_ok(), "{} {why}", dialect.name());
                }
                Fidelity::Narrowed { why } => {
                    prop_assert!(ceiling.narrowed && !why.is_empty() && said.is_ok());
                }
                Fidelity::Impossible { why } => {
                    prop_assert!(!why.is_empty() && said.is_err(), "{} {why}", dialect.name());
                }
            }
            for selector in &selectors {
                let one = ceiling.judge(dialect.fidelity(&operation, selector));
                prop_assert_eq!(whole.clone().and(one.clone()).as_str(), whole.as_str(), "{:?}", one);
            }
        }
    }

    /// Under the widest ceiling that there is, every call of every dialect is bound to a host name of the configuration, or to
    /// what the provider holds for this configuration alone.
    #[test]
    fn nothing_reaches_past_the_configuration(
        operation in operation(), selectors in prop::collection::vec(selector(), 1..6),
    ) {
        for dialect in all() {
            let can = |selector: &Selector| {
                !matches!(dialect.fidelity(&operation, selector), Fidelity::Impossible { .. })
            };
            let sayable: Vec<_> = selectors.iter().filter(|one| can(one)).cloned().collect();
            if sayable.is_empty() {
                continue;
            }
            let ceiling = Ceiling { widest: Some(Breadth::Configuration), narrowed: true };
            let asked = Command { ceiling, ..command(operation.clone(), sayable) };
            for call in translate(*dialect, &asked).unwrap() {
                prop_assert!(is_bound(*dialect, &call), "{} {call:?}", dialect.name());
            }
        }
    }
}
