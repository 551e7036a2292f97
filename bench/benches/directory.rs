//! The deployment database with a million deployments: how long one lookup takes, and what a deployment costs.

#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a measurement prints its table"
)]

use std::{hint::black_box, time::Instant};

use bench::{percentiles, resident_bytes};
use broker::{
    directory::{Directory, Tables},
    store::Record,
};
use domain::{
    Configuration, ConfigurationId, Deployment, HostName, Participant, Place, Server,
    participant::OwnServers,
};

const PARTICIPANTS: usize = 64;
const SERVERS_PER_PARTICIPANT: usize = 8;
const CONFIGURATIONS: usize = 250_000;
const DEPLOYMENTS_PER_CONFIGURATION: usize = 4;
const LOOKUPS: usize = 1_000_000;

fn main() {
    let before = resident_bytes();
    let started = Instant::now();
    let mut tables = Tables::default();
    fill(&mut tables);
    let loading = started.elapsed();
    let deployments = tables.deployments.len();
    let bytes = (resident_bytes() - before) / deployments as u64;
    let directory = Directory::default();
    *directory.write() = tables;

    let hosts: Vec<HostName> = (0..LOOKUPS)
        .map(|n| host(n * 7_919 % CONFIGURATIONS))
        .collect();
    let ids: Vec<ConfigurationId> = (0..LOOKUPS)
        .map(|n| id(n * 7_919 % CONFIGURATIONS))
        .collect();
    println!("deployments {deployments}, loaded in {loading:.1?}, {bytes} bytes each");
    println!(
        "{:<44} {:>10} {:>10} {:>10}",
        "lookup", "p50", "p99", "p99.9"
    );
    row("configuration by host name", &hosts, |host| {
        directory.configuration_of_host(host).is_some()
    });
    row("configuration by id", &ids, |id| {
        directory.configuration(id).is_some()
    });
    row("carriers and their servers by configuration", &ids, |id| {
        !directory.carriers(id).is_empty()
    });
}

fn row<K>(name: &str, keys: &[K], found: impl Fn(&K) -> bool) {
    let measure = |key| {
        let started = Instant::now();
        assert!(black_box(found(black_box(key))), "every key is there");
        started.elapsed()
    };
    let mut durations = keys.iter().map(measure).collect::<Vec<_>>();
    let [p50, p99, p999] = percentiles(&mut durations);
    println!("{name:<44} {p50:>10.1?} {p99:>10.1?} {p999:>10.1?}");
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
