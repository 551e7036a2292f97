//! A Merkle tree over the statements of one report (RFC 6962, 2.1).
//!
//! Invariant: leaves and inner nodes are hashed apart, so that no inner node can pass for a statement.

use super::Digest;

/// The root, and for each leaf the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The hash of all.
    pub root: Digest,
    /// For each leaf the hashes beside its way to the root, the nearest first (RFC 6962, 2.1.1).
    pub paths: Vec<Vec<Digest>>,
}

impl Tree {
    /// Over these leaves; none without leaves.
    pub fn new(leaves: &[Digest]) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut paths = vec![Vec::new(); leaves.len()];
        let root = grow(leaves, &mut paths);
        Some(Self { root, paths })
    }
}

/// The root over these leaves; what stands beside each way up is added to its path.
fn grow(leaves: &[Digest], paths: &mut [Vec<Digest>]) -> Digest {
    if let [leaf] = leaves {
        return *leaf;
    }
    // The largest power of two that is smaller than their number.
    let middle = leaves.len().next_power_of_two() / 2;
    let (left_paths, right_paths) = paths.split_at_mut(middle);
    let left = grow(&leaves[..middle], left_paths);
    let right = grow(&leaves[middle..], right_paths);
    for path in left_paths.iter_mut() {
        path.push(right);
    }
    for path in right_paths.iter_mut() {
        path.push(left);
    }
    Digest::of_node(&left, &right)
}

/// The root of a tree of `size` leaves whose leaf `index` is this one, by its path (RFC 9162, 2.1.3.2); none where such a path
/// is impossible.
pub fn root_of(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            hash = Digest::of_node(beside, &hash);
            while place.is_multiple_of(2) && place != 0 {
                place /= 2;
                last /= 2;
            }
        } else {
            hash = Digest::of_node(&hash, beside);
        }
        place /= 2;
        last /= 2;
    }
    (last == 0).then_some(hash)
}
