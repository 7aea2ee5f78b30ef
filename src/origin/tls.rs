//! TLS settings of the public listener.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate and key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not PEM, or holds nothing of the kind.
    #[error("the {what} is not usable PEM: {reason}")]
    Pem {
        /// `certificate` or `key`.
        what: &'static str,
        /// What the parser found; never the text itself.
        reason: String,
    },
    /// Key and certificate do not fit, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Settings for HTTP/2 and HTTP/1.1 over TLS 1.2 and 1.3, with tickets so that players come back
/// without a full handshake. `certificates_pem` is the chain, leaf first.
pub fn config(certificates_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, Error> {
    let unusable = |what| {
        move |reason: rustls::pki_types::pem::Error| Error::Pem {
            what,
            reason: reason.to_string(),
        }
    };
    let certificates = CertificateDer::pem_slice_iter(certificates_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(unusable("key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Arc::new(config))
}
