//! What the broker reads of whoever connects: the files of it that need nothing else of it.

#[allow(dead_code, reason = "what an identity may do is not parsed")]
#[path = "../../../broker/src/ingress/caller.rs"]
mod caller;
#[path = "../../../broker/src/ingress/certificate.rs"]
mod certificate;
#[path = "../../../broker/src/ingress/revoked.rs"]
mod revoked;

/// Where the broker has it too.
mod identity {
    pub(super) use super::caller::Identity;
}

use certificate::Certificate;
use identity::Identity;
use revoked::Revoked;

/// The federation of the seeds.
const FEDERATION: &str = "f";

/// A certificate of a caller, and a deny list: who is read has one name, in one spelling, and is found on the list that names it.
pub(crate) fn certificate(leaf: &[u8], list: &[u8]) {
    let lines = list.split(|byte| *byte == b'\n').count();
    let list = Revoked::read(list);
    assert!(list.as_ref().is_ok_and(|list| list.len() <= lines) || list.is_err());
    let Ok(certificate) = Certificate::read(leaf, FEDERATION) else {
        return;
    };
    let identity = certificate.identity();
    assert_eq!(
        Identity::from_path(&identity.to_string()).as_ref(),
        Ok(identity)
    );
    assert_ne!(certificate.serial().first(), Some(&0));
    assert_eq!(certificate.fingerprint().len(), 32);
    let _ = certificate
        .valid()
        .contains(&std::time::SystemTime::UNIX_EPOCH);
    let _ = list.is_ok_and(|list| list.names(&certificate));
    let own = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .concat()
    };
    let named = format!("sha256:{}\n", own(certificate.fingerprint()));
    assert!(Revoked::read(named.as_bytes()).is_ok_and(|list| list.names(&certificate)));
    let serial = own(certificate.serial());
    // A serial number of zero has no digits left, and one that is too long for the rules cannot be named.
    if !serial.is_empty() && serial.len() <= 40 {
        assert!(Revoked::read(serial.as_bytes()).is_ok_and(|list| list.names(&certificate)));
    }
}
