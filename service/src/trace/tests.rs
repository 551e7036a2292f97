//! The examples of the standard, and properties.

use proptest::prelude::*;

use super::*;

/// The example of the standard's section 3.2.
const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Each field of the standard's own example.
#[test]
fn the_example_of_the_standard_is_read_and_written_back() {
    let context =
        TraceContext::parse(EXAMPLE, Some("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")).unwrap();
    assert_eq!(context.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(
        context.parent_id(),
        [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
    );
    assert_eq!(context.flags(), SAMPLED);
    assert_eq!(
        context.tracestate(),
        Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    );
    assert_eq!(context.to_string(), EXAMPLE);
}

/// One wrong header for each rule.
#[test]
fn a_traceparent_that_breaks_a_rule_is_refused() {
    let refused = [
        ("", TraceError::Length),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            TraceError::Length,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            TraceError::Length,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            TraceError::Dash,
        ),
        (
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            TraceError::Dash,
        ),
        (
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            TraceError::Hexadecimal,
        ),
        (
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            TraceError::Version,
        ),
        (
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            TraceError::Zero,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            TraceError::Zero,
        ),
    ];
    for (text, why) in refused {
        assert_eq!(TraceContext::parse(text, None), Err(why), "{text}");
    }
}

/// A later version may add fields at the end; what we know of it we use, and answer in our own.
#[test]
fn a_later_version_is_read_as_far_as_we_know_it() {
    for later in ["-what-comes-later", "-", ""] {
        let text = format!("cc{}{later}", &EXAMPLE[2..]);
        assert_eq!(
            TraceContext::parse(&text, None).unwrap().to_string(),
            EXAMPLE
        );
    }
}

/// A wrong tracestate is dropped alone; an empty entry is allowed.
#[test]
fn a_wrong_tracestate_does_not_spoil_the_ids() {
    let many = vec!["a=1"; 33].join(",");
    for wrong in [
        "",
        " , ",
        "novalue",
        "UPPER=1",
        "a=",
        "a=b=c",
        "a@b@c=1",
        "a=\u{e9}",
        "a=1\r\nx: y",
        many.as_str(),
    ] {
        assert_eq!(
            TraceContext::parse(EXAMPLE, Some(wrong))
                .unwrap()
                .tracestate(),
            None,
            "{wrong:?}"
        );
    }
    assert_eq!(
        TraceContext::parse(EXAMPLE, Some("a=1,,b@c=2 "))
            .unwrap()
            .tracestate(),
        Some("a=1,b@c=2")
    );
}

/// Who sends nothing, or nonsense, still gets a trace.
#[test]
fn a_trace_begins_where_none_can_be_continued() {
    assert_ne!(
        TraceContext::continued(None, None).trace_id(),
        TraceContext::continued(Some("x"), None).trace_id()
    );
    assert_eq!(
        TraceContext::continued(Some(EXAMPLE), None).to_string(),
        EXAMPLE
    );
}

proptest! {
    /// What one process writes the next one reads unchanged.
    #[test]
    fn what_is_written_is_read_back(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8) {
        prop_assume!(trace_id != [0; 16] && parent_id != [0; 8]);
        let context = TraceContext { trace_id, parent_id, flags, tracestate: None };
        prop_assert_eq!(TraceContext::parse(&context.to_string(), None), Ok(context));
    }

    /// Headers come from strangers: any text is read or refused, never a panic.
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}", state in ".{0,80}") {
        let _ = TraceContext::parse(&text, Some(&state));
    }

    /// What is accepted of an almost right header is written as version 00 and read as the same again.
    #[test]
    fn what_is_accepted_stays_acceptable(text in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,9})?", state in "[a-z0-9@=, ]{0,40}") {
        if let Ok(context) = TraceContext::parse(&text, Some(&state)) {
            let again = TraceContext::parse(&context.to_string(), context.tracestate());
            prop_assert_eq!(again, Ok(context));
        }
    }

    /// A child stays in its trace, is itself new, and passes on only the flags that are defined.
    #[test]
    fn a_child_stays_in_the_trace(flags: u8) {
        let parent = TraceContext { flags, tracestate: Some("a=1".to_owned()), ..TraceContext::new() };
        let child = parent.child();
        prop_assert_eq!(child.trace_id(), parent.trace_id());
        prop_assert_ne!(child.parent_id(), parent.parent_id());
        prop_assert_eq!(child.flags(), flags & 0b11);
        prop_assert_eq!(child.tracestate(), Some("a=1"));
    }
}
