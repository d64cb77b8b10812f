//! Where looks are kept: the events database, as the prober needs it; and what they say of a day, beside the day's calls.

use std::collections::HashMap;
use std::str::FromStr;

use async_trait::async_trait;
use sea_orm::DbErr;
use steward_entities::dashboard_stats::{self, Reach};
use steward_entities::database::{Databases, begin_write};
use steward_entities::health_check::{self, Look};
use steward_entities::health_day;

use crate::domain::health::Status;
use crate::domain::health::history::History;

/// Rows read at a time when histories are put together.
const PAGE: u64 = 5_000;

/// Keeps looks, and tells what was kept.
#[async_trait]
pub trait LookStore: Send + Sync + 'static {
    /// Keeps all of them or none.
    async fn keep(&self, looks: Vec<Look>) -> Result<(), DbErr>;

    /// Notes what is known of days, rising, in `dashboard_stats`, together with what other nodes know of them. Earlier
    /// days are not noted again.
    async fn keep_days(&self, days: Vec<health_day::Day>, at_micros: i64) -> Result<(), DbErr>;

    /// Histories by component of looks since `from`, microseconds since the Unix epoch; a look counts for `hold_us`.
    async fn histories(&self, from: i64, hold_us: i64) -> Result<HashMap<String, History>, DbErr>;
}

/// This node's looks in the events database.
#[derive(Clone, Debug)]
pub struct NodeLooks {
    pub databases: Databases,
    pub node: u8,
}

#[async_trait]
impl LookStore for NodeLooks {
    async fn keep(&self, looks: Vec<Look>) -> Result<(), DbErr> {
        let (events, node) = (self.databases.events.clone(), self.node);
        let keeping = async move {
            let txn = begin_write(&events).await?;
            health_check::insert(&txn, looks, node).await?;
            txn.commit().await
        };
        self.databases.at_home(keeping).await
    }

    async fn keep_days(&self, days: Vec<health_day::Day>, at_micros: i64) -> Result<(), DbErr> {
        let (control, node) = (self.databases.control.clone(), self.node);
        let keeping = async move {
            let txn = begin_write(&control).await?;
            for mine in &days {
                let all = health_day::put(&txn, node, mine).await?;
                let reach = Reach {
                    stat_date: all.stat_date,
                    api_connectivity: all.accounts.ratio(),
                    jwt_availability: all.tokens.ratio(),
                };
                dashboard_stats::put_reach(&txn, &reach, at_micros).await?;
            }
            if let Some(first) = days.first() {
                health_day::forget_before(&txn, node, &first.stat_date).await?;
            }
            txn.commit().await
        };
        self.databases.at_home(keeping).await
    }

    async fn histories(&self, from: i64, hold_us: i64) -> Result<HashMap<String, History>, DbErr> {
        let mine = self.clone();
        let reading = async move { mine.read(from, hold_us).await };
        self.databases.at_home(reading).await
    }
}

impl NodeLooks {
    async fn read(&self, from: i64, hold_us: i64) -> Result<HashMap<String, History>, DbErr> {
        let mut histories: HashMap<String, History> = HashMap::new();
        let mut after = 0;
        loop {
            let read = &self.databases.events_read;
            let page = health_check::points(read, self.node, from, after, PAGE).await?;
            let is_last = (page.len() as u64) < PAGE;
            for point in page {
                after = point.id;
                let status = Status::from_str(&point.status).unwrap_or_default();
                let latency = point.latency_ms.and_then(|ms| u64::try_from(ms).ok());
                let history = histories.entry(point.component).or_default();
                history.see(point.at, status, latency, hold_us);
            }
            if is_last {
                return Ok(histories);
            }
        }
    }
}
