//! How HTTP/1.1 is read: a head only when it is whole and plain, body bytes only as the head declared them. A
//! head that is not gets an error answer, through a head of our own that names the fault.
use super::guard::{Rules, Vitals};
use crate::errors::{self, Code};
use crate::frame::{self, Bad, Length};
use crate::limits;

/// The target of the head that stands for a head that was refused.
pub const FAULT_TARGET: &str = "/.fault";
const FAULT_HEAD: &[u8] = b"GET /.fault HTTP/1.1\r\nhost: fault\r\nconnection: close\r\n\r\n";

/// Where the reading of a connection is.
#[derive(Default)]
pub struct Heads {
    /// The body that the last head declared; none where a head comes next.
    body: Option<Length>,
    /// Bytes already searched for the head's end.
    searched: usize,
}

impl Rules for Heads {
    fn classify(&mut self, raw: &[u8], vitals: &Vitals, now: u64) -> Result<usize, &'static Code> {
        let (pass, ended) = match &mut self.body {
            None => return self.head(raw, vitals, now),
            Some(Length::Known(left)) => {
                let pass = raw.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= pass as u64;
                (pass, *left == 0)
            }
            Some(Length::Chunked(chunked)) => chunked_span(chunked, raw)?,
            // `frame::declared` gives it to no request.
            Some(Length::UntilClose) => return Err(&errors::BAD_BODY),
        };
        if ended {
            self.body = None;
        }
        Ok(pass)
    }

    fn instead(&self) -> Option<&'static [u8]> {
        self.body.is_none().then_some(FAULT_HEAD)
    }
}

impl Heads {
    fn head(&mut self, raw: &[u8], vitals: &Vitals, now: u64) -> Result<usize, &'static Code> {
        vitals.head_begins(now);
        let end = frame::head_end(raw, self.searched).map_err(|_| &errors::BAD_HEAD)?;
        self.searched = raw.len();
        let Some(end) = end else {
            return if raw.len() > limits::HEAD_BYTES { Err(&errors::HEAD_TOO_LARGE) } else { Ok(0) };
        };
        if end > limits::HEAD_BYTES {
            return Err(&errors::HEAD_TOO_LARGE);
        }
        self.body = check_head(&raw[..end])?.filter(|length| !matches!(length, Length::Known(0)));
        vitals.whole();
        vitals.spoken(now);
        self.searched = 0;
        Ok(end)
    }
}

/// The whole chunks' span at the front of `raw`, and whether the body ends with it.
fn chunked_span(chunked: &mut frame::Chunked, raw: &[u8]) -> Result<(usize, bool), &'static Code> {
    let mut at = 0;
    while at < raw.len() && !chunked.ended() {
        let (skip, take) = chunked.piece(&raw[at..]).map_err(|Bad(_)| &errors::BAD_BODY)?;
        at += skip + take;
    }
    Ok((at, chunked.ended()))
}

/// Checks a whole head: one Host, one length, plain names, bounded target. Gives the body's length.
fn check_head(head: &[u8]) -> Result<Option<Length>, &'static Code> {
    let mut fields = [httparse::EMPTY_HEADER; limits::HEAD_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(&errors::HEAD_TOO_LARGE),
        _ => return Err(&errors::BAD_HEAD),
    }
    if request.path.unwrap_or("").len() > limits::TARGET_BYTES {
        return Err(&errors::TARGET_TOO_LONG);
    }
    let hosts = request.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("host")).count();
    let plain = request.headers.iter().all(|f| !f.name.contains('_') && !f.value.contains(&b'\r'));
    if !plain || hosts > 1 || (hosts == 0 && request.version == Some(1)) {
        return Err(&errors::BAD_HEAD);
    }
    frame::declared(request.headers.iter().map(|f| (f.name, f.value))).map_err(|Bad(_)| &errors::BAD_HEAD)
}
