//! Scans every string of a request that goes to the provider, each as one complete text, and the text parts of one
//! message together. Placeholders take the place of what is redacted; a refusal ends the turn before anything goes out.

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

/// The outcome of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InScan {
    pub findings: Vec<InFinding>,
    /// The rule that refused the request.
    pub refused: Option<u32>,
}

impl Request {
    /// Scans the body; redactions take effect in `upstream_body`. An error says that a prompt of token ids cannot
    /// be scanned, or (`held_too_long`) that a text held more than the rule set allows.
    pub fn scan_in(&mut self, rules: &Arc<RuleSet>, locale: Locale) -> Result<InScan, FieldError> {
        let mut scan = InScan::default();
        self.redacted.clear();
        if !rules.is_active(Direction::In) {
            return Ok(scan);
        }
        if self.found.tokens {
            return Err(error::tokens());
        }
        let mut reader = Reading { rules, locale, out: String::new(), findings: Vec::new() };
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
            scan.findings.extend(reader.findings.drain(..).map(|found| InFinding {
                rule: found.rule,
                action: found.action,
                lane: pointer.clone(),
                offset: found.offset,
                length: found.end.saturating_sub(found.start),
            }));
            match stop {
                Some(Stop::Refused { rule, .. }) => {
                    scan.refused = Some(rule);
                    return Ok(scan);
                }
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
    fn scan_joined(&self, reader: &mut Reading<'_>, scan: &mut InScan) -> Result<(), FieldError> {
        for parts in &self.found.joined {
            // One right after the other, or apart: a model reads both.
            for joint in ["", " "] {
                self.scan_parts(parts, joint, reader, scan)?;
                if scan.refused.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn scan_parts(
        &self,
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
        for found in reader.findings.drain(..) {
            let part = ends.partition_point(|end| *end <= found.start);
            if ends.get(part).is_none_or(|end| found.end <= *end) {
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
                scan.findings.push(crossing);
                scan.refused = Some(found.rule);
                return Ok(());
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
            Some(Stop::Refused { rule, .. }) => {
                scan.refused = Some(rule);
                Ok(())
            }
            None => Ok(()),
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
    out: String,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn read(&mut self, text: &str) -> Option<Stop> {
        self.out.clear();
        let mut lane = Lane::new(Arc::clone(self.rules), Direction::In, self.locale);
        let stop = lane.push(text, &mut self.out, &mut self.findings);
        stop.or_else(|| lane.finish(&mut self.out, &mut self.findings))
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
