//! Reading what came: a message is a dispatch for this participant or nothing; each order in it is read on its own.
//!
//! Invariant: an order that cannot be read leaves its neighbours unharmed, and is reported where its id can be read.

use amqp::envelope::{DISPATCH_TYPE, Dispatch, Order};
use domain::{
    ExecutionId, Fault, ParticipantId,
    fault::{Again, FaultCode, Side},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What one order of a dispatch is.
#[derive(Debug)]
pub(super) enum Read {
    Order(Box<Order>),
    /// It cannot be carried out, but it can be reported.
    Faulty(ExecutionId, Fault),
    /// Not even that: it is counted and logged, and nobody can be told. Its execution ends `unanswered` at the broker.
    Unreadable(String),
}

/// All that is needed to report an order that cannot be read.
#[derive(Deserialize)]
struct Identified {
    execution: ExecutionId,
}

/// The dispatch in a message, each order still to be read; or why it is none for us.
pub(super) fn read_dispatch<'a>(
    kind: &str,
    body: &'a [u8],
    participant: &ParticipantId,
) -> Result<Dispatch<'a>, String> {
    // Somebody who publishes by hand may leave the type out.
    if !kind.is_empty() && kind != DISPATCH_TYPE {
        return Err(format!("its type is not {DISPATCH_TYPE}"));
    }
    let dispatch: Dispatch<'a> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if dispatch.participant != *participant {
        return Err(format!(
            "it is for the participant {}",
            dispatch.participant
        ));
    }
    Ok(dispatch)
}

pub(super) fn read_order(order: &RawValue, participant: &ParticipantId) -> Read {
    let error = match serde_json::from_str::<Order>(order.get()) {
        Ok(order) if order.execution.participant == *participant => {
            return Read::Order(Box::new(order));
        }
        Ok(order) => format!("it is for the participant {}", order.execution.participant),
        Err(error) => error.to_string(),
    };
    match serde_json::from_str::<Identified>(order.get()) {
        Ok(Identified { execution }) if execution.participant == *participant => {
            let message = format!("the adapter cannot read the order: {error}");
            let side = Side::Federation;
            Read::Faulty(
                execution,
                Fault::new(FaultCode::UnreadableOrder, side, Again::Never, &message),
            )
        }
        _ => Read::Unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
        "execution": "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b", "sequence": 1, "configuration": "shop",
        "operation": "purge", "repeatable": true, "accepted_at": 1, "native": [], "more": "from a newer broker"
    }"#;

    fn participant() -> ParticipantId {
        "cdn-b".parse().unwrap()
    }

    fn order(text: &str) -> Read {
        let text = RawValue::from_string(text.to_owned()).unwrap();
        read_order(&text, &participant())
    }

    /// A broker that is newer than the adapter may say more.
    #[test]
    fn a_member_that_is_not_known_is_passed_over() {
        assert!(matches!(order(ORDER), Read::Order(read) if read.configuration.as_str() == "shop"));
    }

    /// The originator hears of an order that cannot be read, as long as we know whose it is.
    #[test]
    fn an_order_that_cannot_be_read_is_reported_where_its_id_can() {
        let broken = ORDER.replace("\"shop\"", "7");
        assert!(
            matches!(order(&broken), Read::Faulty(_, fault) if fault.code == FaultCode::UnreadableOrder)
        );
        assert!(matches!(order("{}"), Read::Unreadable(_)));
        assert!(matches!(order("7"), Read::Unreadable(_)));
        assert!(matches!(
            order(&ORDER.replace("_cdn-b", "_cdn-c")),
            Read::Unreadable(_)
        ));
    }

    /// Only a dispatch for this participant is taken; one bad order in it is not its end.
    #[test]
    fn a_message_is_a_dispatch_for_this_participant_or_nothing() {
        let dispatch = format!(r#"{{"participant":"cdn-b","executions":[{ORDER},7,null]}}"#);
        let read = |kind: &str, body: &str| {
            read_dispatch(kind, body.as_bytes(), &participant())
                .map(|dispatch| dispatch.executions.len())
        };
        assert_eq!(read(DISPATCH_TYPE, &dispatch), Ok(3));
        assert_eq!(read("", &dispatch), Ok(3));
        assert!(read("federation.report.v1", &dispatch).is_err());
        assert!(read("", &dispatch.replace("\"cdn-b\",", "\"cdn-c\",")).is_err());
        assert!(read("", "hello").is_err());
    }
}
