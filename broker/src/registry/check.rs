//! What must hold of a record before it is written.
//!
//! Invariant: a participant writes what is its own, under ids that begin with its own: an id that somebody else uses is
//! never in its way, so no answer tells that it is used. An operator chooses freely.

use domain::{
    Agreement, Configuration, Deployment, HostName, Participant, ParticipantId, Server,
    signing::TimedKey,
};

use super::{Change, Visible, spoken};
use crate::{
    authorise::{Resource, Rpc, admit},
    directory::Tables,
    error::Error,
    ingress::Identity,
    store::Record,
};

/// A kind of record that callers write.
pub trait Written: Visible + Clone + Into<Record> {
    /// The record as it may be written.
    fn check(&self, tables: &Tables, identity: &Identity, change: Change) -> Result<Self, Error>;
}

/// The record that is there, as the change needs it. What a caller may not see must be answered before anything else is.
fn presence<'t, R: Visible>(
    tables: &'t Tables,
    identity: &Identity,
    id: &R::Id,
    text: &str,
    (change, update): (Change, Rpc),
) -> Result<Option<&'t R>, Error> {
    if change.is_update() {
        let (before, _) = R::admitted(tables, identity, update, id, text)?;
        return Ok(Some(before));
    }
    check_name(identity, R::RESOURCE, text)?;
    match R::table(tables).get(id) {
        None => Ok(None),
        Some(_) => Err(Error::Exists {
            resource: R::RESOURCE,
            id: text.to_owned(),
        }),
    }
}

/// What a participant creates is called `<its id>-…`.
fn check_name(identity: &Identity, resource: &str, text: &str) -> Result<(), Error> {
    let Some(own) = identity.participant() else {
        return Ok(());
    };
    if extends(text, own.as_str()) {
        return Ok(());
    }
    let rule = format!("must begin with `{own}-`, as all that {own} creates");
    Err(Error::invalid(format!("{resource}.id"), rule))
}

/// Whether `id` is `start` with a hyphen and more.
fn extends(id: &str, start: &str) -> bool {
    id.strip_prefix(start)
        .is_some_and(|rest| rest.starts_with('-'))
}

/// The caller must be the participant that a record is of, or an operator, and there must be such a participant.
fn check_of(
    tables: &Tables,
    identity: &Identity,
    rpc: Rpc,
    participant: &ParticipantId,
) -> Result<(), Error> {
    let found = tables.participants.get(participant);
    let found = found.map(|record| (record, Resource::of(&record.id)));
    admit(identity, rpc, ("participant", participant.as_str()), found)?;
    Ok(())
}

impl Written for Participant {
    fn check(&self, tables: &Tables, identity: &Identity, change: Change) -> Result<Self, Error> {
        let (id, rpc) = (self.id.as_str(), Rpc::UpdateParticipant);
        Rpc::CreateParticipant.check_ever(identity)?;
        let before = presence::<Self>(tables, identity, &self.id, id, (change, rpc))?;
        if before.is_none() {
            check_apart(tables, id)?;
        }
        amqp::Topology::check_participant(&self.id).map_err(|_| {
            Error::invalid(
                "participant.id",
                "must not be `replies`, which RabbitMQ's names use",
            )
        })?;
        if let Some(name) = &self.invocation_system {
            spoken::check_system(tables, name)?;
        }
        Ok(Self {
            signing_keys: keys_after(self, before, change)?,
            ..self.clone()
        })
    }
}

/// An update by somebody who does not speak of keys must not make unsigned reports count.
fn keys_after(
    given: &Participant,
    before: Option<&Participant>,
    change: Change,
) -> Result<Vec<TimedKey>, Error> {
    match (change, given.signing_keys.as_slice()) {
        (Change::UpdateWithoutKeys, []) => Ok(Vec::new()),
        (Change::UpdateWithoutKeys, _) => Err(Error::invalid(
            "removes_signing_keys",
            "must not be set where `participant.signing_keys` are given",
        )),
        (Change::Update, []) => Ok(before.map_or_else(Vec::new, |one| one.signing_keys.clone())),
        (Change::Create | Change::Update, given) => Ok(given.to_vec()),
    }
}

/// What one participant creates must never look like another's.
fn check_apart(tables: &Tables, id: &str) -> Result<(), Error> {
    let mut others = tables.participants.keys();
    let close = others.find(|other| extends(id, other.as_str()) || extends(other.as_str(), id));
    match close {
        None => Ok(()),
        Some(other) => {
            let rule = format!(
                "must not be that of {other} with a hyphen and more, nor the other way round"
            );
            Err(Error::invalid("participant.id", rule))
        }
    }
}

impl Written for Server {
    fn check(&self, tables: &Tables, identity: &Identity, change: Change) -> Result<Self, Error> {
        let (id, rpc) = (self.id.as_str(), Rpc::UpdateServer);
        let participant = || check_of(tables, identity, Rpc::CreateServer, &self.participant);
        if change == Change::Create {
            participant()?;
        }
        let before = presence::<Self>(tables, identity, &self.id, id, (change, rpc))?;
        participant()?;
        if before.is_some_and(|before| before.participant != self.participant) {
            return Err(Error::invalid(
                "server.participant_id",
                "must stay what it is; delete the server and create it anew",
            ));
        }
        if let Some(rule) = spoken::broken_by_server(&self.dialect) {
            return Err(Error::invalid("server.dialect", rule));
        }
        Ok(self.clone())
    }
}

impl Written for Configuration {
    fn check(&self, tables: &Tables, identity: &Identity, change: Change) -> Result<Self, Error> {
        let (id, rpc) = (self.id.as_str(), Rpc::UpdateConfiguration);
        let owner = || check_of(tables, identity, Rpc::CreateConfiguration, &self.owner);
        if change == Change::Create {
            owner()?;
        }
        let before = presence::<Self>(tables, identity, &self.id, id, (change, rpc))?;
        owner()?;
        // Whoever knows nothing of it, such as an older client, ends nothing.
        let kept = before.and_then(|before| before.wide_purges_need_approval);
        let wide_purges_need_approval = self.wide_purges_need_approval.or(kept);
        let ends_it = kept == Some(true) && wide_purges_need_approval != Some(true);
        if ends_it && identity.participant().is_some() {
            // Otherwise one person ends it, purges, and asks for it again.
            return Err(Error::invalid(
                "configuration.wide_purges_need_approval",
                "must stay true; only an operator may end it",
            ));
        }
        let taken = |host: &HostName| {
            tables
                .hosts
                .get(host)
                .is_some_and(|other| *other != self.id)
        };
        match self.hosts.iter().position(taken) {
            None => Ok(Self {
                wide_purges_need_approval,
                ..self.clone()
            }),
            Some(index) => Err(Error::invalid(
                format!("configuration.hosts[{index}]"),
                "must not belong to another configuration",
            )),
        }
    }
}

impl Written for Deployment {
    fn check(&self, tables: &Tables, identity: &Identity, change: Change) -> Result<Self, Error> {
        let (id, rpc) = (self.id.as_str(), Rpc::UpdateDeployment);
        let new = match change {
            Change::Create => Some(agreement_of_new(self, tables, identity)?),
            Change::Update | Change::UpdateWithoutKeys => None,
        };
        let before = presence::<Self>(tables, identity, &self.id, id, (change, rpc))?;
        let kept = before.map(|before| check_same(before, self).map(|()| before.agreement));
        let agreement = new.or(kept.transpose()?).unwrap_or(Agreement::Wished);
        if agreement == Agreement::Wished && change == Change::Create {
            // The participant need not be there: who wishes must not learn who is.
            check_names_none(self)?;
        } else {
            check_carrier(tables, self, "deployment.server_ids")?;
        }
        Ok(Self {
            agreement,
            ..self.clone()
        })
    }
}

/// An operator speaks for both sides, and so does who owns the configuration and runs the servers.
fn agreement_of_new(
    deployment: &Deployment,
    tables: &Tables,
    identity: &Identity,
) -> Result<Agreement, Error> {
    let configuration = tables.configurations.get(&deployment.configuration);
    let found = configuration.map(|found| (found, Resource::of(&found.owner)));
    let what = ("configuration", deployment.configuration.as_str());
    admit(identity, Rpc::CreateDeployment, what, found)?;
    Ok(match identity.participant() {
        Some(caller) if *caller != deployment.participant => Agreement::Wished,
        Some(_) | None => Agreement::Granted,
    })
}

/// The participant must be there, and the servers its own.
pub(super) fn check_carrier(
    tables: &Tables,
    deployment: &Deployment,
    field: &str,
) -> Result<(), Error> {
    let participant = &deployment.participant;
    if !tables.participants.contains_key(participant) {
        return Err(Error::not_found("participant", participant.as_str()));
    }
    let wrong = deployment.servers.iter().position(|id| {
        let server = tables.servers.get(id);
        server.is_none_or(|server| server.participant != *participant)
    });
    match wrong {
        None => Ok(()),
        Some(index) => {
            let rule = format!("must be a server of participant {participant}");
            Err(Error::invalid(format!("{field}[{index}]"), rule))
        }
    }
}

fn check_names_none(deployment: &Deployment) -> Result<(), Error> {
    if deployment.servers.is_empty() {
        return Ok(());
    }
    let rule = "must be empty in a wish: the participant that runs the servers names them";
    Err(Error::invalid("deployment.server_ids", rule))
}

/// What a deployment is about stays; who wants another makes another.
fn check_same(before: &Deployment, after: &Deployment) -> Result<(), Error> {
    let stays = "must stay what it is; delete the deployment and create another";
    if before.configuration != after.configuration {
        return Err(Error::invalid("deployment.configuration_id", stays));
    }
    if before.participant != after.participant {
        return Err(Error::invalid("deployment.participant_id", stays));
    }
    Ok(())
}
