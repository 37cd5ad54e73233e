//! The ends: of a choice, of an answer, by the provider, by a rule, by a change. A lane's tail goes out before its
//! choice's finish reason; the last finish reason waits for `end`.

use super::blocks;
use super::frame::{Frame, Kind};
use super::lanes::{Choice, spoken};
use super::spec::{AnswerError, Summary};
use super::stream::{Pass, Refused};
use super::{AnswerScan, write};
use crate::ledger::canonical::push_hex;
use crate::limits::WITHHELD_BYTES;
use crate::stream::json::{decode, encode};

const STOPPED: &str = "stop";
pub(super) const FILTERED: &str = "content_filter";

/// A change of the written frame: what to take out at a place, and what to put there.
pub(super) struct Edit {
    pub at: usize,
    pub length: usize,
    pub put: Vec<u8>,
}

impl AnswerScan {
    /// The position of a choice, made on first use.
    pub(super) fn choice(&mut self, index: u32) -> usize {
        self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(Choice::new(index));
            self.choices.len() - 1
        })
    }

    fn all_closed(&self) -> bool {
        self.choices.len() == self.spec.n as usize
            && self.choices.iter().all(|choice| choice.closed.is_some())
    }

    /// Sends the written frame and what follows from it.
    pub(super) fn settle(
        &mut self,
        text: &str,
        frame: &Frame,
        pass: &mut Pass,
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        let mut vendor = Vec::new();
        let mut edits = Vec::new();
        if pass.all.is_none() {
            for at in 0..pass.finishes.len() {
                let (element, place, length) = pass.finishes[at];
                let finished = self.finish_lanes(element, pass, &mut edits, out)?;
                let raw = frame.elements[element as usize].finish.map(|s| decode(&text[s.start..s.end]));
                let word = raw.as_deref().and_then(|reason| blocks::finish(&self.spec.blocks, reason));
                let choice = pass.choice_of[element as usize];
                if finished && word.is_none() {
                    let written = &self.buffer[place + 1..place + length - 1];
                    let reason = decode(&String::from_utf8_lossy(written)).into_owned();
                    self.choices[choice].closed = Some(reason);
                } else {
                    edits.push(Edit { at: place, length, put: b"null".to_vec() });
                    vendor.extend(word.filter(|_| finished).map(|word| (choice, word.to_owned())));
                }
            }
            self.place_notes(pass, &mut edits)?;
            self.apply(edits);
        }
        if let Some(refused) = pass.all.take() {
            self.refuse_all(&refused);
            return Ok(());
        }
        if self.all_closed() {
            self.last = Some(self.buffer.clone());
            return Ok(());
        }
        write::event(&self.buffer, out);
        for refused in pass.refused.drain(..) {
            let notice = self.disclosure.refusal(&mut self.spec, refused.rule, refused.lane, refused.offset);
            self.close_with(refused.choice, &notice, false, out);
        }
        for (choice, word) in vendor {
            self.vendor_choice(choice, word, out);
        }
        if self.withheld_is_full(out) {
            return Err(AnswerError::new("held_too_long"));
        }
        Ok(())
    }

    fn withheld_is_full(&self, out: &[u8]) -> bool {
        self.withholds && out.len() > WITHHELD_BYTES
    }

    /// Ends the lanes of a finishing element. Tails go to the place of their text in this frame, else into a frame
    /// before it. Returns whether no rule refused.
    fn finish_lanes(
        &mut self,
        element: u32,
        pass: &mut Pass,
        edits: &mut Vec<Edit>,
        out: &mut Vec<u8>,
    ) -> Result<bool, AnswerError> {
        let at = pass.choice_of[element as usize];
        for number in 0..self.choices[at].lanes.len() {
            if pass.is_refused(at) {
                break;
            }
            let lane = &mut self.choices[at].lanes[number];
            let stop = lane.finish(&mut self.work);
            let (kind, ours, sent) = (lane.kind, lane.ours, lane.sent);
            if !self.spec.stream && kind == spoken(self.spec.route) {
                pass.said.push_str(&self.work.released);
            }
            if !self.work.released.is_empty() {
                let slots = pass.slots.iter().rev();
                let mut slots = slots.filter(|slot| slot.element == element && slot.lane == number);
                if let Some(slot) = slots.next() {
                    let mut put = Vec::new();
                    encode(&self.work.released, &mut put);
                    edits.push(Edit { at: slot.at, length: 0, put });
                } else {
                    write::delta(&self.head, &self.choices[at], kind, &self.work.released, false, out);
                }
            }
            self.note(at, kind, ours);
            self.note_stop(stop, at, kind, sent, pass)?;
        }
        if pass.is_refused(at) {
            return Ok(false);
        }
        self.late_notes(at, out);
        Ok(true)
    }

    /// Ends the texts of a choice of a whole answer, of which all but those in parts have ended.
    pub(super) fn finish_whole(&mut self, element: u32, pass: &mut Pass) -> Result<(), AnswerError> {
        let (mut edits, mut none) = (Vec::new(), Vec::new());
        self.finish_lanes(element, pass, &mut edits, &mut none)?;
        self.place_notes(pass, &mut edits)?;
        self.apply(edits);
        Ok(())
    }

    fn apply(&mut self, mut edits: Vec<Edit>) {
        edits.sort_by_key(|edit| std::cmp::Reverse(edit.at));
        for edit in edits {
            self.buffer.splice(edit.at..edit.at + edit.length, edit.put);
        }
    }

    /// Ends a choice with a notice as ordinary text.
    pub(super) fn close_with(&mut self, at: usize, notice: &str, role: bool, out: &mut Vec<u8>) {
        self.quit_lanes(at);
        self.say(at, notice, role, out);
        let choice = &mut self.choices[at];
        choice.closed = Some(FILTERED.to_owned());
        let json = write::finish(&self.head, self.spec.route, choice.index, FILTERED);
        if self.all_closed() {
            self.last = Some(json);
            self.stopped = true;
        } else {
            write::event(&json, out);
        }
    }

    /// Drops what the lanes of a choice hold.
    fn quit_lanes(&mut self, at: usize) {
        for number in 0..self.choices[at].lanes.len() {
            let lane = &mut self.choices[at].lanes[number];
            lane.quit(&mut self.work);
            let (kind, ours) = (lane.kind, lane.ours);
            self.note(at, kind, ours);
        }
    }

    /// A notice of ours; where content is JSON it stands in `refusal`, so that no parser takes it for data.
    fn say(&mut self, at: usize, notice: &str, role: bool, out: &mut Vec<u8>) {
        let kind = if self.spec.json_lanes { Kind::Refusal } else { spoken(self.spec.route) };
        let Ok(number) = self.choices[at].lane(kind, &self.rules) else {
            return; // every lane is taken: the finish reason and the metadata still tell
        };
        let lane = &mut self.choices[at].lanes[number];
        let text = if lane.sent > 0 && !role { format!("\n\n{notice}") } else { notice.to_owned() };
        lane.add_own(&text, false);
        write::delta(&self.head, &self.choices[at], kind, &text, role, out);
    }

    pub(super) fn vendor_choice(&mut self, at: usize, word: String, out: &mut Vec<u8>) {
        self.vendor_blocked = true;
        let kind = spoken(self.spec.route);
        let lane = self.choices[at].pointer(kind);
        let sent = self.choices[at].lanes.iter().find(|lane| lane.kind == kind).map_or(0, |lane| lane.sent);
        let notice = self.disclosure.vendor(&mut self.spec, word, lane, sent);
        self.close_with(at, &notice, false, out);
    }

    /// The provider says outside of the choices that its filter acted: every open choice ends.
    pub(super) fn vendor_stop(&mut self, word: String, out: &mut Vec<u8>) {
        self.head.complete(&self.spec);
        self.vendor_blocked = true;
        let notice = self.disclosure.vendor(&mut self.spec, word, "/choices".to_owned(), 0);
        self.close_open(&notice, out);
    }

    fn close_open(&mut self, notice: &str, out: &mut Vec<u8>) {
        for index in 0..self.spec.n {
            let at = self.choice(index);
            if self.choices[at].closed.is_none() {
                let role = self.choices[at].lanes.is_empty();
                self.close_with(at, notice, role, out);
            }
        }
        self.stopped = true;
    }

    /// A refusal of granularity `answer`: nothing of the answer was sent and nothing of it will be.
    pub(super) fn refuse_all(&mut self, refused: &Refused) {
        let lane = refused.lane.clone();
        let notice = self.disclosure.refusal(&mut self.spec, refused.rule, lane, 0);
        self.replace_all(&notice);
    }

    /// Takes back all that is withheld and says only the notice.
    fn replace_all(&mut self, notice: &str) {
        self.last = None;
        self.choices.clear();
        let mut out = Vec::new();
        self.close_open(notice, &mut out);
        self.withheld = Some(out);
    }

    /// After a clean end of the provider: everything from the end marker on, to be sent once the result is
    /// durable.
    pub fn end(&mut self, tail: &mut Vec<u8>) -> Result<Summary, AnswerError> {
        if !self.spec.stream {
            let Some(mut body) = self.last.take() else {
                return Err(AnswerError::new("provider_truncated"));
            };
            let metadata = self.disclosure.metadata(&mut self.spec, None);
            write::add_member(&mut body, "dragoman", &metadata);
            tail.extend_from_slice(&body);
            return Ok(self.summary());
        }
        if self.splitter.finish().is_some_and(|data| data.trim_ascii() == b"[DONE]") {
            self.done = true;
        }
        let open = self.choices.iter().any(|choice| choice.closed.is_none());
        if self.choices.is_empty() || open || !(self.done || self.last.is_some()) {
            return Err(AnswerError::new("provider_truncated"));
        }
        self.seal(tail);
        Ok(self.summary())
    }

    fn seal(&mut self, tail: &mut Vec<u8>) {
        if let Some(withheld) = self.withheld.take() {
            tail.extend_from_slice(&withheld);
        }
        let metadata = self.disclosure.metadata(&mut self.spec, None);
        let mut last = self.last.take().unwrap_or_else(|| {
            // Fewer choices than asked for: their finish reasons are out, the metadata comes by itself.
            let mut frame = Vec::new();
            self.head.envelope(&mut frame);
            frame.extend_from_slice(b",\"choices\":[]}");
            frame
        });
        write::add_member(&mut last, "dragoman", &metadata);
        write::event(&last, tail);
        if self.spec.include_usage && self.usage.known {
            let mut frame = Vec::new();
            self.head.envelope(&mut frame);
            frame.extend_from_slice(b",\"choices\":[],\"usage\":");
            frame.extend_from_slice(self.usage.shown().as_bytes());
            frame.push(b'}');
            write::event(&frame, tail);
        }
        tail.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// The answer cannot go on: held text is discarded. On a stream an error frame says so, and no end marker
    /// follows; a whole answer gets its error from the relay.
    pub fn abort(&mut self, code: &str, message: &str, out: &mut Vec<u8>) -> Summary {
        if self.spec.stream {
            let mut frame = b"{\"error\":{\"message\":".to_vec();
            super::told::string(message, &mut frame);
            frame.extend_from_slice(b",\"type\":\"server_error\",\"param\":null,\"code\":");
            super::told::string(code, &mut frame);
            frame.extend_from_slice(b"}}");
            write::event(&frame, out);
        }
        for at in 0..self.choices.len() {
            self.quit_lanes(at);
        }
        self.stopped = true;
        self.summary()
    }

    /// A change ended the running answer: the notice as ordinary text, then the end marker.
    pub fn stop_with_notice(&mut self, text: &str, tail: &mut Vec<u8>) -> Summary {
        self.head.complete(&self.spec);
        self.disclosure.change(&mut self.spec, "/choices".to_owned(), 0);
        if self.spec.stream {
            let mut out = Vec::new();
            if self.withheld.is_some() {
                self.replace_all(text);
            } else {
                self.close_open(text, &mut out);
            }
            tail.extend_from_slice(&out);
            self.seal(tail);
        } else {
            let mut body = self.whole_notice(text);
            let metadata = self.disclosure.metadata(&mut self.spec, None);
            write::add_member(&mut body, "dragoman", &metadata);
            tail.extend_from_slice(&body);
        }
        self.summary()
    }

    /// Who asked ends its answer here: what is held is dropped, what was said stands, and the end marker follows.
    pub fn end_early(&mut self, tail: &mut Vec<u8>) -> Summary {
        self.head.complete(&self.spec);
        self.spec.about.push_str(if self.spec.about.is_empty() { "" } else { "," });
        self.spec.about.push_str("\"ended\":\"stopped\"");
        if !self.spec.stream {
            let mut body = self.whole_empty();
            let metadata = self.disclosure.metadata(&mut self.spec, None);
            write::add_member(&mut body, "dragoman", &metadata);
            tail.extend_from_slice(&body);
            return self.summary();
        }
        // What a refusal could still have taken back is not refused: it goes out with the end.
        let mut out = self.withheld.take().unwrap_or_default();
        for index in 0..self.spec.n {
            let at = self.choice(index);
            if self.choices[at].closed.is_some() {
                continue;
            }
            self.quit_lanes(at);
            self.choices[at].closed = Some(STOPPED.to_owned());
            let json = write::finish(&self.head, self.spec.route, index, STOPPED);
            if let Some(before) = self.last.replace(json) {
                write::event(&before, &mut out);
            }
        }
        self.stopped = true;
        tail.append(&mut out);
        self.seal(tail);
        self.summary()
    }

    fn summary(&self) -> Summary {
        let mut choices: Vec<&Choice> = self.choices.iter().collect();
        choices.sort_by_key(|choice| choice.index);
        let mut lanes: Vec<(String, [u8; 32])> = Vec::new();
        for choice in &choices {
            let sent = choice.lanes.iter().filter(|lane| lane.sent > 0);
            lanes.extend(sent.map(|lane| (choice.pointer(lane.kind), lane.digest())));
        }
        lanes.sort();
        let finish = choices.iter().filter_map(|choice| choice.closed.clone()).collect::<Vec<_>>();
        Summary {
            refused: finish.iter().any(|reason| reason == FILTERED),
            finish,
            usage: self.usage.clone(),
            findings: self.disclosure.tallies(&self.spec),
            interventions: self.disclosure.shown.iter().map(|record| record.id.clone()).collect(),
            output: digests(&lanes),
            labels: self.spec.labels.iter().map(|label| label.rule_id.clone()).collect(),
            notices: self.spec.notices.iter().map(|notice| notice.id.clone()).collect(),
            vendor_blocked: self.vendor_blocked,
        }
    }
}

fn digests(lanes: &[(String, [u8; 32])]) -> String {
    let mut out = String::with_capacity(2 + lanes.len() * 128);
    let mut name = Vec::with_capacity(64);
    out.push('{');
    for (at, (lane, digest)) in lanes.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        name.clear();
        super::told::string(lane, &mut name);
        out.push_str(&String::from_utf8_lossy(&name));
        out.push_str(":\"sha256:");
        push_hex(digest, &mut out);
        out.push('"');
    }
    out.push('}');
    out
}
