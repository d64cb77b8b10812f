//! `health_prober`: when it looks, what it makes of it, and that nothing is forgotten. In virtual time where time is what
//! matters, on both databases where rows are.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono_tz::Tz;
use parking_lot::Mutex;
use sea_orm::{DbErr, EntityTrait};
use steward_actors::domain::clock::{Clock, ManualClock, SharedClock};
use steward_actors::domain::health::damping::Damping;
use steward_actors::domain::health::history::History;
use steward_actors::domain::health::{Component, Finding, Kind, Seen, Status, Traffic};
use steward_actors::health::store::{LookStore, NodeLooks};
use steward_actors::health::{HealthBoard, HealthSettings, Probe};
use steward_actors::supervision::{ActorRef, Placement};
use steward_actors::tree::watch::health_prober::{Parts, spec};
use steward_entities::dashboard_stats::{self, Reach};
use steward_entities::database::begin_write;
use steward_entities::health_check::{self, Look};
use steward_entities::health_day;
use steward_migration::testing::TestDatabase;
use tokio::time::{Instant, sleep};

use crate::{eventually, on_both, supervised};

on_both!(
    looks_are_kept_and_a_restart_goes_on_where_it_stood,
    a_days_health_stands_beside_its_calls,
    nodes_say_together_what_they_saw_of_a_day,
);

const START: i64 = 1_773_599_400_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Goes with tokio's time, which tests move.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now_micros(&self) -> i64 {
        START + i64::try_from(self.0.elapsed().as_micros()).unwrap()
    }
}

/// Keeps looks, and what is said of days, in memory.
#[derive(Default)]
struct Memory(Mutex<Vec<Look>>, Mutex<Vec<health_day::Day>>);

#[async_trait]
impl LookStore for Memory {
    async fn keep(&self, looks: Vec<Look>) -> Result<(), DbErr> {
        self.0.lock().extend(looks);
        Ok(())
    }

    async fn keep_days(&self, days: Vec<health_day::Day>, _: i64) -> Result<(), DbErr> {
        self.1.lock().extend(days);
        Ok(())
    }

    async fn histories(&self, _: i64, _: i64) -> Result<HashMap<String, History>, DbErr> {
        Ok(HashMap::new())
    }
}

/// What each component does when it is looked at.
#[derive(Clone)]
enum Does {
    Find(Finding),
    FindAfter(Duration, Finding),
    Hang,
}

/// Components whose doings a test decides.
#[derive(Default)]
struct Stage {
    components: Mutex<Vec<Component>>,
    does: Mutex<HashMap<String, Does>>,
    looked: Mutex<HashMap<String, Vec<Instant>>>,
    answered: AtomicU64,
    /// Somebody waits for a look at it.
    awaited: Mutex<Option<String>>,
}

impl Stage {
    fn has(&self, component: Component, does: Finding) {
        self.does(&component.id, Does::Find(does));
        self.components.lock().push(component);
    }

    fn does(&self, id: &str, does: Does) {
        self.does.lock().insert(id.to_owned(), does);
    }
}

#[async_trait]
impl Probe for Stage {
    fn components(&self) -> Vec<Component> {
        self.components.lock().clone()
    }

    async fn look(&self, component: &Component) -> Finding {
        self.looked
            .lock()
            .entry(component.id.clone())
            .or_default()
            .push(Instant::now());
        let does = self.does.lock().get(&component.id).cloned();
        match does {
            Some(Does::Find(finding)) => finding,
            Some(Does::FindAfter(time, finding)) => {
                sleep(time).await;
                finding
            }
            _ => std::future::pending().await,
        }
    }

    fn is_awaited(&self, component: &Component) -> bool {
        let mut awaited = self.awaited.lock();
        awaited.take_if(|id| *id == component.id).is_some()
    }

    fn traffic(&self, _: &Component) -> Traffic {
        Traffic {
            answered: self.answered.load(Ordering::Relaxed),
            failed: 0,
        }
    }
}

struct House {
    stage: Arc<Stage>,
    board: Arc<HealthBoard>,
    memory: Arc<Memory>,
    clock: SharedClock,
}

impl House {
    fn status(&self, id: &str) -> Status {
        let now = self.clock.now_micros();
        self.board.report(id, now).unwrap().status
    }
}

/// Runs `test` with a prober of `interval` one minute, in virtual time.
fn in_virtual_time(stage: Stage, test: impl AsyncFnOnce(&House)) {
    actix::System::new().block_on(async {
        tokio::time::pause();
        let clock: SharedClock = Arc::new(Virtual(Instant::now()));
        let house = House {
            stage: Arc::new(stage),
            board: HealthBoard::new(HealthSettings {
                interval: MINUTE,
                deadline: Duration::from_secs(10),
                damping: Damping::default(),
                outposts: Vec::new(),
            }),
            memory: Arc::default(),
            clock: Arc::clone(&clock),
        };
        house.board.attach(house.stage.clone());
        let parts = Parts {
            board: house.board.clone(),
            store: house.memory.clone(),
            clock,
            zone: Tz::UTC,
        };
        let child = spec(&ActorRef::new(4), parts).placement(Placement::Current);
        let tree = supervised(child);
        test(&house).await;
        tree.shutdown(Duration::from_secs(5)).await;
    });
}

fn own(id: &str) -> Component {
    Component::own(id, Kind::Database)
}

fn provider(id: i64, host: &str) -> Component {
    Component {
        outside: Some(host.to_owned()),
        account_id: Some(id),
        ..Component::own(format!("account:acc_{id}"), Kind::Account)
    }
    .below("uplink")
}

fn unreachable() -> Finding {
    Finding {
        is_unreachable: true,
        ..Finding::of(Seen::Down).because("upstream_unreachable", "connection refused")
    }
}

#[test]
fn each_is_looked_at_once_an_interval_and_not_in_step() {
    let stage = Stage::default();
    for n in 0..8 {
        stage.has(own(&format!("c{n}")), Finding::up().after_ms(5));
    }
    in_virtual_time(stage, async |house| {
        sleep(100 * MINUTE).await;
        let looked = house.stage.looked.lock();
        let mut gaps = Vec::new();
        for looks in looked.values() {
            // A tenth more or less, and a beat of waiting for it.
            assert!((90..=112).contains(&looks.len()), "{}", looks.len());
            gaps.extend(looks.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()));
        }
        assert!(gaps.iter().all(|gap| (54_000..=66_600).contains(gap)));
        gaps.sort_unstable();
        gaps.dedup();
        assert!(gaps.len() > 10, "no jitter: {gaps:?}");
        assert_eq!(house.status("c0"), Status::Healthy);
    });
}

#[test]
fn who_waits_for_a_look_gets_one_at_once_and_the_others_keep_their_time() {
    let stage = Stage::default();
    stage.has(own("a"), Finding::up());
    stage.has(own("b"), Finding::up());
    in_virtual_time(stage, async |house| {
        sleep(MINUTE / 2).await;
        let looks = |id: &str| house.stage.looked.lock()[id].len();
        assert_eq!((looks("a"), looks("b")), (1, 1));
        *house.stage.awaited.lock() = Some("a".to_owned());
        sleep(Duration::from_secs(1)).await;
        assert_eq!((looks("a"), looks("b")), (2, 1));
        sleep(Duration::from_secs(10)).await;
        assert_eq!((looks("a"), looks("b")), (2, 1));
    });
}

#[test]
fn many_that_hang_keep_nobody_from_being_looked_at() {
    let stage = Stage::default();
    for n in 0..200 {
        let component = own(&format!("hangs{n}"));
        stage.does(&component.id, Does::Hang);
        stage.components.lock().push(component);
    }
    stage.has(own("answers"), Finding::up());
    in_virtual_time(stage, async |house| {
        sleep(15 * MINUTE).await;
        // Sixteen at a time, ten seconds each: a round takes more than two minutes, and nobody is left out of one.
        let looked = house.stage.looked.lock();
        let mut looks: Vec<usize> = looked.values().map(Vec::len).collect();
        looks.sort_unstable();
        assert_eq!(looks.len(), 201);
        assert!(looks[0] >= 5, "{looks:?}");
    });
}

#[test]
fn what_was_found_before_a_change_says_nothing_of_what_is() {
    let stage = Stage::default();
    let down = Finding::of(Seen::Down).because("upstream_auth", "401");
    stage.has(own("a"), Finding::up());
    stage.does("a", Does::FindAfter(Duration::from_secs(5), down));
    in_virtual_time(stage, async |house| {
        sleep(Duration::from_secs(2)).await;
        // An operator puts it right while it is being looked at.
        house.stage.components.lock()[0].version += 1;
        house.stage.does("a", Does::Find(Finding::up()));
        sleep(Duration::from_secs(5)).await;
        let kept = house.memory.0.lock().clone();
        let seen: Vec<_> = kept
            .iter()
            .map(|look| look.details["seen"].clone())
            .collect();
        assert_eq!(seen, ["up"]);
        assert_eq!(house.stage.looked.lock()["a"].len(), 2);
    });
}

#[test]
fn three_failures_down_two_successes_up_and_every_look_is_kept() {
    let stage = Stage::default();
    stage.has(own("database"), Finding::up().after_ms(3));
    in_virtual_time(stage, async |house| {
        sleep(MINUTE / 2).await;
        let down = Finding::of(Seen::Down).because("database_silent", "It does not answer.");
        house.stage.does("database", Does::Find(down));
        sleep(2 * MINUTE).await;
        assert_eq!(house.status("database"), Status::Healthy);
        // The third, at the latest after a tenth of three minutes more; the fourth is not yet due.
        sleep(MINUTE).await;
        let now = house.clock.now_micros();
        let report = house.board.report("database", now).unwrap();
        assert_eq!(
            (report.status, report.code),
            (Status::Unhealthy, Some("database_silent"))
        );
        house.stage.does("database", Does::Find(Finding::up()));
        sleep(4 * MINUTE).await;
        assert_eq!(house.status("database"), Status::Healthy);
        let seen: Vec<String> = house
            .memory
            .0
            .lock()
            .iter()
            .map(|look| format!("{} {}", look.details["seen"].as_str().unwrap(), look.status))
            .collect();
        assert_eq!(
            seen[..5],
            [
                "up healthy",
                "down healthy",
                "down healthy",
                "down unhealthy",
                "up unhealthy"
            ]
        );
        let now = house.clock.now_micros();
        let uptime = house
            .board
            .history("database", now)
            .unwrap()
            .sum(START, now)
            .uptime()
            .unwrap();
        assert!((0.5..0.95).contains(&uptime), "{uptime}");
    });
}

#[test]
fn a_look_that_hangs_has_failed_and_holds_up_nobody() {
    let stage = Stage::default();
    stage.has(own("well"), Finding::up());
    stage.has(own("stuck"), Finding::up());
    stage.does("stuck", Does::Hang);
    in_virtual_time(stage, async |house| {
        sleep(5 * MINUTE).await;
        let report = house
            .board
            .report("stuck", house.clock.now_micros())
            .unwrap();
        assert_eq!(
            (report.status, report.code),
            (Status::Unhealthy, Some("timed_out"))
        );
        assert!((10_000..10_100).contains(&report.latency_ms.unwrap()));
        assert_eq!(house.status("well"), Status::Healthy);
    });
}

#[test]
fn a_dead_line_blames_no_provider_and_a_dead_provider_no_line() {
    let stage = Stage::default();
    stage.has(provider(1, "api.a.com:443"), Finding::up());
    stage.has(provider(2, "api.b.com:443"), Finding::up());
    in_virtual_time(stage, async |house| {
        sleep(MINUTE / 2).await;
        assert_eq!(house.status("uplink"), Status::Healthy);
        house.stage.does("account:acc_1", Does::Find(unreachable()));
        sleep(6 * MINUTE).await;
        assert_eq!(house.status("account:acc_1"), Status::Unhealthy);
        assert_eq!(house.status("uplink"), Status::Healthy);
        assert!(house.board.down_accounts().contains(&1));
        assert_eq!(house.board.inhibited_by("account:acc_1"), None);

        house.stage.does("account:acc_1", Does::Find(Finding::up()));
        sleep(6 * MINUTE).await;
        assert!(house.board.down_accounts().is_empty());
        for id in ["account:acc_1", "account:acc_2"] {
            house.stage.does(id, Does::Find(unreachable()));
        }
        sleep(6 * MINUTE).await;
        assert_eq!(house.status("uplink"), Status::Unhealthy);
        assert_eq!(house.status("account:acc_1"), Status::Unknown);
        assert!(house.board.down_accounts().is_empty());
        assert_eq!(
            house.board.inhibited_by("account:acc_2").as_deref(),
            Some("uplink")
        );
    });
}

#[test]
fn what_carries_calls_is_not_down() {
    let stage = Stage::default();
    stage.has(provider(1, "api.a.com:443"), unreachable());
    in_virtual_time(stage, async |house| {
        for _ in 0..40 {
            house.stage.answered.fetch_add(1, Ordering::Relaxed);
            sleep(MINUTE / 5).await;
        }
        assert_eq!(house.status("account:acc_1"), Status::Degraded);
        assert!(house.board.down_accounts().is_empty());
        // And without calls it is.
        sleep(6 * MINUTE).await;
        assert_eq!(house.status("account:acc_1"), Status::Unhealthy);
    });
}

#[test]
fn a_component_that_comes_back_has_its_history() {
    let stage = Stage::default();
    stage.has(provider(1, "api.a.com:443"), Finding::of(Seen::Down));
    in_virtual_time(stage, async |house| {
        sleep(10 * MINUTE).await;
        let known = |house: &House| {
            let now = house.clock.now_micros();
            let history = house.board.history("account:acc_1", now)?;
            Some(history.sum(START, now + 1).known_us)
        };
        let before = known(house).unwrap();
        assert!(before > 0);
        let report = |house: &House| {
            house
                .board
                .report("account:acc_1", house.clock.now_micros())
        };
        let since = report(house).unwrap().since;
        // An operator disables it for a minute.
        let away = std::mem::take(&mut *house.stage.components.lock());
        sleep(MINUTE).await;
        assert!(report(house).is_none());
        *house.stage.components.lock() = away;
        sleep(Duration::from_secs(2)).await;
        assert!(known(house).unwrap() >= before);
        let back = report(house).unwrap();
        assert_eq!((back.status, back.since), (Status::Unhealthy, since));
    });
}

#[test]
fn an_edited_component_is_looked_at_anew_and_one_that_is_gone_is_forgotten() {
    let stage = Stage::default();
    stage.has(provider(1, "api.a.com:443"), Finding::of(Seen::Down));
    in_virtual_time(stage, async |house| {
        sleep(4 * MINUTE).await;
        assert_eq!(house.status("account:acc_1"), Status::Unhealthy);
        house.stage.does("account:acc_1", Does::Find(Finding::up()));
        house.stage.components.lock()[0].version = 2;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(house.status("account:acc_1"), Status::Healthy);
        house.stage.components.lock().clear();
        sleep(Duration::from_secs(2)).await;
        assert!(house.board.report("account:acc_1", 0).is_none());
    });
}

#[test]
fn a_day_is_noted_while_it_runs_and_once_it_is_over() {
    let stage = Stage::default();
    stage.has(provider(1, "one.example:443"), Finding::up());
    stage.has(provider(2, "two.example:443"), Finding::up());
    stage.has(own("jwt"), Finding::up());
    stage.has(
        own("disk"),
        Finding::of(Seen::Down).because("full", "Full."),
    );
    in_virtual_time(stage, async |house| {
        // From half past six in the evening on; the second provider refuses from half past seven on.
        sleep(60 * MINUTE).await;
        let refuses = Finding::of(Seen::Down).because("upstream_auth", "401");
        house.stage.does("account:acc_2", Does::Find(refuses));
        sleep(6 * 60 * MINUTE).await;
        let noted = house.memory.1.lock();
        let [yesterday, today] = &noted[noted.len() - 2..] else {
            panic!("two days: {noted:?}");
        };
        assert_eq!(yesterday.stat_date, "2026-03-15");
        assert_eq!(today.stat_date, "2026-03-16");
        assert_eq!(
            (yesterday.tokens.ratio(), today.tokens.ratio()),
            (Some(1.0), Some(1.0))
        );
        // One of two for five and a half hours, the other for one and the minutes until its fall was believed.
        let share = yesterday.accounts.ratio().unwrap();
        assert!((0.59..0.61).contains(&share), "{share}");
        assert_eq!(today.accounts.ratio(), Some(0.5));
        // Every ten minutes of seven hours, and at the start.
        assert!((2 * 42..=2 * 44).contains(&noted.len()), "{}", noted.len());
        assert_eq!(noted[0].accounts.ratio(), None);
    });
}

async fn a_days_health_stands_beside_its_calls(database: &TestDatabase) {
    let reach = |api, jwt| Reach {
        stat_date: "2026-03-15".to_owned(),
        api_connectivity: api,
        jwt_availability: jwt,
    };
    let noted = async |reach: Reach, at| {
        let txn = begin_write(&database.control).await.unwrap();
        dashboard_stats::put_reach(&txn, &reach, at).await.unwrap();
        txn.commit().await.unwrap();
        let days = dashboard_stats::list(&database.control_read, "2026-03-15", "2026-03-15").await;
        days.unwrap()
    };
    assert_eq!(noted(reach(None, None), 1).await, []);
    let days = noted(reach(Some(0.9), None), 2).await;
    assert_eq!(
        (days[0].api_connectivity, days[0].jwt_availability),
        (Some(0.9), None)
    );
    let day = dashboard_stats::Day {
        stat_date: "2026-03-15".to_owned(),
        daily_active_users: 3,
        jwt_active_users: 1,
        ai_requests: 7,
        success_rate: Some(1.0),
        total_tokens: 70,
        cost: None,
        p95_duration_ms: None,
    };
    let txn = begin_write(&database.control).await.unwrap();
    dashboard_stats::put(&txn, day, 3).await.unwrap();
    txn.commit().await.unwrap();
    // What is not known leaves what is.
    let days = noted(reach(None, Some(1.0)), 4).await;
    let said = (days[0].api_connectivity, days[0].jwt_availability);
    assert_eq!((said, days[0].ai_requests), ((Some(0.9), Some(1.0)), 7));
    // The same again is no news.
    let days = noted(reach(Some(0.9), Some(1.0)), 5).await;
    assert_eq!(days[0].updated_at, 4);
}

async fn nodes_say_together_what_they_saw_of_a_day(database: &TestDatabase) {
    let share = |up_us, known_us| health_day::Share { up_us, known_us };
    let day = |date: &str, accounts, tokens| health_day::Day {
        stat_date: date.to_owned(),
        accounts,
        tokens,
    };
    let node = |node| NodeLooks {
        databases: (**database).clone(),
        node,
    };
    let said = async |date: &str| {
        let days = dashboard_stats::list(&database.control_read, date, date).await;
        let day = days.unwrap().remove(0);
        (day.api_connectivity, day.jwt_availability)
    };
    let none = health_day::Share::default();
    let first = [
        day("2026-03-14", share(10, 10), none),
        day("2026-03-15", share(900, 1_000), share(50, 50)),
    ];
    node(1).keep_days(first.to_vec(), 1).await.unwrap();
    assert_eq!(said("2026-03-15").await, (Some(0.9), Some(1.0)));
    // The second saw half as long, and nothing of tokens.
    let second = vec![day("2026-03-15", share(0, 500), none)];
    node(2).keep_days(second, 2).await.unwrap();
    assert_eq!(said("2026-03-15").await, (Some(0.6), Some(1.0)));
    // What the first says anew stands beside what the second said, not in its place.
    let later = [
        day("2026-03-15", share(1_500, 2_000), share(50, 100)),
        day("2026-03-16", share(1, 1), none),
    ];
    node(1).keep_days(later.to_vec(), 3).await.unwrap();
    assert_eq!(said("2026-03-15").await, (Some(0.6), Some(0.5)));
    assert_eq!(said("2026-03-14").await, (Some(1.0), None));
    // A day that is not noted any more leaves no rows behind but its sum.
    let dates = health_day::Entity::find().all(&database.control_read).await;
    let mut dates: Vec<_> = dates
        .unwrap()
        .into_iter()
        .map(|row| (row.stat_date, row.node))
        .collect();
    dates.sort();
    let kept = [("2026-03-15", 1), ("2026-03-15", 2), ("2026-03-16", 1)];
    assert_eq!(dates, kept.map(|(date, node)| (date.to_owned(), node)));
}

async fn looks_are_kept_and_a_restart_goes_on_where_it_stood(database: &TestDatabase) {
    let stage = Arc::new(Stage::default());
    stage.has(
        own("spool"),
        Finding::of(Seen::Down).because("full", "It takes nothing."),
    );
    let clock = Arc::new(ManualClock::at_micros(START));
    let settings = HealthSettings {
        interval: Duration::from_millis(50),
        ..HealthSettings::default()
    };
    let run = |stage: &Arc<Stage>| {
        let board = HealthBoard::new(settings.clone());
        board.attach(stage.clone());
        let store = NodeLooks {
            databases: (**database).clone(),
            node: 7,
        };
        let parts = Parts {
            board: board.clone(),
            store: Arc::new(store),
            clock: clock.clone(),
            zone: Tz::UTC,
        };
        (board, supervised(spec(&ActorRef::new(4), parts)))
    };
    let (_board, tree) = run(&stage);
    let rows = async |many: usize| {
        let rows = health_check::latest(&database.events_read, "spool", 100)
            .await
            .unwrap();
        (rows.len() >= many).then_some(rows)
    };
    let kept = eventually("looks to be kept", async || {
        clock.advance_micros(10_000);
        rows(4).await
    })
    .await;
    tree.shutdown(Duration::from_secs(5)).await;
    assert_eq!(kept[0].status, "unhealthy");
    assert_eq!(
        (kept[0].node, kept[0].reason.as_deref()),
        (7, Some("It takes nothing."))
    );

    stage.does("spool", Does::Find(Finding::up()));
    clock.advance_micros(60_000_000);
    let (board, tree) = run(&stage);
    let first = eventually("a look after the restart", async || {
        board.report("spool", clock.now_micros())
    })
    .await;
    assert_eq!(
        first.status,
        Status::Unhealthy,
        "one good look is not enough"
    );
    let fell = kept.iter().rev().find(|row| row.status == "unhealthy");
    assert_eq!(
        first.since,
        fell.unwrap().at,
        "it is down since the first look of the process before"
    );
    eventually("two good looks", async || {
        clock.advance_micros(10_000);
        let report = board.report("spool", clock.now_micros())?;
        (report.status == Status::Healthy).then_some(())
    })
    .await;
    let history = board.history("spool", clock.now_micros()).unwrap();
    let sum = history.sum(START - 1, clock.now_micros() + 1);
    assert!(
        sum.known_us > sum.up_us,
        "the time it was down before is still known"
    );
    tree.shutdown(Duration::from_secs(5)).await;
}
