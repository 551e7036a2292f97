//! The directory for people.

use crate::view::{ConfigurationView, DeploymentView, ParticipantView, ServerView};

/// A record as a row of a list.
pub(crate) trait Row {
    /// The titles.
    const HEADER: &'static [&'static str];

    /// The cells below them.
    fn cells(&self) -> Vec<String>;
}

impl Row for ParticipantView {
    const HEADER: &'static [&'static str] =
        &["PARTICIPANT", "NAME", "IS TOLD THROUGH", "OWN COMMANDS"];

    fn cells(&self) -> Vec<String> {
        let system = self.invocation_system.as_ref();
        let own = if self.excludes_own_servers {
            "leave its own servers alone"
        } else {
            "reach its own servers too"
        };
        vec![
            self.participant_id.clone(),
            self.display_name.clone(),
            system.map_or("its servers".to_owned(), |dialect| {
                format!("its own system ({dialect})")
            }),
            own.to_owned(),
        ]
    }
}

impl Row for ServerView {
    const HEADER: &'static [&'static str] =
        &["SERVER", "PARTICIPANT", "DIALECT", "ADDRESS", "PLACE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.server_id.clone(),
            self.participant_id.clone(),
            self.dialect.clone(),
            self.address.clone(),
            self.place.to_string(),
        ]
    }
}

impl Row for ConfigurationView {
    const HEADER: &'static [&'static str] = &["CONFIGURATION", "OWNER", "CUSTOMER", "HOSTS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.configuration_id.clone(),
            self.owner_id.clone(),
            self.customer_id.clone(),
            self.hosts.join(", "),
        ]
    }
}

impl Row for DeploymentView {
    const HEADER: &'static [&'static str] =
        &["DEPLOYMENT", "CONFIGURATION", "PARTICIPANT", "SERVERS"];

    fn cells(&self) -> Vec<String> {
        let servers = if self.server_ids.is_empty() {
            "all".to_owned()
        } else {
            self.server_ids.join(", ")
        };
        vec![
            self.deployment_id.clone(),
            self.configuration_id.clone(),
            self.participant_id.clone(),
            servers,
        ]
    }
}
