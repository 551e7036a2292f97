//! The flag with which a field of the contract is typed, in one table.

/// The end of a field's name without its indices, and the flag; the longer ends stand first.
const FLAGS: [(&str, &str); 39] = [
    ("scope.participants.ids", "--participant"),
    ("scope.servers.ids", "--server"),
    ("scope.places.places", "--place"),
    ("purge.mode", "--mode"),
    ("custom.parameters", "--param"),
    ("custom.name", "OPERATION"),
    ("regex.host", "--regex"),
    ("regex.pattern", "--regex"),
    ("ceiling.widest", "--widest"),
    ("native.method", "--method"),
    ("native.headers", "--header"),
    ("native.body", "--data"),
    ("native.host", "--host"),
    ("native.path", "PATH"),
    ("draft.native.dialect", "DIALECT"),
    ("draft.configuration_id", "CONFIGURATION"),
    ("server.dialect", "--dialect"),
    ("server.address", "--address"),
    ("server.place", "--place"),
    ("configuration.hosts", "--host"),
    ("participant.display_name", "--display-name"),
    ("participant.invocation_system", "--invocation-system"),
    ("participant.capabilities", "--can"),
    ("participant.native_limits", "--native-limits"),
    ("originator_id", "--originator"),
    ("configuration_id", "--configuration"),
    ("participant_id", "--participant"),
    ("customer_id", "--customer"),
    ("owner_id", "--owner"),
    ("server_ids", "--server"),
    ("not_before", "--not-before"),
    ("expire_time", "--expire-at"),
    ("probe_urls", "--probe-url"),
    ("request_id", "--request-id"),
    ("url", "--url"),
    ("prefix", "--prefix"),
    ("wildcard", "--wildcard"),
    ("tag", "--tag"),
    ("caller", "--caller"),
];

/// The flag, or the argument's name where it has none.
pub(super) fn flag_of(field: &str) -> Option<&'static str> {
    let name = without_indices(field);
    let is_end = |end: &str| {
        let before = name.strip_suffix(end);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    // What is within a field is typed with the field's flag: `participant.capabilities[0].selectors`.
    let is_within = |end: &str| end.contains('.') && name.contains(&format!("{end}."));
    let found = FLAGS.iter().find(|(end, _)| is_end(end) || is_within(end));
    found.map(|(_, flag)| *flag)
}

fn without_indices(field: &str) -> String {
    let mut depth = 0_u32;
    let kept = field.chars().filter(|next| {
        match next {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A person typed a flag and never saw the contract.
    #[test]
    fn a_field_is_known_by_its_flag() {
        for (field, flag) in [
            ("originator_id", Some("--originator")),
            ("draft.selectors[3].url", Some("--url")),
            ("draft.selectors[3].regex.host", Some("--regex")),
            ("draft.scope.participants.ids[0]", Some("--participant")),
            ("draft.configuration_id", Some("CONFIGURATION")),
            ("draft.operation.custom.name", Some("OPERATION")),
            ("draft.native.path", Some("PATH")),
            ("deployment.configuration_id", Some("--configuration")),
            ("participant.capabilities[0].selectors[1]", Some("--can")),
            (
                "participant.native_limits[0].amount",
                Some("--native-limits"),
            ),
            ("server.place.region", Some("--place")),
            ("page_token", None),
            ("server.id", None),
        ] {
            assert_eq!(flag_of(field), flag, "{field}");
        }
    }
}
