//! Several files of credentials, and several judges, at one account's desk: they wait together, and share no call.

use super::*;

const EDGEGRID: [(&str, &str); 2] = [("shop", "ct-of-shop"), ("blog", "ct-of-blog")];
/// Nothing goes out for as long as it takes to put in what is to wait together.
const AFTER_A_PAUSE: &str = "duplicate_window = \"0s\"\n\
    budgets = { calls = { amount = 1, per = \"1s\", burst = 1 }, tags = { amount = 1000, per = \"1s\", burst = 1000 }, \
    codes = { amount = 1000, per = \"1s\", burst = 1000 } }";

/// Two configurations with a client each, whose files are of one account.
fn two_clients(folder: &TempDir, url: &str) -> Configuration {
    let mut settings = configuration(folder, url, AFTER_A_PAUSE);
    for (configuration, client) in EDGEGRID {
        let file = folder.path().join(client);
        let text = format!("client_token = {client}\nclient_secret = cs\naccess_token = at\n");
        std::fs::write(&file, text).unwrap();
        let account = config::Account {
            name: Some("acme".to_owned()),
            credentials: Some(file),
            values: [("client".to_owned(), client.to_owned())].into(),
            probe: Vec::new(),
        };
        (settings.api.accounts).insert(configuration.parse().unwrap(), account);
    }
    settings
}

fn tag(configuration: &str, tag: &str) -> Work {
    let call = NativeCall {
        body: Some(serde_json::json!({ "objects": [tag] }).to_string()),
        ..NativeCall::new(
            "POST",
            None,
            "/ccu/v3/delete/tag/{account:network}",
            vec![0],
        )
        .header("content-type", "application/json")
    };
    work(Order {
        configuration: configuration.parse().unwrap(),
        ..order("akamai", vec![call])
    })
}

fn work(order: Order) -> Work {
    Work {
        sent_before: false,
        order,
        mapping: None,
        told: None,
        receipt: Receipt::of_test(false),
        absorbed: Vec::new(),
        asked_by: None,
    }
}

impl Stage {
    /// Both at the same time; the reports in the order of the work.
    async fn carry_out_both(&mut self, both: [Work; 2]) -> [ExecutionReport; 2] {
        let first = both[0].order.execution.clone();
        let [one, two] = both;
        let worker = &self.worker;
        let (one, two) = tokio::join!(
            worker.carry_out(one, &|| false),
            worker.carry_out(two, &|| false)
        );
        one.and(two).unwrap();
        let reports = [self.report().await, self.report().await];
        if reports[0].execution == first {
            reports
        } else {
            let [two, one] = reports;
            [one, two]
        }
    }
}

/// What a tag reaches is said by the credentials alone: each configuration's goes out with its own, be it the same tag or another
/// one that the same call could have named.
#[tokio::test]
async fn two_files_of_one_account_share_no_call() {
    for (of_shop, of_blog) in [("news", "news"), ("news", "sport")] {
        let folder = TempDir::new().unwrap();
        let (provider, url) = Provider::start().await;
        for _ in 0..2 {
            provider.answers(201, &[], r#"{"httpStatus":201,"estimatedSeconds":5}"#);
        }
        let mut stage = Stage::start_with(two_clients(&folder, &url)).await;
        let both = [tag("shop", of_shop), tag("blog", of_blog)];
        for report in stage.carry_out_both(both).await {
            let outcome = ReportedOutcome::Done(Evidence::Estimated);
            assert_eq!(report.outcome, outcome, "{report:?}");
        }
        let mut said: Vec<_> = provider.asked().iter().map(said_by).collect();
        said.sort_unstable();
        assert_eq!(
            said,
            [
                (
                    "ct-of-blog".to_owned(),
                    format!(r#"{{"objects":["{of_blog}"]}}"#)
                ),
                (
                    "ct-of-shop".to_owned(),
                    format!(r#"{{"objects":["{of_shop}"]}}"#)
                ),
            ]
        );
    }
}

/// Who signed, and for what.
fn said_by(asked: &Asked) -> (String, String) {
    let signed = asked.headers["authorization"].to_str().unwrap();
    let (_, rest) = signed.split_once("client_token=").unwrap();
    let (client, _) = rest.split_once(';').unwrap();
    (client.to_owned(), asked.body.clone())
}

const DOCUMENT: &str = "mapping: 1\nname: NAME\n\ncalls:\n  - operation: purge\n    modes: [delete]\n    selectors: [url]\n    \
    method: POST\n    path: /purge\n\nanswers:\n  - { status: 200, means: MEANS }\n";

fn mapped(name: &str, version: u32, means: &str) -> Work {
    let mut order = order(name, vec![NativeCall::new("POST", None, "/purge", vec![0])]);
    order.native[0].mapping = Some(version);
    let mapping = MappingDocument {
        name: name.parse().unwrap(),
        version,
        document: DOCUMENT.replace("NAME", name).replace("MEANS", means),
    };
    Work {
        mapping: Some(Arc::new(mapping)),
        ..work(order)
    }
}

/// Two versions of a document, or two documents, may say the same call and read its answer otherwise: each judges its own.
#[tokio::test]
async fn two_documents_share_no_call() {
    for (name, version) in [("acme", 2), ("other", 1)] {
        let folder = TempDir::new().unwrap();
        let (provider, url) = Provider::start().await;
        let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
        let both = [
            mapped("acme", 1, "done, evidence: reported"),
            mapped(name, version, "refused"),
        ];
        let [done, refused] = stage.carry_out_both(both).await;
        assert!(matches!(done.outcome, ReportedOutcome::Done(_)), "{done:?}");
        assert_eq!(failed(&refused).code, FaultCode::Refused);
        assert_eq!(provider.asked().len(), 2);
    }
}

/// The same call, the same file and the same judge is the same for two configurations too: one call does what both asked for.
#[tokio::test]
async fn what_is_the_same_for_two_configurations_is_said_once() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let blog = mapped("acme", 1, "done, evidence: reported");
    let order = Order {
        configuration: "blog".parse().unwrap(),
        ..blog.order
    };
    let both = [
        mapped("acme", 1, "done, evidence: reported"),
        Work { order, ..blog },
    ];
    for report in stage.carry_out_both(both).await {
        assert!(
            matches!(report.outcome, ReportedOutcome::Done(_)),
            "{report:?}"
        );
    }
    assert_eq!(provider.asked().len(), 1);
}

/// A client whose credentials or whose name are not its own may have access to more: its tags are refused, and its URLs and CP
/// codes are not.
#[tokio::test]
async fn what_needs_no_client_goes_on_without_its_own_credentials() {
    for (of_blog, words) in [
        ("ct-of-blog", "are the same file"),
        ("ct-of-shop", "and that of `blog` are the same"),
    ] {
        let folder = TempDir::new().unwrap();
        let (provider, url) = Provider::start().await;
        let mut settings = two_clients(&folder, &url);
        let file = folder.path().join("ct-of-shop");
        for (configuration, client) in [("shop", "ct-of-shop"), ("blog", of_blog)] {
            let account = settings
                .api
                .accounts
                .get_mut(&configuration.parse().unwrap());
            let account = account.unwrap();
            account.credentials = Some(file.clone());
            account.values = [("client", client), ("cpcode", "12")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        }
        let blog = settings.api.accounts.get_mut(&"blog".parse().unwrap());
        blog.unwrap().values.remove("cpcode");
        let mut stage = Stage::start_with(settings).await;
        let report = stage.do_work(tag("shop", "news")).await;
        let fault = failed(&report);
        assert_eq!(fault.code, FaultCode::NotConfigured);
        assert!(fault.message.contains(words), "{fault:?}");
        assert_eq!(provider.asked().len(), 0);
        for (kind, object) in [
            ("url", r#""https://www.example.com/a""#),
            ("cpcode", "{account:cpcode}"),
        ] {
            let mut other = tag("shop", "");
            let call = &mut other.order.native[0].calls[0];
            call.path = format!("/ccu/v3/delete/{kind}/{{account:network}}");
            call.body = Some(format!(r#"{{"objects":[{object}]}}"#));
            stage.do_work(other).await;
        }
        let asked = provider.asked();
        let bodies: Vec<_> = asked.iter().map(|asked| asked.body.as_str()).collect();
        let expected = [
            r#"{"objects":["https://www.example.com/a"]}"#,
            r#"{"objects":[12]}"#,
        ];
        assert_eq!(bodies, expected);
    }
}
