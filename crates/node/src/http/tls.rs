//! TLS: the operator's certificate, or one made on the spot that carries the venue's key.

use super::config::Tls;
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use market::key::SecretKey;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{net::SocketAddr, path::Path, sync::Arc};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Off, and not on loopback.
    #[error(
        "{0} is not a loopback address, and TLS is off: read tokens would travel unencrypted. Leave TLS on (it needs no \
         certificate: the address that is printed pins the venue's key), or listen on 127.0.0.1"
    )]
    Unencrypted(SocketAddr),
    /// The operator's files.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The certificate of the venue's key.
    #[error("the certificate of the venue's key could not be made: {0}")]
    Own(String),
    /// Certificate and key do not fit.
    #[error("TLS cannot use certificate and key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// How a market speaks.
pub(super) enum Transport {
    /// Unencrypted, on loopback.
    Plain,
    /// With a certificate of the venue's key.
    Pinned(Arc<ServerConfig>),
    /// With the operator's certificate.
    Certified(Arc<ServerConfig>),
}

/// Sets up what the configuration asks for.
pub(super) fn transport(tls: &Tls, listen: SocketAddr, secret: &SecretKey) -> Result<Transport, TlsError> {
    let is_loopback = listen.ip().is_loopback();
    match tls {
        Tls::Auto if is_loopback => Ok(Transport::Plain),
        Tls::Off if is_loopback => Ok(Transport::Plain),
        Tls::Off => Err(TlsError::Unencrypted(listen)),
        Tls::Auto | Tls::VenueKey => own_certificate(secret).map(Transport::Pinned),
        Tls::Files { certificates, key } => {
            operators_certificate(certificates, key).map(Transport::Certified)
        }
    }
}

fn own_certificate(secret: &SecretKey) -> Result<Arc<ServerConfig>, TlsError> {
    let key = SigningKey::from_bytes(&secret.to_bytes())
        .to_pkcs8_der()
        .map_err(|e| TlsError::Own(e.to_string()))?;
    let key = PrivatePkcs8KeyDer::from(key.as_bytes().to_vec());
    let own = |error: rcgen::Error| TlsError::Own(error.to_string());
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519).map_err(own)?;
    // The name means nothing: clients compare the key.
    let certificate =
        CertificateParams::new(vec!["grist.invalid".into()]).map_err(own)?.self_signed(&pair).map_err(own)?;
    config(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key))
}

fn operators_certificate(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |file: &Path, error: rustls::pki_types::pem::Error| TlsError::File {
        file: file.display().to_string(),
        reason: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| failed(certificates, error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error))?;
    config(chain, private)
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
