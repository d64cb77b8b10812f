//! How secrets look: what keys begin with, and the names they stand behind. One list for conversations ([`super::redaction`])
//! and for texts that others wrote (the gateway's `redact`). Pure.

/// Beginnings of secrets, whatever follows if it is long enough.
pub const PREFIXES: &[&str] = &[
    "sk-",
    "sk_",
    "pk-",
    "pk_",
    "rk-",
    "rk_",
    "ok-stw-",
    "gsk_",
    "xai-",
    "AIza",
    "ya29.",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "hf_",
    "AKIA",
    "ASIA",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "nvapi-",
    "r8_",
    "pplx-",
    "tvly-",
    "whsec_",
    "dop_v1_",
    "npm_",
    "shpat_",
    "glsa_",
];

/// How much a name says about the value behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strength {
    /// Whatever it is, it is a secret: `password`.
    Strong,
    /// A secret if it looks a little like one: `api_key`.
    Weak,
    /// A secret only if it can be nothing else: `key`, `token`.
    Opaque,
}

/// Endings of names, without case and punctuation.
const STRONG: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "密码",
    "密碼",
    "口令",
    "パスワード",
];
const WEAK: &[&str] = &[
    "apikey",
    "secretkey",
    "accesskey",
    "secretaccesskey",
    "privatekey",
    "accountkey",
    "subscriptionkey",
    "signingkey",
    "encryptionkey",
    "azurekey",
    "openaikey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "sessiontoken",
    "bearertoken",
    "secret",
    "authorization",
    "密钥",
    "秘钥",
    "令牌",
];
const OPAQUE: &[&str] = &["key", "token"];
/// Keys and tokens that open nothing.
const HARMLESS: &[&str] = &[
    "cachekey",
    "foreignkey",
    "idempotencykey",
    "objectkey",
    "partitionkey",
    "primarykey",
    "publickey",
    "sortkey",
    "continuationtoken",
    "nexttoken",
    "pagetoken",
];

/// What a name says about the value behind it; `None`: nothing.
pub fn strength(name: &str) -> Option<Strength> {
    let plain: String = name
        .chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let ends = |names: &[&str]| names.iter().any(|name| plain.ends_with(name));
    match () {
        () if ends(STRONG) => Some(Strength::Strong),
        () if ends(WEAK) => Some(Strength::Weak),
        () if ends(OPAQUE) && !ends(HARMLESS) => Some(Strength::Opaque),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_spelling() {
        for (name, expected) in [
            ("password", Some(Strength::Strong)),
            ("DB_PASSWORD", Some(Strength::Strong)),
            ("数据库密码", Some(Strength::Strong)),
            ("x-api-key", Some(Strength::Weak)),
            ("OPENAI_API_KEY", Some(Strength::Weak)),
            ("clientSecret", Some(Strength::Weak)),
            ("AWS_SECRET_ACCESS_KEY", Some(Strength::Weak)),
            ("Ocp-Apim-Subscription-Key", Some(Strength::Weak)),
            ("key", Some(Strength::Opaque)),
            ("idempotency-key", None),
            ("max_tokens", None),
            ("token_id", None),
            ("secretary", None),
        ] {
            assert_eq!(strength(name), expected, "{name}");
        }
    }
}
