use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{ParticipantId, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: Duration = Duration::from_hours(24);
const WINDOW: Window = Window {
    now: NOW,
    oldest: DAY,
};

fn key() -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap()
}

fn participant(id: &str) -> ParticipantId {
    id.parse().unwrap()
}

fn seen<'a>(participant: &'a ParticipantId, body: &'a [u8]) -> Seen<'a> {
    Seen {
        direction: Direction::Dispatch,
        participant,
        message_id: "b-0-1-2",
        body,
    }
}

fn ring(key: &SigningKey) -> KeyRing {
    KeyRing::new([TimedKey::always(key.public())])
}

/// Who holds the key is believed; a second later as well, and by whoever has the public key.
#[test]
fn what_was_signed_is_believed() {
    let (key, b) = (key(), participant("b"));
    let seal = Seal::new(&key, seen(&b, b"{}"), NOW, DAY);
    assert_eq!(seal.verify(seen(&b, b"{}"), &ring(&key), WINDOW), Ok(()));
}

/// A message counts from two minutes before it was signed, for clocks differ, to its end, and no longer than its reader
/// remembers.
#[test]
fn a_message_counts_in_its_time() {
    let (key, b) = (key(), participant("b"));
    let at = |issued: Timestamp, lifetime, oldest| {
        let seal = Seal::new(&key, seen(&b, b"{}"), issued, lifetime);
        seal.verify(seen(&b, b"{}"), &ring(&key), Window { now: NOW, oldest })
    };
    let minutes = |count| Duration::from_mins(count);
    let ago = |span: Duration| {
        let span = u64::try_from(span.as_millis()).unwrap();
        Timestamp::from_millis(NOW.as_millis() - span)
    };
    assert_eq!(at(NOW.plus(minutes(2)), DAY, DAY), Ok(()));
    let early = NOW.plus(minutes(3));
    assert_eq!(at(early, DAY, DAY), Err(SealError::FromTheFuture));
    assert_eq!(at(ago(minutes(59)), minutes(60), DAY), Ok(()));
    assert_eq!(
        at(ago(minutes(60)), minutes(60), DAY),
        Err(SealError::TooOld)
    );
    assert_eq!(
        at(ago(minutes(60)), DAY, minutes(60)),
        Err(SealError::TooOld)
    );
}

/// A message of A's is not B's, a dispatch is no report, and a stranger's key is nobody's.
#[test]
fn a_message_is_not_another_one() {
    let (key, a, b) = (key(), participant("a"), participant("b"));
    let seal = Seal::new(&key, seen(&a, b"{}"), NOW, DAY);
    let verified = |seen: Seen<'_>, ring: &KeyRing| seal.verify(seen, ring, WINDOW);
    assert_eq!(
        verified(seen(&b, b"{}"), &ring(&key)),
        Err(SealError::OtherParticipant)
    );
    let back = Seen {
        direction: Direction::Report,
        ..seen(&a, b"{}")
    };
    assert_eq!(verified(back, &ring(&key)), Err(SealError::Forged));
    let renamed = Seen {
        message_id: "a-0-3-4",
        ..seen(&a, b"{}")
    };
    assert_eq!(verified(renamed, &ring(&key)), Err(SealError::Forged));
    assert_eq!(
        verified(seen(&a, b"{}"), &ring(&self::key())),
        Err(SealError::UnknownKey)
    );
}

/// While one key takes over from the other both count; what the old one signs after its end does not.
#[test]
fn two_keys_overlap() {
    let (old, new, b) = (key(), key(), participant("b"));
    let text = format!(
        "# the broker's\n{} until=2027-01-15T08:00:00Z\n\n{} from=2027-01-15T07:00:00Z # from now on\n",
        old.public(),
        new.public()
    );
    let ring = KeyRing::read(&text).unwrap();
    let at = |key: &SigningKey, minute: u64| {
        // 1_799_996_400 is 2027-01-15T07:00:00Z.
        let issued = Timestamp::from_millis((1_799_996_400 + minute * 60) * 1_000);
        let seal = Seal::new(key, seen(&b, b"{}"), issued, DAY);
        let window = Window {
            now: issued,
            oldest: DAY,
        };
        seal.verify(seen(&b, b"{}"), &ring, window)
    };
    for minute in [0, 30, 59] {
        assert_eq!(at(&old, minute), Ok(()));
        assert_eq!(at(&new, minute), Ok(()));
    }
    assert_eq!(at(&old, 60), Err(SealError::KeyOutOfTime));
    assert_eq!(at(&new, 60), Ok(()));
    for wrong in ["", "# nothing", "AAAA", &format!("{} soon", old.public())] {
        assert!(KeyRing::read(wrong).is_err(), "{wrong}");
    }
}

/// What other programs write is read, and what is read shows nothing of itself.
#[test]
fn a_private_key_is_pem_and_is_not_shown() {
    // RFC 8410, 10.3: an example key without its public half, as OpenSSL writes it.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
               -----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(pem).unwrap();
    assert_eq!(
        key.public().to_string(),
        "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    );
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    assert_eq!(key.id().to_string().parse(), Ok(key.id()));
    let shown = format!("{key:?}");
    assert!(!shown.contains("1O5y2") && shown.contains(&key.id().to_string()));
    let broken = pem.replace("MC4C", "MC5C");
    for wrong in ["", "hello", &broken] {
        let error = SigningKey::from_pem(wrong).unwrap_err().to_string();
        assert!(!error.contains("MC5C"), "{error}");
    }
}

proptest! {
    /// Whatever single bit is turned, in the body, in a header or in the signature, the message is not believed.
    #[test]
    fn a_turned_bit_is_seen(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        what in 0_u8..6,
    ) {
        let (key, b) = (key(), participant("b"));
        let mut seal = Seal::new(&key, seen(&b, &body), NOW, DAY);
        let (mut body, mut id) = (body.clone(), "b-0-1-2".to_owned());
        match what {
            0 => { let at = place.index(body.len()); body[at] ^= 1 << bit; }
            1 => { let at = place.index(seal.signature.len()); seal.signature[at] ^= 1 << bit; }
            2 => seal.issued_at = Timestamp::from_millis(seal.issued_at.as_millis() ^ (1 << bit)),
            3 => seal.not_after = Timestamp::from_millis(seal.not_after.as_millis() ^ (1 << bit)),
            4 => seal.participant = participant("c"),
            _ => id.push('x'),
        }
        let turned = Seen { message_id: &id, ..seen(&b, &body) };
        prop_assert_eq!(seal.verify(turned, &ring(&key), WINDOW), Err(SealError::Forged));
    }

    /// Fields cannot be moved into each other: other fields, other bytes.
    #[test]
    fn no_two_lists_of_fields_are_the_same_bytes(
        one in proptest::collection::vec("[a-b]{0,3}", 0..4),
        other in proptest::collection::vec("[a-b]{0,3}", 0..4),
    ) {
        let bytes = |fields: &[String]| {
            fields.iter().fold(Fields::default(), |bytes, field| bytes.text(field)).finish()
        };
        prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
    }
}
