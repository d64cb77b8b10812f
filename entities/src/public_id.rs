//! Ids that people see: a prefix and 22 random base62 characters (131 bits).
//!
//! They are stored and unique, never an encoded integer, so nobody can count rows or guess a neighbour.
//! Not secrets: nothing is opened by knowing one.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random characters after the underscore; 62^22 > 2^130.
const RANDOM_CHARS: usize = 22;

/// A new id such as `tok_3kTMd…`; `prefix` comes without the underscore.
pub fn new(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 1 + RANDOM_CHARS);
    id.push_str(prefix);
    id.push('_');
    for _ in 0..RANDOM_CHARS {
        let index = rand::random_range(0..ALPHABET.len());
        id.push(char::from(ALPHABET[index]));
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_carry_their_prefix_and_do_not_repeat() {
        let ids: HashSet<String> = (0..10_000).map(|_| new("tok")).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            let random = id.strip_prefix("tok_").unwrap();
            assert_eq!(random.len(), RANDOM_CHARS);
            assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}
