//! The prompts of a legacy completion: texts, or token ids.

use super::read::{Outcome, Reader};
use crate::limits::PROMPTS;
use crate::stream::json::Kind;

impl Reader<'_> {
    pub(super) fn prompt(&mut self) -> Outcome {
        self.found.prompts = 1;
        match self.kind()? {
            Kind::String => {
                let piece = self.string()?;
                self.found.last_user = Some(piece);
                Ok(())
            }
            Kind::Array => self.prompts(),
            _ => self.wrong_type(
                "a string, or a list of strings or of token ids",
                "字符串，或字符串列表、token 编号列表",
            ),
        }
    }

    fn prompts(&mut self) -> Outcome {
        let mut texts = 0usize;
        let mut lists = 0usize;
        let mut ids = 0usize;
        let count = self.array(|reader, _| match reader.kind()? {
            Kind::String => {
                texts += 1;
                reader.found.last_user = Some(reader.string()?);
                Ok(())
            }
            Kind::Number => {
                ids += 1;
                reader.integer(0, i64::from(u32::MAX)).map(|_| ())
            }
            Kind::Array => {
                lists += 1;
                reader.array(|inner, _| inner.integer(0, i64::from(u32::MAX)).map(|_| ())).map(|_| ())
            }
            _ => reader.wrong_type("a string or token ids", "字符串或 token 编号"),
        })?;
        if count == 0 {
            return self.wrong_value("must not be empty", "不能为空");
        }
        if [texts, lists, ids].iter().filter(|kind| **kind > 0).count() > 1 {
            return self.wrong_value("must not mix strings and token ids", "不能混用字符串与 token 编号");
        }
        let prompts = if ids > 0 { 1 } else { count };
        if prompts > PROMPTS {
            return self.wrong_value(
                &format!("may have up to {PROMPTS} prompts"),
                &format!("至多 {PROMPTS} 个提示"),
            );
        }
        self.found.prompts = prompts as u32;
        self.found.tokens = ids + lists > 0;
        Ok(())
    }
}
