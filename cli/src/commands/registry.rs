//! The federation's directory: four kinds of records, and the same five actions for each.
//!
//! Invariant: an update changes only what was typed; the rest of the record is read before and stored again.

pub(crate) mod configurations;
pub(crate) mod deployments;
pub(crate) mod participants;
pub(crate) mod servers;

use std::{collections::BTreeMap, fmt::Debug, slice};

use clap::{Args, Subcommand};
use serde::Serialize;
use tonic::Status;

use super::Context;
use crate::{
    broker::Broker,
    exit::Exit,
    failure::Failure,
    table::{self, Row},
};

/// No registry is larger; it ends a broker that never ends its pages.
const RECORDS_MAXIMUM: usize = 10_000_000;
/// The most that a broker gives in one page.
const PAGE_SIZE: i32 = 1_000;

/// One kind of record.
pub(crate) trait Kind {
    /// The word for many, as `--json` has it.
    const PLURAL: &'static str;
    /// As the broker stores it.
    type Record: Clone;
    /// As it is shown.
    type View: From<Self::Record> + Row + Serialize;
    /// What a list may be narrowed by.
    type Filter: Args + Debug + Default;
    /// A whole record, as it is typed.
    type Create: Args + Debug + Into<Self::Record>;
    /// What may be changed in one.
    type Change: Args + Debug + Change<Self::Record>;

    /// One page of all records.
    async fn page(
        broker: &Broker,
        filter: &Self::Filter,
        page: Page,
    ) -> Result<(Vec<Self::Record>, String), Status>;
    /// One record.
    async fn get(broker: &Broker, id: &str) -> Result<Option<Self::Record>, Status>;
    /// Adds a record.
    async fn create(broker: &Broker, record: Self::Record) -> Result<Option<Self::Record>, Status>;
    /// Replaces a record.
    async fn update(broker: &Broker, record: Self::Record) -> Result<Option<Self::Record>, Status>;
    /// Removes a record.
    async fn delete(broker: &Broker, id: &str) -> Result<(), Status>;
}

/// A change of a record.
pub(crate) trait Change<Record> {
    /// Whether nothing was typed.
    fn is_empty(&self) -> bool;
    /// Puts what was typed into the record.
    fn apply(self, record: &mut Record);
}

/// Which page.
#[derive(Debug)]
pub(crate) struct Page {
    /// How many.
    pub(crate) size: i32,
    /// From the page before.
    pub(crate) token: String,
}

/// What to do with one kind of record.
#[derive(Debug, Args)]
pub(crate) struct Registry<K: Kind> {
    #[command(subcommand)]
    action: Option<Action<K::Filter, K::Create, K::Change>>,
}

#[derive(Debug, Subcommand)]
enum Action<F: Args, C: Args, U: Args> {
    /// List them; the same as no action
    List(F),
    /// Show one
    Get(Id),
    /// Add one
    Create(C),
    /// Change what is given, and keep the rest
    Update(Update<U>),
    /// Remove one; refused while something else refers to it
    Delete(Id),
}

#[derive(Debug, Args)]
struct Id {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
struct Update<U: Args> {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    change: U,
}

impl<K: Kind> Registry<K> {
    /// Does it and shows the record, or all of them.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.action {
            None => list::<K>(context, &K::Filter::default()).await,
            Some(Action::List(filter)) => list::<K>(context, &filter).await,
            Some(Action::Get(Id { id })) => show::<K>(context, K::get(&context.broker, &id).await?),
            Some(Action::Create(record)) => {
                show::<K>(context, K::create(&context.broker, record.into()).await?)
            }
            Some(Action::Update(update)) => change::<K>(context, update).await,
            Some(Action::Delete(Id { id })) => delete::<K>(context, &id).await,
        }
    }
}

async fn list<K: Kind>(context: &Context, filter: &K::Filter) -> Result<Exit, Failure> {
    let mut records = Vec::new();
    let mut token = String::new();
    while records.len() < RECORDS_MAXIMUM {
        let page = Page {
            size: PAGE_SIZE,
            token,
        };
        let (found, next) = K::page(&context.broker, filter, page).await?;
        records.extend(found.into_iter().map(K::View::from));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    print::<K>(context, &records)
}

async fn change<K: Kind>(context: &Context, update: Update<K::Change>) -> Result<Exit, Failure> {
    if update.change.is_empty() {
        return Err(Failure::Usage(
            "nothing is given that could be changed".to_owned(),
        ));
    }
    let found = K::get(&context.broker, &update.id).await?;
    let mut record = found.ok_or_else(incomplete)?;
    update.change.apply(&mut record);
    show::<K>(context, K::update(&context.broker, record).await?)
}

async fn delete<K: Kind>(context: &Context, id: &str) -> Result<Exit, Failure> {
    K::delete(&context.broker, id).await?;
    context.output.note(&format!("{id} is removed"));
    Ok(Exit::Done)
}

fn show<K: Kind>(context: &Context, record: Option<K::Record>) -> Result<Exit, Failure> {
    let view = K::View::from(record.ok_or_else(incomplete)?);
    let table = |view: &K::View| table::records(slice::from_ref(view));
    context.output.show(&view, table)?;
    Ok(Exit::Done)
}

fn print<K: Kind>(context: &Context, records: &[K::View]) -> Result<Exit, Failure> {
    if context.output.json {
        let document = BTreeMap::from([(K::PLURAL, records)]);
        context.output.document(&document)?;
    } else if records.is_empty() {
        context.output.note(&format!("no {} yet", K::PLURAL));
    } else {
        context.output.text(&table::records(records))?;
    }
    Ok(Exit::Done)
}

fn incomplete() -> Failure {
    Status::internal("the broker's answer is incomplete").into()
}

/// Sets a field, where something was typed for it.
fn set<T>(field: &mut T, typed: Option<T>) {
    if let Some(typed) = typed {
        *field = typed;
    }
}
