use super::*;

#[test]
fn windows_tile_time() {
    for per in [Per::Minute, Per::Hour, Per::Day, Per::Month] {
        let mut at = 1_795_000_000_000;
        for _ in 0..30 {
            let window = per.window(at);
            assert!(window.starts <= at && at < window.ends, "{per:?}");
            assert_eq!(per.window(window.ends - 1), window);
            assert_eq!(per.window(window.ends).starts, window.ends);
            at = window.ends;
        }
    }
}

#[test]
fn windows_have_the_names_that_control_gives_them() {
    // 2026-11-18T11:06:40Z and 2028-02-29T23:59:59Z, from control's own functions.
    let at = 1_795_000_000_000;
    let name = |per: Per, at| per.label(per.window(at).starts);
    assert_eq!(name(Per::Minute, at), "20261118T1106");
    assert_eq!(name(Per::Hour, at), "20261118T11");
    assert_eq!(name(Per::Day, at), "20261118");
    assert_eq!(name(Per::Month, at), "202611");
    let leap = 1_835_481_599_000;
    assert_eq!(name(Per::Day, leap), "20280229");
    assert_eq!(Per::Month.window(leap).ends, leap + 1000);
    assert_eq!(instant(leap), "2028-02-29T23:59:59Z");
}
