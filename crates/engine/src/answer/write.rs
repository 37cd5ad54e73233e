//! Frames and bodies of our own making, in the shape of the provider's: the parts that the provider's bytes
//! cannot be copied for.

use super::frame::{Frame, Kind};
use super::guard::Guard;
use super::lanes::Choice;
use super::spec::AnswerSpec;
use super::told::string;
use super::walk::{INDEXED, MESSAGE, POSITIONED};
use crate::request::Route;
use crate::stream::json::decode;

/// Array positions up to which a path can be written again.
const POSITIONS: usize = 16;

/// What all frames of one answer share, as JSON values.
#[derive(Default)]
pub(super) struct Head {
    pub id: String,
    object: String,
    created: String,
    fingerprint: Option<String>,
    pub model: String,
}

impl Head {
    /// Taken from the first frame with a choice; later frames get the same.
    pub fn capture(&mut self, text: &str, frame: &Frame, guard: &mut Guard, spec: &AnswerSpec) {
        if !self.id.is_empty() {
            return;
        }
        if let Some(span) = frame.id {
            let raw = &text[span.start..span.end];
            if guard.is_id(&decode(&raw[1..raw.len() - 1])) && raw.len() > 2 {
                raw.clone_into(&mut self.id);
            }
        }
        if let Some(span) = frame.object {
            text[span.start..span.end].clone_into(&mut self.object);
        }
        if let Some(span) = frame.created {
            text[span.start..span.end].clone_into(&mut self.created);
        }
        self.fingerprint = frame.fingerprint.map(|span| text[span.start..span.end].to_owned());
        self.complete(spec);
    }

    /// Fills in what the provider did not say.
    pub fn complete(&mut self, spec: &AnswerSpec) {
        if self.id.is_empty() {
            let prefix = if spec.route == Route::Chat { "chatcmpl-" } else { "cmpl-" };
            self.id = quoted(&format!("{prefix}{}", spec.turn));
        }
        if self.object.is_empty() {
            self.object = quoted(match (spec.route, spec.stream) {
                (Route::Chat, true) => "chat.completion.chunk",
                (Route::Chat, false) => "chat.completion",
                (Route::Completions, _) => "text_completion",
            });
        }
        if self.created.is_empty() {
            self.created = spec.created.to_string();
        }
        self.model = quoted(&spec.asked_model);
    }

    /// The same of a whole body, also where the answer is a stream.
    pub fn whole_envelope(&self, route: Route, out: &mut Vec<u8>) {
        let object = match route {
            Route::Chat => "\"chat.completion\"",
            Route::Completions => "\"text_completion\"",
        };
        self.enveloped(object, out);
    }

    /// `{"id":…,"object":…,"created":…,"model":…`, to be continued.
    pub fn envelope(&self, out: &mut Vec<u8>) {
        self.enveloped(&self.object, out);
    }

    fn enveloped(&self, object: &str, out: &mut Vec<u8>) {
        for (name, value) in [
            ("{\"id\":", self.id.as_str()),
            (",\"object\":", object),
            (",\"created\":", self.created.as_str()),
            (",\"model\":", self.model.as_str()),
        ] {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        if let Some(fingerprint) = &self.fingerprint {
            out.extend_from_slice(b",\"system_fingerprint\":");
            out.extend_from_slice(fingerprint.as_bytes());
        }
    }
}

/// A frame that adds `text` to a lane. Nothing is written for a path that cannot be written again.
pub(super) fn delta(head: &Head, choice: &Choice, kind: Kind, text: &str, role: bool, out: &mut Vec<u8>) {
    let mut inner = Vec::with_capacity(text.len() + 64);
    if !member(choice, kind, text, &mut inner) {
        return;
    }
    out.extend_from_slice(b"data: ");
    head.envelope(out);
    out.extend_from_slice(format!(",\"choices\":[{{\"index\":{}", choice.index).as_bytes());
    let outside = matches!(kind, Kind::Text)
        || matches!(kind, Kind::Path(number) if !choice.path_text(number).starts_with(MESSAGE));
    if outside {
        out.push(b',');
        out.extend_from_slice(&inner);
    } else {
        out.extend_from_slice(b",\"delta\":{");
        if role {
            out.extend_from_slice(b"\"role\":\"assistant\",");
        }
        out.extend_from_slice(&inner);
        out.push(b'}');
    }
    if kind == Kind::Text {
        out.extend_from_slice(b",\"logprobs\":null");
    }
    out.extend_from_slice(b",\"finish_reason\":null}]}\n\n");
}

/// A frame with annotations, as JSON values and commas.
pub(super) fn notes(head: &Head, index: u32, list: &[u8], out: &mut Vec<u8>) {
    let mut frame = Vec::with_capacity(list.len() + 256);
    head.envelope(&mut frame);
    frame.extend_from_slice(
        format!(",\"choices\":[{{\"index\":{index},\"delta\":{{\"annotations\":[").as_bytes(),
    );
    frame.extend_from_slice(list);
    frame.extend_from_slice(b"]},\"logprobs\":null,\"finish_reason\":null}]}");
    event(&frame, out);
}

/// `"name":value` of the lane's text within its delta, or within its choice.
fn member(choice: &Choice, kind: Kind, text: &str, out: &mut Vec<u8>) -> bool {
    let tool = |tool: u32, part: &str, name: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(
            format!("\"tool_calls\":[{{\"index\":{tool},\"{part}\":{{\"{name}\":").as_bytes(),
        );
        string(text, out);
        out.extend_from_slice(b"}}]");
    };
    let simple = |name: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        string(text, out);
    };
    match kind {
        Kind::Content if choice.parts => {
            simple("\"content\":[{\"type\":\"text\",\"text\":", out);
            out.extend_from_slice(b"}]");
        }
        Kind::Content => simple("\"content\":", out),
        Kind::Refusal => simple("\"refusal\":", out),
        Kind::ReasoningContent => simple("\"reasoning_content\":", out),
        Kind::Reasoning => simple("\"reasoning\":", out),
        Kind::Text => simple("\"text\":", out),
        Kind::ToolName(index) => tool(index, "function", "name", out),
        Kind::ToolArguments(index) => tool(index, "function", "arguments", out),
        Kind::ToolInput(index) => tool(index, "custom", "input", out),
        Kind::CallName => {
            simple("\"function_call\":{\"name\":", out);
            out.push(b'}');
        }
        Kind::CallArguments => {
            simple("\"function_call\":{\"arguments\":", out);
            out.push(b'}');
        }
        Kind::Path(number) => {
            let path = choice.path_text(number);
            return nested(path.strip_prefix(MESSAGE).unwrap_or(path), text, out);
        }
    }
    true
}

fn nested(path: &str, text: &str, out: &mut Vec<u8>) -> bool {
    let mut closing = Vec::new();
    // In an object that has its index already, the next key needs no brace.
    let mut begun = true;
    for segment in path.split('/').skip(1) {
        if let Some(index) = segment.strip_prefix(INDEXED) {
            out.extend_from_slice(format!("[{{\"index\":{index},").as_bytes());
            closing.extend_from_slice(b"]}");
            begun = true;
        } else if let Some(position) = segment.strip_prefix(POSITIONED) {
            let Some(position) = position.parse::<usize>().ok().filter(|at| *at <= POSITIONS) else {
                return false;
            };
            out.push(b'[');
            for _ in 0..position {
                out.extend_from_slice(b"{},");
            }
            closing.push(b']');
        } else {
            if !std::mem::take(&mut begun) {
                out.push(b'{');
                closing.push(b'}');
            }
            string(&segment.replace("~1", "/").replace("~0", "~"), out);
            out.push(b':');
        }
    }
    string(text, out);
    closing.reverse();
    out.extend_from_slice(&closing);
    true
}

/// The JSON of a frame that ends a choice.
pub(super) fn finish(head: &Head, route: Route, index: u32, reason: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    head.envelope(&mut out);
    let middle = match route {
        Route::Chat => "\"delta\":{},\"logprobs\":null",
        Route::Completions => "\"text\":\"\",\"logprobs\":null",
    };
    out.extend_from_slice(
        format!(",\"choices\":[{{\"index\":{index},{middle},\"finish_reason\":").as_bytes(),
    );
    string(reason, &mut out);
    out.extend_from_slice(b"}]}");
    out
}

/// A choice of a whole answer that says `said` and then a notice. In a JSON lane the notice stands apart.
pub(super) fn whole_choice(spec: &AnswerSpec, index: u32, said: &str, notice: &str, out: &mut Vec<u8>) {
    let text = if said.is_empty() { notice.to_owned() } else { format!("{said}\n\n{notice}") };
    out.extend_from_slice(format!("{{\"index\":{index},").as_bytes());
    match spec.route {
        Route::Completions => {
            out.extend_from_slice(b"\"text\":");
            string(&text, out);
        }
        Route::Chat if spec.json_lanes => {
            out.extend_from_slice(b"\"message\":{\"role\":\"assistant\",\"content\":");
            string(said, out);
            out.extend_from_slice(b",\"refusal\":");
            string(notice, out);
            out.push(b'}');
        }
        Route::Chat => {
            out.extend_from_slice(b"\"message\":{\"role\":\"assistant\",\"content\":");
            string(&text, out);
            out.extend_from_slice(b",\"refusal\":null}");
        }
    }
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"content_filter\"}");
}

/// Wraps the JSON of a frame as an event.
pub(super) fn event(json: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

/// Adds a member at the end of a JSON object.
pub(super) fn add_member(object: &mut Vec<u8>, name: &str, value: &[u8]) {
    while object.last().is_some_and(u8::is_ascii_whitespace) {
        object.pop();
    }
    object.pop();
    while object.last().is_some_and(u8::is_ascii_whitespace) {
        object.pop();
    }
    if object.last() != Some(&b'{') {
        object.push(b',');
    }
    string(name, object);
    object.push(b':');
    object.extend_from_slice(value);
    object.push(b'}');
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
