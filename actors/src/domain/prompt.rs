//! Which version of a prompt a caller means, without asking a database: names, labels, numbers and hashes.
//!
//! What a version says is not here: texts are long, there are many, and those who ask for one can wait for it. A
//! version is never changed, so what was read once stays right.

use std::collections::HashMap;
use std::sync::Arc;

/// A label that nobody sets: the newest version.
pub const LATEST: &str = "latest";

/// One version of a prompt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PromptVersion {
    /// Key of its row; never used again, whatever becomes of the prompt.
    pub id: i64,
    /// Public id of the prompt (`prm_…`).
    pub prompt_public_id: String,
    /// Name of the prompt and the number: `support/greeting@3`.
    pub name: String,
    pub number: i64,
    /// SHA-256 over content, message, author, time and the parent's hash, hexadecimal.
    pub hash: String,
}

/// A prompt: its versions by number, and what its labels point at.
#[derive(Clone, Debug, Default)]
pub struct PromptView {
    pub public_id: String,
    /// Number of the newest version.
    pub head: i64,
    pub labels: HashMap<String, i64>,
    pub versions: HashMap<i64, Arc<PromptVersion>>,
}

impl PromptView {
    /// The version that a label or a number names.
    pub fn version(&self, which: &str) -> Option<&Arc<PromptVersion>> {
        let number = match which.parse() {
            Ok(number) => number,
            Err(_) if which == LATEST => self.head,
            Err(_) => *self.labels.get(which)?,
        };
        self.versions.get(&number)
    }
}

/// All prompts, by name.
#[derive(Clone, Debug, Default)]
pub struct PromptBook(HashMap<String, PromptView>);

impl PromptBook {
    /// One of these prompts.
    pub fn new(prompts: impl IntoIterator<Item = (String, PromptView)>) -> Self {
        Self(prompts.into_iter().collect())
    }

    /// The prompt of this name.
    pub fn prompt(&self, name: &str) -> Option<&PromptView> {
        self.0.get(name)
    }

    /// The version that `name@number`, `name@label` or a bare name (its newest) means.
    pub fn find(&self, text: &str) -> Option<&Arc<PromptVersion>> {
        let (name, which) = text.rsplit_once('@').unwrap_or((text, LATEST));
        self.prompt(name)?.version(which)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_number_label_and_name() {
        let versions = [1, 2, 3].map(|number| {
            let version = PromptVersion {
                id: 10 + number,
                prompt_public_id: "prm_1".into(),
                name: format!("a/b@{number}"),
                number,
                hash: String::new(),
            };
            (number, Arc::new(version))
        });
        let view = PromptView {
            public_id: "prm_1".into(),
            head: 3,
            labels: [("production".to_owned(), 2), ("gone".to_owned(), 9)].into(),
            versions: versions.into(),
        };
        let book = PromptBook::new([("a/b".to_owned(), view)]);
        let number = |text: &str| book.find(text).map(|version| version.number);
        assert_eq!(number("a/b"), Some(3));
        assert_eq!(number("a/b@latest"), Some(3));
        assert_eq!(number("a/b@1"), Some(1));
        assert_eq!(number("a/b@production"), Some(2));
        for nobody in [
            "a",
            "a/b@",
            "a/b@4",
            "a/b@0",
            "a/b@-1",
            "a/b@staging",
            "a/b@gone",
            "",
            "@1",
        ] {
            assert_eq!(number(nobody), None, "{nobody}");
        }
    }
}
