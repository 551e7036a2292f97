//! The broker: `broker [--config FILE] [serve | provision | check | defaults | redis-acl]`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use broker::{app, config};
use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;
use service::configuration::{self, Checked, Problems};

/// The command broker of a federation of CDNs.
#[derive(Parser)]
#[command(name = "broker", version)]
struct Arguments {
    /// The operator's configuration; see `broker defaults` for every key.
    #[arg(long, value_name = "FILE", env = "BROKER_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand, Clone, Copy)]
enum Task {
    /// Serves (the default).
    Serve,
    /// Declares in RabbitMQ what the registry asks for, and ends.
    Provision,
    /// Checks the configuration of a replica, its certificates and keys included, and ends.
    Check,
    /// Prints the default configuration, which documents every key.
    Defaults,
    /// Prints a file of users for Redis (`aclfile`): the user of `redis.url`, with what a broker does there below
    /// `store.prefix` and nothing else.
    RedisAcl,
}

fn main() -> ExitCode {
    let arguments: Arguments = match service::arguments() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let file = arguments.config.as_deref();
    let load = || read::<config::Config>(file);
    let load_serving = || read::<config::Serving>(file);
    match arguments.task.unwrap_or(Task::Serve) {
        Task::Serve => service::main("broker", load_serving, |config, shutdown| {
            app::serve(config.0, shutdown)
        }),
        Task::Provision => service::main("broker", load, app::provision),
        Task::Check => service::answer("broker", load_serving, |_| {
            Ok("the configuration is good\n".to_owned())
        }),
        Task::Defaults => service::show(config::DEFAULT),
        Task::RedisAcl => {
            let load = || read::<config::AtRedis>(file);
            service::answer("broker", load, |config| app::redis_acl(&config.0))
        }
    }
}

fn read<C: DeserializeOwned + Checked>(file: Option<&Path>) -> Result<C, Problems> {
    configuration::load(config::DEFAULT, file, config::ENVIRONMENT_PREFIX)
}
