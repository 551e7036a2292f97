//! Alibaba's RPC signature, version 1.0 with HMAC-SHA1 ("Request syntax and signature method V2 for RPC APIs",
//! alibabacloud.com).

use domain::Fault;
use percent_encoding::utf8_percent_encode;
use ring::hmac;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use url::form_urlencoded;

use super::{Request, base64, format, mac};
use crate::api::{credential::Credential, fill::UNRESERVED};

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The call's path with the common parameters and the signature in its query.
pub(super) fn path(
    request: &Request<'_>,
    path: &str,
    credential: &Credential,
    at: OffsetDateTime,
    nonce: &str,
) -> Result<String, Fault> {
    let token = credential.optional("security_token");
    let mut added = vec![
        (
            "AccessKeyId",
            credential.value("access_key_id")?.expose().to_owned(),
        ),
        ("SignatureMethod", "HMAC-SHA1".to_owned()),
        ("SignatureNonce", nonce.to_owned()),
        ("SignatureVersion", "1.0".to_owned()),
        ("Timestamp", format(at, TIMESTAMP)?),
    ];
    added.extend(token.map(|token| ("SecurityToken", token.expose().to_owned())));

    let key = format!("{}&", credential.value("access_key_secret")?.expose());
    let text = text_to_sign(request, &added);
    let signature = mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes(), &text);
    added.push(("Signature", base64(signature)));
    let added = added
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    let separator = if path.contains('?') { '&' } else { '?' };
    Ok(format!(
        "{path}{separator}{}",
        added.collect::<Vec<_>>().join("&")
    ))
}

/// All parameters, of the query and of a form, sorted by their names.
fn text_to_sign(request: &Request<'_>, added: &[(&str, String)]) -> String {
    let form = form_urlencoded::parse(request.body.as_bytes());
    let own = request.url.query_pairs().chain(form);
    let own = own.map(|(name, value)| (name.into_owned(), value.into_owned()));
    let added = added
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut parameters: Vec<_> = own.chain(added).collect();
    parameters.sort_unstable();
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    let query = pairs.collect::<Vec<_>>().join("&");
    format!(
        "{}&%2F&{}",
        request.method.to_ascii_uppercase(),
        encode(&query)
    )
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}
