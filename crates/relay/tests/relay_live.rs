//! Turns of conversations that run on their own: readers that leave, come again at any code point, follow together, or
//! stop the turn. `DRAGOMAN_CASES` sets how many streams the sweep leaves.
mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::client::{Answer, Client};
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::wait::{SLOW, eventually, eventually_within, within};

#[test]
fn relay_process() {
    relay::process();
}

const TURNS: &str = "/v1/conversations/cnv_local_1/turns";
const KEY: &str = "authorization: Bearer k1\r\n";

fn ask(stream: bool) -> String {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
        .to_string()
}

/// A provider that sends `before`, waits for the gate, then sends `after`.
fn gated(
    gate: &Arc<AtomicBool>,
    before: &'static [&'static str],
    after: &'static [&'static str],
) -> Provider {
    let gate = Arc::clone(gate);
    Provider::scripted(move |_| {
        let all = provider::frames(&[before, after].concat());
        let mut steps = vec![Step::Send(provider::STREAM_HEAD.into())];
        for (at, frame) in all.iter().enumerate() {
            if at == before.len() + 1 {
                steps.push(Step::Gate(Arc::clone(&gate)));
            }
            steps.push(Step::Send(provider::chunk(frame)));
        }
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    })
}

/// Deadlines that a gate does not meet.
fn patient(config: &mut Value) {
    config["providers"]["p0"]["deadlines_ms"] =
        json!({"connect": 10_000, "first_byte": 120_000, "idle": 120_000, "total": 300_000});
}

/// Starts a turn and reads until its text has `points` code points; gives the reader and the turn's path.
fn begun(zone: &Zone, points: usize) -> (Client, String, String) {
    let mut client = zone.client();
    client.send("POST", TURNS, KEY, &ask(true));
    let mut head = client.read_head().expect("a head");
    assert_eq!(head.status, 200, "{head:?}");
    while head.text().chars().count() < points {
        let chunk = client.read_chunk().expect("a chunk").expect("more");
        head.body.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    let path = format!("{TURNS}/{}", head.header("dragoman-turn").expect("a turn"));
    let text = head.text();
    (client, path, text)
}

/// What is left of a chunked answer, added to `text`.
fn rest(client: &mut Client, mut answer: Answer) -> Answer {
    while let Some(chunk) = client.read_chunk().expect("a chunk") {
        if chunk.is_empty() {
            answer.whole = true;
            break;
        }
        answer.body.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    answer
}

const BEFORE: &[&str] = &["aé", "你好", "👩\u{200d}👩\u{200d}👧", "\"\\\n"];
const AFTER: &[&str] = &["z", "界", "👍🏽!"];

#[test]
fn a_reader_that_comes_again_gets_every_code_point_once_wherever_it_was() {
    let gate = Arc::<AtomicBool>::default();
    let provider = gated(&gate, BEFORE, AFTER);
    let zone = Zone::start(&[&provider], patient);
    let mut plan = zone.control.0.plan.lock().unwrap().clone().expect("a plan");
    plan["labels"] =
        json!([{"kind": "label.visible", "rule_id": "r", "text": {"en": "AI 生成", "zh": "AI 生成"}}]);
    zone.control.set_plan(plan);
    let all = format!("【AI 生成】{}", [BEFORE, AFTER].concat().concat());
    let all = if all.starts_with('【') { all.replacen("【AI 生成】", "[AI 生成] ", 1) } else { all };
    let points = all.chars().count() - AFTER.concat().chars().count();
    let (first, path, begun) = begun(&zone, points);
    assert!(all.starts_with(&begun), "{begun}");
    drop(first);
    // At every code point so far, all at once: they follow together.
    let mut readers: Vec<Client> = (0..=points)
        .map(|after| {
            let mut reader = zone.client();
            reader.send("GET", &format!("{path}?after={after}"), KEY, "");
            reader
        })
        .collect();
    let heads: Vec<Answer> = readers.iter_mut().map(|reader| reader.read_head().expect("a head")).collect();
    assert!(heads.iter().all(|head| head.status == 200), "{heads:?}");
    let mut ahead = zone.client();
    ahead.send("GET", &format!("{path}?after={}", points + 1), KEY, "");
    let ahead = ahead.read().expect("an answer");
    assert_eq!((ahead.status, ahead.code().as_str()), (400, "invalid_after"));
    gate.store(true, Ordering::SeqCst);
    for (after, (mut reader, head)) in readers.into_iter().zip(heads).enumerate() {
        let answer = rest(&mut reader, head);
        let expected: String = all.chars().skip(after).collect();
        assert_eq!(answer.text(), expected, "after {after}");
        assert!(answer.is_complete() && answer.whole, "after {after}");
        let told = answer.events().iter().find_map(|e| e.get("dragoman").cloned()).expect("metadata");
        assert_eq!(told["conversation"], "cnv_local_1");
    }
    let stored = zone.control.0.turns.wait("finished", 1).remove(0);
    assert_eq!(stored.record["choices"][0]["message"]["content"], [BEFORE, AFTER].concat().concat());
}

#[test]
fn what_does_not_run_here_or_is_not_the_callers_is_asked_of_control() {
    let gate = Arc::<AtomicBool>::default();
    let provider = gated(&gate, &["some"], &[" text"]);
    let zone = Zone::start(&[&provider], patient);
    let (mut first, path, _) = begun(&zone, 4);
    let get = |path: &str, key: &str, method: &str| {
        let mut client = zone.client();
        client.send(method, path, &format!("authorization: Bearer {key}\r\n"), "");
        client.read().expect("an answer")
    };
    // A document, another turn, another conversation's path, the lists: all from control.
    let elsewhere = path.replace("cnv_local_1", "cnv_local_2");
    for asked in [
        path.as_str(),
        &format!("{TURNS}/trn_local_0?after=0"),
        &format!("{elsewhere}?after=0"),
        TURNS,
        "/v1/conversations",
        "/v1/conversations/cnv_local_1",
        "/v1/usage",
    ] {
        let answer = get(asked, "k1", "GET");
        assert_eq!((answer.status, &answer.json()["path"]), (200, &json!(asked)));
        assert!(answer.json()["headers"].get("authorization").is_none());
    }
    // Another person's: the same, with no sign that it runs.
    let mut other = zone.control.0.principal.lock().unwrap().clone().expect("a principal");
    let own = other.clone();
    other["principal"] = json!("prn_local_other");
    *zone.control.0.principal.lock().unwrap() = Ok(other);
    for (asked, method) in [(format!("{path}?after=0"), "GET"), (format!("{path}/stop"), "POST")] {
        let answer = get(&asked, "k2", method);
        assert_eq!((answer.status, &answer.json()["path"]), (200, &json!(asked)), "control answers");
    }
    // Without the scope nothing of it is reached.
    let mut poor = own;
    poor["scopes"] = json!(["models"]);
    *zone.control.0.principal.lock().unwrap() = Ok(poor);
    for asked in [format!("{path}?after=0"), "/v1/conversations".to_owned(), "/v1/usage".to_owned()] {
        assert_eq!(get(&asked, "k3", "GET").code(), "insufficient_scope", "{asked}");
    }
    assert_eq!(get("/v1/conversations/cnv_local_1/x", "k1", "GET").status, 404);
    assert_eq!(get("/v1/conversations", "k1", "DELETE").header("allow"), Some("GET, POST"));
    for wrong in ["after=-1", "after=", "after=1&after=2", "after=99999999999999999999999"] {
        assert_eq!(get(&format!("{path}?{wrong}"), "k1", "GET").code(), "invalid_after", "{wrong}");
    }
    gate.store(true, Ordering::SeqCst);
    assert!(rest(&mut first, Answer::default()).body.contains("[DONE]"));
}

#[test]
fn a_stopped_turn_ends_properly_for_all_its_readers_and_is_stored_as_far_as_it_was() {
    for stream in [true, false] {
        let gate = Arc::<AtomicBool>::default();
        let provider = if stream {
            gated(&gate, &["so ", "far"], &[" never"])
        } else {
            Provider::scripted(|_| vec![Step::Hang])
        };
        let zone = Zone::start(&[&provider], patient);
        let mut client = zone.client();
        client.send("POST", TURNS, KEY, &ask(stream));
        eventually("the turn runs", || provider.calls() == 1);
        let path =
            format!("{TURNS}/{}", zone.control.0.turns.all()[0].opening["turn"].as_str().expect("an id"));
        let mut follower = zone.client();
        follower.send("GET", &format!("{path}?after=0"), KEY, "");
        let followed = follower.read_head().expect("a head");
        let mut answer = Answer::default();
        if stream {
            answer = client.read_head().expect("a head");
            while answer.text() != "so far" {
                let chunk = client.read_chunk().expect("a chunk").expect("more");
                answer.body.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
            }
        }
        let stopped = zone.client().post(&format!("{path}/stop"), &json!({}));
        assert_eq!(stopped.status, 200, "{stopped:?}");
        let stored = zone.control.0.turns.all().remove(0);
        assert_eq!(stored.state, "finished", "stopped means stored");
        assert_eq!(
            (&stored.result["status"], &stored.result["error"]),
            (&json!("finished"), &json!("stopped_by_user"))
        );
        let text = if stream { "so far" } else { "" };
        assert_eq!(stored.record["choices"][0]["message"]["content"], text);
        let answer = if stream { rest(&mut client, answer) } else { client.read().expect("an answer") };
        let followed = rest(&mut follower, followed);
        assert_eq!((followed.text().as_str(), answer.text().as_str()), (text, text));
        let end = |answer: &Answer| {
            let events = if answer.body.starts_with('{') { vec![answer.json()] } else { answer.events() };
            let last = events.iter().find(|e| e.get("dragoman").is_some()).cloned().expect("an end");
            assert_eq!(last["dragoman"]["ended"], "stopped");
            last["choices"][0]["finish_reason"].clone()
        };
        assert_eq!((end(&answer), end(&followed)), (json!("stop"), json!("stop")));
        eventually_within(within(1_000), "the provider is left", || {
            gate.store(true, Ordering::SeqCst);
            !provider.left.lock().unwrap().is_empty() || !stream
        });
        // Once more: it is over, control says how it ended.
        assert_eq!(zone.client().post(&format!("{path}/stop"), &json!({})).status, 200);
        assert_eq!(zone.control.fed("result", 1).len(), 1);
    }
}

/// The pieces of stream number `n`, all of them different.
fn pieces(n: usize) -> Vec<String> {
    const PARTS: [&str; 8] = ["一", " two", "👩\u{200d}👩\u{200d}👧", "é", "\n", " \"five\"", "六 ", "z"];
    (0..3 + n % 6).map(|at| format!("{}{}", PARTS[(at * 3 + n) % PARTS.len()], n + at)).collect()
}

/// A provider whose answer is that of the stream that the question names.
fn numbered() -> Provider {
    Provider::scripted(|seen| {
        let number =
            seen.json()["messages"].as_array().and_then(|all| all.last()?["content"].as_str()?.parse().ok());
        let pieces = pieces(number.expect("a number"));
        provider::stream(&pieces.iter().map(String::as_str).collect::<Vec<_>>(), 5)
    })
}

/// Asks for stream `n` and leaves after `chunks` chunks of the answer; before its head where that is 0.
fn left_at(zone: &Zone, path: &str, head: &str, n: usize, chunks: usize) {
    let mut client = zone.client();
    let question = json!({"model": "dragoman", "stream": true,
                          "messages": [{"role": "user", "content": n.to_string()}]});
    let before = zone.control.0.turns.all().len();
    client.send("POST", path, head, &question.to_string());
    if chunks > 0 {
        client.read_head().expect("a head");
    }
    for _ in 1..chunks {
        // Several frames may leave as one chunk.
        if client.read_chunk().expect("a chunk").is_none_or(|chunk| chunk.is_empty()) {
            break;
        }
    }
    // A client that leaves before its turn is opened has asked for nothing.
    eventually("the turn is opened", || zone.control.0.turns.all().len() > before);
}

/// How many streams are left at every chunk.
fn streams() -> usize {
    std::env::var("DRAGOMAN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[test]
fn a_reader_that_leaves_at_any_chunk_ends_nothing() {
    let provider = numbered();
    let zone = Zone::start(&[&provider], |_| {});
    let mut left = 0;
    for n in 0..streams() {
        for chunks in 0..=pieces(n).len() + 4 {
            let path = format!("/v1/conversations/cnv_local_{left}/turns");
            left_at(&zone, &path, KEY, n, chunks);
            left += 1;
        }
    }
    let stored = zone.control.0.turns.wait("finished", left);
    for turn in stored {
        let number = turn.opening["input"]["messages"][0]["content"].as_str().and_then(|n| n.parse().ok());
        let text = pieces(number.expect("a number")).concat();
        assert_eq!(turn.record["choices"][0]["message"]["content"], text);
        assert_eq!(
            (&turn.result["status"], &turn.result["usage"]["known"]),
            (&json!("finished"), &json!(true))
        );
    }
    assert_eq!((zone.control.fed("result", left).len(), provider.calls()), (left, left));
    println!("{}", json!({"streams": streams(), "left": left, "ended": 0}));
}

#[test]
fn a_stateless_reader_that_leaves_at_any_chunk_leaves_one_record_and_one_outcome() {
    let provider = numbered();
    let zone = Zone::start(&[&provider], |_| {});
    let mut left = 0;
    for n in 0..streams() {
        for chunks in 0..=pieces(n).len() + 4 {
            let head = format!("{KEY}idempotency-key: k{left}\r\n");
            left_at(&zone, "/v1/chat/completions", &head, n, chunks);
            left += 1;
        }
    }
    // One that left before its intent has given its claim back.
    let running = || zone.control.0.turns.all().into_iter().find(|turn| turn.state != "finished");
    let until = Instant::now() + SLOW;
    while let Some(turn) = running() {
        assert!(Instant::now() < until, "never over: {turn:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let stored = zone.control.0.turns.all();
    let intents = zone.control.fed("intent", stored.len());
    let results = zone.control.fed("result", intents.len());
    assert_eq!((intents.len(), results.len()), (stored.len(), stored.len()), "of {left}");
    for turn in &stored {
        let result = results.iter().find(|r| r["turn"] == turn.opening["turn"]).expect("a result");
        assert_eq!(result, &turn.result);
        assert!(["cancelled", "finished"].iter().any(|status| result["status"] == *status), "{result}");
    }
    let cancelled = stored.iter().filter(|turn| turn.result["status"] == "cancelled").count();
    assert!(cancelled > 0, "none was left in time");
    assert!(provider.calls() <= left);
    println!("{}", json!({"streams": streams(), "left": left, "cancelled": cancelled}));
}

#[test]
fn a_turn_that_nobody_reads_ends_after_its_time_and_keeps_what_it_has() {
    let gate = Arc::<AtomicBool>::default();
    let provider = gated(&gate, &["so far"], &["never"]);
    let zone = Zone::start(&[&provider], |config| {
        patient(config);
        config["tighter"] = json!({"alone_ms": 300});
    });
    let (client, path, _) = begun(&zone, 6);
    // A reader keeps it: it does not end while it is read.
    let mut follower = zone.client();
    follower.send("GET", &format!("{path}?after=6"), KEY, "");
    follower.read_head().expect("a head");
    drop(client);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(zone.control.0.turns.all()[0].state, "opened");
    drop(follower);
    let stored = zone.control.0.turns.wait("finished", 1).remove(0);
    assert_eq!(
        (&stored.result["status"], &stored.result["error"]),
        (&json!("cancelled"), &json!("client_gone"))
    );
    assert_eq!(stored.record["choices"][0]["message"]["content"], "so far");
    eventually_within(within(1_000), "the provider is left", || {
        gate.store(true, Ordering::SeqCst);
        !provider.left.lock().unwrap().is_empty()
    });
}

#[test]
fn a_deleted_conversation_stops_what_runs_in_it() {
    let gate = Arc::<AtomicBool>::default();
    let provider = gated(&gate, &["so far"], &["never"]);
    let zone = Zone::start(&[&provider], patient);
    let (mut client, ..) = begun(&zone, 6);
    zone.control.change(&["conversation:cnv_local_2"], "stop", &json!({"en": "Other.", "zh": "Other."}));
    zone.control.change(&["conversation:cnv_local_1"], "stop", &json!({"en": "Deleted.", "zh": "Deleted."}));
    let answer = rest(&mut client, Answer::default());
    assert!(answer.body.contains("Deleted.") && answer.body.contains("[DONE]"), "{answer:?}");
    assert!(!answer.body.contains("Other."));
}

#[test]
fn a_follower_ends_with_its_own_credential_and_the_turn_goes_on() {
    let gate = Arc::<AtomicBool>::default();
    let provider = gated(&gate, &["so far"], &["and more"]);
    let zone = Zone::start(&[&provider], patient);
    let (mut first, path, _) = begun(&zone, 6);
    let mut answered = zone.control.0.principal.lock().unwrap();
    if let Ok(principal) = &mut *answered {
        principal["tags"] = json!(["key:key_local_other"]);
    }
    drop(answered);
    let mut followers = [zone.client(), zone.client()];
    for (n, follower) in followers.iter_mut().enumerate() {
        let key = format!("authorization: Bearer other{n}\r\n");
        follower.send("GET", &format!("{path}?after=0"), &key, "");
        assert_eq!(follower.read_head().expect("a head").status, 200);
        assert!(!follower.read_chunk().expect("a chunk").expect("more").is_empty());
        if n == 0 {
            zone.control.change(&["key:key_local_other"], "stop", &Value::Null);
            zone.control.wait_until_heard();
        }
    }
    gate.store(true, Ordering::SeqCst);
    let [ended, later] = followers.each_mut().map(|follower| rest(follower, Answer::default()));
    assert!(ended.body.contains("stopped") && !ended.body.contains("and more"), "{ended:?}");
    assert!(!ended.body.contains("[DONE]"), "{ended:?}");
    assert!(later.body.contains("and more") && later.body.contains("[DONE]"), "who came after it: {later:?}");
    let whole = rest(&mut first, Answer::default());
    assert!(whole.body.contains("and more") && whole.body.contains("[DONE]"), "{whole:?}");
}

#[test]
fn a_keyed_stateless_turn_whose_client_leaves_is_cancelled_and_its_twin_told() {
    let gate = Arc::<AtomicBool>::default();
    let provider = gated(&gate, &["so far"], &["never"]);
    let zone = Zone::start(&[&provider], patient);
    let head = format!("{KEY}idempotency-key: k\r\n");
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", &head, &ask(true));
    client.read_head().expect("a head");
    client.read_chunk().expect("a chunk");
    drop(client);
    let stored = zone.control.0.turns.wait("finished", 1).remove(0);
    assert_eq!(stored.result["status"], "cancelled");
    let mut twin = zone.client();
    twin.send("POST", "/v1/chat/completions", &head, &ask(true));
    assert_eq!(twin.read().expect("an answer").code(), "turn_cancelled");
    assert_eq!((provider.calls(), zone.control.fed("result", 1).len()), (1, 1));
    assert!(!zone.control.0.silent.load(Ordering::SeqCst));
    gate.store(true, Ordering::SeqCst);
}
