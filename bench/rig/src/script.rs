//! From a spec to the bytes of an `OpenAI` answer: a whole body, or one SSE frame a piece.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::spec::{Lane, Spec};

const CHINESE: &str = "今天的天气很好，我们一起去公园散步吧。图书馆在车站的左边，早上九点开门。这家店的苹果又大又甜，价格也不贵。";
const ENGLISH: &str =
    "The library is left of the station and opens at nine. We walk in the park when the weather is good. ";
/// A fixed instant, so that equal requests get equal bytes.
const CREATED: u64 = 1_790_000_000;

/// The two routes a fake answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    Chat,
    Completions,
}

/// What one answer is made of.
pub struct Script<'a> {
    pub spec: &'a Spec,
    pub route: Route,
    pub model: &'a str,
    pub phrase: &'a str,
    pub prompt_tokens: usize,
}

impl Script<'_> {
    /// The text of the answer's lane; in the tool lane a JSON document.
    pub fn text(&self) -> String {
        let filler = if self.spec.chinese { CHINESE } else { ENGLISH };
        let wanted = self.spec.chunks * self.spec.bytes;
        let mut text: String = String::with_capacity(wanted + self.phrase.len() + 32);
        let mut source = filler.chars().cycle();
        // One character past a piece's edge, so that the phrase never starts with a piece.
        let plant_at = self.spec.chunks / 3 * self.spec.bytes + 1;
        let mut planted = !self.spec.plant;
        while text.len() < wanted {
            if !planted && text.len() >= plant_at {
                text.push_str(&self.planted());
                planted = true;
            }
            text.extend(source.next());
        }
        match self.spec.lane {
            Lane::Tool => format!("{{\"query\":\"{text}\"}}"),
            _ => text,
        }
    }

    fn planted(&self) -> String {
        if self.spec.escape && self.spec.lane == Lane::Tool {
            escaped(self.phrase)
        } else {
            self.phrase.to_owned()
        }
    }

    fn pieces(&self) -> Vec<String> {
        let mut pieces = Vec::with_capacity(self.spec.chunks + 8);
        let mut piece = String::new();
        for c in self.text().chars() {
            if !piece.is_empty() && piece.len() + c.len_utf8() > self.spec.bytes {
                pieces.push(std::mem::take(&mut piece));
            }
            piece.push(c);
        }
        pieces.push(piece);
        pieces
    }

    fn usage(&self, pieces: usize) -> Value {
        let input = self.prompt_tokens;
        json!({"prompt_tokens": input, "completion_tokens": pieces, "total_tokens": input + pieces})
    }

    fn finish(&self) -> &'static str {
        if self.spec.lane == Lane::Tool && self.route == Route::Chat { "tool_calls" } else { "stop" }
    }

    fn envelope(&self, stream: bool, choices: &Value) -> Value {
        let object = match (self.route, stream) {
            (Route::Chat, true) => "chat.completion.chunk",
            (Route::Chat, false) => "chat.completion",
            (Route::Completions, _) => "text_completion",
        };
        let id = if self.route == Route::Chat { "chatcmpl-fake" } else { "cmpl-fake" };
        json!({"id": id, "object": object, "created": CREATED, "model": self.model, "choices": choices})
    }

    /// The body of an answer that is not streamed, and its number of tokens.
    pub fn whole(&self) -> (Bytes, usize) {
        let pieces = self.pieces();
        let text: String = pieces.concat();
        let choice = match (self.route, self.spec.lane) {
            (Route::Completions, _) => {
                json!({"text": text, "index": 0, "logprobs": null, "finish_reason": "stop"})
            }
            (_, lane) => {
                let message = match lane {
                    Lane::Content => json!({"role": "assistant", "content": text}),
                    Lane::Reasoning => {
                        json!({"role": "assistant", "reasoning_content": text, "content": "好的。"})
                    }
                    Lane::Tool => json!({"role": "assistant", "content": null, "tool_calls": [
                        {"id": "call_fake0", "type": "function", "function": {"name": "search", "arguments": text}}]}),
                };
                json!({"index": 0, "message": message, "finish_reason": self.finish()})
            }
        };
        let mut body = self.envelope(false, &json!([choice]));
        body["usage"] = self.usage(pieces.len());
        (Bytes::from(body.to_string()), pieces.len())
    }

    fn delta(&self, piece: &str) -> Value {
        match self.spec.lane {
            Lane::Content => json!({"content": piece}),
            Lane::Reasoning => json!({"reasoning_content": piece}),
            Lane::Tool => json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
        }
    }

    fn frame(&self, delta: &Value, finish: Option<&str>) -> Bytes {
        let choice = match self.route {
            Route::Chat => json!({"index": 0, "delta": delta, "finish_reason": finish}),
            Route::Completions => {
                json!({"index": 0, "text": delta, "logprobs": null, "finish_reason": finish})
            }
        };
        data(&self.envelope(true, &json!([choice])))
    }

    /// The frames of a streamed answer in order, `[DONE]` included, and the number of tokens.
    pub fn frames(&self, include_usage: bool) -> (Vec<Bytes>, usize) {
        let pieces = self.pieces();
        let mut frames = Vec::with_capacity(pieces.len() + 4);
        if self.route == Route::Completions {
            frames.extend(pieces.iter().map(|p| self.frame(&json!(p), None)));
            frames.push(self.frame(&json!(""), Some("stop")));
        } else {
            frames.push(self.frame(&self.opening(), None));
            frames.extend(pieces.iter().map(|p| self.frame(&self.delta(p), None)));
            if self.spec.lane == Lane::Reasoning {
                frames.push(self.frame(&json!({"content": "好的。"}), None));
            }
            frames.push(self.frame(&json!({}), Some(self.finish())));
        }
        if include_usage {
            let mut last = self.envelope(true, &json!([]));
            last["usage"] = self.usage(pieces.len());
            frames.push(data(&last));
        }
        frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
        (frames, pieces.len())
    }

    fn opening(&self) -> Value {
        match self.spec.lane {
            Lane::Tool => json!({"role": "assistant", "content": null, "tool_calls": [
                {"index": 0, "id": "call_fake0", "type": "function", "function": {"name": "search", "arguments": ""}}]}),
            _ => json!({"role": "assistant", "content": ""}),
        }
    }
}

fn data(frame: &Value) -> Bytes {
    Bytes::from(format!("data: {frame}\n\n"))
}

/// Every UTF-16 unit as a `\uXXXX` escape.
fn escaped(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    units.concat()
}
