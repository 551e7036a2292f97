//! What holds for every dialect, walked through operation by operation and selector by selector.

mod answers;
mod sizes;

use std::collections::BTreeSet;

use domain::{
    Ceiling, Command, Fidelity, NativeCall, NativeLimits, Operation, PurgeMode, Selector,
    operation::CustomOperation,
};
use proptest::prelude::*;

use super::fixture::{answer, prefix, tag, wildcard};
use crate::{
    Counterpart, Dialect, Verdict, all, fidelity_of,
    fixture::{self, command, limits, translate, translate_within, url},
    vendor::{budget::cost_of, sizes::BYTES},
};

const MODES: [PurgeMode; 3] = [
    PurgeMode::Delete,
    PurgeMode::Invalidate,
    PurgeMode::Deferred,
];

fn operations() -> Vec<Operation> {
    let custom = CustomOperation {
        name: "warm-up".parse().unwrap(),
        repeatable: true,
        parameters: [].into(),
    };
    let purges = MODES.map(Operation::Purge).into_iter();
    purges
        .chain([Operation::Load, Operation::Custom(custom)])
        .collect()
}

fn selectors() -> Vec<Selector> {
    let mut all = fixture::selectors();
    all.extend([
        prefix("img.example.com/i"),
        wildcard("www.example.com/img/*"),
        url("http://img.example.com/%c3%a9?x={account:zone}&y=*"),
        url("https://www.example.com/"),
    ]);
    all
}

fn providers() -> impl Iterator<Item = &'static dyn Dialect> {
    let all = all().iter().copied();
    all.filter(|dialect| dialect.counterpart() == Counterpart::Api)
}

fn covered(calls: &[NativeCall]) -> BTreeSet<u32> {
    let each = calls.iter().flat_map(|call| call.selectors.iter().copied());
    each.collect()
}

/// Every selector is carried out by some call, no call is for none, and none names a selector twice or one that is not there.
fn check_calls(dialect: &dyn Dialect, command: &Command, calls: &[NativeCall]) {
    let wanted: BTreeSet<u32> = (0..).take(command.selectors.len()).collect();
    assert_eq!(covered(calls), wanted, "{}", dialect.name());
    for call in calls {
        let mut named = call.selectors.clone();
        named.dedup();
        assert_eq!(named, call.selectors, "{} {}", dialect.name(), call.path);
        assert!(named.is_sorted() && !named.is_empty(), "{}", dialect.name());
        assert!(
            call.path.starts_with('/') && call.path.is_ascii(),
            "{}",
            call.path
        );
    }
}

/// The plan says how well a dialect can do something before anything is said; then it must be able to. What it cannot do
/// is refused with a reason, under any ceiling.
#[test]
fn what_a_dialect_can_say_it_says_and_all_else_it_refuses() {
    for dialect in all() {
        for operation in operations() {
            for selector in selectors() {
                let fidelity = dialect.fidelity(&operation, &selector);
                let mut command = command(operation.clone(), vec![selector]);
                let case = format!("{} {operation:?} {:?}", dialect.name(), command.selectors);
                let calls = translate(*dialect, &command);
                command.ceiling = Ceiling {
                    widest: None,
                    narrowed: false,
                };
                let exactly = translate(*dialect, &command);
                match fidelity {
                    Fidelity::Exact => {
                        check_calls(*dialect, &command, &calls.unwrap());
                        assert!(exactly.is_ok(), "{case}");
                    }
                    Fidelity::Widened { why, .. } => {
                        check_calls(*dialect, &command, &calls.unwrap());
                        assert!(!why.is_empty() && exactly.is_err(), "{case}");
                    }
                    Fidelity::Narrowed { why } | Fidelity::Impossible { why } => {
                        assert!(
                            !why.is_empty() && calls.is_err() && exactly.is_err(),
                            "{case}"
                        );
                    }
                }
            }
        }
    }
}

/// The same for a command of all selectors that a dialect can say at once.
#[test]
fn a_command_of_many_kinds_is_covered() {
    for dialect in all() {
        for operation in operations() {
            let can = |selector: &Selector| {
                let fidelity = dialect.fidelity(&operation, selector);
                !matches!(
                    fidelity,
                    Fidelity::Narrowed { .. } | Fidelity::Impossible { .. }
                )
            };
            let sayable: Vec<_> = selectors().into_iter().filter(can).collect();
            if sayable.is_empty() {
                continue;
            }
            let command = command(operation.clone(), sayable);
            check_calls(*dialect, &command, &translate(*dialect, &command).unwrap());
        }
    }
}

/// A host name of somebody else's is refused by each, though the broker has looked before.
#[test]
fn another_configurations_host_is_refused_by_all() {
    for dialect in all().iter().filter(|dialect| dialect.name() != "canonical") {
        let foreign = vec![url("https://www.other.com/a")];
        let purge = Operation::Purge(PurgeMode::Delete);
        assert!(
            translate(*dialect, &command(purge, foreign)).is_err(),
            "{}",
            dialect.name()
        );
    }
}

/// A call names the values of the account that the dialect declares and no other, and each that must be there is named.
#[test]
fn a_provider_names_the_values_that_it_declares() {
    for dialect in providers() {
        let can = |selector: &Selector| {
            let delete = Operation::Purge(PurgeMode::Delete);
            !matches!(
                dialect.fidelity(&delete, selector),
                Fidelity::Impossible { .. }
            )
        };
        let sayable = selectors().into_iter().filter(can).collect();
        let calls = translate(
            dialect,
            &command(Operation::Purge(PurgeMode::Delete), sayable),
        );
        let calls = calls.unwrap();
        let said: Vec<_> = calls
            .iter()
            .flat_map(|call| {
                let headers = call.headers.iter().map(|(_, value)| value.as_str());
                let body = call.body.as_deref().unwrap_or_default();
                headers.chain([call.path.as_str(), body])
            })
            .collect();
        let said = said.join("\n");
        let named: BTreeSet<_> = said
            .split("{account:")
            .skip(1)
            .map(|rest| rest.split_once('}').unwrap().0)
            .collect();
        // What an account keeps apart, or must be sure of, is read by `at_account`, and stands in no call of a command's.
        let read = ["variants", "tagheader", "client", "alone"];
        let declared = dialect.account().iter().map(|field| field.name);
        let declared: BTreeSet<_> = declared.filter(|name| !read.contains(name)).collect();
        assert_eq!(named, declared, "{}", dialect.name());
    }
}

/// A cache is not asked after, has no account, and is not called by a limit of ours.
#[test]
fn a_cache_needs_nothing_of_what_a_provider_needs() {
    for dialect in all()
        .iter()
        .filter(|dialect| dialect.counterpart() != Counterpart::Api)
    {
        let call = NativeCall::new("GET", None, "/", vec![0]);
        assert!(dialect.poll("1").is_none() && dialect.account().is_empty());
        assert_eq!(dialect.authentication(), crate::Authentication::None);
        assert_eq!(
            (dialect.limits(), dialect.second_call(&call)),
            (crate::Limits::NONE, None)
        );
        let verdict = dialect.judge_poll("1", &answer(200, &[], ""));
        assert!(matches!(verdict, Verdict::Failed { .. }));
    }
}

/// What a dialect counts is what it has limits of or names in its calls; a list said again with its own items takes the same.
fn check_cost(dialect: &dyn Dialect, limits: &NativeLimits, calls: &[NativeCall]) {
    for call in calls {
        let draws = dialect.draws(call);
        assert!(draws.iter().all(|draw| draw.amount > 0), "{call:?}");
        let Some(bulk) = dialect.bulk(call, limits) else {
            continue;
        };
        assert!(
            !bulk.items.is_empty() && bulk.items.len() <= bulk.most,
            "{call:?}"
        );
        let again = dialect.together(call, &bulk.items);
        assert_eq!(
            dialect.bulk(&again, limits).as_ref(),
            Some(&bulk),
            "{}",
            dialect.name()
        );
        assert_eq!(dialect.draws(&again), draws, "{call:?}");
    }
}

/// The longest id that an adapter fills in.
fn longest_execution() -> String {
    let (command, participant) = ("01890a5d-ac96-774b-bcce-b302099a8057", "b".repeat(63));
    let execution: domain::ExecutionId = format!("{command}_{participant}").parse().unwrap();
    format!("{execution}-{}", u32::MAX)
}

/// No call holds more than the limits allow: of each unit, and bytes, as it goes out.
fn check_sizes(dialect: &dyn Dialect, limits: &NativeLimits, calls: &[NativeCall]) {
    let (known, execution) = (dialect.limits(), longest_execution());
    for call in calls {
        let body = call.body.as_deref().unwrap_or_default();
        let bytes = body.replace("{execution}", &execution).len();
        assert!(bytes <= known.room(BYTES, limits).bytes, "{call:?}");
        for draw in dialect.draws(call) {
            let room = known.room(draw.unit, limits).items;
            let amount = usize::try_from(draw.amount).unwrap();
            assert!(amount <= room, "{} {draw:?}", dialect.name());
        }
    }
}

/// What a plan cannot know it says: what the account's own values, a second call, or questions after jobs may add.
#[test]
fn a_plan_says_what_may_come_on_top() {
    let more = |name: &str, selector: Selector| {
        let dialect = crate::by_name(&name.parse().unwrap()).unwrap();
        let purge = command(Operation::Purge(PurgeMode::Delete), vec![selector]);
        cost_of(dialect, &translate(dialect, &purge).unwrap())
            .more
            .join("; ")
    };
    let page = || url("https://www.example.com/a");
    for (name, selector, said) in [
        ("cloudflare", page(), "`variants`"),
        ("cloudflare-zone", page(), "`variants`"),
        ("fastly", tag("a"), "`api.second_calls`"),
        ("cloudfront", page(), "each question after a job"),
        ("edgecast", page(), "each question after a job"),
    ] {
        let more = more(name, selector);
        assert!(more.contains(said), "{name}: {more}");
    }
    for (name, selector) in [
        ("cloudflare", tag("a")),
        ("akamai", page()),
        ("bunny", page()),
        ("varnish", page()),
    ] {
        assert_eq!(more(name, selector), "", "{name}");
    }
}

/// Each is well formed, so none is thrown away.
fn some_selectors() -> impl Strategy<Value = Vec<Selector>> {
    let of_url = |text| url(&format!("https://www.example.com/{text}"));
    let of_prefix = |text| prefix(&format!("img.example.com/{text}"));
    let one = prop_oneof![
        4 => "[a-c{}&<'\"*%/?=]{0,12}".prop_map(of_url),
        4 => r"[!#-+\--~]{1,140}".prop_map(|text| tag(&text)),
        1 => "[a-c*/]{0,8}".prop_map(of_prefix),
        1 => Just(Selector::Everything),
    ];
    prop::collection::vec(one, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However many selectors a command has, of whatever text, the calls cover them, keep to the limits, the provider's own or
    /// those that a participant's record may say, and are what their headers say.
    #[test]
    fn calls_keep_to_the_limits(selectors in some_selectors()) {
        for dialect in providers() {
            let delete = Operation::Purge(PurgeMode::Delete);
            let can = |selector: &Selector| {
                !matches!(dialect.fidelity(&delete, selector), Fidelity::Impossible { .. })
            };
            let sayable: Vec<_> = selectors.iter().filter(|selector| can(selector)).cloned().collect();
            if sayable.is_empty() {
                continue;
            }
            let command = command(delete, sayable);
            let whole = fidelity_of(dialect, &command);
            prop_assert_ne!(whole.as_str(), "impossible");
            let sizes = dialect.limits().sizes.iter();
            let least: Vec<_> = sizes.clone().map(|size| (size.unit, size.least())).collect();
            let most: Vec<_> = sizes.map(|size| (size.unit, size.most)).collect();
            let of_each = [&[][..], &least, &most].map(limits).map(|limits| {
                let calls = translate_within(dialect, &command, &limits).unwrap();
                check_calls(dialect, &command, &calls);
                check_cost(dialect, &limits, &calls);
                check_sizes(dialect, &limits, &calls);
                calls
            });
            for body in of_each.iter().flatten().filter_map(|call| call.body.as_ref()) {
                if !body.starts_with('<') && !body.starts_with("ObjectPath=") {
                    let filled = body.replace("{account:platform}", "3").replace("{account:cpcode}", "1");
                    prop_assert!(!filled.contains("{account:"), "{}", filled);
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&filled).is_ok(), "{}", filled);
                }
            }
        }
    }
}
