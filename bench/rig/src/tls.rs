//! TLS for the cells that have it on both sides: the same library, and the same certificate for everybody.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// PEM files; the certificate is trusted as it is.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

static BOTH: OnceLock<(TlsAcceptor, TlsConnector)> = OnceLock::new();

/// Speaks TLS from now on, where there is a pair. For a program's start.
///
/// # Errors
/// Files that hold no pair.
pub fn set(pair: Option<&Pair>) -> Result<(), String> {
    let Some(pair) = pair else { return Ok(()) };
    let both = configs(&pair.certificate, &pair.key).map_err(|e| format!("tls: {e}"))?;
    drop(BOTH.set(both));
    Ok(())
}

fn configs(certificate: &Path, key: &Path) -> io::Result<(TlsAcceptor, TlsConnector)> {
    let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(io::Error::other)?;
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(io::Error::other)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server).into(), Arc::new(client).into()))
}

/// A connection with or without TLS.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The server's side of a connection.
///
/// # Errors
/// A handshake that fails.
pub async fn accepted(stream: TcpStream) -> io::Result<Stream> {
    match BOTH.get() {
        None => Ok(Stream::Plain(stream)),
        Some((acceptor, _)) => Ok(Stream::Tls(Box::new(acceptor.accept(stream).await?.into()))),
    }
}

/// The client's side of a connection.
///
/// # Errors
/// A handshake that fails.
pub async fn connected(stream: TcpStream) -> io::Result<Stream> {
    let Some((_, connector)) = BOTH.get() else { return Ok(Stream::Plain(stream)) };
    let name = ServerName::from(stream.peer_addr()?.ip());
    Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?.into())))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
