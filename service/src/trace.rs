//! W3C Trace Context: the ids that tie what several processes do for one command together.
//!
//! Written after <https://www.w3.org/TR/trace-context/> (version 00; the random flag is of level 2).
//! Invariant: an id is never all zero, and what is written here every conforming reader accepts.
//! Not here: how the two headers travel (gRPC metadata, AMQP headers, HTTP headers).

mod state;

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use rand::RngCore as _;

/// The name of the header with the ids, in every protocol.
pub const TRACEPARENT: &str = "traceparent";

/// The name of the header with what vendors add.
pub const TRACESTATE: &str = "tracestate";

/// The caller may have recorded this trace.
pub const SAMPLED: u8 = 0b01;

/// The trace id is random, of level 2.
pub const RANDOM: u8 = 0b10;

/// The length of `traceparent` in version 00, in bytes. Later versions are at least as long.
const LENGTH: usize = 55;

/// Where one thing stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
    tracestate: Option<String>,
}

/// Why a `traceparent` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// It is shorter or longer than its version allows.
    #[error("traceparent has the wrong length")]
    Length,
    /// The dashes are not where they belong.
    #[error("traceparent has no dash where one belongs")]
    Dash,
    /// A field has something other than digits and the letters a to f.
    #[error("traceparent has a field that is not lowercase hexadecimal")]
    Hexadecimal,
    /// Version ff is forbidden.
    #[error("traceparent has the forbidden version ff")]
    Version,
    /// The trace id or the parent id is all zero.
    #[error("traceparent has an id of zeros only")]
    Zero,
}

impl TraceContext {
    /// The beginning of a new trace, sampled.
    pub fn new() -> Self {
        Self {
            trace_id: random_id(),
            parent_id: random_id(),
            flags: SAMPLED | RANDOM,
            tracestate: None,
        }
    }

    /// Reads both headers. A `tracestate` that is wrong is left out, as the standard says; it never spoils the ids.
    ///
    /// # Errors
    /// Where `traceparent` is wrong. The caller then begins a new trace.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Result<Self, TraceError> {
        let context: Self = traceparent.parse()?;
        Ok(Self {
            tracestate: tracestate.and_then(state::accepted),
            ..context
        })
    }

    /// Reads what another process sent, or begins a new trace where it sent nothing or nonsense.
    pub fn continued(traceparent: Option<&str>, tracestate: Option<&str>) -> Self {
        let parsed = traceparent.and_then(|traceparent| Self::parse(traceparent, tracestate).ok());
        parsed.unwrap_or_default()
    }

    /// The next thing in the same trace: a new parent id, all else the same. Flags that no version we know
    /// defines are not passed on.
    #[must_use]
    pub fn child(&self) -> Self {
        let (flags, tracestate) = (self.flags & (SAMPLED | RANDOM), self.tracestate.clone());
        Self {
            trace_id: self.trace_id,
            parent_id: random_id(),
            flags,
            tracestate,
        }
    }

    /// The id of the whole trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of this one thing in it.
    pub fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// The flags, see [`SAMPLED`] and [`RANDOM`].
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// What vendors added, to be passed on as it is.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// The trace id as 32 hexadecimal digits, for the log field `trace.id`.
    pub fn trace_id_text(&self) -> String {
        HEXLOWER.encode(&self.trace_id)
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes `traceparent` in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        HEXLOWER.encode_mut(&self.trace_id, &mut text[3..35]);
        HEXLOWER.encode_mut(&self.parent_id, &mut text[36..52]);
        HEXLOWER.encode_mut(&[self.flags], &mut text[53..]);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Reads `traceparent`, of version 00 exactly, of a later version as far as version 00 goes.
impl FromStr for TraceContext {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(LENGTH).ok_or(TraceError::Length)?;
        let [version] = field(&head[..2])?;
        match (version, rest.first()) {
            (0xff, _) => return Err(TraceError::Version),
            (0, Some(_)) => return Err(TraceError::Length),
            (_, None | Some(b'-')) => {}
            (_, Some(_)) => return Err(TraceError::Dash),
        }
        if [2, 35, 52].iter().any(|place| head[*place] != b'-') {
            return Err(TraceError::Dash);
        }
        let (trace_id, parent_id) = (field(&head[3..35])?, field(&head[36..52])?);
        let [flags] = field(&head[53..])?;
        if trace_id == [0; 16] || parent_id == [0; 8] {
            return Err(TraceError::Zero);
        }
        Ok(Self {
            trace_id,
            parent_id,
            flags,
            tracestate: None,
        })
    }
}

/// Twice as many digits as bytes.
fn field<const N: usize>(digits: &[u8]) -> Result<[u8; N], TraceError> {
    let mut bytes = [0; N];
    let decoded = HEXLOWER.decode_mut(digits, &mut bytes);
    decoded.map_err(|_| TraceError::Hexadecimal)?;
    Ok(bytes)
}

fn random_id<const N: usize>() -> [u8; N] {
    loop {
        let mut id = [0; N];
        rand::rng().fill_bytes(&mut id);
        if id != [0; N] {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
