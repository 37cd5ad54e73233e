use super::*;
use crate::ledger::merkle::{leaf_hash, root_of};

#[test]
fn paths_are_those_of_the_specification() {
    assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile_path(3, 5, 17), "tile/3/005.p/17");
    assert_eq!(bundle_path(1000, 256), "tile/entries/x001/000");
    assert_eq!(bundle_path(0, 1), "tile/entries/000.p/1");
}

#[test]
fn a_tree_of_70000_has_the_tiles_the_specification_counts() {
    let mut edge = Edge::default();
    let mut full = Vec::new();
    let mut leaves = Vec::new();
    for i in 0..70_000_u32 {
        leaves.push(leaf_hash(&i.to_be_bytes()));
        full.extend(edge.push(leaves[i as usize]));
    }

    let count = |level| full.iter().filter(|t| t.level == level).count();
    assert_eq!((count(0), count(1), count(2)), (273, 1, 0));
    let widths: Vec<usize> = edge.rows().iter().map(Vec::len).collect();
    assert_eq!(widths, [112, 17, 1]);
    assert_eq!(edge.root(), root_of(&leaves));
    assert_eq!(
        full.iter().filter(|t| t.level == 0).map(|t| t.n).collect::<Vec<_>>(),
        (0..273).collect::<Vec<_>>()
    );
    assert_eq!(Edge::from_rows(70_000, edge.rows().to_vec()), Some(edge.clone()));
    assert_eq!(Edge::from_rows(70_001, edge.rows().to_vec()), None);
}

#[test]
fn bundles_round_trip_and_refuse_what_is_cut() {
    let mut bytes = Vec::new();
    for entry in [&b"one"[..], b"", b"three"] {
        write_bundle_entry(&mut bytes, entry);
    }

    assert_eq!(parse_bundle(&bytes), Some(vec![&b"one"[..], b"", b"three"]));
    assert_eq!(parse_bundle(&bytes[..bytes.len() - 1]), None);
    assert_eq!(parse_bundle(b""), None);
}

#[test]
fn nodes_inside_a_tile() {
    let hashes: Vec<Hash> = (0..5_u8).map(|i| leaf_hash(&[i])).collect();

    assert_eq!(node_in_tile(&hashes, 2, 0), Some(root_of(&hashes[..4])));
    assert_eq!(node_in_tile(&hashes, 0, 4), Some(hashes[4]));
    assert_eq!(node_in_tile(&hashes, 1, 2), None);
}
