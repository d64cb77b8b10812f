//! Steward with a pretended world around it: what `steward demo` is.

/// Who may sign in to a demonstration with [`PASSWORD`].
pub const USERNAME: &str = "admin";
/// Public on purpose: it opens demonstrations only.
pub const PASSWORD: &str = "demo-steward";
