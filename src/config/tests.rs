//! Tests of loading: which source wins, and what a refusal says.

use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("steward.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(Some(&path), environment)
}

#[test]
fn the_shipped_default_is_valid() {
    let config = Config::load(None, []).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.ledger.batch_size, 1_000);
}

#[test]
fn environment_wins_over_file_wins_over_default() {
    let config = load(
        "[ledger]\nbatch_size = 5\nflush_interval_ms = 7\n",
        &[
            ("STEWARD__LEDGER__BATCH_SIZE", "9"),
            ("STEWARD_ADMIN_PASSWORD", "not ours"),
            ("HOME", "x"),
        ],
    )
    .unwrap();
    assert_eq!(
        (config.ledger.batch_size, config.ledger.flush_interval_ms),
        (9, 7)
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let text = load("[ledger]\nbatchsize = 5\n", &[])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("`ledger.batchsize`") && text.contains("`ledger.batch_size`"),
        "{text}"
    );
    let text = load("", &[("STEWARD__SERVER__LISTNE", "x")])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("STEWARD__SERVER__LISTNE") && text.contains("`server.listen`"),
        "{text}"
    );
    let text = load("[serber]\n", &[]).unwrap_err().to_string();
    assert!(
        text.contains("`serber`") && text.contains("`server`"),
        "{text}"
    );
}

#[test]
fn wrong_types_and_ranges_say_what_is_expected() {
    let text = load("[ledger]\nbatch_size = \"many\"\n", &[])
        .unwrap_err()
        .to_string();
    assert!(text.contains("a whole number"), "{text}");
    let text = load("[spool]\nsegment_bytes = 1\n", &[])
        .unwrap_err()
        .to_string();
    assert!(text.contains("8388608"), "{text}");
    let text = load("[database]\nurl = \"mysql://x\"\n", &[])
        .unwrap_err()
        .to_string();
    assert!(text.contains("postgres://"), "{text}");
}

#[test]
fn printing_masks_the_database_password() {
    let config = load(
        "[database]\nurl = \"postgres://u:hunter2@db:5432/steward?password=hunter3\"\n",
        &[],
    )
    .unwrap();
    for shown in [config.print(), format!("{config:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(
            shown.contains("postgres://u:***@db:5432/steward"),
            "{shown}"
        );
    }
}

#[test]
fn a_vector_store_is_checked_and_its_key_is_never_shown() {
    let file = "[vector_store]\nkind = \"qdrant\"\nurl = \"https://v.example.com:6333\"\napi_key = \"hunter2\"\n";
    let config = load(file, &[]).unwrap();
    for shown in [config.print(), format!("{config:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("https://v.example.com:6333"), "{shown}");
    }
    for (key, value) in [
        ("url", ""),
        ("url", "ftp://v.example.com"),
        ("url", "https://user:hunter2@v.example.com"),
        ("collection", "Steward"),
        ("collection", "a-name"),
        ("collection", "a_name_that_is_too_long"),
    ] {
        let name = format!("STEWARD__VECTOR_STORE__{}", key.to_uppercase());
        let refused = load(file, &[(&name, value)]).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("`vector_store.{key}`")),
            "{refused}"
        );
        assert!(!refused.contains("hunter"), "{refused}");
    }
    let postgres = [
        ("STEWARD__VECTOR_STORE__KIND", "pgvector"),
        (
            "STEWARD__VECTOR_STORE__URL",
            "postgres://u:hunter2@v.example.com/vectors",
        ),
    ];
    let config = load(file, &postgres).unwrap();
    for shown in [config.print(), format!("{config:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(
            shown.contains("postgres://u:***@v.example.com/vectors"),
            "{shown}"
        );
    }
    let refused = load(file, &postgres[..1]).unwrap_err().to_string();
    assert!(
        refused.contains("`vector_store.url` must look like postgres://"),
        "{refused}"
    );
    let keyless = [
        ("STEWARD__VECTOR_STORE__KIND", "pinecone"),
        ("STEWARD__VECTOR_STORE__API_KEY", ""),
    ];
    let refused = load(file, &keyless).unwrap_err().to_string();
    assert!(
        refused.contains("`vector_store.api_key` must be set"),
        "{refused}"
    );
    assert!(load("[vector_store]\nkind = \"other\"\n", &[]).is_err());
    assert!(
        Config::load(None, [])
            .unwrap()
            .vector_store
            .place()
            .is_none()
    );
}

#[test]
fn a_syntax_error_tells_the_line_and_not_its_content() {
    let text = load("[database]\nurl = \"postgres://u:hunter2@db/x\n", &[])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("line 2") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn no_time_out_may_be_zero() {
    for (section, key) in [
        ("gateway", "connect_timeout_ms"),
        ("gateway", "first_byte_timeout_ms"),
        ("gateway", "idle_timeout_ms"),
        ("server", "request_head_timeout_ms"),
        ("auth", "login_attempts"),
    ] {
        let text = load(&format!("[{section}]\n{key} = 0\n"), &[])
            .unwrap_err()
            .to_string();
        assert!(text.contains(&format!("{section}.{key}")), "{text}");
    }
}

#[test]
fn settings_are_as_shipped_and_those_of_the_environment_are_locked() {
    use steward_actors::domain::setting::{Settings, definition};

    let shipped = Config::load(None, []).unwrap().setting_defaults().unwrap();
    assert_eq!(*shipped.settings(), Settings::default());
    let config = load(
        "[prices]\nusd_cny = \"6.9\"\ncurrency = \"CNY\"\n",
        &[("STEWARD__PRICES__USD_CNY", "7.2")],
    );
    let defaults = config.unwrap().setting_defaults().unwrap();
    let of = |key| defaults.of(definition(key).unwrap()).unwrap();
    let (rate, currency) = (of("prices.usd_cny"), of("prices.currency"));
    assert_eq!((rate.text.as_str(), rate.is_locked), ("7.2", true));
    assert_eq!((currency.text.as_str(), currency.is_locked), ("CNY", false));
    let refused = load("[prices]\ncurrency = \"EUR\"\n", &[]).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("`prices.currency` must be one of USD, CNY"),
        "{refused}"
    );
}
