//! The keys of `[api]`: a provider's HTTP API and the accounts there.
//!
//! Invariant: credentials are files, read at each call, so that a new one counts at once; none of them is a key.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{ConfigurationId, participant::ServerAddress};
use serde::Deserialize;
use service::configuration::{Check, Checked, Secret};
use url::Url;

use super::rules::is_base;
use crate::{jobs, verify::Edge};

/// Edges of one account that are looked at.
const EDGES_LIMIT: usize = 8;
/// Characters of an account's name.
const NAME_LENGTH: usize = 64;

/// The participant's provider.
#[derive(Debug, Clone, Deserialize)]
pub struct Api {
    /// Where it is.
    pub base_url: Option<Url>,
    /// The file with the credentials of the provider account, where a configuration's account names no other.
    pub credentials: Option<PathBuf>,
    /// The header for the token, with a dialect from a document.
    pub token_header: TokenHeader,
    /// What each provider account has, by unit, instead of what the dialect knows.
    #[serde(default)]
    pub budgets: BTreeMap<String, ApiBudget>,
    /// What may be under way at the same time, by unit, instead of what the dialect knows.
    #[serde(default)]
    pub outstanding: BTreeMap<String, u32>,
    /// Items of one call that is a list, where they are to be fewer than the order was planned with.
    #[serde(default)]
    pub items_per_call: Option<usize>,
    /// Bytes of the items of such a call, likewise.
    #[serde(default)]
    pub bytes_per_call: Option<usize>,
    /// Where all adapters of the participant keep what is left.
    pub budgets_folder: Option<PathBuf>,
    /// Adapters of the participant that keep it each for itself, and have each its part.
    pub budgets_shared_by: u32,
    /// For how long after a call equal ones wait for each other.
    #[serde(with = "humantime_serde")]
    pub duplicate_window: Duration,
    /// All calls of one execution, pauses and the wait for the pace included.
    #[serde(with = "humantime_serde")]
    pub total_time: Duration,
    /// Edges where one can look afterwards, for accounts that name none of their own.
    #[serde(default)]
    pub probe: Vec<Edge>,
    /// Who may vouch for edges that are asked by HTTPS, besides those whom the system trusts.
    #[serde(default)]
    pub probe_certificate_authority: Option<Secret>,
    /// Whether what a provider may undo by a race inside of it is called a second time.
    pub second_calls: bool,
    /// How often it is asked for what is under way.
    #[serde(with = "humantime_serde")]
    pub poll_every: Duration,
    /// Executions of one account that are asked for at a time.
    pub polls_at_once: usize,
    /// For how long it is asked.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
    /// Executions that may be under way there.
    pub jobs_at_once: usize,
    /// For configurations without an account of their own.
    #[serde(default)]
    pub account: Account,
    /// By the federation's id of the configuration.
    #[serde(default)]
    pub accounts: BTreeMap<ConfigurationId, Account>,
}

/// Where a token stands in a call.
#[derive(Debug, Clone, Deserialize)]
pub struct TokenHeader {
    /// The header's name.
    pub name: String,
    /// What stands before the token.
    pub prefix: String,
}

/// A bucket of `burst` that fills with `amount` in every `per`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ApiBudget {
    /// So many
    pub amount: u32,
    /// In this time.
    #[serde(with = "humantime_serde")]
    pub per: Duration,
    /// At once, after a pause.
    pub burst: u32,
}

/// What a provider knows a configuration by.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Account {
    /// Who it is to the provider, where several files are of one account.
    #[serde(default)]
    pub name: Option<String>,
    /// The file with its credentials.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// What the dialect's calls name: `zone`, `service`, `distribution`, ….
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Edges where one can look afterwards.
    #[serde(default)]
    pub probe: Vec<Edge>,
}

impl Account {
    /// By which name a configuration's `own` account shares what is left: its own, or `common`'s where it has no file of its own.
    pub(crate) fn named<'a>(own: Option<&'a Self>, common: &'a Self) -> Option<&'a str> {
        let own = own.filter(|own| own.name.is_some() || own.credentials.is_some());
        own.unwrap_or(common).name.as_deref()
    }
}

impl Api {
    /// Whom the circuit knows it by: host and port.
    pub fn address(&self) -> Option<ServerAddress> {
        let url = self.base_url.as_ref()?;
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        format!("{host}:{port}").parse().ok()
    }

    /// How jobs are asked for. All servers end together, so nothing is told in between.
    pub(crate) fn polls(&self) -> jobs::Pace {
        jobs::Pace {
            every: self.poll_every,
            report_every: self.give_up_after,
            give_up_after: self.give_up_after,
        }
    }

    fn check_budgets(&self, check: &mut Check<'_>) {
        let is_known =
            |unit: &&String| dialects::vendor::budget::units().any(|known| known == *unit);
        let units = self.budgets.keys().chain(self.outstanding.keys());
        for unit in units.filter(|unit| !is_known(unit)) {
            let rule =
                format!("`{unit}` is no unit that a dialect counts; docs/dialects.md names them");
            check.require("budgets", false, rule);
        }
        for budget in self.budgets.values() {
            check.within("budgets", budget);
        }
        check.require(
            "outstanding",
            self.outstanding.values().all(|most| *most > 0),
            "must be more than 0",
        );
        check.positive("budgets_shared_by", self.budgets_shared_by);
    }

    /// Whether any edge is named.
    pub(super) fn looks(&self) -> bool {
        let mut all = self.accounts.values().chain([&self.account]);
        !self.probe.is_empty() || all.any(|account| !account.probe.is_empty())
    }

    /// The file that a configuration's account uses.
    fn file_of<'a>(&'a self, own: Option<&'a Account>) -> Option<&'a Path> {
        let own = own.and_then(|own| own.credentials.as_deref());
        let common = self.account.credentials.as_deref();
        own.or(common).or(self.credentials.as_deref())
    }

    fn check_names(&self, check: &mut Check<'_>) {
        let own = self.accounts.values().map(Some);
        let mut names: BTreeMap<Option<&Path>, Option<&str>> = BTreeMap::new();
        for account in own.chain([None]) {
            let name = Account::named(account, &self.account);
            let file = self.file_of(account);
            check.require(
                "accounts",
                *names.entry(file).or_insert(name) == name,
                "must give one file of credentials one `name`, since it is one account",
            );
            let is_name = |name: &str| {
                (1..=NAME_LENGTH).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_graphic())
            };
            check.require(
                "accounts",
                name.is_none_or(is_name),
                format_args!("must have a `name` of 1 to {NAME_LENGTH} visible ASCII characters"),
            );
        }
    }

    /// Every file of credentials, once.
    fn files(&self) -> BTreeSet<&Path> {
        let own = self.accounts.values().chain([&self.account]);
        let own = own.filter_map(|account| account.credentials.as_deref());
        own.chain(self.credentials.as_deref()).collect()
    }
}

impl Checked for Api {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "base_url",
            self.base_url.as_ref().is_some_and(is_base) && self.address().is_some(),
            "must be the provider's http or https URL, without user, query and fragment",
        );
        for file in self.files() {
            check.require(
                "credentials",
                file.is_file(),
                format!("{} is no file that can be read", file.display()),
            );
        }
        check.require(
            "token_header.name",
            reqwest::header::HeaderName::try_from(&self.token_header.name).is_ok(),
            "must be a header's name",
        );
        check.require(
            "token_header.prefix",
            reqwest::header::HeaderValue::try_from(&self.token_header.prefix).is_ok(),
            "must be what a header can hold",
        );
        self.check_budgets(check);
        self.check_names(check);
        for (key, size) in [
            ("items_per_call", self.items_per_call),
            ("bytes_per_call", self.bytes_per_call),
        ] {
            check.require(key, size != Some(0), "must be more than 0");
        }
        let probed = self.accounts.values().chain([&self.account]);
        let mut probed = probed.map(|account| &account.probe).chain([&self.probe]);
        check.require(
            "probe",
            probed.all(|edges| edges.len() <= EDGES_LIMIT),
            format_args!("must name at most {EDGES_LIMIT} edges"),
        );
        check.authority(
            "probe_certificate_authority",
            self.probe_certificate_authority.as_ref(),
        );
        check.positive("total_time", self.total_time);
        check.positive("poll_every", self.poll_every);
        check.positive("give_up_after", self.give_up_after);
        check.positive("polls_at_once", self.polls_at_once);
        check.positive("jobs_at_once", self.jobs_at_once);
    }
}

impl Checked for ApiBudget {
    fn check(&self, check: &mut Check<'_>) {
        check.positive("amount", self.amount);
        check.positive("burst", self.burst);
        check.positive("per", self.per);
    }
}
