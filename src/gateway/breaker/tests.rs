use proptest::prelude::*;

use super::*;

const FAILED: Outcome = Outcome::Failure {
    retry_after_ms: None,
};

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new(BreakerConfig::default()))
}

fn call(breaker: &Arc<Breaker>, outcome: Outcome, now_ms: u64) {
    breaker.enter(now_ms).unwrap().settle(outcome, now_ms);
}

#[test]
fn failures_in_a_row_open_it_and_a_good_probe_closes_it() {
    let breaker = breaker();
    for _ in 0..5 {
        assert_eq!(breaker.standing(0), Standing::Closed);
        call(&breaker, FAILED, 0);
    }
    assert_eq!(
        breaker.standing(1_000),
        Standing::Open {
            retry_after_ms: 4_000
        }
    );
    assert!(breaker.enter(4_999).is_none());
    let probe = breaker.enter(5_000).unwrap();
    assert!(probe.is_probe());
    assert_eq!(breaker.standing(5_000), Standing::Probing);
    assert!(breaker.enter(5_000).is_none());
    probe.settle(Outcome::Success, 5_100);
    assert_eq!(breaker.standing(5_100), Standing::Closed);
    assert_eq!(breaker.view(5_100).opened, 1);
    let traffic = breaker.traffic();
    assert_eq!((traffic.answered, traffic.failed), (1, 5));
}

#[test]
fn failed_probes_double_the_cool_down_up_to_its_bound() {
    let breaker = breaker();
    let mut now = 0;
    for _ in 0..5 {
        call(&breaker, FAILED, now);
    }
    for expected in [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000] {
        assert_eq!(
            breaker.standing(now),
            Standing::Open {
                retry_after_ms: expected
            }
        );
        now += expected;
        call(&breaker, FAILED, now);
    }
}

#[test]
fn the_providers_wish_to_be_left_alone_is_honoured_within_bounds() {
    let breaker = breaker();
    for _ in 0..5 {
        call(&breaker, outcome_of(429, Some(30_000)), 0);
    }
    assert_eq!(
        breaker.standing(0),
        Standing::Open {
            retry_after_ms: 30_000
        }
    );
}

#[test]
fn faults_of_clients_never_open_it_and_a_refused_credential_does_at_once() {
    let breaker = breaker();
    for _ in 0..100 {
        for status in [400, 404, 409, 413, 422] {
            call(&breaker, outcome_of(status, None), 0);
        }
    }
    assert_eq!(breaker.standing(0), Standing::Closed);
    call(&breaker, outcome_of(401, None), 0);
    assert!(matches!(breaker.standing(0), Standing::Open { .. }));
    assert!(breaker.view(0).bad_credential);
    breaker.reset();
    assert_eq!(breaker.standing(0), Standing::Closed);
}

#[test]
fn a_refused_credential_is_tried_where_nothing_else_is_and_only_a_success_changes_that() {
    let breaker = breaker();
    call(&breaker, outcome_of(401, None), 0);
    assert!(breaker.enter(1).is_none() && breaker.is_refused(1));
    for status in [401, 500, 429, 400] {
        let trial = breaker.enter_refused(1).unwrap();
        assert!(!trial.is_probe());
        trial.settle(outcome_of(status, None), 1);
    }
    drop(breaker.enter_refused(1));
    assert_eq!(breaker.view(1).opened, 1, "a trial opens nothing anew");
    assert_eq!(
        breaker.standing(1),
        Standing::Open {
            retry_after_ms: 4_999
        }
    );
    breaker
        .enter_refused(2)
        .unwrap()
        .settle(Outcome::Success, 3);
    assert_eq!(breaker.standing(3), Standing::Closed);
    assert!(!breaker.view(3).bad_credential);

    // While it is probed too; and a probe that fails otherwise makes it an account that is down.
    call(&breaker, outcome_of(401, None), 10);
    let probe = breaker.enter(5_010).unwrap();
    assert!(probe.is_probe() && breaker.is_refused(5_010));
    assert!(breaker.enter_refused(5_010).is_some());
    probe.settle(FAILED, 5_020);
    assert!(!breaker.is_refused(5_020) && breaker.enter_refused(5_020).is_none());
}

#[test]
fn what_one_caller_is_refused_does_not_close_the_account_to_the_others() {
    let breaker = breaker();
    for _ in 0..100 {
        call(&breaker, outcome_of(403, None), 0);
    }
    assert_eq!(breaker.standing(0), Standing::Closed);
    call(&breaker, outcome_of(500, None), 0);
    assert_eq!(breaker.view(0).consecutive_failures, 1);
}

#[test]
fn answers_that_break_off_open_it_unless_others_end_well_between() {
    let begun = |breaker: &Arc<Breaker>| {
        let pass = breaker.enter(0).unwrap();
        pass.settle(Outcome::Success, 0).unwrap()
    };
    let breaker = breaker();
    for _ in 0..4 {
        begun(&breaker).broke(0);
    }
    begun(&breaker).ended();
    for _ in 0..4 {
        begun(&breaker).broke(0);
    }
    // A client that left says nothing.
    drop(begun(&breaker));
    assert_eq!(breaker.standing(0), Standing::Closed);
    let late = begun(&breaker);
    begun(&breaker).broke(0);
    assert!(matches!(breaker.standing(0), Standing::Open { .. }));
    // Begun before it opened: known already.
    let opened = breaker.view(0).opened;
    late.broke(0);
    assert_eq!(breaker.view(0).opened, opened);
}

#[test]
fn a_bad_ratio_opens_it_though_successes_lie_between() {
    let breaker = breaker();
    let mut calls = 0;
    while breaker.standing(0) == Standing::Closed && calls < 100 {
        call(
            &breaker,
            if calls % 2 == 0 {
                Outcome::Success
            } else {
                FAILED
            },
            0,
        );
        calls += 1;
    }
    assert_eq!(calls, 20);
}

#[test]
fn calls_begun_before_it_opened_do_not_count_afterwards() {
    let breaker = breaker();
    let late = breaker.enter(0).unwrap();
    for _ in 0..5 {
        call(&breaker, FAILED, 0);
    }
    late.settle(Outcome::Success, 10);
    assert!(matches!(breaker.standing(10), Standing::Open { .. }));
}

#[test]
fn a_dropped_probe_makes_room_for_another() {
    let breaker = breaker();
    call(&breaker, Outcome::Credential, 0);
    drop(breaker.enter(5_000).unwrap());
    assert_eq!(breaker.standing(5_000), Standing::HalfOpen);
}

#[test]
fn every_account_has_one_breaker() {
    let all = Breakers::new(BreakerConfig::default());
    assert!(Arc::ptr_eq(&all.of(1), &all.of(1)));
    assert!(!Arc::ptr_eq(&all.of(1), &all.of(2)));
    let before = all.of(1);
    all.forget(1);
    assert!(!Arc::ptr_eq(&before, &all.of(1)));
}

proptest! {
    #[test]
    fn at_most_one_call_passes_while_not_closed_and_it_always_recovers(steps in prop::collection::vec((0u8..6, 0u64..4_000), 1..200)) {
        let breaker = breaker();
        let mut now = 0;
        let mut flying: Vec<Pass> = Vec::new();
        for (what, wait) in steps {
            now += wait;
            let before = breaker.standing(now);
            match what {
                0..=2 => {
                    let pass = breaker.enter(now);
                    prop_assert_eq!(pass.is_some(), matches!(before, Standing::Closed | Standing::HalfOpen));
                    flying.extend(pass);
                }
                3 => if let Some(pass) = flying.pop() { pass.settle(Outcome::Success, now); },
                4 => if !flying.is_empty() { flying.remove(0).settle(FAILED, now); },
                _ => drop(flying.pop()),
            }
            if let Standing::Open { retry_after_ms } = breaker.standing(now) {
                prop_assert!(retry_after_ms <= 120_000);
            }
            let probes = flying.iter().filter(|pass| pass.is_probe() && pass.generation == breaker.state.lock().generation).count();
            prop_assert!(probes <= 1);
        }
        flying.clear();
        now += 120_000;
        if let Some(pass) = breaker.enter(now) {
            pass.settle(Outcome::Success, now);
        }
        prop_assert_eq!(breaker.standing(now), Standing::Closed);
    }
}
