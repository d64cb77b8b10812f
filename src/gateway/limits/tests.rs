use proptest::prelude::*;

use super::*;

fn token() -> TokenView {
    TokenView {
        id: 7,
        public_id: "tok_7".into(),
        name: "t".into(),
        tenant_id: 0,
        tenant_public_id: String::new(),
        tenant_name: String::new(),
        tenant_suspended: false,
        app: String::new(),
        enabled: true,
        expires_at: None,
        allowed_models: None,
        rpm: None,
        tpm: None,
        concurrency: None,
        token_quota: None,
        budget: Default::default(),
        tenant_budget: Default::default(),
        enable_conversation_logging: false,
        knowledge: false,
        redaction: steward_actors::domain::redaction::RedactionMode::Redact,
    }
}

impl Limits {
    /// Both steps at once.
    fn admit(&self, token: &TokenView, demand: Demand, now_ms: u64) -> Result<Admission, Refusal> {
        self.enter(token, now_ms)?.admit(token, demand, now_ms)
    }
}

fn demand(prompt_tokens: u64, completion_tokens: u64) -> Demand {
    Demand {
        prompt_tokens,
        completion_tokens,
    }
}

#[test]
fn requests_a_minute_are_refused_until_the_oldest_has_left() {
    let limits = Limits::new();
    let token = TokenView {
        rpm: Some(2),
        ..token()
    };
    for now in [1_000, 30_000] {
        drop(limits.admit(&token, demand(1, 1), now).unwrap());
    }
    let refusal = limits.admit(&token, demand(1, 1), 31_000).unwrap_err();
    assert_eq!(refusal.kind, LimitKind::Requests);
    assert_eq!(refusal.retry_after_ms, 31_000);
    assert!(limits.admit(&token, demand(1, 1), 61_999).is_err());
    assert!(limits.admit(&token, demand(1, 1), 62_000).is_ok());
    assert_eq!(
        refusal.headers(Protocol::OpenAi)[0],
        ("x-ratelimit-limit-requests", "2".into())
    );
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
}

#[test]
fn a_call_that_was_let_in_and_not_admitted_counts_for_nothing() {
    let limits = Limits::new();
    let token = TokenView {
        rpm: Some(2),
        tpm: Some(100),
        concurrency: Some(2),
        ..token()
    };
    // Its body is on its way: it has a place, and is one of two requests.
    let reading = limits.enter(&token, 0).unwrap();
    let other = limits.enter(&token, 0).unwrap();
    let refusal = limits.enter(&token, 0).unwrap_err();
    assert_eq!(refusal.kind, LimitKind::Concurrency);
    // The body is cut, or says nothing.
    drop(reading);
    assert_eq!(limits.in_flight(7), 1);
    let admitted = other.admit(&token, demand(100, 0), 0).unwrap();
    // There is no room for its tokens.
    let third = limits.enter(&token, 0).unwrap();
    let refusal = third.admit(&token, demand(1, 0), 0).unwrap_err();
    assert_eq!(refusal.kind, LimitKind::Tokens);
    // Of two requests a minute one has been made.
    drop(limits.enter(&token, 0).unwrap());
    drop(admitted);
    assert_eq!(limits.in_flight(7), 0);
    let _second = limits.admit(&token, demand(1, 0), 0).unwrap();
    let refusal = limits.enter(&token, 0).unwrap_err();
    assert_eq!(refusal.kind, LimitKind::Requests);
    // One that is taken back after its minute leaves the next minute alone.
    let limits = Limits::new();
    let slow = limits.enter(&token, 0).unwrap();
    let next = limits.admit(&token, demand(1, 0), 61_000).unwrap();
    drop((slow, next));
    assert!(limits.admit(&token, demand(1, 0), 61_000).is_ok());
    assert!(limits.admit(&token, demand(1, 0), 61_000).is_err());
}

#[test]
fn a_token_that_is_gone_is_forgotten_and_its_calls_end_well() {
    let limits = Limits::new();
    limits.seed_used(7, 500);
    let mut flying = limits.admit(&token(), demand(10, 10), 0).unwrap();
    limits.forget(7);
    flying.settle(15, 1);
    drop(flying);
    assert_eq!((limits.used(7), limits.in_flight(7)), (0, 0));
}

#[test]
fn tokens_are_reserved_by_estimate_and_settled_on_the_count() {
    let limits = Limits::new();
    let token = TokenView {
        tpm: Some(100),
        ..token()
    };
    let mut first = limits.admit(&token, demand(10, 1_000), 0).unwrap();
    assert_eq!(first.reserved_tokens(), 100);
    assert_eq!(
        limits.admit(&token, demand(10, 1), 0).unwrap_err().kind,
        LimitKind::Tokens
    );
    first.settle(30, 2_000);
    drop(first);
    let mut second = limits.admit(&token, demand(10, 1_000), 2_000).unwrap();
    assert_eq!(second.reserved_tokens(), 70);
    second.settle(90, 2_500);
    let refusal = limits.admit(&token, demand(10, 1), 3_000).unwrap_err();
    assert_eq!(refusal.retry_after_ms, 58_000);
    // The first second's 30 have left; the other 90 have not.
    assert!(limits.admit(&token, demand(10, 1), 61_000).is_ok());
}

#[test]
fn a_call_larger_than_the_limit_goes_when_the_minute_is_empty() {
    let limits = Limits::new();
    let token = TokenView {
        tpm: Some(100),
        ..token()
    };
    assert!(limits.admit(&token, demand(5_000, 10), 0).is_ok());
    let mut other = limits.admit(&token, demand(1, 0), 0).unwrap();
    other.settle(1, 0);
    assert!(limits.admit(&token, demand(5_000, 10), 0).is_err());
}

#[test]
fn a_quota_is_used_up_for_good_and_can_be_seeded() {
    let limits = Limits::new();
    let token = TokenView {
        token_quota: Some(50),
        ..token()
    };
    limits.seed_used(7, 40);
    limits
        .admit(&token, demand(5, 500), 0)
        .unwrap()
        .settle(15, 0);
    assert_eq!(limits.used(7), 55);
    let refusal = limits.admit(&token, demand(1, 1), 900_000).unwrap_err();
    assert_eq!(refusal.kind, LimitKind::Quota);
    let raised = TokenView {
        token_quota: Some(100),
        ..token
    };
    assert!(limits.admit(&raised, demand(1, 1), 900_000).is_ok());
}

#[test]
fn an_unsettled_call_returns_everything() {
    let limits = Limits::new();
    let token = TokenView {
        tpm: Some(100),
        token_quota: Some(100),
        concurrency: Some(1),
        ..token()
    };
    let call = limits.admit(&token, demand(100, 0), 0).unwrap();
    let refusal = limits.admit(&token, demand(1, 0), 0).unwrap_err();
    assert_eq!(refusal.kind, LimitKind::Concurrency);
    drop(call);
    assert_eq!(limits.in_flight(7), 0);
    assert!(limits.admit(&token, demand(100, 0), 0).is_ok());
}

#[test]
fn places_are_counted_across_threads() {
    let places = Places::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    if let Some(place) = places.take(1, Some(2)) {
                        assert!(places.taken(1) <= 2);
                        drop(place);
                    }
                }
            });
        }
    });
    assert_eq!(places.taken(1), 0);
    let _one = places.take(1, Some(1)).unwrap();
    assert!(places.is_full(1, Some(1)));
    assert!(places.take(1, Some(1)).is_none());
    assert!(!places.is_full(1, None));
}

proptest! {
    #[test]
    fn no_limit_is_ever_exceeded(
        rpm in 1u32..8, tpm in 1u64..200, concurrency in 1u32..4, quota in 1u64..2_000,
        steps in prop::collection::vec((0u64..20_000, 0u64..150, 0u64..150, 0u64..1_200, 0u8..3), 1..120)) {
        let limits = Limits::new();
        let token = TokenView { rpm: Some(rpm), tpm: Some(tpm), concurrency: Some(concurrency), token_quota: Some(quota), ..token() };
        let mut now = 0;
        let mut admitted: Vec<u64> = Vec::new();
        let mut flying: Vec<(Admission, u64)> = Vec::new();
        let mut settled = 0;
        for (wait, prompt, completion, share, what) in steps {
            now += wait;
            match limits.admit(&token, demand(prompt, completion), now) {
                Ok(call) => {
                    admitted.push(now);
                    // Real use never above the reservation: then reservations are the bound.
                    let actual = call.reserved_tokens().min(call.quota_reserved) * share / 1_200;
                    flying.push((call, actual));
                }
                Err(refusal) => prop_assert!(refusal.retry_after_ms >= 1),
            }
            prop_assert!(flying.len() <= concurrency as usize);
            prop_assert_eq!(limits.in_flight(7) as usize, flying.len());
            prop_assert!(admitted.iter().filter(|at| now - **at < 60_000).count() <= rpm as usize);
            let usage = limits.state(7);
            let usage = usage.0.lock();
            prop_assert!(usage.tokens.total <= tpm);
            prop_assert!(usage.used + usage.reserved <= quota);
            prop_assert_eq!(usage.tokens.total, usage.tokens.sums.iter().sum::<u64>());
            drop(usage);
            if what > 0 && !flying.is_empty() {
                let (mut call, actual) = flying.remove(0);
                if what == 1 {
                    call.settle(actual, now);
                    settled += actual;
                }
            }
        }
        prop_assert_eq!(limits.used(7), settled);
        flying.clear();
        let usage = limits.state(7);
        prop_assert_eq!(usage.0.lock().reserved, 0);
    }

    #[test]
    fn a_refusal_tells_the_earliest_time_that_works(rpm in 1u32..5, waits in prop::collection::vec(0u64..30_000, 1..40)) {
        let limits = Limits::new();
        let token = TokenView { rpm: Some(rpm), ..token() };
        let mut now = 0;
        for wait in waits {
            now += wait;
            if let Err(refusal) = limits.admit(&token, demand(1, 1), now) {
                prop_assert!(limits.admit(&token, demand(1, 1), now + refusal.retry_after_ms - 1).is_err());
                now += refusal.retry_after_ms;
                prop_assert!(limits.admit(&token, demand(1, 1), now).is_ok());
            }
        }
    }

    #[test]
    fn a_clock_that_stands_or_jumps_ahead_breaks_nothing(jumps in prop::collection::vec(0u64..u64::MAX / 256, 1..60)) {
        let limits = Limits::new();
        let token = TokenView { rpm: Some(1_000), tpm: Some(1_000_000), ..token() };
        let mut now = 0u64;
        for jump in jumps {
            now += jump % (1 << (jump % 50));
            if let Ok(mut call) = limits.admit(&token, demand(10, 10), now) {
                call.settle(500, now.saturating_add(jump % 70_000));
            }
        }
    }
}
