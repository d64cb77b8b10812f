//! The tests' model provider as a program of its own, for SDK tests in other languages, the soak and the benches.
//!
//! `cargo run --example fake_provider [ADDR:PORT]` prints `http://ADDR:PORT` and serves until it is stopped.
//! `GET /__fake/requests` shows what arrived, `/__fake/total` counts, `/__fake/forget` clears.

// Test support: a failure is a panic with a place, and the address goes to standard output for whoever started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "../tests/fake_provider/mod.rs"]
mod fake_provider;

fn main() {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let provider = fake_provider::FakeProvider::start_at(
        address.parse().expect("an address like 127.0.0.1:9000"),
    );
    println!("http://{}", provider.address());
    provider.join();
}
