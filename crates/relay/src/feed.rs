//! Pushes durable entries of the journal to control, which takes each once by (log, index). It never
//! runs ahead of the disk, and when control is slow it only falls behind: the journal keeps everything.
use crate::control::{Ask, Control};
use crate::limits;
use crate::state::Relay;
use crate::wire::Cursor;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Pushes until the relay closes and control has what was durable then, or cannot be reached.
pub async fn run(relay: Arc<Relay>, control: Rc<Control>) {
    let mut done = Vec::new();
    let mut cursors = HashMap::new();
    loop {
        let closing = relay.is_closing();
        let mut left = 0;
        for (log, durable) in relay.log.all() {
            let complete = log != relay.log.id();
            if complete && done.contains(&log) {
                continue;
            }
            match push_log(&relay, &control, &log, durable, &mut cursors).await {
                Some(next) if next >= durable && complete => done.push(log),
                Some(next) => left = relay.log.durable().saturating_sub(next),
                // The order of logs is kept: a later one waits for an earlier.
                None if closing => return,
                None => break,
            }
        }
        if closing && left == 0 {
            return;
        }
        // What came during the push waits for the next one: at once, each turn would have a transaction of its own.
        if !closing && left < limits::FEED_ENTRIES as u64 {
            tokio::time::sleep(Duration::from_millis(limits::FEED_MS)).await;
        }
    }
}

/// Pushes what is durable of a log, batch by batch. Gives the first index control does not have, or nothing
/// when control did not answer as it should.
async fn push_log(
    relay: &Relay,
    control: &Control,
    log: &str,
    durable: u64,
    cursors: &mut HashMap<String, u64>,
) -> Option<u64> {
    let mut next = cursors.remove(log);
    if next.is_none() {
        next = cursor(control, log).await;
    }
    while let Some(from) = next.filter(|n| *n < durable) {
        next = push(relay, control, log, from).await;
    }
    cursors.extend(next.map(|n| (log.to_owned(), n)));
    next
}

/// The first entry control does not have.
async fn cursor(control: &Control, log: &str) -> Option<u64> {
    let path = format!("/journal/cursor?log={log}");
    match control.ask_json::<Cursor>(&Ask::get(&path)).await {
        Ok(cursor) => Some(cursor.next),
        Err(e) => {
            tracing::warn!(error = %e, "the feed waits for control");
            None
        }
    }
}

/// Pushes one batch from `from` on. Gives the next index, or nothing when the cursor has to be asked again.
async fn push(relay: &Relay, control: &Control, log: &str, from: u64) -> Option<u64> {
    let entries = match relay.log.read(log, from, limits::FEED_ENTRIES, limits::FEED_BYTES) {
        Ok(entries) => entries,
        Err(e) => {
            tracing::error!(error = %e, from, "the journal cannot be read for the feed");
            return None;
        }
    };
    let mut lines = Vec::with_capacity(entries.iter().map(|(_, entry)| entry.len() + 1).sum());
    for (_, entry) in &entries {
        lines.extend_from_slice(entry);
        lines.push(b'\n');
    }
    let headers = format!(
        "content-type: application/x-ndjson\r\ndragoman-log: {log}\r\ndragoman-first-index: {from}\r\n"
    );
    let ask = Ask { headers: &headers, ms: limits::FEED_POST_MS, ..Ask::post("/journal", &lines) };
    match control.ask_json::<Cursor>(&ask).await {
        Ok(cursor) => {
            relay.metrics.fed.fetch_add(cursor.next.saturating_sub(from), Ordering::Relaxed);
            Some(cursor.next)
        }
        Err(e) => {
            tracing::warn!(error = %e, from, "control did not take the feed; its cursor is asked again");
            None
        }
    }
}
