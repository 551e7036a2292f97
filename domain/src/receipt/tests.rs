use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;

use super::*;
use crate::signing::SigningKey;

fn key() -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap()
}

fn statement(number: u64) -> Statement {
    Statement {
        execution: "01890a5d-ac96-774b-bcce-b302099a8057_b".parse().unwrap(),
        configuration: "shop".parse().unwrap(),
        digest: Digest::of(&[&number.to_be_bytes()]),
        outcome: "done".to_owned(),
        evidence: Some("reported".to_owned()),
        fault: None,
        servers: vec!["b-1".parse().unwrap()],
        at: Timestamp::from_millis(number),
        absorbed_by: None,
    }
}

/// The receipts of one report.
fn receipts(key: &SigningKey, numbers: std::ops::Range<u64>) -> Vec<Receipt> {
    let statements: Vec<_> = numbers.map(statement).collect();
    let leaves: Vec<_> = statements.iter().map(Statement::leaf).collect();
    let tree = Tree::new(&leaves).unwrap();
    let (b, size) = ("b".parse().unwrap(), leaves.len() as u64);
    let signature = BASE64.encode(key.sign(&root_bytes(&b, size, &tree.root)));
    let of = |((index, statement), path)| Receipt {
        statement,
        key: key.public(),
        batch: Batch {
            size,
            index,
            path,
            signature: signature.clone(),
        },
    };
    (0..).zip(statements).zip(tree.paths).map(of).collect()
}

/// A bundle of the chain of these reports.
fn bundle(adapter: &SigningKey, broker: &SigningKey, reports: &[u64]) -> Vec<String> {
    let configuration: ConfigurationId = "shop".parse().unwrap();
    let mut lines = vec![serde_json::to_string(&Opening::new(configuration.clone())).unwrap()];
    let (mut sequence, mut previous, mut number) = (0, Digest::default(), 0);
    for size in reports {
        for receipt in receipts(adapter, number..number + size) {
            sequence += 1;
            let record = Record {
                sequence,
                previous,
                chained_at: Timestamp::from_millis(7),
                as_told: true,
                receipt,
            };
            let text = serde_json::to_string(&record).unwrap();
            previous = previous.chained(&text);
            lines.push(text);
        }
        number += size;
    }
    let mut head = Head {
        sequence,
        hash: previous,
        at: Timestamp::from_millis(8),
        key: Some(broker.public()),
        signature: String::new(),
    };
    head.signature = BASE64.encode(broker.sign(&head.bytes(&configuration)));
    lines.push(serde_json::to_string(&head).unwrap());
    lines
}

fn hash_of(line: &str) -> Digest {
    let record: Record = serde_json::from_str(line).unwrap();
    record.previous.chained(line)
}

fn check(lines: &[String]) -> Result<Summary, Flaw> {
    Bundle::default().check(&lines.join("\n"))
}

/// RFC 6962's tree, by the published vectors of its reference implementation: 1, 2, 3 and 8 leaves.
#[test]
fn the_tree_is_that_of_rfc_6962() {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let leaves = inputs.map(Digest::of_leaf);
    for (count, root) in [
        (
            1,
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        ),
        (
            2,
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        ),
        (
            3,
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ),
        (
            8,
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ),
    ] {
        let tree = Tree::new(&leaves[..count]).unwrap();
        assert_eq!(tree.root.to_string(), root, "{count}");
    }
    assert_eq!(Tree::new(&[]), None);
}

/// An order's digest is that of the text that the broker accepted, before it had its number.
#[test]
fn the_number_of_an_order_is_not_part_of_its_digest() {
    let tail = r#""execution":"x","native":[]}"#;
    let accepted = order_digest(&format!("{{{tail}"));
    for number in [1_u64, 77, u64::MAX] {
        let sent = format!("{{\"sequence\":{number},{tail}");
        assert_eq!(order_digest(&sent), accepted);
    }
    assert_ne!(
        order_digest(&format!("{{\"sequence\":\"a\",{tail}")),
        accepted
    );
    assert_ne!(order_digest("{}"), accepted);
}

/// A chain that nobody touched is whole; without trust in keys the reader learns whose they are, with trust in others it is
/// refused. It may begin anywhere.
#[test]
fn a_whole_bundle_has_no_flaw() {
    let (adapter, broker) = (key(), key());
    let lines = bundle(&adapter, &broker, &[1, 3, 1, 6]);
    let whole = check(&lines).unwrap();
    assert_eq!((whole.records, whole.range), (11, Some((1, 11))));
    assert_eq!(
        (whole.anchor, whole.broker),
        (Digest::default(), Some(broker.public()))
    );
    assert_eq!(whole.keys.len(), 1);
    let trusting = |lines: &[String], keys: &[&str]| {
        let trusted = Trusted::read(&keys.join("\n")).unwrap();
        Bundle::new(trusted).check(&lines.join("\n"))
    };
    let b = format!("b {} # the adapter's", adapter.public());
    let (end, other) = (
        broker.public().to_string(),
        format!("c {}", adapter.public()),
    );
    assert_eq!(trusting(&lines, &[&b, &end]), Ok(whole));
    // Neither the broker nor another participant signs for this one, and this one not for the broker.
    assert_eq!(trusting(&lines, &[&end]).unwrap_err().line, 2);
    assert_eq!(trusting(&lines, &[&other, &end]).unwrap_err().line, 2);
    assert_eq!(trusting(&lines, &[&b]).unwrap_err().line, 13);
    let mut open = lines.clone();
    let mut head: Head = serde_json::from_str(&open[12]).unwrap();
    head.key = None;
    open[12] = serde_json::to_string(&head).unwrap();
    assert_eq!(trusting(&open, &[&b, &end]).unwrap_err().line, 13);
    assert!(check(&open).is_ok());
    for malformed in ["", "b", "b c d", "b not-a-key"] {
        assert!(Trusted::read(malformed).is_err(), "{malformed}");
    }
    let mut later = lines.clone();
    later.drain(1..5);
    let later = check(&later).unwrap();
    assert_eq!(later.anchor, hash_of(&lines[4]));
    assert_eq!(check(&bundle(&adapter, &broker, &[])).unwrap().records, 0);
}

/// Somebody who has all of Redis changes a record and mends all hashes behind it: the participant's signature gives it away. Who
/// takes the last records out cannot sign the new end.
#[test]
fn who_mends_the_hashes_still_lacks_the_keys() {
    let (adapter, broker) = (key(), key());
    let lines = bundle(&adapter, &broker, &[2, 2]);
    let mut changed = lines.clone();
    let mut previous = Digest::default();
    for (number, line) in changed[1..5].iter_mut().enumerate() {
        let mut record: Record = serde_json::from_str(line).unwrap();
        record.previous = previous;
        if number == 1 {
            record.receipt.statement.outcome = "failed".to_owned();
        }
        *line = serde_json::to_string(&record).unwrap();
        previous = previous.chained(line);
    }
    let flaw = check(&changed).unwrap_err();
    assert_eq!(
        (flaw.line, flaw.what.as_str()),
        (3, "its participant did not sign this")
    );
    for left in [1, 4, 5] {
        let flaw = check(&lines[..left]).unwrap_err();
        assert!(flaw.what.starts_with("the end is missing"), "{flaw}");
        assert_eq!(flaw.line, left);
    }
    let mut cut = lines.clone();
    cut.remove(4);
    let mut head: Head = serde_json::from_str(&cut[4]).unwrap();
    (head.sequence, head.hash) = (3, hash_of(&cut[3]));
    cut[4] = serde_json::to_string(&head).unwrap();
    assert_eq!(
        check(&cut).unwrap_err().what,
        "the broker did not sign this end"
    );
}

proptest! {
    /// The path of every leaf leads to the root, and of no other place, size or leaf.
    #[test]
    fn every_path_leads_to_the_root(count in 1_usize..70, which in any::<prop::sample::Index>()) {
        let leaves: Vec<_> = (0..count).map(|n| Digest::of_leaf(&n.to_be_bytes())).collect();
        let tree = Tree::new(&leaves).unwrap();
        let (index, size) = (which.index(count), count as u64);
        let at = index as u64;
        let path = &tree.paths[index];
        prop_assert_eq!(root_of(leaves[index], at, size, path), Some(tree.root));
        prop_assert_ne!(root_of(Digest::default(), at, size, path), Some(tree.root));
        prop_assert_eq!(root_of(leaves[index], size, size, path), None);
        let mut longer = path.clone();
        longer.push(tree.root);
        prop_assert_ne!(root_of(leaves[index], at, size, &longer), Some(tree.root));
        if count > 1 {
            let other = (index + 1) % count;
            prop_assert_ne!(root_of(leaves[index], other as u64, size, path), Some(tree.root));
        }
    }

    /// A record that is taken out (also the last one), put in twice, exchanged with another one, or changed in one character is
    /// found.
    #[test]
    fn whatever_is_done_to_a_record_is_found(
        reports in proptest::collection::vec(1_u64..5, 2..5),
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        what in 0_u8..4,
    ) {
        let lines = bundle(&key(), &key(), &reports);
        prop_assert!(check(&lines).is_ok());
        let records = lines.len() - 2;
        let (one, other) = (1 + one.index(records), 1 + other.index(records));
        let mut touched = lines.clone();
        match what {
            // The first may be missing: then the bundle begins at an anchor.
            0 => { touched.remove(one.max(2)); }
            1 => touched.insert(one, lines[other].clone()),
            2 => touched.swap(one, other),
            _ => {
                let mut bytes = touched[one].clone().into_bytes();
                let at = place.index(bytes.len());
                bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
                touched[one] = String::from_utf8(bytes).unwrap();
            }
        }
        prop_assert!(touched == lines || check(&touched).is_err());
    }
}

/// Whoever signs for himself may number his records as he likes: after the last number there is none, and nothing overflows.
#[test]
fn no_record_follows_the_last_number() {
    let adapter = key();
    let record = |sequence, previous, receipt| {
        let record = Record {
            sequence,
            previous,
            chained_at: Timestamp::from_millis(7),
            as_told: true,
            receipt,
        };
        serde_json::to_string(&record).unwrap()
    };
    let mut receipts = receipts(&adapter, 0..2).into_iter();
    let last = record(u64::MAX, Digest::default(), receipts.next().unwrap());
    let after = record(
        0,
        Digest::default().chained(&last),
        receipts.next().unwrap(),
    );
    let opening = serde_json::to_string(&Opening::new("shop".parse().unwrap())).unwrap();
    let flaw = check(&[opening, last, after, "{}".to_owned()]).unwrap_err();
    assert_eq!(flaw.line, 3);
    assert!(flaw.what.contains("not the next one"), "{flaw}");
}
