//! How many calls a command comes to, by what a participant's record says of its account.

use super::*;

/// Selectors of one kind, each with a text of its own.
fn many(count: usize, of: impl Fn(usize) -> Selector) -> Vec<Selector> {
    (0..count).map(of).collect()
}

/// How many calls a purge of these comes to, and the most items of a unit in one of them.
fn sizes_of(
    dialect: &dyn Dialect,
    (unit, selectors): (&str, &[Selector]),
    own: &[(&str, u32)],
) -> (usize, u32) {
    let operation = match unit {
        "preloads" => Operation::Load,
        _ => Operation::Purge(PurgeMode::Delete),
    };
    let command = command(operation, selectors.to_vec());
    let calls = translate_within(dialect, &command, &limits(own)).unwrap();
    let cost = cost_of(dialect, &calls);
    assert_eq!(cost.calls as usize, calls.len());
    let draws = calls.iter().flat_map(|call| dialect.draws(call));
    let most = draws.filter(|draw| draw.unit == unit);
    (calls.len(), most.map(|draw| draw.amount).max().unwrap())
}

/// What a participant's record says of its account counts in the calls, for every unit of every dialect: less, and where the
/// usual number is not the greatest, more.
#[test]
fn a_participants_own_limits_count_in_the_calls() {
    let urls = many(600, |n| url(&format!("https://www.example.com:8443/{n}")));
    let tags = many(600, |n| tag(&format!("t{n}")));
    let prefixes = many(300, |n| prefix(&format!("www.example.com/{n}/")));
    let hosts = [Selector::Everything];
    // Of a unit: what fills it, and how many calls it takes with 2 a call, as usual, and with the most.
    let cases = [
        ("fastly", "keys", &tags[..], (300, 3, 3)),
        ("cloudflare", "urls", &urls, (300, 6, 2)),
        ("cloudflare", "tags", &tags, (300, 6, 6)),
        ("cloudflare", "prefixes", &prefixes, (150, 3, 3)),
        ("cloudflare", "hosts", &hosts, (1, 1, 1)),
        ("cloudflare-zone", "urls", &urls, (300, 6, 2)),
        ("cloudflare-zone", "tags", &tags, (300, 6, 6)),
        ("cloudflare-zone", "prefixes", &prefixes, (150, 3, 3)),
        ("akamai", "urls", &urls, (300, 1, 1)),
        ("akamai", "tags", &tags, (300, 1, 1)),
        ("cloudfront", "paths", &urls, (300, 1, 1)),
        ("cloudfront", "patterns", &prefixes, (150, 20, 20)),
        ("cloudfront-tenant", "paths", &urls, (300, 1, 1)),
        ("cloudfront-tenant", "patterns", &prefixes, (150, 20, 20)),
        // One for each of the two host names.
        ("google-cloud-cdn", "tags", &tags, (600, 120, 120)),
        ("google-media-cdn", "tags", &tags, (600, 120, 120)),
        ("edgecast", "paths", &urls, (300, 12, 12)),
        ("alibaba-cloud-cdn", "urls", &urls, (300, 1, 1)),
        ("alibaba-cloud-cdn", "directories", &prefixes, (150, 3, 3)),
        ("alibaba-cloud-cdn", "preloads", &urls, (300, 6, 6)),
    ];
    for (name, unit, selectors, (few, usual, least)) in cases {
        let dialect = crate::by_name(&name.parse().unwrap()).unwrap();
        let sizes = dialect.limits().sizes;
        let most = sizes.iter().find(|size| size.unit == unit).unwrap().most;
        let of = |own: &[(&str, u32)]| sizes_of(dialect, (unit, selectors), own);
        let (calls, items) = of(&[(unit, 2)]);
        assert_eq!((calls, items <= 2), (few, true), "{name} {unit}");
        assert_eq!(of(&[]).0, usual, "{name} {unit}");
        let (calls, items) = of(&[(unit, most)]);
        assert_eq!((calls, items <= most), (least, true), "{name} {unit}");
    }
    // Bytes: shorter bodies are more calls, of every dialect that has bodies with lists.
    let long = many(200, |n| {
        url(&format!(
            "https://www.example.com:8443/{n}/{}",
            "l".repeat(400)
        ))
    });
    let long_tags = many(600, |n| tag(&format!("{n}-{}", "t".repeat(100))));
    let found = [
        ("fastly", "keys", &long_tags),
        ("cloudflare", "urls", &long),
        ("akamai", "urls", &long),
        ("akamai", "tags", &long_tags),
        ("cloudfront", "paths", &long),
        ("edgecast", "paths", &long),
        ("alibaba-cloud-cdn", "urls", &long),
    ]
    .map(|(name, unit, selectors)| {
        let dialect = crate::by_name(&name.parse().unwrap()).unwrap();
        let of = |own: &[(&str, u32)]| sizes_of(dialect, (unit, selectors), own).0;
        format!(
            "{name} {unit}: {} calls, and {}",
            of(&[]),
            of(&[(BYTES, 8_192)])
        )
    });
    insta::assert_snapshot!(found.join("\n"), @"
    fastly keys: 3 calls, and 8
    cloudflare urls: 2 calls, and 12
    akamai urls: 2 calls, and 12
    akamai tags: 2 calls, and 8
    cloudfront paths: 1 calls, and 12
    edgecast paths: 4 calls, and 12
    alibaba-cloud-cdn urls: 1 calls, and 12
    ");
    let akamai = crate::by_name(&"akamai".parse().unwrap()).unwrap();
    let raised = sizes_of(
        akamai,
        ("urls", &many(108, |n| long[n].clone())),
        &[(BYTES, 50_000)],
    );
    let usual = sizes_of(akamai, ("urls", &many(108, |n| long[n].clone())), &[]);
    assert_eq!((usual.0, raised.0), (2, 1));
}
