//! The three layers, gathered into one tree whose values remember where they came from.
//!
//! Invariant: the environment beats the file, the file beats the default; a list is replaced as a
//! whole, a table key by key.
//! Not here: what types the values shall have (`typed`).

use std::ffi::OsString;
use std::path::Path;

use config::{Config, ConfigError, FileFormat, Format, Map, Source, Value, ValueKind};

use super::key::Key;
use super::problems::Problems;

/// How an origin of the environment begins; `typed` gives such values the type that is asked for.
pub(super) const VARIABLE: &str = "variable ";

/// What stands between two levels in the name of a variable.
const LEVEL_SEPARATOR: &str = "__";

/// What the compiled-in default is called in a problem.
const DEFAULT: &str = "the compiled-in default";

/// The default alone, and all three layers together.
pub(super) struct Layers {
    pub(super) default: Value,
    pub(super) all: Value,
}

/// One layer, already read.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads the layers and lays them over each other.
pub(super) fn gather(
    default_toml: &str,
    file: Option<&Path>,
    environment_prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layers, Problems> {
    let default = parse(default_toml, DEFAULT)?;
    let mut layers = vec![default.clone()];
    if let Some(file) = file {
        layers.push(read_file(file)?);
    }
    layers.push(read_variables(environment_prefix, variables)?);
    Ok(Layers {
        default: lay(vec![default])?,
        all: lay(layers)?,
    })
}

fn lay(layers: Vec<Layer>) -> Result<Value, Problems> {
    let builder = layers
        .into_iter()
        .fold(Config::builder(), |builder, layer| {
            builder.add_source(layer)
        });
    let laid = builder.build().map_err(|error| Problems::one("", error))?;
    Ok(laid.cache)
}

fn read_file(file: &Path) -> Result<Layer, Problems> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Problems::one(&name, format!("cannot be read: {error}")))?;
    parse(&text, &name)
}

fn parse(text: &str, name: &str) -> Result<Layer, Problems> {
    FileFormat::Toml
        .parse(Some(&name.to_owned()), text)
        .map(Layer)
        .map_err(|error| {
            Problems::one(
                name,
                format!("is not TOML: {}", one_line(&error.to_string())),
            )
        })
}

/// The message of the TOML reader without the lines that it quotes: they may hold a secret.
fn one_line(message: &str) -> String {
    let is_quote = |line: &str| {
        line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            .starts_with('|')
    };
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| !is_quote(line))
        .map(str::trim)
        .collect();
    lines.join(": ")
}

/// `BROKER__AMQP__URL=x` becomes `amqp.url = "x"`. A variable without the separator is not ours.
fn read_variables(
    prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layer, Problems> {
    let prefix = format!("{prefix}{LEVEL_SEPARATOR}");
    let mut root = Value::new(None, ValueKind::Table(Map::new()));
    let mut problems = Problems::default();
    let mut variables: Vec<_> = variables.into_iter().collect();
    // Sorted, so that `A` and `A__FILE` together mean the same on every start.
    variables.sort();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(&prefix)) else {
            continue;
        };
        let Some(value) = value.to_str() else {
            problems.add(name, "is not UTF-8");
            continue;
        };
        let key = Key::of_levels(name[prefix.len()..].split(LEVEL_SEPARATOR));
        key.put(
            &mut root,
            Value::new(Some(&format!("{VARIABLE}{name}")), value),
        );
    }
    match root.kind {
        ValueKind::Table(table) if problems.is_empty() => Ok(Layer(table)),
        _ => Err(problems),
    }
}
