//! What an answer says of where it came from: the words of caches and CDNs.
//!
//! Invariant: `hit` is only what was served without asking the origin; what was confirmed by the origin first is none. Of
//! several caches the one nearest to us counts.

use crate::Answer;

/// Headers with such words; RFC 9211 first.
const HEADERS: [&str; 6] = [
    "cache-status",
    "x-cache",
    "cf-cache-status",
    "x-cache-status",
    "cdn-cache",
    "x-proxy-cache",
];

/// Whether the answer came from the cache; `None` where nothing says so.
pub(super) fn said(answer: &Answer) -> Option<bool> {
    let words = HEADERS.iter().find_map(|name| word(answer, name));
    words
        .or_else(|| traffic_server(answer.header("via")?))
        .or_else(|| varnish(answer.header("x-varnish")?))
}

fn word(answer: &Answer, name: &str) -> Option<bool> {
    let value = answer.header(name)?;
    let nearest = value.rsplit(',').next()?.trim().to_ascii_lowercase();
    if name == "cache-status" {
        return cache_status(&nearest);
    }
    let first = nearest.split([' ', ';']).next()?;
    match first.trim_start_matches("tcp_") {
        "hit" | "stale" | "updating" | "mem_hit" | "ims_hit" | "negative_hit" | "offline_hit" => {
            Some(true)
        }
        "miss"
        | "pass"
        | "bypass"
        | "expired"
        | "revalidated"
        | "dynamic"
        | "refresh_hit"
        | "refresh_miss"
        | "refreshhit"
        | "refresh_modified"
        | "refresh_unmodified"
        | "client_refresh_miss" => Some(false),
        _ => None,
    }
}

/// `name; hit; ttl=30`, or `name; fwd=miss; stored` (RFC 9211, 2).
fn cache_status(member: &str) -> Option<bool> {
    let mut parameters = member.split(';').skip(1).map(str::trim);
    parameters.find_map(|parameter| match parameter {
        "hit" | "hit=?1" => Some(true),
        _ if parameter.starts_with("fwd=") => Some(false),
        _ => None,
    })
}

/// `… (ApacheTrafficServer/9.2 [uScHsSfWpSeN:…])`: the letter behind `c` is what the look-up found.
fn traffic_server(via: &str) -> Option<bool> {
    let (_, codes) = via.rsplit_once('[')?;
    let found = codes.split([']', ':']).next()?;
    let found = found.as_bytes().chunks(2).find(|pair| pair[0] == b'c')?;
    match found.get(1)? {
        b'H' | b'R' => Some(true),
        b'M' | b'S' => Some(false),
        _ => None,
    }
}

/// One number is the request's own; a second one is that of the request which brought the object in.
fn varnish(ids: &str) -> Option<bool> {
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let numbers = ids
        .iter()
        .all(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
    match (numbers, ids.len()) {
        (true, 1) => Some(false),
        (true, 2) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::answer;

    /// Words as the caches and CDNs write them.
    #[test]
    fn the_words_of_caches_are_understood() {
        for (header, value, hit) in [
            ("cache-status", "OriginCache; hit; ttl=1100", Some(true)),
            (
                "cache-status",
                "Origin; hit, Edge; fwd=uri-miss; stored",
                Some(false),
            ),
            ("cache-status", "Edge", None),
            ("x-cache", "HIT from squid.example:3128", Some(true)),
            ("x-cache", "MISS, HIT", Some(true)),
            ("x-cache", "HIT, MISS", Some(false)),
            ("x-cache", "Hit from cloudfront", Some(true)),
            ("x-cache", "RefreshHit from cloudfront", Some(false)),
            ("x-cache", "TCP_MEM_HIT from a23 (AkamaiGHost)", Some(true)),
            ("x-cache", "TCP_REFRESH_HIT from a23", Some(false)),
            ("x-cache", "REVALIDATED", Some(false)),
            ("x-cache", "Error from cloudfront", None),
            ("cf-cache-status", "DYNAMIC", Some(false)),
            ("cf-cache-status", "HIT", Some(true)),
            (
                "via",
                "http/1.1 ts (ApacheTrafficServer/9.2.5 [cHs f ])",
                Some(true),
            ),
            (
                "via",
                "http/1.1 ts (ApacheTrafficServer/9.2.5 [cMsSfW])",
                Some(false),
            ),
            (
                "via",
                "http/1.1 ts (ATS/9 [uScRs f p eN:t cCHi p s ])",
                Some(true),
            ),
            ("via", "1.1 varnish (Varnish/7.1)", None),
            ("x-varnish", "32770 3", Some(true)),
            ("x-varnish", "32770", Some(false)),
            ("server", "HIT", None),
        ] {
            assert_eq!(
                said(&answer(200, &[(header, value)])),
                hit,
                "{header}: {value}"
            );
        }
    }
}
