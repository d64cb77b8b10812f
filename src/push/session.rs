//! One socket: an actor of actix-web-actors, which lives and dies with its connection.
//!
//! It holds no messages: woken by the bell, it takes what is new and what the [`Window`] has room for. It is not a
//! supervised actor, since there is nothing to restart without the connection.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_http::ws::Item;
use actix_web_actors::ws::{CloseCode, CloseReason, Message, ProtocolError, WebsocketContext};
use bytestring::ByteString;
use futures_util::stream;
use steward_actors::live::Subscription;
use tokio::time::Instant;

use super::MESSAGE_MAX_BYTES;
use super::desk::{Closing, Seat};
use super::protocol::{self, Op};
use super::topics;
use super::window::Window;
use crate::error::{ApiError, ErrorCode};

/// See the module.
pub(super) struct Session {
    seat: Seat,
    subscription: Subscription,
    heartbeat: Duration,
    window: Window,
    /// A message that comes in several frames.
    partial: Option<Vec<u8>>,
    /// It was closed: what still comes is not answered.
    is_over: bool,
}

/// The bell rang.
struct Rung;

impl Session {
    pub(super) fn new(seat: Seat, subscription: Subscription, heartbeat: Duration) -> Self {
        Self {
            seat,
            subscription,
            heartbeat,
            window: Window::new(heartbeat, Instant::now()),
            partial: None,
            is_over: false,
        }
    }

    fn say(&mut self, text: ByteString, ctx: &mut WebsocketContext<Self>) {
        self.window.sent(text.len());
        ctx.text(text);
        self.bound(ctx);
    }

    /// Ends the session of a client that asks on and on and reads no answer.
    fn bound(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.window.is_overrun() && !self.is_over {
            self.close(Closing::Unread, ctx);
        }
    }

    fn close(&mut self, closing: Closing, ctx: &mut WebsocketContext<Self>) {
        self.is_over = true;
        ctx.close(Some(CloseReason {
            code: CloseCode::from(closing as u16),
            description: Some(closing.reason().to_owned()),
        }));
        ctx.stop();
    }

    /// Sends what is new and fits.
    fn flush(&mut self, ctx: &mut WebsocketContext<Self>) {
        if let Some(closing) = self.seat.closing() {
            self.close(closing, ctx);
            return;
        }
        let room = self.window.room();
        if room > 0 {
            let window = &mut self.window;
            self.subscription.take(room, |frame| {
                window.sent(frame.len());
                ctx.text(frame);
            });
        }
        self.ping(ctx);
    }

    fn ping(&mut self, ctx: &mut WebsocketContext<Self>) {
        if let Some(payload) = self.window.ping(Instant::now()) {
            ctx.ping(&payload);
        }
    }

    fn beat(&mut self, ctx: &mut WebsocketContext<Self>) {
        if self.window.is_dead(Instant::now()) {
            self.close(Closing::Silent, ctx);
        } else {
            self.flush(ctx);
        }
    }

    fn read(&mut self, text: &[u8], ctx: &mut WebsocketContext<Self>) {
        match serde_json::from_slice(text) {
            Ok(Op::Subscribe {
                topics,
                since,
                epoch,
            }) => {
                let own_epoch = self.subscription.epoch();
                let mut added = Vec::new();
                for name in self.known(&topics, ctx) {
                    let since = protocol::since(name, &since, epoch, own_epoch);
                    if !self.subscription.add(name, since) {
                        self.say(protocol::gap(own_epoch, name), ctx);
                    }
                    added.push(name);
                }
                self.say(protocol::subscribed(own_epoch, &added), ctx);
                self.flush(ctx);
            }
            Ok(Op::Unsubscribe { topics }) => {
                for topic in self.known(&topics, ctx) {
                    self.subscription.remove(topic);
                }
            }
            Ok(Op::Ping) => {
                self.say(protocol::pong(), ctx);
                self.ping(ctx);
            }
            Err(_) => {
                let error = ApiError::new(ErrorCode::RequestInvalid).detail(
                    "A message is a JSON object whose op is subscribe, unsubscribe or ping.",
                );
                self.say(protocol::refused(&error, None), ctx);
            }
        }
    }

    /// The topics of `names` that this client may hear; it is told of the others.
    fn known(
        &mut self,
        names: &[String],
        ctx: &mut WebsocketContext<Self>,
    ) -> Vec<steward_actors::live::Topic> {
        if names.len() > protocol::NAMES_MAX {
            let error = ApiError::new(ErrorCode::RequestInvalid)
                .detail(format!("At most {} topics at a time.", protocol::NAMES_MAX));
            self.say(protocol::refused(&error, None), ctx);
            return Vec::new();
        }
        let mut known = Vec::new();
        for name in names {
            match topics::permitted(name, self.seat.operator()) {
                Ok(topic) => known.push(topic),
                Err(error) => self.say(protocol::refused(&error, Some(name)), ctx),
            }
        }
        known
    }

    /// Puts a message of several frames together, as far as it is not too large.
    fn continuation(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        let (bytes, is_first, is_last) = match item {
            Item::FirstText(bytes) | Item::FirstBinary(bytes) => (bytes, true, false),
            Item::Continue(bytes) => (bytes, false, false),
            Item::Last(bytes) => (bytes, false, true),
        };
        let mut whole = match (is_first, self.partial.take()) {
            (true, _) => Vec::new(),
            (false, Some(partial)) => partial,
            (false, None) => return self.close(Closing::TooLarge, ctx),
        };
        if whole.len() + bytes.len() > MESSAGE_MAX_BYTES {
            return self.close(Closing::TooLarge, ctx);
        }
        whole.extend_from_slice(&bytes);
        if is_last {
            self.read(&whole, ctx);
        } else {
            self.partial = Some(whole);
        }
    }
}

impl Actor for Session {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let bell = self.subscription.bell();
        let rung = stream::unfold(bell, |mut bell| async {
            bell.changed().await.ok().map(|()| (Rung, bell))
        });
        ctx.add_stream(rung);
        ctx.run_interval(self.heartbeat / 3, Self::beat);
        let heartbeat_ms = u64::try_from(self.heartbeat.as_millis()).unwrap_or(u64::MAX);
        self.say(
            protocol::hello(self.subscription.epoch(), heartbeat_ms),
            ctx,
        );
        // Closed between the ticket and here.
        self.flush(ctx);
    }
}

impl StreamHandler<Rung> for Session {
    fn handle(&mut self, _: Rung, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        if self.is_over {
            return;
        }
        self.window.heard(Instant::now());
        match message {
            Ok(Message::Text(text)) => self.read(text.as_bytes(), ctx),
            Ok(Message::Binary(bytes)) => self.read(&bytes, ctx),
            Ok(Message::Continuation(item)) => self.continuation(item, ctx),
            Ok(Message::Ping(payload)) => {
                self.window.sent(payload.len());
                ctx.pong(&payload);
                self.bound(ctx);
                self.ping(ctx);
            }
            Ok(Message::Pong(payload)) => {
                self.window.answered(&payload);
                self.flush(ctx);
            }
            Ok(Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(Message::Nop) => {}
            Err(ProtocolError::Overflow) => self.close(Closing::TooLarge, ctx),
            Err(error) => {
                tracing::debug!(%error, "a WebSocket client does not speak WebSocket");
                ctx.stop();
            }
        }
    }
}

/// Kept small: there may be ten thousand.
const _: () = assert!(size_of::<Session>() + size_of::<Arc<()>>() <= 512);
