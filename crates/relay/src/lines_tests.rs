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
    let sink = Sink::default();
    let into = sink.clone();
    let subscriber = tracing_subscriber::fmt().event_format(Lines).with_writer(move || into.clone()).finish();
    tracing::subscriber::with_default(subscriber, say);
    let written = sink.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}

#[test]
fn a_line_has_controls_shape() {
    let text = logged(|| tracing::warn!(log = %"log_1", next = 7_u64, neg = -1, ok = true, "log open"));
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    let at = line["at"].as_u64().unwrap();
    assert!(at > 1_700_000_000_000, "milliseconds UTC");
    let wanted = format!(
        r#"{{"at":{at},"level":"warn","event":"log open","log":"log_1","next":7,"neg":-1,"ok":true}}"#
    );
    assert_eq!(text, wanted + "\n");
}

#[test]
fn a_value_stays_on_its_line_in_ascii_and_bounded() {
    let long = "x".repeat(VALUE_CHARS * 2);
    let text = logged(|| tracing::error!(what = "a\nb\u{202e}c\u{7f}\"中😀", long = %long, "失败"));
    assert!(text.is_ascii());
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{7f}'));
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["what"], "a\nb\u{202e}c\u{7f}\"中😀");
    assert_eq!(line["event"], "失败");
    assert_eq!(line["long"].as_str().unwrap().len(), VALUE_CHARS);
}
