//! `notifier`: empties the outbox.
//!
//! At least once: a row leaves `waiting` only after its receiver answered, so a process killed in between sends the same
//! id again. Notices of one incident go to a channel in order: what waits for another attempt holds up what comes after
//! it of that incident, and one failure ends a channel's turn, but no channel holds up another. What people read tells
//! together what came within the grouping window, and still keeps to a message's id on every attempt ([`message`]). What
//! cannot be read is put aside and stays visible. Every attempt's answer is kept in the events database. What to tell, and
//! when to try again, is [`crate::domain`]'s.
//!
//! Reports go the same way, each as a message of its own.
//!
//! Of several nodes on one database one sends at a time ([`sending`]).

mod message;
mod sending;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use futures_util::future::join_all;
use sea_orm::DbErr;
use steward_entities::database::{Databases, begin_write};
use steward_entities::{audit, channel, delivery, outbox};
use tokio::time::{Instant, sleep, timeout};

use crate::alert_book::address::Address;
use crate::courier::{Courier, Parcel};
use crate::domain::alert::machine::micros;
use crate::domain::clock::SharedClock;
use crate::domain::notice::answer::{self, Outcome};
use crate::domain::notice::{Kind, Notice, backoff, email};
use crate::domain::report::letter::Letter;
use crate::domain::setting::InForce;
use crate::fault_point;
use crate::supervision::{ActorRef, ChildSpec, Incarnation};
use crate::vault::Vault;

use super::alert_evaluator::Shared;
use message::{Message, Room, readable, sorted};
pub use sending::Sending;

/// How often the outbox is looked at when nobody rings.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether this is the end.
const LOOK_FOR_THE_END_EVERY: Duration = Duration::from_millis(50);
/// A channel's rows looked at in a turn. Each has its own: a channel that is dead for days holds up no other.
const ROWS_MAX: u64 = 500;
/// Messages that one channel gets in a turn.
const TURN_MAX: usize = 20;
/// A single attempt, whatever the courier's own deadlines.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(45);
/// Silence about the evaluator that is too long for a sign of life.
const LATE: u32 = 3;
/// A notice that was due so long ago is stuck, whatever the reason: longer than any digest collects.
const STUCK: Duration = Duration::from_secs(1_200);
/// A channel whose receiver asks for more is tried again by then all the same.
const SPARED_MAX: Duration = Duration::from_secs(3_600);
/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub vault: Arc<Vault>,
    pub courier: Arc<dyn Courier>,
    pub shared: Shared,
    pub node: u8,
    /// Whether it is this node that sends.
    pub sending: Sending,
    /// Called while everything is well, for whoever misses it when it is not; empty: nobody.
    pub heartbeat_url: String,
    /// How notices are gathered, and how often rules are evaluated.
    pub settings: InForce,
    pub clock: SharedClock,
}

/// The actor.
pub struct Notifier {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/watch/notifier`.
pub fn spec(actor: &ActorRef<Notifier>, parts: Parts) -> ChildSpec {
    let sending = parts.sending.clone();
    ChildSpec::new("notifier", actor, move |me| {
        Notifier::new(me, parts.clone())
    })
    .drain_gate(move || sending.has_lease())
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    pub outcome: Outcome,
    /// Status of HTTP, or reply code of SMTP.
    pub status: Option<u16>,
    /// First bytes of the answer.
    pub response: Option<String>,
    /// Why there was none.
    pub error: Option<String>,
    pub duration_ms: i64,
}

impl Tried {
    /// One word for the log of deliveries.
    pub fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Delivered => "delivered",
            Outcome::Later(_) => "later",
            Outcome::Rejected => "rejected",
            Outcome::Gone => "gone",
        }
    }

    /// In a sentence, for people.
    pub fn reason(&self) -> String {
        match (&self.error, self.status, self.response.as_deref()) {
            (Some(error), ..) => error.clone(),
            (None, Some(status), Some(text)) if !text.is_empty() => {
                format!("answered {status}: {text}")
            }
            (None, Some(status), _) => format!("answered {status}"),
            (None, None, _) => "no answer".to_owned(),
        }
    }
}

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    pub delivered: usize,
    pub put_off: usize,
    pub given_up: usize,
    pub quarantined: usize,
}

/// What a message tells.
#[derive(Clone, Copy, Debug)]
pub enum Tells<'a> {
    Notices(&'a [Notice]),
    Report(&'a Letter),
}

/// One attempt to tell something to a channel, as the message of that id.
pub async fn attempt(
    vault: &Vault,
    courier: &dyn Courier,
    row: &channel::Model,
    (id, tells): (&str, Tells<'_>),
    now: i64,
) -> Tried {
    let begun = Instant::now();
    let sent = timeout(ATTEMPT_WITHIN, send(vault, courier, row, (id, tells), now));
    let (kind, answered) = match sent.await {
        Ok(sent) => sent,
        Err(_) => (
            Kind::parse(&row.kind),
            Err(format!("no answer within {} s", ATTEMPT_WITHIN.as_secs())),
        ),
    };
    let duration_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    match answered {
        Ok(answered) => Tried {
            outcome: match kind {
                Some(kind) => answer::judge(
                    kind,
                    answered.status,
                    answered.retry_after.as_deref(),
                    &answered.body,
                    now,
                ),
                None => answer::judge_smtp(Some(answered.status)),
            },
            status: Some(answered.status),
            response: Some(answer::kept(&answered.body)),
            error: None,
            duration_ms,
        },
        Err(error) => Tried {
            outcome: Outcome::Later(None),
            status: None,
            response: None,
            error: Some(error),
            duration_ms,
        },
    }
}

type Sent = (Option<Kind>, Result<crate::courier::Answered, String>);

/// The kind is `None` for mail.
async fn send(
    vault: &Vault,
    courier: &dyn Courier,
    row: &channel::Model,
    (id, tells): (&str, Tells<'_>),
    now: i64,
) -> Sent {
    let kind = Kind::parse(&row.kind);
    let nothing = || "there is nothing to tell".to_owned();
    let answered = match kind {
        None => {
            let domain = courier.mail_domain();
            let mail = match tells {
                Tells::Report(letter) => letter.mail(id, domain),
                Tells::Notices([one]) if one.id == id => Ok(email::write(one, domain)),
                Tells::Notices(several) => {
                    email::write_several(id, several, domain).ok_or_else(nothing)
                }
            };
            match mail {
                Ok(mail) => courier.mail(&mail, &row.recipients.0).await,
                Err(why) => Err(why),
            }
        }
        Some(kind) => match Address::open(vault, row) {
            Ok(address) => {
                let parcel = match tells {
                    Tells::Notices(notices) => address.parcel(kind, notices, now),
                    Tells::Report(letter) => address.report(kind, id, letter, now),
                };
                match parcel {
                    Some(parcel) => said_back(&address, courier.post(parcel).await),
                    None => Err(nothing()),
                }
            }
            Err(error) => Err(format!("the channel's address does not open: {error}")),
        },
    };
    (kind, answered)
}

/// An answer, or why there was none, without what it may say back of the address.
fn said_back(
    address: &Address,
    answered: Result<crate::courier::Answered, String>,
) -> Result<crate::courier::Answered, String> {
    match answered {
        Ok(answered) => Ok(crate::courier::Answered {
            body: address
                .hide(&String::from_utf8_lossy(&answered.body))
                .into_bytes(),
            ..answered
        }),
        Err(why) => Err(address.hide(&why)),
    }
}

/// One look at the outbox: every channel gets its turn, all at the same time.
///
/// # Errors
/// When the outbox cannot be read.
pub async fn drain(parts: &Parts) -> Result<Turn, DbErr> {
    let read = &parts.databases.control_read;
    if outbox::count_waiting(read).await? == 0 {
        return Ok(Turn::default());
    }
    let channels = channel::all(read).await?;
    let now = parts.clock.now_micros();
    let open = channels.iter().filter(|channel| channel.takes_at(now));
    let open: Vec<i64> = open.map(|channel| channel.id).collect();
    let too_old = now - micros(backoff::GIVE_UP);
    // The lease comes before what is read: another node's turn must be over.
    if !outbox::is_due(read, &open, now, too_old).await? || !parts.sends().await? {
        return Ok(Turn::default());
    }
    let turns = channels.iter().map(async |channel| {
        let rows = outbox::waiting(read, channel.id, ROWS_MAX).await?;
        if rows.is_empty() {
            return Ok(Turn::default());
        }
        let room = message::room(parts, channel, &channels, now).await?;
        take_turn(parts, channel, rows, room).await
    });
    let mut all = Turn::default();
    for turn in join_all(turns).await {
        let turn = turn?;
        all.delivered += turn.delivered;
        all.put_off += turn.put_off;
        all.given_up += turn.given_up;
        all.quarantined += turn.quarantined;
    }
    Ok(all)
}

async fn take_turn(
    parts: &Parts,
    channel: &channel::Model,
    rows: Vec<outbox::Model>,
    room: Room,
) -> Result<Turn, DbErr> {
    let mut turn = Turn::default();
    let rows = readable(parts, rows, room.letters, &mut turn).await?;
    if !channel.takes_at(parts.clock.now_micros()) {
        return Ok(turn);
    }
    let mut sent = 0;
    let mut held_up: HashSet<String> = HashSet::new();
    for mut message in sorted(channel, rows, room.window) {
        let now = parts.clock.now_micros();
        if !message.may_go(&held_up, now, room.window) {
            held_up.extend(message.incidents());
            continue;
        }
        if sent >= room.messages || !parts.sends().await? {
            return Ok(turn);
        }
        message.is_one(parts).await?;
        let told = (message.id.as_str(), message.tells());
        let tried = attempt(&parts.vault, parts.courier.as_ref(), channel, told, now).await;
        fault_point::reached("notifier.sent");
        keep(parts, channel, &message, &tried).await;
        fault_point::reached("notifier.kept");
        sent += 1;
        match settle(parts, channel, &message, &tried).await? {
            Settling::Delivered => turn.delivered += 1,
            Settling::GivenUp => turn.given_up += 1,
            Settling::PutOff => {
                turn.put_off += 1;
                return Ok(turn);
            }
            Settling::Closed => return Ok(turn),
        }
        if turn.delivered >= TURN_MAX {
            parts.shared.filled.notify_one();
            return Ok(turn);
        }
    }
    Ok(turn)
}

enum Settling {
    Delivered,
    PutOff,
    GivenUp,
    /// The channel takes nothing any more.
    Closed,
}

/// Writes down what an attempt came to.
async fn settle(
    parts: &Parts,
    channel: &channel::Model,
    message: &Message,
    tried: &Tried,
) -> Result<Settling, DbErr> {
    let now = parts.clock.now_micros();
    let ids = &message.row_ids();
    let reason = tried.reason();
    let txn = begin_write(&parts.databases.control).await?;
    let settling = match &tried.outcome {
        Outcome::Delivered => {
            outbox::finish(&txn, ids, outbox::DELIVERED, None, now).await?;
            channel::delivered(&txn, channel.id, now).await?;
            Settling::Delivered
        }
        Outcome::Later(asked) => {
            let attempts = u32::try_from(message.attempts() + 1).unwrap_or(u32::MAX);
            let wait = backoff::wait(attempts, rand::random(), *asked);
            let next_at = now.saturating_add(micros(wait));
            outbox::put_off(&txn, ids, next_at, &reason).await?;
            channel::failed(&txn, channel.id, &reason, now).await?;
            // As long as it asked for: how long this message waits after many tries is its own.
            if let Some(asked) = asked {
                let until = now.saturating_add(micros((*asked).min(SPARED_MAX)));
                channel::spare(&txn, channel.id, Some(until)).await?;
            }
            Settling::PutOff
        }
        Outcome::Rejected => {
            outbox::finish(&txn, ids, outbox::GIVEN_UP, Some(&reason), now).await?;
            channel::failed(&txn, channel.id, &reason, now).await?;
            Settling::GivenUp
        }
        Outcome::Gone => {
            let why = format!("the receiver said that it is gone ({reason})");
            outbox::finish(&txn, ids, outbox::GIVEN_UP, Some(&why), now).await?;
            channel::disable(&txn, channel.id, &why, now).await?;
            let entry = audit::Entry {
                operator_id: None,
                operator_name: "notifier".to_owned(),
                action: "channels.disable".to_owned(),
                target_type: "channel".to_owned(),
                target_id: channel.public_id.clone(),
                details: serde_json::json!({ "reason": why }),
                ip: String::new(),
                request_id: String::new(),
            };
            audit::insert(&txn, entry, now).await?;
            tracing::warn!(
                channel = channel.name,
                "a notice channel is gone and was disabled"
            );
            Settling::Closed
        }
    };
    fault_point::reached("notifier.settling");
    txn.commit().await?;
    fault_point::reached("notifier.settled");
    if let Settling::PutOff | Settling::GivenUp = settling {
        tracing::warn!(
            channel = channel.name,
            notice = message.id,
            reason,
            "a notice was not taken"
        );
    }
    Ok(settling)
}

async fn finish(
    parts: &Parts,
    row: &outbox::Model,
    state: &'static str,
    reason: Option<&str>,
) -> Result<(), DbErr> {
    let txn = begin_write(&parts.databases.control).await?;
    outbox::finish(&txn, &[row.id], state, reason, parts.clock.now_micros()).await?;
    txn.commit().await
}

/// Keeps an attempt's answer. That it cannot be kept holds up nothing.
async fn keep(parts: &Parts, channel: &channel::Model, message: &Message, tried: &Tried) {
    let kept = delivery::Attempt {
        message_id: message.id.clone(),
        channel_id: channel.public_id.clone(),
        attempt: message.attempts() + 1,
        outcome: tried.word(),
        status_code: tried.status.map(i64::from),
        response: tried.response.clone(),
        error: tried.error.clone(),
        duration_ms: tried.duration_ms,
    };
    let now = parts.clock.now_micros();
    if let Err(error) = delivery::insert(&parts.databases.events, kept, now, parts.node).await {
        tracing::warn!(%error, "the answer to a notice cannot be kept");
    }
}

/// Empties the outbox as it fills, until the end.
async fn empty(parts: &Parts) {
    while !parts.sending.is_ending() {
        let mine = parts.clone();
        let turn = parts.databases.at_home(async move { drain(&mine).await });
        tokio::select! {
            turn = turn => if let Err(error) = turn {
                tracing::warn!(%error, "the outbox cannot be read or written; trying again");
            },
            () = parts.sending.overdue() => return parts.sending.leave(),
        }
        tokio::select! {
            () = parts.shared.filled.notified() => {}
            () = sleep(LOOK_EVERY) => {}
            () = parts.sending.ending() => {}
        }
    }
    parts.give_back().await;
}

/// Whether a sign of life may be given: rules were evaluated lately, and what they tell arrives.
async fn is_well(parts: &Parts) -> Result<bool, DbErr> {
    let now = parts.clock.now_micros();
    let last = parts.shared.last_round.load(Ordering::Acquire);
    let late = parts.settings.load().alerts_every.saturating_mul(LATE);
    if last <= 0 || now - last >= micros(late) {
        return Ok(false);
    }
    let read = &parts.databases.control_read;
    let channels = channel::all(read).await?;
    let fails = |channel: &channel::Model| channel.enabled && channel.fails_at(now);
    let was_the_last = |channel: &channel::Model| channel.disabled_reason.is_some();
    let open: Vec<i64> = channels
        .iter()
        .filter(|channel| channel.enabled)
        .map(|channel| channel.id)
        .collect();
    if channels.iter().any(fails) || (open.is_empty() && channels.iter().any(was_the_last)) {
        return Ok(false);
    }
    let stuck = outbox::is_overdue(read, &open, now - micros(STUCK)).await?;
    Ok(!stuck)
}

/// Gives a sign of life to whoever misses it, if there is reason to.
pub async fn beat(parts: &Parts) {
    let mine = parts.clone();
    let home = &parts.databases;
    match home.at_home(async move { is_well(&mine).await }).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            tracing::warn!(%error, "whether notices arrive cannot be read: no heartbeat is sent");
            return;
        }
    }
    let parcel = Parcel {
        url: parts.heartbeat_url.clone(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: r#"{"status":"alive"}"#.to_owned(),
    };
    match timeout(ATTEMPT_WITHIN, parts.courier.post(parcel)).await {
        Ok(Ok(answered)) if (200..300).contains(&answered.status) => {}
        Ok(Ok(answered)) => {
            tracing::warn!(
                status = answered.status,
                "the heartbeat's receiver refused it"
            );
        }
        Ok(Err(why)) => tracing::warn!(why, "the heartbeat did not arrive"),
        Err(_) => tracing::warn!("the heartbeat got no answer in time"),
    }
}

impl Notifier {
    /// One that has sent nothing yet.
    pub fn new(me: Incarnation<Self>, parts: Parts) -> Self {
        Self { parts, me }
    }
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(LOOK_FOR_THE_END_EVERY, |this, _| {
            if this.me.is_draining() {
                this.parts.sending.end();
            }
        });
        let parts = self.parts.clone();
        let emptying = async move { empty(&parts).await };
        ctx.spawn(emptying.into_actor(self));
        if !self.parts.heartbeat_url.is_empty() {
            let parts = self.parts.clone();
            let beating = async move {
                loop {
                    beat(&parts).await;
                    sleep(parts.settings.load().alerts_every).await;
                }
            };
            ctx.spawn(beating.into_actor(self));
        }
    }
}
