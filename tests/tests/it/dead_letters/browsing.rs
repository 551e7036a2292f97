//! Looking into a queue of dead letters without taking anything away, on RabbitMQ itself.

use std::collections::BTreeMap;

use ::amqp::{
    Browser, DeadLetter, LinkSettings, LookError, Message, Provisioner, Publisher,
    PublisherSettings, QueueLimits, Topology,
};
use anyhow::Result;
use domain::Timestamp;
use tests::{prefix, shared, wait};

use super::SOON;

/// Several times 32, which is as many as RabbitMQ 3.10 keeps in order when they come back in one word.
const LETTERS: usize = 200;

struct Queue {
    url: String,
    topology: Topology,
    name: String,
}

impl Queue {
    /// With numbered letters in it.
    async fn filled() -> Result<Self> {
        let url = shared()?.amqp;
        let topology = Topology::new(format!("{}.", prefix()), QueueLimits::default())?;
        let participant = "b".parse()?;
        let queue = Self {
            url,
            name: topology.dead_letters_queue(&participant),
            topology,
        };
        let provisioner = Provisioner::new(queue.link(), queue.topology.clone());
        provisioner.declare_base().await?;
        provisioner.declare_participant(&participant).await?;
        let publisher = Publisher::new(queue.link(), PublisherSettings::default());
        for number in 0..LETTERS {
            let message = Message {
                message_id: number.to_string(),
                kind: "federation.dispatch.v1".to_owned(),
                app_id: "tests".to_owned(),
                timestamp: Timestamp::from_millis(0),
                correlation_id: None,
                headers: BTreeMap::new(),
                body: b"{}".to_vec(),
            };
            let exchange = queue.topology.dead_letters_exchange();
            publisher.publish(&exchange, "b", &message).await?;
        }
        Ok(queue)
    }

    fn link(&self) -> LinkSettings {
        LinkSettings::new(self.url.clone().into(), "browsing")
    }

    async fn open(&self) -> Result<Browser> {
        Ok(Browser::open(self.link()).await?)
    }

    async fn take(&self, browser: &mut Browser, most: usize) -> Result<Vec<DeadLetter>> {
        let mut letters = Vec::new();
        while letters.len() < most
            && let Some(letter) = browser.next(&self.name).await?
        {
            letters.push(letter);
        }
        Ok(letters)
    }
}

fn numbers(letters: &[DeadLetter]) -> Vec<usize> {
    let each = letters
        .iter()
        .map(|letter| letter.message.message_id.parse());
    each.map(|number| number.unwrap_or(usize::MAX)).collect()
}

/// Whoever looks next sees the same letters in the same order, at once; and what was removed is gone.
#[tokio::test]
async fn a_look_leaves_everything_in_its_order() -> Result<()> {
    let queue = Queue::filled().await?;
    for round in 0..3 {
        let mut browser = queue.open().await?;
        assert_eq!(browser.depth(&queue.name).await? as usize, LETTERS);
        let letters = queue.take(&mut browser, usize::MAX).await?;
        assert_eq!(numbers(&letters), (0..LETTERS).collect::<Vec<_>>());
        assert_eq!(letters[0].behind as usize, LETTERS - 1);
        assert_eq!(letters[50].looks, round, "3.10 counts every look");
        browser.give_back().await?;
    }
    let mut browser = queue.open().await?;
    let letters = queue.take(&mut browser, usize::MAX).await?;
    browser.remove(&letters[30]).await?;
    browser.give_back().await?;
    let mut browser = queue.open().await?;
    let left = queue.take(&mut browser, usize::MAX).await?;
    let expected: Vec<_> = (0..LETTERS).filter(|number| *number != 30).collect();
    assert_eq!(numbers(&left), expected);
    for letter in &left[20..] {
        browser.remove(letter).await?;
    }
    browser.give_back().await?;
    for _ in 0..2 {
        let mut browser = queue.open().await?;
        let few = queue.take(&mut browser, usize::MAX).await?;
        // After hundreds of removals the order is kept only where RabbitMQ is quick enough; nothing is lost either way.
        let mut left = numbers(&few);
        left.sort_unstable();
        assert_eq!(left, (0..20).collect::<Vec<_>>());
        browser.give_back().await?;
    }
    Ok(())
}

/// The second one sees what the first one does not hold. One dies in the middle, and all letters are there again.
#[tokio::test]
async fn two_who_look_at_a_time_lose_nothing() -> Result<()> {
    let queue = Queue::filled().await?;
    let (mut first, mut second) = (queue.open().await?, queue.open().await?);
    let held = queue.take(&mut first, 80).await?;
    let rest = queue.take(&mut second, usize::MAX).await?;
    assert_eq!(numbers(&held), (0..80).collect::<Vec<_>>());
    assert_eq!(numbers(&rest), (80..LETTERS).collect::<Vec<_>>());
    second.remove(&rest[0]).await?;
    drop(first);
    second.give_back().await?;
    let mut browser = queue.open().await?;
    let all = LETTERS - 1;
    wait::until(SOON, "all letters are there", async || {
        let depth = browser.depth(&queue.name).await?;
        anyhow::ensure!(depth as usize == all, "{depth}");
        Ok(())
    })
    .await?;
    let mut left = numbers(&queue.take(&mut browser, usize::MAX).await?);
    left.sort_unstable();
    let expected: Vec<_> = (0..LETTERS).filter(|number| *number != 80).collect();
    assert_eq!(left, expected);
    Ok(())
}

/// A participant's queue may be gone in the middle of a look through all of them.
#[tokio::test]
async fn a_queue_that_is_not_there_ends_no_look() -> Result<()> {
    let queue = Queue::filled().await?;
    let mut browser = queue.open().await?;
    let missing = browser.next("no-such-queue").await;
    assert!(
        matches!(missing, Err(LookError::NoQueue { .. })),
        "{missing:?}"
    );
    let missing = browser.depth("no-such-queue").await;
    assert!(
        matches!(missing, Err(LookError::NoQueue { .. })),
        "{missing:?}"
    );
    assert_eq!(queue.take(&mut browser, 5).await?.len(), 5);
    browser.give_back().await?;
    Ok(())
}
