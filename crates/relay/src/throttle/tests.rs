use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

proptest! {
    /// It lets through what the rate of a single client would, whoever else asks in between.
    #[test]
    fn it_is_the_rate_of_each(
        most in 1u64..50,
        asks in proptest::collection::vec((0usize..3, 0u64..2 * SECOND), 1..200),
    ) {
        let dues = Dues::default();
        let mut alone = [0; 3];
        let mut now = SECOND;
        for (who, pause) in asks {
            now += pause;
            let one = rate::next(alone[who], 1, (most, most), now);
            prop_assert_eq!(dues.ask(&who, most, now), one.map(|(_, state)| state));
            if let Ok((due, _)) = one {
                alone[who] = due;
            }
            prop_assert_eq!(dues.take(&who, most, now), one.map(drop));
        }
    }
}

#[test]
fn what_is_given_back_may_be_taken_again() {
    let throttle = Throttles::default().failed;
    let client = Some(ip("203.0.113.1"));
    for _ in 0..10 {
        throttle.hold_address(client, 1).expect("room").expect("an address").give_back();
    }
    let held = throttle.hold_address(client, 1).expect("room");
    assert!(held.is_some());
    let full = throttle.hold_address(client, 1).map(drop).expect_err("the negative control: it is held");
    assert_eq!((full.status, full.code.as_ref()), (429, "too_many_failed_credentials"));
    assert!(full.retry_after.is_some_and(|s| (1..=60).contains(&s)), "{full:?}");
    let policy = "\"edge.failed_credentials_per_minute\";q=1;w=60;qu=\"requests\"";
    assert_eq!(full.fields["ratelimit-policy"], policy);
}

#[test]
fn the_rate_of_appeals_is_of_a_day() {
    let throttle = Throttles::default().appeals;
    let client = Some(ip("203.0.113.1"));
    for _ in 0..24 {
        let _held = throttle.hold_address(client, 24).expect("room");
    }
    let wait = throttle.hold_address(client, 24).map(drop).expect_err("24 a day").retry_after;
    assert!(wait.is_some_and(|s| (3_500..=3_600).contains(&s)), "the next in an hour: {wait:?}");
}

#[test]
fn the_rates_of_signing_up_are_of_an_hour() {
    let Throttles { codes, checks, .. } = Throttles::default();
    let client = Some(ip("203.0.113.1"));
    for rate in [&codes, &checks] {
        for _ in 0..6 {
            rate.pass_address(client, 6).expect("room");
        }
        let full = rate.pass_address(client, 6).expect_err("6 an hour");
        assert_eq!((full.status, full.code.as_ref()), (429, "too_many_signups"));
        assert!(
            full.retry_after.is_some_and(|s| (550..=600).contains(&s)),
            "the next in ten minutes: {full:?}"
        );
        assert!(full.fields.is_empty(), "no field tells of a minute: {full:?}");
        rate.pass_address(Some(ip("203.0.113.2")), 6).expect("another address");
    }
}

#[test]
fn a_network_of_ipv6_is_one_client() {
    let throttle = Throttles::default().addresses;
    throttle.pass_address(Some(ip("2001:db8::1")), 1).expect("the first");
    let same = throttle.pass_address(Some(ip("2001:db8::ffff:2")), 1).expect_err("the same /64");
    assert_eq!(same.code, "rate_limited");
    assert!(
        same.message.0.contains("\"edge.address_requests_per_minute\" is 1 requests per minute"),
        "{same:?}"
    );
    throttle.pass_address(Some(ip("2001:db8:0:1::1")), 1).expect("another /64");
    throttle.pass_address(Some(ip("192.0.2.1")), 1).expect("an address");
    throttle.pass_address(Some(ip("192.0.2.2")), 1).expect("its neighbour");
    for _ in 0..3 {
        throttle.pass_address(None, 1).expect("this machine");
    }
}

#[test]
fn what_is_charged_late_is_waited_for_and_bounded() {
    let throttle = Throttles::default().in_vain;
    throttle.check("prn_1", 2).expect("nothing is owed");
    throttle.check("prn_1", 2).expect("a check takes nothing");
    for _ in 0..100 {
        throttle.charge("prn_1", 2);
    }
    let wait = throttle.check("prn_1", 2).expect_err("it owes").retry_after;
    // Twice a minute's worth, less what passed since: one more has to wait a minute and a half.
    assert!(wait.is_some_and(|s| (60..=90).contains(&s)), "{wait:?}");
    throttle.check("prn_2", 2).expect("another owes nothing");
}

#[test]
fn memory_is_bounded_and_who_owes_most_is_remembered() {
    let dues = Dues::default();
    let (most, now) = (60, SECOND);
    for _ in 0..30 {
        dues.take(&"one who tries", most, now).expect("room");
    }
    let many = limits::THROTTLED as u64 * 3;
    for stranger in 0..many {
        // Instants differ, as they do: each owes a little less than the next.
        dues.take(&stranger, most, now + stranger).expect("room");
        assert!(dues.lock().len() <= limits::THROTTLED);
    }
    let left = dues.ask(&"one who tries", most, now + many).expect("room").left;
    assert_eq!(left, 29, "it was not forgotten");
    // Two minutes later all of them owe nothing: the next one that needs room has all of it.
    let later = now + many + 120 * SECOND;
    for stranger in many..many + limits::THROTTLED as u64 {
        dues.take(&stranger, most, later).expect("room");
    }
    assert!(dues.lock().len() <= limits::THROTTLED);
    assert_eq!(dues.ask(&"one who tries", most, later).expect("room").left, 59, "time forgets it too");
}

#[test]
fn a_crowd_that_passes_leaves_no_memory_behind() {
    let passing = |pause: u64| {
        let dues = Dues::default();
        for who in 0..20_000u64 {
            assert!(dues.take(&who, 60, SECOND + who * pause).is_ok());
        }
        dues.lock().capacity()
    };
    // Each owes a second: sixty of them a second are sixty at once.
    assert!(passing(SECOND / 60) < 1_000, "{}", passing(SECOND / 60));
    assert!(passing(0) >= 20_000, "the negative control: all at once are all remembered");
}
