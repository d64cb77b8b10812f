//! The numbers of `/metrics`, read from the parts that count when they are asked for.
//!
//! Counters begin with the process, except the books', which are the spool's and outlive it.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use steward_actors::retention::files;
use steward_actors::spool::DropReason;
use steward_actors::supervision::{NodeKind, State};

use crate::gateway::breaker::Standing;
use crate::state::AppState;

type Labels = Vec<(&'static str, String)>;

/// Collects numbers into a registry that lives for one answer.
struct Page(Registry);

impl Page {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(bounded(value));
        self.0.register(name, help, gauge);
    }

    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(bounded(value));
        }
        self.0.register(name, help, family);
    }
}

fn bounded(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

/// Everything, as OpenMetrics text.
///
/// # Errors
/// Only when text cannot be written to memory.
pub(super) fn text(state: &AppState) -> Result<String, fmt::Error> {
    let mut page = Page(Registry::with_prefix("steward"));
    books(&mut page, state);
    gateway(&mut page, state);
    accounts(&mut page, state);
    actors(&mut page, state);
    page.gauge(
        "push_sessions",
        "Open WebSockets",
        state.push.sessions() as u64,
    );
    let mut text = String::with_capacity(16 * 1024);
    encode(&mut text, &page.0)?;
    // What the process is to its host carries the usual names.
    let mut host = Page(Registry::default());
    process(&mut host);
    let mut rest = String::new();
    encode(&mut rest, &host.0)?;
    let end = text.trim_end().trim_end_matches("# EOF").len();
    text.truncate(end);
    text.push_str(&rest);
    Ok(text)
}

fn books(page: &mut Page, state: &AppState) {
    let books = state.spool.ledger();
    let stats = state.spool.stats();
    page.counter("ledger_accepted", "Records accepted", books.accepted);
    page.counter("ledger_stored", "Records on the books", books.stored);
    page.gauge(
        "ledger_spooled",
        "Records on their way to the books",
        books.spooled,
    );
    page.counter(
        "ledger_dead_lettered",
        "Records no table took",
        books.dead_lettered,
    );
    page.counter("ledger_dropped", "Records lost", books.dropped);
    let dropped = DropReason::ALL.iter().map(|reason| {
        let many = stats.dropped_since_start[*reason as usize];
        (label("reason", reason.label()), many)
    });
    page.counters(
        "ledger_dropped_since_start",
        "Records lost since the process started",
        dropped,
    );
    page.gauge(
        "spool_used_bytes",
        "Bytes in the spool's segments",
        stats.used_bytes,
    );
    page.gauge("spool_segments", "Segments of the spool", stats.segments);
    page.gauge(
        "spool_disk_free_bytes",
        "Free bytes on the spool's disk",
        stats.free_bytes,
    );
    page.gauge("spool_leased", "Records being written", stats.leased);
    page.counter(
        "spool_append_errors",
        "Records the spool could not write",
        stats.append_errors,
    );
    page.counter("spool_sync_errors", "Syncs that failed", stats.sync_errors);
    let condition = state.tree.ledger_condition().borrow().clone();
    page.gauge(
        "ledger_database_available",
        "1 while the ledger's database takes records",
        u64::from(condition.unavailable_since.is_none()),
    );
    page.gauge(
        "ledger_stray_rows",
        "Rows no month's partition claimed",
        condition.stray_rows,
    );
    let files = files::of(&state.databases).into_iter();
    page.gauges(
        "sqlite_wal_bytes",
        "Length of the write-ahead log of a SQLite file",
        files.map(|file| (label("file", file.name()), file.log_bytes())),
    );
}

fn gateway(page: &mut Page, state: &AppState) {
    let counted = state.gateway.counters().read();
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let by_class = classes.iter().zip(counted.requests_by_class);
    page.counters(
        "gateway_requests",
        "Calls ended, by what the caller saw",
        by_class.map(|(class, many)| (label("class", *class), many)),
    );
    page.gauge(
        "gateway_in_flight",
        "Calls not yet ended",
        counted.in_flight,
    );
    page.counter(
        "gateway_unknown_credentials",
        "Requests with no credential or one that opens nothing",
        counted.unknown_credentials,
    );
    page.counter(
        "gateway_upstream_errors",
        "Attempts on accounts that failed",
        counted.upstream_errors,
    );
    page.counter(
        "gateway_retries",
        "Attempts on accounts after the first",
        counted.retries,
    );
    page.counter(
        "gateway_refused_unrecorded",
        "Calls not made because the books could not take their record",
        counted.refused_unrecorded,
    );
    page.counter(
        "gateway_append_failures",
        "Records the spool would not take at a call's end",
        counted.append_failures,
    );
}

fn accounts(page: &mut Page, state: &AppState) {
    const STATES: [&str; 4] = ["closed", "half_open", "probing", "open"];
    let snapshot = state.snapshot.load();
    let mut breakers = Vec::new();
    let mut opened = Vec::new();
    let mut in_flight = Vec::new();
    for account in &snapshot.accounts {
        let (breaker, calls) = state.gateway.accounts().view(account.id);
        let id = || label("account", account.public_id.clone());
        let now = match breaker.standing {
            Standing::Closed => "closed",
            Standing::HalfOpen => "half_open",
            Standing::Probing => "probing",
            Standing::Open { .. } => "open",
        };
        for name in STATES {
            let mut labels = id();
            labels.push(("state", name.to_owned()));
            breakers.push((labels, u64::from(name == now)));
        }
        opened.push((id(), breaker.opened));
        in_flight.push((id(), u64::from(calls)));
    }
    page.gauges(
        "account_breaker",
        "1 at the state of the account's circuit breaker",
        breakers,
    );
    page.counters(
        "account_breaker_opened",
        "How often the breaker opened",
        opened,
    );
    page.gauges(
        "account_in_flight",
        "Calls the account is serving",
        in_flight,
    );
}

fn actors(page: &mut Page, state: &AppState) {
    let tree = state.tree.supervisor.tree_now();
    let all: Vec<_> = tree
        .walk()
        .into_iter()
        .filter(|node| node.kind == NodeKind::Actor)
        .collect();
    let each = |number: fn(&steward_actors::supervision::Node) -> u64| {
        let numbered = |node: &&steward_actors::supervision::Node| {
            (label("actor", node.id.clone()), number(node))
        };
        all.iter().map(numbered).collect::<Vec<_>>()
    };
    page.gauges(
        "actor_depth",
        "Messages waiting",
        each(|node| node.depth as u64),
    );
    page.gauges(
        "actor_capacity",
        "Messages that may wait",
        each(|node| node.capacity as u64),
    );
    page.gauges(
        "actor_running",
        "1 while the actor takes messages",
        each(|node| u64::from(node.state == State::Running)),
    );
    page.counters(
        "actor_processed",
        "Messages handled",
        each(|node| node.processed),
    );
    page.counters(
        "actor_rejected",
        "Messages refused because the queue was full",
        each(|node| node.rejected),
    );
    page.counters(
        "actor_restarts",
        "Starts after the first",
        each(|node| node.restarts),
    );
    page.counters(
        "actor_dead_letters",
        "Accepted messages that were given up",
        each(|node| node.dead_letters),
    );
}

fn process(page: &mut Page) {
    if let Some(started) = started_at_s() {
        let gauge = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
        gauge.set(started);
        page.0.register(
            "process_start_time_seconds",
            "When the process started",
            gauge,
        );
    }
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory in use", bytes);
    }
}

/// Linux only.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// Seconds since the Unix epoch. Linux only.
fn started_at_s() -> Option<f64> {
    let own = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold blanks; what follows it does not.
    let fields = own.rsplit_once(')')?.1;
    let ticks: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let host = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = host.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(boot as f64 + ticks as f64 / per_second as f64)
}
