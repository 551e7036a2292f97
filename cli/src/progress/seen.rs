//! What has been shown already, so that each change is told once, however often the broker repeats it.

use std::collections::HashMap;

use crate::{
    table::{execution_result, server_result},
    view::{ChangeView, ExecutionView, ServerResultView},
    words,
};

/// A server's state that says no more than its participant's.
const NOT_REPORTED: &str = "accepted";

/// What has been shown already.
#[derive(Debug, Default)]
pub(super) struct Seen {
    told: HashMap<(String, Option<String>), News>,
}

/// What is new about a participant, or about one of its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) participant_id: String,
    pub(super) server_id: Option<String>,
    pub(super) state: String,
    pub(super) evidence: Option<String>,
    pub(super) result: String,
    pub(super) took_ms: u64,
    tried: u32,
}

impl Seen {
    /// What of a change has not been told yet: servers before their participant, as the one follows from the others.
    pub(super) fn news(&mut self, change: &ChangeView) -> Vec<News> {
        let all = change.executions.iter().flat_map(|execution| {
            let servers = execution
                .servers
                .iter()
                .filter(|server| server.state != NOT_REPORTED);
            let servers = servers.map(|server| News::of_server(execution, server));
            servers.chain(std::iter::once(News::of_execution(execution)))
        });
        let all: Vec<News> = all.collect();
        all.into_iter().filter(|news| self.is_new(news)).collect()
    }

    fn is_new(&mut self, news: &News) -> bool {
        let key = (news.participant_id.clone(), news.server_id.clone());
        self.told.insert(key, news.clone()).as_ref() != Some(news)
    }
}

impl News {
    fn of_execution(execution: &ExecutionView) -> Self {
        Self {
            participant_id: execution.participant_id.clone(),
            server_id: None,
            state: execution.state.clone(),
            evidence: execution.evidence.clone(),
            result: execution_result(execution),
            took_ms: 0,
            tried: 0,
        }
    }

    fn of_server(execution: &ExecutionView, server: &ServerResultView) -> Self {
        Self {
            participant_id: execution.participant_id.clone(),
            server_id: Some(server.server_id.clone()),
            state: server.state.clone(),
            evidence: server.evidence.clone(),
            result: server_result(server),
            took_ms: server.took_ms,
            tried: server.tried(),
        }
    }

    /// Evidence, time and result, as far as there are any.
    pub(super) fn words(&self) -> String {
        let evidence = self.evidence.as_deref().unwrap_or_default();
        let took = words::took(self.took_ms, self.tried);
        let words = [evidence, &took, &self.result].into_iter();
        let said: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        said.join(", ")
    }
}
