//! Nanoseconds per frame of a streamed answer: events split, JSON walked, lanes scanned, frames written.
//! `cargo run --release -p dragoman-engine --example answer_speed`

use std::sync::Arc;
use std::time::Instant;

use dragoman_engine::answer::{AnswerScan, AnswerSpec, Links};
use dragoman_engine::request::Route;
use dragoman_engine::rules::{
    Action, Direction, Edges, Granularity, Limits, Locale, RuleSet, RuleSetSource, RuleSource, Text,
};

const RULES: usize = 10_000;
const FRAMES: usize = 1_000;
const ROUNDS: usize = 100;

/// A small generator, so that a run repeats exactly.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn han(&mut self) -> char {
        char::from_u32(0x4E00 + self.next(2_500) as u32).unwrap_or('中')
    }
}

fn rules(random: &mut Random) -> Arc<RuleSet> {
    let words = (0..RULES).map(|_| (0..3 + random.next(3)).map(|_| random.han()).collect()).collect();
    let rule = RuleSource {
        id: "speed".to_owned(),
        words,
        view: "A".to_owned(),
        direction: vec![Direction::Out],
        action: Action::Redact,
        granularity: Granularity::Span,
        edges: Edges::default(),
        exempts: Vec::new(),
        message: None,
        placeholder: Some(Text { en: "[removed]".to_owned(), zh: "[已隐去]".to_owned() }),
        source: None,
        reason_code: None,
    };
    let limits = Limits {
        rules_max: 20_000,
        words_max: 10 * RULES,
        word_symbols_min: 2,
        hold_max: 2304,
        lane_max: 2304,
    };
    Arc::new(RuleSet::compile(&RuleSetSource { v: 1, rules: vec![rule] }, limits).expect("rules compile"))
}

fn spec(rules: &Arc<RuleSet>) -> AnswerSpec {
    AnswerSpec {
        route: Route::Chat,
        stream: true,
        include_usage: false,
        asked_model: "dragoman".to_owned(),
        n: 1,
        locale: Locale::En,
        rules: Arc::clone(rules),
        rules_digest: "sha256:0".to_owned(),
        labels: [].into(),
        notices: [].into(),
        json_lanes: false,
        blocks: Vec::new(),
        turn: "trn_local_1".to_owned(),
        decision: "dec_1".to_owned(),
        links: Links { reasons: "/v1/interventions/".to_owned(), appeal: "/appeal/".to_owned() },
        inward: String::new(),
        created: 0,
        new_id: Box::new(|| "int_local_1".to_owned()),
        keep: false,
        about: String::new(),
    }
}

fn frames(random: &mut Random, long: bool, han: bool, repeats: bool) -> Vec<Vec<u8>> {
    let head = if long {
        r#""id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","model":"gpt-4o-mini-2026-07-18","service_tier":"default","system_fingerprint":"fp_44709d6fcb","#
    } else {
        r#""id":"c-1","object":"chat.completion.chunk","model":"m","#
    };
    let logprobs = if long { r#","logprobs":null"# } else { "" };
    (0..FRAMES)
        .map(|at| {
            // A provider that counts its frames never repeats one: each is read in full.
            let counted = if repeats { String::new() } else { format!("\"created\":{at},") };
            let text: String = if han {
                (0..2).map(|_| random.han()).collect()
            } else {
                format!(" w{}", random.next(1_000))
            };
            format!(
                "data: {{{head}{counted}\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}{logprobs},\"finish_reason\":null}}]}}\n\n"
            )
            .into_bytes()
        })
        .collect()
}

/// Frames of a tool call's arguments, which are scanned as JSON.
fn arguments(random: &mut Random) -> Vec<Vec<u8>> {
    let piece = |text: String| {
        format!(
            "data: {{\"id\":\"c-1\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{text}\"}}}}]}},\"finish_reason\":null}}]}}\n\n"
        )
        .into_bytes()
    };
    let mut frames = vec![piece("{\\\"q\\\":\\\"".to_owned())];
    frames.extend((1..FRAMES).map(|_| piece(format!(" w{}", random.next(1_000)))));
    frames
}

/// Best of the rounds, ns per frame.
fn measure(rules: &Arc<RuleSet>, chunks: &[Vec<u8>]) -> f64 {
    let mut best = f64::MAX;
    let mut out = Vec::with_capacity(1 << 20);
    for _ in 0..ROUNDS {
        let mut scan = AnswerScan::new(spec(rules));
        out.clear();
        let start = Instant::now();
        for chunk in chunks {
            scan.bytes(chunk, &mut out).expect("an answer");
        }
        best = best.min(start.elapsed().as_nanos() as f64 / FRAMES as f64);
    }
    best
}

fn main() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let with = rules(&mut random);
    let without = RuleSet::empty();
    let shapes = [(false, true), (false, false), (true, true), (true, false)];
    for (repeats, (long, han)) in [true, false].into_iter().flat_map(|r| shapes.map(|shape| (r, shape))) {
        let alone = frames(&mut random, long, han, repeats);
        let size = alone.iter().map(Vec::len).sum::<usize>() / FRAMES;
        let together: Vec<Vec<u8>> = alone.chunks(100).map(<[Vec<u8>]>::concat).collect();
        println!(
            "{size:4} B {} {}: {:5.0} ns alone, {:5.0} ns 100 at once, {:5.0} ns without rules",
            if han { "zh" } else { "en" },
            if repeats { "repeated" } else { "in full" },
            measure(&with, &alone),
            measure(&with, &together),
            measure(&without, &together),
        );
    }
    let calls = arguments(&mut random);
    println!("tool arguments: {:5.0} ns alone", measure(&with, &calls));
}
