//! Checks a log against its checkpoint, and a zone's logs against its registry. Reads only.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use dragoman_engine::ledger::check;
use dragoman_engine::ledger::checkpoint::Checkpoint;
use dragoman_engine::ledger::merkle::{Hash, leaf_hash};
use dragoman_engine::ledger::note::{Verifier, split};
use dragoman_engine::ledger::tile::{
    Edge, TILE_WIDTH, bundle_path, level_size, tile_path, write_bundle_entry,
};
use serde_json::Value;

use super::derive::TILE_BYTES_MAX;
use super::disk::{Disk, Open};
use super::entries::digest_text;
use super::scan::{Behind, Position, scan};
use super::shard::{Layout, is_shard, log_bytes, parse_segment};

/// Findings of one log beyond this are counted, not listed.
pub const FINDINGS_MAX: usize = 100;

/// A log named by a registry entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// `log_...`.
    pub log: String,
    /// Its verifier key.
    pub key: String,
    /// Its checkpoint origin.
    pub origin: String,
}

/// What checking one log found.
#[derive(Debug, Clone, Default)]
pub struct LogReport {
    /// Its folder: the prefix of its tiles.
    pub dir: PathBuf,
    /// Its name, as its first entry says.
    pub log: String,
    /// Its verifier key, as its first entry says.
    pub key: String,
    /// Its origin.
    pub origin: String,
    /// Entries covered by the checkpoint: changes to these are found.
    pub proven: u64,
    /// Entries behind the checkpoint: complete, but nobody signed them yet.
    pub unproven: u64,
    /// The checkpoint's root.
    pub root: Option<Hash>,
    /// Signatures on the checkpoint besides the log's own.
    pub witnesses: usize,
    /// Bytes of a group that was never completed, at the end.
    pub torn: u64,
    /// Turns whose intent has no result yet.
    pub open: Vec<(String, u64)>,
    /// Entries by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Logs that this one admits.
    pub admits: Vec<Named>,
    /// The log that continues this one.
    pub next: Option<Named>,
    /// The log that this one continues: its name, its last size and root (`sha256:<hex>`).
    pub previous: Option<(String, u64, String)>,
    /// What is wrong, in words.
    pub findings: Vec<String>,
    /// How many findings there were.
    pub wrong: u64,
    last_resume: u64,
}

impl LogReport {
    fn find(&mut self, what: impl Into<String>) {
        self.wrong += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what.into());
        }
    }
}

/// What checking a zone's logs found.
#[derive(Debug, Clone, Default)]
pub struct ZoneReport {
    /// Every log found, registry first.
    pub logs: Vec<LogReport>,
    /// What is wrong between the logs: missing, exchanged.
    pub findings: Vec<String>,
    /// Logs found that no registry entry admits (a relay that just started looks so).
    pub unadmitted: Vec<String>,
}

impl ZoneReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.logs.iter().all(|l| l.wrong == 0)
    }
}

/// Checks the registry in the journal folder `registry`, then the journals in `others`, each with all its shards.
pub fn verify_zone(disk: &dyn Disk, registry: &Path, others: &[PathBuf]) -> io::Result<ZoneReport> {
    let mut zone = ZoneReport::default();
    let mut named: Vec<Named> = Vec::new();
    for (place, journal) in std::iter::once(registry).chain(others.iter().map(PathBuf::as_path)).enumerate() {
        let shards: Vec<String> = disk.list(journal)?.into_iter().filter(|n| is_shard(n)).collect();
        if shards.is_empty() {
            zone.findings.push(format!("{}: no log is there", journal.display()));
        }
        for shard in shards {
            let report = verify_log(disk, &journal.join(&shard))?;
            if place == 0 {
                named.extend(report.admits.iter().cloned());
            }
            named.extend(report.next.iter().cloned());
            zone.logs.push(report);
        }
    }
    let found: HashMap<&str, (&str, &str)> =
        zone.logs.iter().map(|l| (l.log.as_str(), (l.key.as_str(), l.origin.as_str()))).collect();
    for log in &named {
        match found.get(log.log.as_str()) {
            None => zone.findings.push(format!("{}: the registry names it, and it is missing", log.log)),
            Some((key, origin)) if *key != log.key || *origin != log.origin => {
                zone.findings
                    .push(format!("{}: its key or origin is not the one the registry admitted", log.log));
            }
            Some(_) => {}
        }
    }
    check_previous(disk, &mut zone)?;
    let known: BTreeSet<&str> = named.iter().map(|n| n.log.as_str()).collect();
    let first = zone.logs.first().map(|l| l.log.clone()).unwrap_or_default();
    // A log whose first entry is gone has no name; that is a finding already.
    let named = zone.logs.iter().filter(|l| !l.log.is_empty());
    let unknown = named.filter(|l| l.log != first && !known.contains(l.log.as_str()));
    zone.unadmitted = unknown.map(|l| l.log.clone()).collect();
    Ok(zone)
}

/// Whether each log that another one continues is there, as long as it was then.
fn check_previous(disk: &dyn Disk, zone: &mut ZoneReport) -> io::Result<()> {
    for at in 0..zone.logs.len() {
        let Some((log, size, root)) = zone.logs[at].previous.clone() else { continue };
        let Some(found) = zone.logs.iter().position(|l| l.log == log) else {
            zone.findings.push(format!("{log}: {} continues it, and it is missing", zone.logs[at].log));
            continue;
        };
        let fits = |l: &LogReport| l.proven == size && l.root.as_ref().map(digest_text) == Some(root.clone());
        if !fits(&zone.logs[found]) {
            // It may have been read just before the quarter changed.
            zone.logs[found] = verify_log(disk, &zone.logs[found].dir.clone())?;
            if !fits(&zone.logs[found]) {
                zone.findings.push(format!("{log}: it is not as {} found it", zone.logs[at].log));
            }
        }
    }
    Ok(())
}

/// Checks one shard's folder: chain, tree, tiles, signature, entries, turns.
pub fn verify_log(disk: &dyn Disk, dir: &Path) -> io::Result<LogReport> {
    let layout = Layout { root: dir.to_owned(), shard: String::new() };
    let mut report = LogReport { dir: dir.to_owned(), ..LogReport::default() };
    let note = disk.read(&layout.checkpoint(), super::recover::SMALL_FILE_BYTES_MAX)?;
    let head = note.as_deref().and_then(|n| Checkpoint::unverified(n).ok());
    let size = head.as_ref().map_or(0, |h| h.size);
    let mut walk = Walk::new(disk, dir, size);
    let end = walk_segments(disk, &layout, &mut walk, &mut report)?;
    walk.finish(&mut report)?;
    check_checkpoint(&mut report, &walk, note.as_deref());
    report.unproven = end.next.saturating_sub(report.proven);
    let named = log_bytes(&report.log);
    if end.log.is_some() && named != end.log {
        report.find("the records carry another log's id than entry 0 names");
    }
    let stale: Vec<_> = report.open.iter().filter(|(_, i)| *i < report.last_resume).cloned().collect();
    for (turn, index) in stale {
        report.find(format!(
            "entry {index}: the intent of {turn} never got a result, although the log was resumed"
        ));
    }
    Ok(report)
}

fn check_checkpoint(report: &mut LogReport, walk: &Walk<'_>, note: Option<&[u8]>) {
    let Some(note) = note else { return report.find("there is no checkpoint: nothing is proven") };
    let checkpoint = match Verifier::parse(&report.key).and_then(|key| Checkpoint::open(note, &key)) {
        Ok(checkpoint) => checkpoint,
        Err(e) => return report.find(format!("checkpoint: {e}")),
    };
    if checkpoint.origin != report.origin {
        report.find("checkpoint: another origin than entry 0 names");
    }
    match walk.head {
        Some(root) if root == checkpoint.root => {
            report.proven = checkpoint.size;
            report.root = Some(root);
            report.witnesses = split(note).map_or(0, |(_, lines)| lines.len().saturating_sub(1));
        }
        Some(_) => {
            report.find("the journal's entries do not have the checkpoint's root: an entry was changed");
        }
        None => {
            report.find(format!("the checkpoint covers {} entries, the journal has fewer", checkpoint.size));
        }
    }
}

/// Reads every segment in order; returns where the log ends.
fn walk_segments(
    disk: &dyn Disk,
    layout: &Layout,
    walk: &mut Walk<'_>,
    report: &mut LogReport,
) -> io::Result<Position> {
    let mut segments: BTreeMap<u64, u32> = BTreeMap::new();
    for name in disk.list(&layout.segments())? {
        match parse_segment(&name) {
            Some((first, generation)) => {
                let known = segments.entry(first).or_insert(generation);
                *known = generation.max(*known);
            }
            None if name == "spare" || Path::new(&name).extension().is_some_and(|e| e == "tmp") => {}
            None => report.find(format!("segments/{name}: not a file of a journal")),
        }
    }
    let mut end = Position { log: None, next: 0, previous: Some(0), offset: 0 };
    let mut torn = None;
    for (first, generation) in segments {
        if let Some(at) = torn {
            report.find(format!("the segment before entry {first} is damaged at entry {at}"));
            break;
        }
        if first != end.next {
            report.find(format!("segments between entries {} and {first} are missing or damaged", end.next));
            break;
        }
        let file = disk.open(&layout.segment(first, generation), Open::Read)?;
        let (reached, behind) = scan(&*file, Position { offset: 0, ..end }, &mut |group| {
            for (index, _, entry) in group {
                walk.take(index, &entry, report)?;
            }
            Ok(())
        })?;
        end = reached;
        match behind {
            Behind::Nothing => {}
            Behind::Torn(to) => {
                report.torn = to - end.offset;
                torn = Some(end.next);
            }
            Behind::Later(later) => {
                report
                    .find(format!("entry {} is damaged although a group from {later} on follows", end.next));
                torn = Some(end.next);
            }
        }
    }
    Ok(end)
}

/// The state of one pass over a log's entries.
struct Walk<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    size: u64,
    edge: Edge,
    bundle: Vec<u8>,
    head: Option<Hash>,
    open: HashMap<String, u64>,
    expected: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn new(disk: &'a dyn Disk, dir: &'a Path, size: u64) -> Self {
        Self {
            disk,
            dir,
            size,
            edge: Edge::default(),
            bundle: Vec::new(),
            head: None,
            open: HashMap::new(),
            expected: BTreeSet::new(),
        }
    }

    fn take(&mut self, index: u64, entry: &[u8], report: &mut LogReport) -> io::Result<()> {
        match check(entry) {
            Ok(value) => self.read_entry(index, &value, report),
            Err(e) => report.find(format!("entry {index}: {e}")),
        }
        if index >= self.size {
            return Ok(());
        }
        write_bundle_entry(&mut self.bundle, entry);
        for tile in self.edge.push(leaf_hash(entry)) {
            if tile.level == 0 {
                let bytes = std::mem::take(&mut self.bundle);
                self.compare(&bundle_path(tile.n, TILE_WIDTH), &bytes, report)?;
            }
            self.compare(&tile_path(tile.level, tile.n, TILE_WIDTH), &tile.hashes.concat(), report)?;
        }
        if self.edge.size() == self.size {
            self.head = Some(self.edge.root());
        }
        Ok(())
    }

    fn read_entry(&mut self, index: u64, value: &Value, report: &mut LogReport) {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = text("kind");
        match kind.as_str() {
            "intent" => drop(self.open.insert(text("turn"), index)),
            "result" => drop(self.open.remove(&text("turn"))),
            "registry" => Self::read_registry(index, value, report),
            _ => {}
        }
        *report.kinds.entry(kind).or_default() += 1;
    }

    fn read_registry(index: u64, value: &Value, report: &mut LogReport) {
        let named = |value: &Value| {
            let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            Named { log: text("log"), key: text("key"), origin: text("origin") }
        };
        match value.get("event").and_then(Value::as_str) {
            Some("log_opened") if index == 0 => {
                let opened = named(value);
                (report.log, report.key, report.origin) = (opened.log, opened.key, opened.origin);
                report.previous = value.get("previous").and_then(|p| {
                    let text = |name: &str| p.get(name)?.as_str().map(str::to_owned);
                    Some((text("log")?, p.get("size")?.as_u64()?, text("root")?))
                });
            }
            Some("log_resumed") => report.last_resume = index,
            Some("log_admitted") => report.admits.push(named(value)),
            Some("log_closed") => report.next = value.get("next").map(named),
            _ => {}
        }
    }

    /// The partial tiles of the checkpoint's tree, then whether any other file lies among the tiles.
    fn finish(&mut self, report: &mut LogReport) -> io::Result<()> {
        report.open = self.open.drain().collect();
        report.open.sort_by_key(|(_, index)| *index);
        if self.head.is_none() {
            return Ok(());
        }
        let rows = self.edge.rows().to_vec();
        for (level, row) in rows.iter().enumerate() {
            let n = level_size(self.size, level as u32) / TILE_WIDTH;
            for width in 1..=row.len() {
                let path = tile_path(level as u32, n, width as u64);
                self.compare_partial(&path, &row[..width].concat(), width == row.len(), report)?;
            }
        }
        let bundle = std::mem::take(&mut self.bundle);
        let mut end = 0;
        let width = self.size % TILE_WIDTH;
        for n in 1..=width {
            end += 2 + usize::from(u16::from_be_bytes([bundle[end], bundle[end + 1]]));
            self.compare_partial(
                &bundle_path(self.size / TILE_WIDTH, n),
                &bundle[..end],
                n == width,
                report,
            )?;
        }
        self.strangers("tile", report)
    }

    fn compare(&mut self, path: &str, bytes: &[u8], report: &mut LogReport) -> io::Result<()> {
        self.compare_partial(path, bytes, true, report)
    }

    fn compare_partial(
        &mut self,
        path: &str,
        bytes: &[u8],
        needed: bool,
        report: &mut LogReport,
    ) -> io::Result<()> {
        match self.disk.read(&self.dir.join(path), TILE_BYTES_MAX)? {
            None if needed && self.is_in_full_tile(path, bytes)? => return Ok(()),
            None if needed => report.find(format!("{path} is missing")),
            None => return Ok(()),
            Some(found) if found != bytes => report.find(format!("{path} is not what the entries give")),
            Some(_) => {}
        }
        self.expected.insert(path.to_owned());
        Ok(())
    }

    /// The log may be running: a full tile can have replaced the partial one since the checkpoint was read.
    fn is_in_full_tile(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let Some((full, _)) = path.split_once(".p/") else { return Ok(false) };
        let found = self.disk.read(&self.dir.join(full), TILE_BYTES_MAX)?;
        Ok(found.is_some_and(|found| found.starts_with(bytes)))
    }

    /// Tiles beyond the checkpoint are those of a derivation that was under way; anything else is foreign.
    fn strangers(&self, path: &str, report: &mut LogReport) -> io::Result<()> {
        for name in self.disk.list(&self.dir.join(path))? {
            let inner = format!("{path}/{name}");
            if self.expected.contains(&inner) {
                continue;
            }
            let folder = format!("{inner}/");
            if self.expected.range(folder.clone()..).next().is_some_and(|p| p.starts_with(&folder)) {
                self.strangers(&inner, report)?;
            } else if !is_tile_name(&name) {
                report.find(format!("{inner}: not a file of this log"));
            }
        }
        Ok(())
    }
}

/// A tile, part of its number, a width, a folder of partial tiles, or one being written.
fn is_tile_name(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let name = name.strip_suffix(".p").unwrap_or(name);
    let digits = name.strip_prefix('x').unwrap_or(name);
    name == "entries"
        || (!digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}
