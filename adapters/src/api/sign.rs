//! Proving who sends a call: a token in a header, or a signature in the provider's own scheme.
//!
//! Invariant: what is signed is what is sent: the same method, host, path, query and body. No header with a secret is ever
//! shown by Debug.
//!
//! The schemes are written here, on the primitives of the TLS provider that the tree has: the crate for Amazon's brings
//! twenty others, and for the others there is none that is kept. Each is held against what its provider published.

mod alibaba;
mod edgegrid;
mod sigv4;

use std::time::SystemTime;

use base64::{Engine, prelude::BASE64_STANDARD};
use dialects::Authentication;
use domain::{
    Fault, NativeCall,
    fault::{Again, FaultCode},
};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ring::hmac;
use time::{OffsetDateTime, format_description::BorrowedFormatItem};
use url::Url;

use super::{
    credential::{Credential, broken},
    speaker::Proof,
};
use crate::http;

/// What is added to a call.
#[derive(Debug)]
pub(super) struct Signed {
    /// In the place of the call's own.
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is signed.
struct Request<'a> {
    method: &'a str,
    url: &'a Url,
    headers: &'a [(String, String)],
    body: &'a str,
}

/// Signs a call to `base` for this moment.
pub(super) fn sign(
    how: &Proof,
    credential: Option<&Credential>,
    base: &str,
    call: &NativeCall,
    at: SystemTime,
) -> Result<Signed, Fault> {
    let required = || credential.ok_or_else(|| broken("`api.credentials` names none"));
    let url = http::url(base, &call.path).map_err(|error| error.fault())?;
    let request = Request {
        method: &call.method,
        url: &url,
        headers: &call.headers,
        body: call.body.as_deref().unwrap_or_default(),
    };
    let at = OffsetDateTime::from(at);
    let headers = match how {
        Proof::Known(Authentication::None) => Vec::new(),
        Proof::Known(Authentication::Header { name, prefix }) => {
            vec![token(name, prefix, required()?)?]
        }
        Proof::Header { name, prefix } => match credential {
            Some(credential) => vec![token(name, prefix, credential)?],
            None => Vec::new(),
        },
        Proof::Known(Authentication::EdgeGrid) => {
            let nonce = format!("{:032x}", rand::random::<u128>());
            let value = edgegrid::authorization(&request, required()?, at, &nonce)?;
            vec![(AUTHORIZATION, secret(&value)?)]
        }
        Proof::Known(Authentication::SigV4 { service, region }) => {
            sigv4::headers(&request, required()?, (service, region), at)?
        }
        Proof::Known(Authentication::AlibabaRpc) => {
            let nonce = format!("{:032x}", rand::random::<u128>());
            let path = alibaba::path(&request, &call.path, required()?, at, &nonce)?;
            return Ok(Signed {
                path,
                headers: Vec::new(),
            });
        }
    };
    Ok(Signed {
        path: call.path.clone(),
        headers,
    })
}

fn token(
    name: &str,
    prefix: &str,
    credential: &Credential,
) -> Result<(HeaderName, HeaderValue), Fault> {
    let name = HeaderName::try_from(name)
        .map_err(|_| broken("the header for the token has no name that HTTP knows"))?;
    let value = format!("{prefix}{}", credential.token()?.expose());
    Ok((name, secret(&value)?))
}

/// A header that Debug does not show.
fn secret(value: &str) -> Result<HeaderValue, Fault> {
    let mut value =
        HeaderValue::try_from(value).map_err(|_| broken("it holds what no header can hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Request<'_> {
    /// The `Host` header as it is sent: with the port where it is not the scheme's.
    fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes())
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    let bytes = bytes.as_ref().iter();
    bytes
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn format(at: OffsetDateTime, format: &[BorrowedFormatItem<'_>]) -> Result<String, Fault> {
    at.format(format).map_err(|error| {
        let message = format!("this machine's clock shows no time that can be signed: {error}");
        Fault::participant(FaultCode::ClockOff, Again::Never, &message)
    })
}

#[cfg(test)]
mod tests;
