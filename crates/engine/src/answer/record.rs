//! The answer record of a stored turn: what was released, and the notice that ended it, without labels, as a whole body
//! of the route. Made of what the lanes let out, so that it never holds what a rule suppressed; and that body again as a stream.

use super::frame::Kind;
use super::lanes::{Choice, LaneState};
use super::told::string;
use super::{AnswerScan, write};
use crate::request::Route;
use serde_json::{Map, Value, json};

impl AnswerScan {
    /// The record as JSON text. Says nothing where nothing is kept.
    pub fn record(&mut self) -> String {
        self.head.complete(&self.spec);
        let mut body = Vec::new();
        self.head.whole_envelope(self.spec.route, &mut body);
        body.extend_from_slice(b",\"choices\":[");
        // What a refusal could still have taken back was not released.
        let withheld = self.withheld.is_some();
        let mut choices: Vec<&Choice> = self.choices.iter().filter(|_| !withheld).collect();
        choices.sort_by_key(|choice| choice.index);
        for (at, choice) in choices.into_iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            recorded(choice, self.spec.route, &mut body);
        }
        body.push(b']');
        if self.usage.known {
            body.extend_from_slice(b",\"usage\":");
            body.extend_from_slice(self.usage.shown().as_bytes());
        }
        body.push(b'}');
        String::from_utf8_lossy(&body).into_owned()
    }

    /// A whole body whose every choice says nothing and has ended.
    pub(super) fn whole_empty(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.choices.clear();
        self.head.envelope(&mut body);
        body.extend_from_slice(b",\"choices\":[");
        for index in 0..self.spec.n {
            if index > 0 {
                body.push(b',');
            }
            let at = self.choice(index);
            self.choices[at].closed = Some("stop".to_owned());
            recorded(&self.choices[at], self.spec.route, &mut body);
        }
        body.push(b']');
        if self.usage.known {
            body.extend_from_slice(b",\"usage\":");
            body.extend_from_slice(self.usage.shown().as_bytes());
        }
        body.push(b'}');
        body
    }
}

fn kept(choice: &Choice, kind: Kind) -> Option<&str> {
    choice.lanes.iter().find(|lane| lane.kind == kind)?.kept.as_deref()
}

fn recorded(choice: &Choice, route: Route, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"index\":{},", choice.index).as_bytes());
    match route {
        Route::Completions => {
            out.extend_from_slice(b"\"text\":");
            string(kept(choice, Kind::Text).unwrap_or_default(), out);
        }
        Route::Chat => {
            out.extend_from_slice(b"\"message\":");
            out.extend_from_slice(Value::Object(message(choice)).to_string().as_bytes());
        }
    }
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
    match &choice.closed {
        Some(reason) => string(reason, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn message(choice: &Choice) -> Map<String, Value> {
    let mut message = Map::new();
    let calls = tool_calls(choice);
    let content = kept(choice, Kind::Content);
    let silent = content.is_none_or(str::is_empty) && !calls.is_empty();
    message.insert("role".to_owned(), "assistant".into());
    message
        .insert("content".to_owned(), if silent { Value::Null } else { content.unwrap_or_default().into() });
    let refusal = kept(choice, Kind::Refusal).filter(|text| !text.is_empty());
    message.insert("refusal".to_owned(), refusal.into());
    for (name, kind) in [("reasoning_content", Kind::ReasoningContent), ("reasoning", Kind::Reasoning)] {
        if let Some(text) = kept(choice, kind).filter(|text| !text.is_empty()) {
            message.insert(name.to_owned(), text.into());
        }
    }
    let notes = [b"[", choice.kept_notes.as_slice(), b"]"].concat();
    if let Some(notes) = serde_json::from_slice::<Value>(&notes).ok().filter(|n| n != &json!([])) {
        message.insert("annotations".to_owned(), notes);
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    if let Some(arguments) = kept(choice, Kind::CallArguments) {
        let name = kept(choice, Kind::CallName).unwrap_or_default();
        message.insert("function_call".to_owned(), json!({ "name": name, "arguments": arguments }));
    }
    message
}

/// The tool calls in the order of their indexes, with the ids that the client got.
fn tool_calls(choice: &Choice) -> Vec<Value> {
    let index = |lane: &LaneState| match lane.kind {
        Kind::ToolName(at) | Kind::ToolArguments(at) | Kind::ToolInput(at) => Some(at),
        _ => None,
    };
    let mut indexes: Vec<u32> = choice.lanes.iter().filter_map(index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes.into_iter().map(|at| tool_call(choice, at)).collect()
}

fn tool_call(choice: &Choice, at: u32) -> Value {
    let known = choice.tool_ids.iter().find(|(tool, _, id)| *tool == at && id.len() > 2 && id != "null");
    let id: Value = known.and_then(|(.., id)| serde_json::from_str(id).ok()).unwrap_or_default();
    let name = kept(choice, Kind::ToolName(at)).unwrap_or_default();
    if let Some(input) = kept(choice, Kind::ToolInput(at)) {
        return json!({ "id": id, "type": "custom", "custom": { "name": name, "input": input } });
    }
    let arguments = kept(choice, Kind::ToolArguments(at)).unwrap_or_default();
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

/// A record, or a whole answer, as the events of a stream; nothing for what is neither.
pub fn record_events(record: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let chat = record.get("object")? == "chat.completion";
    let head = |choices: Value| {
        json!({
            "id": record["id"], "object": if chat { "chat.completion.chunk" } else { "text_completion" },
            "created": record["created"], "model": record["model"], "choices": choices,
        })
    };
    let choices = record.get("choices")?.as_array()?;
    for choice in choices {
        let mut said = json!({ "index": choice["index"], "finish_reason": null });
        if chat {
            said["delta"] = delta(choice.get("message")?);
        } else {
            said["text"] = choice.get("text")?.clone();
        }
        write::event(head(json!([said])).to_string().as_bytes(), &mut out);
    }
    for (at, choice) in choices.iter().enumerate() {
        let mut end = json!({ "index": choice["index"], "finish_reason": choice["finish_reason"] });
        end[if chat { "delta" } else { "text" }] = if chat { json!({}) } else { "".into() };
        let mut frame = head(json!([end]));
        if let Some(said) = record.get("dragoman").filter(|_| at + 1 == choices.len()) {
            frame["dragoman"] = said.clone();
        }
        write::event(frame.to_string().as_bytes(), &mut out);
    }
    if let Some(usage) = record.get("usage").filter(|usage| usage.is_object()) {
        let mut frame = head(json!([]));
        frame["usage"] = usage.clone();
        write::event(frame.to_string().as_bytes(), &mut out);
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    Some(out)
}

/// A message as the delta that says all of it: its tool calls have their indexes.
fn delta(message: &Value) -> Value {
    let mut delta = message.clone();
    if let Some(calls) = delta.get_mut("tool_calls").and_then(Value::as_array_mut) {
        for (at, call) in calls.iter_mut().enumerate() {
            call["index"] = at.into();
        }
    }
    delta
}
