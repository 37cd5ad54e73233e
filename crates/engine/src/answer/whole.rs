//! An answer that is not streamed: the same lanes with the same streaming rule, each ended where its string ends.

use super::frame::{Frame, OUTSIDE};
use super::stream::{Pass, provider_error};
use super::walk::walk;
use super::{AnswerError, AnswerScan, blocks, write};
use crate::stream::json::decode;

impl AnswerScan {
    pub(super) fn whole(&mut self, body: &[u8]) -> Result<(), AnswerError> {
        let text = std::str::from_utf8(body).map_err(|_| AnswerError::garbage())?;
        let mut frame = std::mem::take(&mut self.frame);
        let mut pass = Pass::default();
        let read = walk(text, self.spec.route, false, &mut frame, &mut self.guard, &mut self.scratch);
        let done = match read {
            Ok(()) => self.carry_whole(text, &frame, &mut pass),
            Err(_) => Err(AnswerError::garbage()),
        };
        self.frame = frame;
        done
    }

    fn carry_whole(&mut self, text: &str, frame: &Frame, pass: &mut Pass) -> Result<(), AnswerError> {
        if let Some(usage) = frame.usage {
            let value = &text[usage.start..usage.end];
            self.usage.read(value, &mut self.scratch, &mut self.guard).map_err(|_| AnswerError::garbage())?;
            self.usage.complete = true;
        }
        self.head.capture(text, frame, &mut self.guard, &self.spec);
        if let Some(word) = self.vendor_word(text)? {
            self.vendor_blocked = true;
            let notice = self.disclosure.vendor(&mut self.spec, word, "/choices".to_owned(), 0);
            self.last = Some(self.whole_notice(&notice));
            return Ok(());
        }
        if let Some(error) = frame.error {
            return Err(provider_error(&text[error.start..error.end]));
        }
        if frame.elements.is_empty() {
            return Err(AnswerError::garbage());
        }
        self.resolve(frame, pass)?;
        self.buffer.clear();
        if let Some(refused) = self.write_whole(text, frame, pass)? {
            let notice = self.disclosure.refusal(&mut self.spec, refused.rule, refused.lane, 0);
            self.last = Some(self.whole_notice(&notice));
            return Ok(());
        }
        self.last = Some(std::mem::take(&mut self.buffer));
        Ok(())
    }

    /// Writes the body into the buffer; returns a refusal that takes back all of it.
    fn write_whole(
        &mut self,
        text: &str,
        frame: &Frame,
        pass: &mut Pass,
    ) -> Result<Option<super::stream::Refused>, AnswerError> {
        let (mut copied, mut next) = (0, 0);
        for (element, found) in frame.elements.iter().enumerate() {
            let number = element as u32;
            while frame
                .items
                .get(next)
                .is_some_and(|item| item.element == OUTSIDE && item.span.start < found.span.start)
            {
                copied = self.item(text, frame, &frame.items[next], copied, pass)?;
                next += 1;
            }
            self.buffer.extend_from_slice(&text.as_bytes()[copied..found.span.start]);
            copied = found.span.start;
            let start = self.buffer.len();
            pass.said.clear();
            while let Some(item) = frame.items.get(next).filter(|item| item.element == number) {
                copied = self.item(text, frame, item, copied, pass)?;
                next += 1;
            }
            self.finish_whole(number, pass)?;
            if let Some(refused) = pass.all.take() {
                return Ok(Some(refused));
            }
            let reason = found.finish.map(|s| decode(&text[s.start..s.end]));
            if self.close_whole(number, reason.as_deref(), start, pass) {
                copied = found.span.end;
            } else {
                self.buffer.extend_from_slice(&text.as_bytes()[copied..found.span.end]);
                copied = found.span.end;
            }
        }
        for item in &frame.items[next..] {
            copied = self.item(text, frame, item, copied, pass)?;
        }
        self.buffer.extend_from_slice(&text.as_bytes()[copied..]);
        Ok(None)
    }

    /// Ends a choice; one that a rule or the provider's filter stopped is written anew from `start` on.
    fn close_whole(&mut self, element: u32, reason: Option<&str>, start: usize, pass: &mut Pass) -> bool {
        let at = pass.choice_of[element as usize];
        let refused = pass.refused.pop();
        let word = reason.and_then(|reason| blocks::finish(&self.spec.blocks, reason)).map(str::to_owned);
        let said_chars = pass.said.chars().count() as u64;
        let notice = match (refused, word) {
            (Some(refused), _) => {
                self.disclosure.refusal(&mut self.spec, refused.rule, refused.lane, refused.offset)
            }
            (None, Some(word)) => {
                self.vendor_blocked = true;
                let lane = self.choices[at].pointer(super::lanes::spoken(self.spec.route));
                self.disclosure.vendor(&mut self.spec, word, lane, said_chars)
            }
            (None, None) => {
                let known = reason.filter(|reason| self.guard.is_enum(reason)).unwrap_or("stop");
                self.choices[at].closed = Some(known.to_owned());
                return false;
            }
        };
        self.buffer.truncate(start);
        let index = self.choices[at].index;
        write::whole_choice(&self.spec, index, &pass.said, &notice, &mut self.buffer);
        self.rewrite(at, &pass.said, &notice);
        true
    }

    /// The lanes of a choice that was written anew.
    fn rewrite(&mut self, at: usize, said: &str, notice: &str) {
        let kind = super::lanes::spoken(self.spec.route);
        let index = self.choices[at].index;
        let mut choice = super::lanes::Choice::new(index);
        let kept =
            self.choices[at].lanes.iter_mut().find(|lane| lane.kind == kind).and_then(|l| l.kept.take());
        choice.closed = Some("content_filter".to_owned());
        let json = self.spec.json_lanes;
        let (text, apart) = match (json, said.is_empty()) {
            (true, _) => (said.to_owned(), Some(notice)),
            (false, true) => (notice.to_owned(), None),
            (false, false) => (format!("{said}\n\n{notice}"), None),
        };
        for (kind, text) in
            [(kind, text.as_str())].into_iter().chain(apart.map(|n| (super::frame::Kind::Refusal, n)))
        {
            if let Ok(lane) = choice.lane(kind, &self.rules) {
                choice.lanes[lane].add_own(text, false);
            }
        }
        // The record says the same without the opening.
        if let (false, Some(kept)) = (said.is_empty(), kept) {
            let text = if json { kept } else { format!("{kept}\n\n{notice}") };
            if let Some(lane) = choice.lanes.iter_mut().find(|lane| lane.kind == kind) {
                lane.kept = Some(text);
            }
        }
        self.choices[at] = choice;
    }

    /// A whole body whose every choice says only the notice.
    pub(super) fn whole_notice(&mut self, notice: &str) -> Vec<u8> {
        self.head.complete(&self.spec);
        self.choices.clear();
        let mut body = Vec::new();
        self.head.envelope(&mut body);
        body.extend_from_slice(b",\"choices\":[");
        for index in 0..self.spec.n {
            if index > 0 {
                body.push(b',');
            }
            let at = self.choice(index);
            write::whole_choice(&self.spec, index, "", notice, &mut body);
            self.rewrite(at, "", notice);
        }
        body.push(b']');
        if self.usage.known {
            body.extend_from_slice(b",\"usage\":");
            body.extend_from_slice(self.usage.shown().as_bytes());
        }
        body.push(b'}');
        body
    }
}
