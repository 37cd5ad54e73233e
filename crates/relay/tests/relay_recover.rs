//! A relay that is killed at every step of a stored turn, and what the next start makes of it: one result for each
//! intent, finished in both or interrupted in both, and never a second call of a model for one key.
//! `DRAGOMAN_CASES` sets how often the whole sweep is run.
mod support;

use dragoman_relay::journal::disk::RealDisk;
use dragoman_relay::journal::verify::verify_log;
use serde_json::{Value, json};
use support::client::Answer;
use support::control::Control;
use support::provider::{self, Provider, Step};
use support::relay::{self, Zone};
use support::turns::{Fault, Turn};
use support::wait::eventually;

#[test]
fn relay_process() {
    relay::process();
}

const ROUTES: [&str; 2] = ["/v1/chat/completions", "/v1/conversations/cnv_local_1/turns"];

fn body(stream: bool) -> String {
    json!({"model": "dragoman", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
        .to_string()
}

fn post(zone: &Zone, path: &str, key: &str, stream: bool) -> Answer {
    let mut client = zone.client();
    client.send(
        "POST",
        path,
        &format!("authorization: Bearer k1\r\nidempotency-key: {key}\r\n"),
        &body(stream),
    );
    client.read().expect("an answer")
}

/// Where the relay is when it dies, and what has to come of the turn.
struct Moment {
    name: &'static str,
    fault: Option<(&'static str, Fault)>,
    /// Holds when the relay is to be killed.
    reached: fn(&Zone, &Provider) -> bool,
    /// The twin's fate after the restart: an error, or the answer.
    twin: Twin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twin {
    Interrupted,
    Replayed,
}

fn state(zone: &Zone, state: &str) -> bool {
    zone.control.0.turns.all().iter().any(|turn| turn.state == state)
}

const STEPS: [Moment; 7] = [
    Moment {
        name: "control is asked to open it",
        fault: Some(("open", Fault::Hangs)),
        reached: |zone, _| zone.control.asked("/turns") > 0,
        twin: Twin::Interrupted,
    },
    Moment {
        name: "control has opened it, the relay does not know",
        fault: Some(("open", Fault::Held)),
        reached: |zone, _| state(zone, "opened"),
        twin: Twin::Interrupted,
    },
    Moment {
        name: "the provider is called",
        fault: None,
        reached: |_, provider| provider.calls() > 0,
        twin: Twin::Interrupted,
    },
    Moment {
        name: "the outcome is on its way",
        fault: Some(("closing", Fault::Hangs)),
        reached: |zone, _| outcomes(zone) > 0,
        twin: Twin::Interrupted,
    },
    Moment {
        name: "control has the outcome, the relay does not know",
        fault: Some(("closing", Fault::Held)),
        reached: |zone, _| state(zone, "closing"),
        twin: Twin::Replayed,
    },
    Moment {
        name: "the result entry stands",
        fault: Some(("finished", Fault::Hangs)),
        reached: |zone, _| outcomes(zone) > 1,
        twin: Twin::Replayed,
    },
    Moment {
        name: "control has it finished, the relay does not know",
        fault: Some(("finished", Fault::Held)),
        reached: |zone, _| state(zone, "finished"),
        twin: Twin::Replayed,
    },
];

fn outcomes(zone: &Zone) -> usize {
    zone.control.0.seen.lock().unwrap().iter().filter(|seen| seen.path.ends_with("/outcome")).count()
}

/// A provider that answers, unless the test is to find the turn while it runs.
fn answers(hangs: bool) -> Provider {
    Provider::scripted(move |seen| {
        if hangs {
            return vec![Step::Send(provider::STREAM_HEAD.into()), Step::Hang];
        }
        if seen.json()["stream"] == true {
            return provider::stream(&["some", " text"], 0);
        }
        provider::answer(200, "application/json", &provider::whole("some text"))
    })
}

fn entries(control: &Control, kind: &str) -> Vec<Value> {
    control.0.entries.lock().unwrap().iter().filter(|e| e["kind"] == kind).cloned().collect()
}

/// Turns of which record and store say different things: kept as answered with another entry or none, or given up
/// with an entry that names an outcome.
fn two_truths(zone: &Zone) -> usize {
    let results = entries(&zone.control, "result");
    let differs = |turn: &Turn| {
        let entry = results.iter().find(|result| result["turn"] == turn.opening["turn"]);
        match turn.state.as_str() {
            "closing" | "finished" => entry != Some(&turn.result),
            _ => entry.is_some_and(|entry| entry.get("outcome").is_some()),
        }
    };
    zone.control.0.turns.all().iter().filter(|turn| differs(turn)).count()
}

/// Kills the relay at `step` of a turn, starts it again and looks at everything that there is.
fn killed_at(step: &Moment, path: &str, stream: bool) {
    let what = format!("{} ({path}, stream {stream})", step.name);
    let running = step.name == "the provider is called";
    let provider = answers(running && stream);
    if running && !stream {
        provider.play(|_| vec![Step::Hang]);
    }
    let mut zone = Zone::start(&[&provider], |config| {
        config["providers"]["p0"]["deadlines_ms"] =
            json!({"connect": 10_000, "first_byte": 120_000, "idle": 120_000, "total": 300_000});
    });
    if let Some((name, fault)) = step.fault {
        zone.control.0.turns.fault(name, Some(fault));
    }
    let mut client = zone.client();
    let head = "authorization: Bearer k1\r\nidempotency-key: k\r\n";
    client.send("POST", path, head, &body(stream));
    eventually(&what, || (step.reached)(&zone, &provider));
    zone.signal(libc::SIGKILL);
    zone.wait();
    // What the dead relay asked first is still carried out; of what it said later nothing comes before the next start.
    zone.control.0.turns.fault("open", None);
    eventually("the question is carried out", || !zone.control.0.turns.all().is_empty());
    let unanswered = client.read().map_or(true, |answer| !(answer.whole && answer.is_complete()));
    assert!(unanswered, "{what}: no end marker was sent");
    zone.run();
    if let Some((name, _)) = step.fault {
        zone.control.0.turns.fault(name, None);
    }

    let intents = entries(&zone.control, "intent").len();
    zone.control.fed("registry", 2);
    let results = zone.control.fed("result", intents);
    assert_eq!(results.len(), intents, "{what}: one result for each intent");
    let turn = zone.control.0.turns.all().remove(0);
    let outcome = results.iter().find(|result| result["turn"] == turn.opening["turn"]);
    let calls = provider.calls();
    assert!(calls <= 1, "{what}");
    match step.twin {
        Twin::Replayed => {
            zone.control.0.turns.wait("finished", 1);
            assert_eq!(outcome, Some(&turn.result), "{what}: exactly the entry that was to stand");
        }
        Twin::Interrupted => {
            assert_eq!(turn.state, "interrupted", "{what}");
            assert!(
                outcome.is_none_or(|o| o["status"] == "interrupted" && o.get("outcome").is_none()),
                "{what}"
            );
        }
    }
    assert_eq!(two_truths(&zone), 0, "{what}");
    provider.play(|_| provider::stream(&["another"], 0));
    let twin = post(&zone, path, "k", stream);
    match step.twin {
        Twin::Replayed => {
            assert_eq!((twin.status, twin.text().as_str()), (200, "some text"), "{what}: {twin:?}");
        }
        Twin::Interrupted => {
            assert_eq!(twin.code(), "turn_interrupted", "{what}: {twin:?}");
        }
    }
    assert_eq!(provider.calls(), calls, "{what}: the twin called nobody");
    let journal = zone.dir.path().join("journal");
    let mut shard = std::fs::read_dir(&journal).expect("a folder").flatten().map(|e| e.path());
    let shard = shard.find(|path| path.join("segments").is_dir()).expect("a shard");
    let report = verify_log(&RealDisk, &shard).expect("read");
    assert_eq!((report.wrong, report.open.len()), (0, 0), "{what}: {:?}", report.findings);
}

#[test]
fn a_relay_killed_at_any_step_leaves_one_truth() {
    let cases: usize = std::env::var("DRAGOMAN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let all = STEPS.iter().enumerate();
    // A small share takes each step once; the whole is each step, route and form, as often as asked.
    let mut plans: Vec<(&Moment, &str, bool)> = Vec::new();
    for (at, step) in all {
        if cases == 0 {
            plans.push((step, ROUTES[at % 2], at % 3 == 0));
        }
        for _ in 0..cases {
            plans.extend(ROUTES.iter().flat_map(|path| [(step, *path, false), (step, *path, true)]));
        }
    }
    let kills = plans.len();
    for (step, path, stream) in plans {
        killed_at(step, path, stream);
    }
    println!("{}", json!({"kills": kills, "steps": STEPS.len(), "second_calls": 0, "two_truths": 0}));
}

#[test]
fn nothing_is_served_before_the_last_process_is_settled() {
    let provider = answers(false);
    let mut zone = Zone::start(&[&provider], |_| {});
    zone.signal(libc::SIGKILL);
    zone.wait();
    zone.control.0.turns.fault("recover", Some(Fault::Fails));
    let asked = zone.control.asked("/turns/recover");
    zone.spawn();
    eventually("control is asked", || zone.control.asked("/turns/recover") > asked + 1);
    assert_eq!(zone.client().get("/readyz").status, 503);
    let refused = post(&zone, ROUTES[1], "k", false);
    assert_eq!((refused.status, refused.code().as_str()), (503, "no_contact"));
    zone.control.0.turns.fault("recover", None);
    eventually("it serves", || zone.client().get("/readyz").status == 200);
    assert_eq!(post(&zone, ROUTES[1], "k", false).status, 200);
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_control_that_forgets_an_outcome_at_the_start_is_found_out() {
    let provider = answers(false);
    let mut zone = Zone::start(&[&provider], |_| {});
    zone.control.0.turns.fault("closing", Some(Fault::Held));
    let mut client = zone.client();
    client.send("POST", ROUTES[1], "authorization: Bearer k1\r\n", &body(true));
    eventually("control has the outcome", || state(&zone, "closing"));
    zone.signal(libc::SIGKILL);
    zone.wait();
    zone.control.0.turns.fault("recover", Some(Fault::Lost));
    zone.run();
    zone.control.0.turns.fault("closing", None);
    assert_eq!(zone.control.fed("result", 1)[0]["status"], "interrupted");
    assert_eq!(two_truths(&zone), 1, "the negative control");
}
