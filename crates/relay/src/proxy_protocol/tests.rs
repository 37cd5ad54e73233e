use super::{SIGNATURE, parse};
use crate::address::Origin;
use proptest::prelude::*;

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("small").to_be_bytes();
    [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(command in 0x20_u8..0x23, family in prop::sample::select(vec![0_u8, 0x11, 0x12, 0x21, 0x31, 0x41]),
                              rest in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..320) {
        let whole = header(command, family, &rest);
        let cut = cut.min(whole.len());
        // What is cut is never taken, whatever stands in it.
        if cut < whole.len() {
            prop_assert_eq!(parse(&whole[..cut]), None);
        }
        let _ = parse(&whole);
    }

    /// An address is taken only where it stands, and only from a header that is whole.
    #[test]
    fn an_address_is_what_the_header_says(client in any::<[u8; 4]>(), more in prop::collection::vec(any::<u8>(), 0..40)) {
        let rest = [&client[..], &[0; 8], &more].concat();
        let ip = std::net::IpAddr::from(client);
        match parse(&header(0x21, 0x11, &rest)) {
            Some(Origin::Peer(found)) => prop_assert_eq!(found, ip),
            Some(Origin::Unclear) => prop_assert!(ip.is_unspecified() || ip.is_multicast()),
            None => prop_assert!(!more.is_empty(), "only TLVs can be wrong"),
        }
    }
}

#[test]
fn one_changed_bit_breaks_a_header_with_a_checksum() {
    let mut whole = header(0x21, 0x11, &[&[203, 0, 113, 9][..], &[0; 8], &[0x03, 0, 4, 0, 0, 0, 0]].concat());
    let at = whole.len() - 4;
    let sum = crc32c::crc32c(&whole);
    whole[at..].copy_from_slice(&sum.to_be_bytes());
    assert!(parse(&whole).is_some(), "the negative control");
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // The proxy's own header and one without a family are taken without a look at what follows.
        let blind = changed[12] == 0x20 || changed[13] == 0;
        let summed = changed[28] == 0x03;
        assert!(parse(&changed).is_none() || blind || !summed, "bit {bit}");
    }
}
