//! One server of an order: its calls, and looking afterwards at what it serves.
//!
//! Invariant: one looks where one tells, at the address that was checked, and asks for the host names of the command.

use std::{convert::Infallible, time::Instant};

use amqp::envelope::{NativeOrder, OrderedServer};
use dialects::Dialect;
use domain::{Fault, Probes, Proof, proof::Sighting};

use super::{Caches, Call, Telling};
use crate::{
    tally::Tally,
    verify::{Case, Ground, Looked, Retold, Spot, Way, look_at},
};

/// One server, and what it is told.
pub(super) struct AtServer<'a> {
    pub(super) caches: &'a Caches,
    pub(super) telling: &'a Telling<'a>,
    pub(super) order: &'a NativeOrder,
    pub(super) dialect: &'a dyn Dialect,
    pub(super) server: &'a OrderedServer,
}

impl AtServer<'_> {
    /// Tells the server, and looks where that was asked for. `None` where the order was left.
    pub(super) async fn carry_out(&self, tally: &mut Tally) -> Option<()> {
        match self.telling.probes {
            None => self.tell(None, tally).await,
            // On the heap: most orders ask for no looking, and would hold room for it.
            Some(probes) => Box::pin(self.tell_and_look(probes, tally)).await,
        }
    }

    async fn tell_and_look(&self, probes: &Probes, tally: &mut Tally) -> Option<()> {
        if self.caches.stand_in.is_some() || !self.dialect.serves() {
            let name = self.dialect.name();
            let why = format!("what speaks {name} serves nothing itself, so nobody can look there");
            tally.prove(Proof::unprobed(why));
            return self.tell(None, tally).await;
        }
        let mut case = Case::new(&self.server.id, probes, &[], self.caches.probes);
        case.look_before(self).await;
        self.tell(None, tally).await?;
        if tally.is_done() {
            match case.prove(self, tally).await? {
                Looked::Proof(proof) => tally.prove(proof),
                Looked::Runs(jobs, _) => drop::<Vec<Infallible>>(jobs),
            }
        }
        Some(())
    }

    /// Makes the calls in order: all of them, or those for some selectors.
    async fn tell(&self, selectors: Option<&[u32]>, tally: &mut Tally) -> Option<()> {
        let meant = |own: &[u32]| {
            selectors.is_none_or(|selectors| own.iter().any(|number| selectors.contains(number)))
        };
        let calls = self.order.calls.iter();
        let calls: Vec<_> = calls.filter(|call| meant(&call.selectors)).collect();
        for (made, native) in calls.iter().enumerate() {
            if Instant::now() >= self.telling.until {
                tally.not_tried(calls.len() - made, self.telling.limits.total_time);
                break;
            }
            let call = Call {
                dialect: self.dialect,
                native,
                server: self.server,
            };
            let end = self.caches.call(self.telling, call, tally).await?;
            if !tally.take(&native.selectors, end) {
                break;
            }
        }
        Some(())
    }
}

impl Ground for AtServer<'_> {
    type Job = Infallible;

    async fn look(&self, spot: &Spot) -> Result<Sighting, Fault> {
        let caches = self.caches;
        let (place, url) = (&self.server.address, &spot.url);
        let way = |address| Ok(Way::plain(caches.http.clone(), address, url.host()));
        look_at(&caches.addresses, place, url, caches.probes, way).await
    }

    async fn tell_again(
        &self,
        selectors: &[u32],
        _: u32,
        tally: &mut Tally,
    ) -> Option<Retold<Infallible>> {
        self.tell(Some(selectors), tally).await?;
        Some(Retold::Done)
    }

    fn is_current(&self) -> bool {
        self.telling.around.is_current()
    }

    fn until(&self) -> Instant {
        self.telling.until
    }
}
