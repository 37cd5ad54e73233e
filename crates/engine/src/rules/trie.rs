//! The words of one direction as a trie in breadth-first order, with fail links.
//! Only a step of compilation: the automaton is made of it and it is dropped.

/// Nodes in breadth-first order; node 0 is the root. Children of a node stand next to each other.
pub struct Trie {
    pub parent: Vec<u32>,
    pub code: Vec<u32>,
    pub depth: Vec<u16>,
    pub first_child: Vec<u32>,
    pub children: Vec<u32>,
    pub fail: Vec<u32>,
    /// The node each word ends at, in the order the words were given.
    pub ends: Vec<u32>,
}

impl Trie {
    /// Builds from distinct words over alphabet codes.
    pub fn build(words: &[Vec<u32>]) -> Self {
        let mut order: Vec<u32> = (0..words.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| words[a as usize].cmp(&words[b as usize]));
        let mut trie = Self {
            parent: vec![0],
            code: vec![0],
            depth: vec![0],
            first_child: Vec::new(),
            children: Vec::new(),
            fail: vec![0],
            ends: vec![0; words.len()],
        };
        let mut ranges = vec![(0, order.len())];
        let mut node = 0;
        while node < ranges.len() {
            let (from, to) = ranges[node];
            trie.branch(node as u32, words, &order[from..to], from, &mut ranges);
            node += 1;
        }
        trie.link();
        trie
    }

    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Adds the children of `node`, which the sorted `order` (starting at `offset`) runs through.
    fn branch(
        &mut self,
        node: u32,
        words: &[Vec<u32>],
        order: &[u32],
        offset: usize,
        ranges: &mut Vec<(usize, usize)>,
    ) {
        let depth = usize::from(self.depth[node as usize]);
        self.first_child.push(self.parent.len() as u32);
        let mut at = 0;
        while at < order.len() {
            let word = &words[order[at] as usize];
            let Some(&code) = word.get(depth) else {
                self.ends[order[at] as usize] = node;
                at += 1;
                continue;
            };
            let same = order[at..].partition_point(|&w| words[w as usize][depth] == code);
            self.parent.push(node);
            self.code.push(code);
            self.depth.push(depth as u16 + 1);
            self.fail.push(0);
            ranges.push((offset + at, offset + at + same));
            at += same;
        }
        self.children.push(self.parent.len() as u32 - self.first_child[node as usize]);
    }

    /// Sets the fail links, shallow nodes first.
    fn link(&mut self) {
        for node in 1..self.len() {
            let parent = self.parent[node];
            if parent == 0 {
                continue;
            }
            let code = self.code[node];
            let mut state = self.fail[parent as usize];
            self.fail[node] = loop {
                if let Some(child) = self.child(state, code) {
                    break child;
                }
                if state == 0 {
                    break 0;
                }
                state = self.fail[state as usize];
            };
        }
    }

    pub fn child(&self, node: u32, code: u32) -> Option<u32> {
        let first = self.first_child[node as usize];
        let range = first as usize..(first + self.children[node as usize]) as usize;
        self.code[range].binary_search(&code).ok().map(|index| first + index as u32)
    }
}
