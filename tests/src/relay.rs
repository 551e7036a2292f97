//! A TCP relay that stands between two processes and breaks the link between them, as a test says.
//!
//! Invariant: while it is whole, every byte arrives once and in order. What it does to the link it does to both directions
//! and to every connection, those that stand and those to come; memory is bounded by one queue for each direction.
//! Not here: what is spoken on the link.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes that are read at a time.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction.
const ON_THE_WAY: usize = 64;
/// How long the server behind may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What a link does to what it carries. The default is a good link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// How long each byte travels.
    pub delay: Duration,
    /// How much it carries in each direction of each connection; `None` is all there is.
    pub bytes_per_second: Option<NonZeroU32>,
    /// Nothing arrives any more, and nobody is told: the cable is out, the sockets stand.
    pub stalled: bool,
    /// New connections are ended at once.
    pub refuses: bool,
}

/// How the connections that stand are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a goodbye (FIN).
    Closed,
    /// Without one (RST); what was on its way is gone.
    Reset,
}

/// One link: what connects here reaches the server behind it.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    ends: watch::Sender<End>,
    running: DropGuard,
}

impl Relay {
    /// Opens a link to the server at `behind` on a free port of this machine.
    pub async fn start(behind: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::ports::free()?)).await?;
        let relay = Self {
            address: listener.local_addr()?,
            weather: watch::Sender::default(),
            ends: watch::Sender::new(End::Closed),
            running: CancellationToken::new().drop_guard(),
        };
        let stop = relay.running.token().clone();
        let accepting = Accepting {
            behind,
            weather: relay.weather.subscribe(),
            ends: relay.ends.subscribe(),
        };
        tokio::spawn(stop.run_until_cancelled_owned(accepting.run(listener)));
        Ok(relay)
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the link does from now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Makes it a good link again.
    pub fn heal(&self) {
        self.set(Weather::default());
    }

    /// Ends every connection, and each new one at once, until it is healed.
    pub fn cut(&self) {
        self.set(Weather {
            refuses: true,
            ..Weather::default()
        });
        self.ends.send_replace(End::Closed);
    }

    /// Ends every connection without a goodbye; the next one is carried.
    pub fn reset(&self) {
        self.ends.send_replace(End::Reset);
    }
}

/// What a connection of the relay knows.
#[derive(Clone)]
struct Accepting {
    behind: SocketAddr,
    weather: watch::Receiver<Weather>,
    ends: watch::Receiver<End>,
}

impl Accepting {
    async fn run(self, listener: TcpListener) {
        // Connections end with the relay.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => {
                        connections.spawn(self.clone().connect(client));
                    }
                    // No descriptor is free, or the client has gone.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connect(mut self, mut client: TcpStream) {
        self.ends.mark_unchanged();
        if self.weather.borrow().refuses {
            return;
        }
        let Ok(Ok(mut server)) = timeout(CONNECT_LIMIT, TcpStream::connect(self.behind)).await
        else {
            let _ = client.set_zero_linger();
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ended = tokio::select! {
            whole = carry(&mut client, &mut server, &self.weather) => {
                if whole.is_err() { End::Reset } else { End::Closed }
            }
            changed = self.ends.changed() => match changed {
                Ok(()) => *self.ends.borrow(),
                Err(_) => End::Closed,
            },
        };
        if ended == End::Reset {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
    }
}

/// Carries both directions until both have ended, or one has broken.
async fn carry(
    client: &mut TcpStream,
    server: &mut TcpStream,
    weather: &watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        direction(from_client, to_server, weather.clone()),
        direction(from_server, to_client, weather.clone()),
    )?;
    Ok(())
}

/// One direction: what is read travels for a while in a queue, and is written when it is due.
async fn direction(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    weather: watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let (sender, queue) = mpsc::channel(ON_THE_WAY);
    tokio::try_join!(depart(from, sender), arrive(queue, to, weather))?;
    Ok(())
}

async fn depart(
    mut from: ReadHalf<'_>,
    queue: mpsc::Sender<(Instant, Bytes)>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        let chunk = Bytes::copy_from_slice(&buffer[..read]);
        if read == 0 || queue.send((Instant::now(), chunk)).await.is_err() {
            return Ok(());
        }
    }
}

async fn arrive(
    mut queue: mpsc::Receiver<(Instant, Bytes)>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
) -> std::io::Result<()> {
    while let Some((departed, chunk)) = queue.recv().await {
        let Ok(now) = weather
            .wait_for(|weather| !weather.stalled)
            .await
            .map(|now| *now)
        else {
            return Ok(());
        };
        sleep_until(departed + now.delay).await;
        if let Some(rate) = now.bytes_per_second {
            let size = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            sleep(Duration::from_secs(1).mul_f64(f64::from(size) / f64::from(rate.get()))).await;
        }
        to.write_all(&chunk).await?;
    }
    to.shutdown().await
}
