//! Rows as typed values: their bytes, and a digest that does not depend on their order. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Number};
use sha2::{Digest as _, Sha256};

use super::TableSum;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Bool(bool),
}

/// Appends a row.
pub(super) fn write(row: &[Cell], out: &mut Vec<u8>) {
    let sized = |out: &mut Vec<u8>, tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    for cell in row {
        match cell {
            Cell::Null => out.push(0),
            Cell::Int(number) => {
                out.push(1);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Float(number) => {
                out.push(2);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Cell::Text(text) => sized(out, 3, text.as_bytes()),
            Cell::Bytes(bytes) => sized(out, 4, bytes),
            Cell::Bool(false) => out.push(5),
            Cell::Bool(true) => out.push(6),
        }
    }
}

/// Reads a row of so many cells; `None` when it is none.
pub(super) fn read(mut bytes: &[u8], cells: usize) -> Option<Vec<Cell>> {
    fn take<'a>(bytes: &mut &'a [u8], many: usize) -> Option<&'a [u8]> {
        let (taken, rest) = bytes.split_at_checked(many)?;
        *bytes = rest;
        Some(taken)
    }
    fn eight(bytes: &mut &[u8]) -> Option<[u8; 8]> {
        take(bytes, 8)?.try_into().ok()
    }
    fn sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let size = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
        take(bytes, usize::try_from(size).ok()?)
    }
    let mut row = Vec::with_capacity(cells);
    for _ in 0..cells {
        let tag = take(&mut bytes, 1)?.first().copied()?;
        row.push(match tag {
            0 => Cell::Null,
            1 => Cell::Int(i64::from_le_bytes(eight(&mut bytes)?)),
            2 => Cell::Float(f64::from_bits(u64::from_le_bytes(eight(&mut bytes)?))),
            3 => Cell::Text(String::from_utf8(sized(&mut bytes)?.to_vec()).ok()?),
            4 => Cell::Bytes(sized(&mut bytes)?.to_vec()),
            5 => Cell::Bool(false),
            6 => Cell::Bool(true),
            _ => return None,
        });
    }
    bytes.is_empty().then_some(row)
}

/// The same JSON written one way, whatever a database made of it: keys in order, no blanks, a whole number as one. What
/// is no JSON stays.
pub(super) fn canonical_json(text: &str) -> String {
    fn sorted(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
            serde_json::Value::Object(fields) => {
                let fields: BTreeMap<String, serde_json::Value> = fields.into_iter().collect();
                let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
                serde_json::Value::Object(fields.collect::<Map<_, _>>())
            }
            serde_json::Value::Number(number) => serde_json::Value::Number(whole(number)),
            other => other,
        }
    }
    fn whole(number: Number) -> Number {
        match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                Number::from(float as i64)
            }
            _ => number,
        }
    }
    match serde_json::from_str(text) {
        Ok(value) => sorted(value).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Counts, digests and sums as rows go by.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: u64,
    lanes: [u64; 4],
    sums: Vec<i128>,
}

impl Tally {
    pub(super) fn add(&mut self, row: &[Cell], bytes: &[u8]) {
        self.rows += 1;
        self.sums.resize(row.len(), 0);
        for (sum, cell) in self.sums.iter_mut().zip(row) {
            if let Cell::Int(number) = cell {
                *sum += i128::from(*number);
            }
        }
        self.digest(bytes);
    }

    /// Of something that is no row of cells.
    pub(super) fn add_opaque(&mut self, bytes: &[u8]) {
        self.rows += 1;
        self.digest(bytes);
    }

    /// A sum of hashes: the same for the same rows in any order.
    fn digest(&mut self, bytes: &[u8]) {
        let hash = Sha256::digest(bytes);
        for (lane, part) in self.lanes.iter_mut().zip(hash.chunks_exact(8)) {
            let mut number = [0_u8; 8];
            number.copy_from_slice(part);
            *lane = lane.wrapping_add(u64::from_le_bytes(number));
        }
    }

    /// What it came to; columns that hold no whole number have no sum.
    pub(super) fn told(self, section: &str, table: &str, columns: &[(String, bool)]) -> TableSum {
        let sums = columns.iter().zip(self.sums);
        TableSum {
            section: section.to_owned(),
            table: table.to_owned(),
            rows: self.rows,
            digest: self
                .lanes
                .iter()
                .map(|lane| format!("{lane:016x}"))
                .collect(),
            sums: sums
                .filter(|((_, is_whole), _)| *is_whole)
                .map(|((name, _), sum)| (name.clone(), sum.to_string()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Null),
            any::<i64>().prop_map(Cell::Int),
            any::<f64>()
                .prop_filter("NaN is not itself", |number| !number.is_nan())
                .prop_map(Cell::Float),
            ".*".prop_map(Cell::Text),
            proptest::collection::vec(any::<u8>(), 0..50).prop_map(Cell::Bytes),
            any::<bool>().prop_map(Cell::Bool),
        ]
    }

    proptest! {
        #[test]
        fn rows_come_back_and_nothing_shorter_or_longer_does(
            row in proptest::collection::vec(cell(), 1..12)
        ) {
            let mut bytes = Vec::new();
            write(&row, &mut bytes);
            prop_assert_eq!(read(&bytes, row.len()), Some(row.clone()));
            prop_assert_eq!(read(&bytes[..bytes.len() - 1], row.len()), None);
            prop_assert_eq!(read(&bytes, row.len() - 1), None);
            prop_assert_eq!(read(&bytes, row.len() + 1), None);
        }

        #[test]
        fn a_digest_tells_rows_and_not_their_order(
            mut rows in proptest::collection::vec(proptest::collection::vec(cell(), 2), 2..20)
        ) {
            let tally = |rows: &[Vec<Cell>]| {
                let mut tally = Tally::default();
                for row in rows {
                    let mut bytes = Vec::new();
                    write(row, &mut bytes);
                    tally.add(row, &bytes);
                }
                tally.told("s", "t", &[("a".into(), true), ("b".into(), true)])
            };
            let before = tally(&rows);
            rows.reverse();
            prop_assert_eq!(&tally(&rows), &before);
            rows[0][0] = Cell::Text("another".into());
            rows[0][1] = Cell::Text("one".into());
            prop_assert_ne!(tally(&rows).digest, before.digest);
        }
    }

    #[test]
    fn json_is_written_one_way() {
        for (text, expected) in [
            (
                r#"{ "b": 1.0, "a": [2e3, "x"] }"#,
                r#"{"a":[2000,"x"],"b":1}"#,
            ),
            (r#"{"a":0.1}"#, r#"{"a":0.1}"#),
            ("no json", "no json"),
            ("null", "null"),
        ] {
            assert_eq!(canonical_json(text), expected);
            assert_eq!(canonical_json(expected), expected);
        }
    }
}
