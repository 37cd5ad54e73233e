//! The address fact as control is asked with it: behind no proxy, a trusted one and an untrusted one; headers and
//! PROXY frames right, wrong and forged. It is right or `unknown`, and what is malformed is closed.
mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;
use support::client::Client;
use support::front;
use support::mmdb;
use support::provider::Provider;
use support::relay::{self, Zone};
use support::tls;
use support::wait::{eventually, within};

/// Where clients of these tests are: 127.0.0.1 is the trusted proxy, 127.0.0.2 nobody's.
const PROXY: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";

#[test]
fn relay_process() {
    relay::process();
}

fn networks() -> Vec<(&'static str, Value)> {
    vec![
        ("203.0.113.0/25", json!({"country": {"iso_code": "DE"}, "connection_type": "Cable/DSL"})),
        ("203.0.113.128/25", json!({"country": {"iso_code": "DE"}, "traits": {"is_anonymous_vpn": true}})),
        ("198.51.100.0/24", json!({"country_code": "sg", "is_hosting_provider": true})),
        ("192.0.2.0/24", json!({"country": "JP", "user_type": "cellular"})),
        ("127.0.0.2/32", json!({"country": {"iso_code": "FR"}, "is_tor_exit_node": true})),
        ("2001:db8::/32", json!({"country": {"iso_code": "KR"}, "user_type": "business"})),
    ]
}

/// A zone in stage public whose proxy is 127.0.0.1, and further ones 10.0.0.0/8.
fn zone(provider: &Provider, proxy_protocol: bool) -> (Zone, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("places.mmdb");
    std::fs::write(&file, mmdb::file(&networks())).expect("written");
    let zone = Zone::start(&[provider], |config| {
        tls::public(config, None);
        config["edge"]["trusted_proxies"] = json!(["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]);
        config["edge"]["proxy_protocol"] = json!(proxy_protocol);
        config["edge"]["address_files"] = json!([file]);
    });
    (zone, dir)
}

fn from(zone: &Zone, source: &str) -> TcpStream {
    from_to(source, zone.port)
}

fn from_to(source: &str, port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let source: IpAddr = source.parse().expect("an address");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("bound");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("connected");
    socket.into()
}

/// Asks with a model of its own, so that the question is asked of control; the status, and the address in it.
fn asked(zone: &Zone, source: &str, first: &[u8], fields: &str, model: &str) -> (u16, Option<Value>) {
    let mut stream = from(zone, source);
    drop(stream.write_all(first));
    over(zone, stream, fields, model)
}

/// The same over a connection.
fn over(zone: &Zone, stream: TcpStream, fields: &str, model: &str) -> (u16, Option<Value>) {
    let mut client = Client::over(stream, zone.port);
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]}).to_string();
    let head = client.head(
        "POST",
        "/v1/chat/completions",
        &format!("authorization: Bearer k1\r\n{fields}"),
        body.len(),
    );
    drop(client.stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()));
    let status = client.read().map_or(0, |answer| answer.status);
    let seen = zone.control.0.seen.lock().unwrap();
    let questions = seen.iter().filter(|s| s.path == "/plan").map(support::http::Seen::json);
    let address = questions.filter(|q| q["model"] == model).map(|q| q["address"].clone()).next_back();
    (status, address)
}

fn fact(country: &str, kind: &str) -> Value {
    let country = if country.is_empty() { Value::Null } else { country.into() };
    json!({"country": country, "kind": kind, "peer": "remote"})
}

#[test]
fn forwarded_headers_count_from_a_trusted_proxy_alone() {
    let provider = Provider::start("x");
    let (zone, _dir) = zone(&provider, false);
    let many = "x-forwarded-for: ".to_owned() + &["10.0.0.1"; 40].join(", ") + "\r\n";
    let unknown = || fact("", "unknown");
    let cases: Vec<(&str, Value)> = vec![
        ("x-forwarded-for: 203.0.113.9\r\n", fact("DE", "residential")),
        ("X-Forwarded-For:203.0.113.200 \r\n", fact("DE", "vpn")),
        ("x-forwarded-for: 203.0.113.9:4711\r\n", fact("DE", "residential")),
        ("x-forwarded-for: 2001:db8::1\r\n", fact("KR", "unknown")),
        ("x-forwarded-for: [2001:db8::1]\r\n", fact("KR", "unknown")),
        ("x-forwarded-for: [2001:db8::1]:443\r\n", fact("KR", "unknown")),
        ("x-forwarded-for: ::ffff:198.51.100.7\r\n", fact("SG", "hosting")),
        // The caller wrote what stands left of what the proxy added.
        ("x-forwarded-for: 203.0.113.9, 192.0.2.1\r\n", fact("JP", "mobile")),
        ("x-forwarded-for: 203.0.113.9\r\nx-forwarded-for: 192.0.2.1\r\n", fact("JP", "mobile")),
        ("x-forwarded-for: 203.0.113.9, 10.1.2.3\r\n", fact("DE", "residential")),
        ("x-forwarded-for: 203.0.113.9, 10.1.2.3, fd00::1\r\n", fact("DE", "residential")),
        ("x-forwarded-for: rubbish, 203.0.113.9\r\n", fact("DE", "residential")),
        ("x-forwarded-for: 203.0.113.9, 8.8.8.8\r\n", unknown()),
        // Unclear.
        ("", unknown()),
        ("x-forwarded-for:\r\n", unknown()),
        ("x-forwarded-for: unknown\r\n", unknown()),
        ("x-forwarded-for: 203.0.113.9, \r\n", unknown()),
        ("x-forwarded-for: 203.0.113.9, rubbish\r\n", unknown()),
        ("x-forwarded-for: 203.0.113.9, 10.0.0.1 evil\r\n", unknown()),
        ("x-forwarded-for: 203.0.113.009\r\n", unknown()),
        ("x-forwarded-for: 3405803785\r\n", unknown()),
        ("x-forwarded-for: 0xcb.0.113.9\r\n", unknown()),
        ("x-forwarded-for: fe80::1%eth0\r\n", unknown()),
        ("x-forwarded-for: 10.0.0.1\r\n", unknown()),
        ("x-forwarded-for: 0.0.0.0\r\n", unknown()),
        ("x-forwarded-for: \u{80}203.0.113.9\r\n", unknown()),
        (many.as_str(), unknown()),
        ("forwarded: for=203.0.113.9\r\n", unknown()),
        ("x-forwarded-for: 203.0.113.9\r\nforwarded: for=192.0.2.1\r\n", unknown()),
        ("x-real-ip: 203.0.113.9\r\n", unknown()),
        ("x-forwarded-for: 203.0.113.9\r\nx-real-ip: 192.0.2.1\r\n", fact("DE", "residential")),
        (
            "x-forwarded-for: 203.0.113.9\r\ndragoman-address: {\"country\":\"SG\"}\r\n",
            fact("DE", "residential"),
        ),
        ("x-forwarded-for: 203.0.113.9\r\nconnection: x-forwarded-for\r\n", fact("DE", "residential")),
    ];
    for (n, (fields, is)) in cases.iter().enumerate() {
        let got = asked(&zone, PROXY, b"", fields, &format!("proxied-{n}"));
        assert_eq!(got, (200, Some(is.clone())), "{fields:?}");
    }
    // From a stranger of this machine they are refused; without them its own address is the fact.
    assert_eq!(asked(&zone, STRANGER, b"", "", "stranger").1, Some(fact("FR", "tor")));
    assert_eq!(asked(&zone, STRANGER, b"", "x-forwarded-for: 203.0.113.9\r\n", "forged"), (421, None));
    assert_eq!(asked(&zone, STRANGER, b"", "dragoman-address: {}\r\n", "ours").1, Some(fact("FR", "tor")));
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("small").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn v4(client: [u8; 4], tlvs: &[u8]) -> Vec<u8> {
    header(0x21, 0x11, &[&client[..], &[127, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb], tlvs].concat())
}

fn v6(client: &str) -> Vec<u8> {
    let IpAddr::V6(client) = client.parse().expect("an address") else { panic!("IPv6") };
    header(0x21, 0x21, &[&client.octets()[..], &[0; 20]].concat())
}

/// A header with a checksum; `wrong` changes it.
fn summed(client: [u8; 4], wrong: u32) -> Vec<u8> {
    let mut header = v4(client, &[0x04, 0, 2, 0, 0, 0x03, 0, 4, 0, 0, 0, 0]);
    let at = header.len() - 4;
    let sum = crc32c::crc32c(&header) ^ wrong;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

#[test]
fn proxy_headers_count_from_a_trusted_proxy_and_are_plain_or_closed() {
    let provider = Provider::start("x");
    let (zone, _dir) = zone(&provider, true);
    let german = [203, 0, 113, 9];
    let forged = "x-forwarded-for: 192.0.2.1\r\n";
    let unix = [&[b'/'; 216][..], &[]].concat();
    let good: Vec<(&str, Vec<u8>, &str, Value)> = vec![
        ("IPv4", v4(german, &[]), "", fact("DE", "residential")),
        ("IPv6", v6("2001:db8::1"), "", fact("KR", "unknown")),
        ("IPv4 as IPv6", v6("::ffff:198.51.100.7"), "", fact("SG", "hosting")),
        ("with TLVs", v4(german, &[0x05, 0, 3, 1, 2, 3]), "", fact("DE", "residential")),
        ("with a checksum", summed(german, 0), "", fact("DE", "residential")),
        ("a forged header behind it", v4(german, &[]), forged, fact("DE", "residential")),
        ("a proxy before the proxy", v4([10, 0, 0, 9], &[]), forged, fact("JP", "mobile")),
        ("a proxy that says nothing", v4([10, 0, 0, 9], &[]), "", fact("", "unknown")),
        ("the proxy itself", header(0x20, 0, &[]), forged, fact("", "unknown")),
        ("the proxy itself, with an address", header(0x20, 0x11, &[1; 12]), "", fact("", "unknown")),
        ("no family", header(0x21, 0, &[]), forged, fact("", "unknown")),
        ("no family, with rubbish", header(0x21, 0, b"abc"), "", fact("", "unknown")),
        ("a Unix socket", header(0x21, 0x31, &unix), "", fact("", "unknown")),
        ("no address", v4([0; 4], &[]), "", fact("", "unknown")),
        ("a multicast address", v4([224, 0, 0, 1], &[]), "", fact("", "unknown")),
    ];
    for (n, (what, bytes, fields, is)) in good.iter().enumerate() {
        let got = asked(&zone, PROXY, bytes, fields, &format!("plain-{n}"));
        assert_eq!(got, (200, Some(is.clone())), "{what}");
    }
    let mut long = header(0x21, 0, &[0; 100]);
    long[14..16].copy_from_slice(&[0xff, 0xff]);
    let twice = [v4(german, &[]), v4([192, 0, 2, 1], &[])].concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("none", Vec::new()),
        ("version 1", b"PROXY TCP4 203.0.113.9 127.0.0.1 4660 443\r\n".to_vec()),
        ("version 3", header(0x31, 0x11, &v4(german, &[])[16..])),
        ("another command", header(0x22, 0x11, &v4(german, &[])[16..])),
        ("another family", header(0x21, 0x41, &[0; 12])),
        ("datagrams", header(0x21, 0x12, &v4(german, &[])[16..])),
        ("too short for its family", header(0x21, 0x11, &[203, 0, 113, 9])),
        ("too short for IPv6", header(0x21, 0x21, &[0; 12])),
        ("longer than allowed", long),
        ("half a TLV", v4(german, &[0x04, 0])),
        ("a TLV beyond the header", v4(german, &[0x04, 0, 9, 0])),
        ("a wrong checksum", summed(german, 1)),
        ("a short checksum", v4(german, &[0x03, 0, 2, 0, 0])),
        ("a changed signature", [b"\r\n\r\n\0\r\nQUIX\n".as_slice(), &v4(german, &[])[12..]].concat()),
        ("two headers", twice),
    ];
    for (n, (what, bytes)) in bad.iter().enumerate() {
        let (status, address) = asked(&zone, PROXY, bytes, "", &format!("bad-{n}"));
        assert!(status == 0 || (status == 400 && *what == "two headers"), "{what}: {status}");
        assert_eq!(address, None, "{what}");
    }
    assert_eq!(asked(&zone, STRANGER, &v4(german, &[]), "", "forged"), (0, None), "a stranger's header");
    assert_eq!(asked(&zone, STRANGER, b"", "", "stranger"), (0, None), "and a stranger without one");
    assert_eq!(provider.calls(), good.len());
}

type Start = fn(&std::path::Path, u16, u16) -> front::Front;

/// The programs themselves, set up as docs/edge.md says: a forged header through them changes nothing.
#[test]
fn nginx_and_haproxy_say_where_a_client_is() {
    let provider = Provider::start("x");
    let forged = "x-forwarded-for: 203.0.113.9\r\nforwarded: for=203.0.113.9\r\n";
    let port = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let fronts: [(&str, Start, bool); 3] = [
        ("nginx", front::nginx, false),
        ("haproxy", front::haproxy, false),
        ("haproxy", front::haproxy_tcp, true),
    ];
    for (name, start, proxy_protocol) in fronts {
        let Some(program) = front::program(name) else { continue };
        let (zone, _dir) = zone(&provider, proxy_protocol);
        let front = start(&program, port(), zone.port);
        for (n, fields) in ["", forged].iter().enumerate() {
            let got = over(&zone, from_to(STRANGER, front.port), fields, &format!("{name}-{n}"));
            assert_eq!(got, (200, Some(fact("FR", "tor"))), "{name} {proxy_protocol} {fields:?}");
        }
    }
}

#[test]
fn a_header_where_none_is_expected_is_refused() {
    let provider = Provider::start("x");
    let (zone, _dir) = zone(&provider, false);
    let header = v4([203, 0, 113, 9], &[]);
    assert_eq!(asked(&zone, PROXY, &header, "", "unasked"), (400, None));
    assert_eq!(asked(&zone, STRANGER, &header, "", "unasked"), (400, None));
    assert_eq!(provider.calls(), 0);
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for_for_long() {
    let provider = Provider::start("x");
    let (zone, _dir) = zone(&provider, true);
    let begun = Instant::now();
    let mut client = Client::over(from(&zone, PROXY), zone.port);
    client.raw(&SIGNATURE[..5]);
    assert!(client.read_head().is_err());
    assert!(begun.elapsed() < within(12_000));
}

/// Files that change, break and go: the fact follows, and is `unknown` while one is missing.
#[test]
fn address_files_are_followed() {
    let provider = Provider::start("x");
    let (mut zone, dir) = zone(&provider, false);
    let file = dir.path().join("places.mmdb");
    let fields = "x-forwarded-for: 203.0.113.9\r\n";
    let mut n = 0;
    let mut now = |zone: &Zone| {
        n += 1;
        asked(zone, PROXY, b"", fields, &format!("file-{n}")).1.expect("a question")
    };
    assert_eq!(now(&zone), fact("DE", "residential"));
    let next = dir.path().join("next");
    let other = [("203.0.113.0/24", json!({"country": {"iso_code": "AT"}, "hosting": true}))];
    std::fs::write(&next, mmdb::file(&other)).expect("written");
    std::fs::rename(&next, &file).expect("renamed");
    eventually("the new file counts", || now(&zone) == fact("AT", "hosting"));
    std::fs::write(&file, b"no MMDB").expect("written");
    eventually("it is told", || zone.log().contains("the new address files are not used"));
    assert_eq!(now(&zone), fact("AT", "hosting"));
    std::fs::remove_file(&file).expect("removed");
    eventually("what is gone does not count", || now(&zone) == fact("", "unknown"));
    assert!(zone.log().contains("an address file is gone"));
    zone.signal(libc::SIGTERM);
    assert_eq!(zone.wait(), 0);
    zone.run();
    assert_eq!(now(&zone), fact("", "unknown"));
    assert!(zone.log().contains("address files cannot be read"));
    // Two files that disagree are unclear.
    std::fs::write(&file, mmdb::file(&networks())).expect("written");
    let second = dir.path().join("second.mmdb");
    std::fs::write(&second, mmdb::file(&other)).expect("written");
    zone.config["edge"]["address_files"] = json!([file, second]);
    zone.write_config();
    eventually("both are asked", || now(&zone) == fact("", "hosting"));
}

/// Behind a proxy each client has its own bound, the proxy none; a stranger's connections are counted.
#[test]
fn one_address_has_two_hundred_at_once() {
    let provider = Provider::start("x");
    let (zone, _dir) = zone(&provider, false);
    provider.play(|_| vec![support::provider::Step::Hang]);
    let body = json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    let open = |address: &str| {
        let mut client = Client::over(from(&zone, PROXY), zone.port);
        let fields = format!("authorization: Bearer k1\r\nx-forwarded-for: {address}\r\n");
        let head = client.head("POST", "/v1/chat/completions", &fields, body.len());
        client.raw(&[head.as_bytes(), body.as_bytes()].concat());
        client
    };
    let one: Vec<Client> = (0..200).map(|_| open("203.0.113.9")).collect();
    eventually("all are open", || zone.metric("dragoman_open_turns ") >= 200.0);
    let refused = open("203.0.113.9").read().expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_open"));
    let other = open("203.0.113.10");
    eventually("another client of the proxy is served", || zone.metric("dragoman_open_turns ") >= 201.0);
    drop((one, other));
    eventually("what is closed is not counted", || zone.metric("dragoman_open_turns ") < 1.0);
    let strangers: Vec<TcpStream> = (0..200).map(|_| from(&zone, STRANGER)).collect();
    let mut late = Client::over(from(&zone, STRANGER), zone.port);
    drop(late.stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n"));
    assert!(late.read_head().is_err(), "closed");
    drop(strangers);
    eventually("and is served again later", || {
        let mut client = Client::over(from(&zone, STRANGER), zone.port);
        drop(client.stream.write_all(client.head("GET", "/healthz", "", 0).as_bytes()));
        client.read().is_ok_and(|answer| answer.status == 200)
    });
}
