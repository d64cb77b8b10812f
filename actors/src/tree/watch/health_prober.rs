//! `health_prober`: looks at every component now and then, and makes of it what the [`HealthBoard`] tells.
//!
//! Each component has its own rhythm (the interval, give or take a tenth, so that they do not march in step) and a
//! deadline; looks run side by side, at most one at each component. What a look finds is weighed against live traffic
//! and against our own line to the outside, damped, remembered, and kept in `health_checks`. Nothing it does costs
//! model tokens. It decides nothing by itself: who looks is a [`Probe`], what follows is for those who read the board.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use chrono_tz::Tz;
use futures_util::future::select_all;
use serde_json::json;
use steward_entities::health_check::Look;
use steward_entities::health_day;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::domain::calendar;
use crate::domain::clock::SharedClock;
use crate::domain::health::damping::Damped;
use crate::domain::health::history::{History, STEP_US, STEPS, Step};
use crate::domain::health::uplink::{Glimpse, Uplink, judge};
use crate::domain::health::{Component, Finding, Kind, Seen, Status};
use crate::health::store::LookStore;
use crate::health::{HealthBoard, Kept, Probe, Report, UPLINK};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

/// How often it sees who is due.
pub const BEAT: Duration = Duration::from_millis(500);
/// Looks at the same time.
const SIDE_BY_SIDE: usize = 16;
/// How long an outpost may take.
const OUTPOST_WITHIN: Duration = Duration::from_secs(3);
/// Looks that wait for a database that takes none; beyond them the oldest are given up.
const WAITING_MAX: usize = 5_000;
/// Looks of one statement: PostgreSQL and SQLite bound its parameters.
const KEEP_AT_ONCE: usize = 500;
/// A status found by an earlier process is taken up when it is at most so old, in microseconds.
const RESUME_WITHIN_US: i64 = 3_600_000_000;

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub board: Arc<HealthBoard>,
    pub store: Arc<dyn LookStore>,
    pub clock: SharedClock,
    /// Where days begin.
    pub zone: Tz,
}

/// The actor.
pub struct HealthProber {
    parts: Parts,
    /// Histories are read; nothing is looked at before.
    is_ready: bool,
    /// When each component is due; those under way are not in it.
    due: HashMap<String, Instant>,
    under_way: HashSet<String>,
    /// Not kept yet.
    waiting: VecDeque<Look>,
    is_keeping: bool,
    /// Whoever was told that nothing can be kept.
    is_told: bool,
    /// The step of histories in which days were noted last.
    noted: Option<i64>,
}

/// The child spec of `root/watch/health_prober`.
pub fn spec(actor: &ActorRef<HealthProber>, parts: Parts) -> ChildSpec {
    ChildSpec::new("health_prober", actor, move |me| {
        HealthProber::new(me, parts.clone())
    })
}

/// A look that is over.
struct Looked {
    component: Component,
    finding: Finding,
    /// What the outposts said, if they were asked.
    outposts: Option<bool>,
}

impl HealthProber {
    /// One that has looked at nothing yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        Self {
            parts,
            is_ready: false,
            due: HashMap::new(),
            under_way: HashSet::new(),
            waiting: VecDeque::new(),
            is_keeping: false,
            is_told: false,
            noted: None,
        }
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if !self.is_ready {
            return;
        }
        let now = Instant::now();
        let mut present = HashSet::from([UPLINK.to_owned()]);
        let mut waiting = Vec::new();
        for probe in self.parts.board.probes() {
            for component in probe.components() {
                present.insert(component.id.clone());
                self.forget_changed(&component);
                if probe.is_awaited(&component) {
                    self.due.remove(&component.id);
                }
                let due = self.due.get(&component.id).copied();
                if due.is_none_or(|due| due <= now) {
                    waiting.push((due, Arc::clone(&probe), component));
                }
            }
        }
        // Who has waited longest comes first: many that do not answer must not keep the others from being looked at.
        waiting.sort_by_key(|(due, ..)| *due);
        for (_, probe, component) in waiting {
            if self.under_way.len() < SIDE_BY_SIDE && self.under_way.insert(component.id.clone()) {
                self.look(probe, component, ctx);
            }
        }
        self.due.retain(|id, _| present.contains(id));
        self.parts.board.lay_aside(&present);
        self.keep(ctx);
        self.note_days(ctx);
    }

    /// Every ten minutes, what is known of today and yesterday: a day ends while nobody may have looked.
    fn note_days(&mut self, ctx: &mut Context<Self>) {
        let now = self.parts.clock.now_micros();
        let step = now.div_euclid(STEP_US);
        if self.noted.replace(step) == Some(step) {
            return;
        }
        let zone = self.parts.zone;
        let today = calendar::day_of(zone, now);
        let days = [calendar::day_of(zone, today - 1), today].map(|day| {
            // Steps that lie across midnight count for the day they begin in.
            let end = calendar::next_day(zone, day) - STEP_US + 1;
            let (accounts, tokens) = self.parts.board.reach((day, end), now);
            let share = |step: Step| health_day::Share {
                up_us: step.up_us,
                known_us: step.known_us,
            };
            health_day::Day {
                stat_date: calendar::date_of(zone, day).to_string(),
                accounts: share(accounts),
                tokens: share(tokens),
            }
        });
        let store = Arc::clone(&self.parts.store);
        let noting = async move { store.keep_days(days.into(), now).await };
        ctx.spawn(noting.into_actor(self).map(|noted, _, _| {
            if let Err(error) = noted {
                tracing::debug!(%error, "what is known of the day cannot be noted; it is tried in ten minutes");
            }
        }));
    }

    /// An operator changed it: what was known does not count any more, and it is looked at now.
    fn forget_changed(&mut self, component: &Component) {
        let is_changed = self.parts.board.kept(|kept| {
            let known = kept.get_mut(&component.id)?;
            let is_changed = known.report.component.version != component.version;
            known.report.component = component.clone();
            if is_changed {
                known.damped = Damped::default();
            }
            Some(is_changed)
        });
        if is_changed == Some(true) {
            self.due.remove(&component.id);
        }
    }

    fn look(&mut self, probe: Arc<dyn Probe>, component: Component, ctx: &mut Context<Self>) {
        let settings = self.parts.board.settings().clone();
        let (id, asked) = (component.id.clone(), Arc::clone(&probe));
        let look = async move {
            let begun = Instant::now();
            let found = timeout(settings.deadline, asked.look(&component)).await;
            let finding = found.unwrap_or_else(|_| Finding {
                is_unreachable: component.outside.is_some(),
                ..Finding::of(Seen::Down)
                    .because(
                        "timed_out",
                        format!("No answer within {} ms.", settings.deadline.as_millis()),
                    )
                    .after_ms(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
            });
            let is_doubtful = finding.is_unreachable && component.outside.is_some();
            let outposts = match is_doubtful && !settings.outposts.is_empty() {
                true => Some(any_answers(&settings.outposts).await),
                false => None,
            };
            Looked {
                component,
                finding,
                outposts,
            }
        };
        ctx.spawn(look.into_actor(self).map(move |looked, this, _| {
            this.under_way.remove(&id);
            let now = probe.components().into_iter().find(|one| one.id == id);
            if now.is_none_or(|now| now.version != looked.component.version) {
                // Changed or gone meanwhile: what was found says nothing of it as it is now.
                this.due.remove(&id);
                return;
            }
            this.due.insert(id, Instant::now() + this.pause());
            this.settle(looked, &probe);
        }));
    }

    /// Until the next look at a component: the interval, give or take a tenth.
    fn pause(&self) -> Duration {
        let share = 0.9 + 0.2 * rand::random::<f64>();
        self.parts.board.settings().interval.mul_f64(share)
    }

    fn settle(&mut self, looked: Looked, probe: &Arc<dyn Probe>) {
        let Looked {
            component,
            mut finding,
            outposts,
        } = looked;
        let now = self.parts.clock.now_micros();
        let calls = probe.traffic(&component);
        let before = self
            .parts
            .board
            .kept(|kept| kept.get(&component.id).map(|known| known.traffic));
        finding = finding.weighed(calls.since(before.unwrap_or(calls)));
        if let Some(host) = &component.outside {
            let uplink = self.uplink(host, &finding, outposts, now);
            if uplink == Uplink::Down && finding.is_unreachable {
                finding.seen = Seen::Nothing;
                finding.code = Some("uplink_down");
                finding.reason = Some(
                    "Nothing outside can be reached; nobody in particular is to blame.".into(),
                );
            }
            let line = match uplink {
                Uplink::Down => Finding::of(Seen::Down)
                    .because("uplink_down", "Nothing outside can be reached."),
                uplink => Finding::of(uplink.seen()),
            };
            self.take(Component::own(UPLINK, Kind::Uplink), line, now);
        }
        self.take(component.clone(), finding, now);
        self.parts.board.kept(|kept| {
            if let Some(known) = kept.get_mut(&component.id) {
                known.traffic = calls;
            }
        });
    }

    /// How our own line is, now that `host` was looked at.
    fn uplink(&self, host: &str, finding: &Finding, outposts: Option<bool>, now: i64) -> Uplink {
        let settings = self.parts.board.settings();
        let within = settings.interval * 3 / 2 + settings.deadline;
        let within = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
        self.parts.board.kept(|kept| {
            let mut glimpses = vec![Glimpse {
                host,
                is_reached: !finding.is_unreachable,
                at: now,
            }];
            for known in kept.values() {
                let Some(other) = &known.report.component.outside else {
                    continue;
                };
                if other != host {
                    glimpses.push(Glimpse {
                        host: other,
                        is_reached: known.is_reached,
                        at: known.report.checked_at,
                    });
                }
            }
            judge(&glimpses, outposts, now, within)
        })
    }

    /// Takes a finding into account: damping, history, what is told, what is kept.
    fn take(&mut self, component: Component, finding: Finding, now: i64) {
        let board = Arc::clone(&self.parts.board);
        let settings = board.settings();
        let hold_us = settings.hold_us();
        let id = component.id.clone();
        let status = board.kept(|kept| {
            let known = kept
                .entry(id.clone())
                .or_insert_with(|| begin(component, board.recall(&id), now));
            let before = known.report.status;
            let status = known.damped.see(finding.seen, settings.damping);
            known.history.see(now, status, finding.latency_ms, hold_us);
            known.is_reached = !finding.is_unreachable;
            let report = &mut known.report;
            if status != before {
                report.since = now;
                tell(report, before, status, &finding);
            }
            report.status = status;
            report.checked_at = now;
            report.latency_ms = finding.latency_ms;
            report.code = finding.code;
            report.reason.clone_from(&finding.reason);
            if finding.certificate_expires_at.is_some() || finding.seen == Seen::Up {
                report.certificate_expires_at = finding.certificate_expires_at;
            }
            report.failures = known.damped.failures();
            if matches!(finding.seen, Seen::Up | Seen::Impaired) {
                report.last_success_at = Some(now);
            }
            status
        });
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Look {
            at: now,
            component: id,
            status: status.as_str(),
            latency_ms: finding.latency_ms.and_then(|ms| i64::try_from(ms).ok()),
            reason: finding.reason,
            certificate_expires_at: finding.certificate_expires_at,
            details: json!({"seen": word(finding.seen), "code": finding.code}),
        });
    }

    fn keep(&mut self, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() || std::mem::replace(&mut self.is_keeping, true) {
            return;
        }
        let many = self.waiting.len().min(KEEP_AT_ONCE);
        let looks: Vec<Look> = self.waiting.iter().take(many).cloned().collect();
        let store = Arc::clone(&self.parts.store);
        let kept = async move { store.keep(looks.clone()).await.map(|()| looks) };
        ctx.spawn(kept.into_actor(self).map(|kept, this, _| {
            this.is_keeping = false;
            match kept {
                Ok(looks) => {
                    this.is_told = false;
                    // Some of them may have been given up meanwhile.
                    for look in looks {
                        if this.waiting.front() == Some(&look) {
                            this.waiting.pop_front();
                        }
                    }
                }
                Err(error) if !std::mem::replace(&mut this.is_told, true) => {
                    tracing::warn!(%error, "health checks cannot be kept for now; they wait in memory");
                }
                Err(_) => {}
            }
        }));
    }
}

/// A component seen for the first time in this process.
fn begin(component: Component, remembered: Option<History>, now: i64) -> Kept {
    let history = remembered.unwrap_or_default();
    let (status, since) = match history.last() {
        Some((at, status)) if now.saturating_sub(at) <= RESUME_WITHIN_US => {
            (status, history.since().unwrap_or(now))
        }
        _ => (Status::Unknown, now),
    };
    Kept {
        report: Report {
            component,
            status,
            since,
            checked_at: now,
            latency_ms: None,
            code: None,
            reason: None,
            certificate_expires_at: None,
            failures: 0,
            last_success_at: None,
        },
        damped: Damped::resumed(status),
        history,
        traffic: Default::default(),
        is_reached: true,
    }
}

fn tell(report: &Report, before: Status, status: Status, finding: &Finding) {
    let (component, name) = (&report.component.id, &report.component.name);
    let reason = finding.reason.as_deref().unwrap_or_default();
    match status {
        Status::Unhealthy => {
            tracing::warn!(component, name, reason, "a component is down");
        }
        Status::Degraded => tracing::warn!(component, name, reason, "a component is impaired"),
        Status::Healthy if before != Status::Unknown => {
            tracing::info!(component, name, "a component is well again");
        }
        Status::Healthy | Status::Unknown => {}
    }
}

const fn word(seen: Seen) -> &'static str {
    match seen {
        Seen::Up => "up",
        Seen::Impaired => "impaired",
        Seen::Down => "down",
        Seen::Nothing => "nothing",
    }
}

/// Whether one of them takes a connection.
async fn any_answers(outposts: &[String]) -> bool {
    let knock = |address: &str| {
        let connecting = TcpStream::connect(address.to_owned());
        Box::pin(async move { matches!(timeout(OUTPOST_WITHIN, connecting).await, Ok(Ok(_))) })
    };
    let mut knocking: Vec<_> = outposts.iter().map(|address| knock(address)).collect();
    while !knocking.is_empty() {
        let (answered, _, rest) = select_all(knocking).await;
        if answered {
            return true;
        }
        knocking = rest;
    }
    false
}

impl HealthProber {
    /// Puts the histories together, once in the life of the process.
    fn remember(&self) -> impl Future<Output = ()> + use<> {
        let Parts {
            board,
            store,
            clock,
            ..
        } = self.parts.clone();
        let is_known = board.kept(|kept| !kept.is_empty());
        async move {
            if is_known {
                return;
            }
            let kept_us = STEP_US.saturating_mul(i64::try_from(STEPS).unwrap_or(i64::MAX));
            let from = clock.now_micros().saturating_sub(kept_us);
            match store.histories(from, board.settings().hold_us()).await {
                Ok(histories) => board.remember(histories),
                Err(error) => {
                    tracing::warn!(%error, "earlier health checks cannot be read; availability is told from now on");
                }
            }
        }
    }
}

impl Actor for HealthProber {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let remember = self.remember();
        ctx.spawn(remember.into_actor(self).map(|(), this, ctx| {
            this.is_ready = true;
            this.beat(ctx);
        }));
        ctx.run_interval(BEAT, Self::beat);
    }
}
