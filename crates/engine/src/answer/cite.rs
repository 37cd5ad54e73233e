//! Citations of an answer's spoken text: places in the model's text become places in the text that the client has,
//! label, notices and placeholders counted. Code points. A citation whose words were redacted away is left out; one
//! whose words are still held waits for them.

use super::close::Edit;
use super::lanes::{Choice, spoken};
use super::stream::{Pass, too_many};
use super::{AnswerError, AnswerScan, write};
use crate::limits::{NOTES_HELD, NOTES_HELD_BYTES};

/// A placeholder that was written: its first source code point, the code points written before it, its own length
/// and that of all placeholders before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub start: u64,
    pub at: u64,
    pub length: u64,
    pub before: u64,
}

/// How far a text has come, and what became of it. Counts are of the model's text, without `ours` before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Course<'c> {
    pub ours: u64,
    pub shown: &'c [Shown],
    /// Source code points that were written or replaced.
    pub passed: u64,
    pub written: u64,
    /// Nothing more comes.
    pub ended: bool,
}

/// Where a citation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    To(Option<u64>, Option<u64>),
    Gone,
    Later,
}

impl Course<'_> {
    pub fn moved(&self, start: Option<u64>, end: Option<u64>) -> Moved {
        let furthest = start.max(end).unwrap_or(0);
        if !self.ended && (self.passed == 0 || furthest > self.passed) {
            return Moved::Later;
        }
        if let (Some(from), Some(to)) = (start, end)
            && from < to
            && from < self.passed
            && self.kept(from) == self.kept(to)
        {
            return Moved::Gone;
        }
        Moved::To(start.map(|at| self.place(at, false)), end.map(|at| self.place(at, true)))
    }

    /// The last placeholder that begins before a source place, with the place behind what it replaced.
    fn last(&self, at: u64) -> Option<(Shown, u64)> {
        let number = self.shown.partition_point(|shown| shown.start < at).checked_sub(1)?;
        let shown = self.shown[number];
        let behind = shown.at + shown.length;
        let end = match self.shown.get(number + 1) {
            Some(next) => next.start.saturating_sub(next.at.saturating_sub(behind)),
            None => self.passed.saturating_sub(self.written.saturating_sub(behind)),
        };
        Some((shown, end))
    }

    /// Source code points before a place that were written as they are.
    fn kept(&self, at: u64) -> u64 {
        let at = at.min(self.passed);
        self.last(at).map_or(at, |(shown, end)| shown.at - shown.before + at.saturating_sub(end))
    }

    /// A place within what was replaced is the nearest edge of the placeholder; one after the text is its end.
    fn place(&self, at: u64, is_end: bool) -> u64 {
        let at = at.min(self.passed);
        let placed = match self.last(at) {
            None => at,
            Some((shown, end)) if at >= end => shown.at + shown.length + (at - end),
            Some((shown, _)) if is_end => shown.at + shown.length,
            Some((shown, _)) => shown.at,
        };
        self.ours + placed
    }
}

/// One element of `annotations` as it goes out, but for the offsets: where each is to be put, and what it was.
#[derive(Debug, Default)]
pub(super) struct Note {
    json: Vec<u8>,
    start: Option<(usize, u64)>,
    end: Option<(usize, u64)>,
}

/// The `annotations` of one element of a frame, and the place in the written frame where they go.
#[derive(Debug)]
pub(super) struct Notes {
    element: u32,
    at: usize,
    list: Vec<Note>,
}

impl Pass {
    /// The next bytes of the frame are a note.
    pub fn open_note(&mut self, at: usize) {
        self.note_at = at;
        self.note = Note::default();
    }

    pub fn offset(&mut self, value: u64, is_end: bool, buffer: &[u8]) {
        let found = Some((buffer.len() - self.note_at, value));
        if is_end {
            self.note.end = found;
        } else {
            self.note.start = found;
        }
    }

    pub fn close_note(&mut self, buffer: &mut Vec<u8>) {
        let mut note = std::mem::take(&mut self.note);
        note.json = buffer.split_off(self.note_at);
        self.note_list.push(note);
    }

    /// `known`: the choice goes on, so that its notes matter.
    pub fn close_notes(&mut self, element: u32, at: usize, known: bool) {
        let list = std::mem::take(&mut self.note_list);
        if known {
            self.notes.push(Notes { element, at, list });
        }
    }
}

impl AnswerScan {
    /// Puts the notes of the written frame in their places; what cites text that is held waits for it.
    pub(super) fn place_notes(&mut self, pass: &mut Pass, edits: &mut Vec<Edit>) -> Result<(), AnswerError> {
        for Notes { element, at, list } in std::mem::take(&mut pass.notes) {
            let choice = pass.choice_of[element as usize];
            if pass.is_refused(choice) {
                continue;
            }
            let (put, later) = self.written_notes(choice, list, false);
            edits.push(Edit { at, length: 0, put });
            let held = &mut self.choices[choice].notes;
            held.extend(later);
            let bytes: usize = held.iter().map(|note| note.json.len()).sum();
            if held.len() > NOTES_HELD || bytes > NOTES_HELD_BYTES {
                return Err(too_many());
            }
        }
        Ok(())
    }

    /// The notes of a choice that waited for its text, which has ended.
    pub(super) fn late_notes(&mut self, choice: usize, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.choices[choice].notes);
        if held.is_empty() {
            return;
        }
        let (list, _) = self.written_notes(choice, held, true);
        if !list.is_empty() {
            write::notes(&self.head, self.choices[choice].index, &list, out);
        }
    }

    fn written_notes(&mut self, choice: usize, list: Vec<Note>, ended: bool) -> (Vec<u8>, Vec<Note>) {
        let kind = spoken(self.spec.route);
        let Choice { lanes, closed, kept_notes, .. } = &mut self.choices[choice];
        let lane = lanes.iter_mut().find(|lane| lane.kind == kind);
        let mut course = lane.map_or_else(Course::default, |lane| lane.course(&self.rules));
        course.ended |= ended || closed.is_some() || !self.spec.stream;
        let ours = course.ours;
        let (mut out, mut later) = (Vec::new(), Vec::new());
        for note in list {
            let (mut start, mut end) = (None, None);
            if note.start.is_some() || note.end.is_some() {
                match course.moved(note.start.map(|s| s.1), note.end.map(|e| e.1)) {
                    Moved::To(from, to) => (start, end) = (from, to),
                    Moved::Gone => continue,
                    Moved::Later => {
                        later.push(note);
                        continue;
                    }
                }
            }
            let places = [(note.start, start), (note.end, end)];
            let digits: Vec<(usize, String)> = places
                .iter()
                .filter_map(|(was, is)| Some((was.as_ref()?.0, is.as_ref()?.to_string())))
                .collect();
            // As for any number: a long one could spell what a rule looks for.
            if digits.iter().any(|(_, digits)| digits.len() > 3 && !self.guard.is_clean(digits)) {
                continue;
            }
            if self.spec.keep {
                let own = [(note.start, start), (note.end, end)];
                let own = own.iter().filter_map(|(was, is)| Some((was.as_ref()?.0, is.as_ref()? - ours)));
                add(kept_notes, &note.json, own.map(|(at, place)| (at, place.to_string())).collect());
            }
            add(&mut out, &note.json, digits);
        }
        (out, later)
    }
}

/// Adds a note to a list, its offsets put in.
fn add(list: &mut Vec<u8>, note: &[u8], mut digits: Vec<(usize, String)>) {
    if !list.is_empty() {
        list.push(b',');
    }
    digits.sort_by_key(|(at, _)| *at);
    let mut copied = 0;
    for (at, digits) in digits {
        list.extend_from_slice(&note[copied..at]);
        list.extend_from_slice(digits.as_bytes());
        copied = at;
    }
    list.extend_from_slice(&note[copied..]);
}
