//! A notice as a mail: subject, both bodies, and the ids that make a thread of an incident.
//!
//! All mails of an incident refer to one root that was never sent, so they stand together whichever came first. Putting
//! them on the wire is not done here.

use super::body::{text, title};
use super::{Event, Notice};

/// The value of `Auto-Submitted`: nobody's holiday reply answers.
pub const AUTO_SUBMITTED: &str = "auto-generated";

/// A mail, besides its sender and its recipients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
    /// With its angle brackets; the same on every attempt.
    pub message_id: String,
    /// For `References` and `In-Reply-To`, with its angle brackets.
    pub thread: String,
}

/// Writes `notice` as a mail; `domain` is the right half of its ids.
pub fn write(notice: &Notice, domain: &str) -> Mail {
    Mail {
        subject: one_line(&title(notice)),
        text: text(notice),
        html: html(notice),
        message_id: format!("<{}@{domain}>", notice.id),
        thread: format!("<{}@{domain}>", notice.incident),
    }
}

fn html(notice: &Notice) -> String {
    let color = match notice.event {
        Event::Resolved => "#1a7f37",
        Event::Acknowledged | Event::Test => "#57606a",
        Event::Fired | Event::Repeated | Event::Flapping => "#cf222e",
    };
    let lines: Vec<String> = text(notice).lines().skip(1).map(escaped).collect();
    format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><h2 style=\"color:{color}\">{}</h2><p>{}</p></body></html>",
        escaped(&title(notice)),
        lines.join("<br>")
    )
}

/// A subject that smuggles in no header.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
