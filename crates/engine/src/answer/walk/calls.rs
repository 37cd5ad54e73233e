//! Tool calls, the older function call, and sound, within a message.

use super::{MESSAGE, Walker, format_path, segment};
use crate::answer::frame::{Kind as LaneKind, Place, Tool, What};
use crate::stream::json::{Error, Kind, Str};

impl Walker<'_> {
    pub(super) fn tools(&mut self) -> Result<(), Error> {
        if self.cursor.kind()? != Kind::Array {
            let at = self.cursor.pos();
            self.cursor.literal().map_err(|_| Error::Syntax { at })?;
            return Ok(());
        }
        let mut elements = self.cursor.enter(Kind::Array)?;
        let mut position = 0;
        while self.cursor.element(&mut elements)? {
            let ordinal = self.frame.tools.len() as u32;
            let index = self.cursor.peek_number("index")?.and_then(|index| index.parse().ok());
            self.frame.tools.push(Tool { position, index });
            position += 1;
            self.here().speaks = true;
            self.tool(ordinal)?;
        }
        Ok(())
    }

    fn tool(&mut self, ordinal: u32) -> Result<(), Error> {
        let mut path = String::new();
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            match self.key_text(key).as_ref() {
                "index" => self.frame.tools[ordinal as usize].index = self.index()?,
                "id" => {
                    self.outer(key, What::ToolId(ordinal))?;
                }
                "type" => {
                    self.constant(key, Some("\"function\""))?;
                }
                "function" | "custom" => self.call(key, ordinal)?,
                _ => {
                    path.push_str(&self.tool_path(ordinal));
                    self.other(key, &mut path, false)?;
                    path.clear();
                }
            }
        }
        Ok(())
    }

    fn tool_path(&self, ordinal: u32) -> String {
        let tool = self.frame.tools[ordinal as usize];
        let index = tool.index.filter(|_| self.stream).map(|index| index.to_string());
        format!("{MESSAGE}/tool_calls/{}", segment(index.as_deref(), tool.position))
    }

    fn call(&mut self, key: Str, ordinal: u32) -> Result<(), Error> {
        let mut path = self.tool_path(ordinal);
        let of = self.key_text(key);
        path.push_str(&format_path(&of));
        if self.cursor.kind()? != Kind::Object {
            return self.generic(key, &mut path, false);
        }
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            let place = match (of.as_ref(), self.key_text(key).as_ref()) {
                ("function", "name") => Place::ToolName(ordinal),
                ("function", "arguments") => Place::ToolArguments(ordinal),
                ("custom", "input") => Place::ToolInput(ordinal),
                _ => {
                    self.other(key, &mut path, false)?;
                    continue;
                }
            };
            match self.cursor.kind()? {
                Kind::String => self.text(place)?,
                _ => self.other(key, &mut path, false)?,
            }
        }
        Ok(())
    }

    pub(super) fn function_call(&mut self) -> Result<(), Error> {
        let mut path = format!("{MESSAGE}/function_call");
        if self.cursor.kind()? != Kind::Object {
            let at = self.cursor.pos();
            self.cursor.literal().map_err(|_| Error::Syntax { at })?;
            return Ok(());
        }
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            let kind = match self.key_text(key).as_ref() {
                "name" => Some(LaneKind::CallName),
                "arguments" => Some(LaneKind::CallArguments),
                _ => None,
            };
            match (kind, self.cursor.kind()?) {
                (Some(kind), Kind::String) => self.text(Place::Known(kind))?,
                _ => self.other(key, &mut path, false)?,
            }
        }
        Ok(())
    }

    /// Sound cannot be scanned: while rules are active only its transcript passes, as a lane.
    pub(super) fn audio(&mut self) -> Result<(), Error> {
        let mut path = format!("{MESSAGE}/audio");
        if self.cursor.kind()? != Kind::Object {
            let at = self.cursor.pos();
            self.cursor.literal().map_err(|_| Error::Syntax { at })?;
            return Ok(());
        }
        let mut members = self.cursor.enter(Kind::Object)?;
        while let Some(key) = self.cursor.key(&mut members)? {
            match self.key_text(key).as_ref() {
                "id" => self.identifier_at(key, "/message/audio/id")?,
                "data" => {
                    let value = self.cursor.skip()?;
                    if self.guard.is_active() {
                        self.item(value, What::Put("\"\""));
                    }
                }
                _ => self.other(key, &mut path, false)?,
            }
        }
        Ok(())
    }
}
