//! What a provider knows a configuration by, out of the adapter's own configuration.
//!
//! Invariant: what the provider carries out some calls on as a whole belongs to one configuration alone, so that no
//! command reaches past its own, and so do the credentials of which a value says what they have access to; what is missing is
//! said by the key that the operator has to write.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dialects::{AccountField, Presence};
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
    values: BTreeMap<&'a str, &'a str>,
    /// Those that do not hold, and why: only what needs one of them is refused.
    withheld: BTreeMap<&'a str, Fault>,
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

    /// The account of a configuration, with all `fields` that it must have; without a list, with all that it has.
    pub(super) fn of<'a>(
        &'a self,
        configuration: &'a ConfigurationId,
        fields: Option<&'static [AccountField]>,
    ) -> Result<Account<'a>, Fault> {
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
        let mut account = Account {
            configuration,
            name: config::Account::named(own, &self.common),
            file: files.into_iter().flatten().next().map(PathBuf::as_path),
            values: BTreeMap::new(),
            withheld: BTreeMap::new(),
            edges: edges.find(|edges| !edges.is_empty()).unwrap_or_default(),
        };
        let Some(fields) = fields else {
            let of = |account: &'a config::Account| account.values.iter();
            let all = of(&self.common).chain(own.into_iter().flat_map(of));
            let all = all.map(|(name, value)| (name.as_str(), value.as_str()));
            account.values.extend(all);
            return Ok(account);
        };
        for field in fields {
            let Some(value) = self.value(configuration, field)? else {
                continue;
            };
            let speaks_of_credentials = field.own_credentials && !value.is_empty();
            let checked = speaks_of_credentials.then(|| self.check_own_file(configuration, field));
            match checked {
                Some(Err(fault)) => drop(account.withheld.insert(field.name, fault)),
                Some(Ok(())) | None => drop(account.values.insert(field.name, value)),
            }
        }
        Ok(account)
    }

    fn value<'a>(
        &'a self,
        configuration: &ConfigurationId,
        field: &AccountField,
    ) -> Result<Option<&'a str>, Fault> {
        let of = |account: &'a config::Account| account.values.get(field.name).map(String::as_str);
        let own = self.own.get(configuration).and_then(of);
        if field.exclusive {
            let mut others = self.own.iter().filter(|(id, _)| *id != configuration);
            let same = others.find(|(_, other)| own.is_some() && of(other) == own);
            if let Some((other, _)) = same {
                let (name, about) = (field.name, field.about);
                return Err(not_configured(&format!(
                    "the adapter's `api.accounts.{configuration}.values.{name}` and that of `{other}` are the same, and \
                     {about} must be one configuration's alone"
                )));
            }
        }
        let common = of(&self.common).filter(|_| !field.exclusive);
        match (own.or(common), field.presence) {
            (Some(value), _) | (None, Presence::Default(value)) => Ok(Some(value)),
            (None, Presence::Optional) => Ok(None),
            (None, Presence::Required) => {
                Err(missing(configuration, field.name, Some(field.about)))
            }
        }
    }
}

impl Accounts {
    /// A value that says what the credentials have access to holds for everybody who has them.
    fn check_own_file(
        &self,
        configuration: &ConfigurationId,
        field: &AccountField,
    ) -> Result<(), Fault> {
        let own = self.own.get(configuration);
        let own = own.and_then(|own| own.credentials.as_deref());
        let (name, about) = (field.name, field.about);
        let Some(own) = own.map(place) else {
            return Err(not_configured(&format!(
                "the adapter's `api.accounts.{configuration}.values.{name}` ({about}) needs `credentials` beside it: those of \
                 `api` and of `api.account` are every configuration's"
            )));
        };
        let others = self.own.iter().filter(|(id, _)| *id != configuration);
        let others = others.map(|(id, other)| (format!("api.accounts.{id}"), &other.credentials));
        let common = [
            ("api.account".to_owned(), &self.common.credentials),
            ("api".to_owned(), &self.credentials),
        ];
        let is_same =
            |other: &Option<PathBuf>| other.as_deref().is_some_and(|file| place(file) == own);
        match others.chain(common).find(|(_, other)| is_same(other)) {
            None => Ok(()),
            Some((other, _)) => Err(not_configured(&format!(
                "the adapter's `api.accounts.{configuration}.credentials` and `{other}.credentials` are the same file, and with \
                 `values.{name}` ({about}) it must be one configuration's alone"
            ))),
        }
    }
}

/// Where a file is, by whichever path it is named.
fn place(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}

impl<'a> Account<'a> {
    /// Why a value that is there does not hold.
    pub(super) fn withheld(&self, name: &str) -> Option<&Fault> {
        self.withheld.get(name)
    }

    /// A value by its name, or the fault that it is missing.
    pub(super) fn value(&self, name: &str) -> Result<&'a str, Fault> {
        let value = self.values.get(name).copied();
        value.ok_or_else(|| missing(self.configuration, name, None))
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
        let account = accounts.of(&shop, Some(FIELDS)).unwrap();
        assert_eq!(account.value("zone"), Ok("z1"));
        assert_eq!(account.value("network"), Ok("staging"));
        assert_eq!(account.file(), Some(Path::new("/run/secrets/shop")));
        let fault = account.value("code").unwrap_err();
        assert!(
            fault.message.contains("`api.accounts.shop.values.code`"),
            "{fault:?}"
        );
        let mapped = accounts.of(&shop, None).unwrap();
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
            assert_eq!(accounts.of(&configuration, None).unwrap().name(), name);
        }
    }

    /// What credentials have access to is said by a value: then nobody else has them, in whichever way he would come to them. By
    /// another path a file is the same file.
    #[test]
    fn credentials_that_a_value_speaks_of_are_one_configurations_alone() {
        const CLIENT: &[AccountField] = &[AccountField {
            name: "client",
            about: "the API client",
            presence: Presence::Optional,
            exclusive: true,
            own_credentials: true,
        }];
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, "").unwrap();
        std::os::unix::fs::symlink(&one, &other).unwrap();
        let client = |name: &str, file: Option<&Path>| config::Account {
            credentials: file.map(Path::to_owned),
            ..account(&[("client", name)])
        };
        let of_shop = |accounts: &Accounts| {
            let shop: ConfigurationId = "shop".parse().unwrap();
            // Of what does not need the client nothing is refused.
            let account = accounts.of(&shop, Some(CLIENT)).unwrap();
            let withheld = account.withheld("client");
            withheld.map_or(Ok(()), |fault| Err(fault.message.clone()))
        };
        let own = || client("c1", Some(&one));
        assert_eq!(of_shop(&accounts(&[("shop", own())])), Ok(()));
        // A client without a name is none.
        assert_eq!(of_shop(&accounts(&[("shop", client("", None))])), Ok(()));
        for (shop, blog, words) in [
            (client("c1", None), client("c2", None), "`credentials`"),
            (
                own(),
                client("c2", Some(&one)),
                "`api.accounts.blog.credentials`",
            ),
            (
                own(),
                client("c2", Some(&other)),
                "`api.accounts.blog.credentials`",
            ),
        ] {
            let why = of_shop(&accounts(&[("shop", shop), ("blog", blog)])).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let mut everybodys = accounts(&[("shop", own())]);
        everybodys.common.credentials = Some(other);
        assert!(
            of_shop(&everybodys)
                .unwrap_err()
                .contains("`api.account.credentials`")
        );
        everybodys.common.credentials = None;
        everybodys.credentials = Some(one.clone());
        assert!(
            of_shop(&everybodys)
                .unwrap_err()
                .contains("`api.credentials`")
        );
    }

    /// A purge of everything reaches all of a zone: two configurations with the same zone would purge each other.
    #[test]
    fn a_value_that_is_one_configurations_alone_is_never_shared() {
        let same = account(&[("zone", "z1")]);
        let accounts = accounts(&[("shop", same.clone()), ("blog", same)]);
        for (configuration, words) in [
            ("shop", "`blog`"),
            ("news", "`api.accounts.news.values.zone`"),
        ] {
            let configuration = configuration.parse().unwrap();
            let fault = accounts.of(&configuration, Some(FIELDS)).unwrap_err();
            assert_eq!(fault.code, FaultCode::NotConfigured);
            assert!(fault.message.contains(words), "{fault:?}");
        }
    }
}
