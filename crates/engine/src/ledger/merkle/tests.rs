use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// RFC 6962's own recursive definition, kept apart from the code under test.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => empty_root(),
        1 => leaves[0],
        n => {
            let k = (1..n).rev().find(|k| k.is_power_of_two()).unwrap();
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = Infallible;
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
        let width = 1_usize << height;
        let start = index as usize * width;
        Ok(mth(&self.0[start..start + width]))
    }
}

fn leaves(n: u64) -> Leaves {
    Leaves((0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect())
}

#[test]
fn the_known_roots_of_certificate_transparency() {
    // The test vectors of RFC 6962 implementations: eight fixed leaves.
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let hashes: Vec<Hash> = inputs.iter().map(|i| leaf_hash(i)).collect();
    let known = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
    let known: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&known[2 * i..2 * i + 2], 16).unwrap()).collect();

    assert_eq!(root_of(&hashes).to_vec(), known);
}

#[test]
fn all_proofs_of_small_trees_hold_and_only_they() {
    let mut tree = leaves(40);
    for size in 1..=40_u64 {
        let root = mth(&tree.0[..size as usize]);
        assert_eq!(super::root(&mut tree, size).unwrap(), root);
        for index in 0..size {
            let leaf = tree.0[index as usize];
            let proof = inclusion_proof(&mut tree, index, size).unwrap().unwrap();
            assert!(verify_inclusion(&leaf, index, size, &root, &proof));
            assert!(!verify_inclusion(&leaf, (index + 1) % size, size, &root, &proof) || size == 1);
            assert!(!verify_inclusion(&leaf, index, size, &empty_root(), &proof));
        }
        for old in 0..=size {
            let old_root = mth(&tree.0[..old as usize]);
            let proof = consistency_proof(&mut tree, old, size).unwrap().unwrap();
            assert!(verify_consistency(old, &old_root, size, &root, &proof), "{old} {size}");
        }
    }
}

proptest! {
    #[test]
    fn a_changed_proof_fails(size in 2..300_u64, seed in any::<u64>(), bit in 0..256_usize) {
        let mut tree = leaves(size);
        let (index, old) = (seed % size, 1 + seed % (size - 1));
        let root = mth(&tree.0);
        let mut proof = inclusion_proof(&mut tree, index, size).unwrap().unwrap();
        let at = seed as usize % proof.len();
        proof[at][bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_inclusion(&tree.0[index as usize], index, size, &root, &proof));

        let old_root = mth(&tree.0[..old as usize]);
        let mut proof = consistency_proof(&mut tree, old, size).unwrap().unwrap();
        let at = seed as usize % proof.len();
        proof[at][bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_consistency(old, &old_root, size, &root, &proof));
    }

    #[test]
    fn the_frontier_agrees_with_the_definition(size in 0..600_u64) {
        let tree = leaves(size);
        prop_assert_eq!(root_of(&tree.0), mth(&tree.0));
    }
}
