//! The five calls of a kind of record. They differ only in names, so the names are all that is written down.

/// Writes the calls of `Kind`: `record` is the field of a record in requests and answers, `id` the one of its id, `many`
/// the one of a page.
macro_rules! registry_calls {
    (
        $record:ident, $id:ident, $many:ident;
        $list:ident($listing:ty), $get:ident($getting:ident), $create:ident($creating:ident),
        $update:ident($updating:ident $(, $unless_said:ident)?), $delete:ident($deleting:ident)
    ) => {
        type Listing = $listing;

        fn id(record: &Self::Record) -> &str {
            &record.id
        }

        async fn page(
            broker: &$crate::broker::Broker,
            request: $listing,
        ) -> Result<(Vec<Self::Record>, String), $crate::broker::Refusal> {
            let answer = broker
                .registry(async |mut client| client.$list(request.clone()).await)
                .await?;
            Ok((answer.$many, answer.next_page_token))
        }

        async fn get(
            broker: &$crate::broker::Broker,
            id: &str,
        ) -> Result<Option<Self::Record>, $crate::broker::Refusal> {
            let request = $getting { $id: id.to_owned() };
            let answer = broker
                .registry(async |mut client| client.$get(request.clone()).await)
                .await?;
            Ok(answer.$record)
        }

        async fn create(
            broker: &$crate::broker::Broker,
            record: Self::Record,
        ) -> Result<Option<Self::Record>, $crate::broker::Refusal> {
            let request = $creating {
                $record: Some(record),
            };
            let answer = broker
                .registry(async |mut client| client.$create(request.clone()).await)
                .await?;
            Ok(answer.$record)
        }

        async fn update(
            broker: &$crate::broker::Broker,
            record: Self::Record,
        ) -> Result<Option<Self::Record>, $crate::broker::Refusal> {
            let request = $updating {
                $record: Some(record),
                $($unless_said: false,)?
            };
            let answer = broker
                .registry(async |mut client| client.$update(request.clone()).await)
                .await?;
            Ok(answer.$record)
        }

        async fn delete(
            broker: &$crate::broker::Broker,
            id: &str,
        ) -> Result<(), $crate::broker::Refusal> {
            let request = $deleting { $id: id.to_owned() };
            broker
                .registry(async |mut client| client.$delete(request.clone()).await)
                .await?;
            Ok(())
        }
    };
}

pub(super) use registry_calls;
