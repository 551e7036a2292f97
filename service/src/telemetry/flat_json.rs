//! A log line as one flat JSON object: the fields of the event and of the spans around it, side by side.
//!
//! Invariant: `time`, `level`, `target` and `message` come first; a field of an inner span stands for one of the
//! same name further out, and the event's for both.
//! Not here: which fields there are.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Where lines of the `log` crate say what they are; the bridge to `tracing` adds these fields.
const BRIDGE_TARGET: &str = "log.target";
/// What else it adds, which says nothing to operators.
const BRIDGE: [&str; 3] = ["log.module_path", "log.file", "log.line"];

/// Formats an event as one line of JSON.
pub(super) struct FlatJson;

impl<S> FormatEvent<S, JsonFields> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut own = Fields::default();
        event.record(&mut own);
        for (name, value) in fields_of_spans(context) {
            let is_own = match name.as_str() {
                "message" => own.message.is_some(),
                name => own.names.contains(&name),
            };
            if !is_own {
                own.append(&name, &value);
            }
        }
        writer.write_str(r#"{"time":""#)?;
        SystemTime.format_time(&mut writer)?;
        let (level, target) = (event.metadata().level(), event.metadata().target());
        write!(writer, r#"","level":"{level}","target":"#)?;
        writer.write_str(&own.target.unwrap_or_else(|| json(&target)))?;
        if let Some(message) = own.message {
            write!(writer, r#","message":{message}"#)?;
        }
        writer.write_str(str::from_utf8(&own.others).map_err(|_| fmt::Error)?)?;
        writer.write_str("}\n")
    }
}

fn fields_of_spans<S>(context: &FmtContext<'_, S, JsonFields>) -> Map<String, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let spans = context.event_scope().into_iter().flat_map(Scope::from_root);
    spans.fold(Map::new(), |mut all, span| {
        let extensions = span.extensions();
        let formatted = extensions.get::<FormattedFields<JsonFields>>();
        if let Some(Ok(Value::Object(fields))) =
            formatted.map(|formatted| serde_json::from_str(formatted))
        {
            all.extend(fields);
        }
        all
    })
}

/// Collects the fields of an event, as JSON.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    /// The true target of a line that came over the bridge.
    target: Option<String>,
    names: Vec<&'static str>,
    /// Each as `,"name":value`.
    others: Vec<u8>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &impl Serialize) {
        // `r#type` is how Rust writes a field that is named like a keyword.
        match field.name().trim_start_matches("r#") {
            "message" => self.message = Some(json(value)),
            BRIDGE_TARGET => self.target = Some(json(value)),
            name if BRIDGE.contains(&name) || self.names.contains(&name) => {}
            name => {
                self.names.push(name);
                self.append(name, value);
            }
        }
    }

    fn append(&mut self, name: &str, value: &impl Serialize) {
        // Nothing that is logged fails to be JSON, and a vector takes whatever is written to it.
        self.others.push(b',');
        let _ = serde_json::to_writer(&mut self.others, name);
        self.others.push(b':');
        let _ = serde_json::to_writer(&mut self.others, value);
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(FlatJson)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    /// One line tells the whole story to a search by field name: no nesting, no second line to join.
    #[test]
    fn a_line_carries_the_fields_of_its_spans_flat() {
        let line = logged(|| {
            let outer = tracing::info_span!("submit", command.id = "c1", participant = "outer");
            let _outer = outer.enter();
            let inner = tracing::info_span!("dispatch", participant = "paris");
            let _inner = inner.enter();
            tracing::warn!(batch.size = 3, error = %"it \"broke\"", "not confirmed");
        });
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "WARN");
        assert_eq!(object["message"], "not confirmed");
        assert_eq!(object["command.id"], "c1");
        assert_eq!(object["participant"], "paris");
        assert_eq!(object["batch.size"], 3);
        assert_eq!(object["error"], "it \"broke\"");
        assert_eq!(line.lines().count(), 1);
    }
}
