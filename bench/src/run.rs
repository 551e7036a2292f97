//! One run: rounds in which the raw ceiling and the broker take turns.

mod usage;

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::time::sleep;

use crate::{
    counts, growth,
    latency::{self, micros},
    load::{self, Commands, Way},
    processes::{costs, shown, spent},
    raw::Raw,
    report::{Report, milliseconds},
    stage::{PARTICIPANTS, Reach, Stage, per_command},
};

/// How long a settled command is kept: longer than a run.
const RETENTION: &str = "7days";

/// After this nothing is done any more for a command that has settled: its journals are written.
const QUIET: Duration = Duration::from_millis(200);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    rounds: u32,
    /// Messages of the raw ceiling, and with how many under way.
    raw: usize,
    raw_windows: &'static [usize],
    /// Commands by the stream to one participant; a quarter to 8, a sixty-fourth to 64.
    stream: u64,
    streams: &'static [u64],
    /// Commands by unary calls.
    unary: u64,
    clients: &'static [u64],
    /// Commands one after the other, and so many to 64 participants.
    single: u32,
    fan_out: u32,
    /// How long each open loop runs.
    open: Duration,
    growth: bool,
}

/// All of it.
pub(crate) const FULL: Extent = Extent {
    rounds: 3,
    raw: 10_000,
    raw_windows: &[128, 1_000],
    stream: 40_000,
    streams: &[1, 8],
    unary: 6_000,
    clients: &[1, 8, 64],
    single: 300,
    fan_out: 30,
    open: Duration::from_secs(10),
    growth: true,
};

/// What fits into a minute.
pub(crate) const QUICK: Extent = Extent {
    rounds: 1,
    raw: 2_000,
    raw_windows: &[1_000],
    stream: 6_000,
    streams: &[1],
    unary: 1_000,
    clients: &[64],
    single: 50,
    fan_out: 5,
    open: Duration::from_secs(2),
    growth: false,
};

/// One run under way.
struct Run {
    extent: Extent,
    stage: Stage,
    raw: Raw,
    report: Report,
    /// The number of the next command.
    next: u64,
}

/// Measures, prints the table, and writes it down.
pub(crate) async fn table(extent: Extent) -> Result<()> {
    let mut run = Run::start(extent).await?;
    for round in 1..=extent.rounds {
        println!("round {round} of {}", extent.rounds);
        run.throughput().await?;
        run.single().await?;
        run.fan_out().await?;
    }
    run.under_load().await?;
    run.idle().await?;
    run.usage().await?;
    if extent.growth {
        run.growth().await?;
    }
    run.ratios();
    let Run {
        mut report, raw, ..
    } = run;
    raw.end().await?;
    if extent.growth {
        growth::directory(&mut report);
        counts::count(&mut report)?;
    }
    report.print();
    report.write()?;
    println!("{}", report.verdict());
    Ok(())
}

/// A command with many objects beside one with one, alone, in so many rounds as always.
pub(crate) async fn urls() -> Result<()> {
    let mut run = Run::start(FULL).await?;
    for _ in 0..FULL.rounds {
        run.urls().await?;
    }
    let Run { report, raw, .. } = run;
    raw.end().await?;
    report.print();
    report.write()
}

impl Run {
    async fn start(extent: Extent) -> Result<Self> {
        let stage = Stage::start(RETENTION).await?;
        let raw = Raw::start(&stage.amqp()).await?;
        Ok(Self {
            extent,
            stage,
            raw,
            report: Report::default(),
            next: 1_000,
        })
    }

    fn numbers(&mut self, count: u64) -> (u64, u64) {
        let first = self.next;
        self.next += count;
        (first, count)
    }

    fn commands(&mut self, reach: Reach, count: u64, urls: u64) -> Commands {
        let (first, count) = self.numbers(count);
        Commands {
            reach,
            first,
            count,
            urls,
        }
    }

    /// Raw, stream and unary in turns.
    async fn throughput(&mut self) -> Result<()> {
        for window in self.extent.raw_windows {
            let speed = self.raw.throughput(self.extent.raw, *window).await?;
            self.report.add(
                format!("raw_round_trips_per_second_{window}_under_way"),
                speed,
            );
        }
        for streams in self.extent.streams {
            self.load(Way::Streams(*streams), Reach::One, self.extent.stream)
                .await?;
        }
        self.load(Way::Streams(1), Reach::Eight, self.extent.stream / 4)
            .await?;
        self.load(Way::Streams(1), Reach::All, self.extent.stream / 32)
            .await?;
        for clients in self.extent.clients {
            // A single client waits for the disk each time.
            let count = self.extent.unary * (*clients).min(8) / 8;
            self.load(Way::Unary(*clients), Reach::One, count).await?;
        }
        self.load(Way::Watched(64), Reach::One, self.extent.unary)
            .await
    }

    async fn load(&mut self, way: Way, reach: Reach, count: u64) -> Result<()> {
        let commands = self.commands(reach, count, 1);
        let processes = self.stage.processes();
        let (before, messages) = (spent(&processes)?, self.stage.messages().await?);
        let speed = load::run(&self.stage, way, commands).await?;
        let costs = costs(&processes, &before, count)?;
        let [dispatches, reports] = per_command(messages, self.stage.messages().await?, count);
        let way = match way {
            Way::Streams(number) => format!("stream_{number}_streams"),
            Way::Unary(number) => format!("unary_{number}_clients"),
            Way::Watched(number) => format!("unary_and_watched_{number}_clients"),
        };
        let name = format!("{way}_{}_participants", reach.participants());
        println!(
            "  {name}: {:.0} commands, {:.0} executions a second; for a command {}, {dispatches:.3} dispatches, \
             {reports:.3} reports",
            speed.commands,
            speed.executions,
            shown(&costs),
        );
        self.report
            .add(format!("{name}_commands_per_second"), speed.commands);
        self.report
            .add(format!("{name}_executions_per_second"), speed.executions);
        Ok(())
    }

    /// One at a time, raw and ours in turns.
    async fn single(&mut self) -> Result<()> {
        let (mut raw, mut ours) = (Histogram::new(3)?, Histogram::new(3)?);
        let mut client = self.stage.client()?;
        let (first, count) = self.numbers(self.extent.single.into());
        for number in first..first + count {
            raw.record(micros(self.raw.one().await?))?;
            let draft = Reach::One.draft(number, 1);
            ours.record(micros(latency::one(&mut client, draft).await?))?;
        }
        self.report.add_latency("raw_round_trip_unloaded", &raw);
        self.report.add_latency("latency_unloaded", &ours);
        Ok(())
    }

    /// One command to one and to all participants in turns.
    async fn fan_out(&mut self) -> Result<()> {
        let mut client = self.stage.client()?;
        let (mut raw, mut one, mut all) = (
            Histogram::<u64>::new(3)?,
            Histogram::<u64>::new(3)?,
            Histogram::<u64>::new(3)?,
        );
        let count = self.extent.fan_out;
        let url = self.stage.amqp();
        for took in self.raw.fan_out(&url, PARTICIPANTS, count).await? {
            raw.record(micros(took))?;
        }
        let processes = self.stage.processes();
        let mut costs = vec![0.0; processes.len()];
        for _ in 0..count {
            let (number, _) = self.numbers(1);
            let took = latency::one(&mut client, Reach::One.draft(number, 1)).await?;
            one.record(micros(took))?;
            sleep(QUIET).await;
            let quiet = spent(&processes)?;
            sleep(QUIET).await;
            let before = spent(&processes)?;
            let (number, _) = self.numbers(1);
            let took = latency::one(&mut client, Reach::All.draft(number, 1)).await?;
            all.record(micros(took))?;
            // What is still done for it then, in journals and outboxes, it costs too; but not what a quiet system takes.
            sleep(QUIET).await;
            let times = processes.iter().zip(quiet.iter().zip(&before));
            for (cost, (process, (quiet, before))) in costs.iter_mut().zip(times) {
                let spent = process.processor_time()?.saturating_sub(*before);
                *cost += spent.as_secs_f64() - before.saturating_sub(*quiet).as_secs_f64();
            }
        }
        let costs = processes.iter().zip(costs);
        let costs = costs.map(|(one, cost)| (one.name, cost / f64::from(count)));
        let costs: Vec<_> = costs.collect();
        println!(
            "  fan-out to 64 participants: for a command {}",
            shown(&costs)
        );
        for (name, times) in [
            ("raw_fan_out_64_queues", raw),
            ("fan_out_one_participant", one),
            ("fan_out_64_participants", all),
        ] {
            let middle = milliseconds(times.value_at_percentile(50.0));
            self.report.add(format!("{name}_p50_milliseconds"), middle);
        }
        Ok(())
    }

    /// Half and most of what watched unary calls come to.
    async fn under_load(&mut self) -> Result<()> {
        let most = self
            .report
            .figure("unary_and_watched_64_clients_1_participants_commands_per_second");
        for (word, part) in [("half_load", 0.5), ("full_load", 0.9)] {
            let rate = most * part;
            let time = self.extent.open;
            let (first, _) = self.numbers(1_000_000);
            let times = latency::open_loop(&self.stage, rate, time, first).await?;
            self.report
                .add(format!("latency_{word}_commands_per_second"), rate);
            self.report.add_latency(&format!("latency_{word}"), &times);
        }
        Ok(())
    }

    fn ratios(&mut self) {
        let windows = self.extent.raw_windows.iter();
        let ceiling = windows
            .map(|window| {
                self.report
                    .figure(&format!("raw_round_trips_per_second_{window}_under_way"))
            })
            .fold(0.0, f64::max);
        self.report
            .add("raw_ceiling_round_trips_per_second", ceiling);
        let raw = "raw_ceiling_round_trips_per_second";
        let best = |report: &Report, names: &[String]| {
            names
                .iter()
                .map(|name| report.figure(name))
                .fold(0.0, f64::max)
        };
        let streams = self.extent.streams.iter();
        let streams: Vec<_> = streams
            .map(|one| format!("stream_{one}_streams_1_participants_commands_per_second"))
            .collect();
        let unary = self.extent.clients.iter();
        let unary: Vec<_> = unary
            .map(|one| format!("unary_{one}_clients_1_participants_commands_per_second"))
            .collect();
        let report = &mut self.report;
        let best_stream = best(report, &streams);
        report.add(
            "stream_commands_one_participant_best_per_second",
            best_stream,
        );
        let best_unary = best(report, &unary);
        report.add("unary_commands_one_participant_best_per_second", best_unary);
        for (ratio, of, to) in [
            (
                "stream_commands_one_participant_to_raw_ratio",
                "stream_commands_one_participant_best_per_second",
                raw,
            ),
            (
                "stream_executions_64_participants_to_raw_ratio",
                "stream_1_streams_64_participants_executions_per_second",
                raw,
            ),
            (
                "unary_commands_one_participant_to_raw_ratio",
                "unary_commands_one_participant_best_per_second",
                raw,
            ),
            (
                "latency_unloaded_p50_to_raw_ratio",
                "latency_unloaded_p50_milliseconds",
                "raw_round_trip_unloaded_p50_milliseconds",
            ),
            (
                "latency_unloaded_p99_to_raw_ratio",
                "latency_unloaded_p99_milliseconds",
                "raw_round_trip_unloaded_p99_milliseconds",
            ),
            (
                "fan_out_64_participants_to_one_ratio",
                "fan_out_64_participants_p50_milliseconds",
                "fan_out_one_participant_p50_milliseconds",
            ),
            (
                "fan_out_64_participants_to_raw_ratio",
                "fan_out_64_participants_p50_milliseconds",
                "raw_fan_out_64_queues_p50_milliseconds",
            ),
        ] {
            report.add_ratio(ratio, of, to);
        }
    }
}
