//! What is recorded and when: nothing before the intent, no end before the result, interventions before their
//! ids; stops, kills, rules at work.
mod support;

use serde_json::{Value, json};
use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::control::Control;
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::wait::{SLOW, eventually, within};

#[test]
fn relay_process() {
    relay::process();
}

fn ask(stream: bool) -> Value {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

fn rule(id: &str, word: &str, action: &str, directions: &[&str]) -> Value {
    json!({"id": id, "words": [word], "view": "A", "direction": directions, "action": action, "granularity": "span",
        "edges": {"left": false, "right": false}, "exempts": [], "message": {"en": "Not this.", "zh": "不可。"},
        "placeholder": {"en": "[removed]", "zh": "[已隐去]"}, "source": {"title": "Operator's rules", "url": null},
        "reason_code": "OPERATOR_RULE"})
}

/// A zone whose plan has these rules in both directions.
fn ruled(provider: &Provider, rules: &Value) -> Zone {
    let zone = Zone::start(&[provider], |_| {});
    let digest = zone.control.add_rules(rules);
    zone.control.set_plan(Control::allow(&[("p0", "m0")], &digest));
    zone
}

/// A turn in which thousands of rules find something is recorded and answered like any other.
#[test]
fn what_thousands_of_rules_found_fits_an_entry() {
    let words: Vec<String> = (0..3_000).map(|n| format!("word{n:04}x")).collect();
    let said = words.join(" ");
    let provider =
        Provider::scripted(move |_| provider::answer(200, "application/json", &provider::whole(&said)));
    let rules: Vec<Value> = words
        .iter()
        .map(|word| rule(&format!("operator.list.number.{word}"), word, "redact", &["in", "out"]))
        .collect();
    let zone = ruled(&provider, &json!(rules));
    let content = words.join(" ");
    let body = json!({"model": "dragoman", "messages": [{"role": "user", "content": content}]});
    // So many rules may take a busy machine longer to compile than a turn waits.
    let until = Instant::now() + SLOW;
    let mut answer = zone.client().chat(&body);
    while answer.status == 503 && answer.code() == "rules_not_ready" && Instant::now() < until {
        answer = zone.client().chat(&body);
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    for kind in ["intent", "result"] {
        let entry = zone.control.fed(kind, 1)[0].clone();
        let findings = entry["findings"].as_array().expect("findings");
        let total: u64 = findings.iter().filter_map(|found| found["n"].as_u64()).sum();
        assert_eq!(total, 3_000, "{kind}: each is counted");
        assert_eq!(findings.last().expect("one")["rule"], "*", "{kind}");
    }
    assert_eq!(zone.client().get("/readyz").status, 200);
}

/// Whoever pretends to be somewhere is in the record, but never as a real user.
#[test]
fn the_entries_of_a_simulated_turn_say_so() {
    let provider =
        Provider::scripted(|_| provider::answer(200, "application/json", &provider::whole("Hello")));
    let zone = Zone::start(&[&provider], |_| {});
    let digest = zone.control.add_rules(&json!([]));
    let mut plan = Control::allow(&[("p0", "m0")], &digest);
    zone.control.set_plan(plan.clone());
    assert_eq!(zone.client().chat(&ask(false)).status, 200);
    for kind in ["intent", "result"] {
        assert_eq!(zone.control.fed(kind, 1)[0].get("simulated"), None, "{kind}: the control");
    }
    plan["simulated"] = json!(true);
    zone.control.set_plan(plan);
    zone.control.change(&["packs"], "drop", &Value::Null);
    zone.control.wait_until_heard();
    assert_eq!(zone.client().chat(&ask(false)).status, 200);
    for kind in ["intent", "result"] {
        assert_eq!(zone.control.fed(kind, 2)[1]["simulated"], true, "{kind}");
    }
}

#[test]
fn a_redaction_is_stored_before_its_id_is_sent() {
    let provider = Provider::scripted(|seen| {
        let pieces = ["say sec", "ret", "word and go on"];
        if seen.json()["stream"] == true {
            provider::stream(&pieces, 30)
        } else {
            provider::answer(200, "application/json", &provider::whole(&pieces.concat()))
        }
    });
    let zone = ruled(&provider, &json!([rule("op.secret", "secretword", "redact", &["in", "out"])]));
    for stream in [false, true] {
        let answer = zone.client().chat(&ask(stream));
        assert_eq!(answer.text(), "say [removed] and go on", "{answer:?}");
        assert!(answer.body.contains("int_local_"), "it is disclosed");
    }
    let stored = zone.control.0.interventions.lock().unwrap().clone();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0]["rule"]["id"], "op.secret");
    assert_eq!((stored[0]["offset"].clone(), stored[0]["length"].clone()), (json!(4), json!(10)));
    let results = zone.control.fed("result", 2);
    assert_eq!(results[0]["interventions"], json!([stored[0]["id"]]));
    assert_eq!(results[0]["findings"], json!([{"action": "redact", "n": 1, "rule": "op.secret"}]));
}

#[test]
fn an_intervention_that_cannot_be_stored_is_not_sent() {
    let provider = Provider::scripted(|_| provider::stream(&["say secretword and", " go on"], 0));
    let zone = ruled(&provider, &json!([rule("op.secret", "secretword", "redact", &["out"])]));
    zone.control.0.refuse_interventions.store(true, Ordering::SeqCst);
    let answer = zone.client().chat(&ask(true));
    assert!(!answer.body.contains("int_local_") && !answer.body.contains("secretword"), "{answer:?}");
    assert!(answer.status != 200 || !answer.is_complete(), "{answer:?}");
}

#[test]
fn a_refused_request_never_reaches_the_provider() {
    let provider = Provider::start("x");
    let zone = ruled(&provider, &json!([rule("op.no", "hello", "refuse", &["in"])]));
    let answer = zone.client().chat(&ask(false));
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with("Not this."), "{answer:?}");
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(provider.calls(), 0);
    let told = &answer.json()["dragoman"]["interventions"][0];
    assert_eq!((&told["rule"], &told["action"]), (&json!("op.no"), &json!("refuse")));
    assert_eq!(told["message"]["en"], "Not this.");
    assert!(told["appeal"].as_str().is_some_and(|url| url.contains("/appeal/int_local_")), "{told}");
    assert_eq!(zone.control.0.interventions.lock().unwrap()[0]["direction"], "in");
    assert_eq!(zone.control.fed("result", 1)[0]["status"], "refused");
}

#[test]
fn a_redacted_request_goes_out_with_the_placeholder() {
    let provider = Provider::start("x");
    let zone = ruled(&provider, &json!([rule("op.no", "hello", "redact", &["in"])]));
    let answer = zone.client().chat(&ask(false));
    assert_eq!(answer.text(), "x");
    let id = answer.header("dragoman-interventions").expect("an id");
    assert!(id.starts_with("int_local_"));
    let told = &answer.json()["dragoman"]["interventions"];
    assert_eq!((told[0]["id"].as_str(), told.as_array().map(Vec::len)), (Some(id), Some(1)), "{told}");
    let seen = provider.seen.lock().unwrap()[0].json();
    assert_eq!(seen["messages"][0]["content"], "[removed]");
    assert_eq!(zone.control.fed("intent", 1)[0]["findings"][0]["rule"], "op.no");
}

/// Each rule that changed a request has a statement of reasons, however often it did.
#[test]
fn the_redactions_past_the_limit_have_one_intervention_for_each_rule() {
    let provider = Provider::start("fine");
    let mut rules: Vec<Value> =
        (0..60).map(|n| rule(&format!("op.r{n}"), &format!("w{n}w"), "redact", &["in"])).collect();
    rules.push(rule("op.often", "often", "redact", &["in"]));
    let zone = ruled(&provider, &json!(rules));
    let mut question = ask(false);
    let once: Vec<String> = (0..60).map(|n| format!("w{n}w")).collect();
    question["messages"][0]["content"] = format!("{}{}", "often ".repeat(130), once.join(" ")).into();
    let answer = zone.client().chat(&question);
    assert_eq!(answer.status, 200);
    let ids: Vec<&str> = answer.header("dragoman-interventions").expect("ids").split(',').collect();
    let stored = zone.control.0.interventions.lock().unwrap().clone();
    assert_eq!(ids, stored.iter().map(|i| i["id"].as_str().expect("an id")).collect::<Vec<_>>());
    assert_eq!(stored.len(), 100 + 40 + 1);
    assert!(stored[..100].iter().all(|i| i["n"] == 1 && i["rule"]["id"] == "op.often"));
    assert_eq!((&stored[100]["rule"]["id"], &stored[100]["n"]), (&json!("op.often"), &json!(30)));
    assert_eq!((&stored[140]["rule"], &stored[140]["n"]), (&Value::Null, &json!(21)));
    let n: u64 = stored.iter().filter_map(|i| i["n"].as_u64()).sum();
    assert_eq!(n, 190, "each redaction is told of");
}

/// What a provider says may be the user's own words.
#[test]
fn a_providers_error_is_logged_without_its_words() {
    let said = r#"{"error": {"code": "bad", "message": "canary-words of the user"}}"#;
    let provider = Provider::scripted(move |_| provider::answer(200, "application/json", said));
    let zone = Zone::start(&[&provider], |_| {});
    assert_eq!(zone.client().chat(&ask(false)).code(), "provider_error");
    let log = zone.log();
    assert!(!log.contains("canary-words"), "{log}");
    assert!(log.contains("provider_error, ") && log.contains(" bytes"), "the negative control: {log}");
}

#[test]
fn a_refused_answer_ends_at_once_and_the_provider_is_left() {
    let provider = Provider::scripted(|_| {
        let pieces: Vec<String> =
            (0..4_000).map(|n| if n == 3 { "secretword".into() } else { format!("w{n} ") }).collect();
        provider::stream(&pieces.iter().map(String::as_str).collect::<Vec<_>>(), 30)
    });
    let zone = ruled(&provider, &json!([rule("op.secret", "secretword", "refuse", &["out"])]));
    let at = Instant::now();
    let answer = zone.client().chat(&ask(true));
    assert!(at.elapsed() < within(2000));
    assert!(answer.text().contains("Not this.") && !answer.text().contains("secretword"), "{answer:?}");
    assert!(answer.is_complete());
    assert_eq!(zone.control.fed("result", 1)[0]["finish"], json!(["content_filter"]));
    eventually("the provider is not listened to any longer", || provider.left.lock().unwrap().len() == 1);
}

#[test]
fn a_vendors_own_block_becomes_an_intervention() {
    let error = r#"{"error": {"message": "no", "type": "x", "code": "content_filter", "param": null}}"#;
    let provider = Provider::scripted(move |_| provider::answer(400, "application/json", error));
    let zone = Zone::start(&[&provider], |_| {});
    for stream in [false, true] {
        let answer = zone.client().chat(&ask(stream));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("provider's own filter"), "{answer:?}");
    }
    let stored = zone.control.0.interventions.lock().unwrap().clone();
    assert!(stored.iter().all(|i| i["origin"] == "vendor" && i["vendor"] == "content_filter"), "{stored:?}");
    provider
        .play(|_| provider::answer(400, "application/json", r#"{"error": {"code": "bad", "message": "m"}}"#));
    let answer = zone.client().chat(&ask(false));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "provider_refused_request"),
        "the negative control"
    );
}

#[test]
fn a_stop_signal_finishes_open_turns_and_takes_no_new_ones() {
    let provider = Provider::scripted(|_| provider::stream(&["a", "b", "c", "d", "e"], 200));
    let mut zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    eventually("the turn is open", || provider.calls() == 1);
    zone.signal(libc::SIGTERM);
    let connect = || std::net::TcpStream::connect(("127.0.0.1", zone.port));
    eventually("it does not accept any longer", || connect().is_err());
    let answer = client.read().expect("an answer");
    assert_eq!((answer.text().as_str(), answer.is_complete()), ("abcde", true), "{answer:?}");
    assert_eq!(zone.wait(), 0);
    assert_eq!(zone.control.fed("result", 1)[0]["status"], "finished", "the feed was emptied");
}

#[test]
fn a_killed_relay_recovers_and_its_open_turn_is_interrupted() {
    let provider = Provider::scripted(|_| vec![Step::Send(provider::STREAM_HEAD.into()), Step::Hang]);
    let mut zone = Zone::start(&[&provider], |c| {
        c["providers"]["p0"]["deadlines_ms"] = json!({"connect": 500, "first_byte": 20_000, "idle": 60_000});
    });
    let mut client = zone.client();
    client.send("POST", "/v1/chat/completions", "authorization: Bearer k\r\n", &ask(true).to_string());
    while provider.calls() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    zone.signal(libc::SIGKILL);
    zone.wait();
    let mut rest = String::new();
    drop(client.stream.read_to_string(&mut rest));
    assert!(!rest.contains("[DONE]"));
    zone.run();
    let turn = zone.control.fed("intent", 1)[0]["turn"].clone();
    let result = zone.control.fed("result", 1)[0].clone();
    assert_eq!((result["turn"].clone(), result["status"].clone()), (turn, json!("interrupted")));
}

/// Streams of which one has to come without a gap.
const STREAMS: usize = 200;

#[test]
fn streams_are_not_delayed_by_forty_milliseconds() {
    let provider = Provider::scripted(|_| provider::stream(&["a", "b", "c", "d", "e", "f", "g", "h"], 5));
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    client.chat(&ask(true));
    // A busy machine stalls streams too, but not each of them, as Nagle with delayed acknowledgements would.
    let unhindered = (0..STREAMS).any(|_| {
        client.send("POST", "/v1/chat/completions", "authorization: Bearer k1\r\n", &ask(true).to_string());
        client.read_head().expect("a head");
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        while client.read_chunk().expect("a chunk").is_some_and(|c| !c.is_empty()) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest < Duration::from_millis(36)
    });
    assert!(unhindered, "each of {STREAMS} streams has a gap of 36 ms or more");
}

#[test]
fn entries_are_canonical_and_hold_no_text() {
    let provider = Provider::start("the answer is 42");
    let zone = Zone::start(&[&provider], |_| {});
    let mut question = ask(false);
    question["messages"][0]["content"] = "my secret question".into();
    zone.client().chat(&question);
    zone.control.fed("result", 1);
    // The fake refuses entries that are not canonical; here it is their content.
    let all = json!(*zone.control.0.entries.lock().unwrap()).to_string();
    for word in ["secret question", "answer is 42", "prn_local_", "Bearer", "k1\""] {
        assert!(!all.contains(word), "{word} in {all}");
    }
    assert!(all.contains("trn_local_"), "the negative control");
}
