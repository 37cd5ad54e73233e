//! What a stream has said so far, as one event: so that a turn that runs on keeps a text, not each of its frames. Made
//! of the very events that its readers got, hence never more than those.
use serde_json::{Map, Value, json};

/// Members whose later value takes the place of the earlier; other strings go on.
const WHOLE: [&str; 4] = ["role", "id", "type", "index"];

/// The deltas of choice 0, put together.
#[derive(Clone, Default)]
pub struct Merged {
    /// `id`, `object`, `created`, `model`, …
    head: Map<String, Value>,
    content: String,
    delta: Map<String, Value>,
    bytes: usize,
}

impl Merged {
    /// Bytes of the events it is made of, text once.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Code points of the content.
    pub fn points(&self) -> u64 {
        self.content.chars().count() as u64
    }

    /// Takes whole events into account. Comments say nothing.
    pub fn take(&mut self, events: &[u8]) {
        let text = String::from_utf8_lossy(events);
        for data in text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
            if let Ok(Value::Object(event)) = serde_json::from_str(data) {
                self.event(event);
            }
        }
    }

    fn event(&mut self, mut event: Map<String, Value>) {
        let choice = event.get_mut("choices").and_then(|all| all.get_mut(0)).map(Value::take);
        if self.head.is_empty() && choice.is_some() {
            for (name, value) in &event {
                if !matches!(name.as_str(), "choices" | "usage" | "dragoman") {
                    self.head.insert(name.clone(), value.clone());
                }
            }
        }
        let Some(Value::Object(mut delta)) = choice.and_then(|mut c| c.get_mut("delta").map(Value::take))
        else {
            return;
        };
        self.bytes += match delta.remove("content") {
            Some(Value::String(text)) => self.say(&text),
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part["text"].as_str()).map(|text| self.say(text)).sum()
            }
            _ => 0,
        };
        for (name, value) in delta {
            self.bytes += put(&mut self.delta, name, value);
        }
    }

    fn say(&mut self, text: &str) -> usize {
        self.content.push_str(text);
        text.len()
    }

    /// One event that says everything from code point `after` of the content on; everything at all after 0. Nothing
    /// where there is nothing to say.
    pub fn event_after(&self, after: u64) -> Option<Vec<u8>> {
        let rest: String = self.content.chars().skip(usize::try_from(after).unwrap_or(usize::MAX)).collect();
        let mut delta = if after == 0 { self.delta.clone() } else { Map::new() };
        if rest.is_empty() && delta.is_empty() {
            return None;
        }
        delta.insert("content".to_owned(), rest.into());
        let mut event = self.head.clone();
        let choice = json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]);
        event.insert("choices".to_owned(), choice);
        Some(format!("data: {}\n\n", Value::Object(event)).into_bytes())
    }
}

/// Merges a member, as clients do; gives the bytes that it added.
fn put(into: &mut Map<String, Value>, name: String, value: Value) -> usize {
    let whole = WHOLE.contains(&name.as_str());
    match into.get_mut(&name) {
        Some(known) if !whole => add(known, value),
        Some(Value::String(known)) if value.is_string() && !known.is_empty() => 0,
        _ => {
            let bytes = name.len() + value.to_string().len();
            into.insert(name, value);
            bytes
        }
    }
}

fn add(known: &mut Value, more: Value) -> usize {
    match (known, more) {
        (Value::String(known), Value::String(more)) => {
            known.push_str(&more);
            more.len()
        }
        (Value::Object(known), Value::Object(more)) => {
            more.into_iter().map(|(name, value)| put(known, name, value)).sum()
        }
        (Value::Array(known), Value::Array(more)) => {
            more.into_iter().map(|value| element(known, value)).sum()
        }
        (_, Value::Null) => 0,
        (known, more) => {
            *known = more;
            0
        }
    }
}

/// An element with an `index` goes on where that is known; any other is a new one.
fn element(list: &mut Vec<Value>, value: Value) -> usize {
    let index = value.get("index").filter(|index| index.is_number()).cloned();
    let known = index.and_then(|index| list.iter_mut().find(|known| known.get("index") == Some(&index)));
    if let Some(known) = known {
        return add(known, value);
    }
    let bytes = value.to_string().len();
    list.push(value);
    bytes
}
