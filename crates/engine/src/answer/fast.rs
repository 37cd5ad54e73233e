//! The steady state: a frame that differs from one before only in the contents of its single text. What surrounds the
//! text was read and written once and is only compared; the text takes the same lane, by the same rule.

use super::frame::{Frame, Kind, What};
use super::stream::{Pass, Refused};
use super::{AnswerError, AnswerScan};
use crate::limits::WITHHELD_BYTES;
use crate::stream::hold::Stop;
use crate::stream::json::{contents, encode};

/// Templates that came to no use after which a provider's frames are taken to differ always.
const WASTED: u32 = 16;
/// Frames remembered: lanes that take turns, or choices.
const TEMPLATES: usize = 4;

#[derive(Debug)]
pub(super) struct Template {
    /// Of the provider's frame, what stands before and after the text's contents.
    before: Vec<u8>,
    after: Vec<u8>,
    /// The same of the written frame.
    put_before: Vec<u8>,
    put_after: Vec<u8>,
    choice: usize,
    lane: usize,
    used: bool,
}

impl AnswerScan {
    /// Remembers a frame whose every part but its one text may be repeated as it was written.
    pub(super) fn learn(&mut self, text: &str, frame: &Frame, pass: &Pass) {
        let single = pass.only_text.filter(|_| pass.texts == 1 && self.wasted < WASTED);
        let Some((choice, lane, from, to)) = single else { return };
        let known = |what: What| match what {
            What::Text { .. } | What::Drop | What::Put(_) | What::Model | What::Id => true,
            What::Finish
            | What::ToolId(_)
            | What::Usage
            | What::Note
            | What::NoteEnd
            | What::NotesEnd
            | What::Offset { .. } => false,
        };
        if !pass.finishes.is_empty() || frame.usage.is_some() || !frame.items.iter().all(|i| known(i.what)) {
            return;
        }
        let is_text = |what: What| matches!(what, What::Text { .. });
        let Some(item) = frame.items.iter().find(|item| is_text(item.what)) else { return };
        let (before, after) = (&text.as_bytes()[..item.span.start], &text.as_bytes()[item.span.end..]);
        if self.templates.iter().any(|known| known.before == before && known.after == after) {
            return;
        }
        let template = Template {
            before: before.to_vec(),
            after: after.to_vec(),
            put_before: [b"data: ", &self.buffer[..from]].concat(),
            put_after: [&self.buffer[to..], b"\n\n"].concat(),
            choice,
            lane,
            used: false,
        };
        if self.templates.len() == TEMPLATES {
            self.wasted += u32::from(!self.templates.remove(0).used);
        }
        self.templates.push(template);
    }

    /// Carries out a frame that a template covers; false leaves it to be read in full.
    pub(super) fn quick(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<bool, AnswerError> {
        let fits = |template: &Template| {
            data.len() >= template.before.len() + template.after.len()
                && data.ends_with(&template.after)
                && data.starts_with(&template.before)
        };
        let Some(template) = self.templates.iter_mut().rev().find(|template| fits(template)) else {
            return Ok(false);
        };
        template.used = true;
        let inner = &data[template.before.len()..data.len() - template.after.len()];
        let (Some(escaped), Ok(raw)) = (contents(inner), std::str::from_utf8(inner)) else {
            return Ok(false);
        };
        if self.choices[template.choice].closed.is_some() {
            return Ok(false);
        }
        let mut withheld = self.withheld.take();
        let target = withheld.as_mut().unwrap_or(out);
        if target.len() > WITHHELD_BYTES && self.withholds {
            self.withheld = withheld;
            return Ok(false); // the full way says so
        }
        let choice = &mut self.choices[template.choice];
        let lane = &mut choice.lanes[template.lane];
        let (same, stop) = lane.push(raw, escaped, &mut self.work);
        target.extend_from_slice(&template.put_before);
        if same {
            target.extend_from_slice(inner);
        } else {
            encode(&self.work.released, target);
        }
        target.extend_from_slice(&template.put_after);
        let (at, kind, ours, sent) = (template.choice, lane.kind, lane.ours, lane.sent);
        self.note(at, kind, ours);
        let done = if stop.is_some() { self.stop_quickly(stop, at, kind, sent, target) } else { Ok(()) };
        if self.withheld.is_none() {
            self.withheld = withheld;
        }
        done.map(|()| true)
    }

    fn stop_quickly(
        &mut self,
        stop: Option<Stop>,
        choice: usize,
        kind: Kind,
        sent: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        let mut pass = Pass::default();
        self.note_stop(stop, choice, kind, sent, &mut pass)?;
        if let Some(refused) = pass.all.take() {
            self.refuse_all(&refused);
        }
        for Refused { choice, rule, lane, offset } in pass.refused {
            let notice = self.disclosure.refusal(&mut self.spec, rule, lane, offset);
            self.close_with(choice, &notice, false, out);
        }
        Ok(())
    }
}
