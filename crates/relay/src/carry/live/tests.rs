//! Readers of a running turn against what was delivered: any attachment, any size of frames, any pace.
use super::{LiveTurn, Reader, Unread};
use crate::limits;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::task::{Context, Poll, Waker};

fn frame(delta: &Value) -> Vec<u8> {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
    let frame = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
    format!("data: {frame}\n\n").into_bytes()
}

/// What a reader has: the content, the other members of its deltas merged by a client's own rules, and its end.
#[derive(Debug, Default)]
struct Client {
    bytes: Vec<u8>,
    over: bool,
    cut: bool,
}

impl Client {
    fn read(&mut self, reader: &mut Reader) {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match reader.poll(&mut cx) {
                Poll::Ready(Some(Ok(bytes))) => self.bytes.extend_from_slice(&bytes),
                Poll::Ready(Some(Err(_))) => {
                    self.cut = true;
                    return;
                }
                Poll::Ready(None) => {
                    self.over = true;
                    return;
                }
                Poll::Pending => return,
            }
        }
    }

    fn events(&self) -> Vec<Value> {
        let text = String::from_utf8(self.bytes.clone()).expect("UTF-8");
        let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).expect("JSON")).collect()
    }

    fn lane(&self, name: &str) -> String {
        let events = self.events();
        events.iter().filter_map(|event| event["choices"][0]["delta"][name].as_str()).collect()
    }
}

fn live() -> std::sync::Arc<LiveTurn> {
    LiveTurn::new("trn_1", "cnv_1", "ten_1", "prn_1")
}

#[test]
fn a_late_reader_gets_every_code_point_from_where_it_was() {
    let piece = prop::sample::select(vec!["a", "é", "世界", "👩\u{200d}👩\u{200d}👧", "\n\"", ""]);
    let deliveries = prop::collection::vec((piece, 0usize..3, any::<bool>()), 1..24);
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(
            &(deliveries, any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            |(all, when, place)| {
                let live = live();
                let mut own = live.reader(None).expect("a place");
                let mut first = Client::default();
                // Some frames are larger than what is kept as it is, so that the beginning is folded.
                let sizes = [1, 40, limits::LIVE_RAW_BYTES];
                let text = |at: usize| all[at].0.repeat(sizes[all[at].1] / all[at].0.len().max(1) + 1);
                let attach = when.index(all.len() + 1);
                let mut late: Option<(u64, Reader, Client)> = None;
                for at in 0..=all.len() {
                    if at == attach {
                        let so_far: String = (0..at).map(text).collect();
                        let points = so_far.chars().count() as u64;
                        let after = place.index(points as usize + 1) as u64;
                        prop_assert!(matches!(live.reader(Some(points + 1)), Err(Unread::Ahead)));
                        late = Some((after, live.reader(Some(after)).expect("a place"), Client::default()));
                    }
                    if at < all.len() {
                        live.deliver(frame(&json!({"content": text(at)}))).expect("room");
                        if all[at].2 {
                            first.read(&mut own);
                            if let Some((_, reader, client)) = &mut late {
                                client.read(reader);
                            }
                        }
                    }
                }
                live.close(&frame(&json!({})), true);
                first.read(&mut own);
                let whole: String = (0..all.len()).map(text).collect();
                let (after, mut reader, mut client) = late.expect("attached");
                client.read(&mut reader);
                prop_assert!(client.over);
                let expected: String = whole.chars().skip(after as usize).collect();
                // One that did not read in time is cut off, never given less without a sign.
                if client.cut {
                    prop_assert!(expected.starts_with(&client.lane("content")));
                } else {
                    prop_assert_eq!(client.lane("content"), expected);
                }
                prop_assert!(first.cut || first.lane("content") == whole);
                Ok(())
            },
        )
        .expect("holds");
}

#[test]
fn everything_else_of_the_beginning_is_told_from_0_and_not_from_later() {
    let live = live();
    let call = |part: Value| frame(&json!({"tool_calls": [part]}));
    let note = |n: u32| frame(&json!({"annotations": [{"type": "url_citation", "n": n}]}));
    let big = "x".repeat(limits::LIVE_RAW_BYTES);
    for bytes in [
        frame(&json!({"role": "assistant", "content": ""})),
        frame(&json!({"reasoning": "because "})),
        frame(&json!({"reasoning": "so"})),
        call(
            json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{"}}),
        ),
        call(
            json!({"index": 1, "id": "call_2", "type": "function", "function": {"name": "look", "arguments": ""}}),
        ),
        call(json!({"index": 0, "function": {"arguments": "}"}})),
        note(1),
        frame(&json!({"content": [{"type": "text", "text": "ab"}]})),
        note(2),
        b":\n\n".to_vec(),
        frame(&json!({"content": big})),
    ] {
        live.deliver(bytes).expect("room");
    }
    assert!(live.state().base > 0, "the beginning is folded");
    let mut client = Client::default();
    client.read(&mut live.reader(Some(0)).expect("a place"));
    let events = client.events();
    assert_eq!((events.len(), &events[0]["id"], &events[0]["model"]), (1, &json!("c1"), &json!("m")));
    let delta = &events[0]["choices"][0]["delta"];
    assert_eq!((&delta["role"], &delta["reasoning"]), (&json!("assistant"), &json!("because so")));
    let called = |id: &str, at: u32, name: &str, arguments: &str| json!({"index": at, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    assert_eq!(
        delta["tool_calls"],
        json!([called("call_1", 0, "find", "{}"), called("call_2", 1, "look", "")])
    );
    assert_eq!(delta["annotations"].as_array().map(Vec::len), Some(2));
    assert_eq!(delta["content"].as_str().map(str::len), Some(2 + big.len()));
    let mut later = Client::default();
    later.read(&mut live.reader(Some(1)).expect("a place"));
    let delta = &later.events()[0]["choices"][0]["delta"];
    assert_eq!(delta.as_object().map(serde_json::Map::len), Some(1), "only the content");
    assert!(delta["content"].as_str().is_some_and(|text| text.starts_with("bxx")));
}

#[test]
fn a_slow_reader_is_cut_off_and_holds_up_nobody() {
    let live = live();
    let mut slow = live.reader(None).expect("a place");
    let mut fast = live.reader(None).expect("a place");
    let piece = "y".repeat(1000);
    let mut client = Client::default();
    let mut sent = 0;
    while sent < 2 * limits::LIVE_LAG_BYTES {
        live.deliver(frame(&json!({"content": piece}))).expect("room");
        sent += piece.len();
        client.read(&mut fast);
        let cx = Context::from_waker(Waker::noop());
        assert!(live.poll_room(&cx).is_ready(), "the fast one has room");
    }
    assert!(live.state().kept() <= limits::LIVE_LAG_BYTES);
    let mut cut = Client::default();
    cut.read(&mut slow);
    assert!(cut.cut && !client.cut);
    drop(fast);
    // With only the slow one left, the turn waits until it is gone.
    let mut last = live.reader(Some(0)).expect("a place");
    drop(slow);
    while live.poll_room(&Context::from_waker(Waker::noop())).is_ready() {
        live.deliver(frame(&json!({"content": piece}))).expect("room");
    }
    Client::default().read(&mut last);
    assert!(live.poll_room(&Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_readers() {
    let live = live();
    let piece = "z".repeat(1 << 20);
    let mut sent = 0;
    while live.deliver(frame(&json!({"content": piece}))).is_ok() {
        sent += piece.len();
        assert!(sent <= limits::LIVE_BYTES + 2 * piece.len(), "no end");
    }
    assert!(sent + 2 * piece.len() >= limits::LIVE_BYTES);
    let readers: Vec<_> = (0..limits::LIVE_READERS).map(|_| live.reader(None).expect("a place")).collect();
    assert!(matches!(live.reader(Some(0)), Err(Unread::Crowded)));
    assert_eq!(live.alone_ms(u64::MAX), 0, "it is read");
    drop(readers);
    assert!(live.alone_ms(crate::clock::boot_ms() + 50) >= 50);
    assert!(live.reader(Some(0)).is_ok());
}

#[test]
fn a_whole_answer_is_told_to_who_followed_as_a_stream() {
    let live = live();
    let mut reader = live.reader(Some(0)).expect("a place");
    let body = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}],
        "dragoman": {"turn": "trn_1"}});
    live.close(body.to_string().as_bytes(), false);
    let mut client = Client::default();
    client.read(&mut reader);
    assert!(client.over && client.bytes.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(client.lane("content"), "whole");
    assert!(client.events().iter().any(|event| event["dragoman"]["turn"] == "trn_1"));
}
