//! What a fake model answers, read from its name: `fake:chunks=100,gap_ms=20,bytes=12,lane=tool,text=en`.

use std::time::Duration;

/// Which lane of the answer carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Content,
    Reasoning,
    Tool,
}

/// One fake answer. `chunks` text pieces of about `bytes` UTF-8 bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub chunks: usize,
    pub bytes: usize,
    pub first: Duration,
    pub gap: Duration,
    pub lane: Lane,
    pub chinese: bool,
    /// Put the forbidden phrase inside the text, split over the pieces.
    pub plant: bool,
    /// Write the planted phrase as `\uXXXX` escapes (tool arguments only: JSON inside JSON).
    pub escape: bool,
}

/// Largest answer a name may ask for, in pieces and bytes a piece.
const MAX_CHUNKS: usize = 100_000;
const MAX_BYTES: usize = 65_536;

impl Default for Spec {
    fn default() -> Self {
        Self {
            chunks: 20,
            bytes: 12,
            first: Duration::ZERO,
            gap: Duration::ZERO,
            lane: Lane::Content,
            chinese: true,
            plant: false,
            escape: false,
        }
    }
}

impl Spec {
    /// Reads the knobs, comma-separated `key=value`; an empty text is the default answer.
    ///
    /// # Errors
    /// A sentence naming the knob that is unknown or out of range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        for knob in text.split(',').filter(|k| !k.is_empty()) {
            let (key, value) = knob.split_once('=').unwrap_or((knob, "1"));
            spec.set(key, value)?;
        }
        Ok(spec)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("{key}={value}: a number is needed"));
        match key {
            "chunks" => self.chunks = (number()? as usize).clamp(1, MAX_CHUNKS),
            "bytes" => self.bytes = (number()? as usize).clamp(1, MAX_BYTES),
            "first_ms" => self.first = Duration::from_millis(number()?),
            "gap_ms" => self.gap = Duration::from_millis(number()?),
            "plant" => self.plant = number()? != 0,
            "escape" => self.escape = number()? != 0,
            "text" if value == "zh" || value == "en" => self.chinese = value == "zh",
            "lane" => {
                self.lane = match value {
                    "content" => Lane::Content,
                    "reasoning" => Lane::Reasoning,
                    "tool" => Lane::Tool,
                    _ => return Err(format!("lane={value}: content, reasoning or tool")),
                }
            }
            _ => return Err(format!("unknown knob {key}={value}")),
        }
        Ok(())
    }
}
