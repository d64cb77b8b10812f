//! When a notice that was not taken is tried again: soon at first, then seldom, for three days.

use std::time::Duration;

const STEPS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
];
/// A notice older than this is given up, visibly.
pub const GIVE_UP: Duration = Duration::from_secs(72 * 3_600);
/// A receiver that asks for patience gets at most this much.
const PATIENCE_MAX: Duration = Duration::from_secs(6 * 3_600);

/// How long to wait after `attempts` attempts. `jitter` (0 to 1) spreads those that failed together over a fifth more;
/// what the receiver asked for is the least.
pub fn wait(attempts: u32, jitter: f64, asked: Option<Duration>) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let base = STEPS[step.min(STEPS.len() - 1)];
    let wait = base.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
    asked.map_or(wait, |asked| wait.max(asked.min(PATIENCE_MAX)))
}
