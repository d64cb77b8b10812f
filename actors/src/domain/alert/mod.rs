//! Alerts as values: what a rule says, what becomes of a series of readings, and what is worth telling.
//!
//! - [`condition`]: `error_rate > 0.1`, as text or as fields, over the [`metric`] table;
//! - [`rule`]: a condition with its window, its patience and its policies;
//! - [`machine`]: one rule and one set of labels through inactive, pending, firing and back;
//! - [`silence`]: who need not hear of it for a while;
//! - [`series`]: the machine with its incident and what was told, as it is kept;
//! - [`telling`]: what to tell, judged by what was told last.
//!
//! Time is passed in (microseconds since the Unix epoch), so a day of readings is a test of a millisecond.
//! Nothing here reads a metric, a table or a clock, and nothing sends.

pub mod condition;
pub mod machine;
pub mod metric;
pub mod rule;
pub mod series;
pub mod silence;
pub mod telling;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// What tells one series of a rule from another: `model=gpt-4o`.
pub type Labels = BTreeMap<String, String>;

/// The labels as one text, for keys and for people: `app=shop, model=gpt-4o`.
pub fn labels_text(labels: &Labels) -> String {
    let parts: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join(", ")
}
