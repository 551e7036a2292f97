//! Configuration as an operator meets it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::*;

const DEFAULT: &str = r#"
name = "somebody"
places = ["here"]

[amqp]
url = "amqp://guest:guest@127.0.0.1:5672/"
prefetch = 100
heartbeat = "10s"

[limits]
targets = 1000
ratio = 0.5
strict = false

[servers]
"#;

#[derive(Debug, Deserialize)]
struct Configuration {
    name: String,
    places: Vec<String>,
    amqp: Amqp,
    limits: Limits,
    servers: BTreeMap<String, Server>,
    password: Option<Secret>,
}

#[derive(Debug, Deserialize)]
struct Amqp {
    url: SecretUrl,
    prefetch: u16,
    #[serde(with = "humantime_serde")]
    heartbeat: Duration,
}

#[derive(Debug, Deserialize)]
struct Limits {
    targets: u64,
    ratio: f64,
    strict: bool,
}

#[derive(Debug, Deserialize)]
struct Server {
    address: SocketAddr,
    kind: Kind,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Varnish,
    TrafficServer,
}

impl Checked for Configuration {
    fn check(&self, check: &mut Check<'_>) {
        check.within("amqp", &self.amqp);
        check.require(
            "limits.targets",
            self.limits.targets > 0,
            "must be more than 0",
        );
    }
}

impl Checked for Amqp {
    fn check(&self, check: &mut Check<'_>) {
        check.require("prefetch", self.prefetch > 0, "must be more than 0");
        check.require(
            "url",
            self.url.redacted().scheme() == "amqp",
            "must begin with amqp://",
        );
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Configuration, Problems> {
    let file = file(text);
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    load_with(DEFAULT, Some(file.path()), "BROKER", variables)
}

fn keys(problems: &Problems) -> Vec<&str> {
    problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect()
}

/// The compiled-in default is a complete configuration; each layer replaces only what it names.
#[test]
fn the_environment_beats_the_file_and_the_file_beats_the_default() {
    let text = "[amqp]\nprefetch = 200\nheartbeat = \"20s\"";
    let configuration = loaded(
        text,
        &[
            ("BROKER__AMQP__PREFETCH", "300"),
            ("BROKER_AMQP", "not ours"),
        ],
    )
    .unwrap();
    assert_eq!(configuration.amqp.prefetch, 300);
    assert_eq!(configuration.amqp.heartbeat, Duration::from_secs(20));
    assert_eq!(configuration.name, "somebody");
}

/// A variable is text; the field decides what it means. A name of digits stays a name.
#[test]
fn a_variable_takes_the_type_of_its_field() {
    let variables = [
        ("BROKER__NAME", "007"),
        ("BROKER__PLACES", r#"["Paris", "Rome"]"#),
        ("BROKER__LIMITS__RATIO", "2"),
        ("BROKER__LIMITS__STRICT", "true"),
        ("BROKER__PASSWORD", "1234"),
        (
            "BROKER__SERVERS__ONE",
            r#"{ address = "127.0.0.1:80", kind = "varnish" }"#,
        ),
        ("BROKER__SERVERS__TWO__ADDRESS", "127.0.0.1:81"),
        ("BROKER__SERVERS__TWO__KIND", "traffic-server"),
    ];
    let configuration = loaded("", &variables).unwrap();
    assert_eq!(configuration.name, "007");
    assert_eq!(configuration.places, ["Paris", "Rome"]);
    assert!((configuration.limits.ratio - 2.0).abs() < f64::EPSILON);
    assert!(configuration.limits.strict);
    assert_eq!(configuration.password.unwrap().expose(), "1234");
    assert_eq!(configuration.servers["one"].address.port(), 80);
    assert_eq!(configuration.servers["two"].kind, Kind::TrafficServer);
}

/// An operator who made five mistakes of five kinds mends them in one go.
#[test]
fn a_file_with_five_different_mistakes_lists_five_problems() {
    let text = r#"
        nmae = "somebody"
        [amqp]
        url = "no url"
        prefetch = 0
        heartbeat = 5
        [servers.one]
        kind = "varnish"
    "#;
    let problems = loaded(text, &[]).unwrap_err();
    assert_eq!(
        keys(&problems),
        [
            "amqp.heartbeat",
            "amqp.prefetch",
            "amqp.url",
            "nmae",
            "servers.one.address"
        ],
        "{problems}"
    );
    assert_eq!(problems.to_string().lines().count(), 5, "{problems}");
    assert!(
        problems.to_string().contains("did you mean `name`?"),
        "{problems}"
    );
}

/// Errors inside of entries that have no default, of which some lie around others.
#[test]
fn mistakes_in_entries_without_a_default_are_all_listed() {
    let text = r#"
        places = ["here", 5, 6]
        [servers.one]
        address = "nowhere"
        kind = "squid"
        [servers.two]
        [servers.three]
        address = "127.0.0.1:80"
        kind = "varnish"
        colour = "red"
    "#;
    let problems = loaded(text, &[]).unwrap_err();
    let expected = [
        "places[1]",
        "places[2]",
        "servers.one.address",
        "servers.one.kind",
        "servers.three.colour",
        "servers.two.address",
        "servers.two.kind",
    ];
    assert_eq!(keys(&problems), expected, "{problems}");
}

/// The reader must know which of his files and variables to open.
#[test]
fn a_problem_names_the_file_or_the_variable_it_came_from() {
    let file = file("[limits]\nratoi = 1");
    let variables = [
        ("BROKER__AMQP__PREFETCH", "many"),
        ("BROKER__AMQPS__URL", "x"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let problems =
        load_with::<Configuration>(DEFAULT, Some(file.path()), "BROKER", variables).unwrap_err();
    let origins: Vec<_> = problems
        .iter()
        .map(|problem| problem.origin.clone().unwrap())
        .collect();
    let path = file.path().display().to_string();
    assert_eq!(
        origins,
        [
            "variable BROKER__AMQP__PREFETCH",
            "variable BROKER__AMQPS__URL",
            path.as_str()
        ]
    );
}

/// A file keeps its types: no rounding of 1.5 to 2, no number out of text.
#[test]
fn a_value_of_a_file_is_not_bent_into_another_type() {
    let problems = loaded(
        "name = 5\n[amqp]\nprefetch = \"5\"\n[limits]\ntargets = 1.5\nstrict = 1",
        &[],
    )
    .unwrap_err();
    assert_eq!(
        keys(&problems),
        ["amqp.prefetch", "limits.strict", "limits.targets", "name"],
        "{problems}"
    );
}

/// A missing file and a broken one are a line in the list; the broken line itself may hold a secret and is not shown.
#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let missing = Path::new("/nowhere/broker.toml");
    let problems = load_with::<Configuration>(DEFAULT, Some(missing), "BROKER", []).unwrap_err();
    assert!(
        problems
            .to_string()
            .starts_with("/nowhere/broker.toml: cannot be read"),
        "{problems}"
    );
    let problems = loaded("name = \"here\"\npassword = \"hunter2", &[]).unwrap_err();
    let line = problems.to_string();
    assert!(
        line.contains("is not TOML: TOML parse error at line 2"),
        "{line}"
    );
    assert!(
        line.lines().count() == 1 && !line.contains("hunter2"),
        "{line}"
    );
}

/// Secrets are mounted as files; editors end files with a line break.
#[test]
fn a_secret_is_read_from_a_file_without_its_last_line_break() {
    let secret = file("hunter2\n");
    let url = file("amqp://me:hunter3@rabbit:5672/cdn\r\n");
    let text = format!("password = {{ file = {:?} }}", secret.path());
    let url = url.path().display().to_string();
    let configuration = loaded(&text, &[("BROKER__AMQP__URL__FILE", &url)]).unwrap();
    assert_eq!(configuration.password.unwrap().expose(), "hunter2");
    assert_eq!(
        configuration.amqp.url.expose(),
        "amqp://me:hunter3@rabbit:5672/cdn"
    );
}

/// A secret that cannot be read is listed with the others.
#[test]
fn a_secret_without_its_file_is_a_problem() {
    let problems = loaded(
        "password = { file = \"/nowhere/secret\" }\n[limits]\ntargets = 0",
        &[],
    )
    .unwrap_err();
    assert_eq!(keys(&problems), ["limits.targets", "password"]);
    assert!(
        problems.to_string().contains("cannot read /nowhere/secret"),
        "{problems}"
    );
}

/// Configurations are logged at start, and problems are printed.
#[test]
fn a_secret_never_shows() {
    let text = "password = \"hunter2\"\n[amqp]\nurl = \"amqp://me:hunter3@rabbit/\"";
    let configuration = loaded(text, &[]).unwrap();
    let shown = format!(
        "{configuration:?} {:#?} {}",
        configuration, configuration.amqp.url
    );
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("amqp://me:***@rabbit/"), "{shown}");
    let problems = loaded(
        "password = 424242\n[amqp]\nurl = \"//me:hunter3@rabbit/\"",
        &[],
    )
    .unwrap_err();
    assert_eq!(keys(&problems), ["amqp.url", "password"]);
    assert!(
        !format!("{problems} {problems:?}").contains("hunter"),
        "{problems}"
    );
    assert!(!problems.to_string().contains("424242"), "{problems}");
}
