//! What the HTTP server must be told for the gateway to keep its word. Start-up calls [`on_connect`] and
//! follows this list when it builds its `HttpServer`:
//!
//! - `tcp_nodelay(true)`: without it every small answer waits for the client's delayed acknowledgement;
//! - `h1_allow_half_closed(false)`: a client that leaves is noticed at once, in front of the first byte as in
//!   the middle of a stream, because the connection is read all the while; the handler or the body is then
//!   dropped, and with it the upstream call;
//! - `client_request_timeout(server.request_head_timeout_ms)`: slow heads;
//! - `client_disconnect_timeout(`[`LINGER`]`)`: how long an unread body is swallowed after an early refusal,
//!   so that the client reads the refusal instead of a reset;
//! - `keep_alive(`[`KEEP_ALIVE`]`)`: longer than most clients' pools, so that they close first;
//! - `shutdown_timeout` a few seconds above `server.drain_timeout_ms`: after the drain time-out
//!   [`Gateway::cut_streams`](super::Gateway::cut_streams) ends what is left within about a second.

use std::any::Any;
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

/// How long an unread request body is swallowed after an early refusal.
pub const LINGER: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A peer that takes no byte for this long is gone, in milliseconds: its stream must not hold an upstream
/// call for ever.
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// For `HttpServer::on_connect`; to be set before binding.
pub fn on_connect(connection: &dyn Any, _: &mut Extensions) {
    if let Some(socket) = connection.downcast_ref::<TcpStream>() {
        // Best effort: on a system without the option a stalled client is noticed by TCP's own time-out.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS);
        let _ = rustix::net::sockopt::set_socket_keepalive(socket, true);
    }
}
