//! Column types that several tables share: JSON lists and maps, and values that `Debug` must not show.

use std::collections::BTreeMap;
use std::fmt;

use sea_orm::{DeriveValueType, FromJsonQueryResult};
use serde::{Deserialize, Serialize};

/// A JSON array of texts.
#[derive(Clone, Debug, Default, Deserialize, Eq, FromJsonQueryResult, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TextList(pub Vec<String>);

/// A JSON object of texts.
#[derive(Clone, Debug, Default, Deserialize, Eq, FromJsonQueryResult, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TextMap(pub BTreeMap<String, String>);

/// Text that is not for logs (a password's hash). `Debug` shows nothing of it.
#[derive(Clone, DeriveValueType, Eq, PartialEq)]
pub struct HiddenText(pub String);

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Bytes that are not for logs (a sealed secret). `Debug` shows nothing of them.
#[derive(Clone, DeriveValueType, Eq, PartialEq)]
pub struct HiddenBytes(pub Vec<u8>);

impl fmt::Debug for HiddenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
