//! What of a configuration a command is about.
//!
//! Invariant: selectors keep a fixed order (URLs, the file's URLs, then by kind), so a field that the broker names by
//! number can be found again.

mod breadth;
mod file;

use std::path::PathBuf;

use clap::Args;
use domain::HostName;
use proto::v1::{Everything, HostRegex, Selector, selector::Kind};

use crate::{failure::Failure, words::short};
use breadth::{is_unbound, is_whole_host, without_scheme};
use file::urls_of;

/// The contract's limit on one command.
pub(crate) const SELECTORS_MAXIMUM: usize = 1_000;
const WHAT: &str = "What (at least one; any number of each)";

/// A configuration and URLs of it.
#[derive(Debug, Args)]
pub(crate) struct Urls {
    /// The configuration's id; may be left out when a host name is given, as in a URL
    #[arg(value_name = "CONFIGURATION")]
    configuration: Option<String>,
    /// URLs
    #[arg(value_name = "URL")]
    positional: Vec<String>,
    /// One URL, all its variants; the same as a URL without the flag
    #[arg(long, value_name = "URL", help_heading = WHAT)]
    url: Vec<String>,
    /// URLs from a file, one per line; `-` reads stdin; empty lines and lines with # are left out
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    file: Vec<PathBuf>,
}

/// A configuration and any selectors of it.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    #[command(flatten)]
    urls: Urls,
    /// Everything whose path begins so, such as www.example.com/images/
    #[arg(long, value_name = "HOST/PATH", help_heading = WHAT)]
    prefix: Vec<String>,
    /// Everything whose path matches; * is any run of characters, as in 'www.example.com/*.jpg'
    #[arg(long, value_name = "HOST/PATTERN", help_heading = WHAT)]
    wildcard: Vec<String>,
    /// Everything of one host whose path and query match a regular expression
    #[arg(long, value_names = ["HOST", "PATTERN"], num_args = 2, help_heading = WHAT)]
    regex: Vec<String>,
    /// Everything that the origin tagged so
    #[arg(long, value_name = "TAG", help_heading = WHAT)]
    tag: Vec<String>,
    /// Everything of one host name
    #[arg(long, value_name = "HOST", help_heading = WHAT)]
    host: Vec<String>,
    /// Everything of the configuration
    #[arg(long, help_heading = WHAT)]
    everything: bool,
}

/// A configuration, empty when its host names tell it, and what of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Selected {
    /// The id or nothing.
    pub(crate) configuration_id: String,
    /// In the order in which they are sent.
    pub(crate) selectors: Vec<Selector>,
}

impl Urls {
    /// The configuration and its URLs, files read.
    pub(crate) fn selected(&self) -> Result<Selected, Failure> {
        let selected = self.read()?;
        selected.check()?;
        Ok(selected)
    }

    fn read(&self) -> Result<Selected, Failure> {
        let (configuration, first) = match &self.configuration {
            Some(text) if is_url(text) => (None, Some(text)),
            other => (other.clone(), None),
        };
        if let Some(stray) = self.positional.iter().find(|text| !is_url(text)) {
            return Err(Failure::Usage(format!(
                "`{}` is not a URL; only the first argument may be a configuration",
                short(stray)
            )));
        }
        let typed = first.into_iter().chain(&self.positional).chain(&self.url);
        let mut urls: Vec<String> = typed.cloned().collect();
        for file in &self.file {
            urls.extend(urls_of(file)?);
        }
        Ok(Selected {
            configuration_id: configuration.unwrap_or_default(),
            selectors: urls
                .into_iter()
                .map(|url| selector(Kind::Url(url)))
                .collect(),
        })
    }
}

impl Selection {
    /// The configuration and all selectors, files read.
    pub(crate) fn selected(&self) -> Result<Selected, Failure> {
        let mut selected = self.urls.read()?;
        self.check_regexes()?;
        let regexes = self.regex.chunks_exact(2).map(|pair| HostRegex {
            host: pair[0].clone(),
            pattern: pair[1].clone(),
        });
        let everything = self.everything.then_some(Kind::Everything(Everything {}));
        let kinds = (self
            .prefix
            .iter()
            .map(|text| Kind::Prefix(without_scheme(text))))
        .chain(
            self.wildcard
                .iter()
                .map(|text| Kind::Wildcard(without_scheme(text))),
        )
        .chain(regexes.map(Kind::Regex))
        .chain(self.tag.iter().cloned().map(Kind::Tag))
        .chain(self.host.iter().cloned().map(Kind::Host))
        .chain(everything);
        selected.selectors.extend(kinds.map(selector));
        selected.check()?;
        Ok(selected)
    }

    /// Before a person is asked whether they mean it: an expression that nobody can read is not meant.
    fn check_regexes(&self) -> Result<(), Failure> {
        for pair in self.regex.chunks_exact(2) {
            let host = pair[0].parse::<HostName>();
            let read = host.and_then(|host| domain::selector::HostRegex::new(host, &pair[1]));
            read.map_err(|rule| {
                let (host, pattern) = (short(&pair[0]), short(&pair[1]));
                Failure::Usage(format!("--regex {host} '{pattern}': {rule}"))
            })?;
        }
        Ok(())
    }

    /// The flag with which one slip of the hand would empty a cache: a person confirms these.
    pub(crate) fn wide(&self) -> Option<String> {
        let flag = |name: &str, value: &String| format!("--{name} {}", short(value));
        let regexes = self.regex.chunks_exact(2);
        let mut regexes = regexes.filter(|pair| is_unbound(&pair[1]));
        let everything = || self.everything.then(|| "--everything".to_owned());
        let host = || self.host.first().map(|host| flag("host", host));
        let wildcard = || self.wildcard.first().map(|text| flag("wildcard", text));
        let prefix = || self.prefix.iter().find(|prefix| is_whole_host(prefix));
        let prefix = || prefix().map(|text| flag("prefix", text));
        everything()
            .or_else(host)
            .or_else(wildcard)
            .or_else(prefix)
            .or_else(|| {
                let pair = regexes.next()?;
                Some(format!("{} '{}'", flag("regex", &pair[0]), short(&pair[1])))
            })
    }
}

impl Selected {
    fn check(&self) -> Result<(), Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        if self.selectors.is_empty() {
            let taken = match self.configuration_id.as_str() {
                "" => String::new(),
                id => format!("`{}` is taken as a configuration; ", short(id)),
            };
            return usage(format!(
                "{taken}nothing is selected; give a URL, or a flag such as --prefix"
            ));
        }
        if self.selectors.len() > SELECTORS_MAXIMUM {
            let count = self.selectors.len();
            return usage(format!(
                "{count} selectors are too many; one command takes {SELECTORS_MAXIMUM}"
            ));
        }
        let names_a_host = |selector: &Selector| {
            !matches!(selector.kind, Some(Kind::Tag(_) | Kind::Everything(_)))
        };
        if self.configuration_id.is_empty() && !self.selectors.iter().any(names_a_host) {
            return usage(
                "tags and --everything need the configuration, as the first argument".to_owned(),
            );
        }
        Ok(())
    }
}

fn selector(kind: Kind) -> Selector {
    Selector { kind: Some(kind) }
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        selection: Selection,
    }

    fn selected(typed: &str) -> Result<Selected, Failure> {
        let words = std::iter::once("fedctl").chain(typed.split(' '));
        let typed =
            Typed::try_parse_from(words).map_err(|error| Failure::Usage(error.to_string()))?;
        typed.selection.selected()
    }

    fn kinds(typed: &str) -> Vec<Kind> {
        let selected = selected(typed).expect("is well formed");
        selected
            .selectors
            .into_iter()
            .filter_map(|one| one.kind)
            .collect()
    }

    /// The first argument is a configuration unless it is plainly a URL.
    #[test]
    fn a_url_in_the_first_place_is_not_taken_for_a_configuration() {
        let without = selected("https://a.example/x https://a.example/y").expect("is well formed");
        assert_eq!(
            (without.configuration_id.as_str(), without.selectors.len()),
            ("", 2)
        );
        let with = selected("shop https://a.example/x").expect("is well formed");
        assert_eq!(
            (with.configuration_id.as_str(), with.selectors.len()),
            ("shop", 1)
        );
    }

    /// Every kind of selector reaches the broker as it was typed, in a fixed order.
    #[test]
    fn every_kind_of_selector_can_be_typed() {
        let typed = "shop --everything --host h --tag t --regex r ^/x --wildcard w/* --prefix p/ --url http://u/";
        assert_eq!(
            kinds(typed),
            [
                Kind::Url("http://u/".to_owned()),
                Kind::Prefix("p/".to_owned()),
                Kind::Wildcard("w/*".to_owned()),
                Kind::Regex(HostRegex {
                    host: "r".to_owned(),
                    pattern: "^/x".to_owned()
                }),
                Kind::Tag("t".to_owned()),
                Kind::Host("h".to_owned()),
                Kind::Everything(Everything {}),
            ]
        );
    }

    /// A regex takes a host and a pattern each time; a comma in the pattern is just a comma.
    #[test]
    fn regexes_come_in_pairs() {
        let found = kinds("--regex a ^/x{1,2}$ --regex b ^/y");
        assert_eq!(found.len(), 2);
        assert!(matches!(&found[0], Kind::Regex(regex) if regex.pattern == "^/x{1,2}$"));
        assert!(selected("--regex only-a-host").is_err());
    }

    /// People paste a prefix from the browser's address line.
    #[test]
    fn a_prefix_may_carry_a_scheme() {
        assert_eq!(
            kinds("--prefix https://www.example.com/images/"),
            [Kind::Prefix("www.example.com/images/".to_owned())]
        );
    }

    /// Nothing selected, a stray word, a tag of nobody: each is said at once, without asking the broker.
    #[test]
    fn what_cannot_be_meant_is_refused_here() {
        for wrong in [
            "shop",
            "shop www.example.com/a",
            "--tag red",
            "--everything",
        ] {
            assert!(matches!(selected(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    /// A prefix without a path is the whole host, so it is confirmed like one.
    #[test]
    fn a_prefix_without_a_path_is_as_wide_as_its_host() {
        let wide = |typed: &str| {
            let words = std::iter::once("fedctl").chain(typed.split(' '));
            Typed::try_parse_from(words)
                .expect("is well formed")
                .selection
                .wide()
        };
        let is_wide = |typed: &str| wide(typed).is_some();
        assert_eq!(
            wide("--host a.example").as_deref(),
            Some("--host a.example")
        );
        assert!(is_wide("--prefix https://a.example/"));
        assert!(is_wide("--prefix a.example"));
        assert!(!is_wide("--prefix a.example/images"));
        assert!(is_wide("--wildcard a.example/*"));
        assert!(!is_wide("https://a.example/ --tag red"));
    }

    /// A broken expression is told before anybody is asked, and a stray word says what it was taken for.
    #[test]
    fn slips_are_named_by_what_was_typed() {
        let said = |typed: &str| match selected(typed) {
            Err(failure) => failure.to_string(),
            Ok(selected) => panic!("{selected:?}"),
        };
        assert!(said("--regex a.example ^/(").starts_with("--regex a.example '^/(': "));
        assert!(
            said("not-a-url").starts_with("`not-a-url` is taken as a configuration; nothing is")
        );
        assert!(said("shop x").starts_with("`x` is not a URL"));
    }
}
