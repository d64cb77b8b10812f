//! The processes under measurement: started, pinned away from the driver, looked at through /proc, stopped.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client;

/// Processor time comes in ticks of this many microseconds.
const TICK_US: f64 = 10_000.0;
/// Operator's password of every Steward started here.
pub(crate) const PASSWORD: &str = "bench-password";

pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// On two processors or more the measured process gets the first one alone: `run.sh` keeps us off it.
pub(crate) fn pinned(program: &Path) -> Command {
    if std::env::var_os("STEWARD_BENCH_PINNED").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

fn steward_binary() -> PathBuf {
    match std::env::var_os("STEWARD_BENCH_BINARY") {
        Some(path) => path.into(),
        None => std::env::current_exe().unwrap().with_file_name("steward"),
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Brings the databases of a data directory to the present schema.
pub(crate) fn migrate(dir: &Path) {
    migrate_of(&steward_binary(), dir);
}

/// The same by a certain build.
pub(crate) fn migrate_of(binary: &Path, dir: &Path) {
    let status = Command::new(binary)
        .args(["migrate", "--data-dir"])
        .arg(dir)
        .status()
        .unwrap();
    assert!(status.success(), "steward migrate failed");
}

/// Starts Steward and waits until it serves; answers how long that took.
pub(crate) fn steward(dir: &Path) -> (Process, Duration) {
    steward_of(&steward_binary(), dir)
}

/// The same of a certain build.
pub(crate) fn steward_of(binary: &Path, dir: &Path) -> (Process, Duration) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let started = Instant::now();
    let child = pinned(binary)
        .args(["serve", "--data-dir"])
        .arg(dir)
        .args(["--listen", &address.to_string()])
        .env("STEWARD_ADMIN_PASSWORD", PASSWORD)
        .env("STEWARD__API__RATE_LIMIT_PER_OPERATOR", "1000000")
        .env("STEWARD__API__RATE_LIMIT_PER_ADDRESS", "1000000")
        .env(
            "STEWARD__LOG__FILTER",
            "warn,actix_http::h1::dispatcher=off",
        )
        .stdout(Stdio::null())
        .spawn()
        .expect("the steward binary");
    wait_until_ready(address, Duration::from_secs(60));
    let took = started.elapsed();
    (Process { child, address }, took)
}

fn wait_until_ready(address: SocketAddr, patience: Duration) {
    let started = Instant::now();
    while !client::is_ready(address) {
        assert!(started.elapsed() < patience, "{address} is not ready");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts the proxy that does nothing.
pub(crate) fn bare(provider: SocketAddr) -> Process {
    let mut child = pinned(&std::env::current_exe().unwrap())
        .args(["bare", &provider.port().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, line.trim().parse().unwrap()));
    Process { child, address }
}

impl Process {
    /// Starts a server and waits until it answers anything.
    pub(crate) fn serving(command: &mut Command, port: u16, patience: Duration) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let child = command.spawn().expect("a gateway to measure beside");
        let process = Self { child, address };
        wait_until_ready(address, patience);
        process
    }

    /// Processor time used so far by all threads, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks * TICK_US
    }

    fn status_kib(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.status_kib("VmRSS:") / 1024.0
    }

    /// The part of it that is not mapped files: heap and stacks.
    pub(crate) fn anonymous_mib(&self) -> f64 {
        self.status_kib("RssAnon:") / 1024.0
    }

    /// Waits until it rests (the writer has caught up), at most ten seconds.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let before = self.cpu_us();
            std::thread::sleep(Duration::from_millis(400));
            if self.cpu_us() - before <= TICK_US || Instant::now() > until {
                return;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
