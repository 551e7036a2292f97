//! Amazon's signature version 4 ("Create a signed AWS API request", docs.aws.amazon.com).

use std::collections::BTreeMap;

use domain::Fault;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ring::{digest, hmac};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{Request, format, hex, mac, secret};
use crate::api::{credential::Credential, fill::UNRESERVED};

const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
const DATE_LENGTH: usize = 8;

const MOMENT_HEADER: &str = "x-amz-date";
const TOKEN_HEADER: &str = "x-amz-security-token";

/// The headers that prove it, for this service and region.
pub(super) fn headers(
    request: &Request<'_>,
    credential: &Credential,
    (service, region): (&str, &str),
    at: OffsetDateTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let moment = format(at, MOMENT)?;
    let date = &moment[..DATE_LENGTH];
    let token = credential.optional("aws_session_token");

    let host = request.host();
    let mut signed = BTreeMap::from([("host", host.as_str()), (MOMENT_HEADER, &moment)]);
    signed.extend(token.as_ref().map(|token| (TOKEN_HEADER, token.expose())));
    let kind = request
        .headers
        .iter()
        .find(|(name, _)| name == "content-type");
    signed.extend(kind.map(|(name, value)| (name.as_str(), value.as_str())));
    let names = signed.keys().copied().collect::<Vec<_>>().join(";");

    let scope = format!("{date}/{region}/{service}/aws4_request");
    let hash = hex(digest::digest(
        &digest::SHA256,
        canonical(request, &signed, &names).as_bytes(),
    ));
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hash}");
    let key = format!(
        "AWS4{}",
        credential.value("aws_secret_access_key")?.expose()
    );
    let steps = [date, region, service, "aws4_request"];
    let key = steps.into_iter().fold(key.into_bytes(), |key, step| {
        mac(hmac::HMAC_SHA256, &key, step).as_ref().to_vec()
    });
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credential.value("aws_access_key_id")?.expose(),
        hex(mac(hmac::HMAC_SHA256, &key, &text)),
    );
    let mut headers = vec![
        (AUTHORIZATION, secret(&authorization)?),
        (HeaderName::from_static(MOMENT_HEADER), secret(&moment)?),
    ];
    if let Some(token) = token {
        headers.push((
            HeaderName::from_static(TOKEN_HEADER),
            secret(token.expose())?,
        ));
    }
    Ok(headers)
}

fn canonical(request: &Request<'_>, signed: &BTreeMap<&str, &str>, names: &str) -> String {
    let segments = request.url.path().split('/');
    // What is encoded already is encoded once more; only S3 does not.
    let path: Vec<String> = segments.map(encode).collect();
    let pairs = request.url.query().unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        format!("{}={}", recode(name), recode(value))
    });
    let mut query: Vec<String> = pairs.collect();
    query.sort_unstable();
    let headers = signed
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()));
    let body = hex(digest::digest(&digest::SHA256, request.body.as_bytes()));
    format!(
        "{}\n{}\n{}\n{}\n{names}\n{body}",
        request.method.to_ascii_uppercase(),
        path.join("/"),
        query.join("&"),
        headers.collect::<String>(),
    )
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn recode(text: &str) -> String {
    encode(&percent_decode_str(text).decode_utf8_lossy())
}
