//! What a start does about the turns of the process before, before anything is served: control says which of them it
//! holds an outcome of; those get exactly the result entry that was to stand, every other one is interrupted.
use crate::control::{Ask, AskError, Control};
use crate::errors::ApiError;
use crate::journal::{JournalError, OpenIntent, interrupted_result, resumed_entry};
use crate::limits;
use crate::record;
use crate::state::Relay;
use crate::wire::{ClosingTurn, Recovered};
use serde_json::json;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Exit status of a start that could not settle what was open.
const NOT_STARTED: i32 = 2;
/// Entries that are written together.
const TOGETHER: usize = 500;
/// Milliseconds between two tries, at most.
const PAUSE_MS: u64 = 1_000;

/// Ends the open turns of the log. Waits for control as long as it takes; false when the relay stops first.
pub async fn run(relay: &Arc<Relay>, control: &Rc<Control>) -> bool {
    let mut pause = limits::CHANGES_RETRY_MS;
    let mut told = false;
    while !relay.is_closing() && !relay.is_stopping() {
        match once(relay, control).await {
            Ok(closing) => {
                if !closing.is_empty() {
                    tokio::task::spawn_local(finish(Arc::clone(relay), Rc::clone(control), closing));
                }
                return true;
            }
            Err(why) => {
                // Told once per loss, as of the poll that follows.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %why, "the turns of the last process are not settled yet");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(PAUSE_MS);
    }
    false
}

async fn once(relay: &Relay, control: &Control) -> Result<Vec<ClosingTurn>, String> {
    let open = relay.log.open_intents();
    let mut closing: Vec<ClosingTurn> = Vec::new();
    for log in relay.log.settled_at_start() {
        let of_log = open.iter().filter(|intent| intent.log == log);
        let turns: Vec<&str> = of_log.map(|intent| intent.turn.as_str()).collect();
        let body = json!({ "log": log, "intents": turns }).to_string();
        let ask = Ask { ms: limits::RECOVER_MS, ..Ask::post("/turns/recover", body.as_bytes()) };
        let recovered = match control.ask_json::<Recovered>(&ask).await {
            // A control that keeps no turns has none of these.
            Err(AskError::Said(e)) if e.status == 404 => Recovered::default(),
            other => other.map_err(|e| e.to_string())?,
        };
        closing.extend(recovered.closing.into_iter().filter(|c| turns.contains(&c.turn.as_str())));
    }
    if !open.is_empty() {
        write(relay, open, &closing).await?;
    }
    Ok(closing)
}

/// The results of all open turns, then that the log goes on.
async fn write(relay: &Relay, open: &[OpenIntent], closing: &[ClosingTurn]) -> Result<(), String> {
    let stored: HashMap<&str, &ClosingTurn> = closing.iter().map(|c| (c.turn.as_str(), c)).collect();
    let at = i64::try_from(crate::clock::wall_ms()).unwrap_or(i64::MAX);
    let failed = |e: &dyn std::fmt::Display| e.to_string();
    let mut entries = Vec::with_capacity(open.len() + 1);
    for intent in open {
        let entry = if let Some(closing) = stored.get(intent.turn.as_str()) {
            record::canonical_entry(&closing.result).map_err(|e: ApiError| e.code.to_string())?
        } else {
            tracing::warn!(turn = %intent.turn, "a turn was interrupted by the last stop");
            interrupted_result(&intent.entry, at).map_err(|e: JournalError| failed(&e))?
        };
        entries.push(entry);
    }
    entries.push(resumed_entry(relay.log.id(), open.len() - closing.len(), at).map_err(|e| failed(&e))?);
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(TOGETHER));
        if let Err(e) = relay.log.append_many(std::mem::replace(&mut entries, rest)).await {
            // Whether they stand is not known: the next start reads what does. Nobody waits for this process yet.
            tracing::error!(code = %e.code, "the results of the last process cannot be recorded: start again");
            std::process::exit(NOT_STARTED);
        }
    }
    Ok(())
}

/// Tells control that the results stand. What it does not take now, the next start tells it.
async fn finish(relay: Arc<Relay>, control: Rc<Control>, closing: Vec<ClosingTurn>) {
    for turn in closing {
        let tenant = turn.result.get("tenant").cloned().unwrap_or_default();
        let body = json!({ "state": "finished", "tenant": tenant, "digest": turn.digest }).to_string();
        let path = format!("/turns/{}/outcome", turn.turn);
        let ask = Ask { method: "PUT", ..Ask::post(&path, body.as_bytes()) };
        while !relay.is_closing() {
            match control.ask(&ask).await {
                Ok(_) => break,
                Err(AskError::Said(e)) if e.status < 500 => {
                    tracing::error!(turn = %turn.turn, code = %e.code, "control does not take a recovered turn");
                    break;
                }
                Err(e) => {
                    tracing::warn!(turn = %turn.turn, error = %e, "a recovered turn is finished again");
                    tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
                }
            }
        }
    }
}
