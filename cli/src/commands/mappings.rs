//! `fedctl mappings`: dialects from documents, as the registry has them.
//!
//! Invariant: the broker alone decides what is stored; a refused document is shown with all that the broker said of it.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand};
use proto::v1::{
    DeleteMappingRequest, GetMappingRequest, ListMappingsRequest, Mapping, PutMappingRequest,
};
use tonic::Code;

use super::{
    Context,
    dialects::document,
    registry::{incomplete, pages},
};
use crate::{broker::Refusal, exit::Exit, failure::Failure, table, view::MappingView};

/// What to do with mappings.
#[derive(Debug, Args)]
pub(crate) struct Mappings {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them; the same as no action
    List,
    /// Print the document of one
    Get(Get),
    /// Store one, or the next version of it; fedctl dialects check says first whether it is good
    Put(Put),
    /// Remove one; refused while a participant is told by it
    Delete(Name),
}

/// Names one.
#[derive(Debug, Args)]
struct Name {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Names one and its version.
#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    name: Name,
    /// An earlier version; those are kept for 60 days after they were replaced [default: the current one]
    #[arg(
        long,
        value_name = "VERSION",
        default_value_t = 0,
        hide_default_value = true
    )]
    version: u32,
}

/// A document.
#[derive(Debug, Args)]
struct Put {
    /// The document; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Mappings {
    /// Does it and shows what came of it.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.action {
            None | Some(Action::List) => list(context).await,
            Some(Action::Get(typed)) => get(context, typed).await,
            Some(Action::Put(Put { file })) => put(context, document(&file)?).await,
            Some(Action::Delete(Name { name })) => delete(context, &name).await,
        }
    }
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let broker = &context.broker;
    let page = async |page: super::registry::Page| {
        let request = ListMappingsRequest {
            page_size: page.size,
            page_token: page.token,
        };
        let answer = broker
            .registry(async |mut client| client.list_mappings(request.clone()).await)
            .await?;
        Ok((answer.mappings, answer.next_page_token))
    };
    let mappings: Vec<_> = pages(page)
        .await?
        .into_iter()
        .map(MappingView::from)
        .collect();
    if context.output.json {
        context
            .output
            .document(&BTreeMap::from([("mappings", &mappings)]))?;
    } else if mappings.is_empty() {
        context.output.note("no mappings that you may see");
    } else {
        context.output.text(&table::records(&mappings))?;
    }
    Ok(Exit::Done)
}

async fn get(context: &Context, typed: Get) -> Result<Exit, Failure> {
    let request = GetMappingRequest {
        mapping_name: typed.name.name,
        version: typed.version,
    };
    let answer = context
        .broker
        .registry(async |mut client| client.get_mapping(request.clone()).await);
    let view = MappingView::from(answer.await?.mapping.ok_or_else(incomplete)?);
    context
        .output
        .show(&view, |view| view.document.clone().unwrap_or_default())?;
    Ok(Exit::Done)
}

/// The same document again is the same version, so another try is always safe.
async fn put(context: &Context, document: String) -> Result<Exit, Failure> {
    let request = PutMappingRequest {
        mapping: Some(Mapping {
            document,
            ..Mapping::default()
        }),
    };
    let answer = context
        .broker
        .registry(async |mut client| client.put_mapping(request.clone()).await);
    let answer = answer
        .await
        .map_err(|refusal| lost(refusal, "fedctl mappings list"))?;
    let view = MappingView {
        document: None,
        ..MappingView::from(answer.mapping.ok_or_else(incomplete)?)
    };
    context
        .output
        .show(&view, |view| table::records(std::slice::from_ref(view)))?;
    Ok(Exit::Done)
}

/// Where an answer was lost on the way, one that is not there counts as removed.
async fn delete(context: &Context, name: &str) -> Result<Exit, Failure> {
    let request = DeleteMappingRequest {
        mapping_name: name.to_owned(),
    };
    let deleted = context
        .broker
        .registry(async |mut client| client.delete_mapping(request.clone()).await);
    let said = match deleted.await {
        Ok(_) => format!("{name} is removed"),
        Err(refusal) if refusal.is_repeated && refusal.status.code() == Code::NotFound => {
            format!(
                "{name} is not there; an answer was lost, so an earlier try may have removed it"
            )
        }
        Err(refusal) => return Err(lost(refusal, &format!("fedctl mappings get {name}"))),
    };
    context.output.note(&said);
    Ok(Exit::Done)
}

fn lost(refusal: Refusal, look: &str) -> Failure {
    Failure::Change {
        is_repeated: refusal.is_repeated,
        look: look.to_owned(),
        status: Box::new(refusal.status),
    }
}
