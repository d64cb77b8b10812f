//! Tables of the ledger: what was called, by whom, and what it cost.
