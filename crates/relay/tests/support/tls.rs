//! Certificates of tests, and a blocking client that speaks TLS with exactly the bytes a test writes.
use super::wait::SLOW;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A pair of files for 127.0.0.1.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub der: CertificateDer<'static>,
}

/// Writes a new pair over the files of that name in `dir`.
pub fn pair(dir: &Path) -> Pair {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.expect("a certificate");
    let (certificate, key) = (dir.join("chain.pem"), dir.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    Pair { certificate, key, der: made.cert.der().clone() }
}

/// Sets a zone's configuration to the stage public, with TLS where there is a pair.
pub fn public(config: &mut Value, pair: Option<&Pair>) {
    config["stage"] = json!("public");
    // A busy machine is no reason to answer otherwise.
    config["lease_ms"] = json!(30_000);
    if let Some(provider) = config["providers"].get_mut("p0") {
        provider["deadlines_ms"]["first_byte"] = json!(60_000);
        provider["deadlines_ms"]["idle"] = json!(60_000);
        provider["deadlines_ms"]["total"] = json!(60_000);
    }
    config["edge"] =
        json!({"tls": null, "trusted_proxies": [], "proxy_protocol": false, "address_files": []});
    let port = config["listen"].as_str().unwrap_or("").rsplit(':').next().unwrap_or("").to_owned();
    if let Some(pair) = pair {
        config["edge"]["tls"] = json!({"certificate": pair.certificate, "key": pair.key});
        config["public_url"] = json!(format!("https://127.0.0.1:{port}"));
    }
}

/// Connects and shakes hands; the protocol that was agreed stands in the connection.
pub fn connect(port: u16, trusted: &CertificateDer<'static>, alpn: &[&[u8]]) -> io::Result<Tls> {
    connect_any(port, std::slice::from_ref(trusted), alpn)
}

/// The same, trusting each of `trusted`.
pub fn connect_any(port: u16, trusted: &[CertificateDer<'static>], alpn: &[&[u8]]) -> io::Result<Tls> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SLOW))?;
    over(stream, trusted, alpn)
}

/// Shakes hands over a connection.
pub fn over(stream: TcpStream, trusted: &[CertificateDer<'static>], alpn: &[&[u8]]) -> io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    for one in trusted {
        roots.add(one.clone()).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// Sends a request of HTTP/1.1 that closes, and reads all there is: the status and everything after the head.
pub fn ask(mut tls: Tls, request: &str) -> io::Result<(u16, String)> {
    tls.write_all(request.as_bytes())?;
    let mut all = Vec::new();
    match tls.read_to_end(&mut all) {
        // Closing without a goodbye is not our matter here: lengths are.
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(e),
        _ => {}
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, text))
}
