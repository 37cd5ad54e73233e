//! How fast one client may fail, ask for what is no turn, and be refused: by address and by principal. What a rate refuses
//! costs control nothing, and names the rate.
mod support;

use serde_json::{Value, json};
use std::time::Instant;
use support::client::{Answer, Client};
use support::control::{Control, golden};
use support::provider::Provider;
use support::relay::{self, Zone};
use support::tls;

const TURNS: &str = "/v1/conversations/cnv_local_1/turns";

#[test]
fn relay_process() {
    relay::process();
}

/// A zone in stage public behind a proxy on this machine, with these rates.
fn public(provider: &Provider, per_minute: &Value) -> Zone {
    Zone::start(&[provider], |config| {
        tls::public(config, None);
        config["edge"]["trusted_proxies"] = json!(["127.0.0.1/32"]);
        config["edge"]["per_minute"] = per_minute.clone();
    })
}

fn local(provider: &Provider, per_minute: &Value) -> Zone {
    Zone::start(&[provider], |config| config["edge"] = json!({ "per_minute": per_minute }))
}

/// A request of `client` with a credential's field.
fn get(zone: &Zone, path: &str, client: &str, credential: &str) -> Answer {
    let mut connection = zone.client();
    connection.send("GET", path, &format!("x-forwarded-for: {client}\r\n{credential}"), "");
    connection.read().expect("an answer")
}

fn models(zone: &Zone, client: &str, key: &str) -> Answer {
    get(zone, "/v1/models", client, &format!("authorization: Bearer {key}\r\n"))
}

fn refuse_credentials(zone: &Zone) {
    let refusal = json!({"error": {"type": "authentication_error", "code": "invalid_key", "param": null,
        "message": {"en": "No.", "zh": "否。"}}});
    *zone.control.0.principal.lock().unwrap() = Err((401, refusal));
}

fn ask() -> Value {
    json!({"model": "dragoman", "stream": false, "messages": [{"role": "user", "content": "hello"}]})
}

#[test]
fn so_many_credentials_of_an_address_may_fail_and_the_known_go_on() {
    let provider = Provider::start("x");
    let zone = public(&provider, &json!({"failed_credentials": 3}));
    assert_eq!(models(&zone, "203.0.113.1", "good").status, 200);
    for n in 0..20 {
        assert_eq!(models(&zone, "203.0.113.1", &format!("good-{n}")).status, 200, "only failures count");
    }
    let before = zone.control.asked("/principal");
    refuse_credentials(&zone);
    for n in 0..3 {
        assert_eq!(models(&zone, "203.0.113.1", &format!("bad-{n}")).code(), "invalid_key");
    }
    let refused = models(&zone, "203.0.113.1", "bad-3");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "too_many_failed_credentials"),
        "{refused:?}"
    );
    let wait: u64 = refused.header("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(zone.control.asked("/principal"), before + 3, "control is not asked");
    assert_eq!(models(&zone, "203.0.113.1", "good").status, 200, "who is known goes on");
    assert_eq!(zone.metric("dragoman_throttled_total") as u64, 1);
    // A page is shown without a session; with one that is not looked at it is not shown as to a stranger.
    assert_eq!(get(&zone, "/", "203.0.113.1", "").status, 200);
    let session = "cookie: dragoman_session=new\r\n";
    assert_eq!(get(&zone, "/", "203.0.113.1", session).code(), "too_many_failed_credentials");
    // The negative controls: another address, another network of IPv6.
    for n in 0..3 {
        assert_eq!(models(&zone, "203.0.113.2", &format!("other-{n}")).status, 401);
        assert_eq!(models(&zone, &format!("2001:db8::{n}"), &format!("six-{n}")).status, 401);
    }
    assert_eq!(models(&zone, "2001:db8::ffff", "six-3").status, 429, "one /64 is one client");
    assert_eq!(models(&zone, "2001:db8:0:1::1", "six-4").status, 401);
}

#[test]
fn a_bad_credential_that_is_asked_again_counts_once_while_it_is_remembered() {
    let provider = Provider::start("x");
    let zone = public(&provider, &json!({"failed_credentials": 40}));
    refuse_credentials(&zone);
    let began = Instant::now();
    for _ in 0..60 {
        assert_eq!(models(&zone, "203.0.113.1", "bad").status, 401);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a few");
    assert!(zone.control.asked("/principal") <= 1 + seconds);
}

#[test]
fn requests_that_are_no_turns_have_a_rate_of_their_principal() {
    let provider = Provider::start("hi");
    let zone = local(&provider, &json!({"requests": 3}));
    let list = |key: &str| {
        let mut client = zone.client();
        client.send("GET", "/v1/conversations", &format!("authorization: Bearer {key}\r\n"), "");
        client.read().expect("an answer")
    };
    for _ in 0..3 {
        assert_eq!(list("k1").status, 200);
    }
    let asked = zone.control.asked("/v1/conversations");
    let refused = list("k2");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "rate_limited"),
        "another key of the same principal"
    );
    let said = refused.json()["error"]["message"].as_str().expect("words").to_owned();
    assert!(said.contains("\"edge.requests_per_minute\" is 3 requests per minute"), "{said}");
    assert!(said.contains("Try again in "), "{said}");
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some("\"edge.requests_per_minute\";q=3;w=60;qu=\"requests\"")
    );
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("3"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(zone.control.asked("/v1/conversations"), asked, "nothing was asked of control");
    assert_eq!(zone.client().chat(&ask()).status, 200, "a turn has rates of its own");
    // A page counts for its session's principal; without a session, on this machine, it is nobody's.
    let page = |fields: &str| {
        let mut client = zone.client();
        client.send("GET", "/", fields, "");
        client.read().expect("an answer").status
    };
    assert_eq!((page("cookie: dragoman_session=s\r\n"), page("")), (429, 200));
    let mut other = golden("principal.response.json");
    other["expires"] = json!(4_000_000_000_000_u64);
    other["principal"] = json!("prn_local_other");
    *zone.control.0.principal.lock().unwrap() = Ok(other);
    assert_eq!(list("k3").status, 200, "the negative control: another principal");
}

#[test]
fn requests_that_are_no_turns_have_a_rate_of_their_address() {
    let provider = Provider::start("hi");
    let zone = public(&provider, &json!({"address_requests": 3}));
    let status = |path: &str, client: &str| get(&zone, path, client, "").status;
    for _ in 0..3 {
        assert_eq!(status("/static/page.css", "203.0.113.1"), 200);
    }
    let refused = get(&zone, "/", "203.0.113.1", "");
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert!(refused.body.contains("edge.address_requests_per_minute"), "{}", refused.body);
    assert_eq!(models(&zone, "203.0.113.1", "k1").status, 429, "whoever it is");
    assert_eq!(zone.control.asked("/principal"), 0, "nobody is asked who it is");
    assert_eq!(status("/", "203.0.113.2"), 200, "the negative control: another address");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(path, "203.0.113.1"), 200);
    }
    let mut turn = zone.client();
    let fields = "x-forwarded-for: 203.0.113.1\r\nauthorization: Bearer k1\r\n";
    turn.send("POST", "/v1/chat/completions", fields, &ask().to_string());
    assert_eq!(turn.read().expect("an answer").status, 200, "a turn has rates of its own");
}

fn post(client: &mut Client) -> (u16, String) {
    let answer = client.post(TURNS, &ask());
    let code = if answer.status == 200 { answer.text() } else { answer.code() };
    (answer.status, code)
}

#[test]
fn turns_that_their_plan_refuses_are_kept_so_many_in_a_minute() {
    let provider = Provider::start("never");
    let zone = local(&provider, &json!({"refused_turns": 3}));
    let mut denied = golden("plan.response.deny.json");
    denied["holds_until"] = json!(4_000_000_000_000_u64);
    let rules = zone.empty_rules();
    (denied["rules_in"], denied["rules_out"]) = (json!(rules), json!(rules));
    zone.control.0.plans.lock().unwrap().insert("dragoman".to_owned(), denied);
    let mut client = zone.client();
    for _ in 0..2 {
        assert_eq!(post(&mut client).0, 200, "it is kept, with its notice");
    }
    assert_eq!(client.chat(&ask()).status, 200, "a stateless one is recorded");
    let results = zone.control.fed("result", 3).len();
    for _ in 0..20 {
        let refused = client.post(TURNS, &ask());
        assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"), "{refused:?}");
        assert!(refused.body.contains("edge.refused_turns_per_minute"), "{}", refused.body);
        assert_eq!(client.chat(&ask()).status, 429);
    }
    assert_eq!(zone.control.0.turns.all().len(), 2, "no further one was opened");
    let plan = zone.control.0.plan.lock().unwrap().clone().expect("a plan");
    zone.control.0.plans.lock().unwrap().insert("allowed".to_owned(), plan);
    let allowed = json!({"model": "allowed", "messages": [{"role": "user", "content": "hello"}]});
    for answer in [client.chat(&allowed), client.post(TURNS, &allowed)] {
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "never"),
            "what is allowed goes on: {answer:?}"
        );
    }
    // Entries come in order: with theirs, all before them are there.
    assert_eq!(zone.control.fed("result", results + 2).len(), results + 2, "none was recorded");
}

/// A zone that records `most` refused turns a minute, with a rule of the way in against the word `bomb`.
fn ruled(provider: &Provider, most: u64, action: &str) -> Zone {
    let zone = local(provider, &json!({ "refused_turns": most }));
    let rule = json!({"id": "op.x", "words": ["bomb"], "view": "A", "direction": ["in"], "action": action,
        "granularity": "span", "edges": {"left": false, "right": false}, "exempts": [],
        "message": {"en": "Stopped.", "zh": "已停止。"}, "placeholder": {"en": "[x]", "zh": "[x]"},
        "source": {"title": "Operator", "url": null}, "reason_code": "OPERATOR_RULE"});
    let mut plan = Control::allow(&[("p0", "m0")], &zone.empty_rules());
    plan["rules_in"] = zone.control.add_rules(&json!([rule])).into();
    zone.control.set_plan(plan);
    zone
}

fn says(text: &str) -> Value {
    json!({"model": "dragoman", "stream": false, "messages": [{"role": "user", "content": text}]})
}

fn interventions(zone: &Zone) -> usize {
    zone.control.0.interventions.lock().unwrap().len()
}

#[test]
fn turns_that_a_rule_refuses_are_recorded_so_many_in_a_minute() {
    let provider = Provider::start("hi");
    let zone = ruled(&provider, 3, "refuse");
    let mut client = zone.client();
    for path in ["/v1/chat/completions", TURNS, "/v1/chat/completions"] {
        let refused = client.post(path, &says("a bomb"));
        assert!((refused.status, refused.text().contains("Stopped.")) == (200, true), "{refused:?}");
    }
    assert_eq!((zone.control.fed("result", 3).len(), interventions(&zone)), (3, 3));
    for path in ["/v1/chat/completions", TURNS].repeat(10) {
        let refused = client.post(path, &says("a bomb"));
        assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"), "{refused:?}");
        assert!(refused.body.contains("edge.refused_turns_per_minute"), "{}", refused.body);
    }
    assert_eq!((interventions(&zone), zone.control.asked("/turns")), (3, 1), "nothing further was stored");
    for path in ["/v1/chat/completions", TURNS] {
        let answer = client.post(path, &says("flowers"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hi"),
            "what is allowed goes on: {answer:?}"
        );
    }
    assert_eq!(zone.control.fed("result", 5).len(), 5, "nor recorded");
}

#[test]
fn turns_that_their_history_refuses_are_recorded_so_many_in_a_minute() {
    let provider = Provider::start("hi");
    let zone = ruled(&provider, 2, "refuse");
    let mut client = zone.client();
    *zone.control.0.turns.history.lock().unwrap() = vec![json!({"role": "user", "content": "a bomb before"})];
    for _ in 0..2 {
        assert_eq!(client.post(TURNS, &says("fine")).status, 200);
    }
    let opened = || zone.control.asked("/turns");
    for given_back in 1..=2 {
        assert_eq!(client.post(TURNS, &says("fine")).code(), "rate_limited");
        assert_eq!(opened(), 2 + given_back, "it was opened: nobody could know before");
    }
    for _ in 0..10 {
        assert_eq!(client.post(TURNS, &says("fine")).code(), "rate_limited");
    }
    assert_eq!((opened(), interventions(&zone)), (4, 2), "who has many given back opens none");
    assert_eq!(client.chat(&says("fine")).text(), "hi", "the negative control: without the history");
    let states: Vec<Value> = zone.control.fed("result", 3).iter().map(|r| r["status"].clone()).collect();
    assert_eq!(states, [json!("refused"), json!("refused"), json!("finished")]);
    // What was given back is nowhere: no message without an answer.
    support::wait::eventually("two were given back", || zone.control.0.turns.all().len() == 2);
}

#[test]
fn a_turn_that_a_limit_refuses_stores_no_interventions() {
    let provider = Provider::start("hi");
    let zone = ruled(&provider, 3, "redact");
    let mut client = zone.client();
    assert_eq!(client.chat(&says("a bomb")).status, 200);
    assert_eq!(interventions(&zone), 1, "the negative control: it is redacted and stored");
    let mut plan = zone.control.0.plan.lock().unwrap().clone().expect("a plan");
    // Nothing bounds the answer's tokens, so no reservation holds.
    plan["budgets"] = golden("plan.response.allow.json")["budgets"].clone();
    zone.control.0.plans.lock().unwrap().insert("limited".to_owned(), plan);
    let mut body = says("a bomb");
    body["model"] = json!("limited");
    for path in ["/v1/chat/completions", TURNS] {
        let refused = client.post(path, &body);
        assert!(refused.status >= 400, "{refused:?}");
    }
    assert_eq!(interventions(&zone), 1);
}

#[test]
fn turns_that_their_conversation_refuses_are_kept_so_many_in_a_minute() {
    let provider = Provider::start("hi");
    let zone = local(&provider, &json!({"refused_turns": 2}));
    let refusal = json!({"outcome": "DENY", "text": {"en": "Take a break.", "zh": "请休息。"},
        "reasons": [{"code": "BREAK"}], "address": null});
    let mut client = zone.client();
    for _ in 0..5 {
        assert_eq!(post(&mut client), (200, "hi".to_owned()), "what is allowed does not count");
    }
    *zone.control.0.turns.refusal.lock().unwrap() = refusal;
    for _ in 0..2 {
        assert_eq!(post(&mut client), (200, "Take a break.".to_owned()));
    }
    assert_eq!(post(&mut client), (429, "rate_limited".to_owned()));
    assert_eq!(zone.control.asked("/turns"), 8, "it was opened: nobody could know before");
    support::wait::eventually("it was given back", || zone.control.0.turns.all().len() == 7);
}

/// Of guests' appeals of one address in a day, as the relay has it.
const GUEST_APPEALS: usize = 50;

#[test]
fn guests_of_an_address_send_so_many_appeals_in_a_day() {
    let provider = Provider::start("x");
    let zone = public(&provider, &json!({}));
    let mut asker = golden("principal.response.json");
    asker["expires"] = json!(4_000_000_000_000_u64);
    let be = |key: &Value| {
        let mut asker = asker.clone();
        asker["key"] = key.clone();
        *zone.control.0.principal.lock().unwrap() = Ok(asker);
    };
    // Whether control is told that the address has used up its appeals.
    let full = |path: &str, client: &str, credential: &str| {
        let mut connection = zone.client();
        let fields = format!("x-forwarded-for: {client}\r\nauthorization: Bearer {credential}\r\n");
        connection.send("POST", path, &format!("{fields}dragoman-appeals: full\r\n"), "{}");
        let answer = connection.read().expect("an answer");
        let told = answer.json()["headers"].to_string();
        assert_eq!(answer.body.contains("dragoman-appeals"), told.contains("full"), "{answer:?}");
        told.contains("dragoman-appeals")
    };
    be(&Value::Null);
    for n in 0..GUEST_APPEALS {
        for refused in ["/v1/appeals?status=404", "/appeal/trn_1?status=422"] {
            assert!(!full(refused, "203.0.113.1", "guest"), "what was refused does not count");
        }
        let path = ["/v1/appeals", "/appeal/trn_1", "/%61ppeal/dec_1"][n % 3];
        assert!(!full(path, "203.0.113.1", &format!("guest-{n}")), "{path} {n}");
    }
    for path in ["/v1/appeals", "/appeal/trn_1", "/%61ppeal/dec_1"] {
        assert!(full(path, "203.0.113.1", "another-guest"), "{path}");
    }
    assert!(!full("/c/cnv_1", "203.0.113.1", "guest"), "it is told of appeals alone");
    assert!(!full("/v1/appeals", "203.0.113.2", "guest"), "another address");
    be(&json!("key_1"));
    assert!(!full("/v1/appeals", "203.0.113.1", "key"), "whoever has a key counts by it");
}

/// What an address may ask of signing up ends with 429 before control hears of it; another address goes on.
#[test]
fn an_address_asks_for_so_many_codes_and_tries_so_many() {
    use dragoman_relay::limits::{SIGNUP_CHECKS, SIGNUP_CODES};
    let provider = Provider::start("x");
    let zone = public(&provider, &json!({}));
    for (path, most) in [("/v1/signup/phone", SIGNUP_CODES), ("/v1/signup/verify", SIGNUP_CHECKS)] {
        let ask = |client: &str| {
            let mut connection = zone.client();
            connection.send("POST", path, &format!("x-forwarded-for: {client}\r\n"), "{}");
            connection.read().expect("an answer")
        };
        for n in 0..most {
            assert_eq!(ask("203.0.113.1").status, 200, "{path} {n}");
        }
        let before = zone.control.asked(path);
        let refused = ask("203.0.113.1");
        assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_signups"), "{refused:?}");
        assert!(refused.header("retry-after").is_some() && refused.header("ratelimit-policy").is_none());
        assert_eq!(zone.control.asked(path), before, "control is asked nothing");
        assert_eq!(ask("203.0.113.2").status, 200, "another address");
    }
}
