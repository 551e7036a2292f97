//! A call that was chosen, and who asks after the job that it begins.
//!
//! Invariant: what is under way with a call counts until the call has ended, or as long as somebody asks after its job. Each of those
//! whom the call served does from the answer on, until he drops his [`Asker`] or says that he goes on otherwise.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Going, Inner, Seat, Takes, Turn};

/// What a job is known by: a provider's name for one may hold only where it was begun.
pub(in crate::api) fn key_of(scope: &str, job: &str) -> String {
    [scope, job].join(" ")
}

/// A call that was chosen, for everybody that it serves.
#[derive(Debug)]
pub(in crate::api) struct Lead {
    /// What it says, where that is more than its own.
    pub(in crate::api) items: Option<Vec<String>>,
    partners: Vec<Partner>,
    inner: Arc<Inner>,
    /// Its name among what is under way, until it has ended or has a job.
    holder: Option<String>,
}

/// Somebody asks after a job, until this is dropped or kept.
#[derive(Debug)]
pub(in crate::api) struct Asker {
    inner: Arc<Inner>,
    /// Of the job; nothing where this was kept.
    key: Option<String>,
    takes: Takes,
}

#[derive(Debug)]
struct Partner {
    answer: oneshot::Sender<Turn>,
    items: Vec<String>,
}

/// Hands a call to the one that is to make it.
pub(super) fn lead(inner: &Arc<Inner>, going: Going<Seat>, holder: String) {
    let partners = going.partners.into_iter().map(|(seat, items)| Partner {
        answer: seat.answer,
        items,
    });
    let lead = Lead {
        items: going.items,
        partners: partners.collect(),
        inner: Arc::clone(inner),
        holder: Some(holder),
    };
    // Who has left meanwhile leaves those that he was to call for, and they wait again.
    let _ = going.lead.answer.send(Turn::Lead(lead));
}

impl Lead {
    /// Whether it serves others too.
    pub(in crate::api) fn is_for_several(&self) -> bool {
        !self.partners.is_empty()
    }

    /// How many it serves besides.
    pub(in crate::api) fn served(&self) -> usize {
        self.partners.len()
    }

    /// It began a job of this name, with which all that it takes stays under way. The one that called asks after it.
    pub(in crate::api) fn began(&mut self, job: &str) -> Asker {
        let holder = self.holder.take().unwrap_or_default();
        let (key, takes) = self.inner.change(|state| {
            let under_way = &mut state.queue.under_way;
            let takes = under_way.end(&holder).unwrap_or_default();
            let key = key_of(&takes.scope, job);
            under_way.begin(key.clone(), takes.clone());
            under_way.ask_after(&key);
            (key, takes)
        });
        Asker {
            inner: Arc::clone(&self.inner),
            key: Some(key),
            takes,
        }
    }

    /// Tells everybody that it serves besides the one that called; `of` decides by a partner's items.
    pub(in crate::api) fn tell(self, of: impl Fn(&[String]) -> Turn) {
        let mut lead = self;
        for partner in std::mem::take(&mut lead.partners) {
            // Who has left needs no answer.
            let _ = partner.answer.send(of(&partner.items));
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            self.inner
                .change(|state| state.queue.under_way.end(&holder));
        }
    }
}

impl Asker {
    /// Another one asks after the same job.
    pub(in crate::api) fn another(&self) -> Self {
        if let Some(key) = &self.key {
            self.inner.lock().queue.under_way.ask_after(key);
        }
        Self {
            inner: Arc::clone(&self.inner),
            key: self.key.clone(),
            takes: self.takes.clone(),
        }
    }

    /// What is under way with the job, for the journal.
    pub(in crate::api) fn takes(&self) -> Takes {
        self.takes.clone()
    }

    /// The job has ended, or whoever goes on asking says so himself.
    pub(in crate::api) fn keep(mut self) {
        self.key = None;
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.inner.leave(key);
        }
    }
}
