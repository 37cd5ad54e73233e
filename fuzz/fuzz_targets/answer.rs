//! No bytes of a provider make a scan panic, and no forbidden character comes out of it.
#![no_main]

use std::sync::{Arc, LazyLock};

use dragoman_engine::answer::{AnswerScan, AnswerSpec};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{Limits, Locale, RuleSet, RuleSetSource};
use libfuzzer_sys::fuzz_target;

const FORBIDDEN: char = '禁';

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let text = r#"{"en":"[x]","zh":"[x]"}"#;
    let document = format!(
        r#"{{"v":1,"rules":[{{"id":"one","words":["{FORBIDDEN}{FORBIDDEN}","{FORBIDDEN}"],"view":"A","direction":["out"],
        "action":"redact","message":{text},"placeholder":{text}}}]}}"#
    );
    let source: RuleSetSource = serde_json::from_str(&document).expect("a rule set");
    let limits = Limits { rules_max: 10, words_max: 10, word_symbols_min: 1, hold_max: 2304, lane_max: 2304 };
    Arc::new(RuleSet::compile(&source, limits).expect("rules compile"))
});

fn spec(stream: bool) -> AnswerSpec {
    AnswerSpec {
        route: Route::Chat,
        stream,
        include_usage: true,
        asked_model: "m".to_owned(),
        n: 2,
        locale: Locale::En,
        rules: Arc::clone(&RULES),
        rules_digest: String::new(),
        labels: [].into(),
        notices: [].into(),
        json_lanes: false,
        blocks: Vec::new(),
        turn: "t".to_owned(),
        decision: "d".to_owned(),
        intervention_base: "/i/".to_owned(),
        created: 0,
        new_id: Box::new(|| "int".to_owned()),
        keep: true,
        about: String::new(),
    }
}

/// Whether a JSON document has the character, escapes undone.
fn says(json: &str) -> bool {
    let value = serde_json::from_str::<serde_json::Value>(json);
    json.contains(FORBIDDEN) || value.is_ok_and(|value| value.to_string().contains(FORBIDDEN))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let mut out = Vec::new();
    let mut scan = AnswerScan::new(spec(true));
    let mut cut = bytes.chunks(usize::from(size).max(1));
    if cut.all(|chunk| scan.bytes(chunk, &mut out).is_ok()) {
        let _ = scan.end(&mut out);
    }
    assert!(!says(&scan.record()));
    let text = String::from_utf8(out).expect("UTF-8 out of UTF-8");
    assert!(!text.split("\n\n").any(|frame| says(frame.strip_prefix("data: ").unwrap_or(frame))));
    let mut scan = AnswerScan::new(spec(false));
    let mut body = Vec::new();
    if scan.body(bytes).is_ok() && scan.end(&mut body).is_ok() {
        assert!(!says(&String::from_utf8(body).expect("UTF-8 out of UTF-8")));
        assert!(!says(&scan.record()));
    }
});
