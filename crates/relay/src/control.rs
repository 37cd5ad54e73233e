//! Questions to control over `plan.sock`: bounded in bytes and time, never retried by themselves.
use crate::config::Target;
use crate::errors::{self, ApiError};
use crate::limits;
use crate::provider::conn::{Call, CallError, Conn};
use crate::provider::pool::Pool;
use crate::wire::{WIRE, WireError};
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a question gets: an answer, control's own error, or no contact.
#[derive(Debug)]
pub enum AskError {
    /// Control answered with an error that the caller may read.
    Said(ApiError),
    /// No answer, or one that is not on the wire.
    Lost(String),
}

impl From<AskError> for ApiError {
    fn from(e: AskError) -> Self {
        match e {
            AskError::Said(error) => error,
            AskError::Lost(_) => (&errors::NO_CONTACT).into(),
        }
    }
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(e) => write!(f, "{} {}", e.status, e.code),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

/// A question: its method, path, extra header lines (each ended by CRLF), body and time.
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a str,
    pub body: &'a [u8],
    pub ms: u64,
}

impl<'a> Ask<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: "", body: b"", ms: limits::CONTROL_MS }
    }

    pub fn post(path: &'a str, body: &'a [u8]) -> Self {
        Self {
            method: "POST",
            path,
            headers: "content-type: application/json\r\n",
            body,
            ms: limits::CONTROL_MS,
        }
    }
}

/// One thread's connections to control.
pub struct Control {
    pool: Pool,
    name: Arc<str>,
    target: Target,
}

impl Control {
    pub fn new(run: &Path, tls: Arc<rustls::ClientConfig>) -> Self {
        let socket: PathBuf = run.join("plan.sock");
        Self { pool: Pool::new(tls), name: "plan.sock".into(), target: Target::Unix(socket) }
    }

    /// The body of a 2xx answer.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Vec<u8>, AskError> {
        let lost = |e: CallError| AskError::Lost(format!("{} {}: {e}", ask.method, ask.path));
        let answer = tokio::time::timeout(Duration::from_millis(ask.ms), Box::pin(self.exchange(ask))).await;
        let (status, body) = answer.unwrap_or(Err(CallError::Timeout("control"))).map_err(lost)?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        match serde_json::from_slice::<WireError>(&body) {
            Ok(said) if status >= 400 => Err(AskError::Said((status, said.error).into())),
            _ => {
                Err(AskError::Lost(format!("{} {}: status {status} without an error", ask.method, ask.path)))
            }
        }
    }

    /// The document of a 2xx answer.
    pub async fn ask_json<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, AskError> {
        let body = self.ask(ask).await?;
        serde_json::from_slice(&body).map_err(|e| AskError::Lost(format!("{} {}: {e}", ask.method, ask.path)))
    }

    async fn exchange(&self, ask: &Ask<'_>) -> Result<(u16, Vec<u8>), CallError> {
        let conn = self.pool.take(&self.name, &self.target).await?;
        let reused = conn.reused;
        match self.once(conn, ask).await {
            // Control closed an idle connection as we used it; a question changes nothing when asked twice.
            Err(CallError::Broken(_)) if reused => self.once(self.pool.fresh(&self.target).await?, ask).await,
            other => other,
        }
    }

    async fn once(&self, mut conn: Conn, ask: &Ask<'_>) -> Result<(u16, Vec<u8>), CallError> {
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: control\r\ndragoman-wire: {WIRE}\r\n{}content-length: {}\r\n\r\n",
            ask.method,
            ask.path,
            ask.headers,
            ask.body.len()
        );
        conn.send(head.as_bytes(), ask.body).await?;
        let mut call = Call::answered(conn).await?;
        let mut body = Vec::new();
        let mut scratch = vec![0; 8192];
        loop {
            let got = poll_fn(|cx| call.poll_body(cx, &mut scratch)).await?;
            if got == 0 {
                break;
            }
            body.extend_from_slice(&scratch[..got]);
            if body.len() > limits::CONTROL_BODY_BYTES {
                return Err(CallError::Garbage("body too long"));
            }
        }
        let status = call.head.status.as_u16();
        if let Some(conn) = call.into_reusable() {
            self.pool.give(&self.name, conn, crate::clock::boot_ms());
        }
        Ok((status, body))
    }

    pub fn tick(&self, now: u64) {
        self.pool.tick(now);
    }
}
