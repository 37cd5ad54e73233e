//! Light stemming of English words: plural, -ed, -ing, a final e and doubled ends. It keeps what it is unsure of.

/// Shortest stem left after a suffix is taken off, in bytes.
const MIN_STEM: usize = 3;

/// Stems `word` in place; a word with anything but a-z is left as it is.
pub(super) fn stem(word: &mut String) {
    if word.len() <= MIN_STEM || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return;
    }
    plural(word);
    if word.ends_with("ied") && word.len() > MIN_STEM + 1 {
        replace_end(word, 3, "y");
    } else {
        let _ = take_end(word, "ing") || take_end(word, "ed");
    }
    if word.len() > MIN_STEM && word.ends_with('e') {
        word.pop();
    }
    undouble(word);
}

fn plural(word: &mut String) {
    if word.ends_with("sses") {
        replace_end(word, 2, "");
    } else if word.ends_with("ies") && word.len() > MIN_STEM + 1 {
        replace_end(word, 3, "y");
    } else if ["xes", "ches", "shes"].iter().any(|end| word.ends_with(end)) {
        replace_end(word, 2, "");
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.pop();
    }
}

/// Takes `suffix` off when a stem with a vowel of its own remains.
fn take_end(word: &mut String, suffix: &str) -> bool {
    let Some(stem) = word.strip_suffix(suffix) else { return false };
    let kept = stem.len();
    if kept < MIN_STEM || !stem.bytes().any(|b| b"aeiouy".contains(&b)) {
        return false;
    }
    word.truncate(kept);
    true
}

fn replace_end(word: &mut String, bytes: usize, with: &str) {
    word.truncate(word.len() - bytes);
    word.push_str(with);
}

/// `shipp` and `ship`, `cancell` and `cancel` are one.
fn undouble(word: &mut String) {
    let b = word.as_bytes();
    if b.len() > MIN_STEM && b[b.len() - 1] == b[b.len() - 2] {
        word.pop();
    }
}
