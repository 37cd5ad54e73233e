//! Broken providers, lost contact, changes, clients that leave: each hurts only its own turn, is recorded, and
//! lets nothing out that was not recorded first.
mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::client::Answer;
use support::control::Control;
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::wait::{eventually, within};

#[test]
fn relay_process() {
    relay::process();
}

/// What a case does to a good plan.
type Change = fn(&mut Value);

fn ask(stream: bool) -> Value {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

fn slow() -> Provider {
    let pieces: Vec<String> = (0..4_000).map(|n| format!("w{n} ")).collect();
    Provider::scripted(move |_| {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        provider::stream(&pieces, 25)
    })
}

#[test]
fn the_second_provider_takes_over_before_any_byte_and_not_after() {
    let first = Provider::start("first");
    let second = Provider::start("second");
    let zone = Zone::start(&[&first, &second], |c| {
        c["providers"]["p0"]["deadlines_ms"] = json!({"connect": 5000, "first_byte": 2000, "idle": 2000});
    });
    let half: Vec<Step> = provider::stream(&["half", "way"], 0).into_iter().take(3).collect();
    let scripts: Vec<Vec<Step>> = vec![
        vec![Step::Reset],
        vec![Step::Hang],
        provider::answer(500, "text/plain", "no"),
        provider::answer(429, "text/plain", "no"),
        provider::answer(302, "text/plain", "no"),
        provider::answer(200, "text/html", "<html>not an answer</html>"),
        provider::answer(200, "application/json", "{\"half\": "),
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc".to_vec())],
        vec![Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec())],
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())],
    ];
    for stream in [false, true] {
        for script in &scripts {
            let script = script.clone();
            first.play(move |_| script.clone());
            let answer = zone.client().chat(&ask(stream));
            assert_eq!((answer.status, answer.text().as_str()), (200, "second"), "{stream} {answer:?}");
        }
    }
    let calls = second.calls();
    for last in [Step::Reset, Step::Hang] {
        let mut script = half.clone();
        script.push(Step::Sleep(100));
        script.push(last);
        first.play(move |_| script.clone());
        let answer = zone.client().chat(&ask(true));
        assert!(!answer.is_complete(), "{answer:?}");
        assert_eq!(answer.text(), "half", "what was delivered stays, and no other answer is mixed in");
        assert!(answer.events().last().expect("an event")["error"]["code"].is_string(), "{answer:?}");
    }
    assert_eq!(second.calls(), calls, "after the first byte nobody takes over");
    let failed = zone.control.fed("result", 22);
    assert_eq!(failed.iter().filter(|e| e["status"] == "failed").count(), 2);
    assert_eq!(failed[0]["attempt"], 1);
}

#[test]
fn every_cut_of_a_recorded_stream_ends_only_its_own_turn() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let whole: Vec<u8> = provider::stream(&["你好", " \"quoted\" ", "end"], 0)
        .into_iter()
        .flat_map(|s| if let Step::Send(b) = s { b } else { Vec::new() })
        .collect();
    let mut complete = 0;
    for cut in (0..=whole.len()).step_by(3) {
        let (bytes, all) = (whole[..cut].to_vec(), cut == whole.len());
        let tail = if all { Vec::new() } else { vec![Step::Reset] };
        provider.play(move |_| [vec![Step::Send(bytes.clone())], tail.clone()].concat());
        let answer = zone.client().chat(&ask(true));
        if answer.status == 200 && answer.is_complete() {
            complete += 1;
            assert!(answer.whole && answer.text() == "你好 \"quoted\" end", "cut {cut}: {answer:?}");
        } else if answer.status == 200 {
            assert!(
                answer.events().last().expect("one")["error"]["code"].is_string(),
                "cut {cut}: {answer:?}"
            );
            assert!("你好 \"quoted\" end".starts_with(&answer.text()), "cut {cut}");
        } else {
            assert_eq!(answer.status, 502, "cut {cut}: {answer:?}");
        }
    }
    assert!(complete < 40, "only cuts behind the last finish reason are complete: {complete}");
    provider.play(|_| provider::stream(&["fine"], 0));
    assert_eq!(zone.client().chat(&ask(true)).text(), "fine", "the relay is unhurt");
    assert!(zone.metric("dragoman_panics_total") < 1.0);
}

#[test]
fn one_byte_at_a_time_gives_the_same_answer() {
    let provider = Provider::scripted(|_| {
        let whole: Vec<u8> = provider::stream(&["你好", "ok"], 0)
            .into_iter()
            .flat_map(|s| if let Step::Send(b) = s { b } else { Vec::new() })
            .collect();
        whole.iter().map(|b| Step::Send(vec![*b])).collect()
    });
    let zone = Zone::start(&[&provider], |_| {});
    let answer = zone.client().chat(&ask(true));
    assert_eq!((answer.text().as_str(), answer.is_complete()), ("你好ok", true), "{answer:?}");
}

#[test]
fn a_client_that_leaves_cancels_the_call_within_a_second_and_is_recorded() {
    let provider = slow();
    let zone = Zone::start(&[&provider], |_| {});
    for stream in [true, false] {
        let before = provider.left.lock().unwrap().len();
        if !stream {
            provider.play(|_| vec![Step::Sleep(300), Step::Hang]);
        }
        let mut client = zone.client();
        client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(stream).to_string());
        if stream {
            client.read_head().expect("a head");
            client.read_chunk().expect("a chunk");
        } else {
            eventually("the provider is asked", || provider.calls() == 2);
        }
        drop(client);
        let gone = Instant::now();
        while provider.left.lock().unwrap().len() == before {
            assert!(gone.elapsed() < within(1500), "the provider is still read");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let results = zone.control.fed("result", 2);
    assert!(results.iter().all(|r| r["status"] == "cancelled"), "{results:?}");
}

#[test]
fn a_slow_reader_stops_the_reading_of_the_provider() {
    const PIECES: usize = 1_000;
    const PIECE: usize = 60_000;
    let provider = Provider::scripted(|_| {
        let big = "z".repeat(PIECE);
        let pieces: Vec<&str> = (0..PIECES).map(|_| big.as_str()).collect();
        provider::stream(&pieces, 0)
    });
    let zone = Zone::start(&[&provider], |c| {
        c["providers"]["p0"]["deadlines_ms"] = json!({"connect": 500, "first_byte": 20_000, "idle": 60_000});
    });
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    client.read_head().expect("a head");
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", zone.pid())).expect("a status");
        let line = status.lines().find(|l| l.starts_with("VmRSS")).expect("VmRSS").to_owned();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("kB")
    };
    std::thread::sleep(Duration::from_millis(300));
    let before = rss();
    std::thread::sleep(Duration::from_millis(1500));
    let after = rss();
    assert!(after < before + 16_000, "memory grows while nobody reads: {before} kB, {after} kB");
    let mut length = 0;
    let mut last = Vec::new();
    while let Some(chunk) = client.read_chunk().expect("a chunk") {
        if chunk.is_empty() {
            break;
        }
        length += String::from_utf8_lossy(&chunk).matches('z').count();
        last = chunk;
    }
    assert!(String::from_utf8_lossy(&last).contains("[DONE]"), "{}", String::from_utf8_lossy(&last));
    assert_eq!(length, PIECES * PIECE, "and all of it comes once somebody does");
}

#[test]
fn a_stop_ends_running_streams_within_a_second_with_the_notice() {
    let provider = slow();
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    let head = client.read_head().expect("a head");
    client.read_chunk().expect("a chunk");
    let at = Instant::now();
    let key = "key:key_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab";
    zone.control.change(&["key:other"], "stop", &Value::Null);
    zone.control.change(&[key], "stop", &json!({"en": "This key was revoked.", "zh": "密钥已撤销。"}));
    let mut body = String::new();
    while let Ok(Some(chunk)) = client.read_chunk() {
        if chunk.is_empty() {
            break;
        }
        body.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(at.elapsed() < within(1000), "{:?}", at.elapsed());
    let answer = Answer { body, headers: head.headers, ..Answer::default() };
    assert!(answer.text().ends_with("This key was revoked."), "{}", answer.text());
    assert!(answer.is_complete());
    assert_eq!(zone.control.fed("result", 1)[0]["status"], "refused");
    assert_eq!(zone.control.0.interventions.lock().unwrap()[0]["origin"], "change");
}

#[test]
fn a_change_forgets_the_plan_and_the_principal_that_carry_its_tag() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    client.chat(&ask(false));
    client.chat(&ask(false));
    assert_eq!((zone.control.asked("/plan"), zone.control.asked("/principal")), (1, 1));
    zone.control.change(&["packs"], "drop", &Value::Null);
    zone.control.wait_until_heard();
    client.chat(&ask(false));
    assert_eq!((zone.control.asked("/plan"), zone.control.asked("/principal")), (2, 1));
    zone.control.change(&["tenant:ten_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab"], "drop", &Value::Null);
    zone.control.wait_until_heard();
    client.chat(&ask(false));
    assert_eq!((zone.control.asked("/plan"), zone.control.asked("/principal")), (3, 2));
    zone.control.change(&["tenant:other"], "drop", &Value::Null);
    zone.control.wait_until_heard();
    client.chat(&ask(false));
    assert_eq!(zone.control.asked("/plan"), 3, "the negative control: another tag changes nothing");
}

/// The lease where contact is cut, ms.
const LEASE_MS: u64 = 1500;

#[test]
fn without_contact_nothing_is_released_beyond_the_lease() {
    let provider = slow();
    let zone = Zone::start(&[&provider], |c| c["lease_ms"] = LEASE_MS.into());
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    client.read_head().expect("a head");
    client.read_chunk().expect("a chunk");
    zone.control.0.silent.store(true, Ordering::SeqCst);
    let cut = Instant::now();
    client.stream.set_read_timeout(Some(Duration::from_millis(LEASE_MS + 1000))).expect("a timeout");
    let mut last = cut;
    while let Ok(Some(_)) = client.read_chunk() {
        last = Instant::now();
        assert!(cut.elapsed() < within(2 * LEASE_MS), "it never pauses");
    }
    assert!(last - cut < within(LEASE_MS + 150), "released {:?} after the cut", last - cut);
    let refused = zone.client().chat(&ask(false));
    assert_eq!((refused.status, refused.code().as_str()), (503, "no_contact"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(zone.client().get("/readyz").status, 503);
    assert_eq!(zone.client().get("/healthz").status, 200);
}

#[test]
fn a_pause_ends_with_contact_and_the_stream_goes_on() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Step::Gate(Arc::clone(&open));
    let provider = Provider::scripted(move |_| {
        let mut steps = provider::stream(&["a", "b", "c", "d", "e", "f", "g", "h"], 0);
        steps.insert(4, gate.clone());
        steps
    });
    let zone = Zone::start(&[&provider], |c| c["lease_ms"] = LEASE_MS.into());
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    let head = client.read_head().expect("a head");
    zone.control.0.silent.store(true, Ordering::SeqCst);
    eventually("contact is lost", || zone.client().get("/readyz").status == 503);
    open.store(true, Ordering::SeqCst);
    eventually("it pauses", || zone.metric("dragoman_paused_total") >= 1.0);
    zone.control.0.silent.store(false, Ordering::SeqCst);
    let mut body = String::new();
    while let Some(chunk) = client.read_chunk().expect("a chunk")
        && !chunk.is_empty()
    {
        body.push_str(&String::from_utf8_lossy(&chunk));
    }
    let answer = Answer { body, headers: head.headers, ..Answer::default() };
    assert_eq!((answer.text().as_str(), answer.is_complete()), ("abcdefgh", true), "{answer:?}");
}

#[test]
fn a_denied_turn_gets_the_notice_after_its_result_is_recorded() {
    let zone = Zone::start(&[], |_| {});
    let mut plan = support::control::golden("plan.response.deny.json");
    plan["holds_until"] = json!(4_000_000_000_000_u64);
    plan["rules_in"] = zone.empty_rules().into();
    plan["rules_out"] = zone.empty_rules().into();
    zone.control.set_plan(plan);
    for stream in [false, true] {
        let answer = zone.client().chat(&ask(stream));
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("This request was not sent to a model."), "{answer:?}");
    }
    let results = zone.control.fed("result", 2);
    assert!(results.iter().all(|r| r["status"] == "denied" && r["provider"] == Value::Null));
    assert_eq!(zone.control.fed("decision", 1).len(), 1);
    assert!(zone.control.0.entries.lock().unwrap().iter().all(|e| e["kind"] != "intent"));
}

#[test]
fn a_plan_that_is_not_understood_refuses_the_turn() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let good = Control::allow(&[("p0", "m0")], &zone.empty_rules());
    let changes: [(&str, Change); 6] = [
        ("plan_not_understood", |p| p["must"] = json!(["label.visible", "new.kind"])),
        ("plan_not_understood", |p| p["labels"] = json!([{"kind": "label.smell", "rule_id": "x"}])),
        ("plan_not_understood", |p| p["attempts"] = json!([])),
        ("plan_not_understood", |p| p["attempts"] = json!([{"provider": "unregistered", "model": "m"}])),
        ("plan_not_understood", |p| {
            p["budgets"] = json!([{"limit": "x", "each": null, "owned": false, "model": null, "unit": "concurrent",
                "currency": null, "per": "day", "most": 1, "shown": false}]);
        }),
        ("rules_not_ready", |p| p["rules_out"] = json!("sha256:00")),
    ];
    for (n, (code, change)) in changes.into_iter().enumerate() {
        let mut plan = good.clone();
        change(&mut plan);
        let model = format!("model-{n}");
        zone.control.0.plans.lock().unwrap().insert(model.clone(), plan);
        let mut question = ask(false);
        question["model"] = model.into();
        let answer = zone.client().chat(&question);
        assert_eq!((answer.status, answer.code().as_str()), (503, code), "{n}");
    }
    assert_eq!(provider.calls(), 0);
    assert_eq!(zone.client().chat(&ask(false)).status, 200, "the negative control");
}

#[test]
fn equal_misses_are_asked_once() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let port = zone.port;
    let threads: Vec<_> = (0..32)
        .map(|_| std::thread::spawn(move || support::client::Client::open(port).chat(&ask(false)).status))
        .collect();
    assert!(threads.into_iter().all(|t| t.join().expect("joined") == 200));
    assert_eq!((zone.control.asked("/plan"), zone.control.asked("/principal")), (1, 1));
}

#[test]
fn a_key_has_as_many_turns_open_as_its_plan_says() {
    let provider = slow();
    let zone = Zone::start(&[&provider], |_| {});
    let mut plan = Control::allow(&[("p0", "m0")], &zone.empty_rules());
    plan["limits"]["concurrent"] = json!(1);
    zone.control.set_plan(plan);
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k1\r\n", &ask(true).to_string());
    client.read_head().expect("a head");
    let second = zone.client().chat(&ask(true));
    assert_eq!((second.status, second.code().as_str()), (429, "concurrency_limit"));
    provider.play(|_| provider::stream(&["ok"], 0));
    drop(client);
    let mut again = second;
    eventually("the place is free again", || {
        again = zone.client().chat(&ask(true));
        again.status != 429
    });
    assert_eq!(again.text(), "ok");
}
