//! The messages of a chat request: roles, contents, parts.

use super::fields;
use super::read::{Outcome, Reader};
use super::{Piece, error};
use crate::stream::json::Kind;

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function"];
const USER: usize = 2;
const ASSISTANT: usize = 3;
const TOOL: usize = 4;
const PARTS: &[&str] = &["text", "image_url", "input_audio", "file", "refusal"];
const MEMBERS: &[&str] = &[
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "audio",
    "function_call",
    "reasoning_content",
];

/// What a message turned out to have.
#[derive(Default)]
struct Message {
    role: Option<usize>,
    has_content: bool,
    has_calls: bool,
    has_call_id: bool,
    /// Range of the pieces of its content.
    content: (usize, usize),
    /// The texts of its parts.
    texts: Vec<Piece>,
}

impl Reader<'_> {
    pub(super) fn messages(&mut self) -> Outcome {
        if self.kind()? != Kind::Array {
            return self.wrong_type("a list of messages", "消息列表");
        }
        let count = self.array(|reader, _| reader.message())?;
        self.found.messages = count;
        if count == 0 {
            return self
                .wrong_value("must not be empty: add at least one message", "不能为空，请至少加入一条消息");
        }
        if self.table.stored && count != 1 {
            return self.wrong_value(
                "must hold exactly the one new message: the conversation has the ones before",
                "须恰好包含一条新消息：此前的消息已在会话中",
            );
        }
        Ok(())
    }

    fn message(&mut self) -> Outcome {
        let mut message = Message::default();
        self.object(|reader, name| reader.member(name, &mut message))?;
        if message.texts.len() > 1 {
            self.found.joined.push(std::mem::take(&mut message.texts));
        }
        let Some(role) = message.role else {
            return self.within("role", |reader| Err(error::missing(&reader.param)));
        };
        if role == TOOL && !message.has_call_id {
            return self.within("tool_call_id", |reader| Err(error::missing(&reader.param)));
        }
        let may_lack = role == ASSISTANT && message.has_calls;
        if !message.has_content && !may_lack {
            return self.within("content", |reader| Err(error::missing(&reader.param)));
        }
        if self.table.stored && role != USER {
            return self.within("role", |reader| {
                reader.wrong_value("must be 'user' in a conversation", "在会话中须为“user”")
            });
        }
        if role == USER {
            let (from, to) = message.content;
            if let Some(last) = self.found.pieces.get(from..to).and_then(<[_]>::last) {
                self.found.last_user = Some(*last);
            }
        }
        Ok(())
    }

    fn member(&mut self, name: &str, message: &mut Message) -> Outcome {
        if name == "role" {
            message.role = Some(self.one_of(ROLES)?);
            return Ok(());
        }
        if !MEMBERS.contains(&name) && !self.table.takes(name) {
            return Err(error::unknown(&self.param, fields::nearest(name, MEMBERS.iter().copied())));
        }
        if self.null()? {
            return Ok(());
        }
        match name {
            "content" => {
                let from = self.found.pieces.len();
                self.content(&mut message.texts)?;
                message.content = (from, self.found.pieces.len());
                message.has_content = true;
                Ok(())
            }
            "tool_calls" => {
                message.has_calls = true;
                self.array(|reader, _| reader.tool_call()).map(|_| ())
            }
            "tool_call_id" => {
                message.has_call_id = true;
                self.string().map(|_| ())
            }
            "audio" => {
                message.has_calls = true;
                self.found.media = true;
                self.dearer(Self::any)
            }
            "function_call" => {
                message.has_calls = true;
                self.any()
            }
            "refusal" => {
                message.has_calls = true;
                self.string().map(|_| ())
            }
            "name" | "reasoning_content" => self.string().map(|_| ()),
            name => self.extra(name),
        }
    }

    fn content(&mut self, texts: &mut Vec<Piece>) -> Outcome {
        match self.kind()? {
            Kind::String => self.string().map(|_| ()),
            Kind::Array => {
                let count = self.array(|reader, _| reader.part(texts))?;
                if count == 0 {
                    return self.wrong_value("must not be empty", "不能为空");
                }
                Ok(())
            }
            _ => self.wrong_type("a string or a list of parts", "字符串或内容片段列表"),
        }
    }

    fn part(&mut self, texts: &mut Vec<Piece>) -> Outcome {
        let mut kind = None;
        self.object(|reader, name| match name {
            "type" => {
                kind = Some(reader.one_of(PARTS)?);
                Ok(())
            }
            "text" | "refusal" => {
                texts.push(reader.string()?);
                Ok(())
            }
            "image_url" => {
                reader.found.media = true;
                reader.any()
            }
            "input_audio" => {
                reader.found.media = true;
                reader.dearer(Reader::any)
            }
            "file" => {
                reader.found.media = true;
                reader.file()
            }
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = PARTS.iter().copied().chain(["type"]);
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })?;
        if kind.is_none() {
            return self.within("type", |reader| Err(error::missing(&reader.param)));
        }
        Ok(())
    }

    /// A file's text goes along; a file that the vendor keeps is the vendor's storage.
    fn file(&mut self) -> Outcome {
        self.object(|reader, name| match name {
            "file_id" if !reader.table.grants("file_id") => Err(error::needs_grant(&reader.param)),
            "file_id" | "file_data" | "filename" => reader.string().map(|_| ()),
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = ["file_id", "file_data", "filename"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })
    }
}
