//! Who calls next with an account, and who is served by the same call.
//!
//! Invariant: originators have their turns in fair order: what each took is remembered as time, and whoever has had least
//! goes next, however much the others ask for. An originator's questions after its jobs are of its turns, and in these alternate
//! with its calls: a call may wait for a job to end, and many jobs must not keep new calls from going. Nobody overtakes where what he
//! needs is what another one waits for who may still have his turn.
//! A call answers only those that waited when it was chosen: a purge that comes after an equal one was sent is sent again,
//! because the content may have changed in between.
//! Not here: waiting (`desk`), what is left (`budget`).
//!
//! Start-time fair queueing: a flow's clock goes on by what its calls cost, in the time in which the scarcest of their units
//! comes back.
//!
//! *Duplicates.* The first of equal calls goes out at once. For the window after that, equal ones wait together, and then one
//! call is made for all of them: it is sent after each of them was accepted, so it does what each asked for. So the same thing
//! is said at most once in a window, and nobody is answered by what was said before he asked.

mod gathering;
mod recent;
mod under_way;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    ops::Range,
};

use dialects::{Bulk, Draw, Outstanding};

pub(in crate::api) use self::recent::Key;
pub(crate) use self::under_way::Takes;
use self::{gathering::Gathering, recent::Recent, under_way::UnderWay};
use super::budget::{Levels, Moment, Rates};
use crate::config::Api as Settings;

/// The unit that a call takes once, however many are served by it.
const CALLS: &str = "calls";
/// Questions of one flow, and calls, that are looked at for one that may go. Who says nothing of those behind him does not count.
const LOOK_AT: usize = 64;
/// Who is served by one call, at most.
const TOGETHER: usize = 1_000;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// For whom: calls of one flow go in order, and flows are fair to each other.
    pub(super) flow: String,
    /// What it takes.
    pub(super) draws: Vec<Draw>,
    /// The call, with whose credentials it goes out and who judges its answer: two with the same do the same.
    pub(super) same: Key,
    /// The call as a list, where it can be said with others; its kind says the same of it.
    pub(super) bulk: Option<Bulk>,
    /// Within what its units are counted as under way.
    pub(super) scope: String,
    /// Whether another one's call may answer it, and its own another one.
    pub(super) shares: bool,
    /// Whether it asks after a job.
    pub(super) asks: bool,
    /// It goes by then or not at all.
    pub(super) until: Moment,
}

/// Whoever waits, and may have gone.
pub(super) trait Waits {
    fn is_gone(&self) -> bool;
}

/// What may go.
#[derive(Debug)]
pub(super) struct Going<W> {
    pub(super) lead: W,
    /// What it is to say, where that is more than its own items.
    pub(super) items: Option<Vec<String>>,
    pub(super) partners: Vec<(W, Vec<String>)>,
    /// What is under way with it.
    pub(super) takes: Takes,
}

#[derive(Debug)]
pub(super) enum Next<W> {
    Go(Going<W>),
    /// Nobody before then, or before something else happens.
    Wait(Option<Moment>),
}

/// All that waits for one account.
#[derive(Debug)]
pub(super) struct Queue<W> {
    flows: BTreeMap<String, Flow<W>>,
    /// The clock of whoever went last.
    time: u64,
    recent: Recent,
    pub(super) under_way: UnderWay,
    /// Where somebody waited for room when nobody could go, as far as was looked.
    full: HashSet<String>,
}

#[derive(Debug)]
struct Flow<W> {
    time: u64,
    /// Questions, and behind them calls.
    waiting: VecDeque<(Wish, W)>,
    /// Whether a question went last.
    asked: bool,
}

/// What a look says of one that waits.
enum Chance {
    Goes,
    Waits,
    /// For what says nothing of those behind: room or time in its own scope, its own repetition, or what does not come in time.
    WaitsAside,
}

/// What is looked at to choose one.
struct Look<'a> {
    levels: &'a mut Levels,
    rates: &'a Rates,
    now: Moment,
    /// Units that somebody before waits for.
    scarce: Vec<&'static str>,
    /// Units of which somebody before waits until less is under way, and where.
    full: Vec<(String, &'static str)>,
    wake: Option<Moment>,
}

impl<W: Waits> Queue<W> {
    pub(super) fn new(known: &[Outstanding], settings: &Settings) -> Self {
        let known = known
            .iter()
            .map(|limit| (limit.unit.to_owned(), limit.amount));
        Self {
            flows: BTreeMap::new(),
            time: 0,
            recent: Recent::new(settings.duplicate_window),
            under_way: UnderWay::new(known.collect(), &settings.outstanding),
            full: HashSet::new(),
        }
    }

    pub(super) fn push(&mut self, wish: Wish, who: W) {
        let time = self.time;
        let flow = self.flows.entry(wish.flow.clone()).or_insert(Flow {
            time,
            waiting: VecDeque::new(),
            asked: false,
        });
        flow.time = flow.time.max(time);
        let place = if wish.asks {
            flow.questions()
        } else {
            flow.waiting.len()
        };
        flow.waiting.insert(place, (wish, who));
    }

    /// Chooses who goes, and takes out what that needs.
    pub(super) fn next(&mut self, levels: &mut Levels, rates: &Rates, now: Moment) -> Next<W> {
        for flow in self.flows.values_mut() {
            flow.waiting.retain(|(_, who)| !who.is_gone());
        }
        let time = self.time;
        self.flows
            .retain(|_, flow| !flow.waiting.is_empty() || flow.time > time);
        if let Some(held) = levels.held(now) {
            self.full.clear();
            return Next::Wait(Some(held));
        }
        let mut look = Look {
            levels,
            rates,
            now,
            scarce: Vec::new(),
            full: Vec::new(),
            wake: None,
        };
        let mut order: Vec<_> = self
            .flows
            .iter()
            .map(|(name, flow)| (flow.time, name.clone()))
            .collect();
        order.sort_unstable();
        for (_, name) in order {
            if let Some(place) = self.first(&name, &mut look) {
                return self
                    .go(&name, place, &mut look)
                    .map_or(Next::Wait(None), Next::Go);
            }
        }
        let Look { wake, full, .. } = look;
        self.full = full.into_iter().map(|(scope, _)| scope).collect();
        Next::Wait(wake)
    }

    /// Whether somebody waits for room in this scope.
    pub(super) fn is_full(&self, scope: &str) -> bool {
        self.full.contains(scope)
    }

    /// The first of a flow that may go. What its calls wait for does not keep its questions back.
    fn first(&self, name: &str, look: &mut Look<'_>) -> Option<usize> {
        let flow = self.flows.get(name)?;
        let [questions, calls] = flow.places();
        let (first, second) = if flow.asked {
            (calls, questions)
        } else {
            (questions, calls)
        };
        let others = look.scarce.len();
        if let Some(place) = self.first_of(flow, first, look) {
            return Some(place);
        }
        let own = look.scarce.split_off(others);
        let place = self.first_of(flow, second, look);
        look.scarce.extend(own);
        place
    }

    fn first_of(&self, flow: &Flow<W>, places: Range<usize>, look: &mut Look<'_>) -> Option<usize> {
        let mut looked = 0;
        let waiting = flow.waiting.range(places.clone());
        for (place, (wish, _)) in places.zip(waiting) {
            match self.chance(wish, look) {
                Chance::Goes => return Some(place),
                Chance::Waits => looked += 1,
                Chance::WaitsAside => {}
            }
            if looked >= LOOK_AT {
                break;
            }
        }
        None
    }

    /// What was said came to nothing: saying it again is no repetition.
    pub(super) fn unsay(&mut self, wish: &Wish) {
        self.recent.unsay(wish);
    }

    /// How many calls wait, questions aside.
    #[cfg(test)]
    pub(super) fn calls(&self) -> usize {
        let waiting = self.flows.values().flat_map(|flow| &flow.waiting);
        waiting.filter(|(wish, _)| !wish.asks).count()
    }

    fn chance(&self, wish: &Wish, look: &mut Look<'_>) -> Chance {
        let held = look.levels.held_in(&wish.scope, look.now);
        let lacking = look.levels.lacks(look.rates, &wish.draws, look.now);
        let at = held.max(lacking.as_ref().map(|(at, _)| *at));
        if let Some(at) = at {
            look.wake_at(at);
            if at > wish.until {
                return Chance::WaitsAside;
            }
        }
        if look.is_full(wish) {
            return Chance::WaitsAside;
        }
        let full = self
            .under_way
            .lacks(&wish.scope, &wish.draws, &Takes::default());
        if !full.is_empty() {
            // It goes on when something has ended, which wakes.
            let full = full.into_iter().map(|unit| (wish.scope.clone(), unit));
            look.full.extend(full);
            return Chance::WaitsAside;
        }
        if held.is_some() {
            return Chance::WaitsAside;
        }
        if let Some(until) = self.recent.until(wish, look.now) {
            look.wake_at(until);
            return Chance::WaitsAside;
        }
        if look.is_scarce(wish) {
            return Chance::Waits;
        }
        match lacking {
            None => Chance::Goes,
            Some((_, lacking)) => {
                look.scarce.extend(lacking);
                Chance::Waits
            }
        }
    }

    fn go(&mut self, name: &str, place: usize, look: &mut Look<'_>) -> Option<Going<W>> {
        let flow = self.flows.get_mut(name)?;
        let (wish, lead) = flow.waiting.remove(place)?;
        flow.asked = wish.asks;
        self.time = flow.time;
        flow.time = flow.time.saturating_add(cost(&wish.draws, look.rates));
        look.levels.draw(look.rates, &wish.draws, look.now);
        let mut takes = Takes {
            scope: wish.scope.clone(),
            units: BTreeMap::new(),
        };
        self.under_way.add(&mut takes, &wish.draws);
        self.recent.say(&wish, look.now);
        let mut gathering = Gathering::of(&wish);
        let partners = if wish.shares {
            self.gather(&wish, &mut gathering, &mut takes, look)
        } else {
            Vec::new()
        };
        Some(Going {
            lead,
            items: gathering.more_than(&wish),
            partners,
            takes,
        })
    }

    /// Those that the same call serves, whoever they are for.
    fn gather(
        &mut self,
        lead: &Wish,
        gathering: &mut Gathering,
        takes: &mut Takes,
        look: &mut Look<'_>,
    ) -> Vec<(W, Vec<String>)> {
        let mut partners = Vec::new();
        for flow in self.flows.values_mut() {
            let mut rest = VecDeque::new();
            while let Some((wish, who)) = flow.waiting.pop_front() {
                if partners.len() >= TOGETHER || !wish.shares {
                    rest.push_back((wish, who));
                    continue;
                }
                let is_same = wish.same == lead.same && wish.bulk.is_some() == lead.bulk.is_some();
                let draws = if is_same {
                    Some(Vec::new())
                } else {
                    gathering.room_for(&wish)
                };
                let fits = draws.filter(|draws| {
                    self.under_way.lacks(&wish.scope, draws, takes).is_empty()
                        && look.levels.lacks(look.rates, draws, look.now).is_none()
                });
                let Some(draws) = fits else {
                    rest.push_back((wish, who));
                    continue;
                };
                look.levels.draw(look.rates, &draws, look.now);
                flow.time = flow.time.saturating_add(cost(&draws, look.rates));
                self.under_way.add(takes, &draws);
                self.recent.say(&wish, look.now);
                gathering.add(&wish);
                let items = wish.bulk.map(|bulk| bulk.items).unwrap_or_default();
                partners.push((who, items));
            }
            flow.waiting = rest;
        }
        partners
    }
}

impl<W> Flow<W> {
    fn questions(&self) -> usize {
        self.waiting.partition_point(|(wish, _)| wish.asks)
    }

    /// Those of questions, and those of calls.
    fn places(&self) -> [Range<usize>; 2] {
        let (questions, all) = (self.questions(), self.waiting.len());
        [0..questions, questions..all]
    }
}

impl Look<'_> {
    /// Whether somebody before waits for what comes back of what this takes.
    fn is_scarce(&self, wish: &Wish) -> bool {
        let mut draws = wish.draws.iter();
        draws.any(|draw| self.scarce.contains(&draw.unit))
    }

    /// Whether somebody before waits for room in the same scope.
    fn is_full(&self, wish: &Wish) -> bool {
        let takes = |unit| wish.draws.iter().any(|draw| draw.unit == unit);
        let mut full = self.full.iter();
        full.any(|(scope, unit)| *scope == wish.scope && takes(*unit))
    }

    fn wake_at(&mut self, at: Moment) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// In what time the scarcest of it comes back, in nanoseconds. What does not come back with time counts as one for each: hardly
/// anything beside what does, and more for who takes more.
fn cost(draws: &[Draw], rates: &Rates) -> u64 {
    let each = draws.iter().map(|draw| {
        let rate = rates.get(draw.unit);
        rate.map_or(draw.amount.into(), |rate| rate.time_of(draw.amount))
    });
    each.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
