//! What can go wrong, in sentences an operator can act on.

use std::io;
use std::path::PathBuf;

/// Why a spool could not be opened. Nothing on disk has been changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{} was written by a newer Steward: its spool format is version {found}, this program reads versions {oldest} to {newest}. \
         Start the newer Steward again and let it empty the spool, or move the spool directory away (its records would then be missing)",
        path.display()
    )]
    NewerVersion {
        path: PathBuf,
        found: u16,
        oldest: u16,
        newest: u16,
    },
    #[error(
        "{} belongs to node {found}, but this process is configured as node {configured}. \
         Set the node back to {found}, or point this node at a directory of its own",
        path.display()
    )]
    OtherNode {
        path: PathBuf,
        found: u8,
        configured: u8,
    },
    #[error("the spool's configuration does not work: {0}")]
    Config(String),
    #[error("the spool cannot use {}: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Why an entry was not taken, or is not known to be on the platter.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("an entry of {bytes} bytes does not fit a spool segment (at most {limit})")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the disk under the spool is full: {0}")]
    Full(#[source] io::Error),
    #[error("the disk under the spool refuses to write: {0}")]
    Io(#[source] io::Error),
    /// Written, and safe from a crash of this process, but not from a power failure.
    #[error("entry {seq} is written but could not be synced: {reason}")]
    NotDurable { seq: u64, reason: String },
}

/// Why no entry could be leased. Nothing changed; asking again is right.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the holder's epoch {epoch} is over, {current} is the first that may lease")]
    Fenced { epoch: u64, current: u64 },
    #[error("the spool cannot read {}: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The lease was revoked: its entries belong to somebody else now, and what this holder did with them
/// must have been idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease was revoked before it was acked")]
pub struct Fenced;

/// Why the spool would rather not have the call made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    #[error("free disk under the spool is below the configured minimum")]
    DiskLow,
    #[error("the spool has reached its configured size")]
    SizeReached,
    #[error("the disk under the spool refuses to write")]
    WriteFailing,
}

/// The answer of `Spool::admits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Open,
    Refuse(RefuseReason),
}
