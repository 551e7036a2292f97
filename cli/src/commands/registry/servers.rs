//! `fedctl servers`: the federation's caches.

use clap::Args;
use proto::v1::{
    CreateServerRequest, DeleteServerRequest, GetServerRequest, ListServersRequest, Place, Server,
    UpdateServerRequest,
};
use tonic::Status;

use super::{Change, Kind, Page, set};
use crate::{arguments::place::place, broker::Broker, view::ServerView};

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
    /// How it is spoken to: varnish, nginx, squid, traffic-server
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
    /// How it is spoken to: varnish, nginx, squid, traffic-server
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

    async fn page(
        broker: &Broker,
        filter: &Filter,
        page: Page,
    ) -> Result<(Vec<Server>, String), Status> {
        let request = ListServersRequest {
            page_size: page.size,
            page_token: page.token,
            participant_id: filter.participant.clone(),
        };
        let answer = broker
            .registry(async |mut client| client.list_servers(request.clone()).await)
            .await?;
        Ok((answer.servers, answer.next_page_token))
    }

    async fn get(broker: &Broker, id: &str) -> Result<Option<Server>, Status> {
        let request = GetServerRequest {
            server_id: id.to_owned(),
        };
        let answer = broker
            .registry(async |mut client| client.get_server(request.clone()).await)
            .await?;
        Ok(answer.server)
    }

    async fn create(broker: &Broker, record: Server) -> Result<Option<Server>, Status> {
        let request = CreateServerRequest {
            server: Some(record),
        };
        let answer = broker
            .registry(async |mut client| client.create_server(request.clone()).await)
            .await?;
        Ok(answer.server)
    }

    async fn update(broker: &Broker, record: Server) -> Result<Option<Server>, Status> {
        let request = UpdateServerRequest {
            server: Some(record),
        };
        let answer = broker
            .registry(async |mut client| client.update_server(request.clone()).await)
            .await?;
        Ok(answer.server)
    }

    async fn delete(broker: &Broker, id: &str) -> Result<(), Status> {
        let request = DeleteServerRequest {
            server_id: id.to_owned(),
        };
        broker
            .registry(async |mut client| client.delete_server(request.clone()).await)
            .await?;
        Ok(())
    }
}
