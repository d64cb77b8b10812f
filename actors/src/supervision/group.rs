//! A group of children and how it answers the failure of one of them.

use super::backoff::{Backoff, Intensity};
use super::spec::{ChildSpec, SpecError};
use serde::Serialize;
use std::collections::HashSet;
use std::ops::Range;

/// Which children are restarted when one fails (or is restarted by hand).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// That one.
    OneForOne,
    /// That one and those after it.
    RestForOne,
    /// All of them.
    OneForAll,
}

impl Strategy {
    /// The children concerned by `failed` among `count`.
    pub(crate) fn affected(self, failed: usize, count: usize) -> Range<usize> {
        match self {
            Self::OneForOne => failed..failed + 1,
            Self::RestForOne => failed..count,
            Self::OneForAll => 0..count,
        }
    }
}

/// Children under one supervisor: started in order, each once its elder is up, and stopped in reverse.
#[derive(Debug)]
pub struct Group {
    /// Part of the slash path.
    pub name: String,
    /// Which children are restarted together.
    pub strategy: Strategy,
    /// How many failures are too many.
    pub intensity: Intensity,
    /// How restarts are spaced.
    pub backoff: Backoff,
    /// In start order.
    pub children: Vec<ChildSpec>,
}

impl Group {
    /// An empty group: one for one, 5 failures in 60 s, 100 ms to 30 s between restarts.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            strategy: Strategy::OneForOne,
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            children: Vec::new(),
        }
    }

    /// Which children are restarted together.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How many failures are too many.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How restarts are spaced.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Adds a child, an actor or a group, after those that are there.
    pub fn child(mut self, child: impl Into<ChildSpec>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Gives every child its path.
    pub(crate) fn attach(&self, path: &str) -> Result<(), SpecError> {
        let mut names = HashSet::new();
        for child in &self.children {
            if child.id.is_empty() || child.id.contains('/') {
                return Err(SpecError::BadName(child.id.clone()));
            }
            let below = format!("{path}/{}", child.id);
            if !names.insert(&child.id) {
                return Err(SpecError::NameTwice(below));
            }
            child.node.attach(&below)?;
        }
        Ok(())
    }
}
