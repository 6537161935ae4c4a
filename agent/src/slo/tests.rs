//! Contracts over a day of changes, and a central store that stalls.

use super::*;
use std::time::Duration;

const SECOND_US: i64 = 1_000_000;

fn config(at: Place) -> SloConfig {
    SloConfig {
        name: "fresh".to_owned(),
        topic: None,
        view: Some("spend".to_owned()),
        at,
        within: Duration::from_millis(100),
        objective: 0.99,
        window: Duration::from_secs(30 * 86_400),
        burn: 14.4,
    }
}

fn slos(at: Place) -> Slos {
    let view = Subject { id: ViewId(1), name: "spend".to_owned(), topic: "payments".to_owned() };
    Slos::new(&[config(at)], &[view], true).expect("valid")
}

fn burning(slos: &Slos, now_us: i64) -> bool {
    slos.look(now_us);
    slos.page(now_us)[0]["burning"] == true
}

#[test]
fn a_bad_quarter_of_an_hour_burns_and_heals() {
    let (slos, mut now_us) = (slos(Place::Local), 1_700_000_000 * SECOND_US);
    let mut minutes = |count: i64, late_of_ten: usize| {
        for _ in 0..count * 60 {
            now_us += SECOND_US;
            let commits: Vec<i64> =
                (0..10).map(|n| now_us - if n < late_of_ten { 2 * SECOND_US } else { 50_000 }).collect();
            slos.local("payments", &commits, now_us);
            slos.local("orders", &[0], now_us);
        }
        let page = slos.page(now_us);
        (burning(&slos, now_us), page[0]["burn_5m"].as_f64(), page[0]["burn_1h"].as_f64())
    };
    assert_eq!(minutes(120, 0), (false, Some(0.0), Some(0.0)));
    let (burns, short, long) = minutes(5, 10);
    assert!(
        !burns && short > Some(95.0) && long < Some(10.0),
        "five minutes of an hour are no reason: {short:?} {long:?}"
    );
    let (burns, _, long) = minutes(5, 10);
    assert!(burns && long > Some(14.4), "ten are: {long:?}");
    let (burns, short, long) = minutes(6, 0);
    assert!(!burns && short == Some(0.0) && long > Some(14.4), "it ends with the trouble, not an hour later");
    let page = slos.page(now_us);
    assert_eq!(page[0]["late"], 6_000);
    assert_eq!((page[0]["in_time"].as_u64(), page[0]["topic"].as_str()), (Some(126 * 600), Some("payments")));
}

#[test]
fn what_stalls_is_late_while_it_waits() {
    let (slos, mut now_us) = (slos(Place::Central), 1_700_000_000 * SECOND_US);
    let counts = |slos: &Slos, now_us| {
        let page = slos.page(now_us);
        (page[0]["in_time"].as_u64().unwrap_or(0), page[0]["late"].as_u64().unwrap_or(0))
    };
    let changes = |n: u8, now_us: i64| {
        slos.waits(ViewId(1), &[n], |topic| (topic == "payments").then_some(now_us), now_us)
    };
    // The store acknowledges within 50 ms.
    for n in 0..100 {
        changes(n, now_us);
        let asked = slos.waiting();
        now_us += 50_000;
        slos.arrived(&asked, &[], now_us);
    }
    assert_eq!(counts(&slos, now_us), (100, 0));
    assert!(!burning(&slos, now_us));
    // It stalls: what waits becomes late, once; then whatever comes.
    changes(1, now_us);
    let asked = slos.waiting();
    for _ in 0..10 {
        now_us += 50_000;
        slos.arrived(&asked, &asked, now_us);
    }
    assert_eq!(counts(&slos, now_us), (100, 1));
    (0..50).for_each(|n| changes(n, now_us));
    assert_eq!(counts(&slos, now_us), (100, 51));
    assert_eq!(slos.waiting(), asked, "nothing more is followed");
    assert!(burning(&slos, now_us));
    // It heals.
    slos.arrived(&asked, &[], now_us);
    assert_eq!(counts(&slos, now_us), (100, 51), "late is late once");
    for n in 0..200 {
        changes(n, now_us);
        let asked = slos.waiting();
        now_us += 10_000;
        slos.arrived(&asked, &[], now_us);
    }
    assert_eq!(counts(&slos, now_us), (300, 51));
    assert!(!burning(&slos, now_us + 600 * SECOND_US));
}

#[test]
fn mistakes_are_named() {
    let view = [Subject { id: ViewId(1), name: "spend".to_owned(), topic: "payments".to_owned() }];
    let wrong = SloConfig { view: Some("spent".to_owned()), ..config(Place::Local) };
    let error = Slos::new(&[wrong], &view, true).expect_err("no such view");
    assert!(error.to_string().contains("`spent`") && error.hint().contains("`spend`"), "{error:?}");
    let error = Slos::new(&[config(Place::Central)], &view, false).expect_err("nothing is brought anywhere");
    assert!(error.to_string().contains("no [sync.NAME]"), "{error}");
    assert!(config(Place::Local).check().is_ok());
    for (wrong, says) in [
        (SloConfig { objective: 1.0, ..config(Place::Local) }, "objective"),
        (SloConfig { objective: 0.9, ..config(Place::Local) }, "never reached"),
        (SloConfig { view: None, ..config(Place::Local) }, "a topic or a view"),
        (SloConfig { view: None, topic: Some("t".to_owned()), ..config(Place::Central) }, "needs a view"),
        (SloConfig { within: Duration::ZERO, ..config(Place::Local) }, "within"),
    ] {
        let error = wrong.check().expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
}
