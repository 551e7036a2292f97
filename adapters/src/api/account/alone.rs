//! What belongs to one configuration alone.
//!
//! Invariant: what the provider carries out some calls on as a whole is one configuration's, so that no command reaches past its
//! own, and so are the credentials of which a value says what they have access to.

use std::path::{Path, PathBuf};

use dialects::AccountField;
use domain::{ConfigurationId, Fault};

use super::{Accounts, not_configured};

impl Accounts {
    /// Why a value of a configuration does not hold, where it has to be that configuration's alone and is not.
    pub(super) fn check_alone(
        &self,
        configuration: &ConfigurationId,
        field: &AccountField,
        value: &str,
    ) -> Result<(), Fault> {
        if field.exclusive {
            self.check_own_value(configuration, field, value)?;
        }
        if field.own_credentials && !value.is_empty() {
            self.check_own_file(configuration, field)?;
        }
        Ok(())
    }

    fn check_own_value(
        &self,
        configuration: &ConfigurationId,
        field: &AccountField,
        value: &str,
    ) -> Result<(), Fault> {
        let (name, about) = (field.name, field.about);
        let mut others = self.own.iter().filter(|(id, _)| *id != configuration);
        let same = others.find(|(_, other)| other.values.get(name).is_some_and(|own| own == value));
        let Some((other, _)) = same else {
            return Ok(());
        };
        Err(not_configured(&format!(
            "the adapter's `api.accounts.{configuration}.values.{name}` and that of `{other}` are the same, and {about} must be \
             one configuration's alone"
        )))
    }

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

#[cfg(test)]
mod tests {
    use dialects::Presence;

    use super::*;
    use crate::config::Account;

    const CLIENT: &[AccountField] = &[AccountField {
        name: "client",
        about: "the API client",
        presence: Presence::Optional,
        exclusive: true,
        own_credentials: true,
    }];

    fn client(name: &str, file: Option<&Path>) -> Account {
        Account {
            credentials: file.map(Path::to_owned),
            values: [("client".to_owned(), name.to_owned())].into(),
            ..Account::default()
        }
    }

    fn accounts(own: &[(&str, Account)]) -> Accounts {
        let own = own.iter().cloned();
        Accounts {
            credentials: Some("/run/secrets/all".into()),
            own: own
                .map(|(id, account)| (id.parse().unwrap(), account))
                .collect(),
            ..Accounts::of_test(Account::default())
        }
    }

    /// Why the shop's client does not hold, if that is so.
    fn of_shop(accounts: &Accounts) -> Result<(), String> {
        let shop: ConfigurationId = "shop".parse().unwrap();
        let account = accounts.of(&shop, Some(CLIENT));
        let value = account.value("client");
        value.map(drop).map_err(|fault| fault.message)
    }

    /// What credentials have access to is said by a value: then nobody else has them, in whichever way he would come to them. By
    /// another path a file is the same file.
    #[test]
    fn credentials_that_a_value_speaks_of_are_one_configurations_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, "").unwrap();
        std::os::unix::fs::symlink(&one, &other).unwrap();
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
            (own(), own(), "that of `blog` are the same"),
        ] {
            let why = of_shop(&accounts(&[("shop", shop), ("blog", blog)])).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let mut everybodys = accounts(&[("shop", own())]);
        everybodys.common.credentials = Some(other);
        let why = of_shop(&everybodys).unwrap_err();
        assert!(why.contains("`api.account.credentials`"), "{why}");
        everybodys.common.credentials = None;
        everybodys.credentials = Some(one.clone());
        let why = of_shop(&everybodys).unwrap_err();
        assert!(why.contains("`api.credentials`"), "{why}");
    }
}
