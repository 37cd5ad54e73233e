//! A small blocking client that sends exactly the bytes a test writes.
use super::wait::SLOW;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// An answer as it was read.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body ended as its framing says.
    pub whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or("").to_owned()
    }

    /// The frames of an event stream, `[DONE]` as a string.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let data = self.body.lines().filter_map(|l| l.strip_prefix("data: "));
        data.map(|d| serde_json::from_str(d).unwrap_or_else(|_| d.into())).collect()
    }

    /// The content of the first choice, streamed or not.
    pub fn text(&self) -> String {
        if self.header("content-type").is_some_and(|t| t.starts_with("text/event-stream")) {
            let events = self.events();
            events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect()
        } else {
            self.json()["choices"][0]["message"]["content"].as_str().unwrap_or("").to_owned()
        }
    }

    /// The stream said that the answer is complete.
    pub fn is_complete(&self) -> bool {
        let events = self.events();
        events.iter().any(|e| e == "[DONE]")
            || events.iter().any(|e| e["choices"][0]["finish_reason"].is_string())
    }
}

/// An open connection to the relay.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
    port: u16,
}

impl Client {
    pub fn open(port: u16) -> Self {
        Self::over(TcpStream::connect(("127.0.0.1", port)).expect("the relay listens"), port)
    }

    /// Over a connection of the test's own.
    pub fn over(stream: TcpStream, port: u16) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(SLOW)).expect("a timeout");
        let reader = BufReader::new(stream.try_clone().expect("a clone"));
        Self { stream, reader, port }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// The head of a request, `more` lines in it, each ended by CRLF.
    pub fn head(&self, method: &str, path: &str, more: &str, length: usize) -> String {
        let length = if method == "GET" { String::new() } else { format!("content-length: {length}\r\n") };
        format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n{more}{length}\r\n", self.port)
    }

    pub fn send(&mut self, method: &str, path: &str, more: &str, body: &str) {
        let head = self.head(method, path, more, body.len());
        self.raw(&[head.as_bytes(), body.as_bytes()].concat());
    }

    /// A turn with a key.
    pub fn chat(&mut self, body: &serde_json::Value) -> Answer {
        self.post("/v1/chat/completions", body)
    }

    pub fn post(&mut self, path: &str, body: &serde_json::Value) -> Answer {
        self.send("POST", path, "authorization: Bearer k1\r\n", &body.to_string());
        self.read().expect("an answer")
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "");
        self.read().expect("an answer")
    }

    /// Reads an answer to its end, or to where it breaks off.
    pub fn read(&mut self) -> io::Result<Answer> {
        let mut answer = self.read_head()?;
        let length = answer.header("content-length").and_then(|l| l.parse::<usize>().ok());
        if let Some(length) = length {
            let mut body = vec![0; length];
            self.reader.read_exact(&mut body)?;
            answer.body = String::from_utf8_lossy(&body).into_owned();
            answer.whole = true;
            return Ok(answer);
        }
        while let Some(chunk) = self.read_chunk()? {
            if chunk.is_empty() {
                answer.whole = true;
                break;
            }
            answer.body.push_str(&String::from_utf8_lossy(&chunk));
        }
        Ok(answer)
    }

    pub fn read_head(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut answer = Answer {
            status: line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
            ..Answer::default()
        };
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(answer) };
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// One HTTP chunk; empty at the end, nothing when the connection broke.
    pub fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut size = String::new();
        if self.reader.read_line(&mut size)? == 0 {
            return Ok(None);
        }
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok(Some(chunk))
    }
}
