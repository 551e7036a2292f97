//! What `fedctl` reads by itself: the files of it that need nothing else of it.

#[path = "../../../cli/src/arguments/selection/breadth.rs"]
mod breadth;
#[allow(dead_code, reason = "which moment it is does not matter here")]
#[path = "../../../cli/src/arguments/when/moment.rs"]
mod moments;
#[path = "../../../cli/src/draft/native/wire.rs"]
mod wire;

use dialects::{Dialect, native};
use domain::{NativeCall, selector::HostRegex};
use time::OffsetDateTime;

/// A time or a duration is one, or is too long.
pub(crate) fn moment(text: &str) {
    if let Ok(moment) = moments::moment(text) {
        let _ = moment.from(OffsetDateTime::UNIX_EPOCH);
    }
}

/// What is not asked about is bound to a path: it matches neither every path nor the shortest.
pub(crate) fn breadth(prefix: &str, pattern: &str) {
    if !breadth::is_whole_host(prefix) {
        assert!(breadth::without_scheme(prefix).contains('/'), "{prefix}");
    }
    let host = super::inputs::hosts()[0].clone();
    if let (false, Ok(regex)) = (breadth::is_unbound(pattern), HostRegex::new(host, pattern)) {
        // Whatever a path is bound to, not all of these begin with it.
        let matched = ["/!", "/~/a", "/0?b", "/a", "/é"].map(|path| regex.matches(path));
        assert!(
            !matched.iter().all(|is| *is) && !regex.matches("/"),
            "{pattern}"
        );
    }
}

/// What was read of a request is read again of its text, and no dialect breaks on it.
pub(crate) fn request(dialect: &dyn Dialect, text: &str) {
    let Ok(call) = wire::raw(text) else {
        return;
    };
    let (_, path) = wire::split(&call.path);
    assert!(path.starts_with('/') || path == call.path, "{path}");
    assert_eq!(wire::raw(&written(&call)).as_ref(), Ok(&call));
    let _ = native::read(dialect.name(), &call, &[]);
}

fn written(call: &NativeCall) -> String {
    let headers = call.headers.iter();
    let lines = headers.map(|(name, value)| format!("{name}: {value}\n"));
    let (lines, body) = (lines.collect::<String>(), call.body.as_deref());
    let body = body.unwrap_or_default();
    format!("{} {}\n{lines}\n{body}", call.method, call.path)
}
