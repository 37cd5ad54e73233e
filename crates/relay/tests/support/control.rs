//! A control that answers with the golden messages of `tests/wire/v1`, adjusted by the test.
use super::http::{self, Seen};
use super::turns::Turns;
use super::wait::{SLOW, eventually};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::BufReader;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A golden message.
pub fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/v1").join(name);
    serde_json::from_slice(&std::fs::read(&path).expect("a golden file")).expect("JSON")
}

/// What the fake answers, and what it saw.
pub struct State {
    pub principal: Mutex<Result<Value, (u16, Value)>>,
    pub plan: Mutex<Result<Value, (u16, Value)>>,
    /// By model name, before `plan`.
    pub plans: Mutex<HashMap<String, Value>>,
    pub rulesets: Mutex<HashMap<String, Value>>,
    pub config: Mutex<String>,
    pub seen: Mutex<Vec<Seen>>,
    pub interventions: Mutex<Vec<Value>>,
    pub entries: Mutex<Vec<Value>>,
    changes: Mutex<Vec<Value>>,
    news: Condvar,
    /// The newest change a relay has asked beyond.
    heard: AtomicUsize,
    /// Answers nothing while set: a relay that is cut off.
    pub silent: AtomicBool,
    pub refuse_interventions: AtomicBool,
    pub turns: Turns,
}

/// A running fake control.
#[derive(Clone)]
pub struct Control(pub Arc<State>);

fn set_digest(document: &Value) -> String {
    dragoman_relay::record::digest_of(document)
}

impl Control {
    /// Listens on `plan.sock` and `pages.sock` in `run`.
    pub fn start(run: &Path) -> Self {
        let mut principal = golden("principal.response.json");
        principal["expires"] = json!(4_000_000_000_000_u64);
        let empty = golden("ruleset.empty.response.json");
        let state = Arc::new(State {
            principal: Mutex::new(Ok(principal)),
            plan: Mutex::new(Ok(Value::Null)),
            plans: Mutex::default(),
            rulesets: Mutex::new(HashMap::from([(set_digest(&empty), empty.clone())])),
            config: Mutex::default(),
            seen: Mutex::default(),
            interventions: Mutex::default(),
            entries: Mutex::default(),
            changes: Mutex::default(),
            news: Condvar::new(),
            heard: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            refuse_interventions: AtomicBool::new(false),
            turns: Turns::default(),
        });
        let control = Self(state);
        control.set_plan(Self::allow(&[("local", "dragoman-local")], &set_digest(&empty)));
        control.listen(&run.join("plan.sock"), Self::answer);
        control.listen(&run.join("pages.sock"), Self::page);
        control
    }

    /// A plan that allows `attempts` under one rule set for both directions.
    pub fn allow(attempts: &[(&str, &str)], rules: &str) -> Value {
        let mut plan = golden("plan.response.allow.json");
        plan["attempts"] =
            attempts.iter().map(|(p, m)| json!({"provider": p, "model": m})).collect::<Vec<_>>().into();
        plan["rules_in"] = rules.into();
        plan["rules_out"] = rules.into();
        plan["labels"] = json!([]);
        plan["notices"] = json!([]);
        plan["must"] = json!([]);
        plan["budgets"] = json!([]);
        plan["rates"] = json!([]);
        plan["limits"]["max_output_tokens"] = Value::Null;
        plan["holds_until"] = json!(4_000_000_000_000_u64);
        plan
    }

    /// Adds a rule set; gives its digest.
    pub fn add_rules(&self, rules: &Value) -> String {
        let document = json!({"v": 1, "rules": rules});
        let digest = set_digest(&document);
        self.0.rulesets.lock().unwrap().insert(digest.clone(), document);
        digest
    }

    pub fn set_plan(&self, plan: Value) {
        *self.0.plan.lock().unwrap() = Ok(plan);
    }

    /// Tells relays of a change.
    pub fn change(&self, tags: &[&str], effect: &str, notice: &Value) {
        let mut changes = self.0.changes.lock().unwrap();
        let seq = changes.len() + 1;
        changes.push(json!({"seq": seq, "tags": tags, "effect": effect, "notice": notice}));
        self.0.news.notify_all();
    }

    /// Until the relay has taken in every change told so far: it asks for what comes after them.
    pub fn wait_until_heard(&self) {
        let told = self.0.changes.lock().unwrap().len();
        eventually("the relay hears of the changes", || self.0.heard.load(Ordering::SeqCst) >= told);
    }

    /// How often `path` was asked.
    pub fn asked(&self, path: &str) -> usize {
        self.0.seen.lock().unwrap().iter().filter(|s| s.path == path).count()
    }

    /// The entries that were fed, once there are `n` of `kind`.
    pub fn fed(&self, kind: &str, n: usize) -> Vec<Value> {
        let until = Instant::now() + SLOW;
        while Instant::now() < until {
            let found: Vec<Value> =
                self.0.entries.lock().unwrap().iter().filter(|e| e["kind"] == kind).cloned().collect();
            if found.len() >= n {
                return found;
            }
            thread::sleep(Duration::from_millis(25));
        }
        panic!("{n} entries of kind {kind} were not fed: {:?}", self.0.entries.lock().unwrap());
    }

    fn listen(&self, path: &Path, answer: fn(&Self, &Seen, &mut UnixStream)) {
        let listener = UnixListener::bind(path).expect("a socket");
        let control = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let control = control.clone();
                thread::spawn(move || control.serve(stream, answer));
            }
        });
    }

    fn serve(&self, stream: UnixStream, answer: fn(&Self, &Seen, &mut UnixStream)) {
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut writer = stream;
        while let Ok(Some(seen)) = http::read(&mut reader) {
            while self.0.silent.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
            if !seen.path.starts_with("/changes") {
                self.0.seen.lock().unwrap().push(seen.clone());
            }
            answer(self, &seen, &mut writer);
        }
    }

    fn answer(&self, seen: &Seen, out: &mut UnixStream) {
        let path = seen.path.split('?').next().unwrap_or("");
        let answered = match path {
            "/principal" => self.0.principal.lock().unwrap().clone(),
            "/plan" => self.planned(seen),
            "/changes" => Ok(self.changes(seen)),
            "/interventions" => return self.store(seen, out),
            "/turns" => self.0.turns.open(seen),
            "/turns/recover" => self.0.turns.recover(seen),
            _ if path.starts_with("/turns/") => {
                match self.0.turns.outcome(path.split('/').nth(2).unwrap_or(""), seen) {
                    Ok(()) => return drop(std::io::Write::write_all(out, b"HTTP/1.1 204 X\r\n\r\n")),
                    Err(e) => Err(e),
                }
            }
            "/journal" => Ok(self.project(seen)),
            "/journal/cursor" => Ok(json!({"next": self.0.entries.lock().unwrap().len()})),
            "/provider/v1/chat/completions" => return Self::local(seen, out),
            _ => path
                .strip_prefix("/rulesets/")
                .and_then(|d| self.0.rulesets.lock().unwrap().get(d).cloned())
                .ok_or_else(|| (404, golden("error.response.json"))),
        };
        let (status, body) = answered.map_or_else(|(status, body)| (status, body), |body| (200, body));
        drop(http::write(out, status, "application/json", body.to_string().as_bytes()));
    }

    fn planned(&self, seen: &Seen) -> Result<Value, (u16, Value)> {
        let model = seen.json()["model"].as_str().unwrap_or("").to_owned();
        let plan = self.0.plans.lock().unwrap().get(&model).cloned();
        let mut plan = plan.map_or_else(|| self.0.plan.lock().unwrap().clone(), Ok)?;
        plan["config"] = self.0.config.lock().unwrap().as_str().into();
        Ok(plan)
    }

    fn changes(&self, seen: &Seen) -> Value {
        let after: usize = seen.path.rsplit('=').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        self.0.heard.fetch_max(after, Ordering::SeqCst);
        let changes = self.0.changes.lock().unwrap();
        let wait = Duration::from_millis(250);
        let (changes, _) = self.0.news.wait_timeout_while(changes, wait, |c| c.len() <= after).unwrap();
        json!({"seq": changes.len(), "changes": changes[after.min(changes.len())..],
               "rulesets": [], "config": *self.0.config.lock().unwrap(), "now": 0})
    }

    fn store(&self, seen: &Seen, out: &mut UnixStream) {
        if self.0.refuse_interventions.load(Ordering::SeqCst) {
            drop(http::write(out, 500, "application/json", b"{}"));
            return;
        }
        let list = seen.json()["interventions"].as_array().cloned().unwrap_or_default();
        self.0.interventions.lock().unwrap().extend(list);
        drop(std::io::Write::write_all(out, b"HTTP/1.1 204 X\r\n\r\n"));
    }

    fn project(&self, seen: &Seen) -> Value {
        let mut entries = self.0.entries.lock().unwrap();
        assert_eq!(seen.header("dragoman-first-index"), Some(entries.len().to_string().as_str()));
        for line in seen.body.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            dragoman_engine::ledger::check(line).expect("a canonical entry");
            entries.push(serde_json::from_slice(line).expect("JSON"));
        }
        json!({"next": entries.len()})
    }

    /// The `local` provider: echoes who asked.
    fn local(seen: &Seen, out: &mut UnixStream) {
        let text = format!("hello from {}", seen.header("dragoman-tenant").unwrap_or("nobody"));
        let body = super::provider::whole(&text);
        drop(http::write(out, 200, "application/json", body.as_bytes()));
    }

    /// A page that shows what it was sent.
    /// Says what came, with the status that the path may end in: `?status=404`.
    fn page(_: &Self, seen: &Seen, out: &mut UnixStream) {
        let status = seen.path.split_once("?status=").and_then(|(_, n)| n.parse().ok()).unwrap_or(200);
        let body = json!({"method": seen.method, "path": seen.path, "headers": seen.headers,
                          "length": seen.body.len()});
        drop(http::write(out, status, "application/json", body.to_string().as_bytes()));
    }
}
