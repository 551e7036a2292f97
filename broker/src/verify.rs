//! Is the command well formed, and the caller's to give?
//!
//! Invariant: pure but for looking into the directory; a [`Verified`] exists only through here. What is not the caller's
//! does not exist for the caller: the answer is the same as for what is not there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Ceiling, Configuration, ConfigurationId, Operation, OperationName, ParticipantId, RequestId,
    Scope, Selector, Timestamp, Verification,
    command::WhenImpossible,
    limits,
    verification::{expectation, meaning},
};

use crate::{
    authorise::{Access, Resource, Rpc, authorise},
    directory::Directory,
    error::{Error, Violation},
    ingress::Identity,
};

/// What a caller asks for, well formed field by field.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who asks.
    pub originator: ParticipantId,
    /// Who it was, where that is one of several persons.
    pub submitted_by: Identity,
    /// Of which configuration; found by the first host name when absent.
    pub configuration: Option<ConfigurationId>,
    /// What is to be done.
    pub operation: Operation,
    /// With which content.
    pub selectors: Vec<Selector>,
    /// On which servers.
    pub scope: Scope,
    /// How far a participant may stray.
    pub ceiling: Ceiling,
    /// What happens when one cannot say it.
    pub when_impossible: WhenImpossible,
    /// That somebody shall look afterwards.
    pub verification: Option<Verification>,
    /// Nobody is told before.
    pub not_before: Option<Timestamp>,
    /// What has not begun by then is never begun.
    pub expires_at: Option<Timestamp>,
    /// The caller's name for this attempt.
    pub request_id: Option<RequestId>,
    /// The W3C trace context.
    pub traceparent: Option<String>,
    /// The W3C trace state, as it came.
    pub tracestate: Option<String>,
}

/// A draft that its originator may give.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The draft.
    pub draft: Draft,
    /// Its configuration.
    pub configuration: Arc<Configuration>,
}

/// The custom operations that the operator of the federation registered: may they be repeated?
#[derive(Debug, Clone, Default)]
pub struct Registered(pub BTreeMap<OperationName, bool>);

/// Checks a draft.
pub fn verify(
    mut draft: Draft,
    directory: &Directory,
    registered: &Registered,
    now: Timestamp,
) -> Result<Verified, Error> {
    check_counts(&draft)?;
    check_times(&draft, now)?;
    check_operation(&mut draft, registered)?;
    let configuration = find_configuration(&draft, directory)?;
    check_hosts(&draft, &configuration)?;
    check_verification(&draft, &configuration)?;
    Ok(Verified {
        draft,
        configuration,
    })
}

fn check_counts(draft: &Draft) -> Result<(), Error> {
    if draft.selectors.is_empty() {
        return Err(Error::invalid("draft.selectors", "must have at least one"));
    }
    if draft.selectors.len() > limits::SELECTORS_PER_COMMAND {
        let rule = format!(
            "must have at most {} (SELECTORS_PER_COMMAND)",
            limits::SELECTORS_PER_COMMAND
        );
        return Err(Error::invalid("draft.selectors", rule));
    }
    Ok(())
}

/// A moment that has passed is no reason to wait, but one that has passed is too late to expire at.
fn check_times(draft: &Draft, now: Timestamp) -> Result<(), Error> {
    let mut problems = Vec::new();
    let latest = now.plus(Duration::from_secs(limits::NOT_BEFORE_SECONDS));
    if draft.not_before.is_some_and(|moment| moment > latest) {
        let rule = "must be at most 30 days ahead (NOT_BEFORE_SECONDS)";
        problems.push(Violation::new("draft.not_before", rule));
    }
    let begins = draft.not_before.map_or(now, |moment| moment.max(now));
    if draft.expires_at.is_some_and(|moment| moment <= begins) {
        let rule = "must be in the future, and after `not_before`";
        problems.push(Violation::new("draft.expire_time", rule));
    }
    Error::unless_empty(problems)
}

fn check_operation(draft: &mut Draft, registered: &Registered) -> Result<(), Error> {
    match &mut draft.operation {
        Operation::Purge(_) => Ok(()),
        Operation::Load => {
            let wrong = draft
                .selectors
                .iter()
                .enumerate()
                .filter(|(_, selector)| selector.kind() != "url");
            let rule = |(index, selector): (usize, &Selector)| {
                Violation::new(
                    format!("draft.selectors[{index}].{}", selector.kind()),
                    "a load must name its URLs",
                )
            };
            Error::unless_empty(wrong.map(rule).collect())
        }
        Operation::Custom(custom) => {
            let known = registered.0.get(&custom.name);
            custom.repeatable = *known.ok_or_else(|| {
                Error::invalid(
                    "draft.operation.custom.name",
                    "must be an operation that this broker's configuration registers, as [operations.NAME]",
                )
            })?;
            custom.check().map_err(|rule| {
                Error::invalid("draft.operation.custom.parameters", rule.to_string())
            })
        }
    }
}

fn find_configuration(draft: &Draft, directory: &Directory) -> Result<Arc<Configuration>, Error> {
    let own = |configuration: &Arc<Configuration>| may_command(&draft.originator, configuration);
    if let Some(id) = &draft.configuration {
        let found = directory.configuration(id).filter(own);
        return found.ok_or_else(|| Error::not_found("configuration", id.as_str()));
    }
    let mut selectors = draft.selectors.iter().enumerate();
    let named = selectors.find_map(|(index, selector)| Some((index, selector, selector.host()?)));
    let (index, selector, host) = named.ok_or_else(|| {
        Error::invalid(
            "draft.configuration_id",
            "must be given when no selector names a host",
        )
    })?;
    directory
        .configuration_of_host(host)
        .filter(own)
        .ok_or_else(|| {
            let field = format!("draft.selectors[{index}].{}", selector.kind());
            Error::invalid(field, "must name a host of one of your configurations")
        })
}

/// Whether a participant may command a configuration.
pub fn may_command(originator: &ParticipantId, configuration: &Configuration) -> bool {
    let (caller, resource) = (
        Identity::Participant(originator.clone()),
        Resource::of(&configuration.owner),
    );
    authorise(&caller, Rpc::SubmitCommand, &resource) == Access::Whole
}

fn check_hosts(draft: &Draft, configuration: &Configuration) -> Result<(), Error> {
    let foreign = draft.selectors.iter().enumerate().filter(|(_, selector)| {
        selector
            .host()
            .is_some_and(|host| !configuration.hosts.contains(host))
    });
    let rule = |(index, selector): (usize, &Selector)| {
        Violation::new(
            format!("draft.selectors[{index}].{}", selector.kind()),
            format!(
                "must name one of the host names of configuration {}",
                configuration.id
            ),
        )
    };
    Error::unless_empty(foreign.map(rule).collect())
}

/// What is looked at is the configuration's own, and says something of the command.
fn check_verification(draft: &Draft, configuration: &Configuration) -> Result<(), Error> {
    let Some(verification) = &draft.verification else {
        return Ok(());
    };
    if expectation(&draft.operation).is_none() {
        let rule = "must not be asked for with a custom operation: what that does to a cache cannot be seen";
        return Err(Error::invalid("draft.verify", rule));
    }
    let numbered = verification.urls.iter().enumerate();
    let problems = numbered.filter_map(|(index, url)| {
        let rule = if !configuration.hosts.contains(url.host()) {
            format!(
                "must name one of the host names of configuration {}",
                configuration.id
            )
        } else if meaning(&draft.selectors, url).is_empty() {
            "must be content that one of the selectors means".to_owned()
        } else {
            return None;
        };
        Some(Violation::new(format!("draft.probe_urls[{index}]"), rule))
    });
    Error::unless_empty(problems.collect())
}
