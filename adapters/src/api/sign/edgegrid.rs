//! Akamai's EdgeGrid, `EG1-HMAC-SHA256` ("Authenticate with EdgeGrid", techdocs.akamai.com).

use domain::Fault;
use ring::{digest, hmac};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{Request, base64, format, mac};
use crate::api::credential::Credential;

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour]:[minute]:[second]+0000");

/// Bytes of a body that are signed.
const BODY_BYTES: usize = 131_072;

/// The `Authorization` header.
pub(super) fn authorization(
    request: &Request<'_>,
    credential: &Credential,
    at: OffsetDateTime,
    nonce: &str,
) -> Result<String, Fault> {
    let timestamp = format(at, TIMESTAMP)?;
    let unsigned = format!(
        "EG1-HMAC-SHA256 client_token={};access_token={};timestamp={timestamp};nonce={nonce};",
        credential.value("client_token")?.expose(),
        credential.value("access_token")?.expose(),
    );
    let url = request.url;
    let query = url.query().map(|query| format!("?{query}"));
    let signed = [
        &request.method.to_ascii_uppercase(),
        url.scheme(),
        &request.host(),
        &format!("{}{}", url.path(), query.unwrap_or_default()),
        "", // No header is signed.
        &hash_of_body(request),
        &unsigned,
    ]
    .join("\t");
    let secret = credential.value("client_secret")?;
    let key = base64(mac(
        hmac::HMAC_SHA256,
        secret.expose().as_bytes(),
        &timestamp,
    ));
    let signature = base64(mac(hmac::HMAC_SHA256, key.as_bytes(), &signed));
    Ok(format!("{unsigned}signature={signature}"))
}

/// Only what is posted is hashed.
fn hash_of_body(request: &Request<'_>) -> String {
    let body = request.body.as_bytes();
    if body.is_empty() || !request.method.eq_ignore_ascii_case("POST") {
        return String::new();
    }
    let signed = &body[..body.len().min(BODY_BYTES)];
    base64(digest::digest(&digest::SHA256, signed))
}
