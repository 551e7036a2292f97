//! The schemes against what their providers published.

use std::{collections::BTreeMap, time::Duration};

use super::*;

const BASE: &str = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net";

async fn credential(text: &str) -> Credential {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Credential::read(file.path()).await.unwrap()
}

fn at(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Akamai's own test data, which its clients in every language carry.
#[tokio::test]
async fn edgegrid_signs_as_akamais_test_data_says() {
    let credential = credential(
        "client_token = akab-client-token-xxx-xxxxxxxxxxxxxxxx\n\
         client_secret = xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\n\
         access_token = akab-access-token-xxx-xxxxxxxxxxxxxxxx\n",
    )
    .await;
    for (method, path, body, signature) in [
        (
            "GET",
            "/",
            "",
            "tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU=",
        ),
        (
            "GET",
            "/testapi/v1/t1?p1=1&p2=2",
            "",
            "hKDH1UlnQySSHjvIcZpDMbQHihTQ0XyVAKZaApabdeA=",
        ),
        (
            "POST",
            "/testapi/v1/t3",
            "datadatadatadatadatadatadatadata",
            "hXm4iCxtpN22m4cbZb4lVLW5rhX8Ca82vCFqXzSTPe4=",
        ),
        (
            "POST",
            "/testapi/v1/t6",
            "",
            "1gEDxeQGD5GovIkJJGcBaKnZ+VaPtrc4qBUHixjsPCQ=",
        ),
    ] {
        let url = http::url(BASE, path).unwrap();
        let request = Request {
            method,
            url: &url,
            headers: &[],
            body,
        };
        let nonce = "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
        // 2014-03-21T19:34:21Z
        let said = edgegrid::authorization(&request, &credential, at(1_395_430_461), nonce);
        let said = said.unwrap();
        let begin = "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;\
                     access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;\
                     timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;";
        assert_eq!(
            said,
            format!("{begin}signature={signature}"),
            "{method} {path}"
        );
    }
}

/// The example of Amazon's documentation, and `get-vanilla` of its test suite.
#[tokio::test]
async fn sigv4_signs_as_amazons_examples_say() {
    let credential = credential(
        "[default]\naws_access_key_id = AKIDEXAMPLE\n\
         aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n",
    )
    .await;
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    for (base, path, kind, service, signature) in [
        (
            "https://iam.amazonaws.com",
            "/?Action=ListUsers&Version=2010-05-08",
            Some(form),
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        (
            "https://example.amazonaws.com",
            "/",
            None,
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
    ] {
        let kind = kind.map(|kind| ("content-type".to_owned(), kind.to_owned()));
        let headers: Vec<_> = kind.into_iter().collect();
        let url = http::url(base, path).unwrap();
        let request = Request {
            method: "GET",
            url: &url,
            headers: &headers,
            body: "",
        };
        // 2015-08-30T12:36:00Z
        let said = sigv4::headers(
            &request,
            &credential,
            (service, "us-east-1"),
            at(1_440_938_160),
        );
        let said: BTreeMap<_, _> = said
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        assert_eq!(said["x-amz-date"], "20150830T123600Z");
        let authorization = &said["authorization"];
        assert!(
            authorization.ends_with(&format!("Signature={signature}")),
            "{authorization}"
        );
    }
}

/// The example of Alibaba's documentation of the signature.
#[tokio::test]
async fn alibabas_signature_is_as_its_example_says() {
    let credential = credential("access_key_id = testid\naccess_key_secret = testsecret\n").await;
    let path = "/?Format=XML&Action=DescribeRegions&Version=2014-05-26";
    let url = http::url("https://ecs.aliyuncs.com", path).unwrap();
    let request = Request {
        method: "GET",
        url: &url,
        headers: &[],
        body: "",
    };
    let nonce = "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf";
    // 2016-02-23T12:46:24Z
    let said = alibaba::path(&request, path, &credential, at(1_456_231_584), nonce).unwrap();
    assert!(
        said.starts_with(&format!("{path}&AccessKeyId=testid&")),
        "{said}"
    );
    assert!(
        said.ends_with("&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D"),
        "{said}"
    );
}

/// A header with a token is not shown, and without a file there is a word for what is missing.
#[tokio::test]
async fn a_token_is_never_shown() {
    let how = Proof::Known(Authentication::Header {
        name: "authorization",
        prefix: "Bearer ",
    });
    let call = NativeCall::new("GET", None, "/", vec![]);
    let credential = credential("the-token\n").await;
    let now = SystemTime::now();
    let signed = sign(&how, Some(&credential), BASE, &call, now).unwrap();
    assert_eq!(signed.headers[0].1, "Bearer the-token");
    assert!(!format!("{signed:?}").contains("the-token"));
    let fault = sign(&how, None, BASE, &call, now).unwrap_err();
    assert_eq!(fault.code, FaultCode::NotConfigured);
    let mapped = Proof::Header {
        name: "x-key".to_owned(),
        prefix: String::new(),
    };
    assert!(
        sign(&mapped, None, BASE, &call, now)
            .unwrap()
            .headers
            .is_empty()
    );
}
