//! A disk in memory that can be full, fail, write short and lose power. Seeded.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::spool::storage::{SegmentFile, Storage};

const SECTOR: usize = 512;

#[derive(Default)]
struct Content {
    /// What a reader sees.
    bytes: Vec<u8>,
    /// What a power failure leaves for certain; nothing before the first sync.
    durable: Option<Vec<u8>>,
    /// A sync failed: like Linux, later ones succeed without doing anything.
    lies: bool,
}

#[derive(Default)]
struct Shared {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    seed: u64,
    plan: Plan,
    /// Writes and creations so far.
    operations: u64,
}

/// What goes wrong.
#[derive(Default, Clone)]
pub(super) struct Plan {
    /// Bytes of the disk, if it is bounded.
    pub(super) capacity: Option<u64>,
    /// From this operation (write or creation) on, this many fail, after writing a part.
    pub(super) failing: Option<(u64, u64, io::ErrorKind)>,
    /// Syncs of segments that will fail, after the first so many.
    pub(super) failing_syncs: Option<(u64, u64)>,
    pub(super) failing_reads: u64,
}

#[derive(Clone, Default)]
pub(super) struct MemDisk(Arc<Mutex<Shared>>);

struct MemFile {
    disk: MemDisk,
    path: PathBuf,
    content: Arc<Mutex<Content>>,
}

impl Shared {
    fn random(&mut self) -> u64 {
        // xorshift64*
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn used(&self) -> u64 {
        self.files
            .values()
            .map(|content| content.lock().bytes.len() as u64)
            .sum()
    }

    /// The error this operation meets, if it is one of the unlucky.
    fn operation(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        match self.plan.failing {
            Some((from, count, kind)) if (from..from + count).contains(&number) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

impl MemDisk {
    pub(super) fn seeded(seed: u64) -> Arc<Self> {
        let disk = Self::default();
        disk.0.lock().seed = seed | 1;
        Arc::new(disk)
    }

    pub(super) fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.lock().plan);
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().files.keys().cloned().collect()
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let mut paths = self.paths();
        paths.retain(|path| {
            path.starts_with("spool/") && path.extension().is_some_and(|e| e == "spool")
        });
        paths
    }

    pub(super) fn read(&self, path: &Path) -> Vec<u8> {
        self.0.lock().files[path].lock().bytes.clone()
    }

    pub(super) fn write(&self, path: &Path, bytes: Vec<u8>) {
        let content = Content {
            durable: Some(bytes.clone()),
            bytes,
            lies: false,
        };
        self.0
            .lock()
            .files
            .insert(path.to_owned(), Arc::new(Mutex::new(content)));
    }

    /// An independent disk with the same bytes: what a killed process leaves. The old one may go on writing.
    pub(super) fn copy(&self) -> Arc<Self> {
        let copy = Self::seeded(7);
        let shared = self.0.lock();
        for (path, content) in &shared.files {
            copy.write(path, content.lock().bytes.clone());
        }
        copy
    }

    /// What is left after a power failure: of what was not synced, some sectors.
    pub(super) fn power_loss(&self) -> Arc<Self> {
        let after = Self::seeded(11);
        let mut shared = self.0.lock();
        let files: Vec<_> = shared
            .files
            .iter()
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect();
        for (path, content) in files {
            let content = content.lock();
            let Some(durable) = &content.durable else {
                continue;
            };
            let mut left = durable.clone();
            left.resize(content.bytes.len().max(left.len()), 0);
            for (at, sector) in content.bytes.chunks(SECTOR).enumerate() {
                if shared.random().is_multiple_of(2) {
                    left[at * SECTOR..at * SECTOR + sector.len()].copy_from_slice(sector);
                }
            }
            after.write(&path, left);
        }
        after
    }
}

impl SegmentFile for MemFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.0.lock();
        let outcome = disk.operation();
        let mut take = match &outcome {
            // Short now and then; a failing write leaves a part behind.
            Ok(()) if bytes.len() > 1 && disk.random().is_multiple_of(8) => bytes.len() / 2,
            Ok(()) => bytes.len(),
            Err(_) => bytes.len() - bytes.len() / 3,
        };
        if let Some(capacity) = disk.plan.capacity {
            let growth_left = capacity.saturating_sub(disk.used());
            let len = self.content.lock().bytes.len() as u64;
            let end = (len.max(offset) + growth_left).max(len);
            take = take.min(usize::try_from(end.saturating_sub(offset)).unwrap_or(0));
            if take == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        drop(disk);
        let mut content = self.content.lock();
        let at = usize::try_from(offset).expect("small");
        if content.bytes.len() < at + take {
            content.bytes.resize(at + take, 0);
        }
        content.bytes[at..at + take].copy_from_slice(&bytes[..take]);
        outcome.map(|()| take)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let plan = &mut self.disk.0.lock().plan;
        if plan.failing_reads > 0 {
            plan.failing_reads -= 1;
            return Err(io::Error::from_raw_os_error(5));
        }
        let content = self.content.lock();
        let at = usize::try_from(offset)
            .expect("small")
            .min(content.bytes.len());
        let count = bytes.len().min(content.bytes.len() - at);
        bytes[..count].copy_from_slice(&content.bytes[at..at + count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        if self
            .path
            .extension()
            .is_some_and(|extension| extension == "spool")
        {
            let mut disk = self.disk.0.lock();
            if let Some((after, count)) = &mut disk.plan.failing_syncs {
                if *after > 0 {
                    *after -= 1;
                } else if *count > 0 {
                    *count -= 1;
                    self.content.lock().lies = true;
                    return Err(io::Error::from_raw_os_error(5));
                }
            }
        }
        let mut content = self.content.lock();
        assert!(
            !content.lies,
            "a file was synced again after its sync failed"
        );
        content.durable = Some(content.bytes.clone());
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).expect("small");
        let mut content = self.content.lock();
        content.bytes.resize(len, 0);
        if let Some(durable) = &mut content.durable {
            durable.truncate(len);
        }
        Ok(())
    }
}

impl Storage for MemDisk {
    fn create(&self, path: &Path, len: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let mut disk = self.0.lock();
        disk.operation()?;
        if let Some(capacity) = disk.plan.capacity
            && disk.used() + len > capacity
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if disk.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Arc::new(Mutex::new(Content {
            bytes: vec![0; usize::try_from(len).expect("small")],
            ..Content::default()
        }));
        disk.files.insert(path.to_owned(), content.clone());
        Ok(Arc::new(MemFile {
            disk: self.clone(),
            path: path.to_owned(),
            content,
        }))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let content = self.0.lock().files.get(path).cloned();
        Ok(Arc::new(MemFile {
            disk: self.clone(),
            path: path.to_owned(),
            content: content.ok_or(io::ErrorKind::NotFound)?,
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let content = disk.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.files.insert(to.to_owned(), content);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let gone = self.0.lock().files.remove(path);
        gone.map(|_| ())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.0.lock();
        let names = disk.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(names
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let disk = self.0.lock();
        Ok(match disk.plan.capacity {
            Some(capacity) => capacity.saturating_sub(disk.used()),
            None => u64::MAX,
        })
    }
    fn random(&self) -> u64 {
        self.0.lock().random()
    }
}
