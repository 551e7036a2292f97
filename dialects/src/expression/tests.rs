//! What the expressions look like, and that they mean what the selectors mean.

use proptest::prelude::*;

use super::*;

/// A path without the query, matched by its pattern in the plainest way.
fn glob(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, rest)) => path.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.is_char_boundary(at) && glob_after(rest, &tail[at..]))
        }),
    }
}

fn glob_after(rest: &str, path: &str) -> bool {
    glob(rest, path)
}

/// Whether an expression matches, by a library without atomic groups. They change nothing about what these match.
fn matches(expression: &str, target: &str) -> bool {
    let plain = expression.replace("(?>", "(?:");
    ::regex::Regex::new(&plain).unwrap().is_match(target)
}

/// What an operator reads in the list of bans.
#[test]
fn expressions_are_readable() {
    assert_eq!(prefix("/img/a.b-c").unwrap(), r"^/img/a\.b-c");
    assert_eq!(exactly("/a?x=1").unwrap(), r"^/a\x3fx=1$");
    assert_eq!(prefix("/%C3%a9").unwrap(), "^/%[Cc]3%[Aa]9");
    assert_eq!(prefix("/%cg%a").unwrap(), "^/%cg%a");
    assert_eq!(wildcard("/a*").unwrap(), "^/a");
    assert_eq!(wildcard("/a").unwrap(), r"^/a(?:\?|$)");
    assert_eq!(wildcard("/*.png").unwrap(), r"^/[^?]*\.png(?:\?|$)");
    assert_eq!(
        wildcard("/a*b**c*.png").unwrap(),
        r"^/a(?>[^?]*?b)(?>[^?]*?c)[^?]*\.png(?:\?|$)"
    );
    assert_eq!(
        regex(r"^/img/\d+\.(png|jpg)$").unwrap(),
        r"^/img/[0-9]++\.(?:png|jpg)$"
    );
    assert_eq!(
        regex(r"^/[^/]+/x").unwrap(),
        r"^/[\x00-\x2e0-\x7f\x80-\xff]++/x"
    );
}

/// A header line of Varnish takes so much and no more; octets that could mean something become four each.
#[test]
fn no_expression_is_longer_than_varnish_takes() {
    let long = format!("/{}", "(".repeat(2_000));
    for said in [exactly(&long), prefix(&long), wildcard(&long)] {
        assert_eq!(said, Err(CannotMatch::TooLong));
    }
    assert!(exactly(&format!("/{}", "a".repeat(4_000))).is_ok());
}

/// What people write every day is said; what could run away is not.
#[test]
fn the_steps_of_a_regex_are_bounded() {
    for fine in [
        r"\.png$",
        r"^/a/.*\.(?:png|jpe?g|gif)$",
        r"^/(?:[a-z]+/)*index\.html",
        r"^/[^/]+/[^/]+/[^/]+\.css(\?|$)",
        r"(?i)^/LOGO",
        r"/v\d{1,3}/",
        r".*",
        r"^/a(?:b|c)+d",
    ] {
        assert!(regex(fine).is_ok(), "{fine}");
    }
    for wild in [
        r"^/(a|aa)+[0-9]$",
        r"^/(a*)*b",
        r"^/.*a.*b",
        r"^/(?:a?){30}b",
        r"(?:.+x)+y",
    ] {
        assert_eq!(regex(wild), Err(CannotMatch::TooManySteps), "{wild}");
    }
    assert_eq!(regex("(?:ab){70000}"), Err(CannotMatch::TooLong));
    assert_eq!(regex("").unwrap(), "^");
    assert_eq!(regex("("), Err(CannotMatch::Unknown));
}

/// Rust's syntax and PCRE2's differ: what one reads as an intersection, a flag or a limit, the other reads as text.
#[test]
fn what_only_one_syntax_knows_is_said_in_words_of_both() {
    assert_eq!(regex("[a-c&&b-d]").unwrap(), "[b-c]");
    assert_eq!(regex("(?x) a b # no").unwrap(), "ab");
    assert_eq!(regex(r"\bstart\b{end}").unwrap(), r"\bstart\b(?!\w)");
    assert_eq!(regex(r"\p{Greek}").unwrap(), r"[^\x00-\xff]");
}

/// What groups are for is no matter, so an expression with them is written as the one without.
#[test]
fn groups_are_written_where_they_hold_something_together() {
    assert_eq!(regex("a(b)c").unwrap(), "abc");
    assert_eq!(regex("(a|b)").unwrap(), "[a-b]");
    assert_eq!(regex("(ab|c)+").unwrap(), "(?:ab|c)+");
    assert_eq!(regex("[aé]b|ac").unwrap(), "(?:ab|ac)");
}

/// What we write for PCRE2 alone is read as what it was written for.
#[test]
fn what_only_varnish_knows_is_read_as_it_was_meant() {
    for (pattern, expression) in [
        (r"^/img/[0-9]+\.png", r"^/img/[0-9]++\.png"),
        ("/é(?:€)+", r"/\xc3\xa9(?:\xe2\x82\xac)+"),
        (r"/é\x{80}", r"/\xc3\xa9\xc2\x80"),
        (r"[a]{2,}[b]*c", r"[a]{2,}+[b]*+c"),
        (
            r"\b{start}a\b{end}\b{start-half}b\b{end-half}",
            r"\b(?=\w)a\b(?!\w)(?<!\w)b(?!\w)",
        ),
    ] {
        assert_eq!(regex(pattern).unwrap(), expression);
        assert_eq!(read(expression).as_deref(), Some(pattern));
    }
    // Nothing of a URL, and so it stays.
    let nothing = regex(r"\p{Greek}").unwrap();
    assert_eq!(regex(&read(&nothing).unwrap()), Ok(nothing));
}

/// What PCRE2 reads in one way and we in another is refused: `a++a` finds nothing there, and would find `aa` here.
#[test]
fn what_only_looks_the_same_is_not_read() {
    for other in [
        "a++a",
        "a*+a",
        "a{2}+",
        "[a-c&&b]",
        "[a[b]]",
        "[a--b]",
        r"\<a",
        r"a\>",
        r"\b{start}a",
        "a{,3}",
        "(?x)a",
        "(?u:a)",
        "(?R)a",
        r"\xe9",
        "é",
        r"[a-\xff]",
        "(?>a)",
    ] {
        assert_eq!(read(other), None, "{other}");
    }
    for same in [
        r"^/img/\d+$",
        "[]a]",
        "[[:alpha:]-]",
        "(?i)a|(?-i:b)",
        r"a+?\+\*+",
        "(?:a+)+",
    ] {
        assert_eq!(read(same).as_deref(), Some(same));
    }
}

proptest! {
    /// A pattern of stars finds what a plain reading of it finds, and no query can end it early or pass for a path.
    #[test]
    fn a_wildcard_means_what_it_says(
        pattern in "/[ab*.]{0,8}",
        path in "/[ab.]{0,10}",
        query in prop_oneof![Just(String::new()), r"\?[ab.?]{0,5}".prop_map(String::from)],
    ) {
        let target = format!("{path}{query}");
        prop_assert_eq!(matches(&wildcard(&pattern).unwrap(), &target), glob(&pattern, &path), "{}", wildcard(&pattern).unwrap());
        let longer = pattern.replace('*', "");
        prop_assert_eq!(matches(&prefix(&longer).unwrap(), &target), path.starts_with(&longer) || target.starts_with(&longer));
        prop_assert_eq!(matches(&exactly(&longer).unwrap(), &target), target == longer);
    }

    /// Written anew, an expression means the same for every target that a URL can have.
    #[test]
    fn a_regex_keeps_its_meaning(
        pattern in r"(\^?)(/|a|b|\.|\\d|\[ab/\]|\[\^a\]|\(a\|b/\)|\(\?i:A\)|x\*|b\+|\[ab\]\*|(a|b|/)\?|\(ab\)\{1,2\}|\(a\[0-9\]\)\*|\\b){0,6}(\$?)",
        target in "/[abx0/.?]{0,10}",
    ) {
        let original = ::regex::Regex::new(&pattern);
        if let (Ok(original), Ok(written)) = (original, regex(&pattern)) {
            prop_assert_eq!(matches(&written, &target), original.is_match(&target), "{} as {}", pattern, written);
        }
    }

    /// Any expression at all comes out in letters that mean nothing to a header or to a ban.
    #[test]
    fn an_expression_holds_no_letter_that_ends_it(pattern in r"\PC{0,30}") {
        if let Ok(written) = regex(&pattern) {
            prop_assert!(written.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"'), "{written}");
            prop_assert!(written.len() <= MOST_OCTETS);
        }
    }
}
