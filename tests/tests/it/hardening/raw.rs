//! HTTP/2 by hand (RFC 9113), for what a well-behaved client never sends.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const PATH: &str = "/federation.v1.CommandService/SubmitCommands";
const LIMIT: Duration = Duration::from_secs(20);

/// A connection.
pub(super) struct Raw(TcpStream);

impl Raw {
    /// Connects and begins.
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let mut raw = Self(TcpStream::connect(address).await?);
        raw.send(PREFACE).await?;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(raw)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write_all(bytes).await?)
    }

    /// Opens a call that is never finished.
    pub(super) async fn call(&mut self, stream: u32) -> Result<()> {
        self.send(&frame(HEADERS, END_HEADERS, stream, &headers()))
            .await
    }

    /// Reads until so many streams were reset, or the connection was ended, which resets all of them.
    pub(super) async fn count_resets(&mut self, wanted: usize) -> Result<usize> {
        let mut resets = 0;
        let counting = async {
            while resets < wanted {
                match self.read().await {
                    Some(RST_STREAM) => resets += 1,
                    Some(GOAWAY) | None => return wanted,
                    Some(_) => {}
                }
            }
            resets
        };
        let counted = tokio::time::timeout(LIMIT, counting).await;
        counted.context("streams past the limit are not refused")
    }

    /// Sends a header block that never ends; how many bytes were taken.
    pub(super) async fn endless_headers(&mut self) -> usize {
        const PART: usize = 16_000;
        // A literal header without indexing: its name, and a value whose end is far away.
        let mut block = headers();
        block.extend([0, 6]);
        block.extend(b"x-long");
        block.extend([0x7f, 0x80, 0x80, 0x80, 0x80, 0x04]);
        let mut sent = 0;
        if self.send(&frame(HEADERS, 0, 1, &block)).await.is_err() {
            return sent;
        }
        let part = frame(CONTINUATION, 0, 1, &[b'x'; PART]);
        while sent < 64 << 20 {
            let sending = tokio::time::timeout(LIMIT, self.send(&part)).await;
            if !matches!(sending, Ok(Ok(()))) {
                break;
            }
            sent += PART;
        }
        sent
    }

    /// Asks for answers and reads none, until the broker ends the connection.
    pub(super) async fn ping_without_reading(&mut self) {
        let pings = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
        while self.send(&pings).await.is_ok() {}
    }

    /// The kind of the next frame; nothing when the connection has ended.
    async fn read(&mut self) -> Option<u8> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(head[3])
    }
}

/// A call that is made and reset at once.
pub(super) fn reset(stream: u32) -> Vec<u8> {
    let mut both = frame(HEADERS, END_HEADERS, stream, &headers());
    both.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    both
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are small");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header block of a call (RFC 7541): three of the static table, the rest literal.
fn headers() -> Vec<u8> {
    // :method POST, :scheme http.
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).expect("values are short"));
        block.extend(value.as_bytes());
    };
    // :path and :authority by the index of their names, the others by their names.
    literal(&[0x04], PATH);
    literal(&[0x01], "localhost");
    literal(b"\x00\x0ccontent-type", "application/grpc");
    literal(b"\x00\x02te", "trailers");
    literal(b"\x00\x15x-federation-identity", "participant/a");
    block
}
