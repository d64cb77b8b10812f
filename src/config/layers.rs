//! Laying one source of configuration over another, with the shipped default as the schema.

use toml::{Table, Value};

use super::{ConfigError, ENVIRONMENT_PREFIX};

pub(super) fn parse(origin: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse()
        .map_err(|cause: toml::de::Error| refused(origin, text, &cause))
}

/// What is wrong and in which line, without quoting it: the line may hold a password.
pub(super) fn refused(origin: &str, text: &str, cause: &toml::de::Error) -> ConfigError {
    let line = cause
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.lines().count().max(1));
    ConfigError::Parse {
        origin: origin.to_owned(),
        place: line.map_or_else(String::new, |line| format!(" (line {line})")),
        message: cause.message().to_owned(),
    }
}

pub(super) fn overlay(
    target: &mut Table,
    source: Table,
    schema: &Table,
    origin: &str,
) -> Result<(), ConfigError> {
    for (section, value) in source {
        let (Some(Value::Table(known)), Some(Value::Table(slot))) =
            (schema.get(&section), target.get_mut(&section))
        else {
            return Err(unknown(origin, &section, schema));
        };
        let Value::Table(keys) = value else {
            return Err(ConfigError::Type {
                origin: origin.to_owned(),
                key: section,
                expected: "a section",
                got: value.type_str().to_owned(),
            });
        };
        for (key, value) in keys {
            let path = format!("{section}.{key}");
            let Some(default) = known.get(&key) else {
                return Err(unknown(origin, &path, schema));
            };
            if !default.same_type(&value) {
                return Err(ConfigError::Type {
                    origin: origin.to_owned(),
                    key: path,
                    expected: type_name(default),
                    got: value.type_str().to_owned(),
                });
            }
            slot.insert(key, value);
        }
    }
    Ok(())
}

/// Answers the key that was set.
pub(super) fn set_from_environment(
    merged: &mut Table,
    schema: &Table,
    name: &str,
    text: &str,
) -> Result<String, ConfigError> {
    let path = name[ENVIRONMENT_PREFIX.len()..]
        .to_ascii_lowercase()
        .replace("__", ".");
    let found = path.split_once('.').and_then(|(section, key)| {
        let default = schema.get(section)?.as_table()?.get(key)?;
        let slot = merged.get_mut(section)?.as_table_mut()?;
        Some((key, default, slot))
    });
    let Some((key, default, slot)) = found else {
        return Err(unknown(name, &path, schema));
    };
    let value = match default {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        _ => Some(Value::String(text.to_owned())),
    };
    let value = value.ok_or_else(|| ConfigError::Type {
        origin: name.to_owned(),
        key: path.clone(),
        expected: type_name(default),
        got: "text that does not read as one".into(),
    })?;
    slot.insert(key.to_owned(), value);
    Ok(path)
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Float(_) => "a number",
        Value::Table(_) => "a section",
        _ => "text",
    }
}

fn unknown(origin: &str, key: &str, schema: &Table) -> ConfigError {
    let names = schema.iter().flat_map(|(section, keys)| {
        let inner = keys.as_table().into_iter().flat_map(Table::keys);
        std::iter::once(section.clone()).chain(inner.map(move |key| format!("{section}.{key}")))
    });
    let nearest = names
        .filter(|name| name.contains('.') == key.contains('.'))
        .min_by_key(|name| strsim::damerau_levenshtein(name, key))
        .unwrap_or_default();
    ConfigError::UnknownKey {
        origin: origin.to_owned(),
        key: key.to_owned(),
        nearest,
    }
}
