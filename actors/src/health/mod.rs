//! How every component is, for whoever asks: the pages, the alerts, and the gateway, which sends calls elsewhere.
//!
//! `health_prober` (`tree/watch`) fills it; it outlives the actor, so a restart forgets nothing. Those who know a
//! component attach a [`Probe`] for it. Asking costs no database; what the gateway asks costs no lock either.

pub mod store;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};

use crate::domain::health::damping::{Damped, Damping};
use crate::domain::health::history::{History, Step};
use crate::domain::health::{Component, Finding, Kind, Status, Traffic};

/// Knows components of some kind, and looks at them. A look must cost no model tokens.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The components there are now.
    fn components(&self) -> Vec<Component>;

    /// One look. Awaits, does not block; it is given up after a while and then counts as failed.
    async fn look(&self, component: &Component) -> Finding;

    /// Whether somebody waits for the next look: it is made now. Asked once a beat, and answered once.
    fn is_awaited(&self, _component: &Component) -> bool {
        false
    }

    /// Calls that used the component since the process began, where there are such.
    fn traffic(&self, _component: &Component) -> Traffic {
        Traffic::default()
    }
}

/// How the latest round of an actor went that works in rounds, as it says itself; a probe reads it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LatestRound(Arc<Mutex<Rounds>>);

#[derive(Clone, Debug, Default)]
struct Rounds {
    /// When the first of this process began.
    begun: Option<i64>,
    latest: Option<Round>,
}

/// See [`LatestRound`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Round {
    /// When it ended, microseconds since the Unix epoch.
    pub at: i64,
    pub has_failed: bool,
}

impl LatestRound {
    pub(crate) fn begin(&self, at: i64) {
        self.0.lock().begun.get_or_insert(at);
    }

    pub(crate) fn note(&self, at: i64, has_failed: bool) {
        self.0.lock().latest = Some(Round { at, has_failed });
    }

    /// None before the first of this process.
    pub fn get(&self) -> Option<Round> {
        self.0.lock().latest.clone()
    }

    /// When the first of this process began, whether it has ended or not.
    pub fn begun(&self) -> Option<i64> {
        self.0.lock().begun
    }
}

/// How often components are looked at, and what it takes to believe a look.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSettings {
    /// Between two looks, give or take a tenth.
    pub interval: Duration,
    /// A look that takes longer has failed.
    pub deadline: Duration,
    pub damping: Damping,
    /// `host:port` of addresses that answer whenever the line to the outside works; may be empty.
    pub outposts: Vec<String>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            deadline: Duration::from_secs(10),
            damping: Damping::default(),
            outposts: Vec::new(),
        }
    }
}

impl HealthSettings {
    /// So long a look counts: what was not looked at since is unknown.
    pub fn hold_us(&self) -> i64 {
        let hold = self.interval * 3 + self.deadline;
        i64::try_from(hold.as_micros()).unwrap_or(i64::MAX)
    }
}

/// The component that stands for our own line to the outside.
pub const UPLINK: &str = "uplink";
/// The component of token issuance.
pub const JWT: &str = "jwt";

/// What is known of one component.
#[derive(Clone, Debug)]
pub struct Report {
    pub component: Component,
    pub status: Status,
    /// Since when it has that status, microseconds since the Unix epoch; so is the next.
    pub since: i64,
    pub checked_at: i64,
    /// Of the latest look.
    pub latency_ms: Option<u64>,
    pub code: Option<&'static str>,
    pub reason: Option<String>,
    pub certificate_expires_at: Option<i64>,
    /// Looks that failed in a row.
    pub failures: u32,
    /// The latest look at which it worked.
    pub last_success_at: Option<i64>,
}

/// All that is kept of one component.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) report: Report,
    pub(crate) damped: Damped,
    pub(crate) history: History,
    /// Calls counted at the latest look.
    pub(crate) traffic: Traffic,
    /// Something answered the latest look.
    pub(crate) is_reached: bool,
}

/// See the module. One per process.
#[derive(Default)]
pub struct HealthBoard {
    settings: HealthSettings,
    probes: RwLock<Vec<Arc<dyn Probe>>>,
    kept: Mutex<BTreeMap<String, Kept>>,
    /// Histories of components nobody has looked at yet in this process.
    remembered: Mutex<HashMap<String, History>>,
    /// Keys of accounts that are unhealthy.
    down: ArcSwap<HashSet<i64>>,
}

impl fmt::Debug for HealthBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthBoard").finish_non_exhaustive()
    }
}

impl HealthBoard {
    /// Nothing known yet.
    pub fn new(settings: HealthSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            ..Self::default()
        })
    }

    /// How it is looked.
    pub fn settings(&self) -> &HealthSettings {
        &self.settings
    }

    /// From now on its components are looked at.
    pub fn attach(&self, probe: Arc<dyn Probe>) {
        self.attach_all(vec![probe]);
    }

    /// Several at once: nobody sees the components of some and takes those of the others for gone.
    pub fn attach_all(&self, mut probes: Vec<Arc<dyn Probe>>) {
        self.probes.write().append(&mut probes);
    }

    /// Ids of all components there are, whether they were looked at or not; `None` as long as nobody knows of any.
    pub fn known(&self) -> Option<BTreeSet<String>> {
        let probes = self.probes();
        if probes.is_empty() {
            return None;
        }
        let components = probes.iter().flat_map(|probe| probe.components());
        let own = std::iter::once(UPLINK.to_owned());
        Some(
            components
                .map(|component| component.id)
                .chain(own)
                .collect(),
        )
    }

    pub(crate) fn probes(&self) -> Vec<Arc<dyn Probe>> {
        self.probes.read().clone()
    }

    /// Accounts that are down, by key: for who has to choose between accounts. Takes no lock.
    pub fn down_accounts(&self) -> arc_swap::Guard<Arc<HashSet<i64>>> {
        self.down.load()
    }

    /// Every component, by id. What was not looked at lately is unknown.
    pub fn reports(&self, now_micros: i64) -> Vec<Report> {
        let kept = self.kept.lock();
        kept.values()
            .map(|kept| self.current(&kept.report, now_micros))
            .collect()
    }

    /// One of them.
    pub fn report(&self, id: &str, now_micros: i64) -> Option<Report> {
        let kept = self.kept.lock();
        kept.get(id)
            .map(|kept| self.current(&kept.report, now_micros))
    }

    fn current(&self, report: &Report, now_micros: i64) -> Report {
        let mut report = report.clone();
        let over = report.checked_at.saturating_add(self.settings.hold_us());
        if now_micros > over && report.status != Status::Unknown {
            report.status = Status::Unknown;
            report.since = over;
            report.code = Some("not_checked");
            report.reason = Some("Nobody has looked lately.".to_owned());
        }
        report
    }

    /// A component's history up to now.
    pub fn history(&self, id: &str, now_micros: i64) -> Option<History> {
        let mut history = self.kept.lock().get(id)?.history.clone();
        history.settle(now_micros, self.settings.hold_us());
        Some(history)
    }

    /// What accounts were like in `[from, to)`, all together, and what the issuing of tokens was like; to the step, and up to
    /// now.
    pub fn reach(&self, (from, to): (i64, i64), now_micros: i64) -> (Step, Step) {
        let (mut accounts, mut tokens) = (Step::default(), Step::default());
        for (id, kept) in self.kept.lock().iter_mut() {
            kept.history.settle(now_micros, self.settings.hold_us());
            if kept.report.component.kind == Kind::Account {
                accounts.add(&kept.history.sum(from, to));
            } else if id == JWT {
                tokens = kept.history.sum(from, to);
            }
        }
        (accounts, tokens)
    }

    /// Whether something it stands on is down, so that nothing needs to be said of it: the nearest such component.
    pub fn inhibited_by(&self, id: &str) -> Option<String> {
        const DEPTH_MAX: usize = 8;
        let kept = self.kept.lock();
        let mut above = kept.get(id)?.report.component.parent.clone();
        for _ in 0..DEPTH_MAX {
            let parent = kept.get(&above?)?;
            if parent.report.status == Status::Unhealthy {
                return Some(parent.report.component.id.clone());
            }
            above = parent.report.component.parent.clone();
        }
        None
    }

    /// What each component stands on, of those that stand on another.
    pub fn parents(&self) -> BTreeMap<String, String> {
        let kept = self.kept.lock();
        let each = kept.iter().filter_map(|(id, kept)| {
            let parent = kept.report.component.parent.clone()?;
            Some((id.clone(), parent))
        });
        each.collect()
    }

    /// The worst status of all that count: what is unknown does not make the whole unknown.
    pub fn worst(&self, now_micros: i64) -> Status {
        let reports = self.reports(now_micros);
        let any = |status| reports.iter().any(|report| report.status == status);
        [Status::Unhealthy, Status::Degraded, Status::Healthy]
            .into_iter()
            .find(|status| any(*status))
            .unwrap_or_default()
    }

    pub(crate) fn remember(&self, histories: HashMap<String, History>) {
        *self.remembered.lock() = histories;
    }

    /// Of components that are not `present` only the history stays, for when one comes back.
    pub(crate) fn lay_aside(&self, present: &HashSet<String>) {
        let gone = self.kept(|kept| {
            let ids: Vec<String> = kept
                .keys()
                .filter(|id| !present.contains(*id))
                .cloned()
                .collect();
            let histories = ids.into_iter().filter_map(|id| {
                let history = kept.remove(&id)?.history;
                Some((id, history))
            });
            histories.collect::<Vec<_>>()
        });
        if !gone.is_empty() {
            self.remembered.lock().extend(gone);
        }
    }

    pub(crate) fn recall(&self, id: &str) -> Option<History> {
        self.remembered.lock().remove(id)
    }

    pub(crate) fn kept<R>(&self, then: impl FnOnce(&mut BTreeMap<String, Kept>) -> R) -> R {
        let mut kept = self.kept.lock();
        let answer = then(&mut kept);
        let down: HashSet<i64> = kept
            .values()
            .filter(|kept| kept.report.status == Status::Unhealthy)
            .filter_map(|kept| kept.report.component.account_id)
            .collect();
        if **self.down.load() != down {
            self.down.store(Arc::new(down));
        }
        answer
    }
}
