//! Mappings, proto to registry and back.
//!
//! Invariant: a list has no documents, so that a page fits into an answer.

use domain::DialectName;
use proto::v1;

use super::{identity::Identity, registry::Registry, view::timestamp};
use crate::{
    authorise::{Rpc, admit},
    directory::Mapping,
    error::Error,
    registry::Visible as _,
};

/// What a document that is to be put claims to be called: as the request says, or a line that begins with `name:`. Nothing is
/// parsed for somebody whom nobody knows yet, so it may be nothing, or a line in the midst of another text. What was put has
/// its name in the answer.
pub(super) fn claimed_name(given: &v1::Mapping) -> Option<String> {
    if !given.name.is_empty() {
        return Some(given.name.clone());
    }
    let mut lines = given.document.lines();
    let name = lines.find_map(|line| line.strip_prefix("name:"))?;
    let name = name.split(" #").next()?.trim();
    let name: DialectName = name.trim_matches(['"', '\'']).parse().ok()?;
    Some(name.to_string())
}

impl Registry {
    /// Stores a document.
    pub(super) async fn put(
        &self,
        identity: &Identity,
        request: v1::PutMappingRequest,
    ) -> Result<v1::PutMappingResponse, Error> {
        let given = request.mapping;
        let given = given.ok_or_else(|| Error::invalid("mapping", "must be given"))?;
        let put = self
            .registrar
            .put_mapping(identity, &given.name, given.document);
        Ok(v1::PutMappingResponse {
            mapping: Some(whole(&*put.await?)),
        })
    }

    /// The current version, or the one that is asked for.
    #[expect(
        clippy::unused_async,
        reason = "all calls of the service are awaited alike"
    )]
    pub(super) async fn get_version(
        &self,
        identity: &Identity,
        request: v1::GetMappingRequest,
    ) -> Result<v1::GetMappingResponse, Error> {
        let name = &request.mapping_name;
        let key: DialectName = name.parse().map_err(Error::broken("mapping_name"))?;
        let tables = self.registrar.directory().read();
        let found = match request.version {
            0 => tables.mappings.get(&key),
            version => tables.versions.get(&(key, version)),
        };
        let found = found.filter(|mapping| !mapping.is_deleted());
        let found = found.map(|mapping| (mapping, mapping.resource(&tables)));
        let (mapping, _) = admit(identity, Rpc::GetMapping, ("mapping", name), found)?;
        Ok(v1::GetMappingResponse {
            mapping: Some(whole(mapping)),
        })
    }

    /// A page of what the caller may see.
    #[expect(
        clippy::unused_async,
        reason = "all calls of the service are awaited alike"
    )]
    pub(super) async fn list_current(
        &self,
        identity: &Identity,
        request: v1::ListMappingsRequest,
    ) -> Result<v1::ListMappingsResponse, Error> {
        let (size, token) = (request.page_size, &request.page_token);
        let (page, next_page_token) = self.page::<Mapping>(identity, size, token, |_| true)?;
        Ok(v1::ListMappingsResponse {
            mappings: page.iter().map(|(mapping, _)| head(mapping)).collect(),
            next_page_token,
        })
    }

    /// Deletes a mapping.
    pub(super) async fn delete_named(
        &self,
        identity: &Identity,
        request: v1::DeleteMappingRequest,
    ) -> Result<v1::DeleteMappingResponse, Error> {
        self.registrar
            .delete_mapping(identity, &request.mapping_name)
            .await?;
        Ok(v1::DeleteMappingResponse {})
    }
}

fn whole(mapping: &Mapping) -> v1::Mapping {
    v1::Mapping {
        document: mapping.text().to_owned(),
        ..head(mapping)
    }
}

/// Without the document.
fn head(mapping: &Mapping) -> v1::Mapping {
    v1::Mapping {
        name: mapping.name().to_string(),
        document: String::new(),
        version: mapping.version(),
        put_time: Some(timestamp(mapping.put_at())),
    }
}
