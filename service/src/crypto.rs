//! The one TLS provider of the whole tree: ring.
//!
//! Invariant: whoever makes a TLS connection, it is this provider that does the arithmetic.
//! Not here: certificates and who is trusted.

/// Makes ring the provider of this process. Calling it again does nothing.
pub fn install_crypto() {
    // An error means that one is installed already, and no other than ring is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests and libraries call it without asking who was first.
    #[test]
    fn the_provider_may_be_installed_twice() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
