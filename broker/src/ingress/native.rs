//! A command in a native system's own format, read as the command that it means.
//!
//! Invariant: past this module it is a command like any other. Its host names are checked here too, so that an error names
//! the field that the caller sent. What is not the caller's is as if it were not there.
//! Not here: the formats (`dialects::native`, `dialects::mapped`).

use std::sync::Arc;

use dialects::native::{self, Asked, Mistake};
use domain::{
    Configuration, ConfigurationId, HostName, NativeCall, Operation, ParticipantId, Selector,
};
use proto::v1;

use crate::{
    directory::{Directory, Mapping},
    error::Violation,
    verify::may_command,
};

/// Who asks, and of which configuration.
pub(super) struct Whose<'a> {
    pub(super) originator: &'a ParticipantId,
    pub(super) configuration: Option<&'a ConfigurationId>,
    pub(super) directory: &'a Directory,
}

/// Reads what a caller sent, in a dialect of its own.
pub(super) fn read(
    native: v1::NativeCommand,
    whose: &Whose<'_>,
) -> Result<(Operation, Vec<Selector>), Violation> {
    let configuration = whose.configuration_named();
    let hosts = configuration.as_ref().map_or(&[][..], |found| &found.hosts);
    let (dialect, request) = call(native);
    let asked = match whose.mapping(&dialect) {
        Some(mapping) => mapping.ask(&request, hosts),
        None => native::read(&dialect, &request, hosts),
    };
    let asked = asked.map_err(|mistake| Violation::new(field(mistake.field), mistake.rule))?;
    whose.check_hosts(&asked, configuration)?;
    Ok((asked.operation, asked.selectors))
}

fn call(native: v1::NativeCommand) -> (String, NativeCall) {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let headers = native.headers.into_iter();
    let call = NativeCall {
        method: native.method,
        host: some(native.host),
        path: native.path,
        headers: headers.map(|header| (header.name, header.value)).collect(),
        body: some(native.body),
        selectors: Vec::new(),
    };
    (native.dialect, call)
}

fn field(name: &str) -> String {
    format!("draft.native.{name}")
}

/// A mapping in the version that counts now.
struct Current(Arc<Mapping>);

impl Current {
    fn ask(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
        match self.0.read() {
            Some(mapping) => mapping.ask(request, hosts),
            None => Err(Mistake::new("dialect", "is a mapping that cannot be read")),
        }
    }
}

impl Whose<'_> {
    /// The mapping by which the caller itself is told: of others' it knows nothing.
    fn mapping(&self, dialect: &str) -> Option<Current> {
        let tables = self.directory.read();
        let participant = tables.participants.get(self.originator)?;
        let system = participant.invocation_system.as_ref()?;
        let mapping = tables
            .mappings
            .get(system)
            .filter(|_| system.as_str() == dialect)?;
        Some(Current(Arc::clone(mapping)))
    }

    fn own(&self, found: Option<Arc<Configuration>>) -> Option<Arc<Configuration>> {
        found.filter(|configuration| may_command(self.originator, configuration))
    }

    fn configuration_named(&self) -> Option<Arc<Configuration>> {
        self.own(self.directory.configuration(self.configuration?))
    }

    /// Where none is named, the configuration is that of the first host name, as for any other command.
    fn check_hosts(
        &self,
        asked: &Asked,
        named: Option<Arc<Configuration>>,
    ) -> Result<(), Violation> {
        let mut hosts = asked.selectors.iter().filter_map(Selector::host).peekable();
        let Some(first) = hosts.peek() else {
            return Ok(());
        };
        let found = match self.configuration {
            // One that is not the caller's is not found, and that is said when the command is verified.
            Some(_) if named.is_none() => return Ok(()),
            Some(_) => named,
            None => self.own(self.directory.configuration_of_host(first)),
        };
        let Some(configuration) = found else {
            let rule = "must name a host of one of your configurations";
            return Err(Violation::new(field(asked.field), rule));
        };
        let foreign = hosts.find(|host: &&HostName| !configuration.hosts.contains(host));
        foreign.map_or(Ok(()), |host| {
            let rule = format!(
                "must name only host names of configuration {}, and {host} is none",
                configuration.id
            );
            Err(Violation::new(field(asked.field), rule))
        })
    }
}
