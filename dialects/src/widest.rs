//! Over all dialects, whatever the command and its ceiling: nothing reaches past what the originator allows, and nothing ever
//! past the configuration.

use domain::{
    Ceiling, Command, Fidelity, NativeCall, Operation, PurgeMode, Selector,
    fidelity::Breadth,
    selector::{HostPath, HostRegex},
};
use proptest::prelude::*;

use crate::{
    AccountField, Counterpart, Dialect, all, fidelity_of,
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

/// What holds a call inside of the configuration.
fn is_bound(dialect: &dyn Dialect, call: &NativeCall) -> bool {
    if let Some(host) = call.host.as_deref() {
        return HOSTS.contains(&host);
    }
    let body = call.body.as_deref().unwrap_or_default();
    let text = [call.path.as_str(), body].concat();
    let names_a_host = HOSTS.iter().any(|host| text.contains(host));
    let exclusive = dialect.account().iter().filter(|field| field.exclusive);
    let mut exclusive = exclusive.map(|field| format!("{{account:{}}}", field.name));
    // The configuration's own place at the provider, which the adapter lets no two configurations share.
    let is_its_own = exclusive.any(|name| text.contains(&name));
    // What the credentials reach stands in no call: it is not made where the account says of no client that it is its own.
    let is_made_for_its_own = || {
        let other = |name: &str| {
            let is_exclusive = |field: &AccountField| field.exclusive && field.name == name;
            (!dialect.account().iter().any(is_exclusive)).then(|| "1".to_owned())
        };
        dialect.at_account(call, &other).is_err()
    };
    match dialect.counterpart() {
        // In the federation's own formats the configuration stands in the body.
        Counterpart::InvocationSystem => names_a_host,
        Counterpart::Server => dialect.name() == "agent" && names_a_host,
        Counterpart::Api => names_a_host || is_its_own || is_made_for_its_own(),
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
