//! The request of a call as templates of [MiniJinja](https://docs.rs/minijinja).
//!
//! Invariant: what a value holds cannot end the place where it is put: it is percent-encoded in a path and in a form, JSON
//! in JSON, and a header or a text refuses what would break it. `{account:NAME}` and `{execution}` are filled in by the adapter
//! where the document has them, and nowhere else. Rendering takes a bounded number of steps.

use std::collections::BTreeMap;

use domain::NativeCall;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, value::ValueKind,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::vendor::write;

/// Steps of one template: enough for a thousand selectors.
const FUEL: u64 = 1_000_000;
/// The one template of an environment.
const IT: &str = "it";
/// What every template may call.
const FUNCTIONS: [&str; 3] = ["dict", "namespace", "range"];
/// What stands for itself in a URL (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the adapter fills in begins so: values of the participant's account, and the execution in another form.
const FILLED_IN: [&str; 2] = ["{account:", "{execution"];

/// What a template may speak of.
pub(super) type Values = BTreeMap<&'static str, Value>;

/// The templates of one request.
#[derive(Debug)]
pub(super) struct Templates {
    pub(super) method: String,
    pub(super) path: Template,
    pub(super) headers: Vec<(String, Template)>,
    pub(super) body: Option<Template>,
}

/// One template.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    form: Form,
}

/// What a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Path and query.
    Path,
    /// The value of a header.
    Header,
    /// A body of JSON.
    Json,
    /// A body of a form, `a=b&c=d`.
    UrlEncoded,
    /// A body of text, in which no value has a line of its own.
    Text,
}

impl Templates {
    /// The call.
    pub(super) fn render(
        &self,
        values: &Values,
        selectors: Vec<u32>,
    ) -> Result<NativeCall, String> {
        let path = self.path.render(values)?;
        let mut call = NativeCall::new(&self.method, None, &path, selectors);
        for (name, template) in &self.headers {
            call = call.header(name, &template.render(values)?);
        }
        let body = self.body.as_ref().map(|body| body.render(values));
        call.body = body.transpose()?;
        Ok(call)
    }
}

impl Template {
    /// Reads a template that speaks of nothing but `names`.
    pub(super) fn new(text: &str, form: Form, names: &[&str]) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(move |_| match form {
            Form::Json => AutoEscape::Json,
            Form::Path | Form::UrlEncoded | Form::Header | Form::Text => AutoEscape::None,
        });
        environment.set_formatter(move |out, state, value| {
            if value.is_safe() {
                check_value(&value.to_string())?;
                return minijinja::escape_formatter(out, state, value);
            }
            if form == Form::Json {
                return Ok(out.write_str(&json(value)?)?);
            }
            let text = plain(value)?;
            if matches!(form, Form::Path | Form::UrlEncoded) {
                return Ok(write!(out, "{}", utf8_percent_encode(&text, RESERVED))?);
            }
            if text.chars().any(char::is_control) {
                let words = "a value has a control character";
                return Err(Error::new(ErrorKind::InvalidOperation, words));
            }
            check_value(&text)?;
            Ok(out.write_str(&text)?)
        });
        environment
            .add_template_owned(IT, text.to_owned())
            .map_err(|error| words(&error))?;
        let template = environment.get_template(IT);
        let spoken = template.map_err(|error| words(&error))?;
        let unknown = |name: &String| {
            let name = name.as_str();
            !names.contains(&name) && !FUNCTIONS.contains(&name)
        };
        if let Some(name) = spoken.undeclared_variables(false).into_iter().find(unknown) {
            let known = names.join(", ");
            return Err(format!(
                "speaks of `{name}`, which is not known here; known are {known}"
            ));
        }
        Ok(Self { environment, form })
    }

    /// Fills it in, and refuses what HTTP cannot carry or what is not what it is to be.
    pub(super) fn render(&self, values: &Values) -> Result<String, String> {
        let template = self.environment.get_template(IT);
        let text = template.and_then(|template| template.render(values));
        let text = text.map_err(|error| words(&error))?;
        match self.form.check(&text) {
            None => Ok(text),
            Some(rule) => Err(rule),
        }
    }
}

impl Form {
    fn check(self, text: &str) -> Option<String> {
        let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        match self {
            Self::Path => {
                let below = text.starts_with('/') && !text.starts_with("//");
                let dots = |part: &str| matches!(part, "." | "..");
                let leads_away = text.split(['/', '?', '\\']).any(dots) || text.contains('#');
                let wrong = !below || leads_away || !graphic(text);
                wrong.then(|| {
                    "makes no path: one begins with one `/`, has no `..` and no `#`, and is percent-encoded".to_owned()
                })
            }
            Self::Header => {
                let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
                let wrong = text.trim() != text || !text.bytes().all(visible);
                wrong.then(|| "makes no header: one is a line of visible ASCII".to_owned())
            }
            Self::Json => {
                let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err();
                error.map(|error| format!("makes no JSON: {error}"))
            }
            Self::UrlEncoded => {
                let wrong = !graphic(text);
                wrong.then(|| "makes no form: one is percent-encoded".to_owned())
            }
            Self::Text => None,
        }
    }
}

/// A value as JSON whose texts have no brace of their own.
fn json(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(write::json(&text));
    }
    match value.kind() {
        ValueKind::None => Ok("null".to_owned()),
        // MiniJinja itself writes them as Python does.
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number => Ok(value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<_> = value
                .try_iter()?
                .map(|item| json(&item))
                .collect::<Result<_, _>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        ValueKind::Map => {
            let member = |key: Value| {
                let member = value.get_item(&key)?;
                Ok(format!(
                    "{}:{}",
                    write::json(&key.to_string()),
                    json(&member)?
                ))
            };
            let members: Vec<_> = value
                .try_iter()?
                .map(member)
                .collect::<Result<_, Error>>()?;
            Ok(format!("{{{}}}", members.join(",")))
        }
        _ => Err(Error::new(
            ErrorKind::InvalidOperation,
            "a value is no JSON",
        )),
    }
}

/// What stands in braces is for the document alone to say: no command asks for the participant's account.
fn check_value(text: &str) -> Result<(), Error> {
    if FILLED_IN.iter().any(|begin| text.contains(begin)) {
        let words = "a value has what the adapter would fill in";
        return Err(Error::new(ErrorKind::InvalidOperation, words));
    }
    Ok(())
}

fn plain(value: &Value) -> Result<String, Error> {
    if value.is_undefined() || value.as_object().is_some() {
        let words = "a value is no text";
        return Err(Error::new(ErrorKind::InvalidOperation, words));
    }
    Ok(value.to_string())
}

/// The error in one line, with its line in the template.
fn words(error: &Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("fails in line {line} of its template: {what}"),
        None => format!("fails as a template: {what}"),
    }
}
