//! Rules over one component whose status a test sets, channels, and receivers that do as they are told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use steward_actors::alert_book::address::Address;
use steward_actors::courier::{Answered, Courier, Parcel};
use steward_actors::domain::clock::{Clock, ManualClock};
use steward_actors::domain::notice::email::Mail;
use steward_actors::domain::notice::standard_webhooks::Secret;
use steward_actors::domain::recent::Recent;
use steward_actors::domain::setting::{InForce, Settings};
use steward_actors::live::Switchboard;
use steward_actors::spool::{Overflow, Spool, SpoolConfig};
use steward_actors::tree::ledger::batch_writer::delivery::Condition;
use steward_actors::tree::watch::alert_evaluator::measure::Gauges;
use steward_actors::tree::watch::alert_evaluator::outside::Outside;
use steward_actors::tree::watch::alert_evaluator::{self, Shared, round};
use steward_actors::tree::watch::notifier::{self, Sending, Turn, drain};
use steward_actors::vault::Vault;
use steward_entities::database::begin_write;
use steward_entities::{alert_rule, channel, outbox, public_id};
use steward_migration::testing::TestDatabase;
use tokio::sync::watch;

/// 2026-03-15T18:30:00Z.
pub(crate) const START: i64 = 1_773_599_400_000_000;
pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const NODE: u8 = 1;

/// What a receiver does with the next notice.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Answers(u16, Option<&'static str>),
    /// Fails, and says where it was called.
    SaysBack,
    /// Takes it, and the answer never comes back.
    TakesAndHangs,
}

/// A component, how it is, and what it stands on.
pub(crate) type Other = (&'static str, &'static str, &'static str);

/// Receivers. Without orders they take what comes.
#[derive(Debug, Default)]
pub(crate) struct Post {
    pub(crate) orders: Mutex<VecDeque<Does>>,
    /// Nobody answers.
    pub(crate) down: Mutex<bool>,
    /// Everything that was tried.
    pub(crate) tried: Mutex<Vec<Parcel>>,
    /// (id, type) of what receivers have.
    pub(crate) taken: Mutex<Vec<(String, String)>>,
    pub(crate) mails: Mutex<Vec<(Mail, Vec<String>)>>,
    /// The relay takes mails, and its answer never comes back.
    pub(crate) mail_hangs: Mutex<bool>,
    /// The relay takes no mails.
    pub(crate) mail_down: Mutex<bool>,
}

impl Post {
    fn take(&self, parcel: &Parcel) {
        let body: serde_json::Value = serde_json::from_str(&parcel.body).unwrap();
        let id = parcel
            .headers
            .iter()
            .find(|(name, _)| *name == "webhook-id");
        let id = id.map(|(_, id)| id.clone()).unwrap_or_default();
        let event = body["data"]["event"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.taken.lock().push((id, event));
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.taken
            .lock()
            .iter()
            .map(|(_, event)| event.clone())
            .collect()
    }
}

#[async_trait::async_trait]
impl Courier for Post {
    async fn post(&self, parcel: Parcel) -> Result<Answered, String> {
        self.tried.lock().push(parcel.clone());
        if *self.down.lock() {
            return Err("connection refused".to_owned());
        }
        let order = self.orders.lock().pop_front();
        match order {
            None => {
                self.take(&parcel);
                Ok(Answered {
                    status: 200,
                    ..Answered::default()
                })
            }
            Some(Does::Answers(status, retry_after)) => {
                if status < 300 {
                    self.take(&parcel);
                }
                Ok(Answered {
                    status,
                    retry_after: retry_after.map(str::to_owned),
                    body: b"as ordered".to_vec(),
                })
            }
            Some(Does::SaysBack) => Ok(Answered {
                status: 500,
                body: format!("nothing works at {}", parcel.url).into_bytes(),
                ..Answered::default()
            }),
            Some(Does::TakesAndHangs) => {
                self.take(&parcel);
                std::future::pending().await
            }
        }
    }

    async fn mail(&self, mail: &Mail, to: &[String]) -> Result<Answered, String> {
        if *self.mail_down.lock() {
            return Err("connection refused".to_owned());
        }
        self.mails.lock().push((mail.clone(), to.to_vec()));
        if *self.mail_hangs.lock() {
            return std::future::pending().await;
        }
        Ok(Answered {
            status: 250,
            ..Answered::default()
        })
    }

    fn mail_domain(&self) -> &str {
        "example.com"
    }
}

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) post: Arc<Post>,
    pub(crate) status: Arc<Mutex<&'static str>>,
    /// Components besides `relay`.
    pub(crate) others: Arc<Mutex<Vec<Other>>>,
    /// Which components there are, looked at or not; nobody knows unless a test says so.
    pub(crate) known: Arc<Mutex<Option<BTreeSet<String>>>>,
    /// Components with certificates, and when those expire.
    pub(crate) certificates: Arc<Mutex<Vec<(&'static str, i64)>>>,
    /// Actors restarted since the process began.
    pub(crate) restarts: Arc<Mutex<u64>>,
    /// Until when a node sends, each as it knows it: a node that starts anew knows nothing.
    leases: Mutex<BTreeMap<u8, Sending>>,
    pub(crate) vault: Arc<Vault>,
    /// By whose exchange rates costs are compared.
    pub(crate) settings: InForce,
    /// So small that it soon drops what it holds.
    pub(crate) spool: Arc<Spool>,
    /// How the writer stands.
    pub(crate) writer: watch::Sender<Condition>,
    pub(crate) secret: String,
}

impl World {
    pub(crate) async fn on(database: TestDatabase) -> Self {
        let spool = SpoolConfig {
            segment_bytes: 8 << 10,
            max_bytes: Some(32 << 10),
            min_free_bytes: 0,
            overflow: Overflow::DropOldest,
            ..SpoolConfig::new(database.dir().join("spool"), NODE)
        };
        let (spool, _) = Spool::open(spool).unwrap();
        let world = Self {
            clock: Arc::new(ManualClock::at_micros(START)),
            post: Arc::default(),
            status: Arc::new(Mutex::new("healthy")),
            vault: Arc::new(Vault::open(database.dir()).unwrap()),
            others: Arc::default(),
            known: Arc::default(),
            certificates: Arc::default(),
            restarts: Arc::default(),
            leases: Mutex::default(),
            settings: Arc::new(ArcSwap::from_pointee(Settings {
                // Each notice by itself, unless a test says otherwise.
                group_window: Duration::ZERO,
                ..Settings::default()
            })),
            spool,
            writer: watch::Sender::new(Condition::default()),
            secret: Secret::generate().unwrap().reveal().to_string(),
            database,
        };
        world.channel("hook", "webhook").await;
        world
    }

    pub(crate) fn adjust(&self, adjust: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.settings.load());
        adjust(&mut settings);
        self.settings.store(Arc::new(settings));
    }

    pub(crate) fn seconds(&self, seconds: i64) {
        self.clock.advance_micros(seconds * 1_000_000);
    }

    pub(crate) fn minutes(&self, minutes: i64) {
        self.clock.advance_micros(minutes * MINUTE);
    }

    /// As a process that has just started: nothing is remembered but what is stored.
    pub(crate) fn evaluator(&self) -> alert_evaluator::Parts {
        let outside = Outside::default();
        let (status, others) = (Arc::clone(&self.status), Arc::clone(&self.others));
        outside.components(move || {
            let others = others.lock().clone().into_iter();
            let others = others.map(|(name, status, _)| (name.to_owned(), status));
            std::iter::once(("relay".to_owned(), *status.lock()))
                .chain(others)
                .collect()
        });
        let known = Arc::clone(&self.known);
        outside.knows(move || known.lock().clone());
        let others = Arc::clone(&self.others);
        outside.stands_on(move || {
            let others = others.lock().clone().into_iter();
            others
                .map(|(name, _, below)| (name.to_owned(), below.to_owned()))
                .collect()
        });
        let certificates = Arc::clone(&self.certificates);
        outside.certificates(move || {
            let all = certificates.lock().clone().into_iter();
            all.map(|(name, at)| (name.to_owned(), at)).collect()
        });
        let restarts = Arc::clone(&self.restarts);
        outside.restarts(move || *restarts.lock());
        alert_evaluator::Parts {
            gauges: Gauges {
                databases: (*self.database).clone(),
                recent: Recent::new(self.clock.clone()),
                spool: Arc::clone(&self.spool),
                zone: chrono_tz::Tz::UTC,
                settings: Arc::clone(&self.settings),
                outside: Arc::new(outside),
                writer: self.writer.subscribe(),
                embeds: false,
                node: NODE,
            },
            console_url: "https://steward.example.com/ops".to_owned(),
            board: Switchboard::new(self.clock.clone()),
            shared: Shared::default(),
            clock: self.clock.clone(),
        }
    }

    pub(crate) fn notifier(&self) -> notifier::Parts {
        self.notifier_of(1)
    }

    /// Of one of several nodes on this database.
    pub(crate) fn notifier_of(&self, node: u8) -> notifier::Parts {
        notifier::Parts {
            databases: (*self.database).clone(),
            vault: Arc::clone(&self.vault),
            courier: self.post.clone(),
            shared: Shared::default(),
            node,
            sending: self.leases.lock().entry(node).or_default().clone(),
            heartbeat_url: String::new(),
            settings: Arc::clone(&self.settings),
            clock: self.clock.clone(),
        }
    }

    /// The component reads `status`, and the rules are evaluated; what happened, with `(quiet)` if nobody is told.
    pub(crate) async fn round(&self, status: &'static str) -> String {
        *self.status.lock() = status;
        let done = round(&self.evaluator(), 0).await.unwrap();
        let steps = done.steps.iter().map(|step| match step.told {
            true => step.event.to_owned(),
            false => format!("{} (quiet)", step.event),
        });
        steps.collect::<Vec<_>>().join(", ")
    }

    /// The same with the component each step is of, in the order of their names.
    pub(crate) async fn round_by_component(&self, status: &'static str) -> String {
        *self.status.lock() = status;
        let done = round(&self.evaluator(), 0).await.unwrap();
        let steps = done.steps.iter().map(|step| {
            let quiet = if step.told { "" } else { " (quiet)" };
            format!("{} {}{quiet}", step.event, step.labels["component"])
        });
        steps.collect::<Vec<_>>().join(", ")
    }

    /// Rounds, a minute apart: `minutes status | what happens`.
    pub(crate) async fn trace(&self, table: &str) {
        for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (given, expected) = row.split_once('|').unwrap();
            let mut given = given.split_whitespace();
            let minute: i64 = given.next().unwrap().parse().unwrap();
            let status = match given.next().unwrap() {
                "up" => "healthy",
                _ => "unhealthy",
            };
            let now = START + minute * MINUTE;
            self.clock.advance_micros(now - self.clock.now_micros());
            assert_eq!(self.round(status).await, expected.trim(), "in row `{row}`");
        }
    }

    pub(crate) async fn drain(&self) -> Turn {
        drain(&self.notifier()).await.unwrap()
    }

    pub(crate) async fn rule(
        &self,
        adjust: impl FnOnce(&mut alert_rule::Said),
    ) -> alert_rule::Model {
        let mut said = alert_rule::Said {
            name: "component_down".into(),
            condition: "status != healthy".into(),
            window_s: 300,
            hold_for_s: 0,
            keep_firing_for_s: 0,
            severity: "critical".into(),
            no_data: "ok".into(),
            split_by: Vec::new(),
            filter: Vec::new(),
            channels: Vec::new(),
            enabled: true,
        };
        adjust(&mut said);
        let txn = begin_write(&self.database.control).await.unwrap();
        let row = alert_rule::insert(&txn, said, String::new(), START)
            .await
            .unwrap();
        txn.commit().await.unwrap();
        row
    }

    pub(crate) async fn edit(
        &self,
        row: &alert_rule::Model,
        adjust: impl FnOnce(&mut alert_rule::Said),
    ) {
        let txn = begin_write(&self.database.control).await.unwrap();
        let row = alert_rule::hold(&txn, row.id).await.unwrap().unwrap();
        let mut said = alert_rule::Said::from(&row);
        adjust(&mut said);
        alert_rule::update(&txn, &row, said, self.clock.now_micros())
            .await
            .unwrap();
        txn.commit().await.unwrap();
    }

    /// What operators do to a channel.
    pub(crate) async fn set_channel(&self, id: i64, set: channel::ActiveModel) {
        let txn = begin_write(&self.database.control).await.unwrap();
        let all = channel::all(&txn).await.unwrap();
        let row = all.iter().find(|row| row.id == id).unwrap();
        let now = self.clock.now_micros();
        channel::update(&txn, row, set, now).await.unwrap();
        outbox::hurry(&txn, id, now).await.unwrap();
        txn.commit().await.unwrap();
    }

    /// Removes the channel that is there from the start.
    pub(crate) async fn without_channels(&self) {
        let txn = begin_write(&self.database.control).await.unwrap();
        for row in channel::all(&txn).await.unwrap() {
            channel::remove(&txn, &row).await.unwrap();
        }
        txn.commit().await.unwrap();
    }

    pub(crate) async fn channel(&self, name: &str, kind: &str) -> channel::Model {
        let public_id = public_id::new("chn");
        let address = Address {
            url: "https://receiver.example.com/hook/kPq8Zr2LmW9xTb4V".into(),
            secret: Some(self.secret.clone()),
            ..Address::default()
        };
        let sealed = address.seal(&self.vault, &public_id).unwrap();
        let txn = begin_write(&self.database.control).await.unwrap();
        let new = channel::NewChannel {
            public_id,
            name: name.into(),
            kind: kind.into(),
            shown: "https://receiver.example.com/…".into(),
            recipients: vec!["ada@example.com".into()],
            sealed: sealed.bytes,
            sealed_key_id: sealed.key_id,
            takes_all: true,
            enabled: true,
            created_by: String::new(),
        };
        let row = channel::insert(&txn, new, START).await.unwrap();
        txn.commit().await.unwrap();
        row
    }
}
