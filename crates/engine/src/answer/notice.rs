//! An answer that is only a notice: a plan that denies, asks for a step or sends elsewhere; a refused request.
//! In the caller's wire shape, an ordinary answer, so that every client shows it.

use super::told::string;
use super::write;
use crate::request::Route;

/// What the notice says and in which shape. `reasons` and `interventions` are JSON arrays.
#[derive(Debug, Clone)]
pub struct NoticeSpec {
    pub route: Route,
    pub stream: bool,
    pub include_usage: bool,
    pub asked_model: String,
    /// Choices asked for; each gets the notice.
    pub n: u32,
    pub turn: String,
    pub decision: String,
    /// `DENY`, `NOT_READY`, …; `REFUSED` where a content rule refused the request.
    pub outcome: String,
    pub reasons: String,
    pub interventions: String,
    /// The whole notice, in the user's language.
    pub text: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Further members of the `dragoman` object, as JSON.
    pub about: String,
}

const NO_USAGE: &str = "{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}";

/// The body: server-sent events where `stream`, else one JSON document.
pub fn notice_answer(spec: &NoticeSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(spec.text.len() + 512);
    if !spec.stream {
        envelope(spec, &mut out);
        for index in 0..spec.n.max(1) {
            choice(spec, index, &mut out);
        }
        out.extend_from_slice(format!("],\"usage\":{NO_USAGE}").as_bytes());
        metadata(spec, &mut out);
        out.push(b'}');
        return out;
    }
    let count = spec.n.max(1);
    for index in 0..count {
        let mut frame = Vec::new();
        envelope(spec, &mut frame);
        frame.extend_from_slice(format!("{{\"index\":{index},").as_bytes());
        match spec.route {
            Route::Chat => {
                frame.extend_from_slice(b"\"delta\":{\"role\":\"assistant\",\"content\":");
                string(&spec.text, &mut frame);
                frame.push(b'}');
            }
            Route::Completions => {
                frame.extend_from_slice(b"\"text\":");
                string(&spec.text, &mut frame);
            }
        }
        frame.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}]}");
        write::event(&frame, &mut out);
    }
    for index in 0..count {
        let mut frame = Vec::new();
        envelope(spec, &mut frame);
        let empty = if spec.route == Route::Chat { "\"delta\":{}" } else { "\"text\":\"\"" };
        let end = "\"logprobs\":null,\"finish_reason\":\"content_filter\"}]";
        frame.extend_from_slice(format!("{{\"index\":{index},{empty},{end}").as_bytes());
        if index + 1 == count {
            metadata(spec, &mut frame);
        }
        frame.push(b'}');
        write::event(&frame, &mut out);
    }
    if spec.include_usage {
        let mut frame = Vec::new();
        envelope(spec, &mut frame);
        frame.extend_from_slice(format!("],\"usage\":{NO_USAGE}}}").as_bytes());
        write::event(&frame, &mut out);
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    out
}

/// Up to and including `"choices":[`.
fn envelope(spec: &NoticeSpec, out: &mut Vec<u8>) {
    let (prefix, object) = match (spec.route, spec.stream) {
        (Route::Chat, true) => ("chatcmpl-", "chat.completion.chunk"),
        (Route::Chat, false) => ("chatcmpl-", "chat.completion"),
        (Route::Completions, _) => ("cmpl-", "text_completion"),
    };
    out.extend_from_slice(b"{\"id\":");
    string(&format!("{prefix}{}", spec.turn), out);
    out.extend_from_slice(
        format!(",\"object\":\"{object}\",\"created\":{},\"model\":", spec.created).as_bytes(),
    );
    string(&spec.asked_model, out);
    out.extend_from_slice(b",\"choices\":[");
}

fn choice(spec: &NoticeSpec, index: u32, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    out.extend_from_slice(format!("{{\"index\":{index},").as_bytes());
    match spec.route {
        Route::Chat => {
            out.extend_from_slice(b"\"message\":{\"role\":\"assistant\",\"content\":");
            string(&spec.text, out);
            out.extend_from_slice(b",\"refusal\":null}");
        }
        Route::Completions => {
            out.extend_from_slice(b"\"text\":");
            string(&spec.text, out);
        }
    }
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"content_filter\"}");
}

fn metadata(spec: &NoticeSpec, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"dragoman\":{\"turn\":");
    string(&spec.turn, out);
    out.extend_from_slice(b",\"decision\":");
    string(&spec.decision, out);
    out.extend_from_slice(b",\"outcome\":");
    string(&spec.outcome, out);
    if !spec.about.is_empty() {
        out.push(b',');
        out.extend_from_slice(spec.about.as_bytes());
    }
    out.extend_from_slice(b",\"reasons\":");
    out.extend_from_slice(spec.reasons.as_bytes());
    out.extend_from_slice(b",\"labels\":[],\"notices\":[],\"interventions\":");
    out.extend_from_slice(spec.interventions.as_bytes());
    out.push(b'}');
}
