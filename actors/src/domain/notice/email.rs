//! A notice as a mail: subject, both bodies, and the ids that make a thread of an incident.
//!
//! All mails of an incident refer to one root that was never sent, so they stand together whichever came first. Putting
//! them on the wire is not done here.

use std::fmt;

use super::body::{text, text_of_several, title, title_of_several};
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
    /// For `In-Reply-To`, with its angle brackets.
    pub thread: String,
    /// For `References`: the threads it belongs to, separated by spaces.
    pub references: String,
    /// What the HTML shows as `cid:…`.
    pub images: Vec<Part>,
    /// Files that come with it.
    pub files: Vec<Part>,
}

/// Bytes that are sent with a mail.
#[derive(Clone, Eq, PartialEq)]
pub struct Part {
    /// Of an image its content id, of a file its name.
    pub name: String,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// Longest text of a mail that tells several notices, in characters.
const TEXT_MAX: usize = 50_000;
/// Threads that such a mail belongs to.
const THREADS_MAX: usize = 20;

/// Writes `notice` as a mail; `domain` is the right half of its ids.
pub fn write(notice: &Notice, domain: &str) -> Mail {
    let (title, text) = (title(notice), text(notice));
    let thread = thread(notice, domain);
    Mail {
        subject: one_line(&title),
        html: html(&title, &text, color(notice.event)),
        text,
        message_id: format!("<{}@{domain}>", notice.id),
        references: thread.clone(),
        thread,
        images: Vec::new(),
        files: Vec::new(),
    }
}

/// Writes several notices as one mail called `id`; it belongs to the threads of all their incidents.
pub fn write_several(id: &str, notices: &[Notice], domain: &str) -> Option<Mail> {
    let [first, ..] = notices else {
        return None;
    };
    let mut threads: Vec<String> = Vec::new();
    for notice in notices {
        let thread = thread(notice, domain);
        if threads.len() < THREADS_MAX && !threads.contains(&thread) {
            threads.push(thread);
        }
    }
    let (title, text) = (
        title_of_several(notices),
        text_of_several(notices, TEXT_MAX),
    );
    let is_over = |notice: &Notice| notice.event == Event::Resolved;
    let event = match notices.iter().find(|notice| !is_over(notice)) {
        Some(open) => open.event,
        None => first.event,
    };
    Some(Mail {
        subject: one_line(&title),
        html: html(&title, &text, color(event)),
        text,
        message_id: format!("<{id}@{domain}>"),
        thread: thread(first, domain),
        references: threads.join(" "),
        images: Vec::new(),
        files: Vec::new(),
    })
}

fn thread(notice: &Notice, domain: &str) -> String {
    format!("<{}@{domain}>", notice.incident)
}

const fn color(event: Event) -> &'static str {
    match event {
        Event::Resolved => "#1a7f37",
        Event::Acknowledged | Event::Test => "#57606a",
        Event::Fired | Event::Repeated | Event::Flapping => "#cf222e",
    }
}

/// The text's first line is its title.
fn html(title: &str, text: &str, color: &str) -> String {
    let lines: Vec<String> = text.lines().skip(1).map(escaped).collect();
    format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><h2 style=\"color:{color}\">{}</h2><p>{}</p></body></html>",
        escaped(title),
        lines.join("<br>")
    )
}

/// A subject that smuggles in no header.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// As HTML has it, in texts and in attributes.
pub(crate) fn escaped(text: &str) -> String {
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
