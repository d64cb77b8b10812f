use proptest::prelude::*;
use steward_actors::domain::redaction::RedactionMode;
use steward_actors::domain::setting::Settings;

use super::*;

/// 2026-03-15T16:00:00Z: midnight in Shanghai, the 16th.
const MIDNIGHT: i64 = 1_773_590_400_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const DOLLAR: i64 = 1_000_000_000;

fn budgets() -> Budgets {
    // 7 yuan for a dollar.
    let settings = Settings {
        rate: Rate::new(7 * DOLLAR).unwrap(),
        ..Settings::default()
    };
    Budgets::new(
        Tz::Asia__Shanghai,
        Arc::new(ArcSwap::from_pointee(settings)),
    )
}

fn dollars(daily: Option<i64>, monthly: Option<i64>) -> Budget {
    Budget {
        daily_nano: daily.map(|dollars| dollars * DOLLAR),
        monthly_nano: monthly.map(|dollars| dollars * DOLLAR),
        currency: Currency::Usd,
    }
}

fn token(budget: Budget, tenant_budget: Budget) -> TokenView {
    TokenView {
        id: 7,
        public_id: "tok_7".into(),
        name: "t".into(),
        tenant_id: 3,
        tenant_public_id: "ten_3".into(),
        tenant_name: "T".into(),
        tenant_suspended: false,
        tenant_budget,
        app: String::new(),
        enabled: true,
        expires_at: None,
        allowed_models: None,
        rpm: None,
        tpm: None,
        concurrency: None,
        token_quota: None,
        budget,
        enable_conversation_logging: false,
        knowledge: false,
        redaction: RedactionMode::Redact,
    }
}

fn exhausted(whose: Whose, per: Per, retry_after_ms: u64) -> Exhausted {
    Exhausted {
        whose,
        per,
        retry_after_ms,
    }
}

#[test]
fn a_day_is_spent_and_comes_again_at_midnight() {
    let budgets = budgets();
    let token = token(dollars(Some(2), None), Budget::default());
    let evening = MIDNIGHT - 60 * SECOND;
    let mut call = budgets.reserve(&token, evening, || DOLLAR).unwrap();
    call.settle([2 * DOLLAR, 0]);
    let refused = budgets.reserve(&token, evening, || 1).unwrap_err();
    assert_eq!(refused, exhausted(Whose::Token, Per::Day, 60_000));
    assert!(refused.detail().contains("day"));
    assert!(budgets.reserve(&token, MIDNIGHT, || 1).is_ok());
    // A call of the evening that ends after midnight is the evening's.
    budgets.spend(7, 3, evening, [DOLLAR, 0]);
    assert_eq!(budgets.spent(Whose::Token, 7, MIDNIGHT)[0], [0, 0]);
    assert_eq!(budgets.spent(Whose::Token, 7, MIDNIGHT)[1], [3 * DOLLAR, 0]);
    assert_eq!(
        budgets.spent(Whose::Tenant, 3, MIDNIGHT)[1],
        [3 * DOLLAR, 0]
    );
    assert_eq!(budgets.spent(Whose::Tenant, 4, MIDNIGHT), [[0, 0]; 2]);
}

#[test]
fn a_charge_that_becomes_another_counts_at_once() {
    let budgets = budgets();
    let token = token(dollars(Some(2), None), Budget::default());
    budgets.spend(7, 3, MIDNIGHT, [DOLLAR, 0]);
    assert!(budgets.reserve(&token, MIDNIGHT, || 1).is_ok());
    // Two calls without a price get one, in another currency.
    for _ in 0..2 {
        budgets.correct(7, 3, MIDNIGHT, [0, 7 * DOLLAR]);
    }
    let refused = budgets.reserve(&token, MIDNIGHT, || 1).unwrap_err();
    assert_eq!(refused.per, Per::Day);
    assert_eq!(
        budgets.spent(Whose::Tenant, 3, MIDNIGHT),
        [[DOLLAR, 14 * DOLLAR]; 2]
    );
    // Yesterday's is the month's only, last month's nobody's; less than nothing is never spent.
    budgets.correct(7, 0, MIDNIGHT - DAY, [DOLLAR, 0]);
    budgets.correct(7, 0, MIDNIGHT - 40 * DAY, [DOLLAR, 0]);
    assert_eq!(
        budgets.spent(Whose::Token, 7, MIDNIGHT),
        [[DOLLAR, 14 * DOLLAR], [2 * DOLLAR, 14 * DOLLAR]]
    );
    budgets.correct(7, 0, MIDNIGHT, [-3 * DOLLAR, -14 * DOLLAR]);
    assert_eq!(budgets.spent(Whose::Token, 7, MIDNIGHT), [[0, 0]; 2]);
    assert!(budgets.reserve(&token, MIDNIGHT, || 1).is_ok());
}

#[test]
fn a_month_and_a_tenant_hold_too() {
    let budgets = budgets();
    let tenants = token(Budget::default(), dollars(None, Some(1)));
    budgets.spend(8, 3, MIDNIGHT, [DOLLAR, 0]);
    let refused = budgets.reserve(&tenants, MIDNIGHT, || 1).unwrap_err();
    // April begins in Shanghai 16 days later.
    let until = u64::try_from(16 * DAY / 1_000).unwrap();
    assert_eq!(refused, exhausted(Whose::Tenant, Per::Month, until));
    assert!(budgets.reserve(&tenants, MIDNIGHT + 16 * DAY, || 1).is_ok());
    // Nobody's tenant is not limited by it.
    let alone = TokenView {
        tenant_id: 0,
        ..tenants
    };
    assert!(budgets.reserve(&alone, MIDNIGHT, || 1).is_ok());
}

#[test]
fn yuan_and_dollars_are_held_against_one_budget() {
    let budgets = budgets();
    let yuan = Budget {
        daily_nano: Some(14 * DOLLAR),
        monthly_nano: None,
        currency: Currency::Cny,
    };
    let token = token(yuan, Budget::default());
    budgets.spend(7, 0, MIDNIGHT, [DOLLAR, 6 * DOLLAR]);
    assert!(budgets.reserve(&token, MIDNIGHT, || 1).is_ok());
    budgets.spend(7, 0, MIDNIGHT, [0, DOLLAR]);
    assert!(budgets.reserve(&token, MIDNIGHT, || 1).is_err());
}

#[test]
fn what_is_in_flight_is_reserved_and_given_back() {
    let budgets = budgets();
    let limited = token(dollars(Some(3), None), dollars(Some(100), None));
    let first = budgets.reserve(&limited, MIDNIGHT, || 2 * DOLLAR).unwrap();
    // More than is left: what is left.
    let second = budgets.reserve(&limited, MIDNIGHT, || 5 * DOLLAR).unwrap();
    let refused = budgets.reserve(&limited, MIDNIGHT, || 1).unwrap_err();
    assert_eq!(refused, exhausted(Whose::Token, Per::Day, SOON_MS));
    drop(first);
    let mut third = budgets.reserve(&limited, MIDNIGHT, || DOLLAR).unwrap();
    third.settle([1, 0]);
    third.settle([DOLLAR, 0]);
    drop((second, third));
    assert_eq!(budgets.spent(Whose::Token, 7, MIDNIGHT)[0], [1, 0]);
    // A tenant that refuses leaves nothing reserved with the token.
    let poor = token(dollars(Some(3), None), dollars(Some(0), None));
    assert!(budgets.reserve(&poor, MIDNIGHT, || 3 * DOLLAR).is_err());
    assert!(budgets.reserve(&limited, MIDNIGHT, || DOLLAR).is_ok());
    // Without a budget nobody asks what a call may cost.
    let free = token(Budget::default(), Budget::default());
    assert!(budgets.reserve(&free, MIDNIGHT, || unreachable!()).is_ok());
}

#[test]
fn a_budget_of_nothing_admits_nothing_and_a_seeded_one_goes_on() {
    let budgets = budgets();
    let none = token(dollars(Some(0), None), Budget::default());
    assert!(budgets.reserve(&none, MIDNIGHT, || 0).is_err());
    let period = budgets.period(MIDNIGHT + 1);
    budgets.seed(
        Whose::Token,
        7,
        period,
        [DOLLAR, 0],
        [4 * DOLLAR, 7 * DOLLAR],
    );
    let month = token(dollars(Some(9), Some(5)), Budget::default());
    let refused = budgets.reserve(&month, MIDNIGHT, || 1).unwrap_err();
    assert_eq!((refused.whose, refused.per), (Whose::Token, Per::Month));
}

#[test]
fn months_end_where_the_zone_has_them() {
    for (zone, at, days) in [
        (Tz::Asia__Shanghai, MIDNIGHT, 31),
        (Tz::UTC, 1_772_323_200_000_000 - 1, 28),
        // Clocks go forward in the month.
        (Tz::Europe__Berlin, MIDNIGHT, 31),
    ] {
        let period = Period::of(zone, at);
        assert!((period.day.0..period.day.1).contains(&at));
        assert!(period.month.0 <= period.day.0 && period.day.1 <= period.month.1);
        let hours = (period.month.1 - period.month.0) / (3_600 * SECOND);
        let short = i64::from(zone == Tz::Europe__Berlin);
        assert_eq!(hours, days * 24 - short, "{zone}");
    }
}

proptest! {
    /// However calls overlap: what was spent when the last one was admitted lies below the budget, so it is overshot
    /// by no more than those in flight cost; and in the end nothing stays reserved.
    #[test]
    fn a_budget_is_overshot_by_what_was_in_flight_at_most(
        budget in 1..50_i64,
        steps in prop::collection::vec((0..20_i64, 0..30_i64, 0..3_u8, 0..4_000_i64), 1..80),
    ) {
        let budgets = budgets();
        let token = token(dollars(Some(budget), None), Budget::default());
        let mut flying: Vec<(Hold, i64)> = Vec::new();
        let (mut at, mut spent, mut today) = (MIDNIGHT, 0, budgets.period(MIDNIGHT).day.0);
        for (expected, cost, what, wait) in steps {
            at += wait * SECOND;
            let day = budgets.period(at).day.0;
            if day != today {
                flying.clear();
                (today, spent) = (day, 0);
            }
            match budgets.reserve(&token, at, || expected * DOLLAR) {
                Ok(hold) => {
                    prop_assert!(spent < budget);
                    flying.push((hold, cost));
                }
                Err(refused) => prop_assert!(refused.retry_after_ms > 0),
            }
            if what > 0 && !flying.is_empty() {
                let (mut hold, cost) = flying.remove(0);
                if what == 1 {
                    hold.settle([cost * DOLLAR, 0]);
                    spent += cost;
                }
            }
        }
        flying.clear();
        prop_assert_eq!(budgets.spent(Whose::Token, 7, at)[0], [spent * DOLLAR, 0]);
        let all = purse(&budgets.tokens, 7);
        let windows = all.0.lock();
        prop_assert_eq!(windows.map(|window| window.reserved), [0, 0]);
    }
}
