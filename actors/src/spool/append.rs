//! Accepting an entry: number it, write it, note it, under the one mutex. Nothing here waits for anything
//! but the write itself; making room for `DropOldest` happens outside the mutex.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::error::AppendError;
use super::format::{HEADER_BLOCK, RECORD_HEADER};
use super::storage::is_full;
use super::{Appended, Core, Entry, Overflow};

/// How often a full disk is met with dropping a segment before the entry is refused.
const ROOM_ATTEMPTS: usize = 4;

impl Core {
    pub(super) fn append(&self, kind: u8, payload: &[u8]) -> Result<Appended, AppendError> {
        let limit = self.config.segment_bytes as usize - HEADER_BLOCK - RECORD_HEADER;
        if payload.len() > limit {
            return Err(AppendError::TooLarge {
                bytes: payload.len(),
                limit,
            });
        }
        let kept = Bytes::copy_from_slice(payload);
        let mut attempts = 0;
        loop {
            match self.try_append(kind, &kept) {
                Ok(appended) => {
                    if self.config.overflow == Overflow::DropOldest && self.over_size() {
                        self.make_room(false);
                    }
                    return Ok(appended);
                }
                Err(AppendError::Full(error)) => {
                    attempts += 1;
                    if self.config.overflow != Overflow::DropOldest
                        || attempts > ROOM_ATTEMPTS
                        || !self.make_room(true)
                    {
                        self.append_errors.fetch_add(1, Ordering::Relaxed);
                        return Err(AppendError::Full(error));
                    }
                }
                Err(error) => {
                    self.append_errors.fetch_add(1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    }

    fn try_append(&self, kind: u8, payload: &Bytes) -> Result<Appended, AppendError> {
        let unrecorded_when_full = self.config.overflow == Overflow::ServeUnrecorded;
        let mut state = self.state.lock();
        if unrecorded_when_full && self.is_full_now(&state) {
            return Ok(Appended {
                seq: state.book.accept_unrecorded(),
                recorded: false,
            });
        }
        let seq = state.book.next_seq;
        let written = state.journal.write(&*self.storage, seq, kind, payload);
        if let Err(error) = written {
            self.write_failing.store(true, Ordering::Relaxed);
            self.publish_admission(&state);
            if unrecorded_when_full {
                return Ok(Appended {
                    seq: state.book.accept_unrecorded(),
                    recorded: false,
                });
            }
            return Err(if is_full(&error) {
                AppendError::Full(error)
            } else {
                AppendError::Io(error)
            });
        }
        state.book.accept(Entry {
            seq,
            kind,
            payload: payload.clone(),
        });
        let wake = state.book.take_wake();
        let first_unsynced = self.unsynced.note();
        if self.write_failing.swap(false, Ordering::Relaxed) || self.size_reached(&state) {
            self.publish_admission(&state);
        }
        drop(state);
        if wake {
            self.leasable.notify_waiters();
        }
        if first_unsynced {
            self.unsynced.signal();
        }
        Ok(Appended {
            seq,
            recorded: true,
        })
    }
}
