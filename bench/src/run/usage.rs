//! What a command takes of the machine: processors, memory, disk and RabbitMQ, at rest and as it grows.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Run;
use crate::{
    load::{self, Way},
    processes::{Flushes, costs, spent},
    stage::{Reach, per_command},
};

/// Objects of a large command.
const URLS: u64 = 1_000;
/// How long nothing is asked for: longer than RabbitMQ's console is behind.
const IDLE: Duration = Duration::from_secs(6);
/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1024.0 * 1024.0;

impl Run {
    /// What an open command takes of the broker's memory, and what many participants and many objects cost.
    pub(super) async fn growth(&mut self) -> Result<()> {
        let one = self.urls().await?;
        let count = (self.extent.stream / 160).max(20);
        let all = self.processors(Reach::All, count, 1).await?;
        self.report.add(
            "usage_all_processor_microseconds_one_participant",
            one * 1e6,
        );
        self.report.add(
            "usage_all_processor_microseconds_64_participants",
            sum(&all) * 1e6,
        );
        self.open_commands().await
    }

    /// What a command with many objects costs beside one with one, process by process; answers seconds of the one with one.
    pub(super) async fn urls(&mut self) -> Result<f64> {
        let count = self.extent.stream / 8;
        let one = self.processors(Reach::One, count, 1).await?;
        let many = (count / 20).max(20);
        let many = self.processors(Reach::One, many, URLS).await?;
        for (urls, spent) in [(1, &one), (URLS, &many)] {
            for (process, spent) in spent {
                self.report.add(
                    format!("growth_{urls}_urls_{process}_processor_microseconds"),
                    spent * 1e6,
                );
            }
        }
        self.report.add(
            "growth_1000_urls_to_one_processor_ratio",
            sum(&many) / sum(&one),
        );
        Ok(sum(&one))
    }

    async fn open_commands(&mut self) -> Result<()> {
        let processes = self.stage.processes();
        let broker = processes.first().context("the broker is the first")?;
        let (before, settled) = (broker.memory()?, self.stage.settled().await?);
        self.stage.freeze(true)?;
        let commands = self.commands(Reach::One, self.extent.stream / 2, 1);
        load::submit(&self.stage, commands).await?;
        let grown = broker.memory()?.saturating_sub(before);
        self.stage.freeze(false)?;
        load::settled(&self.stage, settled + commands.count).await?;
        #[expect(clippy::cast_precision_loss, reason = "a size")]
        self.report.add(
            "growth_broker_bytes_per_open_command",
            grown as f64 / commands.count as f64,
        );
        Ok(())
    }

    /// Seconds of each process' processors, the load generator's left out, for each command to so many participants with so
    /// many objects.
    async fn processors(
        &mut self,
        reach: Reach,
        count: u64,
        urls: u64,
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut processes = self.stage.processes();
        processes.retain(|one| one.name != "load_generator");
        let before = spent(&processes)?;
        let commands = self.commands(reach, count, urls);
        load::run(&self.stage, Way::Streams(1), commands).await?;
        costs(&processes, &before, count)
    }

    /// What everybody takes of the processors while nothing is asked for: 64 participants, their queues and connections.
    pub(super) async fn idle(&mut self) -> Result<()> {
        let processes = self.stage.processes();
        let before = spent(&processes)?;
        tokio::time::sleep(IDLE).await;
        for (process, before) in processes.iter().zip(before) {
            let spent = process.processor_time()?.saturating_sub(before);
            self.report.add(
                format!("idle_{}_processor_milliseconds_per_second", process.name),
                spent.as_secs_f64() * 1_000.0 / IDLE.as_secs_f64(),
            );
        }
        Ok(())
    }

    /// What one command by the stream takes of each process, of RabbitMQ and of the disk. Nothing was asked for just before, so
    /// that RabbitMQ's console is not behind.
    pub(super) async fn usage(&mut self) -> Result<()> {
        let processes = self.stage.processes();
        let before = spent(&processes)?;
        let flushes: Vec<_> = processes.iter().map(Flushes::of).collect();
        let (messages, bytes) = (self.stage.messages().await?, self.stage.bytes().await?);
        let commands = self.commands(Reach::One, self.extent.stream, 1);
        let began = Instant::now();
        load::run(&self.stage, Way::Streams(1), commands).await?;
        let took = began.elapsed();
        let costs = costs(&processes, &before, self.extent.stream)?;
        let flushes: Vec<_> = flushes.into_iter().map(Flushes::end).collect();
        tokio::time::sleep(IDLE).await;
        let (messages_after, bytes_after) =
            (self.stage.messages().await?, self.stage.bytes().await?);
        let each = |number: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a quotient")]
            let quotient = number as f64 / self.extent.stream as f64;
            quotient
        };
        for ((process, (name, cost)), flushes) in processes.iter().zip(costs).zip(flushes) {
            self.report.add(
                format!("usage_{name}_processor_microseconds_per_command"),
                cost * 1e6,
            );
            #[expect(clippy::cast_precision_loss, reason = "a size")]
            let memory = process.memory()? as f64 / MEBIBYTE;
            self.report
                .add(format!("usage_{name}_memory_mebibytes"), memory);
            if let Some(flushes) = flushes {
                self.report
                    .add(format!("usage_{name}_flushes_per_command"), each(flushes));
            }
        }
        self.report.add("usage_seconds", took.as_secs_f64());
        let messages = per_command(messages, messages_after, self.extent.stream);
        for (name, messages) in ["dispatches", "reports"].into_iter().zip(messages) {
            self.report
                .add(format!("usage_rabbitmq_{name}_per_command"), messages);
        }
        self.report.add(
            "usage_rabbitmq_bytes_in_and_out_per_command",
            each(bytes_after.saturating_sub(bytes)),
        );
        Ok(())
    }
}

fn sum(spent: &[(&'static str, f64)]) -> f64 {
    spent.iter().map(|(_, seconds)| seconds).sum()
}
