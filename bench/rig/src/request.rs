//! The request bytes the load generator sends: prepared once, only a counter and a token change.

use serde_json::{Value, json};

const QUESTION: &str = "你好，请问图书馆今天几点开门？ Please answer in one short sentence.";
const SYSTEM: &str = "You are a helpful assistant. 请用用户的语言回答。";
const HISTORY: &str =
    "昨天我们在公园里散步，然后去图书馆借了三本书。The station is on the left and the shop opens at nine. ";
/// Written into each body and replaced by a number, so that no two requests are equal.
const MARK: &str = "#0000000000";
/// Bytes of history one earlier message holds.
const MESSAGE_BYTES: usize = 2048;

/// Of `all` paths the one that connection `number` of `connections` asks as its `asked`-th: no two share one.
#[must_use]
pub fn own_path(all: usize, connections: usize, number: usize, asked: usize) -> usize {
    let many = all.saturating_sub(number).div_ceil(connections).max(1);
    (number + connections * (asked % many)) % all
}

/// What one kind of request looks like.
pub struct Template<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub model: &'a str,
    pub stream: bool,
    pub history_bytes: usize,
    pub headers: &'a [(String, String)],
    pub token_header: Option<&'a str>,
}

/// A request ready to send.
#[derive(Clone)]
pub struct Prepared {
    before: Vec<u8>,
    after: Vec<u8>,
    counter_at: usize,
}

impl Template<'_> {
    fn body(&self) -> Value {
        let question = format!("{QUESTION} {MARK}");
        if self.path.ends_with("/completions") && !self.path.ends_with("chat/completions") {
            return json!({"model": self.model, "stream": self.stream, "prompt": question});
        }
        if self.path.contains("/conversations/") {
            // What was said before is kept there.
            let asked = json!({"role": "user", "content": question});
            return json!({"model": self.model, "stream": self.stream, "messages": [asked]});
        }
        let mut messages = vec![json!({"role": "system", "content": SYSTEM})];
        let mut left = self.history_bytes;
        while left > 0 {
            let wanted = left.min(MESSAGE_BYTES);
            let mut text = HISTORY.repeat(wanted / HISTORY.len() + 1);
            while text.len() > wanted {
                text.pop();
            }
            let role = if messages.len() % 2 == 1 { "user" } else { "assistant" };
            messages.push(json!({"role": role, "content": text}));
            left -= wanted;
        }
        messages.push(json!({"role": "user", "content": question}));
        json!({"model": self.model, "stream": self.stream, "messages": messages})
    }

    /// Head and body, with room for the counter and, where asked, a token.
    pub fn prepare(&self) -> Prepared {
        let body = self.body().to_string();
        let mut before = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: rig\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.path,
            self.host,
            body.len()
        );
        for (name, value) in self.headers {
            before.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(name) = self.token_header {
            before.extend([name, ": "]);
        }
        let head_end = if self.token_header.is_some() { "\r\n\r\n" } else { "\r\n" };
        let after = format!("{head_end}{body}");
        // The mark is in our own constant text, so it is always found.
        let counter_at = after.find(MARK).map_or(0, |at| at + 1);
        Prepared { before: before.into_bytes(), after: after.into_bytes(), counter_at }
    }
}

impl Prepared {
    /// Writes request number `n` into `out`, replacing what was there.
    pub fn write(&self, n: u64, token: Option<&str>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.before);
        if let Some(token) = token {
            out.extend_from_slice(token.as_bytes());
        }
        let start = out.len() + self.counter_at;
        out.extend_from_slice(&self.after);
        let mut left = n;
        for digit in out[start..start + MARK.len() - 1].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    }
}
