//! Jobs, and answers kept for repeated requests.

use serde_json::json;
use steward_entities::change::ChangeError;
use steward_entities::database::Databases;
use steward_entities::job::{self, ATTEMPTS_MAX, Ending, State};
use steward_entities::scope::Page;
use steward_entities::{expiry, idempotency_key, public_id};

use crate::{committed, on_both, refused};

on_both!(
    jobs_run_once_each,
    jobs_are_cancelled,
    a_job_of_a_node_is_left_to_it,
    what_runs_in_another_lane_is_left_alone,
    lost_jobs_are_taken_back,
    answers_are_kept_once,
);

fn kinds() -> Vec<String> {
    vec!["replay".into(), "export".into()]
}

async fn queue(databases: &Databases, kind: &str) -> job::Model {
    committed(databases, async |txn| {
        job::insert(txn, kind, json!({"n": 1}), "opr_x".into(), 1).await
    })
    .await
}

async fn claim(databases: &Databases, node: i64, at: i64) -> Option<job::Model> {
    committed(databases, async |txn| {
        job::claim(txn, &kinds(), node, at).await
    })
    .await
}

async fn jobs_run_once_each(databases: &Databases) {
    let read = &databases.control_read;
    let unknown = queue(databases, "from-the-future").await;
    let first = queue(databases, "replay").await;
    let second = queue(databases, "export").await;
    let taken = claim(databases, 1, 10).await.unwrap();
    assert_eq!(
        (taken.id, taken.state, taken.attempts),
        (first.id, State::Running, 1)
    );
    assert_eq!(claim(databases, 2, 10).await.unwrap().id, second.id);
    assert_eq!(claim(databases, 1, 10).await, None);

    let beat = async |node| {
        committed(databases, async |txn| {
            job::beat(txn, first.id, node, 40, 20).await
        })
        .await
    };
    assert!(beat(1).await);
    assert!(!beat(2).await, "another node's job");
    let end = async |node, ending| {
        committed(databases, async |txn| {
            job::finish(txn, first.id, node, ending, 30).await
        })
        .await
    };
    assert!(!end(2, Ending::Cancelled).await, "another node's job");
    assert!(end(1, Ending::Succeeded(json!({"done": 7}))).await);
    assert!(
        !end(1, Ending::Failed("late".into())).await,
        "it has ended already"
    );
    let row = job::by_public_id(read, &first.public_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.state, row.progress, row.result),
        (State::Succeeded, 100, Some(json!({"done": 7})))
    );

    let page = Page {
        after: None,
        limit: 10,
    };
    let queued = job::Filter {
        state: Some(State::Queued),
        ..Default::default()
    };
    assert_eq!(
        job::list(read, &queued, page).await.unwrap()[0].id,
        unknown.id
    );
    let exports = job::Filter {
        kind: Some("export".into()),
        ..Default::default()
    };
    assert_eq!(job::count(read, &exports).await.unwrap(), 1);
}

async fn jobs_are_cancelled(databases: &Databases) {
    let waiting = queue(databases, "replay").await;
    let cancel = async |id| {
        committed(databases, async |txn| job::request_cancel(txn, id, 5).await)
            .await
            .unwrap()
    };
    assert_eq!(cancel(waiting.id).await.state, State::Cancelled);
    let running = queue(databases, "replay").await;
    claim(databases, 1, 10).await.unwrap();
    let asked = cancel(running.id).await;
    assert_eq!(
        (asked.state, asked.cancel_requested),
        (State::Running, true)
    );
    let goes_on = committed(databases, async |txn| {
        job::beat(txn, running.id, 1, 1, 6).await
    })
    .await;
    assert!(!goes_on);
    committed(databases, async |txn| {
        job::finish(txn, running.id, 1, Ending::Cancelled, 7).await
    })
    .await;
    let after = cancel(running.id).await;
    assert_eq!(
        (after.state, after.finished_at),
        (State::Cancelled, Some(7))
    );
}

async fn a_job_of_a_node_is_left_to_it(databases: &Databases) {
    let read = &databases.control_read;
    let here = committed(databases, async |txn| {
        job::insert_on(txn, 2, "replay", json!({}), "opr_x".into(), 1).await
    })
    .await;
    let later = queue(databases, "replay").await;
    let waits = async |node| job::any_waiting(read, &kinds(), node, 0).await.unwrap();
    assert!(waits(1).await);
    assert_eq!(claim(databases, 1, 10).await.unwrap().id, later.id);
    assert!(!waits(1).await, "what is left is not for node 1");
    assert_eq!(claim(databases, 1, 10).await, None);
    assert!(waits(2).await);
    assert_eq!(claim(databases, 2, 10).await.unwrap().id, here.id);
}

async fn what_runs_in_another_lane_is_left_alone(databases: &Databases) {
    let mine = queue(databases, "replay").await;
    queue(databases, "export").await;
    claim(databases, 1, 100).await.unwrap();
    claim(databases, 1, 100).await.unwrap();
    let lost = committed(databases, async |txn| {
        job::recover(txn, Some((1, &["replay".to_owned()])), 50, 200).await
    })
    .await;
    let lost: Vec<i64> = lost.into_iter().map(|job| job.id).collect();
    assert_eq!(lost, [mine.id]);
}

async fn lost_jobs_are_taken_back(databases: &Databases) {
    let read = &databases.control_read;
    let mine = queue(databases, "replay").await;
    let theirs = queue(databases, "replay").await;
    claim(databases, 1, 100).await.unwrap();
    claim(databases, 2, 100).await.unwrap();
    let recover = async |node: Option<i64>, beaten_before| {
        let kinds = kinds();
        let own = node.map(|node| (node, &kinds[..]));
        let lost = committed(databases, async |txn| {
            job::recover(txn, own, beaten_before, 200).await
        })
        .await;
        lost.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(recover(Some(1), 50).await, [mine.id], "node 2 is alive");
    assert_eq!(
        recover(None, 150).await,
        [theirs.id],
        "node 2 beats no more"
    );
    for attempt in 2..=ATTEMPTS_MAX {
        let again = claim(databases, 1, 100).await.unwrap();
        assert_eq!((again.id, again.attempts), (mine.id, attempt));
        assert_eq!(recover(Some(1), 0).await, [mine.id]);
    }
    let row = job::by_public_id(read, &mine.public_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.state, row.finished_at), (State::Failed, Some(200)));
    assert!(row.error.unwrap().contains("interrupted"));
}

async fn answers_are_kept_once(databases: &Databases) {
    let answer = idempotency_key::Model {
        key: public_id::new("key"),
        operator_id: 1,
        method_path: "POST /api/v1/tokens".into(),
        body_hash: vec![1; 32],
        status: 201,
        response: json!({"id": "tok_x"}),
        created_at: 10,
    };
    committed(databases, async |txn| {
        idempotency_key::insert(txn, answer.clone()).await
    })
    .await;
    let twice = refused(databases, async |txn| {
        idempotency_key::insert(txn, answer.clone()).await
    })
    .await;
    assert!(matches!(twice, ChangeError::Duplicate), "{twice:?}");
    let read = &databases.control_read;
    assert_eq!(
        idempotency_key::find(read, 1, &answer.key)
            .await
            .unwrap()
            .as_ref(),
        Some(&answer)
    );
    assert_eq!(
        idempotency_key::find(read, 2, &answer.key).await.unwrap(),
        None
    );
    let removed = committed(databases, async |txn| {
        expiry::IDEMPOTENCY_KEYS.remove_some(txn, (0, 11), 9).await
    })
    .await;
    assert_eq!(removed, 1);
}
