//! The analyser: the terms by which a text is indexed and searched, with their places in the original.
//! Chinese, Japanese, Korean and the South-East Asian scripts give characters and pairs, other scripts give words.
mod script;
mod stem;

use script::Class;

/// Longest word kept as a term, in folded code points; the rest of a longer one is not searchable.
pub const MAX_WORD_CODE_POINTS: usize = 64;

/// One term; `start..end` are code points of the original text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub text: String,
    pub start: usize,
    pub end: usize,
}

/// A folded character and the original code point it came from.
#[derive(Clone, Copy)]
struct Folded {
    c: char,
    class: Class,
    at: usize,
}

/// The terms of `text`, in order of their start.
///
/// `analyse(a + " " + b)` is `analyse(a)` followed by `analyse(b)` moved by the code points of `a` and one.
pub fn analyse(text: &str) -> Vec<Term> {
    let folded = fold(text);
    let mut terms = Vec::with_capacity(folded.len() * 2);
    let mut i = 0;
    while i < folded.len() {
        let class = folded[i].class;
        let end = run_end(&folded, i);
        match class {
            Class::Character => characters(&folded[i..end], &mut terms),
            Class::Letter | Class::Digit => terms.push(word(&folded[i..end], class)),
            Class::Apostrophe | Class::Break => {}
        }
        i = end;
    }
    terms
}

/// Compatibility forms, case, accents and script variants undone, character by character so that places stay exact.
fn fold(text: &str) -> Vec<Folded> {
    let mut out = Vec::with_capacity(text.len());
    for (at, original) in text.chars().enumerate() {
        script::fold_char(original, |c| out.push(Folded { c, class: script::class(c), at }));
    }
    out
}

/// Where the run that starts at `from` ends; an apostrophe between two letters belongs to the word.
fn run_end(folded: &[Folded], from: usize) -> usize {
    let class = folded[from].class;
    let mut i = from + 1;
    while i < folded.len() {
        let joins = class == Class::Letter
            && folded[i].class == Class::Apostrophe
            && folded.get(i + 1).is_some_and(|next| next.class == Class::Letter);
        if folded[i].class != class && !joins {
            break;
        }
        i += 1;
    }
    i
}

/// Each character, and each pair of neighbours.
fn characters(run: &[Folded], terms: &mut Vec<Term>) {
    for (i, f) in run.iter().enumerate() {
        terms.push(Term { text: f.c.to_string(), start: f.at, end: f.at + 1 });
        if let Some(next) = run.get(i + 1) {
            terms.push(Term { text: String::from_iter([f.c, next.c]), start: f.at, end: next.at + 1 });
        }
    }
}

fn word(run: &[Folded], class: Class) -> Term {
    let mut text: String =
        run.iter().filter(|f| f.class == class).take(MAX_WORD_CODE_POINTS).map(|f| f.c).collect();
    if class == Class::Letter {
        let possessive =
            run.len() >= 3 && run[run.len() - 2].class == Class::Apostrophe && run[run.len() - 1].c == 's';
        if possessive && text.len() > 1 && run.len() <= MAX_WORD_CODE_POINTS {
            text.pop();
        }
        stem::stem(&mut text);
    }
    Term { text, start: run[0].at, end: run[run.len() - 1].at + 1 }
}
