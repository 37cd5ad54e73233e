//! The lanes of one choice: each text with its own scanner, its own held part and its own end.
//! It turns provider strings into released text; it writes no JSON and no frames.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::cite::{Course, Note, Shown};
use super::frame::Kind;
use super::json_lane::{JsonLane, placeholder};
use super::walk::{INDEXED, MESSAGE, POSITIONED};
use crate::limits::LANES_PER_CHOICE;
use crate::request::Route;
use crate::rules::{Direction, Locale, RuleSet};
use crate::stream::hold::{Finding, Lane, Stop};
use crate::stream::json::{Surrogate, unescape};

/// Buffers that are reused from string to string.
#[derive(Default)]
pub(super) struct Work {
    pub decoded: String,
    pub released: String,
    pub findings: Vec<Finding>,
}

enum Voice {
    /// No redact or refuse rule looks at answers.
    Free,
    Plain(Box<Lane>),
    Json(Box<JsonLane>),
}

pub(super) struct LaneState {
    pub kind: Kind,
    voice: Voice,
    half: Surrogate,
    /// Of the text as the client got it, label and notice included.
    hash: Sha256,
    /// Code points the client got, and how many of them are ours and stand before the model's.
    pub ours: u64,
    pub sent: u64,
    ended: bool,
    shown: Vec<Shown>,
    /// What the lane released, where that is kept.
    pub kept: Option<String>,
}

/// What scans the lanes of an answer.
pub(super) struct Rules {
    pub set: Arc<RuleSet>,
    pub locale: Locale,
    pub active: bool,
    /// Content is JSON by the caller's `response_format`.
    pub json_content: bool,
    /// Released text is kept.
    pub keep: bool,
}

impl Rules {
    fn voice(&self, kind: Kind) -> Voice {
        if !self.active {
            return Voice::Free;
        }
        let json = match kind {
            Kind::ToolArguments(_) | Kind::CallArguments => true,
            Kind::Content => self.json_content,
            _ => false,
        };
        if json {
            Voice::Json(Box::new(JsonLane::new(&self.set, self.locale)))
        } else {
            let lane = self.lane();
            Voice::Plain(Box::new(if kind == Kind::Content { lane.traced() } else { lane }))
        }
    }

    pub fn lane(&self) -> Lane {
        Lane::new(Arc::clone(&self.set), Direction::Out, self.locale)
    }
}

impl LaneState {
    pub fn new(kind: Kind, rules: &Rules) -> Self {
        Self {
            kind,
            voice: rules.voice(kind),
            half: Surrogate::default(),
            hash: Sha256::new(),
            ours: 0,
            sent: 0,
            ended: false,
            shown: Vec::new(),
            kept: rules.keep.then(String::new),
        }
    }

    /// Takes a string of the provider; what may go out now is in `work.released`. Returns whether that is
    /// exactly the string, so that its bytes may be copied.
    pub fn push(&mut self, raw: &str, escaped: bool, work: &mut Work) -> (bool, Option<Stop>) {
        work.released.clear();
        let before = self.half;
        let text = if escaped || before.is_pending() {
            work.decoded.clear();
            unescape(raw, &mut self.half, &mut work.decoded);
            work.decoded.as_str()
        } else {
            raw
        };
        let stop = match &mut self.voice {
            Voice::Free => {
                work.released.push_str(text);
                None
            }
            Voice::Plain(lane) => lane.push(text, &mut work.released, &mut work.findings),
            Voice::Json(lane) => lane.push(text, &mut work.released, &mut work.findings),
        };
        let same = !before.is_pending() && !self.half.is_pending() && work.released == text;
        self.release(&work.released);
        (same, stop)
    }

    /// The lane's own end of stream: what it held is decided now.
    pub fn finish(&mut self, work: &mut Work) -> Option<Stop> {
        work.released.clear();
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        work.decoded.clear();
        self.half.finish(&mut work.decoded);
        let (text, out, findings) = (work.decoded.as_str(), &mut work.released, &mut work.findings);
        let stop = match &mut self.voice {
            Voice::Free => {
                out.push_str(text);
                None
            }
            Voice::Plain(lane) => lane.push(text, out, findings).or_else(|| lane.finish(out, findings)),
            Voice::Json(lane) => lane.push(text, out, findings).or_else(|| lane.finish(out, findings)),
        };
        self.release(&work.released);
        stop
    }

    /// The lane ends early: what it holds is dropped, what it showed is reported.
    pub fn quit(&mut self, work: &mut Work) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match &mut self.voice {
            Voice::Free => {}
            Voice::Plain(lane) => {
                lane.discard();
                lane.finish(&mut work.decoded, &mut work.findings);
            }
            Voice::Json(lane) => lane.quit(&mut work.findings),
        }
    }

    /// Text of ours in this lane: a label before the model's text, a notice after it.
    pub fn add_own(&mut self, text: &str, before: bool) {
        if before {
            self.ours += text.chars().count() as u64;
        } else if let Some(kept) = &mut self.kept {
            kept.push_str(text);
        }
        self.account(text);
    }

    /// How far the model's text has come, for what cites it.
    pub fn course(&mut self, rules: &Rules) -> Course<'_> {
        let written = self.sent - self.ours;
        let passed = match &mut self.voice {
            Voice::Free => written,
            Voice::Plain(lane) => {
                for one in lane.placeholders() {
                    let text = placeholder(&rules.set, one.rule, rules.locale);
                    show(&mut self.shown, one.start, one.at, text.chars().count() as u64);
                }
                lane.passed()
            }
            Voice::Json(lane) => {
                for (start, at, length) in lane.placeholders() {
                    show(&mut self.shown, start, at, length);
                }
                lane.passed()
            }
        };
        Course { ours: self.ours, shown: &self.shown, passed, written, ended: self.ended }
    }

    /// Code points held back.
    pub fn held(&self) -> usize {
        match &self.voice {
            Voice::Free => 0,
            Voice::Plain(lane) => lane.held(),
            Voice::Json(lane) => lane.held(),
        }
    }

    fn release(&mut self, text: &str) {
        self.account(text);
        if let Some(kept) = &mut self.kept {
            kept.push_str(text);
        }
    }

    fn account(&mut self, text: &str) {
        self.sent += text.chars().count() as u64;
        self.hash.update(text.as_bytes());
    }

    pub fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

fn show(shown: &mut Vec<Shown>, start: u64, at: u64, length: u64) {
    let before = shown.last().map_or(0, |last| last.before + last.length);
    shown.push(Shown { start, at, length, before });
}

pub(super) struct Choice {
    pub index: u32,
    pub lanes: Vec<LaneState>,
    paths: Vec<String>,
    /// Its content comes in parts.
    pub parts: bool,
    /// Annotations that wait for the text they cite.
    pub notes: Vec<Note>,
    /// The visible label and the notices have gone out.
    pub labelled: bool,
    /// The finish reason the client got, or will get with the end marker.
    pub closed: Option<String>,
    /// Tool call, the provider's id and the one the client got, as JSON.
    pub tool_ids: Vec<(u32, String, String)>,
    /// Its citations as they went out, with offsets in its own text, where that is kept.
    pub kept_notes: Vec<u8>,
}

/// More separate texts than an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyLanes;

impl Choice {
    pub fn new(index: u32) -> Self {
        Self {
            index,
            lanes: Vec::new(),
            paths: Vec::new(),
            parts: false,
            notes: Vec::new(),
            labelled: false,
            closed: None,
            tool_ids: Vec::new(),
            kept_notes: Vec::new(),
        }
    }

    /// The number of a path among this choice's paths.
    pub fn path(&mut self, path: &str) -> u32 {
        let at = self.paths.iter().position(|known| known == path).unwrap_or_else(|| {
            self.paths.push(path.to_owned());
            self.paths.len() - 1
        });
        at as u32
    }

    pub fn path_text(&self, number: u32) -> &str {
        &self.paths[number as usize]
    }

    /// The position of a lane, made on first use.
    pub fn lane(&mut self, kind: Kind, rules: &Rules) -> Result<usize, TooManyLanes> {
        if let Some(at) = self.lanes.iter().position(|lane| lane.kind == kind) {
            return Ok(at);
        }
        if self.lanes.len() >= LANES_PER_CHOICE {
            return Err(TooManyLanes);
        }
        self.lanes.push(LaneState::new(kind, rules));
        Ok(self.lanes.len() - 1)
    }

    /// RFC 6901 pointer of a lane in the whole answer.
    pub fn pointer(&self, kind: Kind) -> String {
        let choice = format!("/choices/{}", self.index);
        match kind {
            Kind::Content => format!("{choice}{MESSAGE}/content"),
            Kind::Refusal => format!("{choice}{MESSAGE}/refusal"),
            Kind::ReasoningContent => format!("{choice}{MESSAGE}/reasoning_content"),
            Kind::Reasoning => format!("{choice}{MESSAGE}/reasoning"),
            Kind::Text => format!("{choice}/text"),
            Kind::ToolName(tool) => format!("{choice}{MESSAGE}/tool_calls/{tool}/function/name"),
            Kind::ToolArguments(tool) => format!("{choice}{MESSAGE}/tool_calls/{tool}/function/arguments"),
            Kind::ToolInput(tool) => format!("{choice}{MESSAGE}/tool_calls/{tool}/custom/input"),
            Kind::CallName => format!("{choice}{MESSAGE}/function_call/name"),
            Kind::CallArguments => format!("{choice}{MESSAGE}/function_call/arguments"),
            Kind::Path(number) => {
                format!("{choice}{}", self.path_text(number).replace([INDEXED, POSITIONED], ""))
            }
        }
    }
}

/// The lane that a person reads first.
pub(super) fn spoken(route: Route) -> Kind {
    match route {
        Route::Chat => Kind::Content,
        Route::Completions => Kind::Text,
    }
}
