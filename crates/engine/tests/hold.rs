//! One lane by example: the rows of content-policy 2.5 that concern keywords in view A, and its edges.
//!
//! Out of scope of this build, so not here: row 11 (patterns with checks), rows 13, 14 and 17 in view
//! C (17 is tested with view A), 15 (ii) in view C, 18 (pinyin), 19 (frames: the answer layer's), 20
//! (context words).
mod hold_sets;

use dragoman_engine::rules::{Limits, RuleSet};
use dragoman_engine::stream::hold::{Action, Direction, Finding, Granularity, Lane, Locale, Stop};
use hold_sets::{Rule, allow, compile, compile_with, redact, refuse};
use std::sync::Arc;

/// Output after each chunk, then after the end; a stop shows as ⊗.
fn run(rules: &[Rule], chunks: &[&str]) -> Vec<String> {
    let (mut out, mut findings) = (String::new(), Vec::new());
    let mut lane = Lane::new(compile(rules), Direction::Out, Locale::En);
    let mut outputs = Vec::new();
    for chunk in chunks {
        if lane.push(chunk, &mut out, &mut findings).is_some() {
            out.push('⊗');
        }
        outputs.push(out.clone());
    }
    if lane.finish(&mut out, &mut findings).is_some() {
        out.push('⊗');
    }
    outputs.push(out);
    outputs
}

/// The output of each code point as its own chunk; also checks that one chunk ends the same.
fn steps(rules: &[Rule], text: &str) -> Vec<String> {
    let chars: Vec<String> = text.chars().map(String::from).collect();
    let chunks: Vec<&str> = chars.iter().map(String::as_str).collect();
    let outputs = run(rules, &chunks);
    assert_eq!(run(rules, &[text]).last(), outputs.last(), "{text:?} in one chunk");
    outputs
}

fn last(rules: &[Rule], text: &str) -> String {
    steps(rules, text).pop().unwrap_or_default()
}

#[test]
fn row_1_a_refusal_keeps_nothing_of_a_live_thread() {
    assert_eq!(last(&[redact("abcc"), refuse("c")], "abcc"), "⊗");
}

#[test]
fn row_2_the_stop_is_ordered_by_decision() {
    assert_eq!(last(&[refuse("b"), refuse("abc"), allow("bca").of("b")], "abc"), "⊗");
}

#[test]
fn row_3_a_refusal_fires_when_decided() {
    assert_eq!(last(&[refuse("b"), allow("b").right().of("b")], "b"), "b");
}

#[test]
fn row_4_matches_are_settled_per_code_point() {
    assert_eq!(last(&[redact("ab"), refuse("a")], "ab"), "⊗");
}

#[test]
fn row_5_a_placeholder_does_not_wait_for_its_span() {
    assert_eq!(steps(&[redact("aa")], "aaaa"), ["", "▮", "▮", "▮", "▮"]);
}

#[test]
fn row_6_the_first_decided_labels_the_placeholder() {
    let rules = [redact("ab").shown("[ab]"), redact("bc").shown("[bc]")];
    assert_eq!(steps(&rules, "abc"), ["", "[ab]", "[ab]", "[ab]"]);
}

#[test]
fn row_7_touching_spans_stay_separate() {
    assert_eq!(last(&[redact("ab"), redact("cd")], "abcd"), "▮▮");
}

#[test]
fn row_8_adding_a_rule_may_release_earlier() {
    assert_eq!(steps(&[redact("abcd")], "abc"), ["", "", "", "abc"]);
    assert_eq!(steps(&[redact("abcd"), redact("ab")], "abc"), ["", "▮", "▮", "▮c"]);
}

#[test]
fn row_9_allow_phrases_never_hold() {
    assert_eq!(steps(&[allow("ab"), redact("xy")], "a"), ["a", "a"]);
}

#[test]
fn row_10_an_allow_must_contain_the_match() {
    assert_eq!(last(&[redact("bc"), allow("ab").of("bc")], "abc"), "a▮");
    assert_eq!(last(&[redact("ab"), redact("bc"), allow("ab").of("ab").of("bc")], "abc"), "a▮");
}

#[test]
fn row_12_liveness_minds_the_left_edge() {
    assert_eq!(steps(&[redact("az").left()], "aa"), ["", "aa", "aa"]);
}

#[test]
fn row_15_absorbed_code_points_are_the_tail() {
    assert_eq!(last(&[redact("ab")], "ab\u{301}\u{302}"), "▮");
    assert_eq!(steps(&[redact("ab")], "ab\u{301}c"), ["", "▮", "▮", "▮c", "▮c"]);
}

#[test]
fn row_16_emission_is_on_code_points() {
    assert_eq!(run(&[redact("xy")], &["e"]), ["e", "e"]);
}

#[test]
fn row_17_words_are_normalised_through_the_view() {
    assert_eq!(last(&[redact("ＧＯ\u{200B}od")], "a good b"), "a ▮ b");
}

#[test]
fn late_1_rules_that_cover_every_next_symbol_wait_for_it() {
    let mut rules = vec![redact("a").right()];
    rules.extend((b'a'..=b'z').chain(b'0'..=b'9').map(|next| redact(&format!("a{}", char::from(next)))));
    assert_eq!(steps(&rules, "a"), ["", "▮"]);
}

#[test]
fn late_2_the_notice_waits_for_a_decision() {
    let rules = [refuse("aa"), refuse("a"), allow("aaa").of("a")];
    assert_eq!(steps(&rules, "a"), ["", "⊗"]);
    assert_eq!(steps(&rules, "aa"), ["", "⊗", "⊗"]);
}

#[test]
fn a_thread_that_only_an_allowed_match_completes_holds_nothing() {
    assert_eq!(steps(&[redact("bc"), allow("abc").of("bc")], "abc"), ["a", "ab", "abc", "abc"]);
    assert_eq!(steps(&[redact("bc"), allow("abc").of("bc")], "xbc"), ["x", "x", "x▮", "x▮"]);
    let edged = [redact("bc"), allow("abc").right().of("bc")];
    assert_eq!(steps(&edged, "abc "), ["a", "a", "a", "abc ", "abc "]);
    assert_eq!(steps(&edged, "abcd"), ["a", "a", "a", "a▮d", "a▮d"]);
}

#[test]
fn traditional_wide_and_invisible_forms_are_one_word() {
    let rules = [redact("汉字"), redact("demo")];
    assert_eq!(last(&rules, "漢\u{200D}字和ＤＥ\u{AD}ｍｏ。"), "▮和▮。");
}

#[test]
fn findings_name_rule_span_and_place() {
    let rules = compile(&[redact("ab"), redact("bc"), Rule::new(Action::Flag, "x")]);
    let (mut out, mut findings) = (String::new(), Vec::new());
    let mut lane = Lane::new(Arc::clone(&rules), Direction::Out, Locale::Zh);
    assert_eq!(lane.push("qabc x", &mut out, &mut findings), None);
    assert_eq!(lane.finish(&mut out, &mut findings), None);
    assert_eq!(out, "q▮ x");
    let named: Vec<_> =
        findings.iter().map(|f| (rules.rule(f.rule).id.as_str(), f.offset, f.start, f.end)).collect();
    assert_eq!(named, [("redact ab", 1, 1, 3), ("redact bc", 1, 2, 4), ("flag x", 5, 5, 6)]);
}

#[test]
fn a_refusal_reports_itself_and_what_was_shown() {
    let rules = compile(&[redact("ab"), refuse("no")]);
    let (mut out, mut findings) = (String::new(), Vec::new());
    let mut lane = Lane::new(Arc::clone(&rules), Direction::Out, Locale::En);
    let stop = lane.push("ab, no!", &mut out, &mut findings);
    let rule = (0..).zip(rules.rules()).find(|(_, r)| r.action == Action::Refuse).map_or(9, |(i, _)| i);
    assert_eq!(stop, Some(Stop::Refused { rule, granularity: Granularity::Span }));
    assert_eq!((out.as_str(), lane.held()), ("▮, ", 0));
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[1], Finding { rule, action: Action::Refuse, offset: 3, start: 4, end: 6 });
    assert_eq!(lane.push("more", &mut out, &mut findings), None);
    assert_eq!(lane.finish(&mut out, &mut findings), None);
    assert_eq!((out.as_str(), findings.len(), lane.stopped()), ("▮, ", 2, stop));
}

#[test]
fn an_aborted_upstream_releases_nothing_more() {
    let (mut out, mut findings) = (String::new(), Vec::new());
    let mut lane = Lane::new(compile(&[redact("ab"), redact("cde")]), Direction::Out, Locale::En);
    lane.push("xabcd", &mut out, &mut findings);
    assert_eq!((out.as_str(), lane.held()), ("x▮", 2));
    lane.discard();
    lane.push("e", &mut out, &mut findings);
    lane.finish(&mut out, &mut findings);
    assert_eq!((out.as_str(), lane.held(), findings.len()), ("x▮", 0, 1));
}

#[test]
fn overflow_is_tested_after_every_code_point() {
    let limits = Limits { lane_max: 3, ..hold_sets::LIMITS };
    for chunks in [&["xabcdz"][..], &["xab", "cd", "z"]] {
        let (mut out, mut findings) = (String::new(), Vec::new());
        let mut lane = Lane::new(compile_with(&[redact("abcde")], limits), Direction::Out, Locale::En);
        let stops: Vec<_> =
            chunks.iter().filter_map(|chunk| lane.push(chunk, &mut out, &mut findings)).collect();
        assert_eq!((stops.as_slice(), out.as_str()), (&[Stop::Overflow][..], "x"));
    }
}

#[test]
fn a_set_without_deny_rules_passes_text_through() {
    let (mut out, mut findings) = (String::new(), Vec::new());
    let mut lane = Lane::new(RuleSet::empty(), Direction::Out, Locale::En);
    assert_eq!(lane.push("любой text", &mut out, &mut findings), None);
    assert_eq!((out.as_str(), lane.held()), ("любой text", 0));
}
