//! Where contents come in: sealed and appended to their own spool, on a thread that no caller waits for.
//!
//! The memory that captured calls may hold together is bounded here too: a capture reserves what it keeps, and is cut
//! short when nothing is left. Nothing here can fail a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prost::Message;

use super::{CONTENT_KIND, Content};
use crate::domain::rid::{RecordId, Rid};
use crate::domain::setting::InForce;
use crate::spool::{Entry, Spool};
use crate::vault::{Place, Vault};

/// Purpose of the subkey that seals contents in their spool.
pub const CONTENT_SPOOL: &str = "content-spool";

/// A content as it lies in the spool.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SealedContent {
    #[prost(int64, tag = "1")]
    rid: i64,
    #[prost(string, tag = "2")]
    key_id: String,
    #[prost(bytes = "vec", tag = "3")]
    bytes: Vec<u8>,
    #[prost(uint64, tag = "4")]
    id_tail: u64,
}

/// What became of contents since the process started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct IntakeReading {
    /// Appended to the spool.
    pub accepted: u64,
    /// Not appended: the spool or the vault refused.
    pub refused: u64,
    /// Captures cut short because all of them together held too much.
    pub starved: u64,
}

/// See the module. One per process.
#[derive(Debug)]
pub struct Intake {
    spool: Arc<Spool>,
    vault: Arc<Vault>,
    memory_max: usize,
    held: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    starved: AtomicU64,
    pending: AtomicUsize,
    settings: InForce,
}

/// Memory of one capture; given back when dropped.
#[derive(Debug)]
pub struct Reserved {
    intake: Arc<Intake>,
    bytes: usize,
}

/// A content that is being made ready; counted until it is in the spool.
#[derive(Debug)]
pub struct Pending(Arc<Intake>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Intake {
    /// What `settings` say is kept of either side of a call, and `memory_max` bytes by all calls under way together.
    pub fn new(
        spool: Arc<Spool>,
        vault: Arc<Vault>,
        settings: InForce,
        memory_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            spool,
            vault,
            memory_max,
            settings,
            held: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
        })
    }

    /// Whether anything is kept, now.
    pub fn keeps(&self) -> bool {
        self.settings.load().keeps_conversations
    }

    /// Most bytes of one side of a call, now.
    pub fn side_max(&self) -> usize {
        self.settings.load().side_max_bytes
    }

    /// An account of memory, empty yet.
    pub fn reserve(self: &Arc<Self>) -> Reserved {
        Reserved {
            intake: Arc::clone(self),
            bytes: 0,
        }
    }

    /// From now until it is dropped a content is on its way to the spool.
    pub fn pending(self: &Arc<Self>) -> Pending {
        self.pending.fetch_add(1, Ordering::AcqRel);
        Pending(Arc::clone(self))
    }

    /// Contents on their way: a process that ends waits for them.
    pub fn pending_count(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    /// Seals and appends. Blocking for as long as a write takes.
    pub fn keep(&self, content: &Content) {
        match self.append(content) {
            Ok(()) => self.accepted.fetch_add(1, Ordering::Relaxed),
            Err(cause) => {
                tracing::warn!(request_id = %content.id(), cause, "a conversation could not be kept");
                self.refused.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    fn append(&self, content: &Content) -> Result<(), String> {
        let row = content.id().to_string();
        let sealed = self
            .vault
            .seal(CONTENT_SPOOL, place(&row), &content.encode_to_vec())
            .map_err(|error| error.to_string())?;
        let entry = SealedContent {
            rid: content.rid,
            key_id: sealed.key_id,
            bytes: sealed.bytes,
            id_tail: content.id_tail,
        };
        self.spool
            .append(CONTENT_KIND, &entry.encode_to_vec())
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// Where they wait.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// What became of contents since the process started.
    pub fn read(&self) -> IntakeReading {
        IntakeReading {
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            starved: self.starved.load(Ordering::Relaxed),
        }
    }
}

impl Reserved {
    /// Reserves more; `false` when all captures together hold too much.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let held = &self.intake.held;
        let max = self.intake.memory_max;
        let grown = held.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            now.checked_add(bytes).filter(|sum| *sum <= max)
        });
        if grown.is_err() {
            self.intake.starved.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.intake.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Opens an entry of the spool.
///
/// # Errors
/// A sentence; nothing of the content in it.
pub fn open(vault: &Vault, entry: &Entry) -> Result<Content, String> {
    if entry.kind != CONTENT_KIND {
        return Err(format!("unknown kind {}", entry.kind));
    }
    let sealed = SealedContent::decode(entry.payload.clone()).map_err(|error| error.to_string())?;
    let id = RecordId {
        rid: Rid(sealed.rid),
        tail: sealed.id_tail,
    };
    let row = id.to_string();
    let plain = vault
        .unseal(CONTENT_SPOOL, place(&row), &sealed.key_id, &sealed.bytes)
        .map_err(|error| error.to_string())?;
    Content::decode(plain.as_slice()).map_err(|error| error.to_string())
}

fn place(row: &str) -> Place<'_> {
    Place {
        table: "content_spool",
        column: "payload",
        row,
    }
}
