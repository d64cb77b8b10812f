//! Where news come from: the sources that `push_hub` looks at, made of what the front knows.
//!
//! Each reads counters or asks a small question of the database, and only while somebody listens. They hold the state
//! weakly: it holds the switchboard that holds them. News of other makes (`alerts`, `logs:…`) are published by those who
//! make them.

mod calls;
mod numbers;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix_web::web;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Serialize;
use steward_actors::live::{Source, Switchboard, Topic};
use steward_entities::job;
use steward_entities::scope::Page;

use crate::features::{accounts, supervision, system};
use crate::http::job::JobView;
use crate::state::AppState;

/// Jobs that are looked at: the newest.
const JOBS_MAX: u64 = 50;

/// Has `push_hub` look at everything there is to see of `state` from now on.
pub fn attach(state: &web::Data<AppState>) {
    let weak = || Arc::downgrade(&state.clone().into_inner());
    let board = &state.tree.live;
    board.attach(Arc::new(Standing(weak())));
    board.attach(Arc::new(Health(weak())));
    board.attach(Arc::new(Supervision(weak())));
    board.attach(Arc::new(Jobs {
        state: weak(),
        seen: Mutex::default(),
    }));
    board.attach(Arc::new(calls::Requests::new(
        state.tree.committed(),
        state.settings.clone(),
    )));
    board.attach(Arc::new(numbers::Numbers::new(
        weak(),
        state.tree.committed(),
    )));
}

/// Whether those who hold sockets still stand as they stood: what another process changed is noticed here.
struct Standing(Weak<AppState>);

#[async_trait]
impl Source for Standing {
    fn name(&self) -> &'static str {
        "standing"
    }

    fn every(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn look(&self, _: &Switchboard) {
        if let Some(state) = self.0.upgrade()
            && state.push.sessions() > 0
        {
            // Reading it again reviews the sessions; that it cannot be read is told there.
            let _ = state.directory.current().await;
        }
    }
}

/// What the circuit breakers think, and how the components are.
struct Health(Weak<AppState>);

#[derive(Serialize)]
struct HealthNews {
    accounts: Vec<accounts::LiveAccount>,
    components: Vec<system::LiveComponent>,
}

#[async_trait]
impl Source for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn look(&self, board: &Switchboard) {
        if let Some(state) = self.0.upgrade()
            && board.is_wanted(Topic::Health)
        {
            let news = HealthNews {
                accounts: accounts::live(&state),
                components: system::live(&state),
            };
            board.publish(Topic::Health, &news);
        }
    }
}

/// The tree and the books' balance.
struct Supervision(Weak<AppState>);

#[async_trait]
impl Source for Supervision {
    fn name(&self) -> &'static str {
        "supervision"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn look(&self, board: &Switchboard) {
        if let Some(state) = self.0.upgrade()
            && board.is_wanted(Topic::Supervision)
        {
            board.publish(Topic::Supervision, &supervision::live(&state));
        }
    }
}

/// Jobs that moved: state, progress, a wish to stop.
struct Jobs {
    state: Weak<AppState>,
    /// By id: what moves, as it was last seen. `None` until the first look.
    seen: Mutex<Option<HashMap<i64, Moving>>>,
}

type Moving = (&'static str, i64, bool);

#[async_trait]
impl Source for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn look(&self, board: &Switchboard) {
        let Some(state) = self.state.upgrade() else {
            return;
        };
        if !board.is_wanted(Topic::Jobs) {
            *self.seen.lock() = None;
            return;
        }
        let newest = Page {
            after: None,
            limit: JOBS_MAX,
        };
        let read = &state.databases.control_read;
        let rows = match job::list(read, &job::Filter::default(), newest).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "jobs cannot be read for those who listen");
                return;
            }
        };
        let mut seen = self.seen.lock();
        let before = seen.take();
        let mut now = HashMap::new();
        for row in rows.into_iter().rev() {
            let moving = (row.state.as_str(), row.progress, row.cancel_requested);
            now.insert(row.id, moving);
            if before
                .as_ref()
                .is_some_and(|before| before.get(&row.id) != Some(&moving))
            {
                board.publish(Topic::Jobs, &JobView::from(row));
            }
        }
        *seen = Some(now);
    }
}
