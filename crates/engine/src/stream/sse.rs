//! Server-sent events out of byte chunks cut anywhere (WHATWG HTML 9.2.6), for the provider's side of a turn.
//! A frame that lies within one chunk is handed out without a copy; it never interprets what is in a frame.

use memchr::memchr2;

/// A frame or line longer than the limit; the stream cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTooLong;

/// One thing the stream said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The data of one frame: its `data` lines joined by a line feed.
    Data(&'a [u8]),
    /// A comment line, the usual keep-alive.
    Comment,
}

/// The state between chunks. `limit` bounds the bytes of one frame and of one line.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // four independent facts of the grammar
pub struct Splitter {
    limit: usize,
    /// The unfinished line of the chunks before.
    line: Vec<u8>,
    /// The data lines of the unfinished frame, if they could not stay in the chunk.
    data: Vec<u8>,
    /// The data of the frame handed out last lies in `data` and is cleared before the next line.
    spent: bool,
    has_data: bool,
    /// The last line ended with a carriage return at the very end of a chunk.
    skip_line_feed: bool,
    first_line: bool,
}

impl Splitter {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            spent: false,
            has_data: false,
            skip_line_feed: false,
            first_line: true,
        }
    }

    /// The events that end within `chunk`; drain it until `None`, what remains is kept for the next chunk.
    pub fn feed<'s, 'c>(&'s mut self, chunk: &'c [u8]) -> Feed<'s, 'c> {
        Feed { splitter: self, chunk, pos: 0, lone: None }
    }

    /// The end of the bytes. A frame without its blank line is handed out too: whoever reads decides whether
    /// an unterminated frame may count (`[DONE]` does, text does not).
    pub fn finish(&mut self) -> Option<&[u8]> {
        self.clear_spent();
        let line = std::mem::take(&mut self.line);
        if let Some(value) = data_value(strip_mark(&line, self.first_line)) {
            self.join(value);
        }
        let had = self.has_data;
        self.has_data = false;
        self.spent = true;
        had.then_some(self.data.as_slice())
    }

    fn clear_spent(&mut self) {
        if self.spent {
            self.data.clear();
            self.spent = false;
        }
    }

    fn join(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
    }
}

/// The events of one chunk, one at a time.
pub struct Feed<'s, 'c> {
    splitter: &'s mut Splitter,
    chunk: &'c [u8],
    pos: usize,
    /// The only data line of the current frame so far, as a range of `chunk`.
    lone: Option<(usize, usize)>,
}

enum Line {
    Blank,
    Comment,
    Other,
}

impl Feed<'_, '_> {
    /// The next event, or `None` when the chunk is used up.
    #[allow(clippy::should_implement_trait)] // it lends from the splitter, which `Iterator` cannot
    pub fn next(&mut self) -> Result<Option<Event<'_>>, FrameTooLong> {
        self.splitter.clear_spent();
        loop {
            if self.splitter.skip_line_feed && self.pos < self.chunk.len() {
                self.splitter.skip_line_feed = false;
                if self.chunk[self.pos] == b'\n' {
                    self.pos += 1;
                }
            }
            let rest = &self.chunk[self.pos..];
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                self.keep_rest()?;
                return Ok(None);
            };
            let (start, end) = (self.pos, self.pos + length);
            self.pass_line_end(end);
            match self.take_line(start, end)? {
                Line::Comment => return Ok(Some(Event::Comment)),
                Line::Other => {}
                Line::Blank => {
                    if let Some((from, to)) = self.lone.take() {
                        return Ok(Some(Event::Data(&self.chunk[from..to])));
                    }
                    if std::mem::take(&mut self.splitter.has_data) {
                        self.splitter.spent = true;
                        return Ok(Some(Event::Data(&self.splitter.data)));
                    }
                }
            }
        }
    }

    fn pass_line_end(&mut self, end: usize) {
        self.pos = end + 1;
        if self.chunk[end] == b'\r' {
            match self.chunk.get(end + 1) {
                Some(b'\n') => self.pos += 1,
                Some(_) => {}
                None => self.splitter.skip_line_feed = true,
            }
        }
    }

    fn take_line(&mut self, start: usize, end: usize) -> Result<Line, FrameTooLong> {
        let splitter = &mut *self.splitter;
        if !splitter.line.is_empty() {
            if splitter.line.len() + (end - start) > splitter.limit {
                return Err(FrameTooLong);
            }
            splitter.line.extend_from_slice(&self.chunk[start..end]);
            let line = std::mem::take(&mut splitter.line);
            let text = strip_mark(&line, std::mem::take(&mut splitter.first_line));
            let kind = if text.is_empty() {
                Line::Blank
            } else if text[0] == b':' {
                Line::Comment
            } else {
                if let Some(value) = data_value(text) {
                    self.keep_lone()?;
                    self.add(value)?;
                }
                Line::Other
            };
            self.splitter.line = line;
            self.splitter.line.clear();
            return Ok(kind);
        }
        let line = &self.chunk[start..end];
        let text = strip_mark(line, std::mem::take(&mut splitter.first_line));
        if text.is_empty() {
            return Ok(Line::Blank);
        }
        if text[0] == b':' {
            return Ok(Line::Comment);
        }
        if let Some(value) = data_value(text) {
            if value.len() > splitter.limit {
                return Err(FrameTooLong);
            }
            if self.lone.is_none() && !splitter.has_data {
                self.lone = Some((end - value.len(), end));
            } else {
                self.keep_lone()?;
                self.add(value)?;
            }
        }
        Ok(Line::Other)
    }

    fn add(&mut self, value: &[u8]) -> Result<(), FrameTooLong> {
        if self.splitter.data.len() + value.len() > self.splitter.limit {
            return Err(FrameTooLong);
        }
        self.splitter.join(value);
        Ok(())
    }

    /// Moves a data line that was still only a range of the chunk into the frame's own buffer.
    fn keep_lone(&mut self) -> Result<(), FrameTooLong> {
        if let Some((from, to)) = self.lone.take() {
            let chunk = self.chunk;
            self.add(&chunk[from..to])?;
        }
        Ok(())
    }

    fn keep_rest(&mut self) -> Result<(), FrameTooLong> {
        self.keep_lone()?;
        let rest = &self.chunk[self.pos..];
        if self.splitter.line.len() + rest.len() > self.splitter.limit {
            return Err(FrameTooLong);
        }
        self.splitter.line.extend_from_slice(rest);
        self.pos = self.chunk.len();
        Ok(())
    }
}

fn strip_mark(line: &[u8], first: bool) -> &[u8] {
    if first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
}

fn data_value(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}
