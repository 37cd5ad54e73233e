//! Is an answer whole, and does it carry what is forbidden? The quick check looks at bytes; the full
//! one decodes every frame and joins the strings of each lane.

use std::collections::BTreeMap;

use memchr::memmem;
use serde_json::Value;

/// A shorter common piece than this is chance, not a leak (the phrase is made of nonsense words).
pub const SHORTEST_LEAK: usize = 4;

/// Text by JSON path; the parts of one lane in different frames are joined.
pub type Lanes = BTreeMap<String, String>;

/// Looks at bytes only: a finish reason that is a string and, streamed, the end marker.
pub fn looks_complete(body: &[u8], stream: bool) -> bool {
    let key = b"\"finish_reason\":";
    let finished = memmem::rfind_iter(body, key)
        .any(|at| body[at + key.len()..].trim_ascii_start().first() == Some(&b'"'));
    finished && (!stream || body.trim_ascii_end().ends_with(b"data: [DONE]"))
}

/// Decodes an answer into its lanes.
///
/// # Errors
/// A frame that is not JSON.
pub fn lanes(body: &[u8], stream: bool) -> Result<Lanes, String> {
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    let mut lanes = Lanes::new();
    if !stream {
        collect(&serde_json::from_str(text).map_err(|e| e.to_string())?, "", &mut lanes);
        return Ok(lanes);
    }
    for line in text.lines() {
        let Some(data) = line.strip_prefix("data:").map(str::trim) else {
            continue;
        };
        if data != "[DONE]" {
            collect(&serde_json::from_str(data).map_err(|e| format!("{e}: {data}"))?, "", &mut lanes);
        }
    }
    Ok(lanes)
}

fn collect(value: &Value, path: &str, lanes: &mut Lanes) {
    match value {
        Value::String(text) => lanes.entry(path.to_owned()).or_default().push_str(text),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                // A choice or tool call says itself which one it is.
                let index = item.get("index").and_then(Value::as_u64).unwrap_or(i as u64);
                collect(item, &format!("{path}/{index}"), lanes);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                collect(field, &format!("{path}/{name}"), lanes);
            }
        }
        _ => {}
    }
}

fn is_text(path: &str) -> bool {
    is_answer(path)
        && ["/content", "/reasoning_content", "/arguments", "/text"].iter().any(|end| path.ends_with(end))
}

/// Characters of text in the answer's own lanes.
pub fn text_chars(lanes: &Lanes) -> usize {
    lanes.iter().filter(|(path, _)| is_text(path)).map(|(_, text)| text.chars().count()).sum()
}

/// Whether a string is part of the answer, rather than of an error or a header of the document.
pub fn is_answer(path: &str) -> bool {
    path.starts_with("/choices/")
}

/// The most characters of `phrase` in one piece that any string of the answer holds (`within`) or any
/// other string of the document (not `within`), JSON inside JSON decoded too.
pub fn forbidden_chars(lanes: &Lanes, phrase: &str, within: bool) -> usize {
    lanes
        .iter()
        .filter(|(path, _)| is_answer(path) == within)
        .map(|(_, text)| {
            let inner = unescaped(text).map_or(0, |t| longest_common(&t, phrase));
            longest_common(text, phrase).max(inner)
        })
        .max()
        .filter(|n| *n >= SHORTEST_LEAK)
        .unwrap_or(0)
}

/// The lane with `\uXXXX` and the short escapes undone, also where the JSON in it was cut short.
fn unescaped(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return None;
    }
    let quoted = format!("\"{}\"", text.replace('"', ""));
    let mut cut = quoted.as_str();
    // A lane that ends inside an escape: give up its last few characters, not the check.
    for _ in 0..7 {
        if let Ok(decoded) = serde_json::from_str::<String>(&format!("{}\"", cut.trim_end_matches('"'))) {
            return Some(decoded);
        }
        let last = cut.char_indices().next_back()?.0;
        cut = &cut[..last];
    }
    None
}

/// Length in characters of the longest common substring.
pub fn longest_common(text: &str, phrase: &str) -> usize {
    let phrase: Vec<char> = phrase.chars().collect();
    let mut best = 0;
    let mut row = vec![0_usize; phrase.len() + 1];
    for c in text.chars() {
        for i in (0..phrase.len()).rev() {
            row[i + 1] = if phrase[i] == c { row[i] + 1 } else { 0 };
            best = best.max(row[i + 1]);
        }
    }
    best
}
