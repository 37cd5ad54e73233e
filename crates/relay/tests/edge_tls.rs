//! The listener with TLS: protocols by ALPN, the certificate exchanged under load, broken pairs, plain bytes.
mod support;

use rustls::pki_types::CertificateDer;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::h2::{End, H2};
use support::provider::Provider;
use support::relay::{self, Zone};
use support::tls::{self, Pair};
use support::wait::eventually;

#[test]
fn relay_process() {
    relay::process();
}

fn started(provider: &Provider) -> (Zone, Pair, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = tls::pair(dir.path());
    let zone = Zone::start(&[provider], |config| tls::public(config, Some(&pair)));
    (zone, pair, dir)
}

fn turn(port: u16) -> String {
    let body = json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer k1\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn served(port: u16, trusted: &CertificateDer<'static>) -> bool {
    tls::connect(port, trusted, &[b"http/1.1"]).is_ok()
}

#[test]
fn both_versions_answer_over_tls_and_say_that_it_stays_tls() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    let tls = tls::connect(zone.port, &pair.der, &[b"http/1.1"]).expect("a handshake");
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (status, text) = tls::ask(tls, &turn(zone.port)).expect("an answer");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("strict-transport-security: max-age=31536000"), "{text}");
    let without = tls::connect(zone.port, &pair.der, &[]).expect("a handshake");
    assert_eq!(tls::ask(without, &turn(zone.port)).expect("an answer").0, 200, "HTTP/1.1 without ALPN");
    let both = tls::connect(zone.port, &pair.der, &[b"http/1.1", b"h2"]).expect("a handshake");
    assert_eq!(both.conn.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is preferred");
    assert!(tls::connect(zone.port, &pair.der, &[b"spdy/3"]).is_err(), "no protocol in common");
    let mut h2 = H2::open(zone.port, &pair.der);
    h2.chat(1, &json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]}));
    let End::Answer(200, body) = h2.end(1) else { panic!("no answer over HTTP/2") };
    assert!(body.contains("\"x\""), "{body}");
    assert_eq!(provider.calls(), 3);
}

#[test]
fn plain_bytes_on_the_port_of_tls_are_not_answered() {
    let provider = Provider::start("x");
    let (zone, pair, _dir) = started(&provider);
    for bytes in [&b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"[..], support::h2::PREFACE] {
        let mut client = zone.client();
        client.raw(bytes);
        assert!(client.read_head().map_or(0, |a| a.status) < 100, "{bytes:?}");
    }
    assert!(served(zone.port, &pair.der), "the negative control");
    eventually("the closed connections are counted", || {
        zone.metric("dragoman_connections_unclear_total ") >= 2.0
    });
}

/// Clients that never stop, while the pair is exchanged several times: no request fails, and running
/// connections live on.
#[test]
fn a_certificate_is_exchanged_under_load_without_one_failed_request() {
    let provider = Provider::start("x");
    let (zone, first, dir) = started(&provider);
    let mut old = H2::open(zone.port, &first.der);
    old.get(1, "/healthz");
    assert_eq!(old.end(1), End::Answer(200, "alive\n".into()));
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let next: Vec<Pair> = folders.iter().map(|folder| tls::pair(folder.path())).collect();
    let trusted: Vec<_> = next.iter().chain([&first]).map(|pair| pair.der.clone()).collect();
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let port = zone.port;
    let loads: Vec<_> = (0..2)
        .map(|_| {
            let (trusted, done, asked) = (trusted.clone(), Arc::clone(&done), Arc::clone(&asked));
            std::thread::spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let tls = tls::connect_any(port, &trusted, &[]).expect("a pair is served at any time");
                    assert_eq!(tls::ask(tls, &turn(port)).expect("an answer").0, 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for pair in &next {
        std::fs::copy(&pair.certificate, dir.path().join("chain.pem")).expect("copied");
        std::fs::copy(&pair.key, dir.path().join("key.pem")).expect("copied");
        eventually("the new pair is served", || served(port, &pair.der));
        let before = asked.load(Ordering::SeqCst);
        eventually("requests go on", || asked.load(Ordering::SeqCst) > before + 3);
    }
    done.store(true, Ordering::SeqCst);
    for load in loads {
        load.join().expect("no request failed");
    }
    old.get(3, "/healthz");
    assert_eq!(old.end(3), End::Answer(200, "alive\n".into()), "a running connection lives on");
    assert!(!served(port, &first.der), "the first pair is not served any more");
}

#[test]
fn a_broken_pair_leaves_the_old_one_and_keeps_a_new_relay_shut() {
    let provider = Provider::start("x");
    let (mut zone, pair, dir) = started(&provider);
    let other = tempfile::tempdir().expect("a folder");
    let stranger = tls::pair(other.path());
    std::fs::copy(&stranger.key, dir.path().join("key.pem")).expect("another's key");
    eventually("the log says why", || zone.log().contains("the new certificate is not used"));
    assert!(served(zone.port, &pair.der), "the old pair is still served");
    assert!(!zone.log().contains("PRIVATE KEY"));
    std::fs::remove_file(dir.path().join("chain.pem")).expect("removed");
    eventually("a missing file is told as well", || {
        zone.log().matches("certificate is not used").count() >= 2
    });
    assert!(served(zone.port, &pair.der));
    zone.signal(libc::SIGTERM);
    assert_eq!(zone.wait(), 0);
    zone.spawn();
    assert_eq!(zone.wait(), 2, "without its pair a relay does not start");
}
