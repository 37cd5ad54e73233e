//! What plans, principals and control say of limits, as `docs/wire.md` gives it.
use serde::{Deserialize, Serialize};

/// What a limit counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Requests,
    Tokens,
    /// Millionths of one unit of a currency.
    Money,
    /// Turns open at once: of rates only.
    Concurrent,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Money => "money",
            Self::Concurrent => "concurrent",
        }
    }
}

/// How long a limit's window is. Windows are UTC.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    Minute,
    Hour,
    Day,
    Month,
}

/// What has a bucket of its own.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    Tenant,
    Key,
    App,
    EndUser,
    Model,
}

/// A limit that concerns a turn.
#[derive(Clone, Debug, Deserialize)]
pub struct Limit {
    pub limit: String,
    pub each: Option<Each>,
    /// It is one tenant's.
    pub owned: bool,
    pub model: Option<String>,
    pub unit: Unit,
    pub currency: Option<String>,
    pub per: Per,
    pub most: u64,
    /// Its numbers may be read by those whom it concerns.
    pub shown: bool,
}

/// How fast a key or an end user may ask, per minute; or how many turns it may have open.
#[derive(Clone, Debug, Deserialize)]
pub struct Rate {
    pub rate: String,
    pub each: Each,
    pub model: Option<String>,
    pub unit: Unit,
    pub most: u64,
    pub burst: u64,
}

/// What a model costs: millionths of the currency's unit per million tokens. No currency: nothing.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Price {
    pub currency: Option<String>,
    pub input: u64,
    pub cached: u64,
    pub output: u64,
}

/// A complete log of this relay, and one more than its last index.
#[derive(Clone, Debug, Serialize)]
pub struct Earlier {
    pub log: String,
    pub end: u64,
}

/// What this run was granted of a bucket and gave back, and what it needs now.
#[derive(Debug, Serialize)]
pub struct Ask<'a> {
    pub bucket: &'a str,
    pub tenant: &'a str,
    pub granted: u64,
    pub returned: u64,
    pub need: u64,
    pub want: u64,
}

/// The body of `POST /allotments`.
#[derive(Debug, Serialize)]
pub struct Asks<'a> {
    pub log: &'a str,
    pub start: u64,
    pub earlier: &'a [Earlier],
    pub asks: &'a [Ask<'a>],
}

/// What control says of a bucket.
#[derive(Clone, Debug, Deserialize)]
pub struct Allotment {
    pub bucket: String,
    /// All that this run was granted, and all before this answer.
    pub granted: u64,
    pub before: u64,
    /// All that control knows this run to have given back.
    pub returned: u64,
    /// Milliseconds for which it may be reserved from.
    pub ms: u64,
    pub most: u64,
    /// Neither spent nor held by anybody.
    pub left: u64,
    /// When its window ends, ms UTC.
    pub resets: u64,
    /// The limit is no longer in force.
    pub gone: bool,
}

/// The answer of `POST /allotments`.
#[derive(Clone, Debug, Deserialize)]
pub struct Allotments {
    pub now: u64,
    pub buckets: Vec<Allotment>,
}

/// A reservation, as an intent names it.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Reserved {
    pub bucket: String,
    pub reserved: u64,
}

/// A reservation and what came of it, as a result names it.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Spent {
    pub bucket: String,
    pub reserved: u64,
    pub spent: u64,
}

/// What a turn cost.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Cost {
    pub amount: u64,
    pub currency: String,
}
