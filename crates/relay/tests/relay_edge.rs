//! What the public edge refuses: heads, hosts, paths, credentials, bodies. Each refusal has a negative control.
mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use support::client::Client;
use support::provider::Provider;
use support::relay::{self, Zone};
use support::wait::SLOW;

#[test]
fn relay_process() {
    relay::process();
}

fn ask() -> Value {
    json!({"model": "dragoman", "messages": [{"role": "user", "content": "hello"}]})
}

/// Sends raw bytes on a connection of their own; gives the status, 0 when it was closed without one.
fn raw(zone: &Zone, bytes: &[u8]) -> (u16, String) {
    let mut client = zone.client();
    client.raw(bytes);
    client.read().map_or((0, String::new()), |a| (a.status, a.body))
}

#[test]
fn unclear_heads_are_refused() {
    let zone = Zone::start(&[], |_| {});
    let host = format!("127.0.0.1:{}", zone.port);
    let good = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n");
    assert_eq!(raw(&zone, good.as_bytes()).0, 200, "the negative control");
    let long = "a".repeat(9_000);
    let many = "x: 1\r\n".repeat(101);
    let huge = "a".repeat(33 * 1024);
    let cases: Vec<(String, u16)> = vec![
        (format!("GET /healthz HTTP/1.1\nhost: {host}\n\n"), 400),
        (format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nx: a\nb\r\n\r\n"), 400),
        (format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n x: folded\r\n\r\n"), 400),
        (format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n"), 400),
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\ncontent_length: 1\r\n\r\n"), 400),
        (
            format!(
                "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{{}}"
            ),
            400,
        ),
        (
            format!(
                "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
            ),
            400,
        ),
        (
            format!(
                "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n"
            ),
            400,
        ),
        (
            format!(
                "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: gzip, chunked\r\n\r\n"
            ),
            400,
        ),
        (format!("POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: +2\r\n\r\n{{}}"), 400),
        (format!("GET /{long} HTTP/1.1\r\nhost: {host}\r\n\r\n"), 414),
        (format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n{many}\r\n"), 431),
        (format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nx: {huge}\r\n\r\n"), 431),
        (format!("GET http://{host}/healthz HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        ("\u{0}\r\n\r\n".to_owned(), 400),
    ];
    for (bytes, status) in cases {
        let shown: String = bytes.chars().take(120).collect();
        let (got, body) = raw(&zone, bytes.as_bytes());
        assert_eq!(got, status, "{shown:?} {body}");
        assert!(body.contains("\"error\""), "{shown:?} {body}");
    }
}

#[test]
fn a_smuggled_second_request_is_not_seen() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let host = format!("127.0.0.1:{}", zone.port);
    let inner = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let heads = [
        format!(
            "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
            inner.len() + 5
        ),
        format!(
            "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n0;ext=1\r\n\r\n{inner}"
        ),
        format!(
            "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n0\n\r\n{inner}"
        ),
        format!(
            "POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}0\r\n\r\n{inner}"
        ),
    ];
    for head in heads {
        let mut client = zone.client();
        client.raw(head.as_bytes());
        client.stream.shutdown(std::net::Shutdown::Write).expect("shut");
        let mut all = String::new();
        client.stream.set_read_timeout(Some(SLOW)).expect("a timeout");
        drop(client.stream.read_to_string(&mut all));
        assert!(!all.contains("alive"), "{head:?} -> {all}");
        assert!(all.lines().filter(|l| l.starts_with("HTTP/1.1")).count() <= 1, "{head:?} -> {all}");
    }
}

#[test]
fn chunked_bodies_and_pipelined_requests_are_read_in_any_cut() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let body = ask().to_string();
    let (first, rest) = body.split_at(7);
    let chunked = format!("{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len());
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer k\r\n",
        zone.port
    );
    let request = format!("{head}transfer-encoding: chunked\r\n\r\n{chunked}");
    let next = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let bytes = format!("{request}{next}");
    for cut in [1, 7, 100, request.len(), request.len() + 3, bytes.len()] {
        let mut client = zone.client();
        for piece in bytes.as_bytes().chunks(cut) {
            client.raw(piece);
        }
        assert_eq!(client.read().expect("an answer").text(), "x", "cut {cut}");
        assert_eq!(client.read().expect("an answer").text(), "x", "cut {cut}");
    }
}

/// A body of which no byte comes has ten seconds, not the time of the largest body.
#[test]
fn a_body_that_never_begins_is_answered_408() {
    let zone = Zone::start(&[], |_| {});
    let mut client = zone.client();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer good\r\n\
         content-type: application/json\r\ncontent-length: 9000000\r\n\r\n",
        zone.port
    );
    client.raw(head.as_bytes());
    let answer = client.read().expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
}

/// Pages have the same bound on slow bodies as turns.
#[test]
fn an_upload_to_pages_that_stops_is_answered_408() {
    let zone = Zone::start(&[], |_| {});
    let (mut silent, mut stopped, mut slow) = (zone.client(), zone.client(), zone.client());
    let mut chunked = zone.client();
    for client in [&mut silent, &mut stopped, &mut slow] {
        let head = client.head("POST", "/ask", "", 100);
        client.raw(head.as_bytes());
    }
    let head =
        format!("POST /ask HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ntransfer-encoding: chunked\r\n\r\n", zone.port);
    chunked.raw(head.as_bytes());
    stopped.raw(b"q=1");
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(300));
        slow.raw(&[b'x'; 25]);
    }
    assert_eq!(slow.read().expect("an answer").status, 200, "the negative control");
    for client in [&mut silent, &mut stopped, &mut chunked] {
        let answer = client.read().expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
        let mut rest = Vec::new();
        assert_eq!(client.stream.read_to_end(&mut rest).expect("the end"), 0, "the connection is over");
    }
}

#[test]
fn the_models_are_listed_for_keys_of_that_scope() {
    let zone = Zone::start(&[], |_| {});
    let get = |path: &str| {
        let mut client = zone.client();
        client.send("GET", path, "authorization: Bearer k\r\n", "");
        client.read().expect("an answer")
    };
    if let Ok(who) = zone.control.0.principal.lock().unwrap().as_mut() {
        who["scopes"] = json!(["turns"]);
    }
    for path in ["/v1/models", "/v1/models/dragoman"] {
        let answer = get(path);
        assert_eq!((answer.status, answer.code().as_str()), (403, "insufficient_scope"), "{path}");
    }
    for path in ["/v1/interventions/int_local_1", "/v1/appeals", "/v1/appeals/apl_local_1"] {
        assert_eq!(get(path).status, 200, "one's own reasons and appeals need no scope: {path}");
    }
}

/// Whoever comes may sign up; what one sees of oneself needs a credential. No cookie or key goes on to control.
#[test]
fn signing_up_reaches_control_without_a_credential() {
    let zone = Zone::start(&[], |_| {});
    let ask = |method: &str, path: &str, fields: &str| {
        let mut client = zone.client();
        let body = if method == "GET" { "" } else { "{}" };
        client.send(method, path, &format!("{fields}content-type: application/json\r\n"), body);
        client.read().expect("an answer")
    };
    let key = "authorization: Bearer k\r\n";
    for path in ["/v1/signup/phone", "/v1/signup/verify"] {
        let bare = ask("POST", path, "dragoman-principal: prn_local_forged\r\n");
        assert_eq!(bare.status, 200, "{path}");
        assert!(!bare.body.contains("prn_local_forged"), "{bare:?}");
        let carried = ask("POST", path, "cookie: dragoman_session=a-cookie\r\n");
        assert!(carried.status == 200 && !carried.body.contains("a-cookie"), "{carried:?}");
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(ask(method, path, key).status, 405, "{method} {path}");
        }
        for near in [format!("{path}/"), format!("{path}/x"), path.to_uppercase()] {
            assert_eq!(ask("POST", &near, key).status, 404, "{near}");
        }
    }
    for (method, path) in [
        ("GET", "/v1/me/placement"),
        ("PUT", "/v1/me/placement"),
        ("DELETE", "/v1/me/sessions"),
        ("GET", "/v1/me/evidence"),
        ("POST", "/v1/me/evidence"),
        ("POST", "/v1/me/tokens"),
    ] {
        assert_eq!(ask(method, path, "").status, 401, "{method} {path} without a credential");
        assert_eq!(ask(method, path, key).status, 200, "{method} {path}");
        assert_eq!(ask("PATCH", path, key).status, 405, "{path}");
    }
    assert_eq!(ask("GET", "/v1/me", key).status, 404);
}

/// Appeals are control's, for whoever has a credential; what is near their paths is nobody's.
#[test]
fn appeals_reach_control_with_a_credential_alone() {
    let zone = Zone::start(&[], |_| {});
    let ask = |method: &str, path: &str, fields: &str| {
        let mut client = zone.client();
        let body = if method == "POST" { "{}" } else { "" };
        client.send(method, path, fields, body);
        client.read().expect("an answer").status
    };
    let key = "authorization: Bearer k\r\ncontent-type: application/json\r\n";
    assert_eq!(ask("POST", "/v1/appeals", key), 200);
    assert_eq!(ask("GET", "/v1/appeals/apl_local_1", key), 200);
    for (method, path) in
        [("POST", "/v1/appeals"), ("GET", "/v1/appeals"), ("GET", "/v1/appeals/apl_local_1")]
    {
        assert_eq!(ask(method, path, ""), 401, "{method} {path} without a credential");
    }
    for (method, path) in [("DELETE", "/v1/appeals"), ("POST", "/v1/appeals/apl_local_1")] {
        assert_eq!(ask(method, path, key), 405, "{method} {path}");
    }
    for path in ["/v1/appeals/", "/v1/appeals/a/b", "/v1/appeals/..", "/v1/Appeals", "/v1/%61ppeals"] {
        assert_eq!(ask("GET", path, key), 404, "{path}");
    }
}

/// Whatever an operator lists, a caller's credential goes to no provider.
#[test]
fn a_caller_s_own_fields_are_never_passed() {
    let config = |header: &str| {
        let mut document = json!({
            "v": 1, "zone": "local", "stage": "local", "listen": "127.0.0.1:1", "admin_listen": "127.0.0.1:2",
            "hosts": ["127.0.0.1:1"], "run": "/r", "journal": "/j", "lease_ms": 2000, "threads": 1,
            "public_url": "http://127.0.0.1:1", "session_cookie": "s",
            "providers": {"p": {"kind": "openai", "base_url": "https://h/v1", "headers": [header]}},
        });
        document["digest"] = dragoman_relay::record::digest_of(&document).into();
        dragoman_relay::config::Config::parse(document.to_string().as_bytes())
    };
    for header in [
        "Authorization",
        "x-api-key",
        "cookie",
        "dragoman-user-token",
        "content-length",
        "transfer-encoding",
        "x-forwarded-for",
        "host",
    ] {
        assert!(config(header).is_err(), "{header}");
    }
    assert!(config("openai-beta").is_ok(), "the negative control");
}

#[test]
fn a_head_that_never_ends_is_answered_408() {
    let zone = Zone::start(&[], |_| {});
    let mut client = zone.client();
    client.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n");
    let answer = client.read().expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
}

#[test]
fn foreign_hosts_and_forwarded_requests_are_421() {
    let zone = Zone::start(&[], |_| {});
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1", "a@127.0.0.1:1", ""] {
        let (status, body) = raw(&zone, format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes());
        assert_eq!(status, 421, "{host}: {body}");
    }
    for field in ["x-forwarded-for: 1.2.3.4", "forwarded: for=1.2.3.4", "x-real-ip: 1.2.3.4", "via: 1.1 x"] {
        let mut client = zone.client();
        client.send("GET", "/healthz", &format!("{field}\r\n"), "");
        let answer = client.read().expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (421, "forwarded_locally"), "{field}");
    }
}

#[test]
fn routes_of_the_sockets_inside_are_404_in_every_spelling() {
    let zone = Zone::start(&[], |_| {});
    let inside = [
        "principal",
        "plan",
        "changes",
        "rulesets/sha256:0",
        "interventions",
        "journal",
        "journal/cursor",
        "provider/v1/chat/completions",
        "turns",
        "turns/trn_1/outcome",
        "admin/v1/keys",
    ];
    let mut client = zone.client();
    let mut asked = 0;
    for name in inside {
        let encoded: String =
            name.bytes().map(|b| if b == b'/' { "/".into() } else { format!("%{b:02x}") }).collect();
        let twice = encoded.replace('%', "%25");
        let upper = name.to_ascii_uppercase();
        let spellings = [
            format!("/{name}"),
            format!("//{name}"),
            format!("/./{name}"),
            format!("/x/../{name}"),
            format!("/{encoded}"),
            format!("/{twice}"),
            format!("/%2e/{name}"),
            format!("/{upper}"),
            format!("/x/%2e%2e/{name}"),
            format!("/\\{name}"),
            format!("/%5c{name}"),
            format!("/{name}/"),
            format!("/{name}?x=1"),
            format!("/v1/../{name}"),
            format!("/v1/{name}x"),
        ];
        for path in spellings {
            for method in ["GET", "POST", "PUT", "DELETE", "HEAD"] {
                if method == "HEAD" {
                    continue;
                }
                client.send(method, &path, "authorization: Bearer k\r\ndragoman-principal: prn_x\r\n", "{}");
                if method == "GET" {
                    // A GET of this client has no length: its body would be the next request.
                    client = zone.client();
                    client.send("GET", &path, "authorization: Bearer k\r\n", "");
                }
                let answer = client.read().expect("an answer");
                assert!(matches!(answer.status, 400 | 404), "{method} {path}: {answer:?}");
                if answer.header("connection") == Some("close") {
                    client = zone.client();
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 500);
    assert_eq!(zone.control.asked("/plan"), 0);
    assert_eq!(zone.client().get("/anything-else").status, 200, "the negative control: pages answer");
}

#[test]
fn turns_are_matched_on_their_exact_path() {
    let zone = Zone::start(&[], |_| {});
    for path in [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/%63ompletions",
        "/V1/chat/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/",
        "/v1",
        "/v1/models/../chat/completions",
    ] {
        let answer = zone.client().post(path, &ask());
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
    let answer = zone.client().get("/v1/chat/completions");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(zone.client().chat(&ask()).status, 200, "the negative control");
}

fn with(zone: &Zone, fields: &str) -> (u16, String) {
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", fields, &ask().to_string());
    let answer = client.read().expect("an answer");
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status, code)
}

#[test]
fn one_credential_is_taken_and_two_are_refused() {
    let zone = Zone::start(&[], |_| {});
    let origin = format!("origin: http://127.0.0.1:{}\r\n", zone.port);
    let ok = (200, String::new());
    let cases = [
        ("", (401, "missing_credential")),
        ("authorization: Bearer k\r\nx-api-key: k\r\n", (400, "two_credentials")),
        ("authorization: Bearer k\r\nauthorization: Bearer k\r\n", (400, "two_credentials")),
        ("authorization: Bearer k\r\ncookie: dragoman_session=s\r\n", (400, "two_credentials")),
        ("cookie: dragoman_session=a; dragoman_session=b\r\n", (400, "two_credentials")),
        ("authorization: Basic eDp5\r\n", (401, "invalid_key")),
        ("authorization: k\r\n", (401, "invalid_key")),
        ("cookie: dragoman_session=s\r\n", (403, "cross_origin")),
        ("cookie: dragoman_session=s\r\norigin: http://evil.example\r\n", (403, "cross_origin")),
        ("cookie: dragoman_session=s\r\norigin: null\r\n", (403, "cross_origin")),
    ];
    for (fields, (status, code)) in cases {
        assert_eq!(with(&zone, fields), (status, code.to_owned()), "{fields}");
    }
    assert_eq!(zone.control.asked("/principal"), 0, "nothing of these was asked of control");
    assert_eq!(with(&zone, "authorization: Bearer k\r\n"), ok);
    assert_eq!(with(&zone, "x-api-key: k\r\n"), ok);
    assert_eq!(zone.control.asked("/principal"), 1, "both doors are one credential");
    assert_eq!(with(&zone, &format!("cookie: dragoman_session=k\r\n{origin}")), ok);
    assert_eq!(with(&zone, "authorization: Bearer k\r\ndragoman-user-token: t\r\n"), ok);
    assert_eq!(zone.control.asked("/principal"), 3, "a session and a user token are other credentials");
}

#[test]
fn refusals_of_control_are_passed_on_and_forgotten_after_a_second() {
    let zone = Zone::start(&[], |_| {});
    let good = zone.control.0.principal.lock().unwrap().clone();
    let refusal = json!({"error": {"type": "authentication_error", "code": "revoked_key", "param": null,
        "message": {"en": "Revoked.", "zh": "已撤销。"}}});
    *zone.control.0.principal.lock().unwrap() = Err((401, refusal));
    let mut client = zone.client();
    client.send(
        "POST",
        "/v1/chat/completions",
        "authorization: Bearer k\r\naccept-language: zh\r\n",
        &ask().to_string(),
    );
    let answer = client.read().expect("an answer");
    assert_eq!((answer.status, answer.json()["error"]["message"].as_str()), (401, Some("已撤销。")));
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(zone.client().chat(&ask()).status, 401);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("seconds");
    assert!(zone.control.asked("/principal") <= 3 + seconds, "a refusal is kept for a second");
    *zone.control.0.principal.lock().unwrap() = good;
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(zone.client().chat(&ask()).status, 200);
}

#[test]
fn bad_bodies_get_an_error_that_names_the_field() {
    let zone = Zone::start(&[], |_| {});
    let deep = format!("{{\"model\": \"m\", \"messages\": {}{}}}", "[".repeat(100), "]".repeat(100));
    let cases: Vec<(String, u16, &str)> = vec![
        ("{".into(), 400, "invalid_json"),
        (String::new(), 400, "invalid_json"),
        ("[]".into(), 400, "invalid_json"),
        (r#"{"model": "m"}"#.into(), 400, "missing_field"),
        (r#"{"model": "m", "messages": []}"#.into(), 400, "invalid_value"),
        (r#"{"model": 3, "messages": [{"role": "user", "content": "x"}]}"#.into(), 400, "invalid_type"),
        (
            r#"{"model": "m", "n": 0, "messages": [{"role": "user", "content": "x"}]}"#.into(),
            400,
            "invalid_value",
        ),
        (
            r#"{"model": "m", "n": 1000, "messages": [{"role": "user", "content": "x"}]}"#.into(),
            400,
            "invalid_value",
        ),
        (
            r#"{"model": "m", "temprature": 1, "messages": [{"role": "user", "content": "x"}]}"#.into(),
            400,
            "unknown_field",
        ),
        (deep, 400, ""),
    ];
    for (body, status, code) in cases {
        let mut client = zone.client();
        client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &body);
        let answer = client.read().expect("an answer");
        assert_eq!(answer.status, status, "{body:.80} {answer:?}");
        assert!(code.is_empty() || answer.code() == code, "{body:.80} {answer:?}");
        assert!(answer.json()["error"]["message"].as_str().is_some_and(|m| m.len() > 10));
    }
    let mut client = zone.client();
    let head = client.head("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", 11 * 1024 * 1024);
    client.raw(head.as_bytes());
    assert_eq!(client.read().expect("an answer").status, 413);
    let mut client = zone.client();
    let head = client.head("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", 2);
    client.raw(&[head.as_bytes(), b"\xff\xfe"].concat());
    assert_eq!(client.read().expect("an answer").code(), "invalid_json");
    for (field, status) in [("content-type: text/plain", 415), ("content-encoding: gzip", 415)] {
        assert_eq!(with(&zone, &format!("authorization: Bearer k\r\n{field}\r\n")).0, status);
    }
}

#[test]
fn pages_get_identity_from_us_and_never_from_outside() {
    let zone = Zone::start(&[], |_| {});
    let mut client = zone.client();
    let spoof = "dragoman-principal: prn_evil\r\ndragoman-tenant: ten_evil\r\nconnection: x-secret\r\nx-secret: 1\r\n";
    client.send("GET", "/some/page?q=1", spoof, "");
    let seen = client.read().expect("an answer").json();
    assert_eq!(seen["path"], "/some/page?q=1");
    assert_eq!(seen["headers"]["dragoman-principal"], Value::Null);
    assert_eq!(seen["headers"]["x-secret"], Value::Null);
    assert_eq!(seen["headers"]["dragoman-locale"], "en");
    let mut client = zone.client();
    client.send("GET", "/v1/models", &format!("authorization: Bearer k\r\n{spoof}"), "");
    let seen = client.read().expect("an answer").json();
    assert!(seen["headers"]["dragoman-principal"].as_str().is_some_and(|p| p.starts_with("prn_local_")));
    assert_eq!(seen["headers"]["authorization"], Value::Null, "the key stays here");
    assert_eq!(zone.client().get("/v1/models").status, 401);
    let upload = "x".repeat(3 * 1024 * 1024);
    let mut client = zone.client();
    client.send("POST", "/upload", "", &upload);
    assert_eq!(client.read().expect("an answer").json()["length"], upload.len());
}

#[test]
fn turn_sock_serves_turns_of_control_only() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let zone = Zone::start(&[], |_| {});
    let socket = std::fs::metadata(zone.dir.path().join("run/turn.sock")).expect("turn.sock");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let body = ask().to_string();
    let talk = |path: &str, fields: &str| {
        let mut stream = UnixStream::connect(zone.dir.path().join("run/turn.sock")).expect("turn.sock");
        stream.set_read_timeout(Some(SLOW)).expect("a timeout");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n{fields}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut all = String::new();
        stream.read_to_string(&mut all).expect("an answer");
        all
    };
    let who = "dragoman-principal: prn_local_1\r\ndragoman-channel: web\r\ndragoman-locale: zh\r\n\
               dragoman-address: {\"country\": null, \"kind\": \"unknown\"}\r\n";
    assert!(talk("/v1/chat/completions", who).contains("hello from ten_local_"));
    assert!(talk("/v1/chat/completions", "").starts_with("HTTP/1.1 401"));
    assert!(talk("/metrics", who).starts_with("HTTP/1.1 404"));
    let seen = zone.control.0.seen.lock().unwrap();
    let asked = seen.iter().find(|s| s.path == "/principal").expect("asked").json();
    assert_eq!(asked["credential"]["kind"], "socket");
    assert_eq!(asked["peer"], "socket");
}

#[test]
fn the_admin_listener_answers_loopback_names_only() {
    let zone = Zone::start(&[], |_| {});
    assert!(zone.metric("dragoman_contact") > 0.0);
    let mut admin = Client::open(zone.admin);
    admin.raw(b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n");
    assert_eq!(admin.read().expect("an answer").status, 421);
    assert_eq!(zone.client().get("/metrics").status, 404, "not on the public port");
}
