//! What a character is for the index, and how it is folded.
use crate::text::fold;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A character of a script written without spaces: indexed alone and with its neighbour.
    Character,
    Letter,
    Digit,
    Apostrophe,
    Break,
}

pub(super) fn class(c: char) -> Class {
    match c {
        'a'..='z' => Class::Letter,
        '0'..='9' => Class::Digit,
        '\'' | '\u{2019}' => Class::Apostrophe,
        _ if c.is_ascii() => Class::Break,
        _ if unspaced(c) => Class::Character,
        _ if c.is_alphabetic() => Class::Letter,
        _ if c.is_numeric() => Class::Digit,
        _ => Class::Break,
    }
}

/// Han, Kana, Bopomofo, Hangul, Thai, Lao, Myanmar and Khmer.
fn unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E01}'..='\u{0E4E}' | '\u{0E81}'..='\u{0ECE}' | '\u{0EDC}'..='\u{0EDF}' | '\u{1000}'..='\u{103F}'
        | '\u{1050}'..='\u{109F}' | '\u{1100}'..='\u{11FF}' | '\u{1780}'..='\u{17D3}'
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' | '\u{30A1}'..='\u{30FA}'
        | '\u{30FC}'..='\u{30FF}' | '\u{3105}'..='\u{312F}' | '\u{3131}'..='\u{318E}' | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// Gives the folded characters of `c` to `push`: compatibility forms, case, accents and traditional characters undone.
/// None for an accent, a kana voicing mark or a character that shows nothing.
pub(super) fn fold_char(c: char, mut push: impl FnMut(char)) {
    if c.is_ascii() {
        push(c.to_ascii_lowercase());
    } else if ('\u{AC00}'..='\u{D7A3}').contains(&c) {
        push(c); // a Hangul syllable is one character of the index, not its letters
    } else {
        fold(c).filter_map(char::from_u32).filter(|c| !dropped(*c)).for_each(push);
    }
}

/// Marks that a folded base may still carry, and voicing marks of kana.
fn dropped(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{3099}' | '\u{309A}')
}
