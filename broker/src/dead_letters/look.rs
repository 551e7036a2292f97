//! One look through boxes of dead letters, and how many letters wait in each.
//!
//! Invariant: a look ends: after so many letters, so many bytes, so much time, and in each box after as many as it held at
//! first, for what was sent again may die again meanwhile.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use amqp::{Browser, DeadLetter, LinkError, LinkSettings, LookError, SettleError, Topology};
use metrics::gauge;
use service::exit::Chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::LetterBox;
use crate::{directory::Directory, metrics as names};

/// The most letters of one look.
const LETTERS_MAXIMUM: usize = 1_000;
/// The most bytes of their bodies, together. The last letter may go beyond.
const BYTES_MAXIMUM: usize = 256 << 20;
/// How long a look goes on. A caller waits for 30 seconds.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// How often letters are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// A look through boxes.
pub(super) struct Look {
    browser: Browser,
    topology: Topology,
    boxes: VecDeque<LetterBox>,
    /// How many letters of the first box are still to be seen; `None` before its first one.
    left: Option<u32>,
    letters: usize,
    bytes: usize,
    ends: Instant,
    cut_short: bool,
}

impl Look {
    pub(super) async fn begin(
        link: &LinkSettings,
        topology: &Topology,
        boxes: Vec<LetterBox>,
    ) -> Result<Self, LookError> {
        Ok(Self {
            browser: Browser::open(link.clone()).await?,
            topology: topology.clone(),
            boxes: boxes.into(),
            left: None,
            letters: 0,
            bytes: 0,
            ends: Instant::now() + LOOK_LIMIT,
            cut_short: false,
        })
    }

    /// The next letter, oldest first, box after box.
    pub(super) async fn next(&mut self) -> Result<Option<(LetterBox, DeadLetter)>, LookError> {
        while let Some(letter_box) = self.boxes.front() {
            if self.letters >= LETTERS_MAXIMUM
                || self.bytes >= BYTES_MAXIMUM
                || self.ends <= Instant::now()
            {
                self.cut_short = true;
                return Ok(None);
            }
            let found = match self.left {
                Some(0) => None,
                _ => match self.browser.next(&letter_box.queue(&self.topology)).await {
                    Err(error @ LookError::NoQueue { .. }) => {
                        warn!(error = %Chain(&error), "dead letters have no place");
                        None
                    }
                    found => found?,
                },
            };
            if let Some(letter) = found {
                self.left = Some(
                    self.left
                        .map_or(letter.behind, |left| left.saturating_sub(1)),
                );
                self.letters += 1;
                self.bytes += letter.message.body.len();
                return Ok(Some((letter_box.clone(), letter)));
            }
            self.boxes.pop_front();
            self.left = None;
        }
        Ok(None)
    }

    /// Whether it ended at a limit, and there may be more.
    pub(super) const fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    pub(super) async fn remove(&mut self, letter: &DeadLetter) -> Result<(), SettleError> {
        self.browser.remove(letter).await
    }

    /// Puts back what was not removed. RabbitMQ puts what comes back behind what came back before, so a box keeps its order
    /// when it was looked through to its end; one that is too long for that shows others the next time.
    pub(super) async fn end(mut self) -> Result<(), SettleError> {
        if self.left.is_none() {
            self.boxes.clear();
        }
        self.boxes.truncate(1);
        while let Ok(Some(_)) = self.next().await {}
        self.browser.give_back().await
    }
}

/// Shows how many dead letters there are.
pub struct Depths {
    /// How RabbitMQ is reached.
    pub link: LinkSettings,
    /// What the queues are called.
    pub topology: Topology,
    /// Who takes part.
    pub directory: Arc<Directory>,
}

impl Depths {
    /// Counts until asked to stop.
    pub async fn run(self, stop: CancellationToken) {
        let (mut browser, mut shown) = (None, BTreeMap::new());
        loop {
            if let Err(error) = self.count(&mut browser, &mut shown).await {
                // Readiness tells that RabbitMQ is away; here the last figures stay.
                debug!(error = %Chain(&error), "dead letters are not counted");
                browser = None;
            }
            let pause = tokio::time::sleep(COUNT_EVERY);
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        if let Some(browser) = browser {
            let _ = browser.give_back().await;
        }
    }

    async fn count(
        &self,
        browser: &mut Option<Browser>,
        shown: &mut BTreeMap<String, u32>,
    ) -> Result<(), LinkError> {
        let browser = match browser {
            Some(browser) => browser,
            None => browser.insert(Browser::open(self.link.clone()).await?),
        };
        // Who has left has none.
        for depth in shown.values_mut() {
            *depth = 0;
        }
        for letter_box in LetterBox::all(&self.directory) {
            match browser.depth(&letter_box.queue(&self.topology)).await {
                Ok(depth) => shown.insert(letter_box.name().to_owned(), depth),
                Err(LookError::NoQueue { .. }) => None,
                Err(LookError::Link(error)) => return Err(error),
            };
        }
        for (participant, depth) in shown.iter() {
            gauge!(names::DEAD_LETTERS, "participant" => participant.clone()).set(*depth);
        }
        Ok(())
    }
}
