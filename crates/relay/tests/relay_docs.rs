//! What is published matches what the relay does: error codes, help, golden messages.
use dragoman_relay::budget::message::Allotments;
use dragoman_relay::wire::{Changes, Cursor, Lang, Plan, Principal, Recovered, TurnAnswer, WireError};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(root().join("tests/wire/v1").join(name)).expect("a golden file")
}

#[test]
fn every_error_code_is_documented_as_it_is() {
    let docs = std::fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    for row in dragoman_relay::errors::ALL {
        let line = format!("| `{}` | {} | `{}` | {} | {} |", row.code, row.status, row.kind, row.en, row.zh);
        assert!(docs.contains(&line), "docs/errors.md lacks: {line}");
    }
}

#[test]
fn every_code_of_an_answer_is_in_the_table() {
    for code in dragoman_engine::answer::ANSWER_CODES {
        assert!(dragoman_relay::errors::ALL.iter().any(|row| row.code == code), "{code} is not in the table");
    }
}

#[test]
fn codes_are_unique_and_say_what_to_do_in_two_languages() {
    let mut codes: Vec<&str> = dragoman_relay::errors::ALL.iter().map(|row| row.code).collect();
    for row in dragoman_relay::errors::ALL {
        assert!(row.en.ends_with('.') && row.zh.ends_with('。'), "{}", row.code);
    }
    codes.sort_unstable();
    let before = codes.len();
    codes.dedup();
    // `invalid_key` is also control's code: one meaning, one code.
    assert_eq!(codes.len(), before);
}

#[test]
fn golden_messages_are_read() {
    let principal: Principal = serde_json::from_slice(&golden("principal.response.json")).expect("principal");
    assert_eq!(principal.scopes, ["turns", "models"]);
    let plan: Plan = serde_json::from_slice(&golden("plan.response.allow.json")).expect("plan");
    assert_eq!((plan.attempts[0].provider.as_str(), plan.labels.len()), ("local", 2));
    let denied: Plan = serde_json::from_slice(&golden("plan.response.deny.json")).expect("plan");
    assert!(denied.attempts.is_empty() && denied.refusal.is_some());
    let simulated: Plan = serde_json::from_slice(&golden("plan.response.simulated.json")).expect("plan");
    assert!(simulated.simulated && !denied.simulated && !plan.simulated);
    assert_eq!(simulated.refusal.expect("a notice").outcome, "NOT_CARRIED_OUT");
    serde_json::from_slice::<Principal>(&golden("principal.response.simulated.json")).expect("principal");
    let changes: Changes = serde_json::from_slice(&golden("changes.response.json")).expect("changes");
    assert_eq!((changes.seq, changes.changes.len(), changes.reset), (12, 2, false));
    let reset: Changes = serde_json::from_slice(&golden("changes.reset.response.json")).expect("changes");
    assert!(reset.reset);
    let error: WireError = serde_json::from_slice(&golden("error.wrong_zone.response.json")).expect("error");
    assert_eq!(error.error.zone.as_deref(), Some("eu"));
    assert_eq!((plan.budgets[0].limit.as_str(), plan.rates[0].burst), ("team-daily", 60));
    assert_eq!(plan.attempts[0].price.as_ref().map(|price| price.currency.is_none()), Some(true));
    let limited: Principal =
        serde_json::from_slice(&golden("principal.response.limits.json")).expect("principal");
    assert_eq!(limited.budgets[0].currency.as_deref(), Some("EUR"));
    let allotted: Allotments =
        serde_json::from_slice(&golden("allotments.response.json")).expect("allotments");
    assert_eq!((allotted.buckets[0].before, allotted.buckets[0].granted), (5_000, 25_000));
    let cursor: Cursor = serde_json::from_slice(&golden("cursor.response.json")).expect("cursor");
    assert_eq!(cursor.next, 42);
}

#[test]
fn the_golden_configuration_is_read_and_a_changed_one_is_not() {
    // SAFETY: no other thread of this test reads the environment.
    unsafe { std::env::set_var("MAIN_KEY", "secret") };
    let bytes = golden("relay.config.json");
    let config = dragoman_relay::config::Config::parse(&bytes).expect("the golden configuration");
    assert_eq!((config.threads, config.providers.len()), (2, 2));
    let rates = config.edge.per_minute;
    assert_eq!((rates.failed_credentials, rates.requests, rates.refused_turns), (60, 600, 120));
    assert!(!format!("{config:?}").contains("secret"), "a credential is never printed");
    let changed = String::from_utf8(bytes).expect("UTF-8").replace("\"threads\": 2", "\"threads\": 3");
    let error = dragoman_relay::config::Config::parse(changed.as_bytes()).expect_err("another digest");
    assert!(error.to_string().contains("digest"), "{error}");
}

#[test]
fn the_first_spoken_language_of_the_header_is_taken() {
    assert_eq!(Lang::of(Some("zh-CN,zh;q=0.9,en;q=0.8")), Lang::Zh);
    assert_eq!(Lang::of(Some("de, en-GB;q=0.7, zh;q=0.5")), Lang::En);
    assert_eq!(Lang::said(Some("fr")), None);
    assert_eq!(Lang::of(None), Lang::En);
}

#[test]
fn help_teaches_the_arguments() {
    for word in ["--config", "--help", "--version", "SIGTERM", "Exit status"] {
        assert!(dragoman_relay::HELP.contains(word), "{word}");
    }
}

#[test]
fn golden_messages_of_stored_turns_are_read() {
    let read = |name: &str| serde_json::from_slice::<TurnAnswer>(&golden(name)).expect(name);
    let opened = read("turns.response.opened.json");
    assert_eq!((opened.state.as_str(), opened.notices.len()), ("opened", 1));
    let upstream = opened.upstream.expect("a body");
    assert!(upstream.get().contains("How do I return a lamp?"));
    let finished = read("turns.response.finished.json");
    assert_eq!(finished.answer.expect("a record")["object"], "chat.completion");
    let failed = read("turns.response.failed.json");
    assert_eq!(failed.status.and_then(|status| status.as_u64()), Some(500));
    assert_eq!(failed.error.expect("an error").code, "turn_interrupted");
    let recovered: Recovered = serde_json::from_slice(&golden("recover.response.json")).expect("recovered");
    assert_eq!(recovered.closing[0].result["outcome"], recovered.closing[0].digest.as_str());
}
