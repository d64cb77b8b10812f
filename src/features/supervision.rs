//! Supervision: the tree of actors as operators see it, restarting parts of it, and the books' balance.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/supervision/tree` | `read:supervision` |
//! | GET | `/supervision/actors/{path}` | `read:supervision` |
//! | POST | `/supervision/actors/{path}/restart` | `write:supervision` |
//! | POST | `/supervision/actors/{path}/fault` | `write:supervision` |
//! | GET | `/supervision/ledger` | `read:supervision` |
//!
//! Everything is read from counters; no actor is asked, so a stuck one cannot hold up an answer. Faults on purpose are a
//! drill, and refused unless the configuration allows them.

use std::time::Duration;

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use steward_actors::supervision::{Fault, LastExit, Node, NodeKind, RestartError, State, Strategy};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadSupervision, WriteSupervision};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// How long a restart may take before it is answered without its end.
const RESTART_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(tree)
        .service(ledger)
        .service(restart)
        .service(strike)
        .service(show);
}

/// A group or an actor. A group's numbers are the sums of its children, except `restarts` and `epoch`, which
/// are its own, and the percentiles, which it does not have.
#[derive(Debug, Serialize, ToSchema)]
struct TreeNode {
    /// Slash path from `root`.
    id: String,
    /// `group` or `actor`.
    kind: &'static str,
    /// Of a group: `one_for_one`, `one_for_all` or `rest_for_one`.
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'static str>,
    /// `idle`, `starting`, `running`, `stopping`, `draining`, `backing_off`, `stopped` or `failed`.
    state: &'static str,
    /// Messages waiting.
    depth: usize,
    /// Messages that may wait.
    capacity: usize,
    processed: u64,
    /// Messages refused because a queue was full.
    rejected: u64,
    /// Starts after the first.
    restarts: u64,
    /// Accepted messages that were given up.
    dead_letters: u64,
    /// Abandoned incarnations whose thread is still blocked.
    zombies: u64,
    /// Number of the present incarnation, from 1.
    epoch: u64,
    /// Why the previous incarnation ended.
    last_exit: Option<ExitView>,
    /// Median handling time in microseconds.
    p50_us: u64,
    /// 99th percentile of the same.
    p99_us: u64,
    /// In start order.
    #[schema(no_recursion)]
    children: Vec<TreeNode>,
}

/// Why an incarnation ended.
#[derive(Debug, Serialize, ToSchema)]
struct ExitView {
    /// `normal`, `failed`, `panicked`, `killed`, `hung`, `start_timed_out`, `thread_lost` or `escalated`.
    reason: &'static str,
    message: String,
    /// Where it panicked.
    location: Option<String>,
    at: String,
}

impl From<LastExit> for ExitView {
    fn from(exit: LastExit) -> Self {
        Self {
            reason: exit.reason,
            message: exit.message,
            location: exit.location,
            at: rfc3339(exit.at_micros),
        }
    }
}

impl From<Node> for TreeNode {
    fn from(node: Node) -> Self {
        Self {
            id: node.id,
            kind: match node.kind {
                NodeKind::Group => "group",
                NodeKind::Actor => "actor",
            },
            strategy: node.strategy.map(strategy_word),
            state: state_word(node.state),
            depth: node.depth,
            capacity: node.capacity,
            processed: node.processed,
            rejected: node.rejected,
            restarts: node.restarts,
            dead_letters: node.dead_letters,
            zombies: node.zombies,
            epoch: node.epoch,
            last_exit: node.last_exit.map(ExitView::from),
            p50_us: node.p50_us,
            p99_us: node.p99_us,
            children: node.children.into_iter().map(Self::from).collect(),
        }
    }
}

/// Where every accepted record is.
#[derive(Debug, Serialize, ToSchema)]
struct LossLedger {
    accepted: u64,
    /// On the books.
    stored: u64,
    /// On their way.
    spooled: u64,
    dead_lettered: u64,
    dropped: u64,
    /// Whether accepted = stored + spooled + dead_lettered + dropped.
    balanced: bool,
    /// The same for each node; this process knows its own.
    nodes: Vec<NodeLedger>,
}

/// Where every record that a node accepted is.
#[derive(Debug, Serialize, ToSchema)]
struct NodeLedger {
    node: u8,
    accepted: u64,
    stored: u64,
    spooled: u64,
    dead_lettered: u64,
    dropped: u64,
    balanced: bool,
}

/// How an actor is to go wrong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DrillFault {
    /// It panics in its own code.
    Panic,
    /// Something it started panics.
    PanicSpawned,
    /// It declares itself failed.
    Fail,
    /// It waits for something that never comes.
    Hang,
    /// Its thread does not return.
    Block,
}

impl From<DrillFault> for Fault {
    fn from(fault: DrillFault) -> Self {
        match fault {
            DrillFault::Panic => Self::Panic,
            DrillFault::PanicSpawned => Self::PanicSpawned,
            DrillFault::Fail => Self::Fail,
            DrillFault::Hang => Self::Hang,
            DrillFault::Block => Self::Block,
        }
    }
}

/// A fault on purpose.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Drill {
    fault: DrillFault,
    /// How long the thread is blocked; other faults have no length.
    #[serde(default = "one_minute")]
    #[schema(minimum = 1, maximum = 600_000)]
    block_ms: u64,
}

fn one_minute() -> u64 {
    60_000
}

/// The tree.
#[utoipa::path(tag = "supervision", responses((status = 200, body = TreeNode)))]
#[get("/supervision/tree")]
async fn tree(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
) -> Result<Json<TreeNode>, ApiError> {
    check::whole_installation(&caller)?;
    Ok(Json(state.tree.supervisor.tree_now().into()))
}

/// One node of the tree with everything below it.
#[utoipa::path(tag = "supervision", responses((status = 200, body = TreeNode)))]
#[get("/supervision/actors/{path:.*}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
    path: web::Path<String>,
) -> Result<Json<TreeNode>, ApiError> {
    check::whole_installation(&caller)?;
    match find(&state, &path) {
        Ok(node) => Ok(Json(node.into())),
        // This path takes in those of the orders, which are no nodes.
        Err(_) if path.ends_with("/restart") || path.ends_with("/fault") => {
            Err(ApiError::new(ErrorCode::MethodNotAllowed).allow("POST".to_owned()))
        }
        Err(unknown) => Err(unknown),
    }
}

/// Restarts an actor or a group; answers when it is up again. What waits for it goes on waiting meanwhile.
#[utoipa::path(tag = "supervision", responses((status = 200, body = TreeNode)))]
#[post("/supervision/actors/{path:.*}/restart")]
async fn restart(
    state: web::Data<AppState>,
    caller: Can<WriteSupervision>,
    path: web::Path<String>,
) -> Result<Json<TreeNode>, ApiError> {
    check::whole_installation(&caller)?;
    find(&state, &path)?;
    let note = |outcome: &'static str| {
        Audit::of("supervision.restart", "actor", &path).with("outcome", outcome)
    };
    // The effect lies outside the database: who ordered it is written down first, what came of it second.
    let change = Change::begin(&state, &caller).await?;
    change.commit(note("ordered")).await?;
    let ended = tokio::time::timeout(RESTART_WITHIN, state.tree.supervisor.restart(&path)).await;
    let (outcome, answer) = match ended {
        Ok(Ok(())) => ("restarted", Ok(())),
        Ok(Err(RestartError::NotFound)) => ("not found", Err(ApiError::not_found("actor"))),
        Ok(Err(cause)) => (
            "not up",
            Err(ApiError::new(ErrorCode::Unavailable)
                .detail(sentence(&cause))
                .because(&cause)),
        ),
        Err(_) => (
            "still restarting",
            Err(ApiError::new(ErrorCode::Unavailable)
                .detail("It is still restarting.")
                .retry_after_s(5)),
        ),
    };
    let change = Change::begin(&state, &caller).await?;
    change.commit(note(outcome)).await?;
    answer?;
    Ok(Json(find(&state, &path)?.into()))
}

/// Has an actor go wrong on purpose, to see that it is replaced and nothing is lost. Refused unless
/// `supervision.fault_drills` is set.
#[utoipa::path(tag = "supervision", responses((status = 202, body = TreeNode)))]
#[post("/supervision/actors/{path:.*}/fault")]
async fn strike(
    state: web::Data<AppState>,
    caller: Can<WriteSupervision>,
    path: web::Path<String>,
    Json(drill): Json<Drill>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    if !state.config.supervision.fault_drills {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Drills are off; supervision.fault_drills in the configuration allows them."));
    }
    if !(1..=600_000).contains(&drill.block_ms) {
        return Err(ApiError::invalid(
            "block_ms",
            "must lie between 1 and 600000",
        ));
    }
    let node = find(&state, &path)?;
    if node.kind == NodeKind::Group {
        return Err(ApiError::not_found("actor"));
    }
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("supervision.fault", "actor", &path).with("fault", drill.fault);
    change.commit(audit).await?;
    let block = Duration::from_millis(drill.block_ms);
    if !state
        .tree
        .supervisor
        .strike(&path, drill.fault.into(), block)
    {
        return Err(ApiError::not_found("actor"));
    }
    Ok(HttpResponse::Accepted().json(TreeNode::from(node)))
}

/// Where every accepted record is. The sum always holds; `dropped` is what was lost, and says so.
#[utoipa::path(tag = "supervision", responses((status = 200, body = LossLedger)))]
#[get("/supervision/ledger")]
async fn ledger(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
) -> Result<Json<LossLedger>, ApiError> {
    check::whole_installation(&caller)?;
    Ok(Json(books(&state)))
}

/// What moves on the supervision page, for whoever listens.
#[derive(Serialize)]
pub(crate) struct Live {
    tree: TreeNode,
    ledger: LossLedger,
}

/// The tree and the books' balance now.
pub(crate) fn live(state: &AppState) -> Live {
    Live {
        tree: state.tree.supervisor.tree_now().into(),
        ledger: books(state),
    }
}

fn books(state: &AppState) -> LossLedger {
    let books = state.spool.ledger();
    let own = NodeLedger {
        node: state.config.node.id,
        accepted: books.accepted,
        stored: books.stored,
        spooled: books.spooled,
        dead_lettered: books.dead_lettered,
        dropped: books.dropped,
        balanced: books.balances(),
    };
    LossLedger {
        accepted: books.accepted,
        stored: books.stored,
        spooled: books.spooled,
        dead_lettered: books.dead_lettered,
        dropped: books.dropped,
        balanced: books.balances(),
        nodes: vec![own],
    }
}

fn strategy_word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::RestForOne => "rest_for_one",
        Strategy::OneForAll => "one_for_all",
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Starting => "starting",
        State::Running => "running",
        State::Stopping => "stopping",
        State::Draining => "draining",
        State::BackingOff => "backing_off",
        State::Stopped => "stopped",
        State::Failed => "failed",
    }
}

fn find(state: &AppState, path: &str) -> Result<Node, ApiError> {
    let whole = state.tree.supervisor.tree_now();
    whole
        .find(path)
        .cloned()
        .ok_or_else(|| ApiError::not_found("actor"))
}

fn sentence(cause: &RestartError) -> &'static str {
    match cause {
        RestartError::NotFound => "There is no such actor.",
        RestartError::GroupDown => "Its group is down and will start it when it comes back.",
        RestartError::Failed(_) => "It did not come up; the supervisor goes on trying.",
        RestartError::ShuttingDown => "It is being shut down.",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;

    use crate::testing::{Ask, World};

    const TREE: &str = "/api/v1/supervision/tree";

    #[actix_web::test]
    async fn an_actor_is_found_and_restarted() {
        let world = World::live().await;
        {
            let app = world.app().await;
            let root = world.signed_in("root", "ops_admin").await;
            let tree = Ask::get(TREE).bearer(&root).to(&app).await;
            assert_eq!(tree.body["id"], "root", "{tree:?}");
            assert_eq!(tree.body["kind"], "group");
            assert_eq!(tree.body["children"][1]["id"], "root/ledger");
            let writer = "/api/v1/supervision/actors/root/ledger/batch_writer";
            let order = Ask::post(&format!("{writer}/restart"), json!({})).bearer(&root);
            let order = order.to(&app).await;
            assert_eq!(order.status, StatusCode::OK, "{order:?}");
            let after = Ask::get(writer).bearer(&root).to(&app).await;
            assert_eq!(after.body["state"], "running", "{after:?}");
            assert_eq!(after.body["epoch"], 2);
            assert!(after.body["last_exit"]["at"].is_string());
            // Clients generated from the document encode the slashes of a path parameter.
            let encoded = "/api/v1/supervision/actors/root%2Fledger%2Fbatch_writer";
            let encoded = Ask::get(encoded).bearer(&root).to(&app).await;
            assert_eq!(encoded.body["id"], after.body["id"], "{encoded:?}");
            let told = world.audited("supervision.restart").await;
            assert_eq!(told[0].details["outcome"], "restarted");
            assert_eq!(told[1].details["outcome"], "ordered");
            assert_eq!(told[1].target_id, "root/ledger/batch_writer");
            for nobody in ["root/nobody", "", "/", "root/", "ROOT", "..%2f"] {
                let path = format!("/api/v1/supervision/actors/{nobody}");
                let answer = Ask::get(&path).bearer(&root).to(&app).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nobody}");
                let path = format!("{path}/restart");
                let answer = Ask::post(&path, json!({})).bearer(&root).to(&app).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nobody}: {answer:?}");
            }
        }
        world.end().await;
    }

    #[actix_web::test]
    async fn a_method_that_a_path_does_not_take_is_a_405_that_names_those_it_takes() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let writer = "/api/v1/supervision/actors/root/ledger/batch_writer";
        for (ask, allowed) in [
            (Ask::post(TREE, json!({})), "GET"),
            (Ask::delete("/api/v1/supervision/ledger"), "GET"),
            (Ask::post(writer, json!({})), "GET"),
            (Ask::delete(writer), "GET"),
            (Ask::get(&format!("{writer}/restart")), "POST"),
            (Ask::delete(&format!("{writer}/restart")), "POST"),
            (Ask::get(&format!("{writer}/fault")), "POST"),
        ] {
            let answer = ask.bearer(&root).to(&app).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{answer:?}");
            assert_eq!(answer.body["code"], "method_not_allowed", "{answer:?}");
            assert_eq!(answer.header("allow"), allowed, "{answer:?}");
        }
    }

    #[actix_web::test]
    async fn the_books_balance() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        world.state.spool.append(1, b"a record").unwrap();
        let ledger = Ask::get("/api/v1/supervision/ledger").bearer(&root);
        let ledger = ledger.to(&app).await.body;
        assert_eq!(
            (&ledger["accepted"], &ledger["spooled"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(ledger["balanced"], true);
        assert_eq!(ledger["nodes"][0]["node"], 0);
    }
}
