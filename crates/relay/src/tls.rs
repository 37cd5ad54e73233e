//! The server side of TLS: ring, TLS 1.2 and 1.3, the operator's certificate. A changed pair is exchanged for
//! new connections when it is whole and fits; a broken one leaves the old. No key is ever printed.
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// ALPN names, the preferred first.
pub const H2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Where the pair is: PEM, the certificate's chain after it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why a pair is not used. Names files, never what is in them.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// Gives every connection the pair of the moment.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The listener's TLS.
pub struct Tls {
    pub config: Arc<ServerConfig>,
    current: Arc<Current>,
}

impl Tls {
    /// # Errors
    /// A pair that cannot be used: a listener does not start with it.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(pair(files)?)));
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|e| TlsError(format!("TLS: {e}")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1.to_vec()];
        Ok(Self { config: Arc::new(config), current })
    }

    /// Takes the pair anew for connections to come.
    ///
    /// # Errors
    /// The old pair stays.
    pub fn exchange(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.current.0.store(Arc::new(pair(files)?));
        Ok(())
    }
}

fn pair(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &Path, why: &dyn fmt::Display| TlsError(format!("{}: {why}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(&files.certificate, &e))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, &"holds no certificate in PEM"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|_| wrong(&files.key, &"holds no private key in PEM"))?;
    let key = ring::sign::any_supported_type(&key)
        .map_err(|_| wrong(&files.key, &"a key of a kind that TLS does not use"))?;
    let pair = CertifiedKey::new(chain, key);
    pair.keys_match().map_err(|_| wrong(&files.key, &"not the key of the certificate"))?;
    Ok(pair)
}
