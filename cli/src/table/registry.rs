//! The directory for people.

use std::time::Duration;

use crate::{
    view::{
        CertificateView, ConfigurationView, DeploymentView, KeyView, MappingView, ParticipantView,
        ProgressView, ServerView,
    },
    words,
};

/// A record as a row of a list.
pub(crate) trait Row {
    /// The titles.
    const HEADER: &'static [&'static str];

    /// The cells below them.
    fn cells(&self) -> Vec<String>;
}

impl Row for CertificateView {
    const HEADER: &'static [&'static str] = &["HOLDER", "SERIAL", "UNTIL", "COUNTS"];

    fn cells(&self) -> Vec<String> {
        let counts = match (self.revoked, self.expired) {
            (true, _) => "no: revoked",
            (false, true) => "no: expired",
            (false, false) => "yes",
        };
        vec![
            self.holder.clone(),
            self.serial.clone(),
            words::readable(&self.not_after),
            counts.to_owned(),
        ]
    }
}

impl Row for ParticipantView {
    const HEADER: &'static [&'static str] = &[
        "PARTICIPANT",
        "NAME",
        "IS TOLD THROUGH",
        "OWN COMMANDS",
        "BEHIND",
    ];

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
                format!(
                    "its own system ({dialect}){}{}",
                    abilities(self),
                    limits(self)
                )
            }),
            own.to_owned(),
            self.progress.as_ref().map(behind).unwrap_or_default(),
        ]
    }
}

impl Row for ProgressView {
    const HEADER: &'static [&'static str] = &[
        "PARTICIPANT",
        "BEHIND",
        "WAITING",
        "UNREPORTED",
        "ACCEPTED",
        "READ",
        "HEARD",
    ];

    fn cells(&self) -> Vec<String> {
        let heard = self.heard_seconds.map(seconds);
        vec![
            self.participant_id.clone(),
            behind(self),
            self.waiting.to_string(),
            self.unreported.to_string(),
            self.accepted_sequence.to_string(),
            self.read_sequence.to_string(),
            heard.map_or("never".to_owned(), |time| format!("{time} ago")),
        ]
    }
}

/// `: purge url tag, load url`.
fn abilities(participant: &ParticipantView) -> String {
    let said = participant.capabilities.iter();
    let said: Vec<_> = said
        .map(|one| format!("{} {}", one.operation, one.selectors.join(" ")))
        .collect();
    if said.is_empty() {
        return String::new();
    }
    format!(": {}", said.join(", "))
}

/// `; a call holds 30 tags, 40000 bytes`.
fn limits(participant: &ParticipantView) -> String {
    let said = participant.native_limits.iter();
    let said: Vec<_> = said
        .map(|(unit, amount)| format!("{amount} {unit}"))
        .collect();
    if said.is_empty() {
        return String::new();
    }
    format!("; a call holds {}", said.join(", "))
}

/// `15, for 2 min 3 s`; `no`.
fn behind(progress: &ProgressView) -> String {
    match (progress.behind, progress.behind_seconds) {
        (0, _) => "no".to_owned(),
        (count, None) => count.to_string(),
        (count, Some(since)) => format!("{count}, for {}", seconds(since)),
    }
}

fn seconds(seconds: u64) -> String {
    words::duration(Duration::from_secs(seconds))
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
    const HEADER: &'static [&'static str] =
        &["CONFIGURATION", "OWNER", "CUSTOMER", "WIDE PURGES", "HOSTS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.configuration_id.clone(),
            self.owner_id.clone(),
            self.customer_id.clone(),
            if self.wide_purges_need_approval {
                "with approval".to_owned()
            } else {
                "at once".to_owned()
            },
            self.hosts.join(", "),
        ]
    }
}

impl Row for MappingView {
    const HEADER: &'static [&'static str] = &["MAPPING", "VERSION", "PUT (UTC)"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version.to_string(),
            words::readable(self.put_time.as_deref().unwrap_or_default()),
        ]
    }
}

impl Row for KeyView {
    const HEADER: &'static [&'static str] = &["KEY", "PUBLIC KEY", "FROM", "UNTIL"];

    fn cells(&self) -> Vec<String> {
        let moment = |moment: &Option<String>| moment.clone().unwrap_or_default();
        vec![
            self.key_id.clone(),
            self.public_key.clone(),
            moment(&self.valid_from_time),
            moment(&self.valid_until_time),
        ]
    }
}

impl Row for DeploymentView {
    const HEADER: &'static [&'static str] = &[
        "DEPLOYMENT",
        "CONFIGURATION",
        "PARTICIPANT",
        "STATE",
        "SERVERS",
    ];

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
            self.state.clone().unwrap_or_default(),
            servers,
        ]
    }
}
