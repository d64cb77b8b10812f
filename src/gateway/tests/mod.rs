//! The shell end to end: a real server and client over TCP, a scripted upstream, a real spool.

mod attempts;
mod budgets;
mod conversations;
mod doors;
mod fake;
mod house;
mod invoices;
mod outcomes;
mod overflow;
mod own;
mod panics;
mod rules;
mod streams;
mod turns;

pub(super) use panics::PANICS;
