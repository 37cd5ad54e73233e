//! A request body: every field checked by name, type and range, every string that goes to a provider scanned, the
//! provider's body written with all else byte for byte as it came. It never keeps a tree of the body.

mod bounds;
mod error;
mod fields;
mod messages;
mod prompts;
mod read;
mod scan;
mod tools;
mod write;

use crate::rules::Locale;
use crate::stream::json::{Scratch, Span};

pub use bounds::MostOutput;
pub use error::FieldError;
pub use fields::{FieldTable, Unknown};
pub use scan::{InFinding, InScan, Refused};

/// The routes whose turns the relay carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
}

/// Bounds of a body; `crate::limits` has the defaults.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    pub bytes: usize,
    pub json: crate::stream::json::Limits,
    /// Strings of one body that are scanned one by one.
    pub strings: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            bytes: crate::limits::BODY_BYTES,
            json: crate::stream::json::Limits::default(),
            strings: crate::limits::BODY_STRINGS,
        }
    }
}

/// A string of the body that goes to the provider: its contents.
#[derive(Debug, Clone, Copy)]
struct Piece {
    span: Span,
    escaped: bool,
}

/// A body that passed all checks.
#[derive(Debug)]
pub struct Request {
    text: String,
    route: Route,
    found: Found,
    /// Placeholders, by the span of the string they change.
    redacted: Vec<(Span, String)>,
}

/// What reading a body found.
#[allow(clippy::struct_excessive_bools)] // each is a field of the body
#[derive(Debug, Default)]
struct Found {
    pieces: Vec<Piece>,
    /// The text parts of each message that has several: a model reads them as one text.
    joined: Vec<Vec<Piece>>,
    model: String,
    /// Value of `model`, quotes included.
    model_span: Span,
    stream: bool,
    /// Value of `stream_options` and, in it, of `include_usage`.
    stream_options: Option<Span>,
    include_usage: Option<Span>,
    /// `stream_options` where it is null.
    null_stream_options: Option<Span>,
    wants_usage: bool,
    n: u32,
    best_of: u32,
    prompts: u32,
    messages: usize,
    /// Images, sound or files: more than text goes to the model.
    media: bool,
    /// The first field that asks for what has a price of its own.
    dearer: Option<String>,
    /// What the body says of the most tokens of an answer.
    outputs: Vec<bounds::OutputField>,
    tokens: bool,
    json: bool,
    /// Contents of the last text of a user.
    last_user: Option<Piece>,
    /// `parent` of a stored turn: its value, and the member with its key.
    parent: Option<(String, Span)>,
}

impl Request {
    /// Reads and checks a body. Errors name the field and say what would be right, in English and Chinese.
    pub fn parse(
        route: Route,
        body: Vec<u8>,
        table: &FieldTable,
        limits: BodyLimits,
    ) -> Result<Self, FieldError> {
        if body.len() > limits.bytes {
            return Err(error::too_long(limits.bytes));
        }
        let text = String::from_utf8(body).map_err(|_| error::not_utf8())?;
        let mut scratch = Scratch::default();
        let found = read::read(&text, route, table, limits, &mut scratch)?;
        Ok(Self { text, route, found, redacted: Vec::new() })
    }

    pub fn route(&self) -> Route {
        self.route
    }

    /// The model name as the caller wrote it.
    pub fn model(&self) -> &str {
        &self.found.model
    }

    pub fn stream(&self) -> bool {
        self.found.stream
    }

    /// The caller asked for usage on its stream.
    pub fn include_usage(&self) -> bool {
        self.found.wants_usage
    }

    /// `n` as asked, 1 where not said.
    pub fn n(&self) -> u32 {
        self.found.n
    }

    /// Choices that the answer has: `n` for each prompt.
    pub fn choices(&self) -> u32 {
        self.found.n.saturating_mul(self.found.prompts.max(1))
    }

    /// The answer's content is JSON.
    pub fn is_json(&self) -> bool {
        self.found.json
    }

    /// The language of the last text of a user, where its script says it.
    pub fn locale(&self) -> Option<Locale> {
        let piece = self.found.last_user?;
        let text = crate::stream::json::decode(&self.text[piece.span.start..piece.span.end]);
        let (mut han, mut latin) = (0usize, 0usize);
        for c in text.chars().take(512) {
            match c {
                '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{3134F}' => han += 1,
                // Kana and Hangul beside Han say that it is not Chinese.
                '\u{3040}'..='\u{30FF}' | '\u{AC00}'..='\u{D7AF}' => return None,
                'a'..='z' | 'A'..='Z' => latin += 1,
                _ => {}
            }
        }
        match (han, latin) {
            (0, 0) => None,
            (han, latin) if han * 4 >= latin => Some(Locale::Zh),
            _ => Some(Locale::En),
        }
    }

    /// Which turn of a conversation it follows, as the caller wrote it. Never goes to a provider.
    pub fn parent(&self) -> Option<&str> {
        self.found.parent.as_ref().map(|(parent, _)| parent.as_str())
    }

    /// The body as the caller sent it.
    pub fn body(&self) -> &str {
        &self.text
    }
}
