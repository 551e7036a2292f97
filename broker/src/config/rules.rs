//! The rules of the configuration that its types do not say.
//!
//! Invariant: what passes here lets a process start, as far as that can be known without speaking to another machine: what it
//! opens at the start is opened here too.

use std::time::Duration;

use amqp::Topology;
use service::configuration::{Check, Checked, SecretUrl};

use super::{
    AmqpSettings, AtRedis, AuditSettings, Config, Deadlines, Limits, Management, OutboxSettings,
    QuotaSettings, RedisAt, Serving, StoreSettings,
};
use crate::{ingress::Trust, store};

/// Shards fit into the last 16 bits of a command id; a few hundred are more than any cluster needs.
const MOST_SHARDS: u16 = 512;
/// Each that is absorbed stands in the message by its id.
const MOST_LOOKAHEAD: usize = 20_000;
/// More copies than that nobody reads in a console.
const MOST_COPIES: u32 = 10_000;
/// More makes a message that takes long to write down at the other end.
const MOST_BATCH: usize = 5_000;
/// A message of gRPC below that holds nothing of use.
const LEAST_MESSAGE_BYTES: usize = 1 << 10;

impl Checked for Config {
    fn check(&self, check: &mut Check<'_>) {
        check.within("logs", &self.logs);
        check.within("listen", &self.listen);
        check.within("redis", &self.redis);
        check.within("connections", &self.connections);
        check.within("store", &self.store);
        check.within("amqp", &self.amqp);
        check.within("outbox", &self.outbox);
        check.within("deadlines", &self.deadlines);
        check.within("limits", &self.limits);
        check.within("signing", &self.signing);
        check.within("quotas", &self.quotas);
        check.within("audit", &self.audit);
        check.positive("shutdown.drain", self.shutdown.drain);
        for name in self.operations.keys() {
            let free = !matches!(name.as_str(), "purge" | "load");
            check.require(
                &format!("operations.{name}"),
                free,
                "must not be called like an operation of our own",
            );
        }
    }
}

impl Checked for Serving {
    fn check(&self, check: &mut Check<'_>) {
        check.within("", &self.0);
        for (key, error) in Trust::check(&self.0.listen) {
            check.works(&format!("listen.{key}"), &Err::<(), _>(error));
        }
        self.0.signing.check_files(check);
    }
}

impl Checked for AtRedis {
    fn check(&self, check: &mut Check<'_>) {
        check.within("redis", &self.0.redis);
        check.within("store", &self.0.store);
    }
}

impl Checked for Deadlines {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("report", self.report);
        check.positive("running", self.running);
        check.positive("approval", self.approval);
        check.positive("sweep_every", self.sweep_every);
    }
}

impl Checked for Limits {
    fn check(&self, check: &mut Check<'_>) {
        for (key, bytes) in [
            ("request_bytes", self.request_bytes),
            ("answer_bytes", self.answer_bytes),
        ] {
            check.require(key, bytes.0 >= LEAST_MESSAGE_BYTES, "must be at least 1KiB");
        }
        check.positive("concurrent_calls", self.concurrent_calls);
        check.positive("open_calls", self.open_calls);
        let most = tokio::sync::Semaphore::MAX_PERMITS;
        check.require(
            "open_calls",
            self.open_calls <= most,
            format_args!("must be at most {most}"),
        );
        check.positive("call_time", self.call_time);
    }
}

impl Checked for AuditSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("retention", self.retention);
        check.positive("records", self.records);
    }
}

impl Checked for RedisAt {
    fn check(&self, check: &mut Check<'_>) {
        let schemes = ["redis", "rediss", "redis+unix"];
        check.scheme("url", Some(&self.url), &schemes);
        let scheme = self.url.redacted().scheme();
        check.require(
            "url",
            !schemes.contains(&scheme) || store::is_address(&self.url),
            "must name a host or a socket, and a database by its number",
        );
        let given = self.certificate_authority.is_some() || self.client_certificate.is_some();
        check.require(
            "url",
            scheme == "rediss" || !given,
            "must begin with rediss:// where certificates are given",
        );
        check.authority("certificate_authority", self.certificate_authority.as_ref());
        check.client(self.client_certificate.as_ref(), self.client_key.as_ref());
    }
}

impl Checked for Management {
    fn check(&self, check: &mut Check<'_>) {
        check.scheme("url", self.url.as_ref(), &["http", "https"]);
        let is_bare = |url: &SecretUrl| {
            let url = url.redacted();
            matches!(url.scheme(), "amqp" | "amqps")
                && url.username().is_empty()
                && url.password().is_none()
        };
        check.require(
            "adapters_url",
            self.adapters_url.as_ref().is_none_or(is_bare),
            "must begin with amqp:// or amqps:// and have no user and no password",
        );
        // One adapter has two of each.
        check.require("connections", self.connections >= 2, "must be at least 2");
        check.require("channels", self.channels >= 2, "must be at least 2");
    }
}

impl Checked for StoreSettings {
    fn check(&self, check: &mut Check<'_>) {
        let shards = (1..=MOST_SHARDS).contains(&self.shards);
        check.require("shards", shards, format!("must be 1 to {MOST_SHARDS}"));
        let plain = !self.prefix.contains(['{', '}', ' ']);
        check.require("prefix", plain, "must have no braces and no spaces");
        check.positive("retention", self.retention);
        check.positive("receipts", self.receipts);
        let at_most = self.receipts_at_most > 0;
        check.require("receipts_at_most", at_most, "must be more than 0");
    }
}

impl Checked for AmqpSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.within("management", &self.management);
        for (key, url) in [
            ("url", Some(&self.url)),
            ("provision_url", self.provision_url.as_ref()),
        ] {
            let schemes = ["amqp", "amqps"];
            check.scheme(key, url, &schemes);
            let is_address = |url: &SecretUrl| {
                !schemes.contains(&url.redacted().scheme())
                    || amqp::parts_of(&url.expose().to_owned().into()).is_some()
            };
            check.require(
                key,
                url.is_none_or(is_address),
                "must name a host, and no more behind it than a port and a virtual host",
            );
        }
        check.authority("certificate_authority", self.certificate_authority.as_ref());
        check.client(self.client_certificate.as_ref(), self.client_key.as_ref());
        let topology = Topology::new(self.prefix.clone(), self.queue_limits());
        check.require(
            "prefix",
            topology.is_ok(),
            "must be letters, digits, dots and hyphens, at most 100",
        );
        check.positive("publish_channels", self.publish_channels);
        check.positive("commands_length", self.commands_length);
        check.positive("replies_length", self.replies_length);
        check.positive("delivery_limit", self.delivery_limit);
        check.require(
            "console_copies",
            self.console_copies <= MOST_COPIES,
            format!("must be 0 to {MOST_COPIES}"),
        );
    }
}

impl Checked for QuotaSettings {
    fn check(&self, check: &mut Check<'_>) {
        let burst = self.burst >= Duration::from_millis(100);
        check.require("burst", burst, "must be at least 100ms");
        let own = self.participants.iter();
        let own = own.map(|(id, allowance)| (format!("participants.{id}"), allowance));
        let each = std::iter::once(("each".to_owned(), &self.each));
        for (key, allowance) in each.chain(own) {
            let operations = allowance.operations.values();
            let rates = operations.chain([&allowance.calls, &allowance.selectors]);
            let rates = rates.into_iter().all(|rate| *rate > 0) && allowance.open_commands > 0;
            check.require(&key, rates, "must have no 0");
        }
    }
}

impl Checked for OutboxSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("limit", self.limit);
        check.require(
            "batch",
            (1..=MOST_BATCH).contains(&self.batch),
            format_args!("must be 1 to {MOST_BATCH}"),
        );
        // RabbitMQ 4 takes messages of up to 16 MiB.
        let bytes = (1 << 10..=8 << 20).contains(&self.batch_bytes.0);
        check.require("batch_bytes", bytes, "must be 1KiB to 8MiB");
        check.positive("window", self.window);
        check.require(
            "lookahead",
            self.lookahead <= MOST_LOOKAHEAD,
            format!("must be 0 to {MOST_LOOKAHEAD}"),
        );
        check.require(
            "lease",
            self.lease >= Duration::from_secs(1),
            "must be at least 1s",
        );
    }
}
