//! What the evaluator does not know itself: the components, what they stand on, certificates, restarts. Whoever knows is
//! attached once it runs, and asked at every round; nothing is kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

type Ask<T> = Box<dyn Fn() -> T + Send + Sync>;

/// What only others know: attached once they run; not asked before.
#[derive(Default)]
pub struct Outside {
    pub(super) components: OnceLock<Ask<Vec<(String, &'static str)>>>,
    known: OnceLock<Ask<Option<BTreeSet<String>>>>,
    parents: OnceLock<Ask<BTreeMap<String, String>>>,
    pub(super) certificates: OnceLock<Ask<Vec<(String, i64)>>>,
    pub(super) restarts: OnceLock<Ask<u64>>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Outside {
    /// Who knows the components and how they are (`healthy`, `degraded`, `unhealthy`, `unknown`). The first one stays.
    pub fn components(
        &self,
        ask: impl Fn() -> Vec<(String, &'static str)> + Send + Sync + 'static,
    ) {
        let _ = self.components.set(Box::new(ask));
    }

    /// Who knows which components there are, looked at or not. The first one stays.
    pub fn knows(&self, ask: impl Fn() -> Option<BTreeSet<String>> + Send + Sync + 'static) {
        let _ = self.known.set(Box::new(ask));
    }

    /// Which components there are, if somebody knows, and which of them were looked at since the process started.
    pub fn roll(&self) -> Roll {
        let looked = self.components.get().map_or_else(Vec::new, |ask| ask());
        Roll {
            known: self.known.get().and_then(|ask| ask()),
            looked: looked.into_iter().map(|(id, _)| id).collect(),
        }
    }

    /// Who knows what each component stands on, if on any. The first one stays.
    pub fn stands_on(&self, ask: impl Fn() -> BTreeMap<String, String> + Send + Sync + 'static) {
        let _ = self.parents.set(Box::new(ask));
    }

    /// What each component stands on, as far as somebody knows.
    pub fn parents(&self) -> BTreeMap<String, String> {
        self.parents.get().map_or_else(BTreeMap::new, |ask| ask())
    }

    /// Who knows which components have certificates, and when those expire (microseconds since the Unix epoch). The first
    /// one stays.
    pub fn certificates(&self, ask: impl Fn() -> Vec<(String, i64)> + Send + Sync + 'static) {
        let _ = self.certificates.set(Box::new(ask));
    }

    /// Who knows how often actors were restarted. The first one stays.
    pub fn restarts(&self, ask: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.restarts.set(Box::new(ask));
    }
}

/// Components, called over.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    known: Option<BTreeSet<String>>,
    looked: BTreeSet<String>,
}

impl Roll {
    /// Nobody looks at it any more: it was deleted or disabled.
    pub fn is_gone(&self, component: &str) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| !known.contains(component))
    }

    /// It will be looked at and was not yet: nothing can be said of it.
    pub fn is_awaited(&self, component: &str) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| known.contains(component)) && !self.looked.contains(component)
    }
}
