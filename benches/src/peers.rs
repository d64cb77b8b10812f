//! Other gateways, where `run.sh` has installed them (`STEWARD_BENCH_PEERS=1`): LiteLLM and Portkey, each with
//! one worker and no database, before the same provider. They are told where to find it and nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::load::{closed, request_with};
use crate::process::{self, Process};
use crate::relay::{Stage, UNBOUNDED};
use crate::table::Table;

const CONNECTIONS: usize = 64;
const LENGTH: Duration = Duration::from_secs(8);

pub(crate) fn measure(stage: &Stage, provider: SocketAddr, table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let peers = [
        ("LiteLLM", "≥ 100×", litellm(provider, dir.path())),
        ("Portkey", "≥ 12×", portkey(provider)),
    ];
    for (name, bar, peer) in peers {
        let Some((peer, headers)) = peer else {
            continue;
        };
        let rate = |side: &Process, request: &[u8]| {
            let warm = Duration::from_secs(2);
            closed(side.address, request, CONNECTIONS, warm, UNBOUNDED);
            side.settle();
            let before = side.cpu_us();
            let done = closed(side.address, request, CONNECTIONS, LENGTH, UNBOUNDED);
            side.settle();
            let cpu = (side.cpu_us() - before) / done.calls as f64;
            (done.calls as f64 / done.seconds, cpu, done.failures)
        };
        let theirs = rate(&peer, &request_with("sk-bench", &headers));
        let resident = peer.resident_mib();
        drop(peer);
        let ours = rate(&stage.steward, &stage.request("fast", false));
        let shown = |(rate, cpu, _): (f64, f64, u64)| format!("{rate:.0}/s at {cpu:.1} µs");
        table.row(
            &format!("requests/s beside {name}, c{CONNECTIONS}"),
            shown(ours),
            format!("{}; {resident:.0} MiB", shown(theirs)),
            format!(
                "{:.1}× the requests; {} and {} failures",
                ours.0 / theirs.0,
                ours.2,
                theirs.2
            ),
            bar,
        );
    }
}

type Peer = (Process, String);

fn litellm(provider: SocketAddr, dir: &Path) -> Option<Peer> {
    let program = std::env::var_os("STEWARD_BENCH_LITELLM")?;
    let config = dir.join("litellm.yaml");
    let text = format!(
        "model_list:\n  - model_name: fast\n    litellm_params:\n      model: openai/fast\n      \
         api_base: http://{provider}/v1\n      api_key: sk-bench\n"
    );
    std::fs::write(&config, text).unwrap();
    let port = process::free_port().to_string();
    let mut command = process::pinned(Path::new(&program));
    command
        .args(["--host", "127.0.0.1", "--port", &port, "--num_workers", "1"])
        .arg("--config")
        .arg(&config)
        .env("LITELLM_LOG", "ERROR")
        .env("NO_DOCS", "True");
    Some((start(command, &port), String::new()))
}

fn portkey(provider: SocketAddr) -> Option<Peer> {
    let script = std::env::var_os("STEWARD_BENCH_PORTKEY")?;
    let port = process::free_port().to_string();
    let mut command = process::pinned(Path::new("node"));
    command
        .arg(script)
        .args([&format!("--port={port}"), "--headless"])
        .env("NODE_ENV", "production");
    let headers =
        format!("x-portkey-provider: openai\r\nx-portkey-custom-host: http://{provider}/v1\r\n");
    Some((start(command, &port), headers))
}

fn start(mut command: Command, port: &str) -> Process {
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    Process::serving(
        &mut command,
        port.parse().unwrap(),
        Duration::from_secs(120),
    )
}
