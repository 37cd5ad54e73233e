//! A pool of turns that many callers share: bounded at once and by the minute, and given back.
mod support;

use serde_json::{Value, json};
use support::control::Control;
use support::provider::{Provider, Step};
use support::relay::{self, Zone};
use support::wait::eventually;

#[test]
fn relay_process() {
    relay::process();
}

fn pooled(zone: &Zone, turns: u32, per_minute: u32) {
    let mut plan = Control::allow(&[("p0", "m0")], &zone.empty_rules());
    plan["limits"]["pool"] = json!({"name": "guests", "turns": turns, "per_minute": per_minute});
    zone.control.set_plan(plan);
}

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

#[test]
fn a_pool_is_bounded_at_once_and_given_back() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |config| {
        config["providers"]["p0"]["deadlines_ms"]["first_byte"] = json!(60_000);
    });
    pooled(&zone, 1, 1_000);
    let script = |seen: &support::http::Seen| {
        let slow = seen.json()["messages"][0]["content"] == "wait";
        if slow {
            vec![Step::Hang]
        } else {
            support::provider::answer(200, "application/json", &support::provider::whole("x"))
        }
    };
    provider.play(script);
    let waiting = json!({"model": "one", "messages": [{"role": "user", "content": "wait"}]});
    let mut first = zone.client();
    first.send("POST", "/v1/chat/completions", "authorization: Bearer k1\r\n", &waiting.to_string());
    eventually("the first is asked", || provider.calls() == 1);
    // Another key, another model: the same pool.
    let mut other = zone.client();
    other.send("POST", "/v1/chat/completions", "authorization: Bearer k2\r\n", &ask("two").to_string());
    let refused = other.read().expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (429, "guest_pool_empty"));
    drop(first);
    eventually("what is closed is given back", || zone.client().chat(&ask("three")).status == 200);
}

#[test]
fn a_pool_is_bounded_by_the_minute() {
    let provider = Provider::start("x");
    let zone = Zone::start(&[&provider], |_| {});
    pooled(&zone, 100, 2);
    let statuses: Vec<u16> = (0..12).map(|_| zone.client().chat(&ask("one")).status).collect();
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    // The negative control: without a pool nobody counts.
    zone.control.set_plan(Control::allow(&[("p0", "m0")], &zone.empty_rules()));
    assert!((0..12).all(|_| zone.client().chat(&ask("free")).status == 200));
}
