//! Certificates between Watchbell and a server, as Zabbix's own programs use them: TLS from the first byte on.
//!
//! Zabbix checks that a certificate comes from the CA and never looks at the name of the machine, so its certificates
//! often name none. That is done here too, unless a name to look for is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::Problems;

/// Encryption with certificates, `TLSConnect=cert` of Zabbix. Pre-shared keys (`TLSPSK...`) are not supported.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrapperTls {
    /// PEM certificates of the authority that signed the server's certificate: Zabbix's `TLSCAFile`.
    #[schemars(extend("format" = "path"))]
    pub ca_file: PathBuf,
    /// PEM certificate shown to the server: `TLSCertFile`.
    #[schemars(extend("format" = "path"))]
    pub cert_file: PathBuf,
    /// PEM key of `cert_file`: `TLSKeyFile`.
    #[schemars(extend("format" = "path"))]
    pub key_file: PathBuf,
    /// A DNS name that the server's certificate must have. Without it any certificate of that authority will do, as for
    /// Zabbix itself.
    pub server_name: Option<String>,
    /// Not supported, here to say so: the TLS library has no pre-shared keys. Use certificates.
    pub psk_identity: Option<String>,
    /// Not supported, see `psk_identity`.
    #[schemars(extend("format" = "path"))]
    pub psk_file: Option<PathBuf>,
}

/// What a connection needs.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl TrapperTls {
    /// Reads the files; problems are noted under `tls`.
    pub(crate) fn check(&self, problems: &mut Problems) -> Option<Tls> {
        let mut part = Problems::default();
        if self.psk_identity.is_some() || self.psk_file.is_some() {
            let hint = "give Watchbell a certificate (`cert_file`, `key_file`), and allow certificates for these hosts in Zabbix";
            part.hint("psk_identity", "pre-shared keys are not supported", hint);
        }
        let tls = self.build(&mut part);
        problems.within("tls", part);
        tls
    }

    fn build(&self, problems: &mut Problems) -> Option<Tls> {
        let authority = problems.take("ca_file", certificates(&self.ca_file));
        let chain = problems.take("cert_file", certificates(&self.cert_file));
        let key = PrivateKeyDer::from_pem_file(&self.key_file)
            .map_err(|error| format!("can not read a key from `{}`: {error}", self.key_file.display()));
        let key = problems.take("key_file", key);
        // A stand-in where no name is looked for: the protocol wants one.
        let name = self.server_name.clone().unwrap_or_else(|| "zabbix".to_owned());
        let name = problems.take("server_name", ServerName::try_from(name));
        let (authority, chain, key, name) = (authority?, chain?, key?, name?);
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            problems.take("ca_file", roots.add(certificate))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = problems.take("", builder)?;
        let config = if self.server_name.is_some() {
            builder.with_root_certificates(roots).with_client_auth_cert(chain, key)
        } else {
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::clone(&provider));
            let inner = problems.take("ca_file", inner.build())?;
            let verifier = Arc::new(AnyName { inner, roots, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_client_auth_cert(chain, key)
        };
        let config = config.map_err(|error| match error.to_string() {
            text if text.contains("UnsupportedCertVersion") => {
                format!("`{}` is a certificate of X.509 version 1; make one of version 3", self.cert_file.display())
            }
            text => text,
        });
        Some(Tls { config: Arc::new(problems.take("cert_file", config)?), name })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error| format!("can not read certificates from `{}`: {error}", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() { Err(format!("no certificate in `{}`", path.display())) } else { Ok(certificates) }
}

/// Takes every certificate that the authority signed.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
