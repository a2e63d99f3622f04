//! Trust in one certificate, by its fingerprint.

use std::fmt::Write;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

/// SHA-256 of a certificate in DER.
pub(super) type Fingerprint = [u8; 32];

/// Reads a fingerprint: 64 hex digits, with or without colons, as `openssl x509 -fingerprint -sha256` prints it.
///
/// # Errors
/// A text that is none.
pub(super) fn read(text: &str) -> Result<Fingerprint, String> {
    let text = text.trim();
    let digits: Vec<u8> = text.rsplit('=').next().unwrap_or(text).bytes().filter(|b| *b != b':').collect();
    let mut found = [0; 32];
    if digits.len() != 64 {
        return Err(format!("`{text}` is no SHA-256: {} hex digits, not 64", digits.len()));
    }
    for (byte, pair) in found.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = pair
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .ok_or_else(|| format!("`{text}` is no SHA-256: there is more than hex digits in it"))?;
    }
    Ok(found)
}

/// TLS settings that trust the certificate with this fingerprint and no other, whatever name it has and whoever signed
/// it. `identity` is the own certificate and its key, in PEM.
///
/// # Errors
/// An own certificate or key that can not be used.
pub(super) fn config(pin: Fingerprint, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned { pin, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("the own certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the own key: {error}"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| format!("the own certificate: {error}"))
}

#[derive(Debug)]
struct Pinned {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found: Fingerprint = Sha256::digest(certificate).into();
        if found == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        // Only of a general error is the text shown to people as it is.
        let found = hex(&found);
        Err(Error::General(format!(
            "the peer's certificate is not the one that `tls.pinned_sha256` names, but {found}"
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        let plain = "00ff".repeat(16);
        let with_colons: String =
            plain.as_bytes().chunks(2).map(|b| format!("{}{}:", b[0] as char, b[1] as char)).collect();
        let wanted = read(&plain).expect("a fingerprint");
        assert_eq!(wanted[..2], [0, 255]);
        let openssl = format!("sha256 Fingerprint={}", with_colons.trim_end_matches(':').to_uppercase());
        assert_eq!(read(&openssl), Ok(wanted));
        for bad in ["", "00ff", &"zz".repeat(32), &"é".repeat(32)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_certificate_is_refused_with_its_own_fingerprint() {
        let pinned = Pinned { pin: [7; 32], provider: Arc::new(rustls::crypto::ring::default_provider()) };
        let name = ServerName::try_from("icinga").expect("a name");
        let found = pinned.verify_server_cert(
            &CertificateDer::from(vec![1]),
            &[],
            &name,
            &[],
            UnixTime::since_unix_epoch(std::time::Duration::ZERO),
        );
        let error = found.expect_err("another one").to_string();
        assert!(error.contains("4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"), "{error}");
        let right = Pinned { pin: Sha256::digest([1]).into(), ..pinned };
        assert!(
            right
                .verify_server_cert(
                    &CertificateDer::from(vec![1]),
                    &[],
                    &name,
                    &[],
                    UnixTime::since_unix_epoch(std::time::Duration::ZERO)
                )
                .is_ok()
        );
    }
}
