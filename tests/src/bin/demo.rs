//! `demo`: shows the main road to a person, on real servers, and proves what it shows. `make demo` runs it.
//!
//! Invariant: whatever ends it, Ctrl-C included, nothing that it started is left. Exit code 0 means that every claim
//! was checked, 1 that one was wrong, 128 and the signal's number that it was stopped.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use tests::demo;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How soon a person is told that a program has ended.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Three CDNs, five real caches, one purge that reaches them all.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut ends = match Ends::new() {
        Ok(ends) => ends,
        Err(error) => return demo::failed(&error.into()),
    };
    let mut play = Box::pin(demo::play());
    let mut stage = tokio::select! {
        played = &mut play => match played {
            Ok(stage) => stage,
            Err(error) => return demo::failed(&error),
        },
        number = ends.next() => {
            demo::stopping();
            drop(play);
            return demo::stopped(number);
        }
    };
    if arguments.keep {
        let keys = match stage.show_keys() {
            Ok(keys) => keys,
            Err(error) => return demo::failed(&error),
        };
        keep(&mut stage, &mut ends).await;
        demo::stopping();
        drop(keys);
    }
    drop(stage);
    ExitCode::SUCCESS
}

/// Stays until a signal comes; a program that ends before is told at the next look.
async fn keep(stage: &mut demo::Stage, ends: &mut Ends) {
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    loop {
        tokio::select! {
            _ = ends.next() => return,
            _ = looks.tick() => stage.tell_ended(),
        }
    }
}

/// The signals that ask a program of a terminal to end.
struct Ends {
    interrupted: Signal,
    terminated: Signal,
    hung_up: Signal,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the first that comes.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hung_up.recv() => 1,
            _ = self.interrupted.recv() => 2,
            _ = self.terminated.recv() => 15,
        }
    }
}
