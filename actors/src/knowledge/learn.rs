//! A pass of learning: what approved feedback teaches becomes candidates for pairs, and, where that is wanted, pairs.
//!
//! A reconciler: it takes no input but the tables, the kept conversations and the settings, and may be broken off
//! anywhere, since a piece of feedback has at most one candidate and a pair is written in the transaction that takes its
//! candidate. Several nodes may make a pass at once. Nothing that a tenant has is ever written over: where a pair
//! asks the same already, or nearly the same by what it means, the candidate waits for a person. What a pair or a waiting
//! candidate says already, word for word, is none of its own: it is merged, and counted there.

use std::sync::Arc;

use sea_orm::{DatabaseTransaction, DbErr};
use steward_entities::change::ChangeError;
use steward_entities::database::{Databases, begin_write};
use steward_entities::feedback::{self, GOOD_FROM, Status};
use steward_entities::qa_candidate::{self, Missing, Model, New, Origin, Same};
use steward_entities::qa_pair::{self, Source};
use steward_entities::scope::Scope;

use super::find::{ALIKE, NotFound};
use crate::contents::Said;
use crate::contents::store::ContentStore;
use crate::domain::clock::SharedClock;
use crate::domain::setting::InForce;
use crate::health::LatestRound;

/// Characters of a question, and of an answer: as many as somebody may type.
pub const QUESTION_MAX: usize = 1_000;
pub const ANSWER_MAX: usize = 20_000;
/// Pairs looked at for one that asks nearly the same: the nearest may ask the very same.
const NEAREST: usize = 5;
/// Who has made what nobody decided on.
const AUTHOR: &str = "feedback";

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub contents: Arc<ContentStore>,
    pub settings: InForce,
    pub clock: SharedClock,
    /// For who asks how it goes.
    pub latest: LatestRound,
    /// Where it is looked for pairs that ask nearly the same.
    pub nearby: super::Parts,
    pub judge: Judge,
}

/// What can be said of a question and its answer without asking anybody: 0 to 1. Whoever shows pairs knows.
pub type Judge = fn(question: &str, answer: &str) -> f64;

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Learned {
    /// Candidates written down, incomplete ones included, merged ones not.
    pub candidates: u64,
    /// Those of them that became pairs at once.
    pub taken: u64,
    /// What pairs or waiting candidates said already.
    pub merged: u64,
    /// Candidates forgotten because their feedback is no longer approved.
    pub withdrawn: u64,
    /// Feedback whose conversation could not be read: looked at again by the next pass.
    pub unread: u64,
}

/// Makes a pass.
///
/// # Errors
/// When the control database cannot be read or written; what was learnt stays.
pub async fn pass(parts: &Parts) -> Result<Learned, DbErr> {
    let mut learned = Learned::default();
    let txn = begin_write(&parts.databases.control).await?;
    learned.withdrawn = qa_candidate::withdraw(&txn).await?;
    txn.commit().await?;
    let mut after = 0;
    loop {
        let batch = parts.settings.load().sync_batch as u64;
        let due = qa_candidate::due(&parts.databases.control_read, after, batch).await?;
        let Some(last) = due.last() else {
            return Ok(learned);
        };
        after = last.id;
        for row in due {
            let said = match parts.contents.find(row.rid, row.id_tail).await {
                Ok(hit) => hit.map(|hit| hit.said),
                Err(error) => {
                    tracing::warn!(feedback = row.public_id, %error, "its conversation cannot be read; it is learned from later");
                    learned.unread += 1;
                    continue;
                }
            };
            learn(parts, &row, said.as_ref(), &mut learned).await?;
        }
    }
}

/// Learns from one piece of feedback, if it still says what was read and nobody else has.
async fn learn(
    parts: &Parts,
    row: &feedback::Model,
    said: Option<&Said>,
    learned: &mut Learned,
) -> Result<(), DbErr> {
    let now = parts.clock.now_micros();
    let mut new = candidate(row, said);
    let mut takes = parts.settings.load().learns && new.missing.is_none();
    if takes {
        match alike(parts, &new).await? {
            Alike::Pair(pair) => new.alike_pair_id = Some(pair),
            Alike::None => {}
            // A person looks for what cannot be looked for here.
            Alike::Unknown => takes = false,
        }
    }
    let txn = begin_write(&parts.databases.control).await?;
    let current = feedback::by_public_id(&txn, Scope::All, &row.public_id).await?;
    if current.is_none_or(|it| it.version != row.version || it.status != Status::Approved) {
        return Ok(());
    }
    let Some(candidate) = qa_candidate::insert(&txn, new, now).await? else {
        // That it was looked at may be noted.
        return txn.commit().await;
    };
    let same = same(&txn, &candidate).await?;
    let taken = match same {
        Some(same) => {
            let merged = qa_candidate::merge(&txn, &candidate, same, now).await;
            merged.map_err(database)?;
            false
        }
        None => takes && take(&txn, &candidate, parts.judge, now).await?,
    };
    txn.commit().await?;
    match same {
        Some(_) => learned.merged += 1,
        None => learned.candidates += 1,
    }
    learned.taken += u64::from(taken);
    Ok(())
}

/// Whether a pair of the tenant asks nearly the same.
enum Alike {
    /// None does, as far as words tell where there is no model.
    None,
    /// The key of one that does.
    Pair(i64),
    /// It cannot be looked for now.
    Unknown,
}

/// A pair of the tenant that asks nearly the same by what it means, not the very same.
async fn alike(parts: &Parts, new: &New) -> Result<Alike, DbErr> {
    let Some(tenant_id) = new.tenant_id.filter(|_| !parts.nearby.model.is_empty()) else {
        return Ok(Alike::None);
    };
    let scope = Scope::Tenant(tenant_id);
    let found = parts
        .nearby
        .find(scope, &new.question, NEAREST, ALIKE)
        .await;
    let found = match found {
        Ok(found) => found,
        Err(NotFound::Database(error)) => return Err(error),
        Err(NotFound::Loading | NotFound::Unembedded(_) | NotFound::Store(_)) => {
            return Ok(Alike::Unknown);
        }
    };
    let key = qa_pair::question_key(&new.question);
    let mut others = found.into_iter().map(|found| found.pair);
    let other = others.find(|pair| pair.question_key != key);
    Ok(other.map_or(Alike::None, |pair| Alike::Pair(pair.id)))
}

/// What says the same already, word for word but for case, blanks and signs.
async fn same(txn: &DatabaseTransaction, one: &Model) -> Result<Option<Same>, DbErr> {
    let Some(tenant_id) = one.tenant_id.filter(|_| one.missing.is_none()) else {
        return Ok(None);
    };
    let keys = vec![one.question_key.clone()];
    let asking = qa_pair::asking(txn, Scope::Tenant(tenant_id), keys).await?;
    let answer = qa_pair::question_key(&one.answer);
    let says = |pair: &&qa_pair::Model| qa_pair::question_key(&pair.answer) == answer;
    if let Some(pair) = asking.iter().find(says) {
        return Ok(Some(Same::Pair(pair.id)));
    }
    let other = qa_candidate::saying(txn, one).await?;
    Ok(other.map(|other| Same::Candidate(other.id)))
}

/// Makes a pair of it, if nothing speaks against that: it is complete, and no pair of the tenant asks the same or nearly so.
async fn take(
    txn: &DatabaseTransaction,
    one: &Model,
    judge: Judge,
    now: i64,
) -> Result<bool, DbErr> {
    let complete = one.missing.is_none() && one.alike_pair_id.is_none();
    let Some(tenant_id) = one.tenant_id.filter(|_| complete) else {
        return Ok(false);
    };
    let keys = vec![one.question_key.clone()];
    let asking = qa_pair::asking(txn, Scope::Tenant(tenant_id), keys).await?;
    if !asking.is_empty() {
        return Ok(false);
    }
    let pair = qa_pair::New {
        tenant_id,
        question: one.question.clone(),
        answer: one.answer.clone(),
        category: String::new(),
        source: Source::Feedback,
        template_id: None,
        quality_score: Some(judge(&one.question, &one.answer)),
        created_by: AUTHOR.to_owned(),
    };
    let pair = qa_pair::insert(txn, pair, now).await?;
    let taken = qa_candidate::Status::Taken;
    let decided = qa_candidate::decide(txn, one, taken, Some(pair.id), None, now).await;
    decided.map(|_| true).map_err(database)
}

/// It was written a moment ago, in this transaction: nobody else has changed it.
fn database(error: ChangeError) -> DbErr {
    match error {
        ChangeError::Database(error) => error,
        other => DbErr::Custom(other.to_string()),
    }
}

/// What a piece of feedback teaches. The answer is the correction; of an answer that was called good, the answer itself.
/// The question is what was asked, or the comment when that was not kept.
fn candidate(row: &feedback::Model, said: Option<&Said>) -> New {
    let fits = |text: &str, most: usize| {
        let text = text.trim().replace("\r\n", "\n");
        let is_written = |one: char| !one.is_control() || matches!(one, '\n' | '\t');
        let fits = !text.is_empty() && text.chars().count() <= most && text.chars().all(is_written);
        fits.then_some(text)
    };
    let asked = said.and_then(|said| fits(&said.prompt, QUESTION_MAX));
    let (question, origin) = match asked {
        Some(asked) => (Some(asked), Origin::Conversation),
        // Of a correction; what somebody says of a good answer is praise.
        None => match fits(&row.comment, QUESTION_MAX).filter(|_| !row.correction.is_empty()) {
            Some(comment) => (Some(comment), Origin::Comment),
            None => (None, Origin::None),
        },
    };
    let answer = match row.correction.trim().is_empty() {
        false => fits(&row.correction, ANSWER_MAX),
        true => said
            .filter(|said| row.rating >= GOOD_FROM && said.tool_calls_json.is_empty())
            .and_then(|said| fits(&said.completion, ANSWER_MAX)),
    };
    let missing = match (row.tenant_id, &question, &answer) {
        (None, _, _) => Some(Missing::Tenant),
        (_, None, _) => Some(Missing::Question),
        (_, _, None) => Some(Missing::Answer),
        _ => None,
    };
    New {
        feedback_id: row.id,
        tenant_id: row.tenant_id,
        question: question.unwrap_or_default(),
        answer: answer.unwrap_or_default(),
        origin,
        missing,
        feedback_version: row.version,
        alike_pair_id: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn given(rating: i64, comment: &str, correction: &str) -> feedback::Model {
        feedback::Model {
            id: 7,
            public_id: "fbk_1".to_owned(),
            rid: 1,
            id_tail: 2,
            token_id: 3,
            tenant_id: Some(4),
            app: String::new(),
            end_user: String::new(),
            model: "m".to_owned(),
            conversation_id: String::new(),
            prompt_name: String::new(),
            prompt_number: None,
            rating,
            category: String::new(),
            comment: comment.to_owned(),
            correction: correction.to_owned(),
            status: Status::Approved,
            resolution: None,
            handled_by: None,
            handled_at: None,
            created_at: 0,
            updated_at: 0,
            version: 1,
        }
    }

    fn said(prompt: &str, completion: &str) -> Said {
        Said {
            prompt: prompt.to_owned(),
            completion: completion.to_owned(),
            ..Said::default()
        }
    }

    #[test]
    fn a_correction_answers_what_was_asked_or_what_the_comment_asks() {
        let kept = said(" 租借价格是多少？ ", "不知道");
        let learnt = candidate(&given(1, "wrong", " 单日三千円。"), Some(&kept));
        assert_eq!(
            (learnt.question.as_str(), learnt.answer.as_str()),
            ("租借价格是多少？", "单日三千円。")
        );
        assert_eq!(
            (learnt.origin, learnt.missing),
            (Origin::Conversation, None)
        );

        let learnt = candidate(&given(1, "How much is it?", "3,000 yen."), None);
        assert_eq!(learnt.question, "How much is it?");
        assert_eq!((learnt.origin, learnt.missing), (Origin::Comment, None));
    }

    #[test]
    fn a_good_answer_is_learnt_as_it_was_and_a_bad_one_is_not() {
        let kept = said("When do you open?", "At nine.");
        let good = candidate(&given(5, "great", ""), Some(&kept));
        assert_eq!((good.answer.as_str(), good.missing), ("At nine.", None));
        let bad = candidate(&given(2, "", ""), Some(&kept));
        assert_eq!(
            (bad.answer.as_str(), bad.missing),
            ("", Some(Missing::Answer))
        );
        let mut called = kept;
        called.tool_calls_json = "[{}]".to_owned();
        let called = candidate(&given(5, "", ""), Some(&called));
        assert_eq!(called.missing, Some(Missing::Answer));
    }

    #[test]
    fn what_is_missing_is_told_and_nothing_is_cut() {
        assert_eq!(
            candidate(&given(5, "great", ""), None).missing,
            Some(Missing::Question),
            "praise is no question"
        );
        assert_eq!(
            candidate(&given(1, "", "x"), None).missing,
            Some(Missing::Question)
        );
        let long = said(&"长".repeat(QUESTION_MAX + 1), "");
        let learnt = candidate(&given(1, "", "x"), Some(&long));
        assert_eq!(
            (learnt.question.as_str(), learnt.missing),
            ("", Some(Missing::Question))
        );
        let fits = said(&"长".repeat(QUESTION_MAX), "");
        assert_eq!(candidate(&given(1, "", "x"), Some(&fits)).missing, None);
        let mut nobody = given(1, "?", "x");
        nobody.tenant_id = None;
        assert_eq!(candidate(&nobody, None).missing, Some(Missing::Tenant));
    }
}
