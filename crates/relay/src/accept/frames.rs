//! How HTTP/2 is read: frames are counted before hyper sees them, and one that is not DATA is handed on only
//! when it is whole. A flood ends the connection: hyper reads frames of our own that make it say GOAWAY.
//! What a frame means is hyper's business.
use super::guard::{Rules, Vitals};
use crate::errors::{self, Code};
use crate::limits;

/// What a client's first bytes have to be (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
/// Bytes of a frame's payload; a larger one was never allowed, and hyper says so.
const FRAME_BYTES: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A head that goes on for longer than any reader follows: GOAWAY with `ENHANCE_YOUR_CALM`.
const ENOUGH: &[u8] = &{
    const FRAMES: usize = 16;
    let mut bytes = [0; FRAMES * FRAME_HEAD];
    let mut n = 0;
    while n < FRAMES {
        let at = n * FRAME_HEAD;
        bytes[at + 3] = if n == 0 { HEADERS } else { CONTINUATION };
        // The highest stream a client may open.
        bytes[at + 5] = 0x7f;
        bytes[at + 6] = 0xff;
        bytes[at + 7] = 0xff;
        bytes[at + 8] = 0xff;
        n += 1;
    }
    bytes
};

/// Frames of one kind within a second.
#[derive(Default)]
struct Rate {
    since: u64,
    count: u32,
}

impl Rate {
    fn add(&mut self, now: u64, most: u32) -> Result<(), &'static Code> {
        if now.saturating_sub(self.since) >= 1_000 {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        if self.count > most { Err(&errors::OVERLOADED) } else { Ok(()) }
    }
}

/// Where the reading of a connection is.
#[derive(Default)]
pub struct Frames {
    begun: bool,
    /// Bytes of a DATA frame that are still to come.
    data: usize,
    /// A head has begun and its last frame has not come: the bytes so far.
    head: Option<usize>,
    resets: Rate,
    /// Frames that carry nothing of a request: SETTINGS, PING, PRIORITY, unknown and empty ones.
    idle: Rate,
    updates: Rate,
}

impl Rules for Frames {
    fn classify(&mut self, raw: &[u8], vitals: &Vitals, now: u64) -> Result<usize, &'static Code> {
        if self.data > 0 {
            let pass = raw.len().min(self.data);
            self.data -= pass;
            return Ok(pass);
        }
        vitals.head_begins(now);
        if !self.begun {
            return self.preface(raw);
        }
        let Some(frame) = raw.first_chunk::<FRAME_HEAD>() else { return Ok(0) };
        let length = usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2]);
        let (kind, flags) = (frame[3], frame[4]);
        if kind == DATA || length > FRAME_BYTES {
            if length == 0 && flags & END_STREAM == 0 {
                self.idle.add(now, limits::H2_IDLE_FRAMES)?;
            }
            vitals.whole();
            self.data = length;
            return Ok(FRAME_HEAD);
        }
        if raw.len() < FRAME_HEAD + length {
            return Ok(0);
        }
        self.count(kind, length, now)?;
        self.follow(kind, flags, length)?;
        if self.head.is_none() {
            vitals.whole();
        }
        if kind == HEADERS {
            vitals.spoken(now);
        }
        Ok(FRAME_HEAD + length)
    }

    fn instead(&self) -> Option<&'static [u8]> {
        (self.begun && self.data == 0).then_some(ENOUGH)
    }
}

impl Frames {
    fn preface(&mut self, raw: &[u8]) -> Result<usize, &'static Code> {
        let so_far = raw.len().min(PREFACE.len());
        if raw[..so_far] != PREFACE[..so_far] {
            return Err(&errors::BAD_HEAD);
        }
        self.begun = so_far == PREFACE.len();
        Ok(if self.begun { so_far } else { 0 })
    }

    fn count(&mut self, kind: u8, length: usize, now: u64) -> Result<(), &'static Code> {
        match kind {
            RST_STREAM => self.resets.add(now, limits::H2_RESETS),
            WINDOW_UPDATE => self.updates.add(now, limits::H2_WINDOW_UPDATES),
            HEADERS | CONTINUATION if length > 0 => Ok(()),
            _ => self.idle.add(now, limits::H2_IDLE_FRAMES),
        }
    }

    /// Follows a head over its frames: its bytes as sent are bounded as those of HTTP/1.1 are.
    fn follow(&mut self, kind: u8, flags: u8, length: usize) -> Result<(), &'static Code> {
        let before = match kind {
            HEADERS => 0,
            CONTINUATION => self.head.unwrap_or(0),
            _ => return Ok(()),
        };
        let bytes = before + length;
        if bytes > limits::HEAD_BYTES {
            return Err(&errors::HEAD_TOO_LARGE);
        }
        self.head = (flags & END_HEADERS == 0).then_some(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
