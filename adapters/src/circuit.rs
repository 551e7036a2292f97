//! Circuit breakers: a server that gave no answer several times in a row is left alone for a while.
//!
//! ```text
//!            failures in a row            its time is over            an answer
//!   closed ────────────────────► open ────────────────────► probing ───────────► closed
//!                                  ▲                           │
//!                                  └──────── no answer ────────┘  for longer, up to a maximum
//! ```
//!
//! Invariant: one call at a time finds out whether the server is back, or one more where that one takes long, as a load may;
//! all others are refused at once, and hear since when, why, and when to come again. Any answer at all closes it: a server that
//! says no is there.
//! Not here: whether a refused call waits (`caches`), and which failures count.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use domain::{
    Fault,
    fault::{Again, FaultCode},
    participant::ServerAddress,
};
use humantime_serde::re::humantime::format_rfc3339_seconds;

use crate::{config, metrics};

/// Servers that are kept in mind at most; one more is simply called.
const SERVERS_LIMIT: usize = 10_000;

/// When a call comes again that met another one's probe.
const PROBE_TAKES: Duration = Duration::from_secs(1);
/// A probe that takes longer says nothing yet, and the next call is one too.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// The circuits of all servers that failed of late.
#[derive(Debug)]
pub(crate) struct Circuits {
    settings: config::Circuit,
    servers: Mutex<HashMap<ServerAddress, Circuit>>,
}

#[derive(Debug, Default)]
struct Circuit {
    /// Calls without an answer since the last one that had one.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: SystemTime,
    until: Instant,
    /// How often in a row it was opened.
    times: u32,
    /// Since when a call finds out whether the server is back.
    probing: Option<Instant>,
    /// The latest failure, in its own words.
    reason: String,
}

/// Leave to make one call. Dropped unsettled, it says nothing of the server.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    circuits: &'a Circuits,
    address: &'a ServerAddress,
    is_probe: bool,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) struct Refused {
    /// For the report.
    pub(crate) fault: Fault,
    /// When it may be tried again.
    pub(crate) due: Instant,
}

impl Circuits {
    pub(crate) fn new(settings: config::Circuit) -> Self {
        let servers = Mutex::new(HashMap::new());
        Self { settings, servers }
    }

    /// Asks for leave to call the server.
    pub(crate) fn enter<'a>(&'a self, address: &'a ServerAddress) -> Result<Pass<'a>, Refused> {
        let mut servers = self.lock();
        let circuit = servers.get_mut(address);
        let is_probe = match circuit
            .and_then(|circuit| circuit.open.as_mut().map(|open| (circuit.failures, open)))
        {
            None => false,
            Some((failures, open)) => {
                let now = Instant::now();
                if open.is_probed(now) || now < open.until {
                    return Err(open.refuse(now, failures));
                }
                open.probing = Some(now);
                true
            }
        };
        Ok(Pass {
            circuits: self,
            address,
            is_probe,
        })
    }

    fn answered(&self, address: &ServerAddress) {
        let mut servers = self.lock();
        if servers.remove(address).is_some() {
            show(&servers);
        }
    }

    fn failed(&self, address: &ServerAddress, is_probe: bool, reason: &str) {
        let mut servers = self.lock();
        if servers.len() >= SERVERS_LIMIT && !servers.contains_key(address) {
            return;
        }
        let circuit = servers.entry(address.clone()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        match &mut circuit.open {
            Some(open) => {
                reason.clone_into(&mut open.reason);
                // A call that was under way when it opened says nothing new.
                if is_probe {
                    open.probing = None;
                    open.times = open.times.saturating_add(1);
                    open.until = Instant::now() + self.pause(open.times);
                }
            }
            None if circuit.failures >= self.settings.failures => {
                circuit.open = Some(Open {
                    since: SystemTime::now(),
                    until: Instant::now() + self.pause(1),
                    times: 1,
                    probing: None,
                    reason: reason.to_owned(),
                });
            }
            None => {}
        }
        show(&servers);
    }

    /// The probe was never made, or says nothing; the next call is one.
    fn abandoned(&self, address: &ServerAddress) {
        if let Some(open) = self
            .lock()
            .get_mut(address)
            .and_then(|circuit| circuit.open.as_mut())
        {
            open.probing = None;
        }
    }

    /// Grows with every time, and is random in its upper half, so that not all come back at once.
    fn pause(&self, times: u32) -> Duration {
        let pause = self.settings.pause;
        let exponent = i32::try_from(times.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = pause.first.as_secs_f64() * pause.factor.powi(exponent);
        // `min` also turns what is no number into the maximum.
        let ceiling = grown.min(pause.max.as_secs_f64());
        Duration::from_secs_f64(ceiling * (0.5 + rand::random::<f64>() / 2.0))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerAddress, Circuit>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(servers: &HashMap<ServerAddress, Circuit>) {
    let open = servers.values().filter(|circuit| circuit.open.is_some());
    metrics::circuits_open(open.count());
}

impl Open {
    fn is_probed(&self, now: Instant) -> bool {
        self.probing
            .is_some_and(|since| now.saturating_duration_since(since) < PROBE_LIMIT)
    }

    fn refuse(&self, now: Instant, failures: u32) -> Refused {
        let rest = if self.is_probed(now) {
            PROBE_TAKES
        } else {
            self.until.saturating_duration_since(now)
        };
        let seconds = u32::try_from(rest.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        let since = format_rfc3339_seconds(self.since);
        let message = format!(
            "left alone since {since} after {failures} calls without an answer; the last: {}",
            self.reason
        );
        let again = Again::AfterSeconds(seconds.max(1));
        Refused {
            fault: Fault::participant(FaultCode::CircuitOpen, again, &message),
            due: now + rest,
        }
    }
}

impl Pass<'_> {
    /// The server answered, whatever it said.
    pub(crate) fn answered(mut self) {
        self.circuits.answered(self.address);
        self.is_probe = false;
    }

    /// It did not.
    pub(crate) fn failed(mut self, fault: &Fault) {
        self.circuits
            .failed(self.address, self.is_probe, &fault.message);
        self.is_probe = false;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.circuits.abandoned(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use service::backoff::BackoffSettings;

    use super::*;

    fn circuits(first: Duration) -> Circuits {
        let pause = BackoffSettings {
            first,
            max: 8 * first,
            factor: 2.0,
        };
        Circuits::new(config::Circuit { failures: 3, pause })
    }

    fn server() -> ServerAddress {
        "192.0.2.1:80".parse().unwrap()
    }

    fn refused() -> Fault {
        Fault::participant(FaultCode::Unreachable, Again::Soon, "connection refused")
    }

    fn fail(circuits: &Circuits, times: u32) {
        for _ in 0..times {
            circuits.enter(&server()).unwrap().failed(&refused());
        }
    }

    /// Only failures in a row count; then the reason and the time are told, and nobody waits for the network.
    #[test]
    fn failures_in_a_row_open_it_and_the_fault_says_why() {
        let (circuits, server) = (circuits(Duration::from_hours(1)), server());
        fail(&circuits, 2);
        circuits.enter(&server).unwrap().answered();
        fail(&circuits, 3);
        let fault = circuits.enter(&server).unwrap_err().fault;
        assert_eq!(fault.code, FaultCode::CircuitOpen);
        assert!(
            matches!(fault.again, Again::AfterSeconds(1_800..=3_600)),
            "{fault:?}"
        );
        for words in ["since 20", "after 3 calls", "connection refused"] {
            assert!(fault.message.contains(words), "{fault:?}");
        }
        let other = "192.0.2.2:80".parse().unwrap();
        assert!(circuits.enter(&other).is_ok());
    }

    /// One call finds out; the others do not all run into the same dead server.
    #[test]
    fn one_probe_at_a_time_decides() {
        let (circuits, server) = (circuits(Duration::from_nanos(1)), server());
        fail(&circuits, 3);
        let probe = circuits.enter(&server).unwrap();
        assert!(circuits.enter(&server).is_err());
        drop(probe);
        let probe = circuits.enter(&server).unwrap();
        probe.failed(&refused());
        circuits.enter(&server).unwrap().answered();
        assert!(circuits.lock().is_empty());
    }

    /// A load may take minutes; the others do not wait for it to say whether the server is back.
    #[test]
    fn a_probe_that_takes_long_is_not_the_only_one() {
        let (circuits, server) = (circuits(Duration::from_nanos(1)), server());
        fail(&circuits, 3);
        let _load = circuits.enter(&server).unwrap();
        assert!(circuits.enter(&server).is_err());
        let open = |circuit: &mut Circuit| {
            let open = circuit.open.as_mut().unwrap();
            open.probing = open.probing.unwrap().checked_sub(PROBE_LIMIT);
        };
        circuits.lock().get_mut(&server).map(open).unwrap();
        circuits.enter(&server).unwrap().answered();
        assert!(circuits.enter(&server).is_ok());
    }

    /// Whoever was under way when it opened does not make the pause longer; a late answer closes it.
    #[test]
    fn calls_that_were_under_way_are_heard_too() {
        let (circuits, server) = (circuits(Duration::from_hours(1)), server());
        let [early, late] = [(); 2].map(|()| circuits.enter(&server).unwrap());
        fail(&circuits, 3);
        early.failed(&refused());
        assert_eq!(
            circuits.lock()[&server]
                .open
                .as_ref()
                .map(|open| open.times),
            Some(1)
        );
        late.answered();
        assert!(circuits.enter(&server).is_ok());
    }

    /// A server that is away for days is asked now and then, and not more often than that.
    #[test]
    fn the_pause_grows_to_its_maximum_and_is_random() {
        let circuits = circuits(Duration::from_secs(1));
        for (times, most) in [(1, 1), (2, 2), (4, 8), (5, 8), (u32::MAX, 8)] {
            let (pause, most) = (circuits.pause(times), Duration::from_secs(most));
            assert!(pause >= most / 2 && pause <= most, "{times}: {pause:?}");
        }
        assert_ne!(circuits.pause(5), circuits.pause(5));
    }
}
