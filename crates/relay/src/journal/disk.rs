//! The disk as the journal sees it: few calls, each of which a test can count, fail or cut the power at.
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It must exist; reads only.
    Read,
    /// It must exist.
    Write,
    /// Created empty with mode 0600, replacing what was there.
    Create,
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves space for the first `length` bytes and makes the file that long.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// fdatasync.
    fn sync_data(&self) -> io::Result<()>;
}

/// A folder's lock, held until dropped.
pub trait Lock: Send + fmt::Debug {}

/// The file calls below the journal.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a folder (0700) and its parents, durably.
    fn create_dirs(&self, path: &Path) -> io::Result<()>;
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;
    /// The names in a folder, sorted; a missing folder is empty.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file over another, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// fsync of a folder: its names are durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The permission bits of a file.
    fn mode(&self, path: &Path) -> io::Result<u32>;
    /// Takes a lock file or fails with `WouldBlock`.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// A whole file's bytes, at most `limit`; `None` if it does not exist.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(path, Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let length = file.len()?;
        if length > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{length} bytes, at most {limit}"),
            ));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let got = file.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        Ok(Some(bytes))
    }

    /// Replaces a file's content by way of a temporary name; `sync` makes the content durable first
    /// (the name needs `sync_dir`).
    fn replace(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
        let temporary = path.with_added_suffix("tmp");
        let file = self.open(&temporary, Open::Create)?;
        file.write_at(bytes, 0)?;
        if sync {
            file.sync_data()?;
        }
        self.rename(&temporary, path)
    }
}

/// `a/b` with `.suffix` added, whatever dots the name has.
trait AddedSuffix {
    fn with_added_suffix(&self, suffix: &str) -> std::path::PathBuf;
}

impl AddedSuffix for Path {
    fn with_added_suffix(&self, suffix: &str) -> std::path::PathBuf {
        let mut name = self.as_os_str().to_owned();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock(#[expect(dead_code, reason = "closing the descriptor releases the lock")] File);

impl Lock for RealLock {}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, length: u64) -> io::Result<()> {
        let length_signed = libc::off_t::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for as long as `self.0` lives; no memory is passed.
        let failed = unsafe { libc::posix_fallocate(self.0.as_raw_fd(), 0, length_signed) };
        match failed {
            0 => Ok(()),
            // A file system without preallocation: the zeros written next reserve the space.
            libc::EOPNOTSUPP | libc::ENOSYS => self.0.set_len(length),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Names the file in an error; its kind stays.
fn named(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |e| io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

impl Disk for RealDisk {
    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(named(path))?;
        let mut at = Some(path);
        while let Some(dir) = at.filter(|d| !d.as_os_str().is_empty()) {
            self.sync_dir(dir)?;
            at = dir.parent();
        }
        Ok(())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match how {
            Open::Read => {}
            Open::Write => drop(options.write(true)),
            Open::Create => drop(options.write(true).create(true).truncate(true)),
        }
        Ok(Box::new(RealFile(options.open(path).map_err(named(path))?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to).map_err(named(from))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path).map_err(named(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path).map_err(named(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir).and_then(|d| d.sync_all()).map_err(named(dir))
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        Ok(std::fs::metadata(path).map_err(named(path))?.mode() & 0o7777)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // SAFETY: the descriptor is open for as long as `file` lives; no memory is passed.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Box::new(RealLock(file)))
    }
}
