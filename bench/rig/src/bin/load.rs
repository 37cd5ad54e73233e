//! The load generator. Closed loop: N connections, each asks again as soon as it is answered. Open
//! loop: requests start at a fixed rate whatever happens, and latency counts from that start.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dragoman_bench::check::{self, Lanes};
use dragoman_bench::client::{Connection, Seen};
use dragoman_bench::request::{Prepared, Template, own_path};
use dragoman_bench::samples::Samples;
use dragoman_bench::{net, os, tls};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::LocalSet;

const EXAMPLE: &str = r#"load '{"address": "127.0.0.1:9200", "model": "s100", "stream": true, "connections": 8, "seconds": 3}'"#;
/// Of the answers in a run without a phrase, one in this many is fully decoded.
const DECODE_EVERY: u64 = 64;
/// How long the open loop waits for answers after its last arrival.
const DRAIN: Duration = Duration::from_secs(10);
/// Bytes of the first failing answer that are reported.
const SAMPLE_BYTES: usize = 400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    address: SocketAddr,
    #[serde(default)]
    tls: Option<tls::Pair>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default = "chat")]
    path: String,
    /// A file with one path a line instead: each connection has its own of them and asks them in turn.
    #[serde(default)]
    paths: Option<String>,
    model: String,
    #[serde(default)]
    stream: bool,
    connections: usize,
    seconds: f64,
    /// Requests a second; absent: closed loop.
    #[serde(default)]
    rate: Option<f64>,
    /// Requests each connection makes at most (closed loop).
    #[serde(default)]
    each: Option<u64>,
    /// Connections opened a second; absent: all at once.
    #[serde(default)]
    ramp: Option<f64>,
    /// Requests each connection makes before the run counts.
    #[serde(default)]
    warm: u64,
    /// Print `ready` after warming and wait for a line on stdin.
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    history_bytes: usize,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// A file with one end-user token a line, and the header that carries it.
    #[serde(default)]
    tokens: Option<(String, String)>,
    /// Characters of text a whole answer has at least.
    #[serde(default)]
    expect_chars: usize,
    /// Count how much of this any lane delivers; then completeness is reported, not required.
    #[serde(default)]
    phrase: Option<String>,
    /// Take 429 and 503 with Retry-After and an error object for what they are, not for faults.
    #[serde(default)]
    refusals: bool,
    #[serde(default = "minute")]
    timeout_ms: u64,
}

fn chat() -> String {
    "/v1/chat/completions".to_owned()
}

fn minute() -> u64 {
    60_000
}

#[derive(Default)]
struct Totals {
    answered: u64,
    incomplete: u64,
    decoded: u64,
    bytes: u64,
    errors: BTreeMap<String, u64>,
    error_sample: Option<String>,
    first_byte: Samples,
    first_token: Samples,
    total: Samples,
    refused: Samples,
    gap: Samples,
    late: Samples,
    last: Option<Instant>,
    leaks: u64,
    leaked_most: usize,
    leaked_all: u64,
    leaked_elsewhere: usize,
    least_chars: Option<usize>,
}

struct Run {
    config: Config,
    /// One for each path.
    prepared: Vec<Prepared>,
    tokens: Vec<String>,
    number: RefCell<u64>,
    totals: RefCell<Totals>,
    counting: RefCell<bool>,
}

/// What one connection asks by, and which of its paths is next.
#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    out: Vec<u8>,
    number: usize,
    asked: usize,
}

/// Whether an answer says as it should that nothing was done: when to ask again, and an error object.
fn refuses(seen: &Seen, body: &[u8]) -> bool {
    let code = || serde_json::from_slice::<Value>(body).is_ok_and(|said| said["error"]["code"].is_string());
    matches!(seen.status, 429 | 503) && seen.retry_after && code()
}

impl Run {
    fn failed(&self, kind: &str, sample: &[u8]) {
        let mut totals = self.totals.borrow_mut();
        *totals.errors.entry(kind.to_owned()).or_default() += 1;
        if totals.error_sample.is_none() {
            let cut = &sample[..sample.len().min(SAMPLE_BYTES)];
            totals.error_sample = Some(String::from_utf8_lossy(cut).into_owned());
        }
    }

    /// One request on a connection; opens it first where needed, drops it when it cannot be reused.
    async fn ask(&self, line: &mut Line, intended: Option<Instant>) {
        let limit = Duration::from_millis(self.config.timeout_ms);
        if let Ok(done) = tokio::time::timeout(limit, self.exchange(line, intended)).await {
            if let Err(error) = done {
                line.connection = None;
                self.failed(&format!("io: {error}"), &[]);
            }
        } else {
            line.connection = None;
            self.failed("timeout", &[]);
        }
    }

    async fn exchange(&self, line: &mut Line, intended: Option<Instant>) -> std::io::Result<()> {
        let n = {
            let mut number = self.number.borrow_mut();
            *number += 1;
            *number
        };
        let token = (!self.tokens.is_empty()).then(|| self.tokens[n as usize % self.tokens.len()].as_str());
        let path = own_path(self.prepared.len(), self.config.connections, line.number, line.asked);
        line.asked += 1;
        self.prepared[path].write(n, token, &mut line.out);
        if line.connection.is_none() {
            line.connection = Some(Connection::open(self.config.address).await?);
        }
        let Some(connection) = line.connection.as_mut() else {
            return Ok(());
        };
        let sent = Instant::now();
        let counting = *self.counting.borrow();
        let gap = |d| {
            if counting {
                self.totals.borrow_mut().gap.add(d);
            }
        };
        let seen = connection.exchange(&line.out, gap).await?;
        if counting {
            self.count(&seen, &connection.body, intended.unwrap_or(sent), sent);
        } else if seen.status != 200 {
            self.failed(&format!("status {} while warming", seen.status), &connection.body);
        }
        if !seen.keep {
            line.connection = None;
        }
        Ok(())
    }

    fn count(&self, seen: &Seen, body: &[u8], start: Instant, sent: Instant) {
        if self.config.refusals && refuses(seen, body) {
            self.totals.borrow_mut().refused.add(seen.done - start);
            return;
        }
        if seen.status != 200 && self.config.phrase.is_none() {
            self.failed(&format!("status {}", seen.status), body);
            return;
        }
        if seen.cut && self.config.phrase.is_none() {
            return self.failed("cut short", &body[body.len().saturating_sub(SAMPLE_BYTES)..]);
        }
        let decoded = match self.decode(body, seen.cut) {
            Ok(decoded) => decoded,
            Err(error) => return self.failed("not JSON", error.as_bytes()),
        };
        let complete = check::looks_complete(body, self.config.stream)
            && decoded.as_ref().is_none_or(|l| check::text_chars(l) >= self.config.expect_chars);
        if !complete && self.config.phrase.is_none() {
            return self.failed("incomplete", &body[body.len().saturating_sub(SAMPLE_BYTES)..]);
        }
        let mut totals = self.totals.borrow_mut();
        totals.answered += 1;
        totals.incomplete += u64::from(!complete);
        totals.bytes += seen.wire_bytes as u64;
        totals.first_byte.add(seen.first_byte - start);
        if let Some(token) = seen.first_token {
            totals.first_token.add(token - start);
        }
        totals.total.add(seen.done - start);
        totals.late.add(sent - start);
        totals.last = Some(seen.done);
        if let Some(lanes) = &decoded {
            totals.decoded += 1;
            let chars = check::text_chars(lanes);
            totals.least_chars = Some(totals.least_chars.map_or(chars, |least| least.min(chars)));
            if let Some(phrase) = &self.config.phrase {
                let leaked = check::forbidden_chars(lanes, phrase, true);
                totals.leaked_elsewhere =
                    totals.leaked_elsewhere.max(check::forbidden_chars(lanes, phrase, false));
                totals.leaks += u64::from(leaked > 0);
                totals.leaked_most = totals.leaked_most.max(leaked);
                totals.leaked_all += leaked as u64;
            }
        }
    }

    fn decode(&self, mut body: &[u8], cut: bool) -> Result<Option<Lanes>, String> {
        let every = self.config.phrase.is_some();
        if !every && self.totals.borrow().answered % DECODE_EVERY != 0 {
            return Ok(None);
        }
        if cut {
            // Only whole frames were delivered to a client that reads frames.
            body = &body[..memchr::memmem::rfind(body, b"\n\n").map_or(0, |at| at + 2)];
        }
        // A refusal is not streamed even where a stream was asked for.
        let stream = self.config.stream && !body.trim_ascii_start().starts_with(b"{");
        check::lanes(body, stream).map(Some)
    }

    fn report(&self, started: Instant) -> Value {
        let totals = self.totals.take();
        let seconds = totals.last.map_or(0.0, |last| (last - started).as_secs_f64());
        let errors: u64 = totals.errors.values().sum();
        json!({
            "answered": totals.answered, "errors": errors, "error_kinds": totals.errors,
            "error_sample": totals.error_sample, "incomplete": totals.incomplete, "bytes": totals.bytes,
            "seconds": seconds, "per_second": if seconds > 0.0 { totals.answered as f64 / seconds } else { 0.0 },
            "first_byte_ms": totals.first_byte.quantiles(), "first_token_ms": totals.first_token.quantiles(),
            "total_ms": totals.total.quantiles(), "gap_ms": totals.gap.quantiles(),
            "refused_ms": totals.refused.quantiles(), "late_ms": totals.late.quantiles(), "decoded": totals.decoded, "least_chars": totals.least_chars,
            "leaks": {"answers": totals.leaks, "most": totals.leaked_most, "all": totals.leaked_all,
                "most_elsewhere": totals.leaked_elsewhere},
            "own_cpu_ms": os::own_cpu_ms(),
        })
    }
}

async fn warmed(run: Rc<Run>, number: usize, delay: Duration) -> Line {
    tokio::time::sleep(delay).await;
    let mut line = Line { number, ..Line::default() };
    for _ in 0..run.config.warm {
        run.ask(&mut line, None).await;
    }
    line
}

async fn warm_all(run: &Rc<Run>) -> Vec<Line> {
    let step = run.config.ramp.map_or(Duration::ZERO, |per_s| Duration::from_secs_f64(1.0 / per_s));
    let tasks: Vec<_> = (0..run.config.connections)
        .map(|i| tokio::task::spawn_local(warmed(run.clone(), i, step * i as u32)))
        .collect();
    let mut lines = Vec::with_capacity(tasks.len());
    for (number, task) in tasks.into_iter().enumerate() {
        lines.push(task.await.unwrap_or(Line { number, ..Line::default() }));
    }
    lines
}

async fn closed(run: &Rc<Run>, lines: Vec<Line>, started: Instant) {
    let until = started + Duration::from_secs_f64(run.config.seconds);
    let each = run.config.each.unwrap_or(u64::MAX);
    let cold_ramp = run.config.ramp.filter(|_| run.config.warm == 0);
    let step = cold_ramp.map_or(Duration::ZERO, |per_s| Duration::from_secs_f64(1.0 / per_s));
    let tasks: Vec<_> = lines
        .into_iter()
        .map(|mut line| {
            let run = run.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(step * line.number as u32).await;
                let mut made = 0;
                while made < each && Instant::now() < until {
                    run.ask(&mut line, None).await;
                    made += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        // A panicked task has counted nothing; the run's own numbers show the gap.
        let _panicked = task.await;
    }
}

/// Says on a thread of its own, with exact sleeps, when each request is due.
fn arrivals(rate: f64, started: Instant, seconds: f64) -> tokio::sync::mpsc::UnboundedReceiver<Instant> {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let count = (rate * seconds).floor() as u64;
    std::thread::spawn(move || {
        os::exact_sleeps();
        for n in 0..count {
            let due = started + Duration::from_secs_f64(n as f64 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if send.send(due).is_err() {
                return;
            }
        }
    });
    receive
}

async fn open(run: &Rc<Run>, lines: Vec<Line>, started: Instant, rate: f64) {
    let queue: Rc<RefCell<VecDeque<Instant>>> = Rc::default();
    let due = Rc::new(Notify::new());
    let busy = Rc::new(RefCell::new(0_usize));
    for mut line in lines {
        let (run, queue, due, busy) = (run.clone(), queue.clone(), due.clone(), busy.clone());
        tokio::task::spawn_local(async move {
            loop {
                let next = queue.borrow_mut().pop_front();
                let Some(intended) = next else {
                    due.notified().await;
                    continue;
                };
                *busy.borrow_mut() += 1;
                run.ask(&mut line, Some(intended)).await;
                *busy.borrow_mut() -= 1;
            }
        });
    }
    let mut arrivals = arrivals(rate, started, run.config.seconds);
    while let Some(intended) = arrivals.recv().await {
        queue.borrow_mut().push_back(intended);
        due.notify_one();
    }
    let until = Instant::now() + DRAIN;
    while (*busy.borrow() > 0 || !queue.borrow().is_empty()) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..*busy.borrow() + queue.borrow().len() {
        run.failed("not answered in time", &[]);
    }
}

async fn go(run: Rc<Run>) -> Value {
    let lines = warm_all(&run).await;
    if run.config.wait {
        println!("ready");
        let flushed = std::io::stdout().flush();
        let mut line = String::new();
        if flushed.is_err() || std::io::stdin().lock().read_line(&mut line).is_err() {
            return json!({"errors": 1, "error_kinds": {"control": 1}});
        }
    }
    *run.counting.borrow_mut() = true;
    let started = Instant::now();
    match run.config.rate {
        Some(rate) => open(&run, lines, started, rate).await,
        None => closed(&run, lines, started).await,
    }
    run.report(started)
}

fn read_lines(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let lines: Vec<String> = text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() { Err(format!("{path}: nothing in it")) } else { Ok(lines) }
}

/// The paths that are asked. Fewer than there are connections would be asked by two of them at once.
fn paths(config: &Config) -> Result<Vec<String>, String> {
    let Some(file) = &config.paths else { return Ok(vec![config.path.clone()]) };
    let found = read_lines(file)?;
    if found.len() < config.connections {
        return Err(format!("{file}: {} paths for {} connections", found.len(), config.connections));
    }
    Ok(found)
}

fn main() {
    os::raise_file_limit();
    let config: Config = net::config(EXAMPLE).unwrap_or_else(|e| net::give_up(&e));
    tls::set(config.tls.as_ref()).unwrap_or_else(|e| net::give_up(&e));
    let tokens = match &config.tokens {
        Some((path, _)) => read_lines(path).unwrap_or_else(|e| net::give_up(&e)),
        None => Vec::new(),
    };
    let host = config.host.clone().unwrap_or_else(|| config.address.to_string());
    let paths = paths(&config).unwrap_or_else(|e| net::give_up(&e));
    let template = |path| Template {
        host: &host,
        path,
        model: &config.model,
        stream: config.stream,
        history_bytes: config.history_bytes,
        headers: &config.headers,
        token_header: config.tokens.as_ref().map(|(_, header)| header.as_str()),
    };
    let prepared = paths.iter().map(|path| template(path).prepare()).collect();
    let run = Rc::new(Run {
        config,
        prepared,
        tokens,
        number: RefCell::default(),
        totals: RefCell::default(),
        counting: RefCell::default(),
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => net::give_up(&error.to_string()),
    };
    let report = LocalSet::new().block_on(&runtime, go(run));
    println!("{report}");
}
