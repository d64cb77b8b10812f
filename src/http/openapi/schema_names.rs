//! That no two types take one schema name.
//!
//! utoipa names a schema by the bare name of its type (or by `#[schema(as = …)]`), gathers pairs of name and schema
//! from every handler, and puts them into a map: of two types called `Row` in two modules the one mounted last
//! stays, and the other's operations silently describe a shape they do not have. The pairs cannot be had before
//! they are merged and know no type, so the types are read from the source; that none of the document's own names
//! is missed there is checked too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::openapi;

#[test]
fn no_two_types_take_one_schema_name() {
    let types = types_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    assert_eq!(
        taken_twice(&types),
        Vec::<String>::new(),
        "rename one, or tell them apart by #[schema(as = …)]"
    );
    let found: BTreeSet<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
    let by_hand = super::gateway_document::schema_names();
    let components = openapi().components.unwrap_or_default();
    for name in components.schemas.keys() {
        // A generic type's name is its own and those of what it is made of.
        for part in name.split('_') {
            assert!(
                found.contains(part) || by_hand.contains(&name.as_str()),
                "no type was found that takes the schema name {part}"
            );
        }
    }
}

#[test]
fn a_colliding_pair_is_found() {
    let one = r#"
        #[derive(Debug, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(super) struct Row {
            id: String,
        }
    "#;
    let other = r#"
        /// A row of something else.
        #[derive(
            Serialize, utoipa::ToSchema,
        )]
        enum Row { Full, Empty }

        #[derive(Clone)]
        struct NoSchema;
    "#;
    let mut types = types_in("one.rs", one);
    assert_eq!(types, [("Row".to_owned(), "one.rs".to_owned())]);
    types.extend(types_in("other.rs", other));
    assert_eq!(taken_twice(&types), ["Row: one.rs, other.rs"]);
    let renamed = other.replace("enum", "#[schema(example = 1, as = OtherRow)]\nenum");
    types.pop();
    types.extend(types_in("other.rs", &renamed));
    assert_eq!(taken_twice(&types), Vec::<String>::new());
    assert_eq!(types[1].0, "OtherRow");
}

/// Names that more than one type takes, and where.
fn taken_twice(types: &[(String, String)]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, place) in types {
        places.entry(name).or_default().push(place);
    }
    places.retain(|_, places| places.len() > 1);
    let lines = places.iter();
    lines
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

fn types_below(directory: &Path) -> Vec<(String, String)> {
    let mut types = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            types.extend(types_below(&path));
        } else if path.extension().is_some_and(|end| end == "rs")
            && !path.ends_with("openapi/schema_names.rs")
        {
            let source = std::fs::read_to_string(&path).unwrap();
            types.extend(types_in(&path.display().to_string(), &source));
        }
    }
    types
}

/// The schema name of every type that derives `ToSchema`, and `place`.
fn types_in(place: &str, source: &str) -> Vec<(String, String)> {
    let mut types = Vec::new();
    let mut rest = source;
    while let Some((_, after)) = rest.split_once("#[derive(") {
        let Some((derived, after)) = after.split_once(")]") else {
            break;
        };
        rest = after;
        let mut derived = derived.split([',', ':', ' ', '\n']);
        if !derived.any(|name| name == "ToSchema") {
            continue;
        }
        // What stands between is attributes and comments, in which neither word opens a line.
        let mut renamed = None;
        for line in after.lines().map(str::trim_start) {
            if let Some((_, name)) = line.split_once(" as = ").or(line.split_once("(as = "))
                && line.starts_with("#[schema(")
            {
                renamed = Some(word(name));
            }
            let line = line.strip_prefix("pub").unwrap_or(line);
            let line = match line.strip_prefix('(') {
                Some(scope) => scope.split_once(')').map_or(line, |(_, line)| line),
                None => line,
            };
            let line = line.trim_start();
            if let Some(name) = line.strip_prefix("struct ").or(line.strip_prefix("enum ")) {
                types.push((renamed.unwrap_or(word(name)).to_owned(), place.to_owned()));
                break;
            }
        }
    }
    types
}

/// The name that `text` begins with.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}
