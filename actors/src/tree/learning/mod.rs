//! What learns: knowledge that is embedded, so that it is found by what it means.

pub mod knowledge_sync;

use crate::knowledge::Parts;
use crate::supervision::{ActorRef, Group, Intensity};

use knowledge_sync::KnowledgeSync;

/// The group `root/learning`. What it talks to lies outside: loose, so that it does not take the process down.
pub fn group(
    knowledge_sync: &ActorRef<KnowledgeSync>,
    parts: Parts,
    intensity: Intensity,
) -> Group {
    Group::new("learning")
        .intensity(intensity)
        .child(knowledge_sync::spec(knowledge_sync, parts))
}
