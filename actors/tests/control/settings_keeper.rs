//! `settings_keeper`: what is saved comes into force, and stays when the database goes.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use steward_actors::domain::price::Currency;
use steward_actors::domain::setting::{Defaults, InForce, Settings, Written};
use steward_actors::supervision::{ActorRef, SupervisorHandle};
use steward_actors::tree::foundation::settings_keeper::{Parts, Says, SettingsKeeper, spec};
use steward_actors::tree::foundation::snapshot_keeper::{Refresh, RefreshError};
use steward_entities::{exchange_rate, setting};
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    what_is_saved_holds_at_once_and_after_a_restart,
    another_nodes_change_is_seen_without_being_asked,
    the_rates_there_were_are_kept,
    what_holds_outlives_the_database,
);

struct Kept {
    actor: ActorRef<SettingsKeeper>,
    tree: SupervisorHandle,
    published: InForce,
}

impl Kept {
    fn start(database: &TestDatabase) -> Self {
        let text = |key: &str| match key {
            "prices.currency" => "USD",
            "conversations.max_bytes_per_side" => "262144",
            "conversations.enabled" => "true",
            "stats.aggregation_interval_s" => "60",
            "alerts.interval_ms" => "60000",
            "push.interval_ms" => "250",
            "log.stored_level" => "WARN",
            "archive.enabled" => "off",
            "scheduler.auto_learn_enabled" | "scheduler.auto_sync_enabled" => "true",
            "scheduler.process_interval" => "300",
            "scheduler.sync_interval" => "600",
            "scheduler.batch_size" => "50",
            "rag.min_score" => "0.3",
            key if key.starts_with("retention.") => "60",
            _ => "7",
        };
        let defaults = Defaults::new(|key| Written {
            text: text(key).into(),
            is_locked: key == "prices.usd_cny",
        });
        let published = InForce::default();
        let actor = ActorRef::new(64);
        let parts = Parts {
            databases: (**database).clone(),
            says: Says {
                defaults: Arc::new(defaults.unwrap()),
                published: Arc::clone(&published),
            },
        };
        Self {
            tree: supervised(spec(&actor, parts)),
            actor,
            published,
        }
    }

    async fn refresh(&self) -> Result<(), RefreshError> {
        self.actor.ask(Refresh).await.unwrap()
    }

    fn holds(&self) -> Arc<Settings> {
        self.published.load_full()
    }

    async fn end(self) {
        self.tree.shutdown(Duration::from_secs(5)).await;
    }
}

async fn save(database: &TestDatabase, key: &str, value: Option<&str>) {
    committed(database, async |txn| {
        setting::put(txn, key, value, "opr_x", 1).await
    })
    .await;
}

async fn what_is_saved_holds_at_once_and_after_a_restart(database: &TestDatabase) {
    let kept = Kept::start(database);
    kept.refresh().await.unwrap();
    assert_eq!(kept.holds().currency, Currency::Usd);
    save(database, "prices.currency", Some("CNY")).await;
    // The environment's, and one that cannot be: neither holds.
    save(database, "prices.usd_cny", Some("9")).await;
    save(database, "api.rate_limit_per_operator", Some("none")).await;
    kept.refresh().await.unwrap();
    let holds = kept.holds();
    assert_eq!(holds.currency, Currency::Cny);
    assert_eq!(holds.rate.cny_per_usd_nano(), 7_000_000_000);
    assert_eq!(holds.rate_limit_per_operator, 7);
    kept.end().await;

    let again = Kept::start(database);
    again.refresh().await.unwrap();
    assert_eq!(again.holds(), holds);
    save(database, "prices.currency", None).await;
    again.refresh().await.unwrap();
    assert_eq!(again.holds().currency, Currency::Usd);
    again.end().await;
    let changes = setting::changes(&database.control_read, "prices.currency", 9).await;
    let values: Vec<_> = changes.unwrap().into_iter().map(|row| row.value).collect();
    assert_eq!(values, [None, Some("CNY".to_owned())]);
}

async fn the_rates_there_were_are_kept(database: &TestDatabase) {
    const DAY: i64 = 86_400_000_000;
    let note = async |nano: i64, at: i64| {
        committed(database, async |txn| {
            exchange_rate::note(txn, nano, at).await
        })
        .await;
    };
    note(7_100_000_000, DAY).await;
    // The same again is no change.
    note(7_100_000_000, 2 * DAY).await;
    note(6_900_000_000, 3 * DAY).await;
    let rows = exchange_rate::all(&database.control_read).await.unwrap();
    assert_eq!(rows.len(), 2);
    let kept = Kept::start(database);
    kept.refresh().await.unwrap();
    let holds = kept.holds();
    let rates = holds.rates.by_day(chrono_tz::Tz::UTC, holds.rate);
    let of = |day: i64| rates.of(day * DAY).cny_per_usd_nano();
    assert_eq!(
        [0, 1, 2, 3, 9].map(of),
        [7.1, 7.1, 7.1, 6.9, 6.9].map(|rate| (rate * 1e9) as i64)
    );
    kept.end().await;
}

async fn another_nodes_change_is_seen_without_being_asked(database: &TestDatabase) {
    let kept = Kept::start(database);
    kept.refresh().await.unwrap();
    save(database, "conversations.compress_after_days", Some("30")).await;
    eventually("the change", async || {
        let days = kept.holds().compress_after.as_secs() / 86_400;
        (days == 30).then_some(())
    })
    .await;
    kept.end().await;
}

async fn what_holds_outlives_the_database(database: &TestDatabase) {
    let kept = Kept::start(database);
    save(database, "prices.currency", Some("CNY")).await;
    kept.refresh().await.unwrap();
    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    let control = &database.control;
    control
        .execute_unprepared(&rename("settings", "mislaid"))
        .await
        .unwrap();
    // Seen at the next change of anything: what has not changed is not read.
    committed(database, async |txn| {
        steward_entities::revision::bump(txn).await
    })
    .await;
    assert_eq!(kept.refresh().await, Err(RefreshError::Unreadable));
    assert_eq!(kept.holds().currency, Currency::Cny);
    control
        .execute_unprepared(&rename("mislaid", "settings"))
        .await
        .unwrap();
    kept.refresh().await.unwrap();
    assert_eq!(kept.holds().currency, Currency::Cny);
    kept.end().await;
}
