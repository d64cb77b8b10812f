//! The data plane: a call comes in, goes to an account, comes back, and is on the books before it ends.
