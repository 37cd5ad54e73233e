//! A provider that plays a script per call: bytes as they are, pauses, resets. It keeps what it was sent.
use super::http::{self, Seen};
use super::wait::eventually;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Sleep(u64),
    /// Wait until the flag is set, at most `SLOW`.
    Gate(Arc<AtomicBool>),
    /// Close with a reset.
    Reset,
    /// Keep the connection and say nothing more, until the peer leaves.
    Hang,
}

type Script = Arc<dyn Fn(&Seen) -> Vec<Step> + Send + Sync>;

/// A running fake provider.
#[derive(Clone)]
pub struct Provider {
    pub port: u16,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// When the peer left a call that hung, with the bytes it had taken.
    pub left: Arc<Mutex<Vec<Instant>>>,
    pub connections: Arc<Mutex<usize>>,
    script: Arc<Mutex<Script>>,
}

/// A whole chat answer with `text`.
pub fn whole(text: &str) -> String {
    serde_json::json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    .to_string()
}

/// One frame of a streamed chat answer.
pub fn frame(delta: &serde_json::Value, finish: Option<&str>) -> String {
    let choice = serde_json::json!({"index": 0, "delta": delta, "finish_reason": finish});
    let frame = serde_json::json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [choice]});
    format!("data: {frame}\n\n")
}

/// A whole streamed chat answer, a frame for each of `pieces`.
pub fn frames(pieces: &[&str]) -> Vec<String> {
    let mut frames = vec![frame(&serde_json::json!({"role": "assistant", "content": ""}), None)];
    frames.extend(pieces.iter().map(|p| frame(&serde_json::json!({ "content": p }), None)));
    frames.push(frame(&serde_json::json!({}), Some("stop")));
    frames.push("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
                 \"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n"
        .to_owned());
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

/// The head of a chunked event stream.
pub const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// `text` as one HTTP chunk.
pub fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Steps that stream `pieces`, `ms` apart.
pub fn stream(pieces: &[&str], ms: u64) -> Vec<Step> {
    let mut steps = vec![Step::Send(STREAM_HEAD.into())];
    for frame in frames(pieces) {
        steps.push(Step::Send(chunk(&frame)));
        if ms > 0 {
            steps.push(Step::Sleep(ms));
        }
    }
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// Steps that answer whole.
pub fn answer(status: u16, media: &str, body: &str) -> Vec<Step> {
    let mut out = Vec::new();
    http::write(&mut out, status, media, body.as_bytes()).expect("memory");
    vec![Step::Send(out)]
}

impl Provider {
    /// Starts one that answers with `text`, streamed or not as asked.
    pub fn start(text: &'static str) -> Self {
        Self::scripted(move |seen| {
            if seen.json()["stream"] == true {
                stream(&[text], 0)
            } else {
                answer(200, "application/json", &whole(text))
            }
        })
    }

    pub fn scripted(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let provider = Self {
            port: listener.local_addr().expect("an address").port(),
            seen: Arc::default(),
            left: Arc::default(),
            connections: Arc::default(),
            script: Arc::new(Mutex::new(Arc::new(script))),
        };
        let served = provider.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *served.connections.lock().unwrap() += 1;
                let served = served.clone();
                thread::spawn(move || served.serve(stream));
            }
        });
        provider
    }

    /// Plays another script from the next call on.
    pub fn play(&self, script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).expect("nodelay");
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut writer = stream;
        while let Ok(Some(seen)) = http::read(&mut reader) {
            self.seen.lock().unwrap().push(seen.clone());
            let script = Arc::clone(&self.script.lock().unwrap());
            for step in script(&seen) {
                if !self.step(step, &mut writer) {
                    return;
                }
            }
        }
    }

    fn step(&self, step: Step, writer: &mut TcpStream) -> bool {
        let going = match step {
            Step::Send(bytes) => writer.write_all(&bytes).is_ok(),
            Step::Sleep(ms) => {
                thread::sleep(Duration::from_millis(ms));
                true
            }
            Step::Gate(open) => {
                eventually("the test opens the gate", || open.load(Ordering::SeqCst));
                true
            }
            Step::Reset => {
                let socket = socket2::SockRef::from(&*writer);
                drop(socket.set_linger(Some(Duration::ZERO)));
                return false;
            }
            Step::Hang => {
                let mut rest = [0; 64];
                while writer.read(&mut rest).is_ok_and(|n| n > 0) {}
                false
            }
        };
        if !going {
            self.left.lock().unwrap().push(Instant::now());
        }
        going
    }
}
