//! The analyser: places are exact, joining texts changes nothing, variants of one word meet.
use dragoman_engine::index::{MAX_WORD_CODE_POINTS, Term, analyse};
use proptest::prelude::*;

fn texts(text: &str) -> Vec<String> {
    analyse(text).into_iter().map(|t| t.text).collect()
}

#[test]
fn chinese_gives_characters_and_pairs() {
    assert_eq!(texts("退货吗"), ["退", "退货", "货", "货吗", "吗"]);
    assert_eq!(texts("退，货"), ["退", "货"], "no pair across punctuation");
}

#[test]
fn mixed_scripts_break_at_their_edges() {
    assert_eq!(texts("买iPhone15的"), ["买", "iphon", "15", "的"]);
}

#[test]
fn forms_of_one_word_meet() {
    for family in [
        &["return", "returns", "returned", "Returning", "ＲＥＴＵＲＮ"][..],
        &["ship", "shipping", "shipped", "ships"],
        &["price", "prices", "pricing", "priced"],
        &["policy", "policies"],
        &["cancel", "cancelled", "canceled", "cancelling"],
        &["box", "boxes"],
        &["bill", "billing", "bills"],
        &["café", "cafe", "cafe\u{301}"],
        &["shop", "shop's", "shop’s"],
        &["ガ", "ｶﾞ"],
        &["退貨與換貨", "退货与换货"],
        &["發票", "发票"],
    ] {
        let first = texts(family[0]);
        for other in family {
            assert_eq!(texts(other), first, "{other}");
        }
    }
}

#[test]
fn words_that_only_look_alike_stay_apart() {
    assert_ne!(texts("sing"), texts("s"));
    assert_ne!(texts("bus"), texts("bu"));
    assert_ne!(texts("red"), texts("r"));
    assert_ne!(texts("退"), texts("货"));
    assert_ne!(texts("가"), texts("나"));
}

#[test]
fn places_are_code_points_of_the_original() {
    let t = analyse("a 😀 Ｔｅｓｔｓ退");
    assert_eq!(t[1], Term { text: "test".into(), start: 4, end: 9 });
    assert_eq!(t[2], Term { text: "退".into(), start: 9, end: 10 });
}

#[test]
fn a_very_long_word_is_cut_but_spans_all() {
    let long = "x".repeat(500);
    let t = analyse(&long);
    assert_eq!((t.len(), t[0].start, t[0].end), (1, 0, 500));
    assert!(t[0].text.len() <= MAX_WORD_CODE_POINTS);
}

proptest! {
    #[test]
    fn places_are_in_range_and_ordered(text in "\\PC{0,60}") {
        let n = text.chars().count();
        let terms = analyse(&text);
        for t in &terms {
            prop_assert!(t.start < t.end && t.end <= n, "{t:?} of {n}");
            prop_assert!(!t.text.is_empty() && !t.text.contains(char::is_whitespace), "{t:?}");
        }
        prop_assert!(terms.windows(2).all(|w| w[0].start <= w[1].start));
    }

    #[test]
    fn joining_with_a_space_changes_nothing(a in "\\PC{0,30}", b in "[a-z'’退貨ガ0-9 ]{0,30}") {
        let moved = a.chars().count() + 1;
        let mut apart = analyse(&a);
        apart.extend(analyse(&b).into_iter().map(|t| Term { text: t.text, start: t.start + moved, end: t.end + moved }));
        prop_assert_eq!(analyse(&format!("{a} {b}")), apart);
    }
}
