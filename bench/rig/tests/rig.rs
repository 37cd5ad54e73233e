//! The rig is an instrument: each thing it counts has a case where it must count nothing.

use dragoman_bench::check::{forbidden_chars, lanes, longest_common, looks_complete, text_chars};
use dragoman_bench::request::{Template, own_path};
use dragoman_bench::samples::Samples;
use dragoman_bench::script::{Route, Script};
use dragoman_bench::spec::{Lane, Spec};
use std::time::Duration;

const PHRASE: &str = "velmora quastin dribbek ulvane sorrith pemblo garnick thuvel ozmir cantreb lo";

fn stream(knobs: &str) -> Vec<u8> {
    let spec = Spec::parse(knobs).expect("known knobs");
    let script = Script { spec: &spec, route: Route::Chat, model: "m", phrase: PHRASE, prompt_tokens: 3 };
    script.frames(false).0.concat()
}

#[test]
fn a_planted_phrase_is_found_whole_in_every_lane_and_never_where_it_is_not() {
    for lane in ["content", "reasoning", "tool", "tool,escape=1"] {
        for bytes in [1, 3, 7, 12, 200] {
            let knobs = format!("chunks=30,bytes={bytes},lane={lane}");
            let clean = lanes(&stream(&knobs), true).expect("frames are JSON");
            assert_eq!(forbidden_chars(&clean, PHRASE, true), 0, "{knobs}");
            let planted = lanes(&stream(&format!("{knobs},plant=1")), true).expect("JSON");
            assert_eq!(forbidden_chars(&planted, PHRASE, true), PHRASE.len(), "{knobs}");
        }
    }
}

#[test]
fn the_phrase_is_split_over_frames() {
    let body = stream("chunks=30,bytes=12,plant=1");
    let text = String::from_utf8(body).expect("UTF-8");
    assert!(!text.contains("velmora quastin"), "twelve bytes cannot hold two words");
}

#[test]
fn a_leaked_prefix_is_counted_by_its_characters() {
    assert_eq!(longest_common("今天velmora quastin dribbek u|", PHRASE), 25);
    assert_eq!(longest_common("", PHRASE), 0);
    let body = br#"{"choices":[{"index":0,"message":{"content":"velmora q"},"finish_reason":"stop"}]}"#;
    let found = lanes(body, false).expect("JSON");
    assert_eq!((forbidden_chars(&found, PHRASE, true), forbidden_chars(&found, PHRASE, false)), (9, 0));
    let error = lanes(br#"{"error":{"message":"not allowed: velmora q"}}"#, false).expect("JSON");
    assert_eq!((forbidden_chars(&error, PHRASE, true), forbidden_chars(&error, PHRASE, false)), (0, 9));
}

#[test]
fn an_escaped_lane_cut_inside_an_escape_is_still_counted() {
    let arguments = r#"{\"query\":\"\\u0076\\u0065\\u006c\\u006d\\u006f\\u00"#;
    let body = format!(
        r#"{{"choices":[{{"index":0,"message":{{"tool_calls":[{{"function":{{"arguments":"{arguments}"}}}}]}}}}]}}"#
    );
    assert_eq!(forbidden_chars(&lanes(body.as_bytes(), false).expect("JSON"), PHRASE, true), 5);
}

#[test]
fn completeness_needs_finish_and_end_marker() {
    let whole = stream("chunks=5");
    assert!(looks_complete(&whole, true));
    let text = String::from_utf8(whole).expect("UTF-8");
    assert!(!looks_complete(text.replace("data: [DONE]", "").as_bytes(), true));
    assert!(!looks_complete(
        text.replace("\"finish_reason\":\"stop\"", "\"finish_reason\":null").as_bytes(),
        true
    ));
    assert!(!looks_complete(b"<html>busy</html>", false));
}

#[test]
fn lanes_keep_choices_apart() {
    let body = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]}\n\n\
                data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n\
                data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"B\"}}]}\n\ndata: [DONE]\n\n";
    let found = lanes(body.as_bytes(), true).expect("JSON");
    assert_eq!(found["/choices/1/delta/content"], "bB");
    assert_eq!(found["/choices/0/delta/content"], "a");
    assert_eq!(text_chars(&found), 3);
    assert!(lanes(b"data: {half\n\n", true).is_err());
}

#[test]
fn knobs_are_read_or_refused() {
    let spec = Spec::parse("chunks=100,gap_ms=20,lane=tool,text=en").expect("known knobs");
    assert_eq!((spec.chunks, spec.lane, spec.chinese), (100, Lane::Tool, false));
    assert_eq!(spec.gap, Duration::from_millis(20));
    for wrong in ["chunk=3", "chunks=many", "lane=side", "text=fr"] {
        assert!(Spec::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn requests_differ_and_say_their_length() {
    let template = Template {
        host: "h",
        path: "/v1/chat/completions",
        model: "m",
        stream: true,
        history_bytes: 64 * 1024,
        headers: &[("authorization".to_owned(), "Bearer k".to_owned())],
        token_header: Some("user-token"),
    };
    let prepared = template.prepare();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    prepared.write(1, Some("t1"), &mut one);
    prepared.write(1_234_567_890, Some("t2"), &mut two);
    assert_ne!(one, two);
    let text = String::from_utf8(two).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    assert!(head.ends_with("user-token: t2"));
    assert!(body.contains("#1234567890"));
    assert!(body.len() > 64 * 1024 && body.len() < 70 * 1024);
    serde_json::from_str::<serde_json::Value>(body).expect("the body is JSON");
}

#[test]
fn quantiles_are_nearest_rank() {
    let mut samples = Samples::default();
    for ms in 1..=100 {
        samples.add(Duration::from_millis(ms));
    }
    let q = samples.quantiles();
    assert_eq!((q.p50, q.p99, q.max, q.n), (50.0, 99.0, 100.0, 100));
    assert!(Samples::default().quantiles().p99.abs() < f64::EPSILON);
}

#[test]
fn no_two_connections_ask_one_conversation_and_all_are_asked() {
    for (all, connections) in [(16, 16), (17, 16), (100, 7), (64, 64)] {
        let own: Vec<std::collections::BTreeSet<usize>> = (0..connections)
            .map(|number| (0..all * 2).map(|asked| own_path(all, connections, number, asked)).collect())
            .collect();
        assert_eq!(
            own.iter().map(std::collections::BTreeSet::len).sum::<usize>(),
            all,
            "{all} {connections}"
        );
        assert_eq!(own.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), all);
    }
    assert_eq!((0..9).map(|n| own_path(1, 8, n % 8, n)).max(), Some(0), "one path is everybody's");
}

#[test]
fn a_conversation_is_asked_with_one_message_and_nothing_else_is() {
    let body = |path| {
        let template = Template {
            host: "h",
            path,
            model: "m",
            stream: true,
            history_bytes: 0,
            headers: &[],
            token_header: None,
        };
        let mut out = Vec::new();
        template.prepare().write(7, None, &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        serde_json::from_str::<serde_json::Value>(text.split_once("\r\n\r\n").expect("a body").1)
            .expect("JSON")
    };
    assert_eq!(body("/v1/conversations/cnv_x/turns")["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(body("/v1/chat/completions")["messages"].as_array().map(Vec::len), Some(2));
}
