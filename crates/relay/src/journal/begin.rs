//! How a log begins, and the turns that the process before left open: in this log, or in the sealed one it continues.
use bytes::Bytes;

use super::entries::{self, NextLog, Previous};
use super::recover::Shard;
use super::segments::Segments;
use super::turns::{Head, OpenTurns};
use super::{Interrupted, JournalError, OpenIntent};

/// Entries and bytes read at once.
const READ: (usize, usize) = (1_000, 1 << 20);

/// How a shard's log begins, if it is not there yet.
#[derive(Debug, Default)]
pub struct Begin {
    /// The log that the shard before announced.
    pub next: Option<NextLog>,
    /// The log that it continues.
    pub previous: Option<Previous>,
    /// Intents that the log before left open, with their indexes there: the new log's first group ends them.
    pub open: Vec<(u64, Bytes)>,
}

/// Records that the log goes on, after a result for each intent that has none; or leaves both to who opens it.
pub fn end_open_turns(
    opened: &mut Shard,
    turns: &OpenTurns,
    begin: &Begin,
    keep_open: bool,
    now: i64,
) -> Result<(), JournalError> {
    let mut open = begin.still_open(&opened.segments)?;
    for index in turns.indexes() {
        let read = opened.segments.read(index, 1, 1)?;
        let entry = read.first().map(|(_, e)| e.clone()).unwrap_or_default();
        open.push(open_intent(&opened.log_id, index, entry)?);
    }
    if keep_open && !open.is_empty() {
        opened.open = open;
        return Ok(());
    }
    for OpenIntent { turn, index: intent, entry, .. } in open {
        let (_, entry) = entries::interrupted(&entry, now)?;
        let index = opened.core.commit(&[entry]).map_err(JournalError::from_commit)?;
        opened.interrupted.push(Interrupted { turn, intent, index });
    }
    let resumed = entries::resumed(&opened.log_id, opened.interrupted.len(), now)?;
    opened.core.commit(&[resumed]).map_err(JournalError::from_commit)?;
    Ok(())
}

fn open_intent(log: &str, index: u64, entry: Bytes) -> Result<OpenIntent, JournalError> {
    let turn = Head::parse(&entry).and_then(|head| Some(head.turn?.into_owned()));
    let turn = turn.ok_or_else(|| JournalError::Corrupt(format!("{log}: entry {index} is no intent")))?;
    Ok(OpenIntent { turn, log: log.to_owned(), index, entry })
}

impl Begin {
    /// What the log before left open and this one, of which `segments` are, has not ended. Their results stand before
    /// anything else is recorded, so reading ends at the first entry of another kind.
    pub fn still_open(&self, segments: &Segments) -> Result<Vec<OpenIntent>, JournalError> {
        let log = self.previous.as_ref().map(|p| p.log.as_str()).unwrap_or_default();
        let mut open = Vec::with_capacity(self.open.len());
        for (index, entry) in &self.open {
            open.push(open_intent(log, *index, entry.clone())?);
        }
        let mut next = 1;
        while !open.is_empty() {
            let read = segments.read(next, READ.0, READ.1)?;
            if read.is_empty() {
                break;
            }
            for (index, entry) in &read {
                let Some(Head { kind, turn, .. }) = Head::parse(entry) else { return Ok(open) };
                match (&*kind, turn) {
                    ("result", Some(turn)) => open.retain(|one| one.turn != turn),
                    ("registry", _) => {}
                    _ => return Ok(open),
                }
                next = index + 1;
            }
        }
        Ok(open)
    }
}
