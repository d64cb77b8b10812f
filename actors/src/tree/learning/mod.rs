//! What learns: feedback that becomes knowledge, and knowledge that is embedded, so that it is found by what it means.

pub mod feedback_learner;
pub mod knowledge_sync;

use crate::knowledge::{Parts, learn};
use crate::supervision::{ActorRef, Group, Intensity};

use feedback_learner::FeedbackLearner;
use knowledge_sync::KnowledgeSync;

/// The group `root/learning`. What it talks to lies outside: loose, so that it does not take the process down.
pub fn group(
    feedback_learner: &ActorRef<FeedbackLearner>,
    learns: learn::Parts,
    knowledge_sync: &ActorRef<KnowledgeSync>,
    syncs: Parts,
    intensity: Intensity,
) -> Group {
    Group::new("learning")
        .intensity(intensity)
        .child(knowledge_sync::spec(knowledge_sync, syncs))
        .child(feedback_learner::spec(
            feedback_learner,
            knowledge_sync,
            learns,
        ))
}
