//! `fedctl servers`: the federation's caches.

use clap::Args;
use proto::v1::{
    CreateServerRequest, DeleteServerRequest, GetServerRequest, ListServersRequest, Place, Server,
    UpdateServerRequest,
};

use super::{Change, Kind, Page, calls::registry_calls, set};
use crate::{arguments::place::place, view::ServerView};

/// The federation's caches.
#[derive(Debug)]
pub(crate) struct Servers;

/// Which of them.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {
    /// Only of this participant
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    participant: String,
}

/// A whole server.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its id, unique in the federation
    #[arg(value_name = "ID")]
    id: String,
    /// Whose it is
    #[arg(long, value_name = "ID")]
    participant: String,
    /// How it is spoken to: varnish, nginx, squid, traffic-server, agent
    #[arg(long, value_name = "DIALECT")]
    dialect: String,
    /// As the participant's adapter reaches it
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// Where it stands, such as eu/de/berlin
    #[arg(long, value_name = "PLACE", value_parser = place)]
    place: Option<Place>,
}

/// What may be changed in a server.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Whose it is
    #[arg(long, value_name = "ID")]
    participant: Option<String>,
    /// How it is spoken to: varnish, nginx, squid, traffic-server, agent
    #[arg(long, value_name = "DIALECT")]
    dialect: Option<String>,
    /// As the participant's adapter reaches it
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Where it stands, such as eu/de/berlin
    #[arg(long, value_name = "PLACE", value_parser = place)]
    place: Option<Place>,
}

impl From<Create> for Server {
    fn from(typed: Create) -> Self {
        Self {
            id: typed.id,
            participant_id: typed.participant,
            dialect: typed.dialect,
            address: typed.address,
            place: typed.place,
        }
    }
}

impl Change<Server> for Changes {
    fn is_empty(&self) -> bool {
        self.participant.is_none()
            && self.dialect.is_none()
            && self.address.is_none()
            && self.place.is_none()
    }

    fn apply(self, record: &mut Server) {
        set(&mut record.participant_id, self.participant);
        set(&mut record.dialect, self.dialect);
        set(&mut record.address, self.address);
        set(&mut record.place, self.place.map(Some));
    }
}

impl Kind for Servers {
    const PLURAL: &'static str = "servers";
    type Record = Server;
    type View = ServerView;
    type Filter = Filter;
    type Create = Create;
    type Change = Changes;

    fn listing(filter: &Filter, page: Page) -> ListServersRequest {
        ListServersRequest {
            page_size: page.size,
            page_token: page.token,
            participant_id: filter.participant.clone(),
        }
    }

    registry_calls! {
        server, server_id, servers;
        list_servers(ListServersRequest), get_server(GetServerRequest), create_server(CreateServerRequest),
        update_server(UpdateServerRequest), delete_server(DeleteServerRequest)
    }
}
