//! The rules of the configuration that its types do not say.

use std::{fs, io, path::Path, time::Duration};

use amqp::{Credentials, QueueLimits, Topology};
use domain::limits::PROBES_PER_COMMAND;
use service::configuration::{Check, Checked, Secret};
use url::Url;

use super::{
    Amqp, Calls, Circuit, Configuration, Execution, InvocationSystem, Journal, Kind, Probes, Report,
};

/// RabbitMQ 3.10 keeps what is unsettled in order up to here; of more, what is given back after a cut comes again shuffled.
const PREFETCH_LIMIT: u16 = 32;

/// A purge that did not work so many times will not work.
const REPEATS_LIMIT: u32 = 10;
/// Below that an age cannot tell before from after (`dialects::probe`).
const SETTLE_AT_LEAST: Duration = Duration::from_secs(3);

/// A delivery that waits for the journal waits no longer than this.
const LATEST_WRITTEN: Duration = Duration::from_secs(1);

impl Checked for Configuration {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "participant",
            Topology::check_participant(&self.participant).is_ok(),
            "must not be `replies`",
        );
        match self.kind {
            Kind::Caches => check.require(
                "allowed_addresses",
                !self.allowed_addresses.is_empty(),
                "must name at least one network or host: an adapter connects nowhere else",
            ),
            Kind::InvocationSystem => check.within("invocation_system", &self.invocation_system),
            Kind::Api => {
                check.within("api", &self.api);
                check.require(
                    "allowed_addresses",
                    !(self.api.looks() && self.allowed_addresses.is_empty()),
                    "must allow the edges of `api.probe`",
                );
            }
        }
        check.positive("drain_time", self.drain_time);
        check.within("amqp", &self.amqp);
        check.within("execution", &self.execution);
        check.within("calls", &self.calls);
        check.within("probes", &self.probes);
        check.within("journal", &self.journal);
        check.within("report", &self.report);
        check.within("signing", &self.signing);
        check.within("logs", &self.logs);
    }
}

impl Checked for Amqp {
    fn check(&self, check: &mut Check<'_>) {
        check.scheme("url", Some(&self.url), &["amqp", "amqps"]);
        if let Some(file) = &self.credentials {
            let readable = Credentials::read(file);
            let why = readable.as_ref().err().and_then(std::error::Error::source);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            check.require(
                "credentials",
                readable.is_ok(),
                format!("{} cannot be read{why}", file.display()),
            );
        }
        check.authority("certificate_authority", self.certificate_authority.as_ref());
        check.client(self.client_certificate.as_ref(), self.client_key.as_ref());
        let topology = Topology::new(&self.prefix, QueueLimits::default());
        if let Err(error) = topology {
            check.require("prefix", false, error);
        }
        check.require(
            "prefetch",
            self.prefetch.get() <= PREFETCH_LIMIT,
            format_args!("must be at most {PREFETCH_LIMIT}: RabbitMQ gives more than that back in another order"),
        );
        check.positive("connect_timeout", self.connect_timeout);
        check.require(
            "heartbeat",
            self.heartbeat >= Duration::from_secs(1),
            "must be at least 1s",
        );
    }
}

impl Checked for Execution {
    fn check(&self, check: &mut Check<'_>) {
        let within = |count| (1..=10_000).contains(&count);
        check.require(
            "concurrency",
            within(self.concurrency),
            "must be 1 to 10000",
        );
        check.require(
            "servers_at_once",
            within(self.servers_at_once),
            "must be 1 to 10000",
        );
        check.positive("total_time", self.total_time);
        check.positive("load_total_time", self.load_total_time);
    }
}

impl Checked for Calls {
    fn check(&self, check: &mut Check<'_>) {
        for (key, time) in [
            ("timeout", self.timeout),
            ("load_timeout", self.load_timeout),
            ("connect_timeout", self.connect_timeout),
            ("total_time", self.total_time),
            ("name_lifetime", self.name_lifetime),
            ("name_timeout", self.name_timeout),
        ] {
            check.positive(key, time);
        }
        check.positive("attempts", self.attempts);
        check.positive("answer_limit", self.answer_limit);
        check.positive("load_limit", self.load_limit);
        check.within("pause", &self.pause);
        check.within("circuit", &self.circuit);
    }
}

impl Checked for Probes {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("timeout", self.timeout);
        check.positive("body_limit", self.body_limit);
        check.require(
            "at_once",
            (1..=PROBES_PER_COMMAND).contains(&self.at_once),
            format_args!("must be 1 to {PROBES_PER_COMMAND}"),
        );
        check.require(
            "repeats",
            self.repeats <= REPEATS_LIMIT,
            format_args!("must be at most {REPEATS_LIMIT}"),
        );
        check.within("pause", &self.pause);
        check.require(
            "settle",
            self.settle >= SETTLE_AT_LEAST,
            "must be at least 3s: ages are whole seconds, and rounded",
        );
    }
}

impl Checked for Circuit {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("failures", self.failures);
        check.within("pause", &self.pause);
    }
}

impl Checked for Journal {
    fn check(&self, check: &mut Check<'_>) {
        if let Err(why) = can_be_folder(&self.folder) {
            let folder = self.folder.display();
            check.require("folder", false, format_args!("{folder} {why}"));
        }
        check.positive("keep_for", self.keep_for);
        check.positive("keep_at_most", self.keep_at_most);
        let is_soon = self.written_within <= LATEST_WRITTEN;
        check.require("written_within", is_soon, "must be at most 1s");
    }
}

impl Checked for Report {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("executions_per_message", self.executions_per_message);
        // RabbitMQ 4 takes 16 MiB by default.
        check.require(
            "bytes_per_message",
            (1_024..=8_388_608).contains(&self.bytes_per_message),
            "must be 1024 to 8388608",
        );
        check.positive("confirm_timeout", self.confirm_timeout);
        check.positive("progress_every", self.progress_every);
        check.within("pause", &self.pause);
    }
}

impl Checked for InvocationSystem {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "base_url",
            self.base_url.as_ref().is_some_and(is_base),
            "must be the invocation system's http or https URL, without user, query and fragment",
        );
        check.require(
            "token",
            self.token.as_ref().is_some_and(is_token),
            "must be there, best as `{ file = \"…\" }`: visible ASCII characters without spaces",
        );
        check.positive("poll_every", self.poll_every);
        check.positive("report_every", self.report_every);
        check.positive("give_up_after", self.give_up_after);
        check.positive("polls_at_once", self.polls_at_once);
        check.positive("jobs_at_once", self.jobs_at_once);
        check.require(
            "callback_url",
            self.callback_url.is_some() == self.callback_listen.is_some(),
            "belongs together with `callback_listen`: give both or neither",
        );
        check.require(
            "callback_url",
            self.callback_url.as_ref().is_none_or(is_base),
            "must be an http or https URL, without user, query and fragment",
        );
    }
}

/// A URL that a path can follow. Who calls is said by the token, never by the URL, which is logged.
pub(super) fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// What can stand in a header behind `Bearer ` (RFC 6750, 2.1, and what others use besides).
fn is_token(token: &Secret) -> bool {
    let token = token.expose();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the folder is there or can be made, as far as that shows without making it.
fn can_be_folder(folder: &Path) -> Result<(), String> {
    for place in folder.ancestors().filter(|place| *place != Path::new("")) {
        match fs::metadata(place) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(format!("cannot be a folder: {} is a file", place.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(format!("cannot be reached: {error}")),
        }
    }
    Ok(())
}
