//! A peer that answers what a test scripts, and remembers what it was asked.
//!
//! Invariant: it knows no rule of the federation; an answer that was not scripted is an error that names itself.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::v1::{
    ApproveCommandRequest, ApproveCommandResponse, CancelCommandRequest, CancelCommandResponse,
    Command, GetCommandRequest, GetCommandResponse, ListCommandsRequest, ListCommandsResponse,
    SubmitCommandRequest, SubmitCommandResponse, SubmitCommandsRequest, SubmitCommandsResponse,
    WatchCommandRequest, WatchCommandResponse,
    command_service_server::{CommandService, CommandServiceServer},
    registry_service_server::RegistryServiceServer,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, ServerTlsConfig},
};

use crate::directory::Directory;

type Answers<T> = Mutex<VecDeque<Result<T, Status>>>;

/// One stream of changes, and what follows them.
pub(crate) enum Watched {
    /// Ends after them.
    Ends(Vec<WatchCommandResponse>),
    /// Breaks after them.
    Breaks(Vec<WatchCommandResponse>),
    /// Says no more after them, and stays open.
    Hangs(Vec<WatchCommandResponse>),
}

/// The script, and what was asked.
#[derive(Default)]
pub(crate) struct Peer {
    /// How long a plan takes.
    pub(crate) planning: Duration,
    /// Answers to SubmitCommand, in order.
    pub(crate) submits: Answers<SubmitCommandResponse>,
    /// Answers to GetCommand, in order.
    pub(crate) gets: Answers<GetCommandResponse>,
    /// Answers to ListCommands, in order.
    pub(crate) lists: Answers<ListCommandsResponse>,
    /// Answers to CancelCommand, in order.
    pub(crate) cancels: Answers<CancelCommandResponse>,
    /// Answers to ApproveCommand, in order.
    pub(crate) approvals: Answers<ApproveCommandResponse>,
    /// What ApproveCommand was asked.
    pub(crate) approved: Mutex<Vec<ApproveCommandRequest>>,
    /// Answers to WatchCommand, in order.
    pub(crate) watches: Mutex<VecDeque<Watched>>,
    /// The registry.
    pub(crate) directory: Arc<Directory>,
    /// What SubmitCommand was asked.
    pub(crate) submitted: Mutex<Vec<SubmitCommandRequest>>,
    /// What ListCommands was asked.
    pub(crate) listed: Mutex<Vec<ListCommandsRequest>>,
    /// The tokens from which a watch was resumed.
    pub(crate) resumed: Mutex<Vec<String>>,
    /// Who called, as the metadata said, or the certificate's presence.
    pub(crate) callers: Mutex<Vec<String>>,
}

impl Peer {
    /// Adds an answer to SubmitCommand.
    pub(crate) fn submit(self, answer: Result<SubmitCommandResponse, Status>) -> Self {
        push(&self.submits, answer);
        self
    }

    /// SubmitCommand accepts, and answers with this.
    pub(crate) fn accepts(self, command: Command) -> Self {
        self.submit(Ok(SubmitCommandResponse {
            command: Some(command),
            ..SubmitCommandResponse::default()
        }))
    }

    /// GetCommand answers with this.
    pub(crate) fn shows(self, command: Command) -> Self {
        self.get(Ok(GetCommandResponse {
            command: Some(command),
        }))
    }

    /// Adds an answer to GetCommand.
    pub(crate) fn get(self, answer: Result<GetCommandResponse, Status>) -> Self {
        push(&self.gets, answer);
        self
    }

    /// Adds a stream to WatchCommand.
    pub(crate) fn watch(self, watched: Watched) -> Self {
        self.watches
            .lock()
            .expect("nobody panicked")
            .push_back(watched);
        self
    }

    /// Listens on a free port.
    pub(crate) async fn listen(self) -> (Arc<Self>, String) {
        let (peer, port) = self.listen_with(Server::builder()).await;
        (peer, format!("http://127.0.0.1:{port}"))
    }

    /// The same behind TLS.
    pub(crate) async fn listen_tls(self, tls: ServerTlsConfig) -> (Arc<Self>, u16) {
        let server = Server::builder()
            .tls_config(tls)
            .expect("the certificates are good");
        self.listen_with(server).await
    }

    async fn listen_with(self, mut server: Server) -> (Arc<Self>, u16) {
        let peer = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("is bound").port();
        let router = server
            .add_service(CommandServiceServer::from_arc(Arc::clone(&peer)))
            .add_service(RegistryServiceServer::from_arc(Arc::clone(&peer.directory)));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        (peer, port)
    }

    fn note_caller<T>(&self, request: &Request<T>) {
        let metadata = request.metadata().get("x-federation-identity");
        let certificates = request
            .peer_certs()
            .map_or(0, |certificates| certificates.len());
        let caller = match metadata.and_then(|value| value.to_str().ok()) {
            Some(identity) => identity.to_owned(),
            None => format!("{certificates} certificates"),
        };
        self.callers.lock().expect("nobody panicked").push(caller);
    }
}

fn push<T>(answers: &Answers<T>, answer: Result<T, Status>) {
    answers.lock().expect("nobody panicked").push_back(answer);
}

fn next<T>(answers: &Answers<T>, name: &str) -> Result<Response<T>, Status> {
    let answer = answers.lock().expect("nobody panicked").pop_front();
    let unscripted = || Err(Status::unimplemented(format!("{name} is not scripted")));
    answer.unwrap_or_else(unscripted).map(Response::new)
}

type Changes = Pin<Box<dyn Stream<Item = Result<WatchCommandResponse, Status>> + Send>>;
type Submitted = Pin<Box<dyn Stream<Item = Result<SubmitCommandsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl CommandService for Peer {
    type SubmitCommandsStream = Submitted;
    type WatchCommandStream = Changes;

    async fn submit_command(
        &self,
        request: Request<SubmitCommandRequest>,
    ) -> Result<Response<SubmitCommandResponse>, Status> {
        self.note_caller(&request);
        let request = request.into_inner();
        let is_plan = request.validate_only;
        self.submitted
            .lock()
            .expect("nobody panicked")
            .push(request);
        if is_plan {
            sleep(self.planning).await;
        }
        next(&self.submits, "SubmitCommand")
    }

    async fn submit_commands(
        &self,
        _: Request<Streaming<SubmitCommandsRequest>>,
    ) -> Result<Response<Submitted>, Status> {
        Err(Status::unimplemented("fedctl submits one by one"))
    }

    async fn get_command(
        &self,
        _: Request<GetCommandRequest>,
    ) -> Result<Response<GetCommandResponse>, Status> {
        next(&self.gets, "GetCommand")
    }

    async fn list_commands(
        &self,
        request: Request<ListCommandsRequest>,
    ) -> Result<Response<ListCommandsResponse>, Status> {
        self.listed
            .lock()
            .expect("nobody panicked")
            .push(request.into_inner());
        next(&self.lists, "ListCommands")
    }

    async fn watch_command(
        &self,
        request: Request<WatchCommandRequest>,
    ) -> Result<Response<Changes>, Status> {
        let token = request.into_inner().resume_token;
        self.resumed.lock().expect("nobody panicked").push(token);
        let watched = self.watches.lock().expect("nobody panicked").pop_front();
        let changes: Changes = match watched {
            Some(Watched::Ends(changes)) => {
                Box::pin(tokio_stream::iter(changes.into_iter().map(Ok)))
            }
            Some(Watched::Breaks(changes)) => {
                let broken = Err(Status::unavailable("the replica is going down"));
                Box::pin(tokio_stream::iter(
                    changes.into_iter().map(Ok).chain([broken]),
                ))
            }
            Some(Watched::Hangs(changes)) => Box::pin(
                tokio_stream::iter(changes.into_iter().map(Ok)).chain(tokio_stream::pending()),
            ),
            None => return Err(Status::unimplemented("WatchCommand is not scripted")),
        };
        Ok(Response::new(changes))
    }

    async fn cancel_command(
        &self,
        _: Request<CancelCommandRequest>,
    ) -> Result<Response<CancelCommandResponse>, Status> {
        next(&self.cancels, "CancelCommand")
    }

    async fn approve_command(
        &self,
        request: Request<ApproveCommandRequest>,
    ) -> Result<Response<ApproveCommandResponse>, Status> {
        self.approved
            .lock()
            .expect("nobody panicked")
            .push(request.into_inner());
        next(&self.approvals, "ApproveCommand")
    }
}
