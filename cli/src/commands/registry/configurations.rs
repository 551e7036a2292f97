//! `fedctl configurations`: the customers' properties and their host names.

use clap::Args;
use proto::v1::{
    Configuration, CreateConfigurationRequest, DeleteConfigurationRequest, GetConfigurationRequest,
    ListConfigurationsRequest, UpdateConfigurationRequest,
};

use super::{Change, Kind, Page, calls::registry_calls, set};
use crate::view::ConfigurationView;

/// The customers' properties and their host names.
#[derive(Debug)]
pub(crate) struct Configurations;

/// Which of them.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {
    /// Only of this owner
    #[arg(
        long,
        value_name = "PARTICIPANT",
        default_value = "",
        hide_default_value = true
    )]
    owner: String,
    /// Only the one with this host name
    #[arg(
        long,
        value_name = "HOST",
        default_value = "",
        hide_default_value = true
    )]
    host: String,
}

/// A whole configuration.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its id, unique in the federation
    #[arg(value_name = "ID")]
    id: String,
    /// Whose content it is
    #[arg(long, value_name = "ID")]
    customer: String,
    /// The participant that commands it
    #[arg(long, value_name = "PARTICIPANT")]
    owner: String,
    /// A host name of it; may be repeated
    #[arg(long, value_name = "HOST", required = true, value_delimiter = ',')]
    host: Vec<String>,
    /// Let wide purges (a host name, everything, a regular expression) wait until a second person has approved them
    #[arg(long)]
    wide_purges_need_approval: bool,
}

/// What may be changed in a configuration.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Whose content it is
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// The participant that commands it
    #[arg(long, value_name = "PARTICIPANT")]
    owner: Option<String>,
    /// All its host names from now on; may be repeated
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    host: Option<Vec<String>>,
    /// Whether wide purges wait for a second person; only an operator may end it
    #[arg(long, value_name = "true|false")]
    wide_purges_need_approval: Option<bool>,
}

impl From<Create> for Configuration {
    fn from(typed: Create) -> Self {
        Self {
            id: typed.id,
            customer_id: typed.customer,
            owner_id: typed.owner,
            hosts: typed.host,
            wide_purges_need_approval: Some(typed.wide_purges_need_approval),
        }
    }
}

impl Change<Configuration> for Changes {
    fn is_empty(&self) -> bool {
        self.customer.is_none()
            && self.owner.is_none()
            && self.host.is_none()
            && self.wide_purges_need_approval.is_none()
    }

    fn apply(self, record: &mut Configuration) {
        set(&mut record.customer_id, self.customer);
        set(&mut record.owner_id, self.owner);
        set(&mut record.hosts, self.host);
        // What is left out the broker keeps.
        record.wide_purges_need_approval = self.wide_purges_need_approval;
    }
}

impl Kind for Configurations {
    const PLURAL: &'static str = "configurations";
    type Record = Configuration;
    type View = ConfigurationView;
    type Filter = Filter;
    type Create = Create;
    type Change = Changes;

    fn listing(filter: &Filter, page: Page) -> ListConfigurationsRequest {
        ListConfigurationsRequest {
            page_size: page.size,
            page_token: page.token,
            owner_id: filter.owner.clone(),
            host: filter.host.clone(),
        }
    }

    registry_calls! {
        configuration, configuration_id, configurations;
        list_configurations(ListConfigurationsRequest), get_configuration(GetConfigurationRequest), create_configuration(CreateConfigurationRequest),
        update_configuration(UpdateConfigurationRequest), delete_configuration(DeleteConfigurationRequest)
    }
}
