//! What goes to a channel as one message: a notice by itself, or several for people that came close together.
//!
//! What goes together is written down before the first attempt, so that every attempt, after whatever crash, is the same
//! message under the same id. A recipient of mails gets so many within an hour; when they are used up, notices are
//! collected for a quarter of an hour and go as one digest: none is lost, and nobody gets a hundred mails.

use std::collections::HashSet;
use std::time::Duration;

use sea_orm::DbErr;
use steward_entities::database::begin_write;
use steward_entities::{channel, outbox, public_id};

use super::{Parts, Tells, Turn, finish};
use crate::alert_book::notice_of;
use crate::domain::alert::machine::micros;
use crate::domain::notice::{Kind, Notice, backoff};
use crate::domain::report::letter::Letter;
use crate::fault_point;
use crate::reports;

/// Notices of one message.
const TOGETHER_MAX: usize = 100;
/// Reports that are read for one turn: each may be as large as a run's table.
const LETTERS_MAX: usize = 1;
/// What a recipient's mails are counted over.
const HOUR_US: i64 = 3_600_000_000;
/// How long notices are collected for a recipient who had all mails of the hour.
const DIGEST_WINDOW: Duration = Duration::from_secs(900);

/// How a channel's notices are gathered in a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// What comes so soon after the first goes with it; zero: each by itself.
    pub(super) window: Duration,
    /// Messages of this turn.
    pub(super) messages: usize,
    /// Reports of this turn: not one while the recipient had all mails of the hour, which alerts come before.
    pub(super) letters: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Message {
    /// The same on every attempt.
    pub(super) id: String,
    pub(super) rows: Vec<outbox::Model>,
    notices: Vec<Notice>,
    /// Instead of notices.
    letter: Option<Box<Letter>>,
    /// What goes together is not written down yet.
    is_open: bool,
}

impl Message {
    /// Of a row by itself, under its own id.
    fn alone((row, content): (outbox::Model, Content)) -> Self {
        let (notices, letter) = match content {
            Content::Notice(notice) => (vec![notice], None),
            Content::Letter(letter) => (Vec::new(), Some(letter)),
        };
        Self {
            id: row.public_id.clone(),
            rows: vec![row],
            notices,
            letter,
            is_open: false,
        }
    }

    pub(super) fn tells(&self) -> Tells<'_> {
        match &self.letter {
            Some(letter) => Tells::Report(letter),
            None => Tells::Notices(&self.notices),
        }
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| row.incident.clone())
    }

    pub(super) fn row_ids(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.id).collect()
    }

    pub(super) fn attempts(&self) -> i64 {
        self.rows.first().map_or(0, |row| row.attempts)
    }

    /// Whether it goes out at `now`. What is still open leaves behind what is held up.
    pub(super) fn may_go(&mut self, held_up: &HashSet<String>, now: i64, window: Duration) -> bool {
        if !self.is_open {
            return !self
                .rows
                .iter()
                .any(|row| row.next_at > now || held_up.contains(&row.incident));
        }
        let is_free = |row: &outbox::Model| !held_up.contains(&row.incident);
        let rows = self.rows.drain(..).zip(self.notices.drain(..));
        let free: Vec<_> = rows.filter(|(row, _)| is_free(row)).collect();
        (self.rows, self.notices) = free.into_iter().take(TOGETHER_MAX).unzip();
        let first = self.rows.first().map(|row| row.created_at);
        first.is_some_and(|first| first.saturating_add(micros(window)) <= now)
    }

    /// Writes down what goes together, if that is not settled.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(super) async fn is_one(&mut self, parts: &Parts) -> Result<(), DbErr> {
        if !self.is_open {
            return Ok(());
        }
        self.id = match self.rows.as_slice() {
            [one] => one.public_id.clone(),
            _ => public_id::new("msg"),
        };
        let txn = begin_write(&parts.databases.control).await?;
        outbox::gather(&txn, &self.row_ids(), &self.id).await?;
        fault_point::reached("notifier.gathering");
        txn.commit().await?;
        fault_point::reached("notifier.gathered");
        self.is_open = false;
        Ok(())
    }
}

/// What one row tells.
#[derive(Debug)]
pub(super) enum Content {
    Notice(Notice),
    Letter(Box<Letter>),
}

async fn content(parts: &Parts, row: &outbox::Model) -> Result<Result<Content, String>, DbErr> {
    if !reports::is_letter(row) {
        return Ok(notice_of(row).map(Content::Notice));
    }
    let letter = reports::letter_of(&parts.databases.control_read, row).await?;
    Ok(letter.map(|letter| Content::Letter(Box::new(letter))))
}

/// Rows with what they tell, of reports the first that are due. What is too old is given up, what cannot be read put aside.
pub(super) async fn readable(
    parts: &Parts,
    rows: Vec<outbox::Model>,
    letters: usize,
    turn: &mut Turn,
) -> Result<Vec<(outbox::Model, Content)>, DbErr> {
    let now = parts.clock.now_micros();
    let mut letters_left = letters;
    let mut readable = Vec::with_capacity(rows.len());
    for row in rows {
        if now - row.created_at >= micros(backoff::GIVE_UP) {
            let why = row.reason.clone().unwrap_or_default();
            let why = format!("given up after three days; last: {why}");
            finish(parts, &row, outbox::GIVEN_UP, Some(&why)).await?;
            turn.given_up += 1;
            continue;
        }
        if reports::is_letter(&row) {
            if letters_left == 0 || row.next_at > now {
                continue;
            }
            letters_left -= 1;
        }
        match content(parts, &row).await? {
            Ok(content) => readable.push((row, content)),
            Err(why) => {
                tracing::error!(notice = row.public_id, why, "a notice was put aside");
                finish(parts, &row, outbox::QUARANTINED, Some(&why)).await?;
                turn.quarantined += 1;
            }
        }
    }
    Ok(readable)
}

/// The messages that rows are, in order: those that are settled, then what may be gathered, and reports after all notices.
pub(super) fn sorted(
    channel: &channel::Model,
    rows: Vec<(outbox::Model, Content)>,
    window: Duration,
) -> Vec<Message> {
    let is_for_people = Kind::parse(&channel.kind).is_none_or(Kind::is_for_people);
    let mut messages: Vec<Message> = Vec::new();
    let (mut open, mut letters) = (Vec::new(), Vec::new());
    for (row, content) in rows {
        let Content::Notice(notice) = content else {
            letters.push(Message::alone((row, content)));
            continue;
        };
        match row.batch.clone() {
            Some(id) => match messages.iter_mut().find(|message| message.id == id) {
                Some(message) => {
                    message.rows.push(row);
                    message.notices.push(notice);
                }
                None => messages.push(Message {
                    id,
                    ..Message::alone((row, Content::Notice(notice)))
                }),
            },
            None if is_for_people && !window.is_zero() => open.push((row, notice)),
            None => messages.push(Message::alone((row, Content::Notice(notice)))),
        }
    }
    if !open.is_empty() {
        let (rows, notices) = open.into_iter().unzip();
        messages.push(Message {
            id: String::new(),
            rows,
            notices,
            letter: None,
            is_open: true,
        });
    }
    messages.extend(letters);
    messages
}

/// How a channel's notices are gathered now: by the setting, and by how many mails its recipients had.
pub(super) async fn room(
    parts: &Parts,
    channel: &channel::Model,
    channels: &[channel::Model],
    now: i64,
) -> Result<Room, DbErr> {
    let settings = parts.settings.load();
    let free = Room {
        window: settings.group_window,
        messages: usize::MAX,
        letters: LETTERS_MAX,
    };
    if Kind::parse(&channel.kind).is_some() {
        return Ok(free);
    }
    let is_mail = |other: &&channel::Model| Kind::parse(&other.kind).is_none();
    let (mut most, mut sharing) = (0, 1);
    for recipient in &channel.recipients.0 {
        let (mut had, mut leading) = (0, 0);
        for other in channels.iter().filter(is_mail) {
            let is_told = |told: &String| told.eq_ignore_ascii_case(recipient);
            if other.recipients.0.iter().any(is_told) {
                let read = &parts.databases.control_read;
                had += outbox::messages_since(read, other.id, now - HOUR_US).await?;
                leading += 1;
            }
        }
        (most, sharing) = (most.max(had), sharing.max(leading));
    }
    Ok(match settings.mails_per_hour.saturating_sub(most) {
        0 => Room {
            window: settings.group_window.max(DIGEST_WINDOW),
            messages: 1,
            letters: 0,
        },
        // Channels that lead to the same mailbox have their turns at the same time.
        left => Room {
            messages: (left / sharing).max(1),
            ..free
        },
    })
}
