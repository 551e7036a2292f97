//! What Fastly is told, letter by letter, and what its answers mean. Answers are those of its API reference.

use domain::{
    Evidence,
    fault::{Again, FaultCode},
};

use super::*;
use crate::{
    fixture::{reasons, url},
    vendor::fixture::{DELETE, INVALIDATE, answer, call, done, failed, host, spoken, tag},
};

/// A URL, one key, and a whole service have a path each; several keys have a list.
#[test]
fn it_purges_urls_keys_and_services() {
    let one = vec![
        url("https://www.example.com/path/to/object-to-purge?x=1"),
        tag("a/b"),
    ];
    insta::assert_snapshot!(spoken(&Fastly, DELETE, one), @r"
    POST /purge/www.example.com/path/to/object-to-purge?x=1 [0]

    POST /service/{account:service}/purge/a%2Fb [1]
    ");
    let several = vec![
        tag("key_1"),
        Selector::Everything,
        tag("key_2"),
        tag("key_1"),
    ];
    insta::assert_snapshot!(spoken(&Fastly, DELETE, several), @r#"
    POST /service/{account:service}/purge [0, 2, 3] content-type: application/json
    {"surrogate_keys":["key_1","key_2"]}
    POST /service/{account:service}/purge_all [1]
    "#);
}

/// Softly where Fastly can: not for a whole service, and then only where the ceiling lets it delete.
#[test]
fn it_invalidates_softly() {
    let some = vec![
        url("https://www.example.com/"),
        tag("news"),
        host("img.example.com"),
    ];
    insta::assert_snapshot!(spoken(&Fastly, INVALIDATE, some), @r"
    POST /purge/www.example.com/ [0] fastly-soft-purge: 1

    POST /service/{account:service}/purge/news [1] fastly-soft-purge: 1

    POST /service/{account:service}/purge_all [2]
    ");
}

/// Dots would lead out of the path that they stand in, so such a key goes into the body.
#[test]
fn a_key_of_dots_stays_a_key() {
    insta::assert_snapshot!(spoken(&Fastly, DELETE, vec![tag("..")]), @r#"
    POST /service/{account:service}/purge [0] content-type: application/json
    {"surrogate_keys":[".."]}
    "#);
}

/// 256 keys are one batch, and one more is another.
#[test]
fn keys_go_out_in_batches_of_256() {
    let keys = (0..257)
        .map(|number| tag(&format!("key-{number}")))
        .collect();
    let command = crate::fixture::command(DELETE, keys);
    let calls = crate::fixture::translate(&Fastly, &command).unwrap();
    let sizes: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(sizes, [256, 1]);
    assert_eq!(calls[1].path, "/service/{account:service}/purge/key-256");
}

/// What it cannot say is refused with a sentence for the originator.
#[test]
fn it_says_why_it_cannot() {
    insta::assert_snapshot!(reasons(&Fastly, &DELETE), @r"
    exact
    impossible: Fastly knows no prefixes
    impossible: Fastly knows no wildcards
    impossible: Fastly knows no regular expressions
    exact
    widened: Fastly knows no host names, only whole services
    exact
    ");
    let trap = url("https://www.example.com/?x={account:service}");
    assert_eq!(Fastly.fidelity(&DELETE, &trap).as_str(), "impossible");
    let deferred = Operation::Purge(PurgeMode::Deferred);
    assert_eq!(Fastly.fidelity(&deferred, &tag("a")).as_str(), "impossible");
}

/// A success says that it was taken, and no more.
#[test]
fn a_success_is_an_acknowledgement() {
    let one = call(&Fastly, DELETE, tag("a"));
    for body in [
        r#"{"status":"ok","id":"108-1391560174-974124"}"#,
        r#"{"key_1":"108-1391560174-974124","key_2":"108-1391560174-974125"}"#,
        r#"{"status":"ok"}"#,
    ] {
        assert_eq!(
            Fastly.judge(&one, &answer(200, &[], body)),
            done(Evidence::Acknowledged, Finding::Accepted)
        );
    }
    assert_eq!(
        failed(Fastly.judge(&one, &answer(200, &[], r#"{"status":"error","msg":"no"}"#))),
        (
            FaultCode::Refused,
            Again::Never,
            "Fastly did not do it: no".to_owned()
        )
    );
}

/// A batch is answered by its keys, whatever they are called.
#[test]
fn a_key_may_be_called_status() {
    let command = crate::fixture::command(DELETE, vec![tag("status"), tag("b")]);
    let batch = crate::fixture::translate(&Fastly, &command).unwrap();
    let body = r#"{"status":"108-1391560174-974124","b":"108-1391560174-974125"}"#;
    assert_eq!(
        Fastly.judge(&batch[0], &answer(200, &[], body)),
        done(Evidence::Acknowledged, Finding::Accepted)
    );
    let alone = call(&Fastly, DELETE, tag("status"));
    let wrong = Fastly.judge(&alone, &answer(200, &[], body));
    assert_eq!(failed(wrong).0, FaultCode::Refused);
}

/// Its own words are kept.
#[test]
fn a_refusal_keeps_the_words() {
    let one = call(&Fastly, DELETE, tag("a"));
    let body = r#"{"msg":"Provided credentials are missing or invalid"}"#;
    let words = "Fastly answered 401: Provided credentials are missing or invalid";
    assert_eq!(
        failed(Fastly.judge(&one, &answer(401, &[], body))),
        (FaultCode::Unauthorized, Again::Never, words.to_owned())
    );
}

/// A shield needs longer to forget a whole service than one object.
#[test]
fn a_second_purge_waits_for_the_shield() {
    let wait = |selector| Fastly.second_call(&call(&Fastly, DELETE, selector));
    assert_eq!(wait(tag("a")), Some(Duration::from_secs(2)));
    assert_eq!(wait(tag("all")), Some(Duration::from_secs(2)));
    assert_eq!(wait(Selector::Everything), Some(Duration::from_secs(30)));
}

/// A key or a URL that ends like the path of a whole service is a key or a URL: it waits, counts and is batched as such.
#[test]
fn a_key_may_be_called_purge_all() {
    for name in ["purge_all", "products_all", "_all"] {
        let key = call(&Fastly, DELETE, tag(name));
        assert_eq!(Fastly.second_call(&key), Some(Duration::from_secs(2)));
        assert_eq!(Fastly.draws(&key), [Draw::of("keys", 1)]);
        let bulk = Fastly.bulk(&key, &NativeLimits::NONE).unwrap();
        assert_eq!(bulk.items, [format!("\"{name}\"")]);
        let several = Fastly.together(&key, &[bulk.items[0].clone(), "\"b\"".to_owned()]);
        assert_eq!(several.path, "/service/{account:service}/purge");
        let again = Fastly.bulk(&several, &NativeLimits::NONE).unwrap();
        assert_eq!((again.kind, again.items.len()), (bulk.kind, 2));
    }
    let page = call(
        &Fastly,
        DELETE,
        url("https://www.example.com/service/1/purge_all"),
    );
    assert_eq!(Fastly.second_call(&page), Some(Duration::from_secs(2)));
    assert_eq!(Fastly.draws(&page), [Draw::of("urls", 1)]);
    let whole = call(&Fastly, DELETE, Selector::Everything);
    assert_eq!(Fastly.draws(&whole), [Draw::CALL]);
    assert_eq!(Fastly.bulk(&whole, &NativeLimits::NONE), None);
}
