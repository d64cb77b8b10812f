//! A process ends whatever has gone wrong in it.

use std::future::{pending, ready};
use std::path::Path;
use std::time::Instant;

use steward_actors::spool::{self, FsyncPolicy};
use steward_entities::database::begin_write;

use super::process::raise_file_limit;
use super::*;

async fn application(dir: &Path) -> Application {
    let mut config = Config::load(None, []).unwrap();
    config.data.dir = dir.to_owned();
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.server.workers = 1;
    config.server.drain_timeout_ms = 200;
    config.stats.time_zone = "UTC".into();
    config.spool.min_free_bytes = 0;
    Application::build(config).await.unwrap()
}

#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    use rustix::process::{Resource, getrlimit};
    raise_file_limit();
    let limit = getrlimit(Resource::Nofile);
    assert_eq!(limit.current, limit.maximum);
}

#[test]
fn what_becomes_of_a_full_spool_is_what_was_configured() {
    for (word, meant) in [
        ("refuse", spool::Overflow::Refuse),
        ("drop_oldest", spool::Overflow::DropOldest),
        ("serve_unrecorded", spool::Overflow::ServeUnrecorded),
    ] {
        let set = ("STEWARD__LEDGER__OVERFLOW".to_owned(), word.to_owned());
        let config = Config::load(None, [set]).unwrap();
        assert_eq!(spool_config(&config).overflow, meant, "{word}");
    }
    for (word, meant) in [
        ("always", FsyncPolicy::Always),
        ("never", FsyncPolicy::Never),
        ("interval", FsyncPolicy::Interval(Duration::from_millis(10))),
    ] {
        let set = ("STEWARD__SPOOL__FSYNC".to_owned(), word.to_owned());
        let config = Config::load(None, [set]).unwrap();
        assert_eq!(spool_config(&config).fsync, meant, "{word}");
    }
}

#[actix_web::test]
async fn a_tree_that_gives_up_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let application = application(dir.path()).await;
    let tree = application.tree.clone();
    let ending = async {
        tokio::join!(
            application.run_until_stopped(pending()),
            tree.shutdown(Duration::from_secs(5))
        )
    };
    let (ended, _) = tokio::time::timeout(Duration::from_secs(20), ending)
        .await
        .expect("the process must end");
    assert!(matches!(ended, Err(StartError::TreeGaveUp(_))), "{ended:?}");
}

#[actix_web::test]
async fn a_connection_that_never_comes_back_does_not_keep_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let application = application(dir.path()).await;
    let held = begin_write(&application.databases.control).await.unwrap();
    let start = Instant::now();
    let stopping = application.run_until_stopped(ready(()));
    let ended = tokio::time::timeout(CLOSE_WITHIN + Duration::from_secs(15), stopping)
        .await
        .expect("the process must end");
    assert!(ended.is_ok(), "{ended:?}");
    assert!(start.elapsed() >= CLOSE_WITHIN);
    drop(held);
}
