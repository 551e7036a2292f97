//! A draft from a request that is sent to a native system today.
//!
//! Invariant: what it means is the broker's to say. No credential leaves with it: what proves to the native system who calls
//! is left out here.

mod wire;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use dialects::{Authentication, Counterpart, Dialect, native as formats};
use domain::{NativeCall, Selector};
use proto::v1::{CommandDraft, NativeCommand, NativeHeader};

use super::{Asked, Terms, Wide};
use crate::{failure::Failure, words::short};
use wire::{header, raw, split};

/// What a request may hold: the longest that any provider takes, and room.
const REQUEST_BYTES: u64 = 4 << 20;
const STDIN: &str = "-";
/// Stands for the one that only the broker knows.
const SOME_HOST: &str = "www.example.com";
const REQUEST: &str = "The request (as for curl, or with --raw as it goes over the wire)";
/// Parts of the names of headers that prove who calls.
const SECRET: [&str; 8] = [
    "auth",
    "token",
    "secret",
    "cookie",
    "credential",
    "password",
    "api-key",
    "apikey",
];

/// A request to a native system.
#[derive(Debug, Args)]
pub(crate) struct NativeRequest {
    /// Whose format it is: a dialect, such as akamai or varnish, or the mapping by which you are told
    #[arg(value_name = "DIALECT")]
    dialect: String,
    /// Where it goes: a path, or a URL
    #[arg(value_name = "PATH", required_unless_present = "raw")]
    target: Option<String>,
    /// Its method [default: POST with --data, otherwise GET]
    #[arg(short = 'X', long, value_name = "METHOD", help_heading = REQUEST)]
    method: Option<String>,
    /// A header; may be repeated. Those that prove who calls are left out
    #[arg(short = 'H', long, value_name = "NAME: VALUE", help_heading = REQUEST, value_parser = header)]
    header: Vec<(String, String)>,
    /// Its body; @FILE reads a file, @- reads stdin
    #[arg(short = 'd', long, value_name = "BODY", help_heading = REQUEST)]
    data: Option<String>,
    /// The whole request from a file: request line, headers, an empty line, body; `-` reads stdin
    #[arg(long, value_name = "FILE", help_heading = REQUEST, conflicts_with_all = ["target", "method", "header", "data"])]
    raw: Option<PathBuf>,
    /// The host name that its paths are of, where it does not say so itself
    #[arg(long, value_name = "HOST", help_heading = REQUEST)]
    host: Option<String>,
    /// The configuration that is meant, where no host name tells it
    #[arg(long, value_name = "ID")]
    configuration: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

impl Asked for NativeRequest {
    fn draft(&self) -> Result<CommandDraft, Failure> {
        let call = self.call()?;
        let headers = call.headers.into_iter();
        let headers = headers.map(|(name, value)| NativeHeader { name, value });
        Ok(CommandDraft {
            configuration_id: self.configuration.clone().unwrap_or_default(),
            native: Some(NativeCommand {
                dialect: self.dialect.clone(),
                method: call.method,
                host: call.host.unwrap_or_default(),
                path: call.path,
                headers: headers.collect(),
                body: call.body.unwrap_or_default(),
            }),
            ..self.terms.draft()?
        })
    }

    /// What cannot be understood here may be a mapping's, or a mistake: the broker knows.
    fn wide(&self, draft: &CommandDraft) -> Option<Wide> {
        let call = call_of(draft.native.as_ref()?);
        // Whose host name a path is of says nothing about how much is meant; a request that names its host names the configuration's.
        let host = [SOME_HOST.parse().ok()?];
        let read = formats::read(&self.dialect, &call, &[]);
        let Ok(asked) = read.or_else(|_| formats::read(&self.dialect, &call, &host)) else {
            return Some(Wide::Unread);
        };
        let is_wide = |selector: &Selector| match selector {
            Selector::Url(_) | Selector::Tag(_) => false,
            Selector::Prefix(part) => part.path() == "/",
            Selector::Wildcard(_)
            | Selector::Regex(_)
            | Selector::Host(_)
            | Selector::Everything => true,
        };
        let wide = asked.selectors.into_iter().find(is_wide)?;
        Some(Wide::Holds(short(&wide.to_string())))
    }
}

impl NativeRequest {
    fn call(&self) -> Result<NativeCall, Failure> {
        let mut call = match &self.raw {
            Some(file) => {
                raw(&text_of(file)?).map_err(|rule| Failure::Usage(format!("--raw: {rule}")))?
            }
            None => self.typed()?,
        };
        let of_host = self
            .dialect()
            .is_some_and(|dialect| dialect.counterpart() == Counterpart::Server);
        let (authority, path) = split(&call.path);
        let header = call.headers.iter().find(|(name, _)| name == "host");
        let header = header.map(|(_, value)| value.clone());
        // An API is called by its own name, and a cache by that of the content.
        let is_of_content = of_host || call.method == "PURGE";
        // Only a whole URL says its scheme. All that have one of content and know it by its method read it so.
        let is_url = matches!(call.method.as_str(), "PURGE" | "GET") && self.dialect().is_some();
        let stays_whole = is_url && is_of_content && authority.is_some() && self.host.is_none();
        let named = authority.or(header).filter(|_| is_of_content);
        call.host = self.host.clone().or(named);
        if !stays_whole {
            call.path = path;
        }
        call.headers
            .retain(|(name, _)| name != "host" && !self.is_secret(name));
        Ok(call)
    }

    fn typed(&self) -> Result<NativeCall, Failure> {
        let body = match self
            .data
            .as_deref()
            .map(|data| data.strip_prefix('@').ok_or(data))
        {
            None => None,
            Some(Err(data)) => Some(data.to_owned()),
            Some(Ok(file)) => Some(text_of(Path::new(file))?),
        };
        let usual = if body.is_some() { "POST" } else { "GET" };
        let method = self.method.as_deref().unwrap_or(usual);
        let call = NativeCall::new(
            method,
            None,
            self.target.as_deref().unwrap_or_default(),
            Vec::new(),
        );
        Ok(NativeCall {
            headers: self.header.clone(),
            body,
            ..call
        })
    }

    fn dialect(&self) -> Option<&'static dyn Dialect> {
        dialects::by_name(&self.dialect.parse().ok()?)
    }

    fn is_secret(&self, name: &str) -> bool {
        let own = match self.dialect().map(Dialect::authentication) {
            Some(Authentication::Header { name, .. }) => Some(name),
            _ => None,
        };
        own == Some(name) || SECRET.iter().any(|part| name.contains(part))
    }
}

/// The call as the dialects read it.
fn call_of(native: &NativeCommand) -> NativeCall {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let headers = native.headers.iter();
    NativeCall {
        method: native.method.clone(),
        host: some(&native.host),
        path: native.path.clone(),
        headers: headers
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
        body: some(&native.body),
        selectors: Vec::new(),
    }
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let name = file.display().to_string();
    let all = || -> io::Result<String> {
        let mut text = String::new();
        if file == Path::new(STDIN) {
            io::stdin()
                .lock()
                .take(REQUEST_BYTES)
                .read_to_string(&mut text)?;
        } else {
            File::open(file)?
                .take(REQUEST_BYTES)
                .read_to_string(&mut text)?;
        }
        Ok(text)
    };
    all().map_err(|source| Failure::Read { name, source })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        request: NativeRequest,
    }

    fn typed(words: &[&str]) -> (NativeCommand, Option<Wide>) {
        let words = ["fedctl"].into_iter().chain(words.iter().copied());
        let request = Typed::try_parse_from(words)
            .expect("is well formed")
            .request;
        let draft = request.draft().expect("can be read");
        let wide = request.wide(&draft);
        (draft.native.expect("it is native"), wide)
    }

    /// What curl was told goes out the same, but for what proves who calls.
    #[test]
    fn a_request_is_taken_as_curl_takes_it() {
        let (native, wide) = typed(&[
            "fastly",
            "https://api.fastly.com/service/S1/purge/red?x",
            "-X",
            "POST",
            "-H",
            "Fastly-Key: secret",
            "-H",
            "Fastly-Soft-Purge: 1",
            "-H",
            "Authorization: Basic x",
        ]);
        assert_eq!(
            (
                native.method.as_str(),
                native.path.as_str(),
                native.host.as_str()
            ),
            ("POST", "/service/S1/purge/red?x", "")
        );
        assert_eq!(native.headers.len(), 1);
        assert_eq!(
            (native.headers[0].name.as_str(), wide),
            ("fastly-soft-purge", None)
        );
        let (native, wide) = typed(&["varnish", "-X", "PURGE", "http://www.example.com:8080/a"]);
        assert_eq!(
            (native.host.as_str(), native.path.as_str(), wide),
            (
                "www.example.com:8080",
                "http://www.example.com:8080/a",
                None
            )
        );
    }

    /// What is read is shown as it was typed, with its scheme; who names a host name beside it means that.
    #[test]
    fn a_url_keeps_its_scheme() {
        let read = |words: &[&str]| {
            let (native, _) = typed(words);
            let asked = formats::read(&native.dialect, &call_of(&native), &[]);
            asked.expect("can be read").selectors[0].to_string()
        };
        for url in ["http://www.example.com/a?b", "https://www.example.com/a?b"] {
            for dialect in ["varnish", "nginx", "fastly", "varnish-broadcaster"] {
                assert_eq!(read(&[dialect, "-X", "PURGE", url]), url, "{dialect}");
            }
            assert_eq!(read(&["squid", url]), url);
            let host = read(&["varnish", "-X", "PURGE", url, "--host", "img.example.com"]);
            assert_eq!(host, "https://img.example.com/a?b");
        }
        let url = "http://www.example.com/a";
        assert_eq!(read(&["varnish", "-X", "BAN", url]), "host www.example.com");
    }

    /// One slip of the hand may empty a zone by its native format too.
    #[test]
    fn a_wide_request_is_known_as_such() {
        let zone = "/client/v4/zones/z/purge_cache";
        let wide = |body| typed(&["cloudflare", zone, "-d", body]).1;
        for (body, holds) in [
            (r#"{"purge_everything":true}"#, "everything"),
            (r#"{"hosts":["www.example.com"]}"#, "host www.example.com"),
        ] {
            assert_eq!(wide(body), Some(Wide::Holds(holds.to_owned())), "{body}");
        }
        assert_eq!(wide(r#"{"tags":["a"]}"#), None);
    }

    /// A mapping's may be anything, and so may what has a mistake in it; a path whose host name the broker knows is just a path.
    #[test]
    fn what_is_not_understood_is_not_called_wide() {
        for words in [
            ["acme", "/v2/tags/red", "-X", "DELETE"],
            ["akamai", "/ccu/v3/invalidate/tag", "-d", r#"{"objects":["#],
        ] {
            assert_eq!(typed(&words).1, Some(Wide::Unread), "{words:?}");
        }
        let paths = "<InvalidationBatch><CallerReference>1</CallerReference><Paths><Quantity>1</Quantity><Items><Path>/a</Path></Items></Paths></InvalidationBatch>";
        let path = "/2020-05-31/distribution/E1/invalidation";
        assert_eq!(typed(&["cloudfront", path, "-d", paths]).1, None);
        let url = "http://www.shop.example/";
        let tag = ["varnish", "-X", "PURGE", url, "-H", "x-purge-tags: news"];
        assert_eq!(typed(&tag).1, None);
    }
}
