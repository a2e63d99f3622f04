//! TLS of the service's own server: certificate and key from PEM files.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::raw::ServerTlsConfig;

/// The settings of a server with this certificate, for HTTP/2 and HTTP/1.1.
///
/// # Errors
/// A file that can not be read, or a key that does not fit the certificate; the message names the file.
pub fn server_config(tls: &ServerTlsConfig) -> Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_file_iter(&tls.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| format!("`{}` holds no certificates: {e}", tls.cert_file.display()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file)
        .map_err(|e| format!("`{}` holds no private key: {e}", tls.key_file.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("`{}` and `{}`: {e}", tls.cert_file.display(), tls.key_file.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
