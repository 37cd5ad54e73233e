//! Turns of a conversation from end to end: what control opens and closes, in which order, and what a client gets of it.
mod support;

use serde_json::{Value, json};
use support::control::Control;
use support::provider::{self, Provider};
use support::relay::{self, Zone};
use support::turns::Fault;

#[test]
fn relay_process() {
    relay::process();
}

const TURNS: &str = "/v1/conversations/cnv_local_1/turns";

fn ask(stream: bool, content: &str) -> Value {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": content}]})
}

#[test]
fn a_turn_is_opened_called_closed_and_finished_in_that_order() {
    for stream in [false, true] {
        let provider = Provider::start("hi there");
        let zone = Zone::start(&[&provider], |_| {});
        let answer = zone.client().post(TURNS, &ask(stream, "hello"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hi there"), "{answer:?}");
        assert!(answer.whole);
        let turn = answer.header("dragoman-turn").expect("a turn").to_owned();
        assert_eq!(answer.header("dragoman-conversation"), Some("cnv_local_1"));
        assert_eq!(answer.header("dragoman-receipt"), None, "the salt lies beside the text");
        let told = if stream {
            answer.events().iter().find_map(|e| e.get("dragoman").cloned()).expect("metadata")
        } else {
            answer.json()["dragoman"].clone()
        };
        assert_eq!((&told["turn"], &told["conversation"]), (&json!(turn), &json!("cnv_local_1")));
        assert_eq!(told["context"], json!({"turns": 0, "left_out": 0}));
        // The end marker came after `finished`.
        let stored = &zone.control.0.turns.all()[0];
        assert_eq!(stored.state, "finished");
        assert_eq!(stored.record["choices"][0]["message"]["content"], "hi there");
        let result = &zone.control.fed("result", 1)[0];
        assert_eq!((&result["outcome"], &result["status"]), (&stored.digest, &json!("finished")));
        assert_eq!(*result, stored.result);
        let intent = &zone.control.fed("intent", 1)[0];
        assert_eq!((&intent["turn"], &intent["route"]), (&json!(turn), &json!("/v1/conversations/turns")));
        let paths: Vec<String> = zone.control.0.seen.lock().unwrap().iter().map(|s| s.path.clone()).collect();
        let outcome = format!("/turns/{turn}/outcome");
        let turns: Vec<&String> =
            paths.iter().filter(|p| p.starts_with("/turns") && !p.ends_with("recover")).collect();
        assert_eq!(turns, ["/turns", &outcome, &outcome]);
    }
}

#[test]
fn history_goes_along_and_is_scanned_again() {
    let provider = Provider::start("hi there");
    let zone = Zone::start(&[&provider], |_| {});
    let mut client = zone.client();
    assert_eq!(client.post(TURNS, &ask(false, "one")).status, 200);
    let rules = zone.control.add_rules(&json!([redact("there", "in")]));
    let mut plan = zone.control.0.plan.lock().unwrap().clone().expect("a plan");
    plan["rules_in"] = rules.into();
    zone.control.0.plans.lock().unwrap().insert("other".to_owned(), plan);
    let mut second = ask(false, "two");
    second["model"] = json!("other");
    second["parent"] = json!("last");
    let answer = client.post(TURNS, &second);
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = provider.seen.lock().unwrap()[1].json();
    let said: Vec<&Value> = sent["messages"].as_array().unwrap().iter().map(|m| &m["content"]).collect();
    assert_eq!(said, [&json!("one"), &json!("hi [x]"), &json!("two")], "history under the rules of today");
    assert!(sent.get("parent").is_none());
    let disclosed = answer.header("dragoman-interventions").expect("a redaction in history is disclosed");
    assert_eq!(zone.control.0.interventions.lock().unwrap()[0]["id"], disclosed);
    let opening = zone.control.0.turns.all()[1].opening.clone();
    assert_eq!(
        (&opening["parent"], &opening["input"]["messages"][0]["content"]),
        (&json!("last"), &json!("two"))
    );
    assert!(opening["input"].get("parent").is_none());
}

fn redact(word: &str, direction: &str) -> Value {
    rule(word, direction, "redact")
}

fn rule(word: &str, direction: &str, action: &str) -> Value {
    json!({"id": "op.x", "words": [word], "view": "A", "direction": [direction], "action": action,
           "granularity": "span", "edges": {"left": false, "right": false}, "exempts": [],
           "message": {"en": "Stopped.", "zh": "已停止。"}, "placeholder": {"en": "[x]", "zh": "[x]"},
           "source": {"title": "Operator", "url": null}, "reason_code": "OPERATOR_RULE"})
}

#[test]
fn a_body_that_is_not_one_new_message_is_refused_by_name() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    let two = json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]);
    let with = |name: &str, value: Value| {
        let mut body = ask(false, "hello");
        body[name] = value;
        body
    };
    let wrong = [
        (with("messages", two), "messages"),
        (with("messages", json!([{"role": "assistant", "content": "a"}])), "messages.0.role"),
        (with("n", json!(2)), "n"),
        (with("parent", json!(7)), "parent"),
        (with("parent", json!("a b")), "parent"),
        (with("parents", json!("last")), "parents"),
    ];
    let mut client = zone.client();
    for (body, param) in wrong {
        let answer = client.post(TURNS, &body);
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(param)), "{body}");
    }
    let plain = client.post("/v1/chat/completions", &with("parent", json!("last")));
    assert_eq!(
        (plain.status, plain.code().as_str()),
        (400, "unknown_field"),
        "only a conversation has parents"
    );
    assert!(zone.control.0.turns.all().is_empty());
    for parent in ["last", "root", "trn_local_0"] {
        assert_eq!(client.post(TURNS, &with("parent", json!(parent))).status, 200);
    }
    let parents: Vec<Value> =
        zone.control.0.turns.all().iter().map(|t| t.opening["parent"].clone()).collect();
    assert_eq!(parents, [json!("last"), json!("root"), json!("trn_local_0")]);
}

#[test]
fn what_the_conversation_refuses_is_recorded_stored_and_told() {
    for stream in [false, true] {
        let provider = Provider::start("never");
        let zone = Zone::start(&[&provider], |_| {});
        *zone.control.0.turns.refusal.lock().unwrap() = json!({"outcome": "DENY",
            "text": {"en": "Take a break.", "zh": "请休息。"}, "reasons": [{"code": "BREAK"}], "address": null});
        *zone.control.0.turns.decision_entry.lock().unwrap() = json!({"v": 1, "kind": "decision",
            "decision": "dec_of_the_turn", "at": 1, "tenant": "t", "outcome": "DENY"});
        let answer = zone.client().post(TURNS, &ask(stream, "again"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "Take a break."), "{answer:?}");
        assert_eq!(provider.calls(), 0);
        let stored = zone.control.0.turns.all().remove(0);
        assert_eq!((stored.state.as_str(), &stored.result["status"]), ("finished", &json!("denied")));
        assert_eq!(stored.record["choices"][0]["message"]["content"], "Take a break.");
        let intent = &zone.control.fed("intent", 1)[0];
        assert_eq!((&intent["attempts"], &intent["decision"]), (&json!([]), &json!("dec_of_the_turn")));
        assert_eq!(zone.control.fed("result", 1)[0]["decision"], "dec_of_the_turn");
        let decisions = zone.control.fed("decision", 2);
        assert!(decisions.iter().any(|d| d["decision"] == "dec_of_the_turn"), "{decisions:?}");
    }
}

#[test]
fn what_the_plan_refuses_is_stored_with_its_notice_and_without_its_budget() {
    for stream in [false, true] {
        let provider = Provider::start("never");
        let zone = Zone::start(&[&provider], |_| {});
        let mut plan = support::control::golden("plan.response.deny.json");
        plan["holds_until"] = json!(4_000_000_000_000_u64);
        plan["rules_in"] = zone.empty_rules().into();
        plan["rules_out"] = zone.empty_rules().into();
        zone.control.set_plan(plan);
        let answer = zone.client().post(TURNS, &ask(stream, "again"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().starts_with("This request was not sent to a model."), "{answer:?}");
        assert_eq!(provider.calls(), 0);
        let stored = zone.control.0.turns.all().remove(0);
        assert_eq!((stored.state.as_str(), &stored.result["status"]), ("finished", &json!("denied")));
        let intent = &zone.control.fed("intent", 1)[0];
        assert_eq!((&intent["attempts"], &intent["budget"]), (&json!([]), &Value::Null));
    }
}

#[test]
fn notices_of_the_conversation_join_the_plans() {
    let provider = Provider::start("text");
    let zone = Zone::start(&[&provider], |_| {});
    *zone.control.0.turns.notices.lock().unwrap() =
        json!([{"id": "two_hours", "rule_id": "x.y", "text": {"en": "Two hours.", "zh": "两小时。"}}]);
    let answer = zone.client().post(TURNS, &ask(true, "hello"));
    assert_eq!(answer.text(), "Two hours.\n\ntext");
    let stored = zone.control.0.turns.all().remove(0);
    assert_eq!(stored.record["choices"][0]["message"]["content"], "text", "no notice in the record");
    assert_eq!(stored.result["notices"], json!(["two_hours"]));
}

#[test]
fn a_rule_that_refuses_history_ends_the_turn_with_its_notice() {
    let provider = Provider::start("never");
    let zone = Zone::start(&[&provider], |_| {});
    let rules = zone.control.add_rules(&json!([rule("bomb", "in", "refuse")]));
    let mut plan = Control::allow(&[("p0", "m0")], &zone.empty_rules());
    plan["rules_in"] = rules.into();
    zone.control.set_plan(plan);
    *zone.control.0.turns.history.lock().unwrap() = vec![json!({"role": "user", "content": "a bomb before"})];
    let answer = zone.client().post(TURNS, &ask(false, "fine"));
    assert!(answer.text().contains("Stopped."), "{answer:?}");
    assert_eq!(provider.calls(), 0);
    let stored = zone.control.0.turns.all().remove(0);
    assert_eq!((stored.state.as_str(), &stored.result["status"]), ("finished", &json!("refused")));
    let intent = &zone.control.fed("intent", 1)[0];
    assert_eq!((&intent["attempts"], intent["findings"][0]["n"].as_u64()), (&json!([]), Some(1)));
}

#[test]
fn a_message_that_a_rule_refuses_is_kept_with_its_notice_and_without_what_is_redacted() {
    for stream in [false, true] {
        let provider = Provider::start("fine");
        let zone = Zone::start(&[&provider], |_| {});
        let mut redacts = rule("name", "in", "redact");
        redacts["id"] = json!("op.a");
        let rules = json!([redacts, rule("bomb", "in", "refuse")]);
        let mut plan = Control::allow(&[("p0", "m0")], &zone.empty_rules());
        plan["rules_in"] = zone.control.add_rules(&rules).into();
        plan["budgets"] = support::control::golden("plan.response.allow.json")["budgets"].clone();
        zone.control.set_plan(plan.clone());
        let answer = zone.client().post(TURNS, &ask(stream, "name: a bomb, name"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("Stopped."), "{answer:?}");
        assert_eq!(provider.calls(), 0);
        let stored = zone.control.0.turns.all().remove(0);
        assert_eq!((stored.state.as_str(), &stored.result["status"]), ("finished", &json!("refused")));
        assert_eq!(stored.opening["input"]["messages"][0]["content"], "[x]: a bomb, [x]");
        let said = stored.record["choices"][0]["message"]["content"].as_str().expect("a notice").to_owned();
        assert!(said.contains("Stopped.") && said == answer.text(), "{said}");
        let made: Vec<Value> = zone.control.0.interventions.lock().unwrap().clone();
        let acts: Vec<_> = made.iter().map(|one| one["action"].as_str().unwrap_or_default()).collect();
        assert_eq!(acts, ["redact", "redact", "refuse"], "each is disclosed");
        let ids: Vec<Value> = made.iter().map(|one| one["id"].clone()).collect();
        assert_eq!(stored.opening["interventions"], json!(ids));
        let intent = &zone.control.fed("intent", 1)[0];
        assert_eq!((&intent["attempts"], &intent["budget"]), (&json!([]), &Value::Null));
        let refusals = |f: &&Value| f["action"] == "refuse" && f["n"] == 1;
        assert_eq!(intent["findings"].as_array().expect("findings").iter().filter(refusals).count(), 1);
        // The negative control: a message that no rule refuses is answered, where no limit has to be reserved.
        plan["budgets"] = json!([]);
        zone.control.0.plans.lock().unwrap().insert("free".to_owned(), plan);
        let mut free = ask(stream, "flowers");
        free["model"] = json!("free");
        assert_eq!(zone.client().post(TURNS, &free).text(), "fine");
        assert_eq!(zone.control.0.turns.all().len(), 2);
    }
}

#[test]
fn a_twin_of_a_refused_message_gets_its_notice_and_is_not_kept_again() {
    let provider = Provider::start("never");
    let zone = Zone::start(&[&provider], |_| {});
    let mut plan = Control::allow(&[("p0", "m0")], &zone.empty_rules());
    plan["rules_in"] = zone.control.add_rules(&json!([rule("bomb", "in", "refuse")])).into();
    zone.control.set_plan(plan);
    let post = || {
        let mut client = zone.client();
        client.send(
            "POST",
            TURNS,
            "authorization: Bearer k1\r\nidempotency-key: k-1\r\n",
            &ask(false, "bomb").to_string(),
        );
        client.read().expect("an answer")
    };
    let (first, twin) = (post(), post());
    assert!(first.text().contains("Stopped."), "{first:?}");
    assert_eq!((twin.status, twin.text()), (200, first.text()), "{twin:?}");
    assert_eq!((twin.header("dragoman-replayed"), zone.control.0.turns.all().len()), (Some("true"), 1));
}

#[test]
fn an_outcome_that_is_not_taken_leaves_no_end_marker() {
    for (step, fault) in [("closing", Fault::Fails), ("finished", Fault::Fails), ("closing", Fault::Hangs)] {
        let provider = Provider::scripted(|_| provider::stream(&["some", " text"], 0));
        let zone = Zone::start(&[&provider], |_| {});
        zone.control.0.turns.fault(step, Some(fault));
        let answer = zone.client().post(TURNS, &ask(true, "hello"));
        assert_eq!(answer.text(), "some text");
        assert!(!answer.is_complete(), "{step} {fault:?}: {answer:?}");
        assert_eq!(answer.events().last().expect("an event")["error"]["code"], "no_contact");
        // It is brought to its end once control takes it: one outcome, one entry.
        zone.control.0.turns.fault(step, None);
        zone.control.0.turns.wait("finished", 1);
        let results = zone.control.fed("result", 1);
        assert_eq!((results.len(), &results[0]["status"]), (1, &json!("finished")));
        assert_eq!(results[0]["outcome"], zone.control.0.turns.all()[0].digest);
    }
}

#[test]
fn a_lost_answer_of_control_changes_nothing() {
    for step in ["closing", "finished"] {
        let provider = Provider::start("text");
        let zone = Zone::start(&[&provider], |_| {});
        zone.control.0.turns.fault(step, Some(Fault::Lost));
        let control = zone.control.clone();
        let healed = std::thread::spawn(move || {
            let state = if step == "closing" { "closing" } else { "finished" };
            control.0.turns.wait(state, 1);
            control.0.turns.fault(step, None);
        });
        let answer = zone.client().post(TURNS, &ask(true, "hello"));
        healed.join().expect("healed");
        assert!(answer.is_complete(), "{step}: {answer:?}");
        assert_eq!(zone.control.fed("result", 1).len(), 1);
    }
}

#[test]
fn a_turn_that_control_gave_up_is_interrupted_in_both() {
    let provider = Provider::scripted(|_| provider::stream(&["some", " text"], 0));
    let zone = Zone::start(&[&provider], |_| {});
    zone.control.0.turns.fault("closing", Some(Fault::Interrupted));
    let answer = zone.client().post(TURNS, &ask(true, "hello"));
    assert!(!answer.is_complete(), "{answer:?}");
    assert_eq!(answer.events().last().expect("an event")["error"]["code"], "turn_interrupted");
    let result = &zone.control.fed("result", 1)[0];
    assert_eq!((&result["status"], result.get("outcome")), (&json!("interrupted"), None));
    assert_eq!(zone.control.0.turns.all()[0].state, "interrupted");
}
