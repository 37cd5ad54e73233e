//! Why a rule set was refused at load.
use std::fmt;

/// Names the rule, the field and the limit that was broken; never quotes a word of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Id of the rule; empty where the whole set is meant.
    pub rule: String,
    pub field: &'static str,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Another version of the document than this build reads.
    Version {
        found: u32,
        read: u32,
    },
    /// More of `field` than the limit allows.
    TooMany {
        found: usize,
        limit: usize,
    },
    Empty,
    Duplicate,
    /// The view is not one this build has.
    UnknownView,
    /// `exempts` names no rule of the set.
    UnknownRule {
        id: String,
    },
    /// Only an `allow` may exempt.
    NotAllow,
    /// A redaction without a placeholder shows nothing in the text's place.
    Missing,
    /// Word number `word`, counted from 0, has fewer symbols than the limit after normalisation.
    WordTooShort {
        word: usize,
        symbols: usize,
        limit: usize,
    },
    /// Word number `word` holds more ignorable code points in a row than a view tolerates.
    WordHasGap {
        word: usize,
        limit: usize,
    },
    /// Word number `word` could hold more code points back than the limit allows.
    HoldTooLong {
        word: usize,
        hold: usize,
        limit: usize,
    },
}

impl RuleError {
    pub(crate) fn new(rule: &str, field: &'static str, problem: Problem) -> Self {
        Self { rule: rule.to_owned(), field, problem }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rule.is_empty() {
            write!(f, "rule set, {}: ", self.field)?;
        } else {
            write!(f, "rule {}, {}: ", self.rule, self.field)?;
        }
        match &self.problem {
            Problem::Version { found, read } => write!(f, "is {found}; this build reads {read}"),
            Problem::TooMany { found, limit } => write!(f, "{found} are too many; the limit is {limit}"),
            Problem::Empty => write!(f, "must not be empty"),
            Problem::Duplicate => write!(f, "occurs twice in the set"),
            Problem::UnknownView => write!(f, "is not a known view; the only one is \"A\""),
            Problem::UnknownRule { id } => write!(f, "names {id}, which is not in the set"),
            Problem::NotAllow => write!(f, "only a rule with action \"allow\" may exempt others"),
            Problem::Missing => write!(f, "is needed for action \"redact\""),
            Problem::WordTooShort { word, symbols, limit } => {
                write!(f, "word {word} has {symbols} symbols after normalisation; the least is {limit}")
            }
            Problem::WordHasGap { word, limit } => {
                write!(f, "word {word} has more than {limit} ignorable characters in a row")
            }
            Problem::HoldTooLong { word, hold, limit } => {
                write!(f, "word {word} could hold back {hold} code points; the limit is {limit}")
            }
        }
    }
}

impl std::error::Error for RuleError {}
