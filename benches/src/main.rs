//! `make bench`: Steward beside a proxy that does nothing, on one machine, in one run.
//!
//! One program in several roles: it drives (the default), and started again as `bare` it is the proxy. The
//! provider is a thread of the driver. Everything runs on loopback and in a temporary directory that is
//! deleted. Figures are ratios: both sides are measured in alternating rounds, so that a busy machine hurts
//! them alike. What it does not do: pass or fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for people: what goes wrong ends it, and nobody supervises what it starts"
)]

mod bare;
mod client;
mod compare;
mod conversations;
mod list;
mod load;
mod peers;
mod process;
mod provider;
mod push;
mod relay;
mod rest;
mod retention;
mod seed;
mod stats;
mod table;

use table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|role| role == "bare") {
        return bare::run(arguments[1].parse().expect("the provider's port"));
    }
    let wanted = |section: &str| arguments.is_empty() || arguments.iter().any(|a| a == section);
    let mut table = Table::start();
    let provider = provider::start();
    if arguments.first().is_some_and(|role| role == "compare") {
        compare::measure(&arguments[1..], provider, &mut table);
        return table.print();
    }
    if wanted("idle") {
        rest::idle(&mut table);
    }
    if [
        "relay", "c64", "paced", "streams", "crowd", "large", "million", "push", "peers",
    ]
    .into_iter()
    .any(wanted)
    {
        let stage = relay::Stage::open(provider);
        if wanted("relay") {
            relay::per_request(&stage, &[1, 16, 64], &mut table);
        } else if wanted("c64") {
            relay::per_request(&stage, &[64], &mut table);
        }
        if wanted("paced") {
            relay::added_latency(&stage, &mut table);
        }
        if wanted("streams") {
            relay::per_chunk(&stage, &mut table);
            relay::many_streams(&stage, &mut table);
        }
        if wanted("crowd") {
            relay::slow_provider(&stage, &mut table);
        }
        if wanted("large") {
            relay::large_bodies(&stage, &mut table);
        }
        if wanted("million") {
            rest::million(&stage, &mut table);
        }
        if wanted("push") {
            push::measure(&stage, &mut table);
        }
        if wanted("peers") {
            peers::measure(&stage, provider, &mut table);
        }
    }
    if wanted("list") {
        list::measure(&mut table);
    }
    if wanted("stats") {
        stats::measure(&mut table);
    }
    if wanted("conversations") {
        conversations::measure(&mut table);
    }
    if wanted("retention") {
        retention::measure(provider, &mut table);
    }
    table.print();
}
