//! TLS to a market whose address names its key: the certificate has to carry exactly that key. No names, no
//! authorities, no expiry: the key is the identity.

use ed25519_dalek::{VerifyingKey, pkcs8::EncodePublicKey};
use market::key::PublicKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    version::TLS13,
};
use std::sync::Arc;

/// The TLS settings that accept one market only. `None` when the key is no point of the curve.
pub(super) fn pinned(venue: &PublicKey) -> Option<Result<ClientConfig, Error>> {
    let key_info = VerifyingKey::from_bytes(&venue.0).ok()?.to_public_key_der().ok()?.into_vec();
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(KeyPin { key_info, provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map(|builder| builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    Some(config)
}

/// Accepts certificates of one key.
#[derive(Debug)]
struct KeyPin {
    /// The DER of the key's SubjectPublicKeyInfo (RFC 8410).
    key_info: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for KeyPin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if certificate.subject_public_key_info().as_ref() == self.key_info.as_slice() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
