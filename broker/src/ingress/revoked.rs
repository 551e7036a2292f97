//! The deny list: certificates that count no more before they end.
//!
//! Invariant: a list with one line that cannot be understood is no list; half of it would let somebody in.

use std::collections::HashSet;

use super::certificate::{Certificate, without_zeros};

/// RFC 5280, 4.1.2.2: at most 20 octets.
const MOST_SERIAL_BYTES: usize = 20;
/// SHA-256.
const FINGERPRINT_BYTES: usize = 32;
const FINGERPRINT: &str = "sha256:";

/// Which certificates.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    serials: HashSet<Vec<u8>>,
    fingerprints: HashSet<Vec<u8>>,
}

/// A line that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} must be a serial number in hexadecimal, or sha256: and a fingerprint")]
pub(super) struct Malformed {
    line: usize,
}

impl Revoked {
    /// Reads a list: on each line a serial number in hexadecimal or `sha256:` and a fingerprint, colons between bytes or
    /// none; what follows `#` is for people.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut revoked = Self::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            revoked.add(line).ok_or(Malformed { line: at + 1 })?;
        }
        Ok(revoked)
    }

    /// How many lines name one.
    pub(super) fn len(&self) -> usize {
        self.serials.len() + self.fingerprints.len()
    }

    /// Whether this certificate is on it.
    pub(super) fn names(&self, certificate: &Certificate) -> bool {
        self.serials.contains(certificate.serial())
            || self.fingerprints.contains(certificate.fingerprint())
    }

    fn add(&mut self, line: &[u8]) -> Option<()> {
        let line = str::from_utf8(line).ok()?;
        let line = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
        if line.is_empty() {
            return Some(());
        }
        let line = line.to_ascii_lowercase();
        if let Some(fingerprint) = line.strip_prefix(FINGERPRINT) {
            let fingerprint = hexadecimal(fingerprint)?;
            (fingerprint.len() == FINGERPRINT_BYTES)
                .then(|| self.fingerprints.insert(fingerprint))?;
        } else {
            let serial = hexadecimal(line.strip_prefix("0x").unwrap_or(&line))?;
            let serial = without_zeros(&serial).to_vec();
            (serial.len() <= MOST_SERIAL_BYTES).then(|| self.serials.insert(serial))?;
        }
        Some(())
    }
}

/// Bytes of hexadecimal digits, with colons between bytes or none.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.replace(':', "");
    // OpenSSL writes a small serial number with an odd number of digits.
    let digits = if digits.len() % 2 == 1 {
        format!("0{digits}")
    } else {
        digits
    };
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| {
            let pair = str::from_utf8(pair).ok()?;
            let is_hexadecimal = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hexadecimal
                .then(|| u8::from_str_radix(pair, 16).ok())
                .flatten()
        })
        .collect();
    bytes.filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People copy what their tools print.
    #[test]
    fn a_serial_number_is_read_in_every_usual_spelling() {
        for text in [
            "0a1b2c",
            "A1B2C",
            "0x0A1B2C",
            "00:0a:1b:2c",
            " 0a1b2c \r",
            "0a1b2c # acme",
        ] {
            let revoked = Revoked::read(text.as_bytes()).unwrap();
            assert!(revoked.serials.contains(&[0x0a, 0x1b, 0x2c][..]), "{text}");
            assert_eq!(revoked.len(), 1);
        }
        let fingerprint = format!("SHA256:{}", "AB:".repeat(32).trim_end_matches(':'));
        let revoked = Revoked::read(fingerprint.as_bytes()).unwrap();
        assert!(revoked.fingerprints.contains(&[0xab; 32][..]));
        assert_eq!(Revoked::read(b"\n# nobody\n\n").unwrap().len(), 0);
    }

    /// A line that is guessed at would be a certificate that still gets in.
    #[test]
    fn a_line_that_cannot_be_understood_is_named() {
        for line in [
            "acme",
            "0a1b2",
            "12 34",
            "sha256:abcd",
            "0x",
            ":",
            "+1",
            &"1".repeat(42),
            "\u{e9}",
        ] {
            let text = format!("# list\n01\n{line}\n02\n");
            let read = Revoked::read(text.as_bytes());
            if line == "0a1b2" {
                assert!(read.is_ok(), "an odd number of digits is usual");
            } else {
                assert_eq!(read.unwrap_err(), Malformed { line: 3 }, "{line}");
            }
        }
        assert!(Revoked::read(b"01\n\xff\n").is_err());
    }
}
