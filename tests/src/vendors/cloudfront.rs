//! Amazon CloudFront's invalidations (botocore, cloudfront 2020-05-31) behind signature version 4.

use std::time::Duration;

use ring::{digest, hmac};

use super::{Answer, Request, Vendor};

/// The id of the one tenant of the distribution.
pub const TENANT: &str = "dt_1";
/// In progress for one distribution: paths, and paths with `*` ("Quotas on invalidations").
const PATHS: usize = 3_000;
const PATTERNS: usize = 15;
/// Characters of a path.
const PATH_LENGTH: usize = 4_000;
/// By how much `x-amz-date` may be off.
const CLOCK: Duration = Duration::from_mins(5);

/// One distribution.
#[derive(Debug)]
pub struct CloudFront {
    /// Its id.
    pub distribution: &'static str,
    /// Who may call.
    pub access_key: &'static str,
    /// What it signs with.
    pub secret_key: &'static str,
    /// Questions that are answered with `InProgress` before it is `Completed`.
    pub questions: u32,
    /// What was asked for: the index is the invalidation's number.
    pub known: Vec<Batch>,
}

/// One invalidation.
#[derive(Debug)]
pub struct Batch {
    reference: String,
    body: String,
    paths: usize,
    patterns: usize,
    is_completed: bool,
}

impl Vendor for CloudFront {
    fn answer(&mut self, request: &Request) -> Answer {
        if !self.is_signed(request) {
            return error(403, "SignatureDoesNotMatch", "The signature does not match");
        }
        if request
            .is_off_by(request.header("x-amz-date"))
            .is_none_or(|off| off > CLOCK)
        {
            let message = format!(
                "Signature expired: {} is not within 5 min. of now",
                request.header("x-amz-date")
            );
            return error(403, "SignatureDoesNotMatch", &message);
        }
        let of_distribution = format!(
            "/2020-05-31/distribution/{}/invalidation",
            self.distribution
        );
        let of_tenant = format!("/2020-05-31/distribution-tenant/{TENANT}/invalidation");
        let rest = request.path.strip_prefix(&of_distribution);
        let Some(rest) = rest.or_else(|| request.path.strip_prefix(&of_tenant)) else {
            return error(
                404,
                "NoSuchDistribution",
                "The specified distribution does not exist",
            );
        };
        match (request.method.as_str(), rest) {
            ("POST", "") => self.create(&request.body),
            ("GET", id) => self.get(id.trim_start_matches("/I")),
            _ => error(405, "MethodNotAllowed", "Method not allowed"),
        }
    }

    fn busy(&self) -> Answer {
        error(429, "Throttling", "Rate exceeded")
    }
}

impl CloudFront {
    fn create(&mut self, body: &str) -> Answer {
        let reference = element(body, "CallerReference");
        let quantity = element(body, "Quantity").parse().unwrap_or(0);
        let paths = body.matches("<Path>").count();
        if reference.is_empty() {
            return error(400, "MissingBody", "This operation requires a body");
        }
        if quantity == 0 || paths != quantity {
            return error(400, "InconsistentQuantities", "Quantity and Items differ");
        }
        let texts = body.split("<Path>").skip(1);
        let texts = texts.map(|text| text.split("</Path>").next().unwrap_or_default());
        let texts: Vec<_> = texts.map(|text| text.replace("&amp;", "&")).collect();
        if !texts.iter().all(|text| is_path(text)) {
            return error(
                400,
                "InvalidArgument",
                "Your request contains an invalid path",
            );
        }
        let same = |known: &Batch| known.reference == reference;
        let number = match self.known.iter().position(same) {
            Some(number) if self.known[number].body != body => {
                return error(
                    400,
                    "InvalidationBatchAlreadyExists",
                    "Another batch has it",
                );
            }
            Some(number) => number,
            None => {
                let patterns = texts.iter().filter(|text| text.ends_with('*')).count();
                let batch = Batch {
                    reference: reference.to_owned(),
                    body: body.to_owned(),
                    paths: texts.len() - patterns,
                    patterns,
                    is_completed: false,
                };
                if !self.has_room_for(&batch) {
                    return error(
                        400,
                        "TooManyInvalidationsInProgress",
                        "Processing your request will cause you to exceed the maximum number of in-progress invalidations.",
                    );
                }
                self.known.push(batch);
                self.known.len() - 1
            }
        };
        (201, invalidation(number, "InProgress"))
    }

    fn get(&mut self, id: &str) -> Answer {
        let known = id.parse().ok().filter(|number| *number < self.known.len());
        let Some(number) = known else {
            return error(
                404,
                "NoSuchInvalidation",
                "The specified invalidation does not exist",
            );
        };
        if self.questions > 0 {
            self.questions -= 1;
            return (200, invalidation(number, "InProgress"));
        }
        self.known[number].is_completed = true;
        (200, invalidation(number, "Completed"))
    }

    fn has_room_for(&self, batch: &Batch) -> bool {
        let in_progress = || self.known.iter().filter(|known| !known.is_completed);
        let paths: usize = in_progress().map(|known| known.paths).sum();
        let patterns: usize = in_progress().map(|known| known.patterns).sum();
        paths + batch.paths <= PATHS && patterns + batch.patterns <= PATTERNS
    }

    fn is_signed(&self, request: &Request) -> bool {
        let header = request.header("authorization");
        let field = |name: &str| {
            let (_, rest) = header.split_once(&format!("{name}="))?;
            rest.split(',').next()
        };
        let (Some(credential), Some(names), Some(signature)) = (
            field("Credential"),
            field("SignedHeaders"),
            field("Signature"),
        ) else {
            return false;
        };
        let moment = request.header("x-amz-date");
        let date = moment.get(..8).unwrap_or_default();
        let scope = format!("{date}/us-east-1/cloudfront/aws4_request");
        let headers = names
            .split(';')
            .map(|name| format!("{name}:{}\n", request.header(name)));
        let (method, path) = (&request.method, &request.path);
        let canonical = format!(
            "{method}\n{path}\n\n{}\n{names}\n{}",
            headers.collect::<String>(),
            hash(&request.body)
        );
        let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hash(&canonical));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for step in [date, "us-east-1", "cloudfront", "aws4_request", &text] {
            let own = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&own, step.as_bytes()).as_ref().to_vec();
        }
        names.contains("host")
            && credential == format!("{}/{scope}", self.access_key)
            && signature == hex(&key)
    }
}

/// It begins with `/`, or as a tag with `#`, is not too long, and has a `*` only at its end.
fn is_path(text: &str) -> bool {
    let star = text.find('*').is_none_or(|at| at + 1 == text.len());
    text.starts_with(['/', '#']) && text.len() <= PATH_LENGTH && star
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let rest = xml.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let text = rest.and_then(|rest| rest.split_once("</"));
    text.map(|(text, _)| text).unwrap_or_default()
}

fn invalidation(number: usize, status: &str) -> String {
    format!("<Invalidation><Id>I{number}</Id><Status>{status}</Status></Invalidation>")
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let error = format!(
        "<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    (
        status,
        format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"),
    )
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}
