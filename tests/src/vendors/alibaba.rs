//! Alibaba Cloud CDN's RPC API (alibabacloud.com, "RefreshObjectCaches", "PushObjectCache", "DescribeRefreshTaskById")
//! behind its signature, version 1.0 ("Request syntax and signature method V2 for RPC APIs").

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac;
use serde_json::json;

use super::{Answer, Rate, Request, Vendor, decoded};

/// Objects of one call: URLs, directories, URLs to load.
const FILES: usize = 1_000;
const DIRECTORIES: usize = 100;
const PRELOADS: usize = 100;
/// By how much a timestamp may be off ("Request syntax and signature method V2 for RPC APIs").
const CLOCK: Duration = Duration::from_mins(15);
/// Of one account ("RefreshObjectCaches", "PushObjectCache"): 50 calls a second, and so much a day.
const RATES: &[Rate] = &[
    Rate {
        unit: "calls",
        burst: 50.0,
        per_second: 50.0,
    },
    Rate {
        unit: "File",
        burst: 10_000.0,
        per_second: 10_000.0 / 86_400.0,
    },
    Rate {
        unit: "Directory",
        burst: 100.0,
        per_second: 100.0 / 86_400.0,
    },
    Rate {
        unit: "Preload",
        burst: 1_000.0,
        per_second: 1_000.0 / 86_400.0,
    },
];

/// One account.
#[derive(Debug)]
pub struct Alibaba {
    /// Who calls.
    pub access_key_id: &'static str,
    /// What it signs with.
    pub access_key_secret: &'static str,
    /// Questions that are answered with `Refreshing` before a task is `Complete`.
    pub questions: u32,
    /// Nonces that came: each is good once.
    pub nonces: Vec<String>,
    /// The kind of each task.
    pub tasks: Vec<&'static str>,
}

type Parameters = BTreeMap<String, String>;

impl Vendor for Alibaba {
    fn answer(&mut self, request: &Request) -> Answer {
        let parameters = parameters(request);
        if let Err(refusal) = self.check(request, &parameters) {
            return refusal;
        }
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        match get("Action") {
            "RefreshObjectCaches" => match get("ObjectType") {
                "File" => self.begin("file", get("ObjectPath"), FILES),
                "Directory" => self.begin("directory", get("ObjectPath"), DIRECTORIES),
                _ => refused(
                    400,
                    "InvalidObjectType.ValueNotSupported",
                    "The specified value of ObjectType is not supported.",
                ),
            },
            "PushObjectCache" => self.begin("preload", get("ObjectPath"), PRELOADS),
            "DescribeRefreshTaskById" => self.task(get("TaskId")),
            _ => refused(
                404,
                "InvalidAction.NotFound",
                "The specified action is not found.",
            ),
        }
    }

    fn busy(&self) -> Answer {
        refused(
            503,
            "Throttling",
            "Request was denied due to request throttling.",
        )
    }

    fn rates(&self) -> &'static [Rate] {
        RATES
    }

    fn takes(&self, request: &Request) -> Vec<(&'static str, usize)> {
        let parameters = parameters(request);
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let objects = get("ObjectPath").lines().count();
        let kind = match (get("Action"), get("ObjectType")) {
            ("PushObjectCache", _) => "Preload",
            ("RefreshObjectCaches", "Directory") => "Directory",
            ("RefreshObjectCaches", _) => "File",
            _ => return vec![("calls", 1)],
        };
        vec![("calls", 1), (kind, objects)]
    }
}

impl Alibaba {
    fn check(&mut self, request: &Request, parameters: &Parameters) -> Result<(), Answer> {
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        if get("AccessKeyId") != self.access_key_id {
            return Err(refused(
                404,
                "InvalidAccessKeyId.NotFound",
                "Specified access key is not found.",
            ));
        }
        if (
            get("Version"),
            get("SignatureMethod"),
            get("SignatureVersion"),
        ) != ("2018-05-10", "HMAC-SHA1", "1.0")
        {
            return Err(refused(
                400,
                "MissingParameter",
                "A common parameter is missing or not valid.",
            ));
        }
        let moment = get("Timestamp").as_bytes();
        if moment.len() != 20 || moment[10] != b'T' || moment[19] != b'Z' {
            return Err(refused(
                400,
                "InvalidTimeStamp.Format",
                "Specified time stamp is not well formatted.",
            ));
        }
        if request
            .is_off_by(get("Timestamp"))
            .is_none_or(|off| off > CLOCK)
        {
            return Err(refused(
                400,
                "InvalidTimeStamp.Expired",
                "Specified time stamp or date value is expired.",
            ));
        }
        let nonce = get("SignatureNonce").to_owned();
        if nonce.is_empty() || self.nonces.contains(&nonce) {
            return Err(refused(
                400,
                "SignatureNonceUsed",
                "Specified signature nonce was used already.",
            ));
        }
        self.nonces.push(nonce);
        if get("Signature") != self.signature(&request.method, parameters) {
            return Err(refused(
                400,
                "SignatureDoesNotMatch",
                "Specified signature is not matched with our calculation.",
            ));
        }
        Ok(())
    }

    /// Over all parameters but the signature, by their names.
    fn signature(&self, method: &str, parameters: &Parameters) -> String {
        let pairs = parameters.iter().filter(|(name, _)| *name != "Signature");
        let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let text = format!(
            "{method}&%2F&{}",
            encoded(&pairs.collect::<Vec<_>>().join("&"))
        );
        let key = format!("{}&", self.access_key_secret);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
        BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    }

    fn begin(&mut self, kind: &'static str, objects: &str, most: usize) -> Answer {
        let objects: Vec<_> = objects.lines().collect();
        let is_good = |object: &str| {
            let bare = object
                .strip_prefix("https://")
                .or(object.strip_prefix("http://"));
            let bare = bare.unwrap_or(object);
            let below = bare.split_once('/').filter(|(host, _)| host.contains('.'));
            below.is_some()
                && object.len() <= 1_024
                && (kind != "directory" || object.ends_with('/'))
        };
        if objects.is_empty() || !objects.iter().all(|object| is_good(object)) {
            return refused(
                400,
                "InvalidObjectPath.Malformed",
                "The specified ObjectPath is invalid.",
            );
        }
        if objects.len() > most {
            return refused(
                400,
                "InvalidObjectPath.ExceedLimit",
                "Too many objects in one call.",
            );
        }
        self.tasks.push(kind);
        let name = if kind == "preload" {
            "PushTaskId"
        } else {
            "RefreshTaskId"
        };
        (
            200,
            json!({ name: (self.tasks.len() - 1).to_string(), "RequestId": "r-1" }).to_string(),
        )
    }

    fn task(&mut self, id: &str) -> Answer {
        let kind = id
            .parse::<usize>()
            .ok()
            .and_then(|number| self.tasks.get(number));
        let Some(kind) = kind else {
            return (
                200,
                json!({ "TotalCount": 0, "Tasks": [], "RequestId": "r-1" }).to_string(),
            );
        };
        let (status, process) = match self.questions {
            0 => ("Complete", "100%"),
            _ => ("Refreshing", "10%"),
        };
        self.questions = self.questions.saturating_sub(1);
        let task = json!({ "TaskId": id, "ObjectType": kind, "ObjectPath": "", "Status": status, "Process": process,
                           "CreationTime": "2026-01-31T06:00:00Z", "Description": "" });
        (
            200,
            json!({ "TotalCount": 1, "Tasks": [task], "RequestId": "r-1" }).to_string(),
        )
    }
}

/// Of the query and of the form.
fn parameters(request: &Request) -> Parameters {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').chain(request.body.split('&'));
    let pairs = pairs.filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// All but letters, digits and `-_.~`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(octet.into());
            }
            _ => out.extend(["%", &format!("{octet:02X}")]),
        }
    }
    out
}

fn refused(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({ "RequestId": "r-1", "HostId": "cdn.aliyuncs.com", "Code": code, "Message": message });
    (status, body.to_string())
}
