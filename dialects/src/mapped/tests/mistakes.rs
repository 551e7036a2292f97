//! What is wrong with a document, and where.

use super::*;

/// The mistakes of a document, one per line.
fn mistakes(document: &str) -> String {
    let mistakes = Mapping::read(document).err().unwrap_or_default();
    let lines = mistakes.iter().map(ToString::to_string);
    lines.collect::<Vec<_>>().join("\n")
}

/// Whoever writes a mapping is told everything at once, and where.
#[test]
fn every_mistake_is_named_with_its_line() {
    let document = "mapping: 2
name: Acme
colour: red
calls:
  - operation: purge
    selectors: [url, urls]
    method: post
    path: v1/{{ itme.text }}
  - operation: load
    modes: [delete]
    selectors: [url]
    method: GET
    path: /warm/{{ item.text
  - operation: Prune
    selectors: []
    method: POST
    path: /x
    headers:
      host: elsewhere
      X-A: b
    body: '{}'
    items: 0
answers:
  - { status: 700, means: done }
  - { status: 2xx, means: running, job: job id, evidence: reported }
  - { status: 201, means: running, job: /id }
  - { status: 404, where: /x, means: nothing }
  - { status: 205, means: done, evidence: verified }
  - { status: 206, means: done, evidence: estimated }
  - { status: 207, means: done, evidence: reported, within: 5 }
  - { status: 208, means: done, evidence: estimated, within: 0 }
  - { status: 409, means: refused, estimate: /x }
";
    insta::assert_snapshot!(mistakes(document), @r##"
    line 1: must have `poll`, for an answer names a job
    line 1: mapping must be 1
    line 2: name must be 1 to 63 lower-case letters, digits or hyphens, and begin and end with a letter or digit
    line 3: colour is not known here; known are mapping, name, calls, answers, poll
    line 5: calls[0].modes must be given
    line 6: calls[0].selectors[1] must be one of url, prefix, wildcard, regex, tag, host, everything
    line 7: calls[0].method must be 1 to 20 upper-case letters
    line 8: calls[0].path speaks of `itme`, which is not known here; known are command, configuration, customer, execution, hosts, item, items, mode, operation, originator, parameters
    line 10: calls[1].modes are of a purge alone
    line 13: calls[1].path fails in line 1 of its template: unexpected end of input, expected end of variable block
    line 14: calls[2].operation must be 1 to 63 lower-case letters, digits or hyphens, and begin and end with a letter or digit
    line 15: calls[2].selectors must have 1 to 7 entries
    line 19: calls[2].headers.host is the adapter's to write
    line 20: calls[2].headers.X-A must be called in lower-case letters, digits and `-`
    line 21: calls[2].body needs a header `content-type`: application/json, application/x-www-form-urlencoded or text/plain
    line 22: calls[2].items must be a whole number from 1 to 1000
    line 24: answers[0].evidence must be given
    line 24: answers[0].status must be a status such as 202, or 2xx
    line 25: answers[1].evidence is of `done` alone
    line 25: answers[1].job must be a JSON pointer such as /job/id, or the name of a header
    line 27: answers[3].equals must be given
    line 27: answers[3].means must be one of done, nothing-held, running, later, failed, refused
    line 28: answers[4].evidence must be acknowledged, estimated or reported: verified is said only of what was looked at afterwards
    line 29: answers[5].evidence must say when, beside it: `estimate`, where the answer has the seconds, or `within`, a number of them
    line 30: answers[6].within is of the evidence `estimated` alone
    line 31: answers[7].within must be a whole number from 1 to 604800
    line 32: answers[8].estimate is of `done` alone
    "##);
}

/// A template that works for one selector and not for another, or makes something else than it should, is found before
/// any command is.
#[test]
fn templates_are_tried_out() {
    let with = |selectors: &str, rest: &str| {
        mistakes(&format!(
            "mapping: 1\nname: acme\nanswers: [{{ status: 200, means: done, evidence: reported }}]\ncalls:\n  - operation: purge\n    modes: [delete]\n    selectors: [{selectors}]\n    method: POST\n{rest}"
        ))
    };
    let json = "    path: /p\n    headers: { content-type: application/json }\n    body: ";
    for (selectors, rest) in [
        ("url, tag", "    path: '/p{{ item.path | safe }}'\n".to_owned()),
        ("url", "    path: '{{ item.text }}'\n".to_owned()),
        ("url", "    path: '/p/{{ item.text | safe }}/../..'\n".to_owned()),
        ("url", "    path: '/p{{ item.text }}'\n    items: 2\n".to_owned()),
        ("tag", format!("{json}'{{\"tag\": \"{{{{ item.text }}}}\"}}'\n")),
        ("regex", format!("{json}'[{{{{ item.text | safe }}}}]'\n")),
        ("url", "    path: /p\n    headers: { x-a: ' {{ item.text }}' }\n".to_owned()),
        ("url", "    path: '/p{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}'\n".to_owned()),
        ("url", "    path: '/p{% include \"x\" %}'\n".to_owned()),
    ] {
        let found = with(selectors, &rest);
        assert_eq!(found.lines().count(), 1, "{rest}: {found}");
    }
    let fine = format!("{json}'{{\"tags\": {{{{ items | map(attribute=\"text\") | list }}}}}}'\n");
    assert_eq!(with("tag, url", &fine), "");
}

/// What is no document at all is one mistake.
#[test]
fn what_is_no_yaml_is_refused() {
    for document in ["", "a: [", "- 1", "mapping: 1\nmapping: 1", "\u{0}"] {
        assert!(Mapping::read(document).is_err(), "{document}");
    }
    assert!(Mapping::read(&"x".repeat(DOCUMENT_BYTES + 1)).is_err());
}
