//! The fake control's keeping of turns: opened, closing, finished; twins by their key; history; what a start recovers.
//! Faults are set by the test: an outcome that fails, hangs, or is refused.
use super::http::Seen;
use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

type Answer = Result<Value, (u16, Value)>;

/// What is done with a message about a turn, once or until it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 500, and nothing is kept.
    Fails,
    /// Kept, and answered with 500: the answer was lost.
    Lost,
    /// No answer while it is set; nothing is kept.
    Hangs,
    /// Kept, and no answer while it is set.
    Held,
    /// The turn was given up: 409.
    Interrupted,
}

#[derive(Clone, Debug)]
pub struct Turn {
    pub state: String,
    pub opening: Value,
    pub reply: Value,
    pub digest: Value,
    pub record: Value,
    pub result: Value,
}

#[derive(Default)]
pub struct Turns {
    kept: Mutex<BTreeMap<String, Turn>>,
    /// By step: `open`, `closing`, `finished`, `abandoned`, `recover`.
    faults: Mutex<HashMap<&'static str, Fault>>,
    changed: Condvar,
    /// Given with an opened turn.
    pub refusal: Mutex<Value>,
    pub notices: Mutex<Value>,
    pub decision_entry: Mutex<Value>,
    /// Messages put before the history of each conversation.
    pub history: Mutex<Vec<Value>>,
}

fn said(status: u16, code: &str) -> (u16, Value) {
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    let message = json!({ "en": code, "zh": code });
    (status, json!({ "error": { "type": kind, "code": code, "param": null, "message": message } }))
}

impl Turns {
    pub fn fault(&self, step: &'static str, fault: Option<Fault>) {
        let mut faults = self.faults.lock().unwrap();
        match fault {
            Some(fault) => drop(faults.insert(step, fault)),
            None => drop(faults.remove(step)),
        }
        self.changed.notify_all();
    }

    /// The fault of a step; waits while it hangs, at most a minute.
    fn meet(&self, step: &str) -> Option<Fault> {
        let faults = self.faults.lock().unwrap();
        let hangs = |faults: &mut HashMap<&'static str, Fault>| faults.get(step) == Some(&Fault::Hangs);
        let (faults, _) = self.changed.wait_timeout_while(faults, Duration::from_secs(60), hangs).unwrap();
        faults.get(step).copied()
    }

    /// Waits while the step's answer is held.
    fn hold(&self, step: &str) {
        let faults = self.faults.lock().unwrap();
        let held = |faults: &mut HashMap<&'static str, Fault>| faults.get(step) == Some(&Fault::Held);
        drop(self.changed.wait_timeout_while(faults, Duration::from_secs(60), held).unwrap());
    }

    pub fn all(&self) -> Vec<Turn> {
        self.kept.lock().unwrap().values().cloned().collect()
    }

    /// Waits until `n` turns are in `state`.
    pub fn wait(&self, state: &str, n: usize) -> Vec<Turn> {
        for _ in 0..1_200 {
            let found: Vec<Turn> = self.all().into_iter().filter(|turn| turn.state == state).collect();
            if found.len() >= n {
                return found;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{n} turns in {state}: {:?}", self.all());
    }

    pub fn open(&self, seen: &Seen) -> Answer {
        let opening = seen.json();
        let fault = self.meet("open");
        if fault == Some(Fault::Fails) {
            return Err(said(500, "internal_error"));
        }
        let id = opening["turn"].as_str().expect("a turn").to_owned();
        let mut turns = self.kept.lock().unwrap();
        if let Some(known) = turns.get(&id) {
            return Ok(known.reply.clone());
        }
        let same = |turn: &Turn| {
            !opening["idempotency"].is_null()
                && turn.opening["principal"] == opening["principal"]
                && turn.opening["idempotency"]["key"] == opening["idempotency"]["key"]
        };
        if let Some((first, twin)) = turns.iter().find(|(_, turn)| same(turn)) {
            return twin_of(first, twin, &opening);
        }
        let conversation = &opening["conversation"];
        let upstream = if conversation.is_null() {
            Value::Null
        } else {
            let mut messages = self.history.lock().unwrap().clone();
            // As control: what was refused goes along with nothing.
            let goes_along = |t: &&Turn| t.result["status"] != "refused" && t.result["status"] != "denied";
            let before = turns.values().filter(|t| t.opening["conversation"] == *conversation);
            for turn in before.filter(goes_along) {
                messages.extend(turn.opening["input"]["messages"].as_array().cloned().unwrap_or_default());
                let answer = &turn.record["choices"][0]["message"]["content"];
                if turn.state == "finished" {
                    messages.push(json!({ "role": "assistant", "content": answer }));
                }
            }
            let mut body = opening["input"].clone();
            messages.extend(body["messages"].as_array().cloned().unwrap_or_default());
            body["messages"] = messages.into();
            body
        };
        let or_list = |value: Value| if value.is_null() { json!([]) } else { value };
        let reply = json!({
            "state": "opened", "turn": id, "upstream": upstream,
            "notices": or_list(self.notices.lock().unwrap().clone()),
            "refusal": *self.refusal.lock().unwrap(),
            "decision_entry": *self.decision_entry.lock().unwrap(),
            "context": if conversation.is_null() { Value::Null } else { json!({"turns": turns.len(), "left_out": 0}) },
        });
        let turn = Turn {
            state: "opened".to_owned(),
            opening,
            reply: reply.clone(),
            digest: Value::Null,
            record: Value::Null,
            result: Value::Null,
        };
        turns.insert(id, turn);
        drop(turns);
        self.hold("open");
        if fault == Some(Fault::Lost) { Err(said(500, "internal_error")) } else { Ok(reply) }
    }

    /// `PUT /turns/{id}/outcome`. `Ok` stands for 204.
    pub fn outcome(&self, id: &str, seen: &Seen) -> Result<(), (u16, Value)> {
        let message = seen.json();
        let state = message["state"].as_str().expect("a state").to_owned();
        let fault = self.meet(&state);
        if fault == Some(Fault::Fails) {
            return Err(said(500, "internal_error"));
        }
        let mut turns = self.kept.lock().unwrap();
        let Some(turn) = turns.get_mut(id) else { return Err(said(404, "turn_not_found")) };
        if fault == Some(Fault::Interrupted) {
            "interrupted".clone_into(&mut turn.state);
        }
        if turn.state == "interrupted" {
            return Err(said(409, "turn_interrupted"));
        }
        match state.as_str() {
            "closing" if turn.digest.is_null() => {
                let answer = message["answer"].as_str().expect("an answer");
                let salt = turn.opening["salt"].as_str().expect("a salt");
                let salt = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(salt).expect("base64url");
                let digest = Sha256::digest([&salt, answer.as_bytes()].concat());
                let mut hex = "sha256:".to_owned();
                dragoman_engine::ledger::canonical::push_hex(&digest, &mut hex);
                assert_eq!(message["digest"], hex, "the digest is the answer's");
                assert_eq!(message["result"]["outcome"], message["digest"], "the entry names it");
                "closing".clone_into(&mut turn.state);
                turn.digest = message["digest"].clone();
                turn.record = serde_json::from_str(answer).expect("a record");
                turn.result = message["result"].clone();
            }
            "closing" if turn.digest == message["digest"] => {}
            "finished" if turn.digest == message["digest"] => "finished".clone_into(&mut turn.state),
            "abandoned" if turn.state == "opened" => drop(turns.remove(id)),
            "abandoned" => {}
            other => panic!("{other} out of its order: {message} for {turn:?}"),
        }
        drop(turns);
        self.hold(&state);
        if fault == Some(Fault::Lost) { Err(said(500, "internal_error")) } else { Ok(()) }
    }

    pub fn recover(&self, seen: &Seen) -> Answer {
        match self.meet("recover") {
            Some(Fault::Fails) => return Err(said(500, "internal_error")),
            // A control that has forgotten all of them.
            Some(Fault::Lost) => return Ok(json!({ "closing": [] })),
            _ => {}
        }
        let message = seen.json();
        let named = |id: &String| message["intents"].as_array().expect("intents").iter().any(|i| i == id);
        let mut closing = Vec::new();
        for (id, turn) in self.kept.lock().unwrap().iter_mut() {
            if turn.opening["log"] != message["log"] {
                continue;
            }
            match turn.state.as_str() {
                "closing" if named(id) => {
                    closing.push(json!({ "turn": id, "digest": turn.digest, "result": turn.result }));
                }
                "closing" => "finished".clone_into(&mut turn.state),
                "opened" => "interrupted".clone_into(&mut turn.state),
                _ => {}
            }
        }
        Ok(json!({ "closing": closing }))
    }
}

fn twin_of(first: &str, twin: &Turn, opening: &Value) -> Answer {
    if twin.opening["idempotency"]["body"] != opening["idempotency"]["body"] {
        return Err(said(422, "idempotency_mismatch"));
    }
    let failed = |status: u16, error: Value| {
        Ok(json!({ "state": "failed", "turn": first, "status": status, "error": error }))
    };
    match (twin.state.as_str(), twin.result["status"].as_str().unwrap_or("")) {
        ("opened" | "closing", _) => Err(said(409, "turn_running")),
        ("interrupted", _) => failed(500, said(500, "turn_interrupted").1["error"].clone()),
        (_, "failed" | "interrupted") => {
            let status = twin.record["status"].as_u64().expect("a status");
            failed(u16::try_from(status).expect("a status"), twin.record["error"].clone())
        }
        (_, "cancelled") => failed(409, said(409, "turn_cancelled").1["error"].clone()),
        _ => Ok(json!({ "state": "finished", "turn": first, "status": "finished",
                        "answer": twin.record, "stream": twin.opening["stream"] })),
    }
}
