//! Scans every string of a request that goes to the provider, each as one complete text, and the text parts of one
//! message together. Placeholders take the place of what is redacted; a refusal ends the turn before anything goes out.
//! What is kept of a refused request for who wrote it is scanned to its end all the same, so that no text that a rule
//! redacts is kept.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::{self, FieldError};
use super::{Piece, Request};
use crate::rules::{Action, Direction, Locale, RuleSet};
use crate::stream::hold::{Finding, Lane, Stop};
use crate::stream::json::{Cursor, Error, Kind, Limits, Scratch, decode};

/// A rule's hit in a request. Never contains the matched text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFinding {
    /// Number of the rule in the set.
    pub rule: u32,
    pub action: Action,
    /// RFC 6901 pointer of the string in the body.
    pub lane: String,
    /// Code points of the string as it goes to the provider, before the placeholder.
    pub offset: u64,
    /// Code points replaced.
    pub length: u64,
}

/// What becomes of a request that a rule refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is dropped: the scan ends with the refusal.
    Dropped,
    /// It is kept: the scan goes on, and `upstream_body` has every redaction. The first refusal alone is reported.
    Kept,
}

/// The outcome of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InScan {
    pub findings: Vec<InFinding>,
    /// The rule that refused the request.
    pub refused: Option<u32>,
}

impl InScan {
    /// Takes a finding; of those that refuse the first alone.
    fn take(&mut self, found: InFinding) {
        if found.action == Action::Refuse {
            if self.refused.is_some() {
                return;
            }
            self.refused = Some(found.rule);
        }
        self.findings.push(found);
    }
}

impl Request {
    /// Scans the body; redactions take effect in `upstream_body`. An error says that a prompt of token ids cannot
    /// be scanned, or (`held_too_long`) that a text held more than the rule set allows.
    pub fn scan_in(
        &mut self,
        rules: &Arc<RuleSet>,
        locale: Locale,
        refused: Refused,
    ) -> Result<InScan, FieldError> {
        let mut scan = InScan::default();
        self.redacted.clear();
        if !rules.is_active(Direction::In) {
            return Ok(scan);
        }
        if self.found.tokens {
            return Err(error::tokens());
        }
        let lasting = refused == Refused::Kept;
        let mut reader = Reading { rules, locale, lasting, out: String::new(), findings: Vec::new() };
        for piece in &self.found.pieces {
            if piece.span.start == piece.span.end {
                continue;
            }
            let text = self.decoded(*piece);
            let stop = reader.read(&text);
            if stop.is_none() && reader.findings.is_empty() {
                continue;
            }
            let pointer = self.pointer(piece.span.start);
            for found in reader.findings.drain(..) {
                let length = found.end.saturating_sub(found.start);
                let (rule, action, lane) = (found.rule, found.action, pointer.clone());
                scan.take(InFinding { rule, action, lane, offset: found.offset, length });
            }
            match stop {
                Some(Stop::Refused { .. }) => return Ok(scan),
                Some(Stop::Overflow) => return Err(error::held(&pointer)),
                None if reader.out != text => self.redacted.push((piece.span, reader.out.clone())),
                None => {}
            }
        }
        self.scan_joined(&mut reader, &mut scan)?;
        Ok(scan)
    }

    /// The parts of a message read as one text: what was found within one part is known already. A match over several
    /// parts refuses the request also where its rule redacts, for no one part holds what the placeholder stands for.
    fn scan_joined(&mut self, reader: &mut Reading<'_>, scan: &mut InScan) -> Result<(), FieldError> {
        let joined = std::mem::take(&mut self.found.joined);
        let mut scanned = Ok(());
        // One right after the other, or apart: a model reads both.
        for (parts, joint) in joined.iter().flat_map(|parts| [(parts, ""), (parts, " ")]) {
            scanned = self.scan_parts(parts, joint, reader, scan);
            if scanned.is_err() || (scan.refused.is_some() && !reader.lasting) {
                break;
            }
        }
        self.found.joined = joined;
        scanned
    }

    fn scan_parts(
        &mut self,
        parts: &[Piece],
        joint: &str,
        reader: &mut Reading<'_>,
        scan: &mut InScan,
    ) -> Result<(), FieldError> {
        let mut text = String::new();
        let mut ends = Vec::with_capacity(parts.len());
        let mut total = 0;
        for part in parts {
            let decoded = self.decoded(*part);
            text.push_str(&decoded);
            text.push_str(joint);
            total += (decoded.chars().count() + joint.len()) as u64;
            ends.push(total);
        }
        let stop = reader.read(&text);
        for found in std::mem::take(&mut reader.findings) {
            let part = ends.partition_point(|end| *end <= found.start);
            if ends.get(part).is_none_or(|end| found.end <= *end) {
                if found.action == Action::Refuse {
                    scan.refused = scan.refused.or(Some(found.rule));
                }
                continue;
            }
            let before = if part == 0 { 0 } else { ends[part - 1] };
            let flag = found.action == Action::Flag;
            let crossing = InFinding {
                rule: found.rule,
                action: if flag { Action::Flag } else { Action::Refuse },
                lane: self.pointer(parts[part].span.start),
                offset: found.start - before,
                length: found.end - found.start,
            };
            if !flag {
                scan.take(crossing);
                if !reader.lasting {
                    return Ok(());
                }
                if found.action == Action::Redact {
                    let last = ends.partition_point(|end| *end < found.end).min(parts.len() - 1);
                    self.blank(&parts[part..=last], reader.placeholder(found.rule));
                }
                continue;
            }
            // Both ways of joining find the same.
            if !scan.findings.iter().any(|known| {
                (known.rule, &known.lane, known.offset) == (crossing.rule, &crossing.lane, crossing.offset)
            }) {
                scan.findings.push(crossing);
            }
        }
        match stop {
            Some(Stop::Overflow) => Err(error::held(&self.pointer(parts[0].span.start))),
            Some(Stop::Refused { .. }) | None => Ok(()),
        }
    }

    /// Puts a placeholder in the place of whole parts.
    fn blank(&mut self, parts: &[Piece], placeholder: &str) {
        for part in parts {
            self.redacted.retain(|(span, _)| span.start != part.span.start);
            self.redacted.push((part.span, placeholder.to_owned()));
        }
    }

    fn decoded(&self, piece: Piece) -> Cow<'_, str> {
        let raw = &self.text[piece.span.start..piece.span.end];
        if piece.escaped { decode(raw) } else { raw.into() }
    }

    /// The pointer of the string or key whose contents start at byte `at`.
    fn pointer(&self, at: usize) -> String {
        let mut scratch = Scratch::default();
        let mut cursor = Cursor::new(&self.text, &mut scratch, Limits { depth: u16::MAX, keys: u32::MAX });
        let mut path = String::new();
        match find(&mut cursor, at, &mut path) {
            Ok(true) => path,
            Ok(false) | Err(_) => String::new(), // cannot be: the body has been read before
        }
    }
}

/// One complete text after the other, each by a lane of its own.
struct Reading<'r> {
    rules: &'r Arc<RuleSet>,
    locale: Locale,
    /// A refusal ends no text.
    lasting: bool,
    out: String,
    findings: Vec<Finding>,
}

impl<'r> Reading<'r> {
    fn read(&mut self, text: &str) -> Option<Stop> {
        self.out.clear();
        let mut lane = Lane::new(Arc::clone(self.rules), Direction::In, self.locale);
        if self.lasting {
            lane = lane.lasting();
        }
        let stop = lane.push(text, &mut self.out, &mut self.findings);
        stop.or_else(|| lane.finish(&mut self.out, &mut self.findings))
    }

    fn placeholder(&self, rule: u32) -> &'r str {
        self.rules.rule(rule).placeholder.as_ref().map_or("", |text| text.get(self.locale))
    }
}

fn find(cursor: &mut Cursor<'_>, at: usize, path: &mut String) -> Result<bool, Error> {
    let base = path.len();
    match cursor.kind()? {
        Kind::Object => {
            let mut members = cursor.enter(Kind::Object)?;
            while let Some(key) = cursor.key(&mut members)? {
                let name = decode(cursor.slice(key)).replace('~', "~0").replace('/', "~1");
                path.push('/');
                path.push_str(&name);
                if key.start == at || find(cursor, at, path)? {
                    return Ok(true);
                }
                path.truncate(base);
            }
            Ok(false)
        }
        Kind::Array => {
            let mut members = cursor.enter(Kind::Array)?;
            let mut position = 0usize;
            while cursor.element(&mut members)? {
                path.push('/');
                path.push_str(&position.to_string());
                if find(cursor, at, path)? {
                    return Ok(true);
                }
                path.truncate(base);
                position += 1;
            }
            Ok(false)
        }
        Kind::String => Ok(cursor.string()?.start == at),
        _ => cursor.skip().map(|_| false),
    }
}
