//! A silence: for a while, alerts that fit are evaluated and kept as ever, and nobody is told.

use super::Labels;

/// How a label is held against a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Match {
    Is,
    IsNot,
}

/// `model = gpt-4o`. Besides a series' own labels there are `rule` (name) and `severity`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Matcher {
    pub label: String,
    pub how: Match,
    pub value: String,
}

impl Matcher {
    /// Reads `label=value` or `label!=value`.
    pub fn parse(text: &str) -> Option<Self> {
        let (label, how, value) = match text.split_once("!=") {
            Some((label, value)) => (label, Match::IsNot, value),
            None => {
                let (label, value) = text.split_once('=')?;
                (label, Match::Is, value)
            }
        };
        let (label, value) = (label.trim(), value.trim());
        (!label.is_empty()).then(|| Self {
            label: label.to_owned(),
            how,
            value: value.to_owned(),
        })
    }

    /// Whether the labels fit. A label that is not there has the empty value.
    pub fn fits(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.label).map_or("", String::as_str);
        (found == self.value) == (self.how == Match::Is)
    }
}

/// A silence. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Silence {
    /// All must fit; without any, none does.
    pub matchers: Vec<Matcher>,
    pub from: i64,
    /// The first moment that is loud again.
    pub to: i64,
}

impl Silence {
    /// Whether it holds for `labels` at `now`.
    pub fn holds(&self, labels: &Labels, now: i64) -> bool {
        (self.from..self.to).contains(&now)
            && !self.matchers.is_empty()
            && self.matchers.iter().all(|matcher| matcher.fits(labels))
    }
}
