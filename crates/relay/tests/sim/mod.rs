//! A disk in memory that can lose its power: what was synced stays, of the rest a random, torn part.
//!
//! Names follow the order of their calls (a journaling file system), contents do not: of each unsynced write any
//! subset of its 512-byte sectors may survive. `honest = false` forgets every sync: the negative control.
#![allow(dead_code, reason = "each test binary uses a part")]
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use dragoman_relay::journal::disk::{Disk, DiskFile, Lock, Open};

const SECTOR: usize = 512;

/// `SplitMix64`: small, seeded, good enough to pick cases.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// `DRAGOMAN_SEED`, else a fresh one; whoever uses it prints it.
pub fn seed() -> u64 {
    let given = std::env::var("DRAGOMAN_SEED").ok();
    given.map_or_else(
        || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(std::process::id()) << 32 | u64::from(now.subsec_nanos())
        },
        |text| text.parse().expect("DRAGOMAN_SEED is a number"),
    )
}

#[derive(Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    seen: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum NameOp {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// What happens at the call with a given number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: this call may have had part of its effect, all later ones fail.
    Cut,
    /// This call alone fails, without effect.
    Fail(io::ErrorKind),
}

#[derive(Debug, Default)]
struct State {
    inodes: HashMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<NameOp>,
    next_inode: u64,
    calls: u64,
    fault: Option<(u64, Fault)>,
    off: bool,
    locked: bool,
    space: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    held: Arc<(Mutex<bool>, Condvar)>,
    honest: bool,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

#[derive(Debug)]
struct SimLock(SimDisk);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().locked = false;
    }
}

impl State {
    /// Counts a call that changes the disk. `Ok(true)`: the power goes during this very call.
    fn call(&mut self) -> io::Result<bool> {
        if self.off {
            return Err(io::Error::other("no power"));
        }
        self.calls += 1;
        match self.fault {
            Some((at, Fault::Cut)) if at == self.calls => {
                self.off = true;
                Ok(true)
            }
            Some((at, Fault::Fail(kind))) if at == self.calls => Err(kind.into()),
            _ => Ok(false),
        }
    }

    fn on(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|i| self.inodes[i].seen.len() as u64).sum()
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, op: &NameOp) {
    match op {
        NameOp::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
        NameOp::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameOp::Remove(path) => drop(names.remove(path)),
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: not found", path.display()))
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl SimDisk {
    pub fn new(honest: bool) -> Self {
        Self { state: Arc::default(), held: Arc::default(), honest }
    }

    /// Calls that changed the disk so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    /// Plans a fault at the call number `at` (counted from 1 over the disk's life).
    pub fn plan(&self, at: u64, fault: Fault) {
        self.state.lock().unwrap().fault = Some((at, fault));
    }

    /// No fault any more.
    pub fn heal(&self) {
        self.state.lock().unwrap().fault = None;
    }

    pub fn is_off(&self) -> bool {
        self.state.lock().unwrap().off
    }

    /// Makes each sync of a file wait until it is let go: a disk that has become slow.
    pub fn hold_syncs(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }

    /// Limits the bytes of all files together.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.state.lock().unwrap().space = bytes;
    }

    /// The disk after a power cut at this moment, powered again.
    pub fn cut(&self, rng: &mut Rng) {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        let kept = rng.below(state.pending_names.len() as u64 + 1) as usize;
        for op in state.pending_names.drain(..).take(kept) {
            apply(&mut state.durable_names, &op);
        }
        state.names = state.durable_names.clone();
        let live: Vec<u64> = state.names.values().copied().collect();
        state.inodes.retain(|inode, _| live.contains(inode));
        let mut order: Vec<u64> = state.inodes.keys().copied().collect();
        order.sort_unstable();
        for inode in order {
            let file = state.inodes.get_mut(&inode).unwrap();
            for (offset, data) in std::mem::take(&mut file.pending) {
                let mode = rng.below(4);
                for (i, sector) in data.chunks(SECTOR).enumerate() {
                    if mode == 0 || (mode > 1 && rng.below(2) == 0) {
                        put(&mut file.durable, offset + i * SECTOR, sector);
                    }
                }
            }
            file.seen = file.durable.clone();
        }
        state.off = false;
        state.fault = None;
    }

    /// A file's bytes as the process sees them.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock().unwrap();
        state.names.get(path).map(|i| state.inodes[i].seen.clone())
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().unwrap().names.keys().cloned().collect()
    }

    /// Changes a file behind the journal's back, durably.
    pub fn overwrite(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        let inode = state.names[path];
        let file = state.inodes.get_mut(&inode).unwrap();
        file.durable.clone_from(&bytes);
        file.seen = bytes;
    }

    /// One byte of a file as the process sees it.
    pub fn bytes_at(&self, path: &Path, at: usize) -> u8 {
        let state = self.state.lock().unwrap();
        state.inodes[&state.names[path]].seen[at]
    }

    /// Changes one byte behind the journal's back; returns what it was.
    pub fn poke(&self, path: &Path, at: usize, byte: u8) -> u8 {
        let mut state = self.state.lock().unwrap();
        let inode = state.names[path];
        std::mem::replace(&mut state.inodes.get_mut(&inode).unwrap().seen[at], byte)
    }

    fn name_op(state: &mut State, op: NameOp, cut: bool) -> io::Result<()> {
        apply(&mut state.names, &op);
        state.pending_names.push(op);
        if cut { Err(io::Error::other("power lost")) } else { Ok(()) }
    }
}

impl Disk for SimDisk {
    fn create_dirs(&self, _: &Path) -> io::Result<()> {
        self.state.lock().unwrap().on()
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        state.on()?;
        let inode = if how == Open::Create {
            let cut = state.call()?;
            let inode = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(inode, Inode::default());
            Self::name_op(state, NameOp::Link(path.to_owned(), inode), cut)?;
            inode
        } else {
            *state.names.get(path).ok_or_else(|| missing(path))?
        };
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock().unwrap();
        state.on()?;
        let mut names: Vec<String> = state
            .names
            .keys()
            .filter_map(|p| {
                Some(p.strip_prefix(dir).ok()?.components().next()?.as_os_str().to_str()?.to_owned())
            })
            .collect();
        names.dedup();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let cut = state.call()?;
        if !state.names.contains_key(from) {
            return Err(missing(from));
        }
        Self::name_op(&mut state, NameOp::Rename(from.to_owned(), to.to_owned()), cut)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let cut = state.call()?;
        if !state.names.contains_key(path) {
            return Err(missing(path));
        }
        Self::name_op(&mut state, NameOp::Remove(path.to_owned()), cut)
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        self.state.lock().unwrap().on()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        if state.call()? {
            return Err(io::Error::other("power lost"));
        }
        if !self.honest {
            return Ok(());
        }
        let inside = |op: &NameOp| match op {
            NameOp::Link(path, _) | NameOp::Remove(path) | NameOp::Rename(path, _) => {
                path.parent() == Some(dir)
            }
        };
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending_names).into_iter().partition(inside);
        for op in now {
            apply(&mut state.durable_names, &op);
        }
        state.pending_names = later;
        Ok(())
    }

    fn mode(&self, _: &Path) -> io::Result<u32> {
        Ok(0o600)
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state.lock().unwrap();
        state.on()?;
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone())))
    }
}

impl SimFile {
    fn with<T>(&self, run: impl FnOnce(&mut Inode) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state.lock().unwrap();
        state.on()?;
        run(state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.seen.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| {
            let from = file.seen.get(offset as usize..).unwrap_or_default();
            let count = buf.len().min(from.len());
            buf[..count].copy_from_slice(&from[..count]);
            Ok(count)
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock().unwrap();
        let cut = state.call()?;
        let file = state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        put(&mut file.seen, offset as usize, buf);
        file.pending.push((offset as usize, buf.to_vec()));
        if cut { Err(io::Error::other("power lost")) } else { Ok(()) }
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock().unwrap();
        let cut = state.call()?;
        if state.space.is_some_and(|space| state.used() + length > space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        file.seen.resize(length as usize, 0);
        if cut { Err(io::Error::other("power lost")) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let held = self.disk.held.0.lock().unwrap();
        drop(self.disk.held.1.wait_while(held, |held| *held).unwrap());
        let mut state = self.disk.state.lock().unwrap();
        if state.call()? {
            return Err(io::Error::other("power lost"));
        }
        let file = state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        if self.disk.honest {
            for (offset, data) in std::mem::take(&mut file.pending) {
                put(&mut file.durable, offset, &data);
            }
            let length = file.seen.len();
            file.durable.resize(length, 0);
        }
        Ok(())
    }
}
