//! Lanes: executions of different configurations run side by side, those of one configuration one after the other.
//!
//! Invariant: at most one job of a configuration is out at a time, and they come out in the order in which they came in,
//! whichever dispatches brought them; but whoever has a job may take those behind it too, where that changes nothing
//! ([`Turn::neighbour`]). No configuration waits for another one's queue: each gets one turn at a time.
//! Not here: how many run at a time; that is how many call [`Lanes::next`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::ConfigurationId;
use tokio::sync::{Notify, Semaphore};

/// The jobs that wait. Bounded by whoever puts them in: unsettled deliveries are.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    state: Mutex<State<T>>,
    /// One permit for each configuration in `turns`.
    ready: Semaphore,
}

#[derive(Debug)]
struct State<T> {
    /// A configuration is here as long as one of its jobs waits or is out.
    lanes: HashMap<ConfigurationId, Lane<T>>,
    turns: VecDeque<ConfigurationId>,
}

/// The jobs of one configuration that wait.
#[derive(Debug)]
struct Lane<T> {
    jobs: VecDeque<T>,
    /// Told of each one that comes.
    came: Arc<Notify>,
}

/// A job that is out. Its configuration's next one follows when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, T> {
    lanes: &'a Lanes<T>,
    configuration: ConfigurationId,
    came: Arc<Notify>,
    /// Given back already.
    passed: bool,
}

impl<T> Lanes<T> {
    /// Without jobs.
    pub(crate) fn new() -> Self {
        let state = State {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
        };
        Self {
            state: Mutex::new(state),
            ready: Semaphore::new(0),
        }
    }

    /// Puts jobs behind those of their configurations. After [`Self::close`] they are dropped.
    pub(crate) fn push(&self, jobs: impl IntoIterator<Item = (ConfigurationId, T)>) {
        let mut state = self.lock();
        if self.ready.is_closed() {
            return;
        }
        let before = state.turns.len();
        for (configuration, job) in jobs {
            state.push(configuration, job);
        }
        self.ready.add_permits(state.turns.len() - before);
    }

    /// Waits for the next job whose turn it is. `None` after [`Self::close`].
    pub(crate) async fn next(&self) -> Option<(T, Turn<'_, T>)> {
        loop {
            self.ready.acquire().await.ok()?.forget();
            if let Some(out) = self.take() {
                return Some(out);
            }
        }
    }

    /// Drops all jobs that wait. Those that are out are not touched.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        self.ready.close();
        state.turns.clear();
        state.lanes.clear();
    }

    /// Takes out the jobs that wait and are meant, in their order within each configuration.
    pub(crate) fn take_out(&self, is_meant: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for lane in self.lock().lanes.values_mut() {
            // A lane that is empty now keeps its turn, and is forgotten when that comes.
            let (meant, rest) = lane.jobs.drain(..).partition(|job| is_meant(job));
            lane.jobs = rest;
            taken.extend::<VecDeque<T>>(meant);
        }
        taken
    }

    fn take(&self) -> Option<(T, Turn<'_, T>)> {
        self.take_of(&mut self.lock())
    }

    /// Gives a turn back and takes the one that is due: one comes and one goes, so nobody is called. Where nothing waits behind the
    /// one that is given back, the others are somebody else's already.
    fn pass(&self, configuration: &ConfigurationId) -> Option<(T, Turn<'_, T>)> {
        let mut state = self.lock();
        if state.lanes.get(configuration)?.jobs.is_empty() {
            state.lanes.remove(configuration);
            return None;
        }
        state.turns.push_back(configuration.clone());
        self.take_of(&mut state)
    }

    fn take_of(&self, state: &mut State<T>) -> Option<(T, Turn<'_, T>)> {
        let configuration = state.turns.pop_front()?;
        let lane = state.lanes.get_mut(&configuration)?;
        let came = Arc::clone(&lane.came);
        let Some(job) = lane.jobs.pop_front() else {
            state.lanes.remove(&configuration);
            return None;
        };
        Some((
            job,
            Turn {
                lanes: self,
                configuration,
                came,
                passed: false,
            },
        ))
    }

    fn release(&self, configuration: &ConfigurationId) {
        let mut state = self.lock();
        match state.lanes.get(configuration) {
            Some(lane) if lane.jobs.is_empty() => {
                state.lanes.remove(configuration);
            }
            Some(_) => {
                state.turns.push_back(configuration.clone());
                self.ready.add_permits(1);
            }
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn push(&mut self, configuration: ConfigurationId, job: T) {
        if let Some(lane) = self.lanes.get_mut(&configuration) {
            lane.jobs.push_back(job);
            lane.came.notify_one();
            return;
        }
        let lane = Lane {
            jobs: VecDeque::from([job]),
            came: Arc::default(),
        };
        self.lanes.insert(configuration.clone(), lane);
        self.turns.push_back(configuration);
    }
}

impl<'a, T> Turn<'a, T> {
    /// Ends this turn and takes the next one that is due, unless somebody else was called for it.
    pub(crate) fn pass(mut self) -> Option<(T, Turn<'a, T>)> {
        self.passed = true;
        self.lanes.pass(&self.configuration)
    }
}

impl<T> Turn<'_, T> {
    /// Whether a job waits for this one to end: the next of its configuration, or any, because nobody is free to take it.
    pub(crate) fn is_awaited(&self) -> bool {
        let state = self.lanes.lock();
        let next = state.lanes.get(&self.configuration);
        next.is_some_and(|lane| !lane.jobs.is_empty()) || self.lanes.ready.available_permits() > 0
    }
}

impl<T> Turn<'_, T> {
    /// Waits for the next job of the same configuration, if `fits` says that it may be out beside those that are; as long as it
    /// does not, nothing comes.
    pub(crate) async fn neighbour(&self, fits: impl Fn(&T) -> bool) -> T {
        loop {
            if let Some(job) = self.take_neighbour(&fits) {
                return job;
            }
            self.came.notified().await;
        }
    }

    fn take_neighbour(&self, fits: &impl Fn(&T) -> bool) -> Option<T> {
        let mut state = self.lanes.lock();
        let lane = state.lanes.get_mut(&self.configuration)?;
        lane.jobs.front().filter(|job| fits(job))?;
        lane.jobs.pop_front()
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        if !self.passed {
            self.lanes.release(&self.configuration);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lanes(jobs: &[(&str, u32)]) -> Lanes<u32> {
        let lanes = Lanes::new();
        for (configuration, job) in jobs {
            push(&lanes, configuration, *job);
        }
        lanes
    }

    fn push(lanes: &Lanes<u32>, configuration: &str, job: u32) {
        lanes.push([(configuration.parse().unwrap(), job)]);
    }

    fn next(lanes: &Lanes<u32>) -> Option<(u32, Turn<'_, u32>)> {
        lanes.next().now_or_never()?
    }

    /// A purge and the load after it must not overtake each other; another customer's content does not wait for them.
    #[test]
    fn one_configuration_keeps_its_order_beside_others() {
        let lanes = lanes(&[("a", 1), ("a", 2), ("b", 3), ("a", 4)]);
        let (first, turn_of_a) = next(&lanes).unwrap();
        let (second, turn_of_b) = next(&lanes).unwrap();
        assert_eq!((first, second), (1, 3));
        assert!(next(&lanes).is_none());
        drop(turn_of_a);
        let (third, turn_of_a) = next(&lanes).unwrap();
        drop(turn_of_b);
        assert!(next(&lanes).is_none());
        drop(turn_of_a);
        assert_eq!((third, next(&lanes).unwrap().0), (2, 4));
    }

    /// Whoever has a turn goes on with the next one without asking the others, in the same order as if he had.
    #[test]
    fn who_passes_a_turn_on_takes_the_next_one() {
        let lanes = lanes(&[("a", 1), ("a", 2), ("b", 3), ("b", 4)]);
        let (_, turn_of_a) = next(&lanes).unwrap();
        let (job, turn_of_b) = turn_of_a.pass().unwrap();
        assert_eq!(job, 3);
        let (job, turn_of_a) = turn_of_b.pass().unwrap();
        assert_eq!(job, 2);
        // Nothing waits in this lane, and the other one's turn is called already.
        assert!(turn_of_a.pass().is_none());
        let (job, turn_of_b) = next(&lanes).unwrap();
        assert_eq!(job, 4);
        assert!(turn_of_b.pass().is_none() && next(&lanes).is_none());
        assert!(lanes.lock().lanes.is_empty());
        push(&lanes, "a", 5);
        assert_eq!(next(&lanes).unwrap().0, 5);
    }

    /// Jobs that come together call one worker for each configuration that had none.
    #[test]
    fn jobs_that_come_together_have_one_turn_for_each_configuration() {
        let lanes = lanes(&[("a", 1)]);
        let jobs = [("a", 2), ("b", 3), ("b", 4), ("c", 5)];
        lanes.push(jobs.map(|(configuration, job)| (configuration.parse().unwrap(), job)));
        assert_eq!(lanes.ready.available_permits(), 3);
        let turns: Vec<_> = std::iter::from_fn(|| next(&lanes)).collect();
        let out: Vec<_> = turns.iter().map(|(job, _)| *job).collect();
        assert_eq!(out, [1, 3, 5]);
    }

    /// A cancel finds what waits, leaves the order of the rest, and never what is out.
    #[test]
    fn what_waits_can_be_taken_out() {
        let lanes = lanes(&[("a", 1), ("a", 2), ("a", 3), ("b", 4)]);
        let (_, turn_of_a) = next(&lanes).unwrap();
        let mut taken = lanes.take_out(|job| [1, 2, 4].contains(job));
        taken.sort_unstable();
        assert_eq!(taken, [2, 4]);
        assert!(next(&lanes).is_none());
        drop(turn_of_a);
        assert_eq!(next(&lanes).unwrap().0, 3);
        push(&lanes, "b", 5);
        assert_eq!(next(&lanes).unwrap().0, 5);
        assert!(lanes.lock().lanes.is_empty());
    }

    /// Neighbours that may be carried out together come out one by one, in order, also those that come later; one that may not
    /// ends it, whatever is behind it.
    #[test]
    fn neighbours_come_out_as_long_as_they_fit() {
        let lanes = lanes(&[("a", 2), ("a", 4), ("a", 5), ("a", 6), ("b", 8)]);
        let (_, turn) = next(&lanes).unwrap();
        let even = |job: &u32| job.is_multiple_of(2);
        assert_eq!(turn.neighbour(even).now_or_never(), Some(4));
        assert_eq!(turn.neighbour(even).now_or_never(), None);
        let odd = |job: &u32| !job.is_multiple_of(2);
        assert_eq!(turn.neighbour(odd).now_or_never(), Some(5));
        assert_eq!(turn.neighbour(even).now_or_never(), Some(6));
        let mut waiting = Box::pin(turn.neighbour(even));
        assert_eq!((&mut waiting).now_or_never(), None);
        push(&lanes, "a", 10);
        assert_eq!((&mut waiting).now_or_never(), Some(10));
    }

    /// Whoever waits inside a job must know whether others wait for it.
    #[test]
    fn a_turn_is_awaited_by_the_next_of_its_lane_and_by_whom_nobody_takes() {
        let lanes = lanes(&[("a", 1), ("b", 2)]);
        let (_, turn_of_a) = next(&lanes).unwrap();
        assert!(turn_of_a.is_awaited());
        let (_, turn_of_b) = next(&lanes).unwrap();
        assert!(!turn_of_a.is_awaited());
        push(&lanes, "a", 3);
        assert!(turn_of_a.is_awaited() && !turn_of_b.is_awaited());
    }

    /// Memory follows the work: a configuration that is done is forgotten, and served when it comes again.
    #[test]
    fn a_configuration_without_work_is_forgotten() {
        let lanes = lanes(&[("a", 1)]);
        drop(next(&lanes).unwrap());
        assert!(lanes.lock().lanes.is_empty());
        push(&lanes, "a", 2);
        assert_eq!(next(&lanes).unwrap().0, 2);
    }

    /// At shutdown nothing more begins, and what waited is given back by being dropped.
    #[test]
    fn after_closing_nothing_comes_out() {
        let lanes = lanes(&[("a", 1), ("a", 2), ("b", 3)]);
        let (_, turn) = next(&lanes).unwrap();
        lanes.close();
        drop(turn);
        assert!(matches!(lanes.next().now_or_never(), Some(None)));
        push(&lanes, "c", 4);
        assert!(lanes.lock().lanes.is_empty());
    }
}
