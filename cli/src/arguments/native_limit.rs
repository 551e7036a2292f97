//! How much one call to a provider holds, as people type it: `tags=30,bytes=40000`.

use proto::v1::NativeLimit;

/// All of it, in the order of typing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NativeLimits(pub(crate) Vec<NativeLimit>);

/// Pairs of a unit and a number.
pub(crate) fn native_limits(text: &str) -> Result<NativeLimits, String> {
    let read = |pair: &str| {
        let (unit, amount) = pair.trim().split_once('=')?;
        let amount = amount.replace('_', "").parse().ok()?;
        (!unit.is_empty()).then(|| NativeLimit {
            unit: unit.to_owned(),
            amount,
        })
    };
    let all: Option<Vec<_>> = text.split(',').map(read).collect();
    all.map(NativeLimits)
        .ok_or_else(|| "must be UNIT=NUMBER, such as tags=30,bytes=40000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers may be grouped; half a pair is a slip.
    #[test]
    fn a_limit_names_unit_and_number() {
        let found = native_limits("tags=30, bytes=40_000").expect("is well formed");
        let found: Vec<_> = found
            .0
            .iter()
            .map(|one| (one.unit.as_str(), one.amount))
            .collect();
        assert_eq!(found, [("tags", 30), ("bytes", 40_000)]);
        for wrong in ["", "tags", "tags=", "=3", "tags=3,", "tags=-1", "tags=1.5"] {
            assert!(native_limits(wrong).is_err(), "{wrong}");
        }
    }
}
