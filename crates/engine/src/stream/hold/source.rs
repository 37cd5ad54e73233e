//! Where symbols come from: positions in a lane's text, and the sources of the symbols still matched.

/// A place between two code points of a lane, counted from its start in both units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub chars: u64,
    pub bytes: u64,
}

impl Place {
    /// The place after `c`.
    #[inline]
    pub fn after(self, c: char) -> Self {
        Self { chars: self.chars + 1, bytes: self.bytes + c.len_utf8() as u64 }
    }
}

/// Where a symbol's code point starts, and whether a left edge holds there.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub start: Place,
    pub left: bool,
}

/// The origins of the last symbols, as many as the automaton's state is deep.
#[derive(Debug, Default)]
pub struct Origins {
    all: Vec<Origin>,
    /// Of `all`, those before are forgotten.
    from: usize,
}

/// Forgotten origins that may pile up before the rest moves to the front.
const SLACK: usize = 64;

impl Origins {
    #[inline]
    pub fn clear(&mut self) {
        self.all.clear();
        self.from = 0;
    }

    /// Appends the newest and keeps the last `depth`.
    pub fn push(&mut self, origin: Origin, depth: usize) {
        self.keep(depth - 1);
        self.append(origin);
    }

    /// Forgets all but the last `depth`.
    pub fn keep(&mut self, depth: usize) {
        if depth == 0 {
            self.clear();
            return;
        }
        self.from = self.all.len() - depth;
        if self.from >= SLACK && self.from * 2 >= self.all.len() {
            self.all.drain(..self.from);
            self.from = 0;
        }
    }

    pub fn append(&mut self, origin: Origin) {
        self.all.push(origin);
    }

    /// The origin of the symbol `depth` symbols back, the newest being 1.
    #[inline]
    pub fn back(&self, depth: usize) -> Origin {
        self.all[self.all.len() - depth]
    }
}
