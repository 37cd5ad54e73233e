//! Opens a shard: reads its tail, copies it where it may not be durable, cuts a torn last group, and says so.
//!
//! Anything else that is wrong stops the start: halt, do not guess.
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dragoman_engine::ledger::checkpoint::Checkpoint;
use dragoman_engine::ledger::note::Signer;
use dragoman_engine::ledger::tile::TILE_WIDTH;
use sha2::{Digest, Sha256};

use super::begin::{Begin, end_open_turns};
use super::core::{Core, Tail};
use super::derive::Deriver;
use super::disk::{Disk, DiskFile, Open};
use super::entries::{self, NextLog};
use super::record::{Encoder, LogBytes};
use super::scan::{Behind, Position, scan};
use super::segments::Segments;
use super::shard::{self, Layout, prepare};
use super::turns::OpenTurns;
use super::{Interrupted, JournalError, OpenIntent};

/// A checkpoint or `scan-from` file beyond this is not ours.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What opening needs to know.
#[derive(Debug, Clone)]
pub struct Env {
    /// The file calls.
    pub disk: Arc<dyn Disk>,
    /// The journal's folder.
    pub dir: PathBuf,
    /// Where the seeds of the shards' keys are.
    pub keys: PathBuf,
    /// The zone.
    pub zone: String,
    /// Length of a segment, bytes.
    pub segment_bytes: u64,
    /// See [`super::JournalConfig::keep_open`].
    pub keep_open: bool,
}

/// An opened shard, ready to write.
#[derive(Debug)]
pub struct Shard {
    /// The writing end.
    pub core: Core,
    /// Tiles and checkpoint.
    pub deriver: Deriver,
    /// The reading end.
    pub segments: Arc<Segments>,
    /// `log_<zone>_<hex>`.
    pub log_id: String,
    /// Its quarter.
    pub quarter: String,
    /// Turns that this start ended.
    pub interrupted: Vec<Interrupted>,
    /// Turns that are still to be ended.
    pub open: Vec<OpenIntent>,
    /// The log that follows, if this one was closed.
    pub closed: Option<NextLog>,
}

impl Env {
    /// The signer of a log; its seed is created only for a log that is being created.
    pub fn signer(&self, shard: &str, log: &LogBytes, create: bool) -> Result<Signer, JournalError> {
        let seed = shard::seed(&*self.disk, &self.keys, shard, create)?;
        shard::signer(&shard::origin(&self.zone, shard, log), &seed)
    }
}

/// Opens the shard, creating its log as `begin` says where nothing of one is there.
pub fn open_shard(env: &Env, shard: &str, begin: &Begin, now: i64) -> Result<Shard, JournalError> {
    let layout = Layout::new(&env.dir, shard);
    let disk = &*env.disk;
    // Names that an earlier process saw may not be durable: its sync of a folder could have failed.
    shard::create_folders(disk, &layout)?;
    for folder in [&env.dir, &layout.root, &layout.segments()] {
        disk.sync_dir(folder)?;
    }
    let note = disk.read(&layout.checkpoint(), SMALL_FILE_BYTES_MAX)?;
    let head = note.as_deref().map(Checkpoint::unverified).transpose().map_err(|e| corrupt(&layout, &e))?;
    let files = Files::list(disk, &layout)?;
    let found = read_tail(disk, &layout, &files, head.as_ref().map_or(0, |c| c.size))?;
    let Some(log) = found.end.log else {
        if head.is_some() {
            return Err(corrupt(&layout, &"there is a checkpoint and no readable segment"));
        }
        return create(env, &layout, &files, &found, begin, now);
    };
    check_end(&layout, &found, head.as_ref())?;
    let signer = env.signer(shard, &log, false)?;
    check_opening(env, &layout, found.end.next, &signer, &log)?;
    let checkpoint = note.map(|n| Checkpoint::open(&n, &signer.verifier())).transpose();
    let checkpoint = checkpoint.map_err(|e| corrupt(&layout, &format!("checkpoint: {e}")))?;
    let (segments, tail) = settle_tail(env, &layout, &files, &found, checkpoint.as_ref(), log, now)?;
    let segments = Arc::new(segments);
    let mut deriver = Deriver::new(Arc::clone(&env.disk), layout.clone(), Arc::clone(&segments), signer);
    resume(&layout, &mut deriver, checkpoint.as_ref())?;
    deriver.adopt(found.turns.clone(), checkpoint.map(|c| c.size));
    let core = Core::new(Arc::clone(&env.disk), layout, Arc::clone(&segments), env.segment_bytes, tail)?;
    let mut opened = Shard {
        core,
        deriver,
        segments,
        log_id: shard::log_name(&env.zone, &log),
        quarter: shard.to_owned(),
        interrupted: Vec::new(),
        open: Vec::new(),
        closed: found.closed.clone(),
    };
    if opened.closed.is_none() {
        end_open_turns(&mut opened, &found.turns, begin, env.keep_open, now)?;
    }
    Ok(opened)
}

fn corrupt(layout: &Layout, why: &dyn std::fmt::Display) -> JournalError {
    JournalError::Corrupt(format!("{}: {why}", layout.root.display()))
}

/// The segment files of a shard: the newest generation of each, and what else is there of ours.
struct Files {
    newest: BTreeMap<u64, u32>,
    old: Vec<PathBuf>,
}

impl Files {
    fn list(disk: &dyn Disk, layout: &Layout) -> io::Result<Self> {
        let mut files = Self { newest: BTreeMap::new(), old: Vec::new() };
        for name in disk.list(&layout.segments())? {
            let Some((first, generation)) = shard::parse_segment(&name) else {
                if Path::new(&name).extension().is_some_and(|e| e == "tmp") || name == "spare" {
                    files.old.push(layout.segments().join(name));
                }
                continue;
            };
            if let Some(known) = files.newest.insert(first, generation) {
                // A start ended between naming the copy and removing the original: the copy was synced first.
                files.newest.insert(first, generation.max(known));
                files.old.push(layout.segment(first, generation.min(known)));
            }
        }
        Ok(files)
    }

    fn remove_old(&self, disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
        for path in &self.old {
            disk.remove(path)?;
        }
        if self.old.is_empty() { Ok(()) } else { disk.sync_dir(&layout.segments()) }
    }
}

/// What reading the tail found.
struct Found {
    end: Position,
    /// The end of the segment before, if the last one has no whole group.
    before: Option<(u64, u64)>,
    behind: Behind,
    last: Option<(u64, Arc<dyn DiskFile>)>,
    turns: OpenTurns,
    closed: Option<NextLog>,
}

/// Reads from the segment that holds the oldest entry still needed.
fn read_tail(disk: &dyn Disk, layout: &Layout, files: &Files, signed: u64) -> Result<Found, JournalError> {
    let hint = disk.read(&layout.scan_from(), SMALL_FILE_BYTES_MAX)?;
    let hint: u64 = hint.and_then(|b| String::from_utf8(b).ok()?.trim().parse().ok()).unwrap_or(0);
    let needed = hint.min(signed - signed % TILE_WIDTH);
    let start = files.newest.range(..=needed).next_back().map_or(0, |(first, _)| *first);
    let mut found = Found {
        end: Position { log: None, next: start, previous: (start == 0).then_some(0), offset: 0 },
        before: None,
        behind: Behind::Nothing,
        last: None,
        turns: OpenTurns::default(),
        closed: None,
    };
    for (first, generation) in files.newest.range(start..) {
        if *first != found.end.next {
            return Err(corrupt(layout, &format!("a segment is missing before entry {first}")));
        }
        if found.behind != Behind::Nothing || (found.last.is_some() && found.end.offset == 0) {
            return Err(corrupt(layout, &format!("the segment before entry {first} is damaged")));
        }
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(&layout.segment(*first, *generation), Open::Read)?);
        found.before = found.last.as_ref().map(|(first, _)| (*first, found.end.offset));
        let (turns, closed) = (&mut found.turns, &mut found.closed);
        let from = Position { offset: 0, ..found.end };
        (found.end, found.behind) = scan(&*file, from, &mut |group| {
            for (index, _, entry) in group {
                turns.note(index, &entry);
                *closed = entries::closing(&entry);
            }
            Ok(())
        })?;
        found.last = Some((*first, file));
    }
    Ok(found)
}

fn check_end(layout: &Layout, found: &Found, head: Option<&Checkpoint>) -> Result<(), JournalError> {
    if let Behind::Later(first) = found.behind {
        let next = found.end.next;
        return Err(corrupt(
            layout,
            &format!("entry {next} is damaged although a group from {first} on follows"),
        ));
    }
    match head {
        Some(head) if head.size > found.end.next => {
            let (size, next) = (head.size, found.end.next);
            Err(corrupt(layout, &format!("the checkpoint covers {size} entries, only {next} can be read")))
        }
        _ => Ok(()),
    }
}

/// Makes the tail durable under a new generation where it may not be, and opens all segments.
fn settle_tail(
    env: &Env,
    layout: &Layout,
    files: &Files,
    found: &Found,
    head: Option<&Checkpoint>,
    log: LogBytes,
    now: i64,
) -> Result<(Segments, Tail), JournalError> {
    let disk = &*env.disk;
    files.remove_old(disk, layout)?;
    let mut tail =
        Tail { log, previous: found.end.previous.unwrap_or(0), next: found.end.next, segment: None };
    let Some((first, file)) = &found.last else { return Err(corrupt(layout, &"no segment")) };
    let generation = files.newest.get(first).copied().unwrap_or(0);
    let mut offset = found.end.offset;
    let covered = head.is_some_and(|h| h.size == found.end.next);
    let mut current = *first;
    if found.behind == Behind::Nothing && found.end.offset == 0 {
        // A segment that was named and never written: the one before it is whole and was synced.
        disk.remove(&layout.segment(*first, generation))?;
        disk.sync_dir(&layout.segments())?;
        (current, offset) = found.before.ok_or_else(|| corrupt(layout, &"an empty first segment"))?;
    } else if found.behind != Behind::Nothing || !covered {
        let cut = match found.behind {
            Behind::Torn(end) => Some(digest_of(&**file, found.end.offset, end)?),
            _ => None,
        };
        let mut encoder = Encoder::new(Vec::new(), log, tail.previous, tail.next);
        if found.end.offset == 0 {
            encoder.segment();
        }
        if let Some((bytes, digest)) = cut {
            let log_id = shard::log_name(&env.zone, &log);
            tracing::warn!(
                log = log_id,
                index = tail.next,
                bytes,
                digest,
                "a group that was never completed is cut"
            );
            let entry = entries::tail_cut(&log_id, tail.next, bytes, &digest, now)?;
            encoder.group(std::iter::once(entry.as_slice()));
        }
        write_copy(env, layout, (*first, generation + 1), &**file, found.end.offset, &encoder.bytes)?;
        disk.remove(&layout.segment(*first, generation))?;
        (tail.previous, tail.next) = (encoder.previous, encoder.next);
        offset += encoder.bytes.len() as u64;
    }
    let segments = Segments::open(&env.disk, layout, tail.next)?;
    tail.segment = segments.last().filter(|s| s.first == current).map(|s| (s, offset));
    Ok((segments, tail))
}

/// Length and SHA-256 of what is cut.
fn digest_of(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    copy_range(file, from, to, &mut |bytes, _| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok((to - from, entries::digest_text(&hash.finalize().into())))
}

fn copy_range(
    file: &dyn DiskFile,
    from: u64,
    to: u64,
    take: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = vec![0; COPY_BYTES];
    let mut at = from;
    while at < to {
        let want = piece.len().min((to - at) as usize);
        let got = file.read_at(&mut piece[..want], at)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(&piece[..got], at)?;
        at += got as u64;
    }
    Ok(())
}

fn write_copy(
    env: &Env,
    layout: &Layout,
    name: (u64, u32),
    from: &dyn DiskFile,
    length: u64,
    more: &[u8],
) -> Result<(), JournalError> {
    let path = layout.segment(name.0, name.1);
    let mut temporary = path.clone().into_os_string();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let needed = length + more.len() as u64;
    prepare(&*env.disk, &temporary, env.segment_bytes.max(needed))?;
    let file = env.disk.open(&temporary, Open::Write)?;
    copy_range(from, 0, length, &mut |bytes, at| file.write_at(bytes, at))?;
    file.write_at(more, length)?;
    file.sync_data()?;
    env.disk.rename(&temporary, &path)?;
    env.disk.sync_dir(&layout.segments())?;
    Ok(())
}

/// The first entry must name this log and this key.
fn check_opening(
    env: &Env,
    layout: &Layout,
    readable: u64,
    signer: &Signer,
    log: &LogBytes,
) -> Result<(), JournalError> {
    let first = Segments::open(&env.disk, layout, readable)?.read(0, 1, 1)?;
    let opening = first.first().and_then(|(_, entry)| entries::opening(entry));
    let Some(opening) = opening else { return Err(corrupt(layout, &"entry 0 does not open a log")) };
    if opening.log != shard::log_name(&env.zone, log) {
        return Err(corrupt(layout, &format!("it holds {} of another zone or log", opening.log)));
    }
    if opening.key != signer.verifier().to_string() {
        let why = format!("the key in {} is not the one of {}", env.keys.display(), opening.log);
        return Err(JournalError::Config(why));
    }
    Ok(())
}

/// The tree up to the checkpoint, from tiles; from the journal where they do not serve.
fn resume(
    layout: &Layout,
    deriver: &mut Deriver,
    checkpoint: Option<&Checkpoint>,
) -> Result<(), JournalError> {
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    let head = (checkpoint.size, checkpoint.root);
    if deriver.resume(checkpoint.size).is_err() || deriver.head() != head {
        tracing::warn!(
            log = checkpoint.origin,
            "tiles are damaged or missing; deriving them anew from the journal"
        );
        deriver.restart();
        deriver.advance(checkpoint.size, false)?;
        if deriver.head() != head {
            return Err(corrupt(
                layout,
                &"the journal does not have the checkpoint's root: an entry was changed",
            ));
        }
    }
    deriver.repair_partials()?;
    Ok(())
}

/// A new log in an empty shard (or one whose very first group was never completed).
fn create(
    env: &Env,
    layout: &Layout,
    files: &Files,
    found: &Found,
    begin: &Begin,
    now: i64,
) -> Result<Shard, JournalError> {
    if let Behind::Later(first) = found.behind {
        return Err(corrupt(
            layout,
            &format!("its beginning is damaged although a group from {first} on follows"),
        ));
    }
    if files.newest.keys().any(|first| *first != 0) {
        return Err(corrupt(layout, &"its first segment is missing"));
    }
    let disk = &*env.disk;
    files.remove_old(disk, layout)?;
    for (first, generation) in &files.newest {
        disk.remove(&layout.segment(*first, *generation))?;
    }
    let log = begin.next.as_ref().map_or_else(|| *uuid::Uuid::now_v7().as_bytes(), |n| n.log);
    let signer = env.signer(&layout.shard, &log, true)?;
    let log_id = shard::log_name(&env.zone, &log);
    let previous = begin.previous.as_ref();
    let mut group =
        vec![entries::opened(&log_id, &env.zone, &layout.shard, &signer.verifier(), previous, now)?];
    let mut interrupted = Vec::new();
    for (intent, entry) in begin.open.iter().filter(|_| !env.keep_open) {
        let (turn, entry) = entries::interrupted(entry, now)?;
        interrupted.push(Interrupted { turn, intent: *intent, index: group.len() as u64 });
        group.push(entry);
    }
    let mut encoder = Encoder::new(Vec::new(), log, 0, 0);
    encoder.segment();
    encoder.group(group.iter().map(Vec::as_slice));
    write_copy(env, layout, (0, 0), &NoFile, 0, &encoder.bytes)?;
    let segments = Arc::new(Segments::open(&env.disk, layout, encoder.next)?);
    let open = begin.still_open(&segments)?;
    let offset = encoder.bytes.len() as u64;
    let tail = Tail {
        log,
        previous: encoder.previous,
        next: encoder.next,
        segment: segments.last().map(|s| (s, offset)),
    };
    let deriver = Deriver::new(Arc::clone(&env.disk), layout.clone(), Arc::clone(&segments), signer);
    let core =
        Core::new(Arc::clone(&env.disk), layout.clone(), Arc::clone(&segments), env.segment_bytes, tail)?;
    Ok(Shard {
        core,
        deriver,
        segments,
        log_id,
        quarter: layout.shard.clone(),
        interrupted,
        open: if env.keep_open { open } else { Vec::new() },
        closed: None,
    })
}

/// A new log copies nothing.
#[derive(Debug)]
struct NoFile;

impl DiskFile for NoFile {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
