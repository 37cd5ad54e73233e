use super::{BREAK, View, fold, normalise, symbols};

/// Each character with what view A makes of it.
const CASES: &[(&str, &str)] = &[
    ("Hello ＷＯＲＬＤ", "hello world"),
    ("Straße", "strasse"),
    ("ΣΑΣ ς", "σασ σ"),
    ("身體檢查", "身体检查"),
    ("乾淨", "干净"),
    ("①㎏½", "1kg1⁄2"),
    ("café cafe\u{301}", "cafe cafe"),
    ("з\u{306}й", "зи"),
    ("a\u{200B}b\u{FE0F}\u{AD}\u{202E}c", "abc"),
    ("甲\u{336}乙\u{336}", "甲乙"),
    ("1\u{FE0F}\u{20E3}", "1"),
    ("a\u{E34}ก\u{E34}", "aก\u{E34}"),
    ("≠ =\u{338}", "=\u{338} =\u{338}"),
    ("ガ", "カ\u{3099}"),
    ("각", "\u{1100}\u{1161}\u{11A8}"),
    ("가", "\u{1100}\u{1161}"),
    ("\u{301}x", "x"),
];

#[test]
fn view_a_folds_as_written() {
    for (text, expected) in CASES {
        assert_eq!(&normalise(text), expected, "{text:?}");
    }
}

#[test]
fn normalising_twice_equals_once() {
    let all: String = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    let once = normalise(&all);
    assert_eq!(normalise(&once), once);
    for c in all.chars() {
        let once = normalise(&c.to_string());
        assert_eq!(normalise(&once), once, "{c:?}");
    }
}

#[test]
fn a_gap_of_nine_breaks() {
    let eight = "\u{200B}".repeat(8);
    assert_eq!(normalise(&format!("a{eight}b")), "ab");
    assert_eq!(symbols(&format!("a{eight}\u{AD}b")), [u32::from('a'), BREAK, u32::from('b')]);
    let mut view = View::new();
    view.step('a');
    let absorbed: Vec<bool> = (0..9).map(|_| view.step('\u{200B}').absorb).collect();
    assert_eq!(absorbed, [vec![true; 8], vec![false]].concat());
}

#[test]
fn fold_needs_no_memory() {
    assert_eq!(fold('Ａ').collect::<Vec<_>>(), [u32::from('a')]);
    assert_eq!(fold('\u{200D}').count(), 0);
    assert_eq!(fold('漢').collect::<Vec<_>>(), [u32::from('汉')]);
}
