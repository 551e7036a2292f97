//! What is signed, and whose keys count.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{
    ConfigurationId, ExecutionId, ParticipantId, Timestamp,
    receipt::{
        Batch, Bundle, Digest, Head, Opening, Receipt, Record, Statement, Summary, Tree, Trusted,
        root_bytes,
    },
    signing::{KeyRing, SigningKey},
};

/// The participant's key, and the broker's.
static KEYS: LazyLock<[SigningKey; 2]> = LazyLock::new(|| [key(), key()]);

/// Files of keys: what is read of one counts, and signs what it verifies.
pub(crate) fn keys(text: &str) {
    if let Ok(ring) = KeyRing::read(text) {
        assert!(!ring.is_empty());
    }
    if let Ok(key) = SigningKey::from_pem(text) {
        assert!(key.public().verifies(b"text", &key.sign(b"text")));
        assert!(!key.public().verifies(b"other", &key.sign(b"text")));
    }
}

/// A bundle of anybody, checked with keys of anybody, and without any.
pub(crate) fn bundle(trusted: &str, text: &str) {
    let known = Trusted::read(trusted).unwrap_or_default();
    for trusted in [known, Trusted::default()] {
        if let Ok(summary) = Bundle::new(trusted).check(text) {
            let counted = summary.range.map_or(0, |(first, last)| last - first + 1);
            assert_eq!(summary.records, counted);
        }
    }
}

/// One byte of a bundle that was good is another one, or gone: it says the same as before, or is found.
pub(crate) fn changed(numbers: [u32; 3], outcome: &str) {
    let [count, place, byte] = numbers;
    let good = bundle_of(u64::from(count % 3), outcome);
    let [participant, broker] = &*KEYS;
    let trusted = format!("b {}\n{}\n", participant.public(), broker.public());
    let check = |text: &str| -> Option<Summary> {
        let trusted = Trusted::read(&trusted).ok()?;
        Bundle::new(trusted).check(text).ok()
    };
    let before = check(&good).expect("it is good");
    let mut bytes = good.clone().into_bytes();
    let place = usize::try_from(place).unwrap_or_default() % bytes.len();
    match u8::try_from(byte % 257) {
        Ok(byte) => bytes[place] = byte,
        Err(_) => drop(bytes.remove(place)),
    }
    if let Ok(changed) = String::from_utf8(bytes)
        && let Some(after) = check(&changed)
    {
        assert_eq!(after, before, "{changed}");
    }
}

/// The bundle of a chain of one report with so many executions.
fn bundle_of(count: u64, outcome: &str) -> String {
    let [participant, broker] = &*KEYS;
    let (b, shop): (ParticipantId, ConfigurationId) = (parsed("b"), parsed("shop"));
    let statement = |number: u64| Statement {
        execution: parsed::<ExecutionId>("01890a5d-ac96-774b-bcce-b302099a8057_b"),
        configuration: shop.clone(),
        digest: Digest::of(&[&number.to_be_bytes()]),
        outcome: outcome.to_owned(),
        evidence: None,
        fault: None,
        servers: Vec::new(),
        at: Timestamp::from_millis(number),
        absorbed_by: None,
    };
    let statements: Vec<_> = (0..count).map(statement).collect();
    let leaves: Vec<_> = statements.iter().map(Statement::leaf).collect();
    let mut lines = vec![json(&Opening::new(shop.clone()))];
    let (mut sequence, mut previous) = (0, Digest::default());
    if let Some(tree) = Tree::new(&leaves) {
        let root = root_bytes(&b, count, &tree.root);
        let signature = BASE64_STANDARD.encode(participant.sign(&root));
        for ((index, statement), path) in (0..).zip(statements).zip(tree.paths) {
            sequence += 1;
            let batch = Batch {
                size: count,
                index,
                path,
                signature: signature.clone(),
            };
            let receipt = Receipt {
                statement,
                key: participant.public(),
                batch,
            };
            let record = json(&Record {
                sequence,
                previous,
                chained_at: Timestamp::from_millis(7),
                as_told: true,
                receipt,
            });
            previous = previous.chained(&record);
            lines.push(record);
        }
    }
    let mut head = Head {
        sequence,
        hash: previous,
        at: Timestamp::from_millis(8),
        key: Some(broker.public()),
        signature: String::new(),
    };
    head.signature = BASE64_STANDARD.encode(broker.sign(&head.bytes(&shop)));
    lines.push(json(&head));
    lines.join("\n")
}

fn key() -> SigningKey {
    let pem = SigningKey::generate().expect("the system has random numbers");
    SigningKey::from_pem(&pem).expect("what is made can be read")
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it has only texts for keys")
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    let Ok(parsed) = text.parse() else {
        unreachable!("{text} keeps the rules of what it is")
    };
    parsed
}
