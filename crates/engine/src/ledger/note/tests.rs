use super::*;

fn signer() -> Signer {
    Signer::new("example.com/log", &[7; 32]).unwrap()
}

#[test]
fn a_note_opens_with_its_key_and_with_no_other() {
    let note = signer().sign("example.com/log\n1\nAA==\n");

    assert_eq!(signer().verifier().open(note.as_bytes()), Ok("example.com/log\n1\nAA==\n"));
    let other = Signer::new("example.com/log", &[8; 32]).unwrap().verifier();
    assert_eq!(other.open(note.as_bytes()), Err(NoteError::Unsigned));
    let renamed = Signer::new("example.com/other", &[7; 32]).unwrap().verifier();
    assert_eq!(renamed.open(note.as_bytes()), Err(NoteError::Unsigned));
}

#[test]
fn every_single_byte_change_is_refused() {
    let note = signer().sign("example.com/log\n1\nAA==\n").into_bytes();
    let verifier = signer().verifier();
    for at in 0..note.len() {
        for change in [1_u8, 0x20, 0x80] {
            let mut changed = note.clone();
            changed[at] ^= change;
            assert!(verifier.open(&changed).is_err(), "byte {at}");
        }
        assert!(verifier.open(&note[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn unknown_signatures_are_ignored() {
    let note = signer().sign("text\n");
    let more = format!("{note}\u{2014} witness.example AAAAAAAA\n");

    assert_eq!(signer().verifier().open(more.as_bytes()), Ok("text\n"));
}

#[test]
fn the_verifier_key_round_trips_and_checks_its_id() {
    let verifier = signer().verifier();
    let text = verifier.to_string();

    assert_eq!(Verifier::parse(&text), Ok(verifier));
    let id = text.split('+').nth(1).unwrap();
    let other = if id == "00000000" { "00000001" } else { "00000000" };
    assert!(Verifier::parse(&text.replacen(id, other, 1)).is_err());
    assert!(Verifier::parse("name").is_err());
    assert!(Signer::new("with space", &[1; 32]).is_err());
}

#[test]
fn the_debug_form_does_not_show_the_key() {
    assert!(!format!("{:?}", signer()).contains('7'));
}
