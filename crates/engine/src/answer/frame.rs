//! What one JSON document of a provider holds that matters: spans of texts, finish reasons, usage, and members
//! to leave out. Filled by `walk`, carried out by `stream` and `whole`; the memory is reused from frame to frame.

use crate::stream::json::{Span, Str};

/// Which separately scanned text a string belongs to, within one choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Content,
    Refusal,
    ReasoningContent,
    Reasoning,
    /// Legacy completion text.
    Text,
    /// Tool calls by their index.
    ToolName(u32),
    ToolArguments(u32),
    ToolInput(u32),
    /// The single function call of older answers.
    CallName,
    CallArguments,
    /// Any other string, by the path interned in the choice.
    Path(u32),
}

/// Where a string stands before tool ordinals and paths are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Known(Kind),
    /// A text of content that comes in parts.
    Part,
    ToolName(u32),
    ToolArguments(u32),
    ToolInput(u32),
    /// A range of `Frame::paths`; `whole` strings are complete texts, others continue from frame to frame.
    Path {
        start: u32,
        end: u32,
        whole: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A string of a lane; the span is its contents.
    Text {
        place: Place,
        escaped: bool,
    },
    /// A member with its key, to be left out.
    Drop,
    /// The span's place is taken by a constant.
    Put(&'static str),
    /// Value of `finish_reason`, quotes included.
    Finish,
    /// Value of `model`, quotes included.
    Model,
    /// Value of the answer's `id`, quotes included.
    Id,
    /// Value of a tool call's `id`, quotes included; the tool's ordinal.
    ToolId(u32),
    /// The member `usage`, key included.
    Usage,
    /// What stands before an annotation; the annotation's end; what stands behind the last.
    Note,
    NoteEnd,
    NotesEnd,
    /// An offset of a citation, in code points of the text.
    Offset {
        value: u64,
        is_end: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub span: Span,
    /// Ordinal of the element of `choices`; `OUTSIDE` for the rest of the document.
    pub element: u32,
    pub what: What,
}

pub(super) const OUTSIDE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Element {
    pub span: Span,
    pub index: Option<u32>,
    /// Contents of a `finish_reason` that is not null.
    pub finish: Option<Str>,
    /// Has anything a client would miss: text, a role, a tool call.
    pub speaks: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    pub position: u32,
    pub index: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Frame {
    pub items: Vec<Item>,
    pub elements: Vec<Element>,
    pub tools: Vec<Tool>,
    pub paths: String,
    pub id: Option<Span>,
    pub object: Option<Span>,
    pub created: Option<Span>,
    pub fingerprint: Option<Span>,
    /// Value of `usage` where it is an object.
    pub usage: Option<Span>,
    /// Value of `error` where it is not null.
    pub error: Option<Span>,
    pub has_choices: bool,
}

impl Frame {
    pub fn clear(&mut self) {
        self.items.clear();
        self.elements.clear();
        self.tools.clear();
        self.paths.clear();
        self.id = None;
        self.object = None;
        self.created = None;
        self.fingerprint = None;
        self.usage = None;
        self.error = None;
        self.has_choices = false;
    }

    /// The lane of a place; `path` interns the text of a path and returns its number.
    pub fn kind(&self, place: Place, mut path: impl FnMut(&str) -> u32) -> Kind {
        let tool = |ordinal: u32| {
            let tool = self.tools[ordinal as usize];
            tool.index.unwrap_or(tool.position)
        };
        match place {
            Place::Known(kind) => kind,
            Place::Part => Kind::Content,
            Place::ToolName(ordinal) => Kind::ToolName(tool(ordinal)),
            Place::ToolArguments(ordinal) => Kind::ToolArguments(tool(ordinal)),
            Place::ToolInput(ordinal) => Kind::ToolInput(tool(ordinal)),
            Place::Path { start, end, .. } => Kind::Path(path(&self.paths[start as usize..end as usize])),
        }
    }
}
