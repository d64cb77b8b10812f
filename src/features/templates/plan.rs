//! What handing out a template to a tenant would do, decided from what both have. Pure: no row is read or written here.
//!
//! Words of a tenant's own are never overwritten unless somebody says `replace` of them: a pair that was edited since it
//! was handed out, one that was removed, and a pair of the tenant's own that asks the same are all asked about.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use steward_entities::template_distribution::Model as Distribution;
use steward_entities::{qa_pair, template};
use utoipa::ToSchema;

/// How a tenant stands to a template.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It was never given.
    Missing,
    /// It has what the template says now.
    Current,
    /// It has what the template said before.
    Outdated,
    /// It changed what it was given; the template has not changed since.
    Edited,
    /// It changed what it was given, and the template has changed since.
    EditedOutdated,
    /// It removed what it was given.
    Removed,
    /// It was never given, and has a pair of its own that asks the same.
    OwnQuestion,
}

impl Standing {
    /// Whether somebody has to say what becomes of the tenant's own.
    pub(super) fn is_conflict(self) -> bool {
        !matches!(self, Self::Missing | Self::Current | Self::Outdated)
    }
}

/// What becomes of a tenant's own words.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnConflict {
    /// They stay, and the matter is open: the next distribution asks again.
    #[default]
    Skip,
    /// They stay, and that is decided until the template changes again.
    Keep,
    /// The template's words take their place.
    Replace,
}

/// What is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// A new pair.
    Create,
    /// A pair that nobody edited says what the template says now.
    Update,
    /// The tenant's own words give way.
    Replace,
    /// The tenant's own words stay; the revision is noted.
    Keep,
    /// The tenant's own words stay, and nothing is noted.
    Skip,
    /// Nothing is to do.
    Nothing,
}

impl Act {
    /// As it is noted.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Replace => "replaced",
            Self::Keep => "kept",
            Self::Skip => "skipped",
            Self::Nothing => "unchanged",
        }
    }

    /// Reads what was noted.
    pub(super) fn parse(text: &str) -> Self {
        let all = [Self::Create, Self::Update, Self::Replace, Self::Keep];
        let mut all = all.into_iter();
        all.find(|act| act.as_str() == text)
            .unwrap_or(Self::Nothing)
    }
}

/// SHA-256 of what a pair or template says, hexadecimal.
pub(super) fn hash(question: &str, answer: &str, category: &str) -> String {
    let mut hash = Sha256::new();
    for part in [question, answer, category] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn hash_of_pair(pair: &qa_pair::Model) -> String {
    hash(&pair.question, &pair.answer, &pair.category)
}

pub(super) fn hash_of_template(row: &template::Model) -> String {
    hash(&row.question, &row.answer, &row.category)
}

/// How a tenant stands: what it was given, the pair that became of it, and whether it has another that asks the same.
pub(super) fn standing(
    template: &template::Model,
    given: Option<&Distribution>,
    pair: Option<&qa_pair::Model>,
    has_own: bool,
) -> Standing {
    let Some(given) = given else {
        return match has_own {
            true => Standing::OwnQuestion,
            false => Standing::Missing,
        };
    };
    let Some(pair) = pair else {
        return Standing::Removed;
    };
    let has = hash_of_pair(pair);
    if has == hash_of_template(template) {
        return Standing::Current;
    }
    match (has == given.hash, given.revision < template.revision) {
        (true, true) => Standing::Outdated,
        (false, true) => Standing::EditedOutdated,
        // Whatever the words are, also those of an earlier revision: somebody decided on this one that they stay.
        (_, false) => Standing::Edited,
    }
}

/// What is done where a tenant stands so, and this is to become of its own words.
pub(super) fn act(standing: Standing, on_conflict: OnConflict) -> Act {
    match (standing, on_conflict) {
        (Standing::Missing, _) => Act::Create,
        (Standing::Current, _) => Act::Nothing,
        (Standing::Outdated, _) => Act::Update,
        (_, OnConflict::Skip) => Act::Skip,
        // It has been decided, and nothing happened since.
        (Standing::Edited, OnConflict::Keep) => Act::Nothing,
        (_, OnConflict::Keep) => Act::Keep,
        (_, OnConflict::Replace) => Act::Replace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(answer: &str, revision: i64) -> template::Model {
        template::Model {
            id: 1,
            public_id: "tpl_1".into(),
            question: "How?".into(),
            question_key: "how".into(),
            answer: answer.into(),
            category: String::new(),
            revision,
            created_by: String::new(),
            created_at: 0,
            updated_at: 0,
            version: revision,
        }
    }

    fn pair(answer: &str) -> qa_pair::Model {
        qa_pair::Model {
            id: 9,
            public_id: "qa_9".into(),
            tenant_id: 2,
            question: "How?".into(),
            question_key: "how".into(),
            answer: answer.into(),
            category: String::new(),
            source: qa_pair::Source::Template,
            template_id: Some(1),
            quality_score: None,
            is_synced: false,
            synced_at: None,
            created_by: String::new(),
            created_at: 0,
            updated_at: 0,
            version: 1,
        }
    }

    fn given(answer: &str, revision: i64) -> Distribution {
        Distribution {
            template_id: 1,
            tenant_id: 2,
            pair_id: Some(9),
            revision,
            hash: hash("How?", answer, ""),
            outcome: "created".into(),
            job_id: String::new(),
            distributed_at: 0,
        }
    }

    #[test]
    fn own_words_are_told_from_those_that_were_handed_out() {
        use Standing::*;
        let now = template("b", 2);
        for (given, pair, has_own, expected) in [
            (None, None, false, Missing),
            (None, None, true, OwnQuestion),
            (Some(given("b", 2)), Some(pair("b")), false, Current),
            (Some(given("a", 1)), Some(pair("a")), false, Outdated),
            (Some(given("b", 2)), Some(pair("mine")), false, Edited),
            (
                Some(given("a", 1)),
                Some(pair("mine")),
                false,
                EditedOutdated,
            ),
            (Some(given("a", 1)), None, false, Removed),
            // Edited to what the template says meanwhile: nothing is left to decide.
            (Some(given("a", 1)), Some(pair("b")), false, Current),
            // Kept at this revision: still its own words.
            (Some(given("a", 2)), Some(pair("mine")), false, Edited),
            // And those it had from the revision before are no other words of its own.
            (Some(given("a", 2)), Some(pair("a")), false, Edited),
        ] {
            let found = standing(&now, given.as_ref(), pair.as_ref(), has_own);
            assert_eq!(found, expected, "{given:?} {pair:?}");
        }
    }

    #[test]
    fn nothing_of_a_tenants_own_goes_unless_somebody_says_replace() {
        let all = [
            Standing::Missing,
            Standing::Current,
            Standing::Outdated,
            Standing::Edited,
            Standing::EditedOutdated,
            Standing::Removed,
            Standing::OwnQuestion,
        ];
        for standing in all {
            for policy in [OnConflict::Skip, OnConflict::Keep, OnConflict::Replace] {
                let act = act(standing, policy);
                let overwrites = act == Act::Replace;
                assert_eq!(
                    overwrites,
                    standing.is_conflict() && policy == OnConflict::Replace,
                    "{standing:?} {policy:?}"
                );
            }
        }
        assert_eq!(act(Standing::Outdated, OnConflict::Skip), Act::Update);
        assert_eq!(act(Standing::EditedOutdated, OnConflict::Keep), Act::Keep);
        assert_eq!(act(Standing::Removed, OnConflict::default()), Act::Skip);
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(hash("a", "bc", ""), hash("ab", "c", ""));
        for act in [Act::Create, Act::Update, Act::Replace, Act::Keep] {
            assert_eq!(Act::parse(act.as_str()), act);
        }
    }
}
