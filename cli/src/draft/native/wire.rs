//! Requests as text: one that goes over the wire, a header, a target.
//!
//! Not here: what a request means, and what of it is left out.

use domain::NativeCall;

/// A request as it goes over the wire: request line, headers, an empty line, body.
pub(crate) fn raw(text: &str) -> Result<NativeCall, String> {
    let (head, body) = ["\r\n\r\n", "\n\n"]
        .iter()
        .filter_map(|end| text.split_once(end))
        .min_by_key(|(head, _)| head.len())
        .unwrap_or((text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err("must begin with a request line, such as POST /path HTTP/1.1".to_owned());
    };
    let headers = lines.filter(|line| !line.trim().is_empty());
    let headers = headers.map(|line| header(line).map_err(|rule| format!("{line}: {rule}")));
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse::<usize>().ok());
    let body = match length {
        Some(length) => body.get(..length).ok_or_else(|| {
            format!(
                "has {} bytes of body, and its content-length is {length}",
                body.len()
            )
        })?,
        None => body,
    };
    Ok(NativeCall {
        headers,
        body: (!body.is_empty()).then(|| body.to_owned()),
        ..NativeCall::new(method, None, target, Vec::new())
    })
}

/// The authority and the path of a target.
pub(crate) fn split(target: &str) -> (Option<String>, String) {
    let below = target
        .strip_prefix("https://")
        .or_else(|| target.strip_prefix("http://"));
    let Some(below) = below else {
        return (None, target.to_owned());
    };
    let end = below.find(['/', '?']).unwrap_or(below.len());
    let (authority, path) = below.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    (Some(authority.to_owned()), format!("{slash}{path}"))
}

/// A header's name in lower case, and its value.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() && !name.contains(char::is_whitespace) => {
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err("must be NAME: VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request from a file is read as a server would.
    #[test]
    fn a_raw_request_is_read() {
        let text = "POST /a HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\n\r\n{}\r\n";
        let call = raw(text).expect("is a request");
        assert_eq!(
            (
                call.method.as_str(),
                call.path.as_str(),
                call.body.as_deref()
            ),
            ("POST", "/a", Some("{}"))
        );
        let call = raw("PURGE /a\nX-Purge-Tags: a\n\nb\n\nc").expect("is a request");
        assert_eq!(call.headers, [("x-purge-tags".to_owned(), "a".to_owned())]);
        assert_eq!(call.body.as_deref(), Some("b\n\nc"));
        for wrong in [
            "",
            "POST",
            "POST / HTTP/1.1\nnonsense\n\n",
            "POST /\nContent-Length: 9\n\nshort",
        ] {
            assert!(raw(wrong).is_err(), "{wrong}");
        }
    }
}
