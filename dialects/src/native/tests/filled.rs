//! Calls as a provider gets them. The fuzzer reads this file too.

use super::{Dialect, NativeCall, Presence};

/// The call as it goes out: with the values of an account, which the adapter puts in.
pub(crate) fn filled_in(dialect: &dyn Dialect, mut call: NativeCall) -> NativeCall {
    for field in dialect.account() {
        let value = match field.presence {
            Presence::Default(value) => value,
            Presence::Required | Presence::Optional => "12345",
        };
        let name = format!("{{account:{}}}", field.name);
        call.path = call.path.replace(&name, value);
        call.body = call.body.map(|body| body.replace(&name, value));
    }
    call
}
