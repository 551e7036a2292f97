//! What an order may not make of a request.

use std::{io, net::SocketAddr};

use axum::{Router, response::Redirect};
use futures::future::BoxFuture;
use tokio::net::TcpListener;

use super::*;
use crate::address::lookup::Lookup;

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

/// A name of the operator's own configuration, whose DNS somebody else controls by now.
#[derive(Debug)]
struct Rebound(SocketAddr);

impl Lookup for Rebound {
    fn addresses<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(Ok(vec![self.0])))
    }
}

fn limits() -> CallLimits {
    CallLimits {
        time: Duration::from_secs(10),
        read: 1024,
        kept: 1024,
        whole: false,
    }
}

async fn sent(base: &str, address: SocketAddr, private: &[&str]) -> Result<Answer, CallError> {
    let private: Vec<_> = private.iter().map(|net| net.parse().unwrap()).collect();
    let lookup = Arc::new(Rebound(address));
    let limit = Duration::from_secs(5);
    let lookup = GuardedLookup::with(lookup, &private, limit);
    let http = Http::new(limit, 1, lookup).unwrap();
    let to = Target {
        base,
        host: None,
        headers: &[],
    };
    http.send(&to, &call("/x"), limits()).await
}

/// The system's name is rebound to this machine: nothing is connected, and it is nobody's passing failure. Where the operator
/// lists the network, the same call goes through, and a redirect to a cloud's metadata is an answer, not a way.
#[tokio::test]
async fn a_rebound_name_is_not_connected_and_a_redirect_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let to_metadata = || async { Redirect::temporary("http://169.254.169.254/latest/meta-data") };
    let router = Router::new().fallback(to_metadata);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let base = format!("http://system.example:{}", address.port());

    let refused = sent(&base, address, &[]).await.unwrap_err();
    let fault = refused.fault();
    assert_eq!(
        (fault.code, fault.again),
        (FaultCode::AddressNotAllowed, Again::Never)
    );
    assert!(refused.is_unsent());
    assert!(
        fault.message.contains("private_networks"),
        "{}",
        fault.message
    );

    let answer = sent(&base, address, &["127.0.0.0/8"]).await.unwrap();
    assert_eq!(answer.status, 307);
    assert!(answer.headers.iter().any(|(name, _)| name == "location"));
}
