//! HTTP/1.1 framing, strict: heads checked as a whole, chunked bodies decoded in place. Shared by the
//! public edge (before hyper) and by the provider client. What is unclear is refused, never guessed.
use crate::limits;

/// A framing that no correct peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad(pub &'static str);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Size,
    /// The CR of the size line was read.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    Trailer,
    TrailerLine,
    /// The CR of a line was read; the flag says whether the line was empty.
    TrailerLf(bool),
    End,
}

/// Decoder of a chunked body: no extensions, size lines of at most 16 bytes, bounded trailers.
#[derive(Debug, Default)]
pub struct Chunked {
    phase: Phase,
    left: u64,
    line: usize,
    trailer: usize,
}

impl Chunked {
    pub fn ended(&self) -> bool {
        self.phase == Phase::End
    }

    /// Reads framing and payload from `input` up to the next piece of payload.
    /// Gives how many bytes of framing were passed and how many bytes of payload follow them.
    pub fn piece(&mut self, input: &[u8]) -> Result<(usize, usize), Bad> {
        let mut at = 0;
        while at < input.len() && self.phase != Phase::End {
            if self.phase == Phase::Data {
                let take = (input.len() - at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= take as u64;
                if self.left == 0 {
                    self.phase = Phase::DataCr;
                }
                return Ok((at, take));
            }
            self.framing(input[at])?;
            at += 1;
        }
        Ok((at, 0))
    }

    fn framing(&mut self, byte: u8) -> Result<(), Bad> {
        self.phase = match (self.phase, byte) {
            (Phase::Size, b'\r') if self.line > 0 => Phase::SizeLf,
            (Phase::Size, _) => {
                let digit = (byte as char).to_digit(16).ok_or(Bad("chunk size"))?;
                self.line += 1;
                if self.line > limits::CHUNK_LINE_BYTES || self.left >> 60 != 0 {
                    return Err(Bad("chunk size line too long"));
                }
                self.left = self.left << 4 | u64::from(digit);
                Phase::Size
            }
            (Phase::SizeLf, b'\n') => {
                self.line = 0;
                if self.left == 0 { Phase::Trailer } else { Phase::Data }
            }
            (Phase::DataCr, b'\r') => Phase::DataLf,
            (Phase::DataLf, b'\n') => Phase::Size,
            (Phase::Trailer, b'\r') => Phase::TrailerLf(true),
            (Phase::TrailerLine, b'\r') => Phase::TrailerLf(false),
            (Phase::TrailerLf(true), b'\n') => Phase::End,
            (Phase::TrailerLf(false), b'\n') => Phase::Trailer,
            (Phase::Trailer | Phase::TrailerLine, b) if b != b'\n' && b != 0 => {
                self.trailer += 1;
                if self.trailer > limits::TRAILER_BYTES {
                    return Err(Bad("trailers too long"));
                }
                Phase::TrailerLine
            }
            _ => return Err(Bad("chunk framing")),
        };
        Ok(())
    }

    /// Decodes `buffer[..len]` in place: the payload is moved to its front.
    /// Gives the payload's length and how many bytes after the end of the body were left over.
    pub fn compact(&mut self, buffer: &mut [u8], len: usize) -> Result<(usize, usize), Bad> {
        let (mut read, mut written) = (0, 0);
        while read < len && self.phase != Phase::End {
            let (skip, take) = self.piece(&buffer[read..len])?;
            read += skip;
            if take > 0 {
                buffer.copy_within(read..read + take, written);
                read += take;
                written += take;
            }
        }
        Ok((written, len - read))
    }
}

/// How long a body is.
#[derive(Debug)]
pub enum Length {
    Known(u64),
    Chunked(Chunked),
    /// A response that ends with its connection.
    UntilClose,
}

/// The length that the fields of a head declare. Two lengths, a length beside an encoding, or any
/// encoding but `chunked` are refused: that is what request smuggling is made of.
pub fn declared<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Option<Length>, Bad> {
    let mut found = None;
    for (name, value) in fields {
        let length = if name.eq_ignore_ascii_case("content-length") {
            if value.is_empty() || value.len() > 15 || !value.iter().all(u8::is_ascii_digit) {
                return Err(Bad("content-length"));
            }
            Length::Known(value.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Bad("transfer-encoding"));
            }
            Length::Chunked(Chunked::default())
        } else {
            continue;
        };
        if found.replace(length).is_some() {
            return Err(Bad("two body lengths"));
        }
    }
    Ok(found)
}

/// Where the head ends (after its empty line), when it is there. A bare LF or a bare CR is refused.
pub fn head_end(bytes: &[u8], from: usize) -> Result<Option<usize>, Bad> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
        let lf = at + found;
        if lf == 0 || bytes[lf - 1] != b'\r' {
            return Err(Bad("bare line feed"));
        }
        if lf >= 3 && bytes[lf - 3..lf - 1] == *b"\r\n" {
            return Ok(Some(lf + 1));
        }
        at = lf + 1;
    }
    Ok(None)
}
