//! Tools of a chat request, and the shape that its answer shall have.

use super::error;
use super::fields;
use super::read::{Outcome, Reader};
use crate::stream::json::Kind;

const TOOLS: usize = 128;

impl Reader<'_> {
    pub(super) fn tools(&mut self) -> Outcome {
        let count = self.array(|reader, _| reader.tool())?;
        if count > TOOLS {
            return self.wrong_value("may have up to 128 tools", "至多 128 个工具");
        }
        Ok(())
    }

    fn tool(&mut self) -> Outcome {
        let mut typed = false;
        self.object(|reader, name| match name {
            "type" => {
                typed = true;
                reader.tool_type()
            }
            "function" => reader.function(),
            "custom" => reader.any(),
            name if reader.table.takes(name) => reader.extra(name),
            // A member of a vendor's own tool; its type decides.
            _ if !reader.table.grants.is_empty() => reader.any(),
            name => {
                let known = ["type", "function", "custom"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })?;
        if !typed {
            return self.within("type", |reader| Err(error::missing(&reader.param)));
        }
        Ok(())
    }

    /// `function` and `custom` run at the caller; any other type runs at the vendor.
    fn tool_type(&mut self) -> Outcome {
        if self.kind()? != Kind::String {
            return self.wrong_type("a string", "字符串");
        }
        let read = self.cursor.string();
        let value = self.json(read)?;
        let name = self.text_of(value);
        if matches!(name.as_ref(), "function" | "custom") {
            return Ok(());
        }
        if !self.table.grants(&name) {
            return Err(error::needs_grant(&self.param));
        }
        self.piece(value).map(|_| ())
    }

    fn function(&mut self) -> Outcome {
        let mut named = false;
        self.object(|reader, name| match name {
            "name" => {
                named = true;
                reader.function_name()
            }
            "description" => {
                if reader.null()? {
                    return Ok(());
                }
                reader.string().map(|_| ())
            }
            "strict" => {
                if reader.null()? {
                    return Ok(());
                }
                reader.boolean().map(|_| ())
            }
            "parameters" => match reader.kind()? {
                Kind::Object | Kind::Null => reader.any(),
                _ => reader.wrong_type("an object (a JSON Schema)", "对象（JSON Schema）"),
            },
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = ["name", "description", "strict", "parameters"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })?;
        if !named {
            return self.within("name", |reader| Err(error::missing(&reader.param)));
        }
        Ok(())
    }

    fn function_name(&mut self) -> Outcome {
        let piece = self.string()?;
        let name = &self.cursor.text()[piece.span.start..piece.span.end];
        let good = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if good {
            return Ok(());
        }
        self.wrong_value("must be 1 to 64 letters, digits, '_' or '-'", "须为 1 到 64 个字母、数字、“_”或“-”")
    }

    /// The older form of tools.
    pub(super) fn functions(&mut self) -> Outcome {
        self.array(|reader, _| reader.function()).map(|_| ())
    }

    pub(super) fn tool_choice(&mut self) -> Outcome {
        match self.kind()? {
            Kind::String => self.one_of(&["none", "auto", "required"]).map(|_| ()),
            Kind::Object => self.any(),
            _ => self
                .wrong_type("\"none\", \"auto\", \"required\" or an object", "“none”“auto”“required”或对象"),
        }
    }

    /// A call that an earlier answer made.
    pub(super) fn tool_call(&mut self) -> Outcome {
        self.object(|reader, name| match name {
            "type" => reader.one_of(&["function", "custom"]).map(|_| ()),
            "id" => reader.string().map(|_| ()),
            "index" => reader.integer(0, 1_000_000).map(|_| ()),
            "function" | "custom" => reader.any(),
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = ["type", "id", "index", "function", "custom"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })
    }

    pub(super) fn response_format(&mut self) -> Outcome {
        let mut kind = None;
        let mut has_schema = false;
        self.object(|reader, name| match name {
            "type" => {
                kind = Some(reader.one_of(&["text", "json_object", "json_schema"])?);
                Ok(())
            }
            "json_schema" => {
                has_schema = true;
                reader.json_schema()
            }
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = ["type", "json_schema"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })?;
        match kind {
            None => return self.within("type", |reader| Err(error::missing(&reader.param))),
            Some(2) if !has_schema => {
                return self.within("json_schema", |reader| Err(error::missing(&reader.param)));
            }
            Some(kind) => self.found.json = kind > 0,
        }
        Ok(())
    }

    fn json_schema(&mut self) -> Outcome {
        let mut named = false;
        self.object(|reader, name| match name {
            "name" => {
                named = true;
                reader.function_name()
            }
            "description" => reader.any(),
            "schema" => match reader.kind()? {
                Kind::Object => reader.any(),
                _ => reader.wrong_type("an object (a JSON Schema)", "对象（JSON Schema）"),
            },
            "strict" => {
                if reader.null()? {
                    return Ok(());
                }
                reader.boolean().map(|_| ())
            }
            name if reader.table.takes(name) => reader.extra(name),
            name => {
                let known = ["name", "description", "schema", "strict"].into_iter();
                Err(error::unknown(&reader.param, fields::nearest(name, known)))
            }
        })?;
        if !named {
            return self.within("name", |reader| Err(error::missing(&reader.param)));
        }
        Ok(())
    }
}
