//! Streamed answers, cut everywhere: the released text is the offline one, whatever the chunks.

mod answers;

use answers::{Client, label, offline, recorded, run, said, spec, sse, sse_escaped, usual};
use dragoman_engine::request::Route;
use dragoman_engine::rules::RuleSet;

/// What the client must have: the offline result of each lane; a refused choice ends with the notice.
fn expected(frames: &[serde_json::Value], got: &Client, name: &str) {
    let rules = usual();
    let whole = said(frames);
    let refused: Vec<String> = whole
        .iter()
        .filter(|(_, text)| offline(&rules, text).1)
        .map(|(lane, _)| lane.split('/').nth(2).unwrap().to_owned())
        .collect();
    for (lane, text) in &whole {
        let of_refused = refused.iter().any(|choice| lane.contains(&format!("/{choice}")));
        if let Some(choice) = lane.strip_prefix("finish/") {
            let reason = if of_refused { "content_filter" } else { text };
            assert_eq!(got.lane(lane), reason, "{name} {choice}");
            continue;
        }
        if lane.contains("content_filter_results") || lane.contains("annotations") {
            continue;
        }
        let (released, stopped) = offline(&rules, text);
        if stopped {
            let rest = got.lane(lane).strip_prefix(released.as_str()).expect("the released part");
            assert!(
                rest.contains("Stopped here.") && rest.contains("/v1/interventions/int_local_"),
                "{rest}"
            );
        } else if of_refused {
            assert!(released.starts_with(got.lane(lane)), "{name} {lane}");
        } else {
            assert_eq!(got.lane(lane), released, "{name} {lane}");
        }
    }
}

fn check_all(size_cuts: impl Fn(&[u8]) -> Vec<Vec<usize>>) {
    let rules = usual();
    for (name, route, n, frames) in recorded() {
        for bytes in [sse(&frames), sse_escaped(&frames)] {
            let once = run(spec(route, true, n, &rules), [bytes.as_slice()]).map_err(|e| e.0).expect(name);
            let whole = Client::read(&[once.out, once.tail].concat());
            expected(&frames, &whole, name);
            for cuts in size_cuts(&bytes) {
                let chunks = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]);
                let got = run(spec(route, true, n, &rules), chunks).map_err(|e| e.0).expect(name);
                let before = Client::read(&got.out);
                assert!(!before.done && before.dragoman.is_none(), "{name}: an end before the end");
                let all = Client::read(&[got.out, got.tail].concat());
                assert_eq!(all, whole, "{name} {:?}", &cuts[..cuts.len().min(4)]);
                assert_eq!(got.summary, once.summary, "{name} {:?}", &cuts[..cuts.len().min(4)]);
            }
        }
    }
}

#[test]
fn every_cut_in_two() {
    check_all(|bytes| (0..=bytes.len()).map(|at| vec![0, at, bytes.len()]).collect());
}

#[test]
fn one_byte_and_small_chunks() {
    check_all(|bytes| {
        [1, 2, 3, 7, 64]
            .map(|size| {
                let mut cuts: Vec<usize> = (0..bytes.len()).step_by(size).collect();
                cuts.push(bytes.len());
                cuts
            })
            .to_vec()
    });
}

#[test]
fn without_rules_only_model_usage_and_metadata_change() {
    for (name, route, n, frames) in recorded() {
        let mut given = spec(route, true, n, &RuleSet::empty());
        given.labels = [label()].into();
        let got = run(given, [sse(&frames).as_slice()]).map_err(|e| e.0).expect(name);
        let client = Client::read(&[got.out.clone(), got.tail].concat());
        for (lane, text) in said(&frames) {
            let labelled = (lane.ends_with("message/content") || lane.ends_with("/text"))
                && !text.is_empty()
                && !lane.contains("details");
            let text = if labelled { format!("[AI-generated] {text}") } else { text };
            assert_eq!(client.lane(&lane), text, "{name} {lane}");
        }
        assert!(!String::from_utf8(got.out).unwrap().contains("up-1"), "{name}");
        assert_eq!(client.dragoman.unwrap()["turn"], "trn_local_1");
    }
}

#[test]
fn a_frame_read_in_full_and_one_from_a_template_say_the_same() {
    let rules = usual();
    for (name, route, n, frames) in recorded() {
        let counted: Vec<serde_json::Value> = frames
            .iter()
            .enumerate()
            .map(|(at, frame)| {
                let mut frame = frame.clone();
                frame["created"] = serde_json::json!(at);
                frame
            })
            .collect();
        let [repeated, full] = [&frames, &counted].map(|frames| {
            let got =
                run(spec(route, true, n, &rules), [sse(frames).as_slice()]).map_err(|e| e.0).expect(name);
            (Client::read(&[got.out, got.tail].concat()), got.summary)
        });
        assert_eq!(repeated, full, "{name}");
    }
}

#[test]
fn a_long_stream_of_equal_frames_is_scanned_to_its_end() {
    let rules = usual();
    let mut frames = answers::texts(0, "content", &["plain "; 40]);
    frames.extend(answers::texts(
        0,
        "content",
        &["a\n\"b\" ", "se", "cr", "et", " \u{1f600} 绝", "密", "never"],
    ));
    frames.push(answers::finish(0, "stop"));
    for bytes in [sse(&frames), sse_escaped(&frames)] {
        for size in [1, 50, 100_000] {
            let got =
                run(spec(Route::Chat, true, 1, &rules), bytes.chunks(size)).map_err(|e| e.0).expect("runs");
            let client = Client::read(&[got.out, got.tail].concat());
            let said = client.lane("/choices/0/message/content");
            let before = "plain ".repeat(40) + "a\n\"b\" ▮ \u{1f600} \n\nStopped here.";
            assert!(said.starts_with(&before), "{said}");
            assert_eq!(client.lane("finish/0"), "content_filter");
        }
    }
}
