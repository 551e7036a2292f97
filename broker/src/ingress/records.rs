//! The registry's records, proto to domain and back, field by field.

use std::time::SystemTime;

use domain::{
    Agreement, Capability, Configuration, Deployment, DialectName, HostName, NativeLimits,
    Participant, Place, SelectorKind, Server, limits, participant::OwnServers, signing::TimedKey,
};
use proto::v1;

use super::view::timestamp;
use crate::{
    authorise::Access,
    error::{Error, Violation},
    registry::{broken_by_limit, broken_by_server},
};

/// A record's two forms.
pub(super) trait Form: Sized {
    /// Its proto message.
    type Message;
    /// Reads the message; every field that breaks a rule is named.
    fn read(message: Self::Message) -> Result<Self, Error>;
    /// Shows it whole.
    fn show(&self) -> Self::Message;
    /// Shows as much of it as the caller may see.
    fn show_to(&self, access: Access) -> Self::Message {
        let _ = access;
        self.show()
    }
}

/// Reads fields and collects what is wrong with them.
struct Fields {
    resource: &'static str,
    problems: Vec<Violation>,
}

impl Fields {
    const fn of(resource: &'static str) -> Self {
        Self {
            resource,
            problems: Vec::new(),
        }
    }

    fn parse<T: std::str::FromStr<Err = domain::BrokenRule>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        text.parse()
            .map_err(|rule: domain::BrokenRule| self.broken(field, &rule.to_string()))
            .ok()
    }

    fn parse_all<T: std::str::FromStr<Err = domain::BrokenRule>>(
        &mut self,
        field: &str,
        texts: &[String],
    ) -> Vec<T> {
        let texts = texts.iter().enumerate();
        texts
            .filter_map(|(index, text)| self.parse(&format!("{field}[{index}]"), text))
            .collect()
    }

    fn broken(&mut self, field: &str, rule: &str) {
        self.problems
            .push(Violation::new(format!("{}.{field}", self.resource), rule));
    }

    fn finish<T>(self, record: Option<T>) -> Result<T, Error> {
        match record {
            Some(record) if self.problems.is_empty() => Ok(record),
            _ => Err(Error::Invalid(self.problems)),
        }
    }
}

impl Form for Participant {
    type Message = v1::Participant;

    fn read(message: v1::Participant) -> Result<Self, Error> {
        let mut fields = Fields::of("participant");
        let id = fields.parse("id", &message.id);
        if message.display_name.chars().count() > limits::LABEL_LENGTH
            || message.display_name.chars().any(char::is_control)
        {
            fields.broken(
                "display_name",
                &format!(
                    "must be at most {} characters without control characters (LABEL_LENGTH)",
                    limits::LABEL_LENGTH
                ),
            );
        }
        let invocation_system = match message.invocation_system.as_str() {
            "" => None,
            name => fields.parse("invocation_system", name),
        };
        let own_servers = if message.excludes_own_servers {
            OwnServers::Excluded
        } else {
            OwnServers::Included
        };
        let display_name = message.display_name;
        let capabilities = capabilities(&mut fields, &message.capabilities);
        let signing_keys = signing_keys(&mut fields, &message.signing_keys);
        let system = invocation_system.as_ref();
        let native_limits = native_limits(&mut fields, system, &message.native_limits);
        fields.finish(id.map(|id| Self {
            id,
            display_name,
            invocation_system,
            own_servers,
            capabilities,
            signing_keys,
            native_limits,
        }))
    }

    fn show(&self) -> v1::Participant {
        v1::Participant {
            id: self.id.to_string(),
            display_name: self.display_name.clone(),
            invocation_system: self
                .invocation_system
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            excludes_own_servers: self.own_servers == OwnServers::Excluded,
            capabilities: self.capabilities.iter().map(capability).collect(),
            signing_keys: self.signing_keys.iter().map(signing_key).collect(),
            native_limits: self.native_limits.iter().map(native_limit).collect(),
        }
    }
}

fn capabilities(fields: &mut Fields, messages: &[v1::Capability]) -> Vec<Capability> {
    if messages.len() > limits::CAPABILITIES_PER_PARTICIPANT {
        fields.broken(
            "capabilities",
            "must be at most 100 (CAPABILITIES_PER_PARTICIPANT)",
        );
        return Vec::new();
    }
    let mut read = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let field = format!("capabilities[{index}]");
        let operation = fields.parse(&format!("{field}.operation"), &message.operation);
        let field = format!("{field}.selectors");
        let kinds = 1..=SelectorKind::ALL.len();
        if !kinds.contains(&message.selectors.len()) {
            fields.broken(&field, "must be 1 to 7 kinds of selectors");
            continue;
        }
        let selectors = fields.parse_all(&field, &message.selectors);
        read.extend(operation.map(|operation| Capability {
            operation,
            selectors: selectors.into_iter().collect(),
        }));
    }
    read
}

fn signing_keys(fields: &mut Fields, messages: &[v1::SigningKey]) -> Vec<TimedKey> {
    if messages.len() > limits::SIGNING_KEYS {
        fields.broken("signing_keys", "must be at most 16 (SIGNING_KEYS)");
        return Vec::new();
    }
    let mut read: Vec<TimedKey> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let field = format!("signing_keys[{index}]");
        let Some(key) = fields.parse(&format!("{field}.public_key"), &message.public_key) else {
            continue;
        };
        if read.iter().any(|other| other.key == key) {
            fields.broken(&format!("{field}.public_key"), "must be there once");
        }
        let mut moment = |name: &str, moment: Option<prost_types::Timestamp>| {
            let read = moment.map(SystemTime::try_from).transpose();
            let read = read.map_err(|_| {
                fields.broken(&format!("{field}.{name}"), "must be a moment since 1970");
            });
            read.ok().flatten().map(domain::Timestamp::from)
        };
        read.push(TimedKey {
            key,
            valid_from: moment("valid_from_time", message.valid_from_time),
            valid_until: moment("valid_until_time", message.valid_until_time),
        });
    }
    read
}

fn native_limits(
    fields: &mut Fields,
    system: Option<&DialectName>,
    messages: &[v1::NativeLimit],
) -> NativeLimits {
    const MOST: usize = limits::NATIVE_LIMITS_PER_PARTICIPANT;
    if messages.len() > MOST {
        let rule = format!("must be at most {MOST} (NATIVE_LIMITS_PER_PARTICIPANT)");
        fields.broken("native_limits", &rule);
        return NativeLimits::NONE;
    }
    for (index, message) in messages.iter().enumerate() {
        let field = |member: &str| format!("native_limits[{index}].{member}");
        if let Some((member, rule)) = broken_by_limit(system, &message.unit, message.amount) {
            fields.broken(&field(member), &rule);
        }
        let mut before = messages.iter().take(index);
        if before.any(|other| other.unit == message.unit) {
            fields.broken(&field("unit"), "must not be a unit that stands before");
        }
    }
    let all = messages.iter();
    all.map(|message| (message.unit.clone(), message.amount))
        .collect()
}

fn native_limit((unit, amount): (&str, u32)) -> v1::NativeLimit {
    v1::NativeLimit {
        unit: unit.to_owned(),
        amount,
    }
}

fn signing_key(timed: &TimedKey) -> v1::SigningKey {
    v1::SigningKey {
        public_key: timed.key.to_string(),
        key_id: timed.key.id().to_string(),
        valid_from_time: timed.valid_from.map(timestamp),
        valid_until_time: timed.valid_until.map(timestamp),
    }
}

fn capability(capability: &Capability) -> v1::Capability {
    v1::Capability {
        operation: capability.operation.to_string(),
        selectors: capability
            .selectors
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

impl Form for Server {
    type Message = v1::Server;

    fn read(message: v1::Server) -> Result<Self, Error> {
        let mut fields = Fields::of("server");
        let id = fields.parse("id", &message.id);
        let participant = fields.parse("participant_id", &message.participant_id);
        let dialect = fields.parse("dialect", &message.dialect);
        // What no registry need be asked for is told with the rest.
        if let Some(rule) = dialect.as_ref().and_then(broken_by_server) {
            fields.broken("dialect", &rule);
        }
        let address = fields.parse("address", &message.address);
        let place = message.place.unwrap_or_default();
        let place = Place::new(&place.region, &place.country, &place.city)
            .map_err(|rule| fields.broken("place", &rule.to_string()))
            .ok();
        let record = id.zip(participant).zip(dialect).zip(address).zip(place);
        fields.finish(
            record.map(|((((id, participant), dialect), address), place)| Self {
                id,
                participant,
                dialect,
                address,
                place,
            }),
        )
    }

    fn show(&self) -> v1::Server {
        v1::Server {
            id: self.id.to_string(),
            participant_id: self.participant.to_string(),
            dialect: self.dialect.to_string(),
            address: self.address.to_string(),
            place: Some(place(&self.place)),
        }
    }
}

impl Form for Configuration {
    type Message = v1::Configuration;

    fn read(message: v1::Configuration) -> Result<Self, Error> {
        let mut fields = Fields::of("configuration");
        let id = fields.parse("id", &message.id);
        let customer = fields.parse("customer_id", &message.customer_id);
        let owner = fields.parse("owner_id", &message.owner_id);
        if !(1..=limits::HOSTS_PER_CONFIGURATION).contains(&message.hosts.len()) {
            fields.broken(
                "hosts",
                "must be 1 to 100 host names (HOSTS_PER_CONFIGURATION)",
            );
            return fields.finish(None);
        }
        let mut hosts: Vec<HostName> = fields.parse_all("hosts", &message.hosts);
        hosts.sort_unstable();
        hosts.dedup();
        let record = id.zip(customer).zip(owner);
        fields.finish(record.map(|((id, customer), owner)| Self {
            id,
            customer,
            owner,
            hosts,
            wide_purges_need_approval: message.wide_purges_need_approval,
        }))
    }

    fn show(&self) -> v1::Configuration {
        v1::Configuration {
            id: self.id.to_string(),
            customer_id: self.customer.to_string(),
            owner_id: self.owner.to_string(),
            hosts: self.hosts.iter().map(ToString::to_string).collect(),
            wide_purges_need_approval: Some(self.needs_approval()),
        }
    }

    /// Whose content it is, is between the customer and the owner.
    fn show_to(&self, access: Access) -> v1::Configuration {
        let customer_id = match access {
            Access::Whole => self.customer.to_string(),
            Access::Part | Access::Hidden | Access::Denied => String::new(),
        };
        v1::Configuration {
            customer_id,
            ..self.show()
        }
    }
}

impl Form for Deployment {
    type Message = v1::Deployment;

    fn read(message: v1::Deployment) -> Result<Self, Error> {
        let mut fields = Fields::of("deployment");
        let id = fields.parse("id", &message.id);
        let configuration = fields.parse("configuration_id", &message.configuration_id);
        let participant = fields.parse("participant_id", &message.participant_id);
        if message.server_ids.len() > limits::SERVERS_PER_DEPLOYMENT {
            fields.broken(
                "server_ids",
                "must be at most 10,000 (SERVERS_PER_DEPLOYMENT)",
            );
            return fields.finish(None);
        }
        let servers = fields.parse_all("server_ids", &message.server_ids);
        let record = id.zip(configuration).zip(participant);
        fields.finish(record.map(|((id, configuration), participant)| Self {
            id,
            configuration,
            participant,
            servers,
            // What the caller writes does not count; whoever checks the record decides.
            agreement: Agreement::Wished,
        }))
    }

    fn show(&self) -> v1::Deployment {
        v1::Deployment {
            id: self.id.to_string(),
            configuration_id: self.configuration.to_string(),
            participant_id: self.participant.to_string(),
            server_ids: self.servers.iter().map(ToString::to_string).collect(),
            state: agreement(self.agreement).into(),
        }
    }
}

const fn agreement(agreement: Agreement) -> v1::DeploymentState {
    match agreement {
        Agreement::Wished => v1::DeploymentState::Wished,
        Agreement::Granted => v1::DeploymentState::Granted,
        Agreement::Revoked => v1::DeploymentState::Revoked,
    }
}

/// The servers that a grant names.
pub(super) fn granted_servers(ids: &[String]) -> Result<Vec<domain::ServerId>, Error> {
    if ids.len() > limits::SERVERS_PER_DEPLOYMENT {
        let rule = "must be at most 10,000 (SERVERS_PER_DEPLOYMENT)";
        return Err(Error::invalid("server_ids", rule));
    }
    let ids = ids.iter().enumerate();
    ids.map(|(index, id)| {
        let field = format!("server_ids[{index}]");
        id.parse().map_err(Error::broken(field))
    })
    .collect()
}

/// A place.
pub(super) fn place(place: &Place) -> v1::Place {
    v1::Place {
        region: place.region.clone().unwrap_or_default(),
        country: place.country.clone().unwrap_or_default(),
        city: place.city.clone().unwrap_or_default(),
    }
}
