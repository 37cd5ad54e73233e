//! At its limits a relay says so and comes back: too many turns, a journal that cannot grow, no contact.
mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::control::Control;
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::wait::{SLOW, eventually, within};

/// Length of a segment in the case of a full disk, bytes: the shortest there is.
const SEGMENT_BYTES: u64 = 256 * 1024;

#[test]
fn relay_process() {
    relay::process();
}

fn ask(stream: bool) -> Value {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

fn endless() -> Provider {
    Provider::scripted(|_| {
        let pieces: Vec<String> = (0..2000).map(|n| format!("w{n} ")).collect();
        provider::stream(&pieces.iter().map(String::as_str).collect::<Vec<_>>(), 25)
    })
}

#[test]
fn beyond_the_places_a_turn_waits_a_moment_and_is_shed() {
    let provider = endless();
    let zone = Zone::start(&[&provider], |c| {
        c["threads"] = 1.into();
        c["tighter"] = json!({"turns_per_thread": 2});
    });
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = zone.client();
        client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
        assert_eq!(client.read_head().expect("a head").status, 200);
        open.push(client);
    }
    let began = Instant::now();
    let shed = zone.client().chat(&ask(false));
    assert_eq!((shed.status, shed.code().as_str()), (503, "overloaded"), "{shed:?}");
    assert_eq!(shed.header("retry-after"), Some("1"));
    assert!(began.elapsed() > Duration::from_millis(20), "it waited for a place");
    assert_eq!(zone.metric("dragoman_shed_total") as u64, 1);
    assert_eq!(zone.control.asked("/plan"), 1, "nothing was asked for what is shed");
    let long = json!({"model": "dragoman", "messages": [{"role": "user", "content": "x".repeat(1 << 20)}]});
    let shed = zone.client().chat(&long);
    assert_eq!(shed.code(), "overloaded", "who is still sending reads it too");
    assert_eq!(zone.client().get("/readyz").status, 200);
    open.pop();
    let provider_calls = provider.calls();
    let mut waiting = zone.client();
    eventually("the negative control: a place is free again", || {
        waiting = zone.client();
        waiting.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
        waiting.read_head().expect("a head").status == 200
    });
    assert_eq!(provider.calls(), provider_calls + 1);
}

/// Lets no file of the process grow beyond `bytes`.
fn limit_files(pid: u32, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    let pid = libc::pid_t::try_from(pid).expect("a pid");
    // SAFETY: `limit` is a valid rlimit; the old one is not asked for.
    let failed = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(failed, 0, "prlimit");
}

#[test]
fn a_journal_without_space_answers_503_calls_nobody_and_recovers() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |c| c["tighter"] = json!({"segment_bytes": SEGMENT_BYTES}));
    let mut client = zone.client();
    assert_eq!(client.chat(&ask(false)).status, 200);
    // The segment in use was reserved whole; the next one finds no space.
    limit_files(zone.pid(), SEGMENT_BYTES - 1);
    let mut answered = 1;
    let refused = loop {
        let answer = client.chat(&ask(false));
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 2_000, "the segment never fills");
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "record_unavailable"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(zone.client().get("/readyz").status, 503);
    assert_eq!(zone.client().get("/healthz").status, 200, "the process lives");
    let calls = provider.calls();
    for stream in [false, true] {
        let again = zone.client().chat(&ask(stream));
        assert_eq!((again.status, again.code().as_str()), (503, "record_unavailable"), "{again:?}");
    }
    assert_eq!(provider.calls(), calls, "without its intent nothing goes out");
    limit_files(zone.pid(), libc::RLIM_INFINITY);
    let after = zone.client().chat(&ask(false));
    assert_eq!((after.status, after.text().as_str()), (200, "x"), "with space it goes on: {after:?}");
    assert_eq!(zone.client().get("/readyz").status, 200);
}

#[test]
fn a_stored_turn_whose_result_finds_no_space_is_finished_when_there_is_some() {
    let gate = Arc::<AtomicBool>::default();
    let opened = Arc::clone(&gate);
    let provider = Provider::scripted(move |seen| {
        if seen.json()["messages"][0]["content"] != "stored" {
            return provider::answer(200, "application/json", &provider::whole("x"));
        }
        let mut steps = provider::stream(&["so", " far"], 0);
        steps.insert(2, Step::Gate(Arc::clone(&opened)));
        steps
    });
    let zone = Zone::start(&[&provider], |c| {
        c["tighter"] = json!({"segment_bytes": SEGMENT_BYTES});
        c["providers"]["p0"]["deadlines_ms"] =
            json!({"connect": 10_000, "first_byte": 120_000, "idle": 120_000, "total": 300_000});
    });
    let mut client = zone.client();
    let question =
        json!({"model": "dragoman", "stream": true, "messages": [{"role": "user", "content": "stored"}]});
    let path = "/v1/conversations/cnv_local_1/turns";
    client.send("POST", path, "authorization: Bearer k1\r\n", &question.to_string());
    eventually("the turn runs", || provider.calls() == 1);
    limit_files(zone.pid(), SEGMENT_BYTES - 1);
    let mut filler = zone.client();
    let full = (0..2_000).any(|_| filler.chat(&ask(false)).status == 503);
    assert!(full, "the segment never fills");
    gate.store(true, Ordering::SeqCst);
    let answer = client.read().expect("an answer");
    assert_eq!(answer.text(), "so far");
    assert!(!answer.is_complete(), "{answer:?}");
    assert_eq!(answer.events().last().expect("an event")["error"]["code"], "record_unavailable");
    assert_eq!(zone.control.0.turns.all()[0].state, "closing");
    limit_files(zone.pid(), libc::RLIM_INFINITY);
    let stored = zone.control.0.turns.wait("finished", 1).remove(0);
    eventually("its entry is fed", || {
        let entries = zone.control.0.entries.lock().unwrap();
        entries.iter().filter(|e| **e == stored.result).count() == 1
    });
}

#[test]
fn ten_seconds_without_contact_end_a_running_stream_as_interrupted() {
    let provider = endless();
    let zone = Zone::start(&[&provider], |c| c["lease_ms"] = 1000.into());
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    assert_eq!(client.read_head().expect("a head").status, 200);
    client.read_chunk().expect("a chunk");
    zone.control.0.silent.store(true, Ordering::SeqCst);
    let cut = Instant::now();
    client.stream.set_read_timeout(Some(SLOW)).expect("a timeout");
    let mut all = Vec::new();
    while let Ok(Some(chunk)) = client.read_chunk()
        && !chunk.is_empty()
    {
        all.extend_from_slice(&chunk);
    }
    let lasted = cut.elapsed();
    assert!(lasted > Duration::from_secs(10) && lasted < within(12_000), "ended after {lasted:?}");
    let text = String::from_utf8(all).expect("text");
    assert!(text.contains("\"code\":\"no_contact\"") && !text.contains("[DONE]"), "{text}");
    zone.control.0.silent.store(false, Ordering::SeqCst);
    let ended = zone.control.fed("result", 1);
    assert_eq!((&ended[0]["status"], &ended[0]["error"]), (&json!("interrupted"), &json!("no_contact")));
    eventually("contact again", || zone.client().get("/readyz").status == 200);
}

#[test]
fn held_code_points_are_a_gauge() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Step::Gate(Arc::clone(&open));
    let provider = Provider::scripted(move |_| {
        let mut steps = provider::stream(&["a forbiddenwo"], 0);
        steps.insert(3, gate.clone()); // behind the head, the role and the piece
        steps
    });
    let zone = Zone::start(&[&provider], |_| {});
    let rules = zone.control.add_rules(&json!([{
        "id": "op.word", "words": ["forbiddenword"], "view": "A", "direction": ["out"], "action": "refuse",
        "granularity": "span", "edges": {"left": false, "right": false}, "exempts": [],
        "message": {"en": "Not this.", "zh": "不可。"}, "placeholder": {"en": "[removed]", "zh": "[已隐去]"},
        "source": {"title": "Operator's rules", "url": null}, "reason_code": "OPERATOR_RULE",
    }]));
    zone.control.set_plan(Control::allow(&[("p0", "m0")], &rules));
    let held = || zone.metric("dragoman_held_code_points") as i64;
    assert_eq!(held(), 0);
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    eventually("the beginning of the word is held", || held() == 11);
    open.store(true, Ordering::SeqCst);
    let answer = client.read().expect("an answer");
    assert_eq!(answer.text(), "a forbiddenwo", "it was only the beginning");
    eventually("nothing is held after the end", || held() == 0);
}
