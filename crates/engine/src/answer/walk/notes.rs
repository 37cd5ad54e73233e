//! What stands beside a message's text or in place of its string: annotations, and content that comes in parts.

use super::{MESSAGE, Walker, format_path, segment};
use crate::answer::frame::{Place, What};
use crate::stream::json::{Error, Kind, Span, Str};

impl Walker<'_> {
    /// Each annotation apart, so that the frame can be written with those that still have their text.
    pub(super) fn annotations(&mut self, key: Str) -> Result<(), Error> {
        let name = self.key_text(key);
        if self.cursor.kind()? != Kind::Array || !self.guard.is_key(&name) {
            return self.other(key, &mut MESSAGE.to_owned(), true);
        }
        let mut path = format!("{MESSAGE}/annotations/");
        let base = path.len();
        let mut elements = self.cursor.enter(Kind::Array)?;
        let mut from = self.cursor.pos();
        let mut position = 0u32;
        while self.cursor.element(&mut elements)? {
            let kind = self.cursor.kind()?;
            self.item(Span { start: from, end: self.cursor.pos() }, What::Note);
            path.push_str(&segment(None, position));
            match kind {
                Kind::Object => self.annotation(&mut path)?,
                _ => self.plain(&mut path, true)?,
            }
            path.truncate(base);
            position += 1;
            from = self.cursor.pos();
            self.item(Span { start: from, end: from }, What::NoteEnd);
        }
        self.item(Span { start: from, end: self.cursor.pos() - 1 }, What::NotesEnd);
        Ok(())
    }

    fn annotation(&mut self, path: &mut String) -> Result<(), Error> {
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            let name = self.key_text(key);
            if self.index_left_out(key)? {
                continue;
            }
            let cites = name == "url_citation" && self.cursor.kind()? == Kind::Object;
            if !cites || !self.guard.is_key(&name) {
                self.other(key, path, true)?;
                continue;
            }
            let base = path.len();
            path.push_str("/url_citation");
            self.citation(path)?;
            path.truncate(base);
        }
        Ok(())
    }

    fn citation(&mut self, path: &mut String) -> Result<(), Error> {
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            let is_end = match self.key_text(key).as_ref() {
                "start_index" => Some(false),
                "end_index" => Some(true),
                _ => None,
            };
            let (Some(is_end), Kind::Number) = (is_end, self.cursor.kind()?) else {
                self.other(key, path, true)?;
                continue;
            };
            let span = self.cursor.number()?;
            let what = match self.cursor.text()[span.start..span.end].parse() {
                Ok(value) => What::Offset { value, is_end },
                Err(_) => What::Put("null"), // no place in any text
            };
            self.item(span, what);
        }
        Ok(())
    }

    /// Content in parts: their texts are one lane, in the order in which they come.
    pub(super) fn parts(&mut self, key: Str) -> Result<(), Error> {
        let mut path = format!("{MESSAGE}{}/", format_path(&self.key_text(key)));
        let base = path.len();
        let mut elements = self.cursor.enter(Kind::Array)?;
        let mut position = 0u32;
        while self.cursor.element(&mut elements)? {
            path.push_str(&segment(None, position));
            match self.cursor.kind()? {
                Kind::Object => self.part(&mut path)?,
                _ => self.plain(&mut path, false)?,
            }
            path.truncate(base);
            position += 1;
        }
        Ok(())
    }

    fn part(&mut self, path: &mut String) -> Result<(), Error> {
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            if self.index_left_out(key)? {
                continue;
            }
            if self.key_text(key) == "text" && self.cursor.kind()? == Kind::String {
                self.text(Place::Part)?;
            } else {
                self.other(key, path, false)?;
            }
        }
        Ok(())
    }

    /// Notes and parts are read one after the other. Their `index` would let a client join them in another order.
    fn index_left_out(&mut self, key: Str) -> Result<bool, Error> {
        if !self.stream || !self.guard.is_active() || self.key_text(key) != "index" {
            return Ok(false);
        }
        self.cursor.skip()?;
        self.drop_member(key, self.frame.items.len());
        Ok(true)
    }

    fn plain(&mut self, path: &mut String, whole: bool) -> Result<(), Error> {
        if self.guard.is_active() { self.value(path, whole) } else { self.cursor.skip().map(|_| ()) }
    }
}
