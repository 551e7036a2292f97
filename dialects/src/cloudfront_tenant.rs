//! Amazon CloudFront where many customers share one distribution: invalidations of one distribution tenant.
//!
//! Invariant: as [`crate::cloudfront`], but that a tenant is one configuration's and the distribution is not.
//!
//! Facts: API reference 2020-05-31, `CreateInvalidationForDistributionTenant`; it differs by its path alone.

use domain::{Command, Fidelity, HostName, NativeCall, Operation, Selector};

use crate::{
    AccountField, Answer, Authentication, CannotSay, Counterpart, Dialect, Draw, Length, Limits,
    Presence, Site, Unfit, Verdict,
    cloudfront::{self, CloudFront, INVALIDATIONS, TAG_HEADER},
    native::{Asked, Mistake},
};

const OF_TENANT: &str = "/2020-05-31/distribution-tenant/{account:tenant}/invalidation";

/// The paths of tenants and of distributions.
const TENANTS: &str = "/2020-05-31/distribution-tenant/";
const DISTRIBUTIONS: &str = "/2020-05-31/distribution/";

/// The dialect.
#[derive(Debug)]
pub struct CloudFrontTenant;

impl Dialect for CloudFrontTenant {
    fn name(&self) -> &'static str {
        "cloudfront-tenant"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        CloudFront.fidelity(operation, selector)
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        match CloudFront.translate(command, site) {
            Ok(calls) => Ok(calls.into_iter().map(of_tenant).collect()),
            Err(CannotSay { why, .. }) => Err(CannotSay {
                dialect: self.name(),
                why,
            }),
        }
    }

    fn read(&self, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
        let Some(rest) = request.path.strip_prefix(TENANTS) else {
            let rule = "must be `/2020-05-31/distribution-tenant/`, an id, and `/invalidation`";
            return Err(Mistake::new("path", rule));
        };
        let of_distribution = NativeCall {
            path: format!("{DISTRIBUTIONS}{rest}"),
            ..request.clone()
        };
        CloudFront.read(&of_distribution, hosts)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        CloudFront.judge(call, answer)
    }

    fn is_full(&self, answer: &Answer) -> bool {
        CloudFront.is_full(answer)
    }

    fn poll(&self, job: &str) -> Option<NativeCall> {
        CloudFront.poll(job).map(of_tenant)
    }

    fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        CloudFront.judge_poll(job, answer)
    }

    fn account(&self) -> &'static [AccountField] {
        &[
            AccountField {
                name: "tenant",
                about: "the id of the distribution tenant that carries the configuration and no other",
                presence: Presence::Required,
                exclusive: true,
                own_credentials: false,
            },
            TAG_HEADER,
        ]
    }

    fn at_account(
        &self,
        call: &NativeCall,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        CloudFront.at_account(call, value)
    }

    fn authentication(&self) -> Authentication {
        CloudFront.authentication()
    }

    fn limits(&self) -> Limits {
        cloudfront::LIMITS
    }

    fn lengths(&self) -> &'static [Length] {
        CloudFront.lengths()
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        CloudFront.draws(call)
    }
}

fn of_tenant(call: NativeCall) -> NativeCall {
    let path = call.path.replacen(INVALIDATIONS, OF_TENANT, 1);
    NativeCall { path, ..call }
}

#[cfg(test)]
mod tests {
    //! What differs from a distribution, letter by letter.

    use domain::{Evidence, Finding};

    use super::*;
    use crate::{
        fixture::url,
        vendor::fixture::{DELETE, answer, call, done, prefix, running, spoken, tag},
    };

    /// The same batches at another address.
    #[test]
    fn an_invalidation_goes_to_the_tenant() {
        let some = vec![url("https://www.example.com/a?x=1"), tag("news")];
        insta::assert_snapshot!(spoken(&CloudFrontTenant, DELETE, some), @r#"
        POST /2020-05-31/distribution-tenant/{account:tenant}/invalidation [0] content-type: application/xml
        <?xml version="1.0" encoding="UTF-8"?>
        <InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>1</Quantity><Items><Path>/a?x=1</Path></Items></Paths><CallerReference>{execution}</CallerReference></InvalidationBatch>
        POST /2020-05-31/distribution-tenant/{account:tenant}/invalidation [1] content-type: application/xml
        <?xml version="1.0" encoding="UTF-8"?>
        <InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>1</Quantity><Items><Path>#news</Path></Items></Paths><CallerReference>{execution}</CallerReference></InvalidationBatch>
        "#);
    }

    /// What goes there today is read as it is for a distribution; what goes to a distribution does not go there.
    #[test]
    fn a_request_to_a_tenant_is_read() {
        let made = call(&CloudFrontTenant, DELETE, tag("news"));
        assert!(CloudFrontTenant.at_account(&made, &|_| None).is_err());
        let asked = CloudFrontTenant.read(&made, &[]).unwrap();
        assert_eq!(asked.selectors, [tag("news")]);
        let elsewhere = call(&CloudFront, DELETE, tag("news"));
        assert_eq!(
            CloudFrontTenant.read(&elsewhere, &[]).unwrap_err().field,
            "path"
        );
    }

    /// It is asked after there, and takes what an invalidation of a distribution takes.
    #[test]
    fn it_is_asked_after_at_the_tenant() {
        let made = call(&CloudFrontTenant, DELETE, prefix("www.example.com/img/"));
        let units = CloudFrontTenant.draws(&made);
        let units: Vec<_> = units.iter().map(|draw| (draw.unit, draw.amount)).collect();
        assert_eq!(units, [("calls", 1), ("patterns", 1)]);
        let began = "<Invalidation><Id>I1</Id><Status>InProgress</Status></Invalidation>";
        assert_eq!(
            CloudFrontTenant.judge(&made, &answer(201, &[], began)),
            running("I1")
        );
        let asked = CloudFrontTenant.poll("I1").unwrap();
        let path = "/2020-05-31/distribution-tenant/{account:tenant}/invalidation/I1";
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", path));
        let ended = "<Invalidation><Id>I1</Id><Status>Completed</Status></Invalidation>";
        let verdict = CloudFrontTenant.judge_poll("I1", &answer(200, &[], ended));
        assert_eq!(verdict, done(Evidence::Reported, Finding::Removed(None)));
    }
}
