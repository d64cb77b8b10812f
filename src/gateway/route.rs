//! Decides which accounts may serve a call, and in which order they are tried.
//!
//! Pure: accounts, health and a seed in, an order out. Lower priority first; among equals a weighted draw
//! without replacement, so that the second choice is spread as fairly as the first. Accounts whose credential
//! was refused are a choice only where every account that serves the model is one. It reserves nothing: whoever
//! tries an account asks its breaker and its concurrency limit again.

use std::sync::Arc;

use steward_actors::domain::snapshot::{AccountView, Protocol, matches};

/// Whether an account can take a call now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Availability {
    Ready,
    /// It could, and its health checks say that it is down: tried after all that are not.
    Unwell,
    /// Its breaker is open for this long, or another call is probing it.
    Down {
        retry_after_ms: u64,
    },
    /// At its concurrency limit.
    Full,
    /// The provider refused its credential lately.
    Refused,
}

/// The accounts to try, best first.
#[derive(Debug, PartialEq)]
pub struct Choice {
    pub accounts: Vec<Arc<AccountView>>,
    /// Nothing better is expected of any of them than the provider's refusal, in its own words.
    pub last_resort: bool,
}

/// Why no account can be tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoRoute {
    /// No account is enabled for this protocol.
    NoAccount,
    /// Accounts there are, but none serves this model.
    UnknownModel,
    /// An account of the other protocol serves it.
    OnlyOtherProtocol,
    /// All that serve it are failing; the first may be tried again after this long.
    AllDown { retry_after_ms: u64 },
    /// All that serve it and are not failing are at their concurrency limit.
    AllBusy,
}

/// The accounts to try for `model`, best first.
///
/// # Errors
/// [`NoRoute`] when there would be none.
pub fn candidates(
    accounts: &[Arc<AccountView>],
    model: &str,
    protocol: Protocol,
    mut availability: impl FnMut(&AccountView) -> Availability,
    seed: u64,
) -> Result<Choice, NoRoute> {
    let mut draw = SplitMix(seed);
    let mut ready: Vec<(u8, i32, f64, &Arc<AccountView>)> = Vec::new();
    let mut refused = Vec::new();
    let mut any_of_protocol = false;
    let mut any_serving = false;
    let mut busy = false;
    let mut first_back_ms: Option<u64> = None;
    for account in accounts {
        if !account.enabled || account.protocol != protocol {
            continue;
        }
        any_of_protocol = true;
        if !account.serves(model) {
            continue;
        }
        any_serving = true;
        // Smallest of exponential draws with rate = weight: a weighted order without replacement.
        let mut drawn = |rank: u8| {
            let key = -draw.unit().ln() / f64::from(account.weight.max(1));
            let rank = rank + u8::from(account.weight == 0);
            (rank, account.priority, key, account)
        };
        match availability(account) {
            Availability::Ready => ready.push(drawn(0)),
            Availability::Unwell => ready.push(drawn(2)),
            Availability::Refused => refused.push(drawn(0)),
            Availability::Full => busy = true,
            Availability::Down { retry_after_ms } => {
                first_back_ms =
                    Some(first_back_ms.map_or(retry_after_ms, |ms| ms.min(retry_after_ms)));
            }
        }
    }
    // Where others are busy or down for a while, coming back later helps; a refusal would say it does not.
    let last_resort = ready.is_empty() && !busy && first_back_ms.is_none() && !refused.is_empty();
    if last_resort {
        ready = refused;
    }
    if ready.is_empty() {
        return Err(match (any_serving, busy, first_back_ms) {
            (true, true, _) => NoRoute::AllBusy,
            (true, false, ms) => NoRoute::AllDown {
                retry_after_ms: ms.unwrap_or(1_000),
            },
            (false, ..) if served_elsewhere(accounts, model, protocol, any_of_protocol) => {
                NoRoute::OnlyOtherProtocol
            }
            (false, ..) if any_of_protocol => NoRoute::UnknownModel,
            (false, ..) => NoRoute::NoAccount,
        });
    }
    ready.sort_by(|a, b| {
        (a.0, a.1)
            .cmp(&(b.0, b.1))
            .then(a.2.total_cmp(&b.2))
            .then(a.3.id.cmp(&b.3.id))
    });
    Ok(Choice {
        accounts: ready
            .into_iter()
            .map(|(.., account)| Arc::clone(account))
            .collect(),
        last_resort,
    })
}

/// An account of the other protocol names the model; one that takes any model (`*`) is evidence only when
/// this protocol has no account at all.
fn served_elsewhere(
    accounts: &[Arc<AccountView>],
    model: &str,
    protocol: Protocol,
    any_of_protocol: bool,
) -> bool {
    accounts
        .iter()
        .filter(|account| account.enabled && account.protocol != protocol)
        .any(|account| {
            account.aliases.contains_key(model)
                || account
                    .models
                    .iter()
                    .any(|pattern| matches(pattern, model) && (pattern != "*" || !any_of_protocol))
        })
}

/// A small generator: the order needs to be fair, not unpredictable.
struct SplitMix(u64);

impl SplitMix {
    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use steward_actors::domain::snapshot::Secret;

    use super::*;

    fn account(
        id: i64,
        protocol: Protocol,
        models: &[&str],
        priority: i32,
        weight: u32,
    ) -> Arc<AccountView> {
        Arc::new(AccountView {
            id,
            public_id: format!("acc_{id}"),
            name: format!("account {id}"),
            provider: protocol.as_str().into(),
            protocol,
            base_url: "http://upstream".into(),
            secret: Secret::new("s".into()),
            models: models.iter().map(ToString::to_string).collect(),
            aliases: HashMap::from([("alias".to_owned(), "real".to_owned())]),
            priority,
            weight,
            concurrency: None,
            enabled: true,
        })
    }

    fn order(accounts: &[Arc<AccountView>], seed: u64) -> Vec<i64> {
        candidates(
            accounts,
            "m",
            Protocol::OpenAi,
            |_| Availability::Ready,
            seed,
        )
        .unwrap()
        .accounts
        .iter()
        .map(|account| account.id)
        .collect()
    }

    #[test]
    fn refusals_say_why() {
        let open = |models: &[&str]| account(1, Protocol::OpenAi, models, 0, 1);
        let anthropic = |models: &[&str]| account(2, Protocol::Anthropic, models, 0, 1);
        let refused = |accounts: &[Arc<AccountView>], model: &str| {
            candidates(
                accounts,
                model,
                Protocol::OpenAi,
                |_| Availability::Ready,
                1,
            )
            .unwrap_err()
        };
        assert_eq!(refused(&[], "m"), NoRoute::NoAccount);
        assert_eq!(refused(&[open(&["gpt-*"])], "m"), NoRoute::UnknownModel);
        assert_eq!(
            refused(&[open(&["gpt-*"]), anthropic(&["*"])], "m"),
            NoRoute::UnknownModel
        );
        assert_eq!(
            refused(&[open(&["gpt-*"]), anthropic(&["claude-*"])], "claude-x"),
            NoRoute::OnlyOtherProtocol
        );
        assert_eq!(
            refused(&[anthropic(&["*"])], "claude-x"),
            NoRoute::OnlyOtherProtocol
        );
        let mut off = (*open(&["*"])).clone();
        off.enabled = false;
        assert_eq!(refused(&[Arc::new(off)], "m"), NoRoute::NoAccount);
    }

    #[test]
    fn failing_and_busy_accounts_are_left_out_and_told_apart() {
        let accounts = [
            account(1, Protocol::OpenAi, &["*"], 0, 1),
            account(2, Protocol::OpenAi, &["*"], 0, 1),
        ];
        let with = |first, second| {
            candidates(
                &accounts,
                "m",
                Protocol::OpenAi,
                |account| if account.id == 1 { first } else { second },
                7,
            )
            .map(|found| (found.accounts.len(), found.last_resort))
        };
        let down = |retry_after_ms| Availability::Down { retry_after_ms };
        assert_eq!(with(Availability::Ready, down(1)), Ok((1, false)));
        assert_eq!(
            with(down(9), down(4)),
            Err(NoRoute::AllDown { retry_after_ms: 4 })
        );
        assert_eq!(with(Availability::Full, down(4)), Err(NoRoute::AllBusy));

        // A refused credential is the last resort, and none where another account will be back.
        let refused = Availability::Refused;
        assert_eq!(with(refused, Availability::Ready), Ok((1, false)));
        assert_eq!(with(refused, refused), Ok((2, true)));
        assert_eq!(with(refused, Availability::Full), Err(NoRoute::AllBusy));
        assert_eq!(
            with(down(4), refused),
            Err(NoRoute::AllDown { retry_after_ms: 4 })
        );
    }

    #[test]
    fn an_account_that_is_down_is_not_chosen_while_another_is_up() {
        let accounts = [
            account(1, Protocol::OpenAi, &["*"], 0, 9),
            account(2, Protocol::OpenAi, &["*"], 5, 0),
        ];
        let tried = |first, second| {
            candidates(
                &accounts,
                "m",
                Protocol::OpenAi,
                |account| if account.id == 1 { first } else { second },
                7,
            )
            .map(|found| found.accounts.iter().map(|a| a.id).collect::<Vec<_>>())
        };
        let (up, unwell) = (Availability::Ready, Availability::Unwell);
        assert_eq!(tried(unwell, up), Ok(vec![2, 1]));
        assert_eq!(tried(unwell, unwell), Ok(vec![1, 2]));
        assert_eq!(tried(unwell, Availability::Full), Ok(vec![1]));
    }

    #[test]
    fn draws_follow_the_weights() {
        let accounts = [
            account(1, Protocol::OpenAi, &["*"], 0, 3),
            account(2, Protocol::OpenAi, &["*"], 0, 1),
        ];
        let first = (0..20_000)
            .filter(|seed| order(&accounts, *seed)[0] == 1)
            .count();
        assert!((14_600..15_400).contains(&first), "{first}");
    }

    #[test]
    fn an_account_without_weight_is_the_last_resort() {
        let accounts = [
            account(1, Protocol::OpenAi, &["*"], 0, 0),
            account(2, Protocol::OpenAi, &["*"], 9, 1),
        ];
        for seed in 0..50 {
            assert_eq!(order(&accounts, seed), [2, 1]);
        }
    }

    #[test]
    fn aliases_count_as_models() {
        let accounts = [account(1, Protocol::OpenAi, &[], 0, 1)];
        assert!(
            candidates(
                &accounts,
                "alias",
                Protocol::OpenAi,
                |_| Availability::Ready,
                1
            )
            .is_ok()
        );
    }

    proptest! {
        #[test]
        fn every_ready_account_is_tried_once_by_rising_priority(
            specs in prop::collection::vec((0i32..4, 0u32..5, 0u8..4), 1..12), seed: u64) {
            let accounts: Vec<_> = specs.iter().enumerate().map(|(id, (priority, weight, _))| account(id as i64, Protocol::OpenAi, &["*"], *priority, *weight)).collect();
            let state = |account: &AccountView| match specs[account.id as usize].2 {
                0 => Availability::Ready,
                1 => Availability::Full,
                2 => Availability::Refused,
                _ => Availability::Down { retry_after_ms: 5 },
            };
            let last_resort = specs.iter().all(|spec| spec.2 == 2);
            let expected = specs.iter().filter(|spec| spec.2 == 0 || last_resort).count();
            match candidates(&accounts, "m", Protocol::OpenAi, state, seed) {
                Ok(found) => {
                    prop_assert_eq!(found.last_resort, last_resort);
                    let found = found.accounts;
                    prop_assert_eq!(found.len(), expected);
                    let keys: Vec<_> = found.iter().map(|a| (a.weight == 0, a.priority)).collect();
                    prop_assert!(keys.is_sorted());
                    let mut ids: Vec<_> = found.iter().map(|a| a.id).collect();
                    ids.sort_unstable();
                    ids.dedup();
                    prop_assert_eq!(ids.len(), expected);
                    let again = candidates(&accounts, "m", Protocol::OpenAi, state, seed).unwrap().accounts;
                    prop_assert!(found.iter().zip(&again).all(|(a, b)| a.id == b.id));
                }
                Err(_) => prop_assert_eq!(expected, 0),
            }
        }
    }
}
