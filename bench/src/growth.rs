//! The cost of growth: the deployment database with a million deployments, in this process.

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use broker::{
    directory::{Directory, Tables},
    store::Record,
};
use domain::{
    Agreement, Configuration, ConfigurationId, Deployment, HostName, Participant, Place, Server,
    participant::OwnServers,
};

use crate::report::Report;

const PARTICIPANTS: usize = 64;
const SERVERS_PER_PARTICIPANT: usize = 8;
const CONFIGURATIONS: usize = 250_000;
const DEPLOYMENTS_PER_CONFIGURATION: usize = 4;
const LOOKUPS: usize = 200_000;

/// Loads a million deployments and looks them up.
#[expect(clippy::cast_precision_loss, reason = "sizes and counts")]
pub(crate) fn directory(report: &mut Report) {
    let before = resident_bytes();
    let started = Instant::now();
    let mut tables = Tables::default();
    fill(&mut tables);
    let loading = started.elapsed();
    let deployments = tables.deployments.len();
    let bytes = resident_bytes().saturating_sub(before) as f64 / deployments as f64;
    report.add("growth_directory_deployments", deployments as f64);
    report.add("growth_directory_load_seconds", loading.as_secs_f64());
    report.add("growth_directory_bytes_per_deployment", bytes);
    let directory = Directory::default();
    *directory.write() = tables;
    let hosts: Vec<HostName> = (0..LOOKUPS)
        .map(|n| host(n * 7_919 % CONFIGURATIONS))
        .collect();
    let ids: Vec<ConfigurationId> = (0..LOOKUPS)
        .map(|n| id(n * 7_919 % CONFIGURATIONS))
        .collect();
    look_up(report, "configuration_by_host_name", &hosts, |host| {
        directory.configuration_of_host(host).is_some()
    });
    look_up(report, "configuration_by_id", &ids, |id| {
        directory.configuration(id).is_some()
    });
    look_up(report, "carriers_and_servers", &ids, |id| {
        !directory.carriers(id).is_empty()
    });
}

fn look_up<K>(report: &mut Report, name: &str, keys: &[K], found: impl Fn(&K) -> bool) {
    let measure = |key| {
        let started = Instant::now();
        assert!(black_box(found(black_box(key))), "every key is there");
        started.elapsed()
    };
    let mut times: Vec<Duration> = keys.iter().map(measure).collect();
    times.sort_unstable();
    for (word, permille) in [("p50", 500), ("p99", 990), ("p999", 999)] {
        let time = times[(times.len() - 1) * permille / 1_000];
        let name = format!("growth_directory_{name}_{word}_microseconds");
        report.add(name, time.as_secs_f64() * 1e6);
    }
}

/// Resident memory of this process, as Linux tells it; 0 elsewhere.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1_024
}

fn fill(tables: &mut Tables) {
    for participant in 0..PARTICIPANTS {
        tables.insert(Record::Participant(Participant {
            id: name("participant", participant),
            display_name: String::new(),
            invocation_system: None,
            own_servers: OwnServers::Included,
            capabilities: Vec::new(),
            signing_keys: Vec::new(),
            native_limits: domain::NativeLimits::NONE,
        }));
        for server in 0..SERVERS_PER_PARTICIPANT {
            tables.insert(Record::Server(Server {
                id: name("server", participant * SERVERS_PER_PARTICIPANT + server),
                participant: name("participant", participant),
                dialect: "varnish".parse().expect("a dialect's name"),
                address: "192.0.2.1:80".parse().expect("an address"),
                place: Place::default(),
            }));
        }
    }
    for configuration in 0..CONFIGURATIONS {
        tables.insert(Record::Configuration(Configuration {
            id: id(configuration),
            customer: name("customer", configuration / 10),
            owner: name("participant", configuration % PARTICIPANTS),
            hosts: vec![host(configuration)],
            wide_purges_need_approval: None,
        }));
        for n in 0..DEPLOYMENTS_PER_CONFIGURATION {
            tables.insert(Record::Deployment(Deployment {
                id: name(
                    "deployment",
                    configuration * DEPLOYMENTS_PER_CONFIGURATION + n,
                ),
                configuration: id(configuration),
                participant: name("participant", (configuration + n * 13) % PARTICIPANTS),
                servers: Vec::new(),
                agreement: Agreement::Granted,
            }));
        }
    }
}

fn name<T: std::str::FromStr<Err = domain::BrokenRule>>(word: &str, number: usize) -> T {
    format!("{word}-{number}")
        .parse()
        .expect("a word and a number are an id")
}

fn id(number: usize) -> ConfigurationId {
    name("configuration", number)
}

fn host(number: usize) -> HostName {
    format!("www-{number}.customer.example")
        .parse()
        .expect("a host name")
}
