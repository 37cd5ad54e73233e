//! One event of a streamed answer: read whole, then written with its lanes scanned. Bytes that need no change are
//! copied.

use super::cite::{Note, Notes};
use super::frame::{Frame, Item, Kind, OUTSIDE, Place, What};
use super::lanes::{LaneState, spoken};
use super::walk::walk;
use super::{AnswerError, AnswerScan, blocks, disclose};
use crate::limits::CHOICES;
use crate::rules::Granularity;
use crate::stream::hold::Stop;
use crate::stream::json::{decode, encode};

/// Where a lane's text ended in the written frame: the place for its tail.
pub(super) struct Slot {
    pub element: u32,
    pub lane: usize,
    pub at: usize,
}

/// A choice that a rule ended: its position, the rule, its lane's pointer and what of the lane was sent.
pub(super) struct Refused {
    pub choice: usize,
    pub rule: u32,
    pub lane: String,
    pub offset: u64,
}

/// What came up while a frame was written.
#[derive(Default)]
pub(super) struct Pass {
    /// By element, the position of its choice.
    pub choice_of: Vec<usize>,
    pub slots: Vec<Slot>,
    /// Element, place and length of a written finish reason.
    pub finishes: Vec<(u32, usize, usize)>,
    pub refused: Vec<Refused>,
    /// A refusal of granularity `answer`.
    pub all: Option<Refused>,
    /// Choice, lane and place in the written frame of its text, where it has exactly one and nothing of ours.
    pub only_text: Option<(usize, usize, usize, usize)>,
    pub texts: u32,
    /// Annotations: those written so far, the list being written, the one being written and where it began.
    pub notes: Vec<Notes>,
    pub note_list: Vec<Note>,
    pub note: Note,
    pub note_at: usize,
    /// Text of the spoken lane of the element being written, for a whole answer only.
    pub said: String,
}

impl Pass {
    fn clear(&mut self) {
        self.choice_of.clear();
        self.slots.clear();
        self.finishes.clear();
        self.refused.clear();
        self.all = None;
        self.only_text = None;
        self.texts = 0;
        self.notes.clear();
        self.note_list.clear();
        self.said.clear();
    }

    pub fn is_refused(&self, choice: usize) -> bool {
        self.all.is_some() || self.refused.iter().any(|refused| refused.choice == choice)
    }
}

impl AnswerScan {
    /// The data of one event.
    pub(super) fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), AnswerError> {
        if self.stopped || self.done || self.quick(data, out)? {
            return Ok(());
        }
        // The line feeds between the data lines of an event; a string of JSON has none. One line goes out.
        let flat =
            memchr::memchr(b'\n', data).map(|_| data.iter().map(|b| if *b == b'\n' { b' ' } else { *b }));
        let flat = flat.map(Iterator::collect::<Vec<u8>>);
        let data = flat.as_deref().unwrap_or(data);
        let text = std::str::from_utf8(data).map_err(|_| AnswerError::garbage())?;
        if text.trim_ascii() == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let mut frame = std::mem::take(&mut self.frame);
        let mut pass = std::mem::take(&mut self.pass);
        pass.clear();
        let mut withheld = self.withheld.take();
        let read = walk(text, self.spec.route, true, &mut frame, &mut self.guard, &mut self.scratch);
        let done = match read {
            Ok(()) => self.carry(text, &frame, &mut pass, withheld.as_mut().unwrap_or(out)),
            Err(_) => Err(AnswerError::garbage()),
        };
        if self.withheld.is_none() {
            self.withheld = withheld;
        }
        if frame.usage.is_some() {
            self.usage.complete = self.last.is_some() && (frame.elements.is_empty() || !self.is_cut());
        }
        self.frame = frame;
        self.pass = pass;
        done
    }

    fn carry(
        &mut self,
        text: &str,
        frame: &Frame,
        pass: &mut Pass,
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        if let Some(usage) = frame.usage {
            let value = &text[usage.start..usage.end];
            self.usage.read(value, &mut self.scratch, &mut self.guard).map_err(|_| AnswerError::garbage())?;
        }
        if let Some(word) = self.vendor_word(text)? {
            self.resolve(frame, pass)?;
            self.vendor_stop(word, out);
            return Ok(());
        }
        if let Some(error) = frame.error {
            return Err(provider_error(&text[error.start..error.end]));
        }
        if frame.elements.is_empty() {
            return Ok(()); // usage, or a vendor's verdict on the prompt
        }
        self.resolve(frame, pass)?;
        if pass.choice_of.iter().all(|choice| self.choices[*choice].closed.is_some()) {
            return Ok(());
        }
        self.head.capture(text, frame, &mut self.guard, &self.spec);
        self.buffer.clear();
        let mut copied = 0;
        for item in &frame.items {
            copied = self.item(text, frame, item, copied, pass)?;
        }
        self.buffer.extend_from_slice(&text.as_bytes()[copied..]);
        self.learn(text, frame, pass);
        self.settle(text, frame, pass, out)
    }

    /// A choice was ended by a rule: the provider may still be writing it.
    fn is_cut(&self) -> bool {
        self.choices.iter().any(|choice| choice.closed.as_deref() == Some(super::close::FILTERED))
    }

    pub(super) fn vendor_word(&mut self, text: &str) -> Result<Option<String>, AnswerError> {
        if self.spec.blocks.is_empty() {
            return Ok(None);
        }
        let word = blocks::elsewhere(&self.spec.blocks, text, &mut self.scratch);
        Ok(word.map_err(|_| AnswerError::garbage())?.map(str::to_owned))
    }

    /// Finds the choice of each element. A choice that was not asked for, or one twice in a frame, could carry
    /// text past a client that reads only what it asked for.
    pub(super) fn resolve(&mut self, frame: &Frame, pass: &mut Pass) -> Result<(), AnswerError> {
        pass.choice_of.clear();
        for (position, element) in frame.elements.iter().enumerate() {
            let index = element.index.unwrap_or(position as u32);
            if index >= self.spec.n.min(CHOICES) {
                return Err(AnswerError::garbage());
            }
            let choice = self.choice(index);
            if pass.choice_of.contains(&choice) {
                return Err(AnswerError::garbage());
            }
            pass.choice_of.push(choice);
        }
        Ok(())
    }

    /// Writes one item; returns up to where the text has been used.
    pub(super) fn item(
        &mut self,
        text: &str,
        frame: &Frame,
        item: &Item,
        copied: usize,
        pass: &mut Pass,
    ) -> Result<usize, AnswerError> {
        self.buffer.extend_from_slice(&text.as_bytes()[copied..item.span.start]);
        let raw = &text[item.span.start..item.span.end];
        match item.what {
            What::Text { place, escaped } => self.text(raw, escaped, place, item.element, frame, pass)?,
            What::Drop => return Ok(self.cut(text, item.span.end)),
            What::Usage => {
                let keep = !self.spec.stream || (self.spec.include_usage && raw.ends_with("null"));
                if !keep {
                    return Ok(self.cut(text, item.span.end));
                }
                if raw.ends_with("null") {
                    self.buffer.extend_from_slice(raw.as_bytes());
                } else {
                    self.buffer.extend_from_slice(b"\"usage\":");
                    self.buffer.extend_from_slice(self.usage.shown().as_bytes());
                }
            }
            What::Put(constant) => self.buffer.extend_from_slice(constant.as_bytes()),
            What::Model => self.buffer.extend_from_slice(self.head.model.as_bytes()),
            What::Id => self.buffer.extend_from_slice(self.head.id.as_bytes()),
            What::Finish => self.finish_reason(raw, item.element, pass),
            What::Note => pass.open_note(self.buffer.len()),
            What::Offset { value, is_end } => pass.offset(value, is_end, &self.buffer),
            What::NoteEnd => pass.close_note(&mut self.buffer),
            What::NotesEnd => {
                let choice = pass.choice_of[item.element as usize];
                let goes_on = self.choices[choice].closed.is_none();
                pass.close_notes(item.element, self.buffer.len(), goes_on);
            }
            What::ToolId(ordinal) => self.tool_id(raw, ordinal, item.element, frame, pass),
        }
        Ok(item.span.end)
    }

    /// Leaves a member out: its comma goes with it.
    fn cut(&mut self, text: &str, end: usize) -> usize {
        let bytes = text.as_bytes();
        let mut at = end;
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if bytes.get(at) == Some(&b',') {
            return at + 1;
        }
        while self.buffer.last().is_some_and(u8::is_ascii_whitespace) {
            self.buffer.pop();
        }
        if self.buffer.last() == Some(&b',') {
            self.buffer.pop();
        }
        end
    }

    fn finish_reason(&mut self, raw: &str, element: u32, pass: &mut Pass) {
        let at = self.buffer.len();
        let choice = pass.choice_of[element as usize];
        if self.choices[choice].closed.is_some() {
            self.buffer.extend_from_slice(b"null");
            return;
        }
        let known = self.guard.is_enum(&decode(&raw[1..raw.len() - 1]));
        self.buffer.extend_from_slice(if known { raw.as_bytes() } else { b"\"stop\"" });
        pass.finishes.push((element, at, self.buffer.len() - at));
    }

    /// The first id of a tool call is the one the client knows; if it cannot pass, one of ours stands for it.
    fn tool_id(&mut self, raw: &str, ordinal: u32, element: u32, frame: &Frame, pass: &Pass) {
        let tool = frame.tools[ordinal as usize];
        let number = tool.index.unwrap_or(tool.position);
        let choice = &mut self.choices[pass.choice_of[element as usize]];
        if raw == "null" || choice.closed.is_some() {
            self.buffer.extend_from_slice(b"null");
            return;
        }
        let mut ids = choice.tool_ids.iter().filter(|(known, ..)| *known == number);
        let place = format!("{}/tool/{number}", choice.index);
        let ours = ids.clone().any(|(_, raw_id, id)| raw_id == raw && id != raw);
        let passes =
            !ours && (raw == "\"\"" || self.guard.continues(&place, &decode(&raw[1..raw.len() - 1])));
        let id = if passes {
            raw.to_owned()
        } else if ours || ids.next().is_none() {
            format!("\"call_{}_{}_{number}\"", self.spec.turn, choice.index)
        } else {
            "null".to_owned()
        };
        self.buffer.extend_from_slice(id.as_bytes());
        let known = choice.tool_ids.iter().any(|(known, raw_id, _)| *known == number && raw_id == raw);
        if !known && choice.tool_ids.len() < crate::limits::LANES_PER_CHOICE {
            choice.tool_ids.push((number, raw.to_owned(), id));
        }
    }

    fn text(
        &mut self,
        raw: &str,
        escaped: bool,
        place: Place,
        element: u32,
        frame: &Frame,
        pass: &mut Pass,
    ) -> Result<(), AnswerError> {
        debug_assert_ne!(element, OUTSIDE);
        let at = pass.choice_of[element as usize];
        if self.choices[at].closed.is_some() || pass.is_refused(at) {
            return Ok(());
        }
        let part = place == Place::Part;
        let whole = (!self.spec.stream && !part) || matches!(place, Place::Path { whole: true, .. });
        let choice = &mut self.choices[at];
        choice.parts |= part;
        let kind = frame.kind(place, |path| choice.path(path));
        let single = matches!(place, Place::Path { whole: true, .. });
        let mut alone = single.then(|| LaneState::new(kind, &self.rules));
        let number = if single { 0 } else { choice.lane(kind, &self.rules).map_err(|_| too_many())? };
        let first = !raw.is_empty()
            && kind == spoken(self.spec.route)
            && !std::mem::replace(&mut choice.labelled, true);
        let settled = choice.labelled || kind != spoken(self.spec.route);
        if first {
            self.open(at, number, pass);
        }
        let choice = &mut self.choices[at];
        let lane = match &mut alone {
            Some(lane) => lane,
            None => &mut choice.lanes[number],
        };
        let written_at = self.buffer.len();
        let (same, mut stop) = lane.push(raw, escaped, &mut self.work);
        if same {
            self.buffer.extend_from_slice(raw.as_bytes());
        } else {
            encode(&self.work.released, &mut self.buffer);
        }
        let spoken = kind == spoken(self.spec.route);
        if !self.spec.stream && spoken {
            pass.said.push_str(&self.work.released);
        }
        if whole && stop.is_none() {
            stop = lane.finish(&mut self.work);
            encode(&self.work.released, &mut self.buffer);
            if spoken {
                pass.said.push_str(&self.work.released);
            }
        } else if !self.spec.stream || frame.elements[element as usize].finish.is_some() {
            pass.slots.push(Slot { element, lane: number, at: self.buffer.len() });
        }
        let (ours, sent) = (lane.ours, lane.sent);
        pass.texts += 1;
        if alone.is_none() && !first && settled && !whole && stop.is_none() {
            pass.only_text = Some((at, number, written_at, self.buffer.len()));
        }
        self.note(at, kind, ours);
        self.note_stop(stop, at, kind, sent, pass)
    }

    fn open(&mut self, choice: usize, lane: usize, pass: &mut Pass) {
        if self.spec.json_lanes {
            return;
        }
        let opening = disclose::opening(&self.spec);
        encode(&opening, &mut self.buffer);
        self.choices[choice].lanes[lane].add_own(&opening, true);
        if !self.spec.stream {
            pass.said.push_str(&opening);
        }
    }

    pub(super) fn note(&mut self, choice: usize, kind: Kind, ours: u64) {
        if !self.work.findings.is_empty() {
            let choice = &self.choices[choice];
            self.disclosure.findings(&mut self.spec, &mut self.work.findings, ours, || choice.pointer(kind));
        }
    }

    pub(super) fn note_stop(
        &mut self,
        stop: Option<Stop>,
        choice: usize,
        kind: Kind,
        offset: u64,
        pass: &mut Pass,
    ) -> Result<(), AnswerError> {
        match stop {
            None => {}
            Some(Stop::Overflow) => return Err(AnswerError::new("held_too_long")),
            Some(Stop::Refused { rule, granularity }) => {
                let lane = self.choices[choice].pointer(kind);
                let refused = Refused { choice, rule, lane, offset };
                if granularity == Granularity::Answer {
                    pass.all = Some(refused);
                } else {
                    pass.refused.push(refused);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn too_many() -> AnswerError {
    AnswerError::new("provider_too_many_texts")
}

/// An error in place of an answer; what the provider says goes to the operator's log only.
pub(super) fn provider_error(value: &str) -> AnswerError {
    const DETAIL_BYTES: usize = 2 << 10;
    let mut end = value.len().min(DETAIL_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    AnswerError { detail: Some(value[..end].to_owned()), ..AnswerError::new("provider_error") }
}
