//! Scans every string of a request that goes to the provider, each as one complete text. Placeholders take the place
//! of what is redacted; a refusal ends the turn before anything goes out.

use std::sync::Arc;

use super::error::{self, FieldError};
use super::{Piece, Request};
use crate::rules::{Action, Direction, Locale, RuleSet};
use crate::stream::hold::{Lane, Stop};
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
        let mut out = String::new();
        let mut findings = Vec::new();
        for piece in &self.found.pieces {
            let Piece { span, escaped } = *piece;
            let raw = &self.text[span.start..span.end];
            if raw.is_empty() {
                continue;
            }
            let text = if escaped { decode(raw) } else { raw.into() };
            let mut lane = Lane::new(Arc::clone(rules), Direction::In, locale);
            out.clear();
            let stop =
                lane.push(&text, &mut out, &mut findings).or_else(|| lane.finish(&mut out, &mut findings));
            if stop.is_none() && findings.is_empty() {
                continue;
            }
            let pointer = self.pointer(span.start);
            scan.findings.extend(findings.drain(..).map(|found| InFinding {
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
                None if out != text => self.redacted.push((span, out.clone())),
                None => {}
            }
        }
        Ok(scan)
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
