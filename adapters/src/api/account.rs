//! What a provider knows a configuration by, out of the adapter's own configuration.
//!
//! Invariant: a value that is missing, or that is not its configuration's alone and has to be, refuses what needs it and nothing
//! else; what is missing is said by the key that the operator has to write.
//! Not here: what is one configuration's alone (`alone`).

mod alone;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dialects::{AccountField, Presence, Unfit};
use domain::{
    ConfigurationId, Fault,
    fault::{Again, FaultCode},
};

use super::credential::Credential;
use crate::{config, verify::Edge};

/// The accounts of all configurations.
#[derive(Debug)]
pub(super) struct Accounts {
    credentials: Option<PathBuf>,
    /// Edges of those that name none.
    edges: Vec<Edge>,
    common: config::Account,
    own: BTreeMap<ConfigurationId, config::Account>,
}

/// The account of one of them.
#[derive(Debug)]
pub(super) struct Account<'a> {
    configuration: &'a ConfigurationId,
    name: Option<&'a str>,
    file: Option<&'a Path>,
    /// Those that are there, and of those that have to be why one is missing or does not hold.
    values: BTreeMap<&'a str, Result<&'a str, Fault>>,
    edges: &'a [Edge],
}

impl Accounts {
    pub(super) fn new(settings: &config::Api) -> Self {
        Self {
            credentials: settings.credentials.clone(),
            edges: settings.probe.clone(),
            common: settings.account.clone(),
            own: settings.accounts.clone(),
        }
    }

    /// One account for every configuration.
    #[cfg(test)]
    pub(super) fn of_test(common: config::Account) -> Self {
        Self {
            credentials: None,
            edges: Vec::new(),
            common,
            own: BTreeMap::new(),
        }
    }

    /// The account of a configuration with its values of these `fields`; without a list, with all that it has.
    pub(super) fn of<'a>(
        &'a self,
        configuration: &'a ConfigurationId,
        fields: Option<&'static [AccountField]>,
    ) -> Account<'a> {
        let own = self.own.get(configuration);
        let files = [
            own.and_then(|own| own.credentials.as_ref()),
            self.common.credentials.as_ref(),
            self.credentials.as_ref(),
        ];
        let edges = [
            own.map(|own| own.probe.as_slice()),
            Some(self.common.probe.as_slice()),
            Some(self.edges.as_slice()),
        ];
        let mut edges = edges.into_iter().flatten();
        Account {
            configuration,
            name: config::Account::named(own, &self.common),
            file: files.into_iter().flatten().next().map(PathBuf::as_path),
            values: self.values(configuration, fields),
            edges: edges.find(|edges| !edges.is_empty()).unwrap_or_default(),
        }
    }

    fn values<'a>(
        &'a self,
        configuration: &ConfigurationId,
        fields: Option<&'static [AccountField]>,
    ) -> BTreeMap<&'a str, Result<&'a str, Fault>> {
        let Some(fields) = fields else {
            let tables = [Some(&self.common), self.own.get(configuration)];
            let all = tables.into_iter().flatten().flat_map(|one| &one.values);
            return all
                .map(|(name, value)| (name.as_str(), Ok(value.as_str())))
                .collect();
        };
        let of = |field: &'static AccountField| {
            let value = self.value(configuration, field)?;
            let holds = value.and_then(|value| {
                self.check_alone(configuration, field, value)?;
                Ok(value)
            });
            Some((field.name, holds))
        };
        fields.iter().filter_map(of).collect()
    }

    /// What stands in the nearest table; `None` where it need not be there.
    fn value<'a>(
        &'a self,
        configuration: &ConfigurationId,
        field: &AccountField,
    ) -> Option<Result<&'a str, Fault>> {
        let of = |account: &'a config::Account| account.values.get(field.name).map(String::as_str);
        let own = self.own.get(configuration).and_then(of);
        let common = of(&self.common).filter(|_| !field.exclusive);
        match (own.or(common), field.presence) {
            (Some(value), _) | (None, Presence::Default(value)) => Some(Ok(value)),
            (None, Presence::Optional) => None,
            (None, Presence::Required) => {
                let fault = missing(configuration, field.name, Some(field.about));
                Some(Err(fault))
            }
        }
    }
}

impl<'a> Account<'a> {
    /// A value by its name, or why there is none that holds.
    pub(super) fn value(&self, name: &str) -> Result<&'a str, Fault> {
        let value = self.values.get(name).cloned();
        value.unwrap_or_else(|| Err(missing(self.configuration, name, None)))
    }

    /// Why a call cannot be made with it, as a dialect says it. The value may be there and not hold: then why that is so says more.
    pub(super) fn does_not_do(&self, unfit: &Unfit) -> Fault {
        match self.values.get(unfit.field) {
            Some(Err(fault)) => fault.clone(),
            _ => not_configured(&format!(
                "the adapter's `api.accounts` do not do for this call: {}",
                unfit.why
            )),
        }
    }

    /// Who it is to the provider, where the operator says so; otherwise its file is.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.name
    }

    /// Where its credentials are.
    pub(super) fn file(&self) -> Option<&'a Path> {
        self.file
    }

    /// Where one can look at what its visitors get.
    pub(super) fn edges(&self) -> &'a [Edge] {
        self.edges
    }

    /// Its credentials as they are now.
    pub(super) async fn credential(&self) -> Result<Option<Credential>, Fault> {
        match self.file {
            Some(file) => Credential::read(file).await.map(Some),
            None => Ok(None),
        }
    }
}

fn missing(configuration: &ConfigurationId, name: &str, about: Option<&str>) -> Fault {
    let about = about.map_or_else(String::new, |about| format!(" ({about})"));
    not_configured(&format!(
        "the adapter's configuration has no `api.accounts.{configuration}.values.{name}`{about}"
    ))
}

fn not_configured(message: &str) -> Fault {
    Fault::participant(FaultCode::NotConfigured, Again::Never, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[AccountField] = &[
        AccountField {
            name: "zone",
            about: "the zone's id",
            presence: Presence::Required,
            exclusive: true,
            own_credentials: false,
        },
        AccountField {
            name: "network",
            about: "the network",
            presence: Presence::Default("production"),
            exclusive: false,
            own_credentials: false,
        },
        AccountField {
            name: "code",
            about: "the CP code",
            presence: Presence::Optional,
            exclusive: false,
            own_credentials: false,
        },
    ];

    fn account(values: &[(&str, &str)]) -> config::Account {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        config::Account {
            values: values.collect(),
            ..config::Account::default()
        }
    }

    fn accounts(own: &[(&str, config::Account)]) -> Accounts {
        Accounts {
            credentials: Some("/run/secrets/all".into()),
            edges: Vec::new(),
            common: account(&[("zone", "everybody"), ("network", "staging")]),
            own: own
                .iter()
                .map(|(id, account)| (id.parse().unwrap(), account.clone()))
                .collect(),
        }
    }

    /// A configuration's own table counts before the common one, and that before the dialect's default.
    #[test]
    fn values_come_from_the_nearest_table() {
        let own = config::Account {
            credentials: Some("/run/secrets/shop".into()),
            ..account(&[("zone", "z1")])
        };
        let accounts = accounts(&[("shop", own)]);
        let shop = "shop".parse().unwrap();
        let account = accounts.of(&shop, Some(FIELDS));
        assert_eq!(account.value("zone"), Ok("z1"));
        assert_eq!(account.value("network"), Ok("staging"));
        assert_eq!(account.file(), Some(Path::new("/run/secrets/shop")));
        let fault = account.value("code").unwrap_err();
        assert!(
            fault.message.contains("`api.accounts.shop.values.code`"),
            "{fault:?}"
        );
        let mapped = accounts.of(&shop, None);
        assert_eq!(mapped.value("zone"), Ok("z1"));
    }

    /// Two files of one account have one budget where they have one name; a file of its own without a name is another account.
    #[test]
    fn an_account_is_known_by_its_name_before_its_file() {
        let named = |name: Option<&str>, file: Option<&str>| config::Account {
            name: name.map(str::to_owned),
            credentials: file.map(PathBuf::from),
            ..account(&[("zone", "z")])
        };
        let mut accounts = accounts(&[
            ("shop", named(Some("acme"), Some("/run/secrets/shop"))),
            ("blog", named(Some("acme"), Some("/run/secrets/blog"))),
            ("news", named(None, Some("/run/secrets/news"))),
            ("wiki", named(None, None)),
        ]);
        accounts.common.name = Some("all".to_owned());
        for (configuration, name) in [
            ("shop", Some("acme")),
            ("blog", Some("acme")),
            ("news", None),
            ("wiki", Some("all")),
            ("other", Some("all")),
        ] {
            let configuration = configuration.parse().unwrap();
            assert_eq!(accounts.of(&configuration, None).name(), name);
        }
    }

    /// A value that does not hold, or is missing, is no fault of what needs others.
    #[test]
    fn what_does_not_need_a_value_goes_on_without_it() {
        let same = account(&[("zone", "z1"), ("network", "staging")]);
        let accounts = accounts(&[("shop", same.clone()), ("blog", same)]);
        for (configuration, words) in [
            ("shop", "`blog`"),
            ("news", "`api.accounts.news.values.zone`"),
        ] {
            let configuration = configuration.parse().unwrap();
            let account = accounts.of(&configuration, Some(FIELDS));
            assert_eq!(account.value("network"), Ok("staging"));
            let fault = account.value("zone").unwrap_err();
            assert_eq!(fault.code, FaultCode::NotConfigured);
            assert!(fault.message.contains(words), "{fault:?}");
            let unfit = |field| Unfit {
                field,
                why: "it does not do".to_owned(),
            };
            assert_eq!(account.does_not_do(&unfit("zone")), fault);
            let other = account.does_not_do(&unfit("network"));
            assert!(other.message.ends_with("it does not do"), "{other:?}");
        }
    }
}
