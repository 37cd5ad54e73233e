use super::*;

#[test]
fn fields_name_each_limit_and_the_tightest_of_a_unit() {
    let one = |id: &str, unit, left, reset_ms| Shown {
        id: id.into(),
        unit,
        most: 100,
        window_s: 60,
        left,
        reset_ms,
    };
    let shown = [
        one("day", Unit::Tokens, 70, 372_001),
        one("pace", Unit::Requests, 3, 1_500),
        one("key", Unit::Tokens, 20, 59_000),
        one("euros", Unit::Money, 5, 10),
    ];
    let mut headers = HeaderMap::new();
    fields(&shown, &mut headers);
    let text =
        |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(
        text("ratelimit-policy"),
        "\"day\";q=100;w=60;qu=\"tokens\", \"pace\";q=100;w=60;qu=\"requests\", \
         \"key\";q=100;w=60;qu=\"tokens\", \"euros\";q=100;w=60;qu=\"money\""
    );
    assert_eq!(
        text("ratelimit"),
        "\"day\";r=70;t=373, \"pace\";r=3;t=2, \"key\";r=20;t=59, \"euros\";r=5;t=1"
    );
    assert_eq!(
        (text("x-ratelimit-remaining-tokens"), text("x-ratelimit-reset-tokens")),
        ("20".into(), "59s".into())
    );
    assert_eq!(
        (text("x-ratelimit-limit-requests"), text("x-ratelimit-reset-requests")),
        ("100".into(), "1s".into())
    );
    assert_eq!(headers.len(), 8);
}

#[test]
fn durations_read_as_openai_writes_them() {
    assert_eq!(
        [duration(120), duration(1_000), duration(360_000), duration(3_661_000)],
        ["120ms", "1s", "6m0s", "1h1m1s"]
    );
}

#[test]
fn a_rate_says_when_to_try_again_in_two_languages() {
    let rate = Rate {
        rate: "pace".into(),
        each: super::super::message::Each::Key,
        model: None,
        unit: Unit::Requests,
        most: 60,
        burst: 5,
    };
    let error = too_fast(&rate, 1, State { left: 0, reset_ns: 5 * NS, wait_ns: Some(NS + 1) });
    assert_eq!((error.status, error.retry_after, error.code.as_ref()), (429, Some(2), "rate_limited"));
    assert!(error.message.0.contains("\"pace\"") && error.message.1.contains("“pace”"));
    assert!(error.fields.contains_key("ratelimit"));
    let never = too_fast(&rate, 9, State { left: 5, reset_ns: 0, wait_ns: None });
    assert!(never.message.0.contains("9 requests"), "{}", never.message.0);
}
