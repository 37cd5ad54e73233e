//! Reads a body's top level by the table of fields; messages and tools have files of their own.

use std::borrow::Cow;

use super::error::{self, FieldError};
use super::fields::{self, Check, FieldTable};
use super::{BodyLimits, Found, Piece, Route};
use crate::stream::json::{Cursor, Kind, Scratch, Span, Str, decode, has_lone_surrogate};

/// The field of a stored turn that names the turn it follows.
const PARENT: &str = "parent";
/// Bytes of the longest id that `parent` may name.
const PARENT_BYTES: usize = 128;

pub(super) fn read(
    text: &str,
    route: Route,
    table: &FieldTable,
    limits: BodyLimits,
    scratch: &mut Scratch,
) -> Result<Found, FieldError> {
    let cursor = Cursor::new(text, scratch, limits.json);
    let mut reader = Reader {
        cursor,
        route,
        table,
        limits,
        found: Found::default(),
        param: String::new(),
        key: Str::default(),
    };
    reader.found.n = 1;
    let seen = reader.root()?;
    reader.cursor.end().map_err(|e| error::json(e, text))?;
    if reader.found.model_span == Span::default() {
        return Err(error::missing("model"));
    }
    if !seen {
        return Err(error::missing(if route == Route::Chat { "messages" } else { "prompt" }));
    }
    if table.stored && reader.found.n != 1 {
        return Err(error::wrong_value("n", "must be 1 in a conversation", "在会话中须为 1"));
    }
    if u64::from(reader.found.n) * u64::from(reader.found.prompts.max(1)) > u64::from(crate::limits::CHOICES)
    {
        return Err(error::wrong_value(
            "n",
            "times the number of prompts asks for too many choices",
            "与提示数量之积超过可返回的候选数",
        ));
    }
    Ok(reader.found)
}

pub(super) struct Reader<'r> {
    pub cursor: Cursor<'r>,
    pub route: Route,
    pub table: &'r FieldTable,
    pub limits: BodyLimits,
    pub found: Found,
    /// Dotted path of the field being read.
    pub param: String,
    /// The key read last.
    pub key: Str,
}

pub(super) type Outcome<T = ()> = Result<T, FieldError>;

impl<'r> Reader<'r> {
    pub fn json<T>(&self, result: Result<T, crate::stream::json::Error>) -> Outcome<T> {
        result.map_err(|e| error::json(e, self.cursor.text()))
    }

    pub fn kind(&mut self) -> Outcome<Kind> {
        let kind = self.cursor.kind();
        self.json(kind)
    }

    /// Reads `null` if it is there.
    pub fn null(&mut self) -> Outcome<bool> {
        if self.kind()? != Kind::Null {
            return Ok(false);
        }
        let read = self.cursor.literal();
        self.json(read).map(|_| true)
    }

    pub fn text_of(&self, string: Str) -> Cow<'r, str> {
        decode(self.cursor.slice(string))
    }

    /// What is no text cannot be scanned, and each reader makes something else of it.
    fn unicode(&self, string: Str) -> Outcome {
        if string.escaped && has_lone_surrogate(self.cursor.slice(string)) {
            return Err(error::not_unicode(&self.param));
        }
        Ok(())
    }

    pub fn wrong_type<T>(&self, en: &str, zh: &str) -> Outcome<T> {
        Err(error::wrong_type(&self.param, en, zh))
    }

    pub fn wrong_value<T>(&self, en: &str, zh: &str) -> Outcome<T> {
        Err(error::wrong_value(&self.param, en, zh))
    }

    /// Runs `read` with one more segment in the field's path.
    pub fn within<T>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let base = self.param.len();
        if base > 0 {
            self.param.push('.');
        }
        self.param.push_str(segment);
        let done = read(self)?;
        self.param.truncate(base);
        Ok(done)
    }

    /// Reads an object, each member by `member`.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Outcome) -> Outcome {
        if self.kind()? != Kind::Object {
            return self.wrong_type("an object", "对象");
        }
        let entered = self.cursor.enter(Kind::Object);
        let mut members = self.json(entered)?;
        loop {
            let key = self.cursor.key(&mut members);
            let Some(key) = self.json(key)? else { return Ok(()) };
            self.unicode(key)?;
            let name = self.text_of(key);
            self.within(&name, |reader| {
                reader.key = key;
                member(reader, &name)
            })?;
        }
    }

    /// Reads an array, each element by `element`; returns how many there were.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self, usize) -> Outcome) -> Outcome<usize> {
        if self.kind()? != Kind::Array {
            return self.wrong_type("a list", "列表");
        }
        let entered = self.cursor.enter(Kind::Array);
        let mut members = self.json(entered)?;
        let mut count = 0;
        loop {
            let more = self.cursor.element(&mut members);
            if !self.json(more)? {
                return Ok(count);
            }
            self.within(&count.to_string(), |reader| element(reader, count))?;
            count += 1;
        }
    }

    fn root(&mut self) -> Outcome<bool> {
        if self.kind()? != Kind::Object {
            return Err(FieldError::new(
                "invalid_json",
                "",
                "The request body must be a JSON object.".to_owned(),
                "请求正文必须是 JSON 对象。".to_owned(),
            ));
        }
        let mut seen = false;
        self.object(|reader, name| {
            let check = fields::check(reader.route, name);
            seen |= matches!(check, Some(Check::Messages | Check::Prompt));
            match check {
                None if name == PARENT && reader.table.stored => reader.parent(),
                Some(check) => reader.field(check),
                None if reader.table.grants(name) => reader.any(),
                None if reader.table.takes(name) => reader.extra(name),
                None => {
                    let known = fields::table(reader.route).iter().map(|(known, _)| *known);
                    Err(error::unknown(name, fields::nearest(name, known)))
                }
            }
        })?;
        Ok(seen)
    }

    fn field(&mut self, check: Check) -> Outcome {
        match check {
            Check::Model => return self.model(),
            Check::Messages => return self.messages(),
            Check::Prompt => return self.prompt(),
            Check::Output(low) => return self.output(low),
            _ => {}
        }
        if self.null()? {
            if check == Check::StreamOptions {
                let end = self.cursor.pos();
                self.found.null_stream_options = Some(Span { start: end - 4, end });
            }
            return Ok(());
        }
        match check {
            Check::Number(low, high) => self.number(low, high).map(|_| ()),
            Check::Integer(low, high) => self.integer(low, high).map(|_| ()),
            Check::N => {
                self.found.n = self.integer(1, 128)? as u32;
                Ok(())
            }
            Check::BestOf => self.best_of(),
            Check::Bool => self.boolean().map(|_| ()),
            Check::Stream => {
                self.found.stream = self.boolean()?;
                Ok(())
            }
            Check::Text => self.string().map(|_| ()),
            Check::OneOf(list) => self.one_of(list).map(|_| ()),
            Check::Word => self.word(),
            Check::Tools => self.tools(),
            Check::Functions => self.functions(),
            Check::ToolChoice => self.tool_choice(),
            Check::ResponseFormat => self.response_format(),
            Check::StreamOptions => self.stream_options(),
            Check::Stop => self.stop(),
            Check::Modalities => self.array(|r, _| r.modality()).map(|_| ()),
            Check::Audio => self.dearer(Self::any),
            Check::Tier => {
                if self.one_of(fields::TIERS)? >= fields::ORDINARY_TIERS {
                    self.is_dearer();
                }
                Ok(())
            }
            Check::Metadata => self.metadata(),
            Check::LogitBias => self.object(|reader, _| reader.number(-100.0, 100.0).map(|_| ())),
            Check::Any => self.any(),
            Check::Store if self.boolean()? && !self.table.grants("store") => {
                Err(error::needs_grant("store"))
            }
            Check::Grant if self.table.grants(&self.param) => self.dearer(Self::any),
            Check::Grant => Err(error::needs_grant(&self.param)),
            Check::Retention => {
                let free = self.one_of(&["in_memory", "in-memory", "24h"])? != 2;
                if free || self.table.grants(&self.param) {
                    Ok(())
                } else {
                    Err(error::needs_grant(&self.param))
                }
            }
            Check::Store | Check::Model | Check::Messages | Check::Prompt | Check::Output(_) => Ok(()),
        }
    }

    fn model(&mut self) -> Outcome {
        if self.kind()? != Kind::String {
            return self.wrong_type("a string", "字符串");
        }
        let read = self.cursor.string();
        let value = self.json(read)?;
        self.unicode(value)?;
        self.found.model = self.text_of(value).into_owned();
        if self.found.model.is_empty() || self.found.model.len() > 256 {
            return self
                .wrong_value("must name a model in 1 to 256 characters", "须为 1 到 256 个字符的模型名");
        }
        self.found.model_span = Span { start: value.start - 1, end: value.end + 1 };
        Ok(())
    }

    fn parent(&mut self) -> Outcome {
        let start = self.key.start - 1;
        if self.null()? {
            let end = self.cursor.pos();
            self.found.parent = Some((String::new(), Span { start, end }));
            return Ok(());
        }
        if self.kind()? != Kind::String {
            return self.wrong_type("a string", "字符串");
        }
        let read = self.cursor.string();
        let value = self.json(read)?;
        let text = self.text_of(value).into_owned();
        let good = !text.is_empty()
            && text.len() <= PARENT_BYTES
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !good {
            return self.wrong_value(
                "must be 'last', 'root' or the id of a turn",
                "须为“last”、“root”或某一轮的标识",
            );
        }
        self.found.parent = Some((text, Span { start, end: value.end + 1 }));
        Ok(())
    }

    pub fn number(&mut self, low: f64, high: f64) -> Outcome<f64> {
        if self.kind()? != Kind::Number {
            return self.wrong_type("a number", "数字");
        }
        let read = self.cursor.number();
        let span = self.json(read)?;
        let value: f64 = self.cursor.text()[span.start..span.end].parse().unwrap_or(f64::NAN);
        if value >= low && value <= high {
            return Ok(value);
        }
        self.wrong_value(&format!("must be from {low} to {high}"), &format!("须在 {low} 到 {high} 之间"))
    }

    pub fn integer(&mut self, low: i64, high: i64) -> Outcome<i64> {
        if self.kind()? != Kind::Number {
            return self.wrong_type("an integer", "整数");
        }
        let read = self.cursor.number();
        let span = self.json(read)?;
        let Ok(value) = self.cursor.text()[span.start..span.end].parse::<i64>() else {
            return self.wrong_type("an integer", "整数");
        };
        if value >= low && value <= high {
            return Ok(value);
        }
        self.wrong_value(&format!("must be from {low} to {high}"), &format!("须在 {low} 到 {high} 之间"))
    }

    pub fn boolean(&mut self) -> Outcome<bool> {
        let kind = self.kind()?;
        if !matches!(kind, Kind::True | Kind::False) {
            return self.wrong_type("true or false", "true 或 false");
        }
        let read = self.cursor.literal();
        self.json(read)?;
        Ok(kind == Kind::True)
    }

    /// A string that goes to the provider as text: it will be scanned.
    pub fn string(&mut self) -> Outcome<Piece> {
        if self.kind()? != Kind::String {
            return self.wrong_type("a string", "字符串");
        }
        let read = self.cursor.string();
        let value = self.json(read)?;
        self.piece(value)
    }

    pub fn piece(&mut self, value: Str) -> Outcome<Piece> {
        self.unicode(value)?;
        if self.found.pieces.len() >= self.limits.strings {
            return Err(error::too_many_strings(self.limits.strings));
        }
        let piece = Piece { span: Span { start: value.start, end: value.end }, escaped: value.escaped };
        self.found.pieces.push(piece);
        Ok(piece)
    }

    /// A value of a closed list; its position there.
    pub fn one_of(&mut self, list: &[&str]) -> Outcome<usize> {
        if self.kind()? != Kind::String {
            return self.wrong_type("a string", "字符串");
        }
        let read = self.cursor.string();
        let value = self.json(read)?;
        let text = self.text_of(value);
        match list.iter().position(|known| *known == text) {
            Some(at) => Ok(at),
            None => self.wrong_value(
                &format!("must be one of: {}", list.join(", ")),
                &format!("须为以下之一：{}", list.join("、")),
            ),
        }
    }

    /// A short word outside of any list.
    pub fn word(&mut self) -> Outcome {
        let piece = self.string()?;
        let text = decode(&self.cursor.text()[piece.span.start..piece.span.end]);
        let good = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if good {
            return Ok(());
        }
        self.wrong_value(
            "must be 1 to 64 letters, digits, '_', '-' or '.'",
            "须为 1 到 64 个字母、数字、“_”、“-”或“.”",
        )
    }

    fn stream_options(&mut self) -> Outcome {
        self.kind()?;
        let start = self.cursor.pos();
        self.object(|reader, name| match name {
            "include_usage" => {
                if reader.null()? {
                    let end = reader.cursor.pos();
                    reader.found.include_usage = Some(Span { start: end - 4, end });
                    return Ok(());
                }
                reader.found.wants_usage = reader.boolean()?;
                let end = reader.cursor.pos();
                let length = if reader.found.wants_usage { 4 } else { 5 };
                reader.found.include_usage = Some(Span { start: end - length, end });
                Ok(())
            }
            "include_obfuscation" => reader.boolean().map(|_| ()),
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = ["include_usage", "include_obfuscation"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })?;
        self.found.stream_options = Some(Span { start, end: self.cursor.pos() });
        Ok(())
    }

    fn stop(&mut self) -> Outcome {
        if self.kind()? == Kind::String {
            return self.string().map(|_| ());
        }
        if self.kind()? != Kind::Array {
            return self.wrong_type("a string or a list of up to 4 strings", "字符串或至多 4 个字符串的列表");
        }
        let count = self.array(|reader, _| reader.string().map(|_| ()))?;
        if count > 4 {
            return self.wrong_value("may have up to 4 strings", "至多 4 个字符串");
        }
        Ok(())
    }

    fn metadata(&mut self) -> Outcome {
        let mut count = 0;
        self.keyed(|reader| {
            count += 1;
            reader.string().map(|_| ())
        })?;
        if count > 16 {
            return self.wrong_value("may have up to 16 members", "至多 16 个成员");
        }
        Ok(())
    }

    /// An object whose keys are the caller's own words, scanned too.
    pub fn keyed(&mut self, mut value: impl FnMut(&mut Self) -> Outcome) -> Outcome {
        if self.kind()? != Kind::Object {
            return self.wrong_type("an object", "对象");
        }
        let entered = self.cursor.enter(Kind::Object);
        let mut members = self.json(entered)?;
        loop {
            let key = self.cursor.key(&mut members);
            let Some(key) = self.json(key)? else { return Ok(()) };
            self.piece(key)?;
            value(self)?;
        }
    }

    /// Any value: its keys and strings are scanned.
    pub fn any(&mut self) -> Outcome {
        match self.kind()? {
            Kind::String => self.string().map(|_| ()),
            Kind::Object => self.keyed(Self::any),
            Kind::Array => self.list(),
            _ => {
                let read = self.cursor.skip();
                self.json(read).map(|_| ())
            }
        }
    }

    /// A member that no table lists: where all are passed on, its name is the caller's own word, scanned too.
    pub fn extra(&mut self, name: &str) -> Outcome {
        if self.table.lists(name) {
            return self.any();
        }
        let key = self.key;
        self.piece(key)?;
        self.any()
    }

    fn list(&mut self) -> Outcome {
        let entered = self.cursor.enter(Kind::Array);
        let mut members = self.json(entered)?;
        loop {
            let more = self.cursor.element(&mut members);
            if !self.json(more)? {
                return Ok(());
            }
            self.any()?;
        }
    }
}
