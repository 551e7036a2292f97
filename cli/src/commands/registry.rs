//! The federation's directory: four kinds of records, and the same five actions for each.
//!
//! Invariant: an update changes only what was typed; the rest of the record is read before and stored again.

mod calls;
pub(crate) mod configurations;
pub(crate) mod credentials;
pub(crate) mod deployments;
mod keys;
pub(crate) mod participants;
pub(crate) mod progress;
pub(crate) mod servers;

use std::{collections::BTreeMap, fmt::Debug, slice};

use clap::{Args, Subcommand};
use serde::Serialize;
use tonic::{Code, Status};

use super::Context;
use crate::{
    broker::{Broker, Refusal},
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
    type View: From<Self::Record> + Row + Serialize + PartialEq;
    /// What a list may be narrowed by.
    type Filter: Args + Debug + Default;
    /// A whole record, as it is typed.
    type Create: Args + Debug + Into<Self::Record>;
    /// What may be changed in one.
    type Change: Args + Debug + Change<Self::Record>;

    /// Asks for a page.
    type Listing;

    /// The id of a record.
    fn id(record: &Self::Record) -> &str;
    /// What asks for this page.
    fn listing(filter: &Self::Filter, page: Page) -> Self::Listing;
    /// One page of all records, and the token of the next.
    async fn page(
        broker: &Broker,
        listing: Self::Listing,
    ) -> Result<(Vec<Self::Record>, String), Refusal>;
    /// One record.
    async fn get(broker: &Broker, id: &str) -> Result<Option<Self::Record>, Refusal>;
    /// Adds a record.
    async fn create(broker: &Broker, record: Self::Record)
    -> Result<Option<Self::Record>, Refusal>;
    /// Replaces a record.
    async fn update(broker: &Broker, record: Self::Record)
    -> Result<Option<Self::Record>, Refusal>;
    /// Removes a record.
    async fn delete(broker: &Broker, id: &str) -> Result<(), Refusal>;
    /// A record as it was typed: without what the broker adds.
    fn as_typed(record: Self::Record) -> Self::Record {
        record
    }
    /// Adds to listed records what the broker keeps elsewhere.
    async fn complete(_: &Broker, _: &mut [Self::View]) -> Result<(), Refusal> {
        Ok(())
    }
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

/// The actions that every kind has.
#[derive(Debug, Subcommand)]
pub(crate) enum Action<F: Args, C: Args, U: Args> {
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

/// Names one.
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
}

/// Names one and what is to change.
#[derive(Debug, Args)]
pub(crate) struct Update<U: Args> {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    change: U,
}

impl<K: Kind> Registry<K> {
    /// Does it and shows the record, or all of them.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        act::<K>(self.action, context).await
    }
}

/// Does what every kind has.
async fn act<K: Kind>(
    action: Option<Action<K::Filter, K::Create, K::Change>>,
    context: &Context,
) -> Result<Exit, Failure> {
    match action {
        None => list::<K>(context, &K::Filter::default()).await,
        Some(Action::List(filter)) => list::<K>(context, &filter).await,
        Some(Action::Get(Id { id })) => show::<K>(context, K::get(&context.broker, &id).await?),
        Some(Action::Create(record)) => create::<K>(context, record.into()).await,
        Some(Action::Update(update)) => change::<K>(context, update).await,
        Some(Action::Delete(Id { id })) => delete::<K>(context, &id).await,
    }
}

async fn list<K: Kind>(context: &Context, filter: &K::Filter) -> Result<Exit, Failure> {
    let page = async |page| K::page(&context.broker, K::listing(filter, page)).await;
    let records = pages(page).await?.into_iter().map(K::View::from);
    let mut records: Vec<_> = records.collect();
    K::complete(&context.broker, &mut records).await?;
    print(context, K::PLURAL, &records)
}

/// All pages, one after the other.
pub(super) async fn pages<T>(
    page: impl AsyncFn(Page) -> Result<(Vec<T>, String), Refusal>,
) -> Result<Vec<T>, Refusal> {
    let mut records = Vec::new();
    let mut token = String::new();
    while records.len() < RECORDS_MAXIMUM {
        let size = PAGE_SIZE;
        let (found, next) = page(Page { size, token }).await?;
        records.extend(found);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    Ok(records)
}

/// Adds a record. Where an answer was lost on the way, a record that is there and is the same counts as added.
async fn create<K: Kind>(context: &Context, record: K::Record) -> Result<Exit, Failure> {
    let refusal = match K::create(&context.broker, record.clone()).await {
        Ok(created) => return show::<K>(context, created),
        Err(refusal) => refusal,
    };
    if refusal.is_repeated && refusal.status.code() == Code::AlreadyExists {
        let found = K::get(&context.broker, K::id(&record)).await?;
        if found.clone().map(K::as_typed).map(K::View::from) == Some(record.clone().into()) {
            context.output.note(
                "it is there; an answer was lost, so it may have been added by an earlier try",
            );
            return show::<K>(context, found);
        }
    }
    Err(lost::<K>(refusal, K::id(&record)))
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
    let updated = K::update(&context.broker, record).await;
    show::<K>(
        context,
        updated.map_err(|refusal| lost::<K>(refusal, &update.id))?,
    )
}

/// Removes a record. Where an answer was lost on the way, one that is not there counts as removed.
async fn delete<K: Kind>(context: &Context, id: &str) -> Result<Exit, Failure> {
    let said = match K::delete(&context.broker, id).await {
        Ok(()) => format!("{id} is removed"),
        Err(refusal) if refusal.is_repeated && refusal.status.code() == Code::NotFound => {
            format!("{id} is not there; an answer was lost, so an earlier try may have removed it")
        }
        Err(refusal) => return Err(lost::<K>(refusal, id)),
    };
    context.output.note(&said);
    Ok(Exit::Done)
}

/// A change that failed, and how to see what became of it.
fn lost<K: Kind>(refusal: Refusal, id: &str) -> Failure {
    Failure::Change {
        is_repeated: refusal.is_repeated,
        look: format!("fedctl {} get {id}", K::PLURAL),
        status: Box::new(refusal.status),
    }
}

fn show<K: Kind>(context: &Context, record: Option<K::Record>) -> Result<Exit, Failure> {
    let view = K::View::from(record.ok_or_else(incomplete)?);
    let table = |view: &K::View| table::records(slice::from_ref(view));
    context.output.show(&view, table)?;
    Ok(Exit::Done)
}

fn print<V: Row + Serialize>(
    context: &Context,
    plural: &str,
    records: &[V],
) -> Result<Exit, Failure> {
    if context.output.json {
        let document = BTreeMap::from([(plural, records)]);
        context.output.document(&document)?;
    } else if records.is_empty() {
        context.output.note(&format!("no {plural} yet"));
    } else {
        context.output.text(&table::records(records))?;
    }
    Ok(Exit::Done)
}

pub(super) fn incomplete() -> Failure {
    Status::internal("the broker's answer is incomplete").into()
}

/// Sets a field, where something was typed for it.
fn set<T>(field: &mut T, typed: Option<T>) {
    if let Some(typed) = typed {
        *field = typed;
    }
}
