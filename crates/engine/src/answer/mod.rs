//! An answer on its way to the client, streamed or whole: lanes scanned, labels and notices put in, the end marker
//! held back until the relay says the result is durable. Sans I/O: provider bytes in, client bytes out.
//! It never ends an answer by itself and never lets a text out that its lane has not released.

mod blocks;
mod cite;
mod close;
mod disclose;
mod fast;
mod frame;
mod guard;
mod json_lane;
mod lanes;
mod notice;
mod record;
mod spec;
mod stream;
mod told;
mod usage;
mod walk;
mod whole;
mod write;

use crate::limits;
use crate::rules::Direction;
use crate::stream::json::Scratch;
use crate::stream::sse::{Event, Splitter};

use disclose::Disclosure;
pub use disclose::refusal_text;
use frame::Frame;
use guard::Guard;
use lanes::{Choice, Rules, Work};
pub use notice::{NoticeSpec, notice_answer};
pub use record::record_events;
pub use spec::{
    ANSWER_CODES, AnswerError, AnswerSpec, InterventionRecord, Label, Machine, NoticeText, Origin, Progress,
    Summary, Tally, VendorBlock,
};
pub use told::{Links, told};
pub use usage::Usage;

#[allow(clippy::struct_excessive_bools)] // each says that another end has come
/// One answer of one provider attempt. After an error only `abort` makes sense.
pub struct AnswerScan {
    spec: AnswerSpec,
    rules: Rules,
    guard: Guard,
    splitter: Splitter,
    scratch: Scratch,
    frame: Frame,
    work: Work,
    choices: Vec<Choice>,
    head: write::Head,
    usage: Usage,
    disclosure: Disclosure,
    /// The frame being written.
    buffer: Vec<u8>,
    /// What the client would already have, where a refusal may still take all of it back.
    withheld: Option<Vec<u8>>,
    /// The frame with the last finish reason, or the whole body: the end marker.
    last: Option<Vec<u8>>,
    /// `[DONE]`, or a whole body, has been read.
    done: bool,
    /// The answer was ended by us: what still comes is not read.
    stopped: bool,
    vendor_blocked: bool,
    pass: stream::Pass,
    templates: Vec<fast::Template>,
    /// Templates that were never used.
    wasted: u32,
    /// A rule of granularity `answer` is loaded.
    withholds: bool,
}

impl AnswerScan {
    pub fn new(spec: AnswerSpec) -> Self {
        let active = spec.rules.is_active(Direction::Out);
        let rules = Rules {
            set: spec.rules.clone(),
            locale: spec.locale,
            active,
            json_content: spec.json_lanes,
            keep: spec.keep,
        };
        let withheld_any = active && spec.rules.answer_granularity();
        let withheld = (spec.stream && withheld_any).then(Vec::new);
        Self {
            guard: Guard::new(&spec.rules, spec.locale),
            rules,
            splitter: Splitter::new(limits::FRAME_BYTES),
            scratch: Scratch::default(),
            frame: Frame::default(),
            work: Work::default(),
            choices: Vec::new(),
            head: write::Head::default(),
            usage: Usage::default(),
            disclosure: Disclosure::default(),
            buffer: Vec::new(),
            withheld,
            last: None,
            done: false,
            stopped: false,
            vendor_blocked: false,
            pass: stream::Pass::default(),
            templates: Vec::new(),
            wasted: 0,
            withholds: withheld_any,
            spec,
        }
    }

    /// Bytes of a streamed answer, cut anywhere; what may go to the client now is appended to `out`.
    pub fn bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, AnswerError> {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        let mut feed = splitter.feed(chunk);
        let read = loop {
            match feed.next() {
                Ok(Some(Event::Data(data))) => {
                    if let Err(error) = self.event(data, out) {
                        break Err(error);
                    }
                }
                // The comment's text is the provider's; only the sign of life goes on.
                Ok(Some(Event::Comment)) => out.extend_from_slice(b":\n\n"),
                Ok(None) => break Ok(()),
                Err(_) => break Err(AnswerError::new("provider_frame_too_long")),
            }
        };
        self.splitter = splitter;
        read?;
        if self.kept_bytes() > limits::KEPT_BYTES {
            return Err(AnswerError::new("provider_answer_too_long"));
        }
        Ok(self.progress())
    }

    /// A whole answer. Nothing of it may go out before its result is durable, so all comes with `end`.
    pub fn body(&mut self, whole: &[u8]) -> Result<Progress, AnswerError> {
        if whole.len() > limits::ANSWER_BYTES {
            return Err(AnswerError::new("provider_answer_too_long"));
        }
        self.whole(whole)?;
        self.done = true;
        Ok(self.progress())
    }

    /// Bytes of the text that is kept.
    fn kept_bytes(&self) -> usize {
        if !self.spec.keep {
            return 0;
        }
        let lanes = self.choices.iter().flat_map(|choice| &choice.lanes);
        lanes.filter_map(|lane| lane.kept.as_ref()).map(String::len).sum()
    }

    /// Interventions since the last call; to be stored durably before the bytes that name them go out.
    pub fn interventions(&mut self) -> Vec<InterventionRecord> {
        self.disclosure.drain()
    }

    /// Code points that all lanes hold back now.
    pub fn held(&self) -> usize {
        self.choices.iter().flat_map(|choice| &choice.lanes).map(lanes::LaneState::held).sum()
    }

    fn progress(&self) -> Progress {
        Progress { ended: self.stopped || self.done, closing: self.last.is_some() }
    }
}
