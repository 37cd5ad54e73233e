//! Reads one JSON document of a provider into a `Frame`, before anything of it takes effect: a document that turns
//! out broken has changed nothing. Which string is which lane is decided here and nowhere else.

mod calls;
mod notes;

use std::borrow::Cow;

use super::frame::{Element, Frame, Item, Kind as LaneKind, OUTSIDE, Place, What};

use super::guard::Guard;
use crate::request::Route;
use crate::stream::json::{Cursor, Error, Kind, Limits, Scratch, Span, Str, decode};

/// Path of a choice's message, also where it comes in deltas.
pub(super) const MESSAGE: &str = "/message";

/// Marks in a path, which no key contains: an element that says its `index`, and one known by its position. Clients
/// join the parts of a stream by the first.
pub(super) const INDEXED: char = '\u{1}';
pub(super) const POSITIONED: char = '\u{2}';

/// Names that have a meaning of their own. Some clients read them without regard to case: in another case they
/// would carry text past its lane.
const NAMES: &[&str] = &[
    "arguments",
    "audio",
    "content",
    "custom",
    "delta",
    "finish_reason",
    "function",
    "function_call",
    "id",
    "index",
    "input",
    "logprobs",
    "message",
    "name",
    "reasoning",
    "reasoning_content",
    "refusal",
    "role",
    "text",
    "tool_calls",
    "type",
];
/// Digits of a number that cannot spell anything: an index, a flag.
const SHORT_NUMBER: usize = 3;

/// Reads `text`, the data of one event or a whole body, into `frame`.
pub(super) fn walk(
    text: &str,
    route: Route,
    stream: bool,
    frame: &mut Frame,
    guard: &mut Guard,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    frame.clear();
    let cursor = Cursor::new(text, scratch, Limits::default());
    let mut walker = Walker { cursor, frame, guard, route, stream, element: OUTSIDE };
    walker.root()?;
    walker.cursor.end()
}

struct Walker<'w> {
    cursor: Cursor<'w>,
    frame: &'w mut Frame,
    guard: &'w mut Guard,
    route: Route,
    stream: bool,
    element: u32,
}

impl<'w> Walker<'w> {
    fn key_text(&self, key: Str) -> Cow<'w, str> {
        let raw = self.cursor.slice(key);
        if key.escaped { decode(raw) } else { Cow::Borrowed(raw) }
    }

    fn item(&mut self, span: Span, what: What) {
        self.frame.items.push(Item { span, element: self.element, what });
    }

    /// Leaves out the member of `key`, whose value has been read up to here.
    fn drop_member(&mut self, key: Str, first_item: usize) {
        self.frame.items.truncate(first_item);
        let span = Span { start: key.start - 1, end: self.cursor.pos() };
        self.item(span, What::Drop);
    }

    fn root(&mut self) -> Result<(), Error> {
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            match self.key_text(key).as_ref() {
                "choices" => self.choices()?,
                "id" => self.frame.id = self.outer(key, What::Id)?,
                "model" => {
                    self.outer(key, What::Model)?;
                }
                "object" => self.frame.object = self.constant(key, None)?,
                "service_tier" => {
                    self.constant(key, None)?;
                }
                "system_fingerprint" => self.frame.fingerprint = self.identifier(key)?,
                "created" => {
                    let kind = self.cursor.kind()?;
                    let value = self.cursor.skip()?;
                    match kind {
                        Kind::Number if self.is_clean_number(value) => self.frame.created = Some(value),
                        Kind::Null => {}
                        _ => self.drop_member(key, self.frame.items.len()),
                    }
                }
                "usage" => {
                    let kind = self.cursor.kind()?;
                    let value = self.cursor.skip()?;
                    self.frame.usage = (kind == Kind::Object).then_some(value);
                    let known = matches!(kind, Kind::Object | Kind::Null);
                    let what = if known { What::Usage } else { What::Drop };
                    self.item(Span { start: key.start - 1, end: value.end }, what);
                }
                "error" => {
                    let kind = self.cursor.kind()?;
                    let value = self.cursor.skip()?;
                    self.frame.error = (kind != Kind::Null).then_some(value);
                }
                "dragoman" => {
                    self.cursor.skip()?;
                    self.drop_member(key, self.frame.items.len());
                }
                _ => {
                    self.cursor.skip()?;
                    if self.guard.is_active() {
                        self.drop_member(key, self.frame.items.len());
                    }
                }
            }
        }
        Ok(())
    }

    /// `id` and `model`: replaced where needed when the frame is written.
    fn outer(&mut self, key: Str, what: What) -> Result<Option<Span>, Error> {
        let kind = self.cursor.kind()?;
        let value = self.cursor.skip()?;
        match kind {
            Kind::String | Kind::Null => {
                self.item(value, what);
                Ok((kind == Kind::String).then_some(value))
            }
            _ => {
                self.drop_member(key, self.frame.items.len());
                Ok(None)
            }
        }
    }

    /// A string of a closed list, else `instead` or nothing; other scalars pass, containers do not.
    fn constant(&mut self, key: Str, instead: Option<&'static str>) -> Result<Option<Span>, Error> {
        self.technical(key, instead, Guard::is_enum)
    }

    fn identifier(&mut self, key: Str) -> Result<Option<Span>, Error> {
        self.technical(key, None, Guard::is_id)
    }

    /// An id below the current choice: clients append what later frames say of it.
    fn identifier_at(&mut self, key: Str, path: &str) -> Result<(), Error> {
        let place = format!("{}{path}", self.element);
        self.technical(key, None, |guard, id| guard.continues(&place, id)).map(|_| ())
    }

    fn is_clean_number(&mut self, span: Span) -> bool {
        let digits = &self.cursor.text()[span.start..span.end];
        digits.len() <= SHORT_NUMBER || self.guard.is_clean(digits)
    }

    fn technical(
        &mut self,
        key: Str,
        instead: Option<&'static str>,
        check: impl FnOnce(&mut Guard, &str) -> bool,
    ) -> Result<Option<Span>, Error> {
        let kind = self.cursor.kind()?;
        if kind != Kind::String {
            let value = self.cursor.skip()?;
            let container = matches!(kind, Kind::Object | Kind::Array) && self.guard.is_active();
            if container || (kind == Kind::Number && !self.is_clean_number(value)) {
                self.drop_member(key, self.frame.items.len());
            }
            return Ok(None);
        }
        let value = self.cursor.string()?;
        let span = Span { start: value.start - 1, end: value.end + 1 };
        if check(self.guard, &self.key_text(value)) {
            return Ok(Some(span));
        }
        match instead {
            Some(text) => self.item(span, What::Put(text)),
            None => self.drop_member(key, self.frame.items.len()),
        }
        Ok(None)
    }

    fn choices(&mut self) -> Result<(), Error> {
        if self.cursor.kind()? != Kind::Array {
            self.cursor.literal()?; // null is met in error frames; anything else is no answer
            return Ok(());
        }
        self.frame.has_choices = true;
        let mut elements = self.cursor.enter(Kind::Array)?;
        while self.cursor.element(&mut elements)? {
            self.cursor.kind()?;
            self.element = self.frame.elements.len() as u32;
            let start = self.cursor.pos();
            self.frame.elements.push(Element::default());
            self.choice()?;
            let end = self.cursor.pos();
            self.here().span = Span { start, end };
        }
        self.element = OUTSIDE;
        Ok(())
    }

    fn here(&mut self) -> &mut Element {
        &mut self.frame.elements[self.element as usize]
    }

    fn choice(&mut self) -> Result<(), Error> {
        let body = if self.stream { "delta" } else { "message" };
        let mut path = String::new();
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            let name = self.key_text(key);
            match (self.route, name.as_ref()) {
                (_, "index") => self.here().index = self.index()?,
                (_, "finish_reason") => self.finish()?,
                (Route::Chat, name) if name == body => self.message()?,
                (Route::Completions, "text") => self.lane(key, LaneKind::Text, "")?,
                (_, "logprobs" | "token_ids" | "prompt_token_ids" | "prompt_logprobs") => {
                    self.repeats_text(key)?;
                }
                (_, "stop_reason" | "native_finish_reason" | "matched_stop") => {
                    self.constant(key, None)?;
                }
                (_, "content_filter_results" | "content_filter_result") => self.verdicts(key)?,
                // No delta, but what clients read as one where its tail is written.
                (_, "message") if self.stream && self.guard.is_active() => {
                    self.cursor.skip()?;
                    self.drop_member(key, self.frame.items.len());
                }
                _ => self.other(key, &mut path, false)?,
            }
        }
        Ok(())
    }

    fn index(&mut self) -> Result<Option<u32>, Error> {
        if self.cursor.kind()? != Kind::Number {
            let at = self.cursor.pos();
            self.cursor.literal().map_err(|_| Error::Syntax { at })?;
            return Ok(None);
        }
        let span = self.cursor.number()?;
        let number = self.cursor.text()[span.start..span.end].parse();
        number.map(Some).map_err(|_| Error::Syntax { at: span.start })
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.cursor.kind()? == Kind::String {
            let value = self.cursor.string()?;
            self.here().finish = Some(value);
            self.item(Span { start: value.start - 1, end: value.end + 1 }, What::Finish);
        } else {
            let at = self.cursor.pos();
            let value = self.cursor.literal().map_err(|_| Error::Syntax { at })?;
            if &self.cursor.text()[value.start..value.end] != "null" {
                return Err(Error::Syntax { at });
            }
        }
        Ok(())
    }

    /// What repeats the text in another form may not pass where a rule may have changed the text.
    fn repeats_text(&mut self, key: Str) -> Result<(), Error> {
        let kind = self.cursor.kind()?;
        let value = self.cursor.skip()?;
        if self.guard.is_active() && kind != Kind::Null {
            let nullable = self.key_text(key) == "logprobs";
            if nullable {
                self.item(value, What::Put("null"));
            } else {
                self.drop_member(key, self.frame.items.len());
            }
        }
        Ok(())
    }

    /// A vendor's own verdicts: enums, numbers and booleans under any keys.
    fn verdicts(&mut self, key: Str) -> Result<(), Error> {
        if self.cursor.kind()? != Kind::Object {
            return self.technical(key, None, Guard::is_enum).map(|_| ());
        }
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(inner) = self.cursor.key(&mut members)? {
            let first_item = self.frame.items.len();
            self.verdicts(inner)?;
            let name = self.key_text(inner);
            if !self.guard.is_key(&name) {
                self.drop_member(inner, first_item);
            }
        }
        Ok(())
    }

    fn message(&mut self) -> Result<(), Error> {
        if self.cursor.kind()? != Kind::Object {
            let at = self.cursor.pos();
            self.cursor.literal().map_err(|_| Error::Syntax { at })?;
            return Ok(());
        }
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            let name = self.key_text(key);
            let known = match name.as_ref() {
                "content" => Some(LaneKind::Content),
                "refusal" => Some(LaneKind::Refusal),
                "reasoning_content" => Some(LaneKind::ReasoningContent),
                "reasoning" => Some(LaneKind::Reasoning),
                _ => None,
            };
            match (known, name.as_ref()) {
                (Some(kind), _) => self.lane(key, kind, MESSAGE)?,
                (None, "role") => {
                    self.here().speaks = true;
                    self.technical(key, Some("\"assistant\""), |guard, role| guard.is_known(role))?;
                }
                (None, "tool_calls") => self.tools()?,
                (None, "function_call") => self.function_call()?,
                (None, "audio") => self.audio()?,
                (None, "annotations") => self.annotations(key)?,
                (None, "token_ids" | "tokens") => self.repeats_text(key)?,
                _ => self.other(key, &mut MESSAGE.to_owned(), false)?,
            }
        }
        Ok(())
    }

    /// A string that is a lane; what stands there instead of a string is walked by its path.
    fn lane(&mut self, key: Str, kind: LaneKind, base: &str) -> Result<(), Error> {
        match self.cursor.kind()? {
            Kind::String => self.text(Place::Known(kind)),
            Kind::Null => self.cursor.literal().map(|_| ()),
            Kind::Array if kind == LaneKind::Content => self.parts(key),
            _ => self.other(key, &mut base.to_owned(), false),
        }
    }

    fn text(&mut self, place: Place) -> Result<(), Error> {
        let value = self.cursor.string()?;
        if value.end > value.start {
            self.here().speaks = true;
        }
        self.item(Span { start: value.start, end: value.end }, What::Text { place, escaped: value.escaped });
        Ok(())
    }

    /// A member of no known name below `path`.
    fn other(&mut self, key: Str, path: &mut String, whole: bool) -> Result<(), Error> {
        let base = path.len();
        path.push_str(&format_path(&self.key_text(key)));
        let done = self.generic(key, path, whole);
        path.truncate(base);
        done
    }

    fn generic(&mut self, key: Str, path: &mut String, whole: bool) -> Result<(), Error> {
        if !self.guard.is_active() {
            return self.cursor.skip().map(|_| ());
        }
        let first_item = self.frame.items.len();
        let name = self.key_text(key);
        let disguised = NAMES.iter().any(|known| name != *known && name.eq_ignore_ascii_case(known));
        if !disguised && self.guard.is_key(&name) {
            return match (name.as_ref(), self.cursor.kind()?) {
                ("type", Kind::String) => self.identifier(key).map(|_| ()),
                ("id", Kind::String) => self.identifier_at(key, path),
                _ => self.value(path, whole),
            };
        }
        self.cursor.skip()?;
        self.drop_member(key, first_item);
        Ok(())
    }

    fn value(&mut self, path: &mut String, whole: bool) -> Result<(), Error> {
        match self.cursor.kind()? {
            Kind::String => {
                let start = self.frame.paths.len() as u32;
                self.frame.paths.push_str(path);
                let end = self.frame.paths.len() as u32;
                self.text(Place::Path { start, end, whole })
            }
            Kind::Number => {
                let span = self.cursor.number()?;
                if !self.is_clean_number(span) {
                    self.item(span, What::Put("null"));
                }
                Ok(())
            }
            Kind::Object => {
                let mut members = self.cursor.enter(Kind::Object)?;
                while let Some(key) = self.cursor.key(&mut members)? {
                    self.other(key, path, whole)?;
                }
                Ok(())
            }
            Kind::Array => self.array(path, whole),
            Kind::True | Kind::False | Kind::Null => self.cursor.literal().map(|_| ()),
        }
    }

    fn array(&mut self, path: &mut String, whole: bool) -> Result<(), Error> {
        let mut elements = self.cursor.enter(Kind::Array)?;
        let base = path.len();
        let mut position = 0u32;
        while self.cursor.element(&mut elements)? {
            let index = if self.stream { self.cursor.peek_number("index")? } else { None };
            path.push('/');
            path.push_str(&segment(index, position));
            self.value(path, whole && index.is_none())?;
            path.truncate(base);
            position += 1;
        }
        Ok(())
    }
}

/// A list's element in a path. However a number is written, clients take it for the same.
fn segment(index: Option<&str>, position: u32) -> String {
    match index.and_then(|index| index.parse::<f64>().ok()) {
        Some(index) => format!("{INDEXED}{}", index + 0.0),
        None => format!("{POSITIONED}{position}"),
    }
}

/// One segment of an RFC 6901 pointer.
fn format_path(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
