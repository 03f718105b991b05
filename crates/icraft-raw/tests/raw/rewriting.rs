//! Copies of files with some payloads replaced.

use icraft_raw::{Durability, Generation, RawError, RawFile, md5_hex};
use proptest::prelude::*;

use crate::files::{good, xir};
use crate::writing::tensors;

#[test]
fn only_the_named_payload_changes() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let old = RawFile::from_bytes(good(generation)).unwrap();
        let new = old.rewritten(&[(7, &[50, 51, 52, 53, 54])]).unwrap();
        let mut expected = good(generation);
        let start = generation.payload_start(3) as usize;
        expected[start..start + 5].copy_from_slice(&[50, 51, 52, 53, 54]);
        assert_eq!(new.as_bytes(), expected);
        assert_eq!(new.md5(), md5_hex(&expected));
    }
}

#[test]
fn a_rewritten_file_can_take_the_place_of_the_one_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net_quantized.raw");
    std::fs::write(&path, good(Generation::Xir)).unwrap();
    let old = RawFile::open(&path).unwrap();
    let new = old.rewritten(&[(9, &[0; 3]), (2, &[])]).unwrap();
    new.save(&path, Durability::Synced).unwrap();
    assert_eq!(old.as_bytes(), good(Generation::Xir));
    assert_eq!(RawFile::open(&path).unwrap().as_bytes(), new.as_bytes());
}

#[test]
fn no_change_gives_the_same_file() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let file = RawFile::from_bytes(good(generation)).unwrap();
        assert_eq!(file.rewritten(&[]).unwrap().as_bytes(), file.as_bytes());
    }
    let empty = RawFile::from_bytes(good(Generation::Legacy)).unwrap();
    assert_eq!(empty.rewritten(&[(2, &[])]).unwrap().as_bytes(), empty.as_bytes());
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let file = RawFile::from_bytes(good(Generation::Legacy)).unwrap();
    assert!(matches!(file.rewritten(&[(1, &[])]), Err(RawError::UnknownId { id: 1 })));
    for payload in [&[0; 4][..], &[0; 6], &[]] {
        let error = file.rewritten(&[(7, payload)]).unwrap_err();
        let found = payload.len() as u64;
        assert!(
            matches!(error, RawError::LengthChanged { id: 7, expected: 5, found: f } if f == found),
            "{error}"
        );
    }
    let twice = file.rewritten(&[(9, &[0; 3]), (7, &[0; 5]), (9, &[0; 3])]).unwrap_err();
    assert!(matches!(twice, RawError::ChangedTwice { id: 9 }));
}

#[test]
fn tensors_stored_once_change_together() {
    let file = RawFile::from_bytes(xir(&[(1, 52), (2, 52), (3, 54)], &[1, 2, 3])).unwrap();
    let alone = file.rewritten(&[(1, &[8, 9])]).unwrap_err();
    assert!(matches!(alone, RawError::Shared { id: 1, other: 2 }), "{alone}");
    let differing = file.rewritten(&[(1, &[8, 9]), (2, &[8, 8])]).unwrap_err();
    assert!(matches!(differing, RawError::Shared { id: 2, other: 1 }), "{differing}");
    let expected = xir(&[(1, 52), (2, 52), (3, 54)], &[8, 9, 3]);
    let together: [(u32, &[u8]); 2] = [(1, &[8, 9]), (2, &[8, 9])];
    assert_eq!(file.rewritten(&together).unwrap().as_bytes(), expected);
    for empty in [1, 2] {
        let changes: [(u32, &[u8]); 2] = [(empty, &[]), (3 - empty, &[8, 9])];
        assert_eq!(file.rewritten(&changes).unwrap().as_bytes(), expected, "id {empty} is empty");
    }
    assert!(matches!(
        file.rewritten(&[(1, &[]), (2, &[])]),
        Err(RawError::LengthChanged { expected: 2, found: 0, .. })
    ));
}

proptest! {
    #[test]
    fn one_byte_of_one_tensor_is_one_byte_of_the_file(
        tensors in tensors(),
        pick: prop::sample::Index,
        offset: prop::sample::Index,
        flip in 1u8..,
        generation in prop::sample::select(vec![Generation::Legacy, Generation::Xir]),
    ) {
        let borrowed: Vec<(u32, &[u8])> = tensors.iter().map(|(id, bytes)| (*id, &bytes[..])).collect();
        let filled: Vec<_> = borrowed.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        prop_assume!(!filled.is_empty());
        let (id, payload) = **pick.get(&filled);
        let old = RawFile::from_bytes(icraft_raw::raw_bytes(generation, &borrowed).unwrap()).unwrap();
        let mut new = payload.to_vec();
        let at = offset.index(new.len());
        new[at] ^= flip;
        // Empty tensors may share the address; saying that they are empty is part of the change.
        let mut changes: Vec<(u32, &[u8])> = borrowed.iter().copied().filter(|(_, bytes)| bytes.is_empty()).collect();
        changes.push((id, &new));
        // Of an empty tensor in front of a payload that stays, nothing needs to be said.
        let address = |id: u32| old.entries().iter().find(|entry| entry.id == id).unwrap().address;
        changes.retain(|&(other, _)| address(other) == address(id));
        let rewritten = old.rewritten(&changes).unwrap();
        let differing: Vec<usize> =
            (0..old.as_bytes().len()).filter(|&i| old.as_bytes()[i] != rewritten.as_bytes()[i]).collect();
        prop_assert_eq!(differing, vec![address(id) as usize + at]);
        prop_assert_eq!(rewritten.as_bytes().len(), old.as_bytes().len());
    }
}
