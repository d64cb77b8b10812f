//! A started [`Application`] as a process of its own: signals, the limit of open files, and what is said on a terminal.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;

use super::{Application, StartError};
use crate::config::Config;
use crate::demo;
use crate::memory;

/// Longest drain of a demonstration.
const DEMO_DRAIN_MS: u64 = 3_000;

/// `steward serve`: build, say where, run until SIGTERM or SIGINT.
///
/// # Errors
/// As [`Application::build`] and [`Application::run_until_stopped`].
pub fn serve(config: Config) -> Result<ExitCode, StartError> {
    let memory = memory::Startup::begin();
    raise_file_limit();
    actix_rt::System::new().block_on(async {
        let application = Application::build(config).await?;
        let address = application.address();
        tracing::info!(%address, console = %format_args!("http://{address}/ops/"), "listening");
        tokio::select! {
            ended = application.run_until_stopped(told_to_stop()) => ended,
            never = memory.settle() => match never {},
        }
    })
}

/// `steward demo`: the same with a pretended world around it.
///
/// # Errors
/// As [`Application::build_demo`] and [`Application::run_until_stopped`].
pub fn demonstrate(mut config: Config, options: demo::Options) -> Result<ExitCode, StartError> {
    raise_file_limit();
    // Nobody is there whose answer had to be finished.
    config.server.drain_timeout_ms = config.server.drain_timeout_ms.min(DEMO_DRAIN_MS);
    if config.rag.embedding_model.is_empty() {
        demo::world::EMBEDDING_MODEL.clone_into(&mut config.rag.embedding_model);
    }
    actix_rt::System::new().block_on(async {
        let application = Application::build_demo(config, options).await?;
        let address = application.address();
        say_banner(address);
        tracing::info!(%address, demo = true, "listening; this is a DEMONSTRATION, everything in it is simulated");
        application.run_until_stopped(told_to_stop()).await
    })
}

#[allow(clippy::print_stdout, reason = "the command's own answer")]
fn say_banner(address: SocketAddr) {
    let (username, viewer, password) = (demo::USERNAME, demo::VIEWER, demo::PASSWORD);
    println!(
        "\n  DEMONSTRATION: providers, clients and history are simulated; nothing here is real."
    );
    println!("  Console:  http://{address}/ops/");
    println!(
        "  Sign in:  {username} (or {viewer}, who may only look) with the password {password}\n"
    );
}

#[allow(
    clippy::print_stderr,
    reason = "progress for whoever waits at a terminal"
)]
pub(super) fn say_progress(progress: demo::backfill::Progress) {
    use std::io::{IsTerminal as _, Write as _};
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let percent = progress.hour * 100 / progress.hours.max(1);
        let end = if progress.hour == progress.hours {
            "\n"
        } else {
            ""
        };
        eprint!(
            "\rDEMO: writing the history: {percent} % ({} records){end}",
            progress.records
        );
        let _ = terminal.flush();
    }
}

/// A call takes two files, a spool segment one; what shells and service managers allow at first (often 1,024)
/// is a fraction of what they allow when asked.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(cause) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%cause, ?current, "the limit of open files cannot be raised");
    }
}

/// Runs a command that needs the databases but no server.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_rt::System::new().block_on(future)
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be heard; only SIGKILL ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
