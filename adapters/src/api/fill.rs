//! A call made whole: the account's values and the execution's id in the places that the dialect left for them.
//!
//! Invariant: what is put in stays one value, whatever its characters: it is percent-encoded in a path and escaped in a body
//! as its type wants it; what stands in a place that does not exist is an error, never sent as it is.

mod places;

use domain::{
    ExecutionId, Fault, NativeCall,
    fault::{Again, FaultCode},
};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use uuid::{Builder, Uuid};

pub(super) use places::UNRESERVED;

use super::account::Account;

/// What is put in.
pub(super) struct Filling<'a> {
    pub(super) account: &'a Account<'a>,
    pub(super) execution: &'a ExecutionId,
    /// Of the call in its order, from 0.
    pub(super) number: usize,
}

impl Filling<'_> {
    /// The call without any place left.
    pub(super) fn fill(&self, call: &NativeCall) -> Result<NativeCall, Fault> {
        places::fill(call, &|name| self.value(name))
    }

    fn value(&self, name: &str) -> Result<String, Fault> {
        let key = || format!("{}-{}", self.execution, self.number);
        match name.split_once(':') {
            None if name == "execution" => Ok(key()),
            Some(("execution", "uuid")) => Ok(uuid_of(&key()).to_string()),
            Some(("account", value)) => self.account.value(value).map(str::to_owned),
            _ => {
                let message = format!("the order's call has a place {{{name}}} that nothing fits");
                let (code, again) = (FaultCode::UnreadableOrder, Again::Never);
                Err(Fault::participant(code, again, &message))
            }
        }
    }
}

/// The UUID version 5 of a text (RFC 9562, 5.5), in the namespace of object ids.
fn uuid_of(text: &str) -> Uuid {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(Uuid::NAMESPACE_OID.as_bytes());
    context.update(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::account::Accounts;
    use super::*;
    use crate::config::Account as Values;

    const EXECUTION: &str = "01890a5d-ac96-774b-bcce-b302099a8057_b";

    fn fill(call: &NativeCall) -> Result<NativeCall, Fault> {
        let values = [("zone", "a/b\"<&"), ("code", "12")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let accounts = Accounts::of_test(Values {
            name: None,
            credentials: None,
            values: BTreeMap::from(values),
            probe: Vec::new(),
        });
        let (shop, execution) = ("shop".parse().unwrap(), EXECUTION.parse().unwrap());
        let account = accounts.of(&shop, None);
        let filling = Filling {
            account: &account,
            execution: &execution,
            number: 2,
        };
        filling.fill(call)
    }

    fn body(kind: &str, body: &str) -> String {
        let call = NativeCall::new("POST", None, "/", vec![]).header("content-type", kind);
        let body = Some(body.to_owned());
        fill(&NativeCall { body, ..call }).unwrap().body.unwrap()
    }

    /// A value is one value wherever it stands.
    #[test]
    fn a_value_is_written_as_its_place_wants_it() {
        let path = NativeCall::new("GET", None, "/z/{account:zone}/{execution}", vec![]);
        let path = fill(&path).unwrap().path;
        assert_eq!(path, format!("/z/a%2Fb%22%3C%26/{EXECUTION}-2"));
        let json = body("application/json", r#"{"a":"{account:zone}","b":{}}"#);
        assert_eq!(json, r#"{"a":"a/b\"<&","b":{}}"#);
        assert_eq!(
            body("text/xml", "<a>{account:zone}</a>"),
            "<a>a/b&quot;&lt;&amp;</a>"
        );
        let form = body("application/x-www-form-urlencoded", "a={account:zone}");
        assert_eq!(form, "a=a%2Fb%22%3C%26");
    }

    /// Outside of a JSON string only a number stays one value, whatever else an operator wrote.
    #[test]
    fn a_number_is_a_number() {
        let json = |body: &str| {
            let call = NativeCall::new("POST", None, "/", vec![]);
            let call = call.header("content-type", "application/json");
            let body = Some(body.to_owned());
            fill(&NativeCall { body, ..call })
        };
        let code = json(r#"{"a\"":["{account:zone}",{account:code}]}"#).unwrap();
        assert_eq!(code.body.unwrap(), r#"{"a\"":["a/b\"<&",12]}"#);
        let fault = json(r#"{"a\"":[{account:zone}]}"#).unwrap_err();
        assert_eq!(fault.code, FaultCode::NotConfigured);
        assert!(
            fault.message.contains("`account:zone` must be a number"),
            "{fault:?}"
        );
    }

    /// The same execution has the same id at every try, and it is what RFC 9562 says (its namespace of OIDs).
    #[test]
    fn an_id_for_a_provider_is_a_uuid_of_version_5() {
        let call = NativeCall::new("GET", None, "/{execution:uuid}", vec![]);
        let path = fill(&call).unwrap().path;
        let id: Uuid = path[1..].parse().unwrap();
        assert_eq!((id.get_version_num(), fill(&call).unwrap().path), (5, path));
        // Python: uuid.uuid5(uuid.NAMESPACE_OID, "a").
        assert_eq!(
            uuid_of("a").to_string(),
            "d720e32d-4765-5177-b65b-42dd7f6e6445"
        );
    }

    /// A place that nothing fits is not sent to a provider as it is.
    #[test]
    fn what_is_missing_is_named() {
        for (path, words) in [
            ("/{account:service}", "`api.accounts.shop.values.service`"),
            ("/{execution:x}", "{execution:x}"),
        ] {
            let fault = fill(&NativeCall::new("GET", None, path, vec![])).unwrap_err();
            assert!(fault.message.contains(words), "{fault:?}");
        }
    }
}
