use super::{Lines, VALUE_CHARS};
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(say: impl FnOnce()) -> String {
    logged_as(Lines::Json, say)
}

fn logged_as(form: Lines, say: impl FnOnce()) -> String {
    let sink = Sink::default();
    let into = sink.clone();
    let subscriber = tracing_subscriber::fmt().event_format(form).with_writer(move || into.clone()).finish();
    tracing::subscriber::with_default(subscriber, say);
    let written = sink.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}

#[test]
fn a_line_has_controls_shape() {
    let text = logged(|| tracing::warn!(log = %"log_1", next = 7_u64, index = -1, code = true, "log open"));
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    let at = line["at"].as_u64().unwrap();
    assert!(at > 1_700_000_000_000, "milliseconds UTC");
    let wanted = format!(
        r#"{{"at":{at},"level":"warn","event":"log open","log":"log_1","next":7,"index":-1,"code":true}}"#
    );
    assert_eq!(text, wanted + "\n");
}

#[test]
fn a_value_stays_on_its_line_in_ascii_and_bounded() {
    let long = "x".repeat(VALUE_CHARS * 2);
    let text = logged(|| tracing::error!(why = "a\nb\u{202e}c\u{7f}\"中😀", error = %long, "失败"));
    assert!(text.is_ascii());
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{7f}'));
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["why"], "a\nb\u{202e}c\u{7f}\"中😀");
    assert_eq!(line["event"], "失败");
    assert_eq!(line["error"].as_str().unwrap().len(), VALUE_CHARS);
}

#[test]
fn text_keeps_one_line_and_no_value_looks_like_a_field() {
    for nasty in
        ["a\nb", "a\r\nINFO forged", "\u{1b}[2Jx", "\u{202e}x", "\u{2028}x", "\u{7f}", "x\" code=\"y", "\0"]
    {
        let text =
            logged_as(Lines::Text, || tracing::error!(why = nasty, turn = %nasty, "an attempt failed"));
        assert!(text.is_ascii(), "{text}");
        assert!(text.trim_end().bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.contains(r#"Z ERROR "an attempt failed" why=""#), "{text}");
        let quoted = serde_json::to_string(nasty).unwrap().len();
        assert!(text.split("why=").nth(1).unwrap().len() >= quoted, "{text}");
        assert!(!text.replace("\\\"", "").contains("\" code="), "{text}");
    }
}

#[test]
fn what_is_not_listed_and_what_others_say_is_left_out() {
    let text = logged(|| {
        tracing::error!(body = "secret text", turn = "trn_1", "kept");
        tracing::error!(target: "hyper::proto", turn = "secret text", "secret text");
    });
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.contains("trn_1"));
    assert!(!text.contains("secret"), "{text}");
}
