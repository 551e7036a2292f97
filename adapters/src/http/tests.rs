//! What an order may not make of a request.

use super::*;

const CACHE: &str = "http://192.0.2.7:6081";
const SYSTEM: &str = "https://purge.example/base";

fn made(base: &str, call: &NativeCall) -> Result<Request, CallError> {
    let to = Target {
        base,
        host: None,
        headers: &[],
    };
    request(&to, call)
}

fn call(path: &str) -> NativeCall {
    NativeCall::new("PURGE", None, path, vec![0])
}

/// A path that continues the host name would take the call, and the bearer token with it, to somebody else.
#[test]
fn a_path_does_not_lead_away_from_the_address() {
    let away = [
        "",
        "x",
        "@169.254.169.254/x",
        ".evil.example/x",
        ":22/x",
        "0/x",
        "?x",
        "#x",
    ];
    for base in [CACHE, SYSTEM] {
        for path in away {
            let error = made(base, &call(path)).unwrap_err();
            let code = error.fault().code;
            assert_eq!(code, FaultCode::AddressNotAllowed, "{base}{path}");
            assert!(error.is_unsent());
        }
    }
    assert!(made(SYSTEM, &call("/../other")).is_err());
}

/// What looks like an address inside a path is a path.
#[test]
fn a_path_below_the_address_is_called() {
    for path in [
        "/",
        "/a?b=1",
        "/@evil.example/x",
        "/http://evil.example/",
        "//evil.example/x",
        "///",
    ] {
        for base in [CACHE, SYSTEM] {
            let request = made(base, &call(path)).unwrap();
            assert_eq!(request.url().as_str(), format!("{base}{path}"));
        }
    }
}

/// An order that sets the framing or the credentials could smuggle a second request in.
#[test]
fn headers_that_are_ours_are_refused() {
    for name in [
        "host",
        "Authorization",
        "content-length",
        "Transfer-Encoding",
        "connection",
    ] {
        let error = made(CACHE, &call("/").header(name, "1")).unwrap_err();
        assert_eq!(error.fault().code, FaultCode::UnreadableOrder, "{name}");
    }
    assert!(made(CACHE, &call("/").header("x-more", "1")).is_ok());
}
