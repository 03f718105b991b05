//! Files written and read again.

use std::path::Path;

use icraft_raw::{Durability, Generation, RawElement, RawError, RawFile, payload, raw_bytes, write_raw};
use proptest::prelude::*;

/// Tensors with ids of their own, some of them empty.
pub(crate) fn tensors() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::btree_map(any::<u32>(), payload, 0..12)
        .prop_map(|map| map.into_iter().collect())
        .prop_shuffle()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

proptest! {
    #[test]
    fn writing_reading_and_writing_again_gives_the_same_bytes(tensors in tensors()) {
        let borrowed: Vec<(u32, &[u8])> = tensors.iter().map(|(id, bytes)| (*id, &bytes[..])).collect();
        for generation in [Generation::Legacy, Generation::Xir] {
            let first = raw_bytes(generation, &borrowed).unwrap();
            let file = RawFile::from_bytes(first.clone()).unwrap();
            prop_assert_eq!(file.generation(), generation);
            file.check_sizes(borrowed.iter().map(|(id, bytes)| (*id, bytes.len() as u64))).unwrap();
            let read: Vec<(u32, &[u8])> = (file.entries().iter().zip(&borrowed))
                .map(|(entry, (_, bytes))| (entry.id, file.sized(entry.id, bytes.len() as u64).unwrap()))
                .collect();
            prop_assert_eq!(&read, &borrowed);
            prop_assert_eq!(raw_bytes(generation, &read).unwrap(), first);
        }
    }

    #[test]
    fn elements_of_every_type_come_back(
        bytes in prop::collection::vec(any::<i8>(), 0..9),
        words in prop::collection::vec(any::<i16>(), 0..9),
        longs in prop::collection::vec(any::<i32>(), 0..9),
        floats in prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..9),
    ) {
        let tensors = [(1, payload(&bytes)), (2, payload(&words)), (3, payload(&longs)), (4, payload(&floats))];
        let tensors: Vec<(u32, &[u8])> = tensors.iter().map(|(id, bytes)| (*id, &bytes[..])).collect();
        for generation in [Generation::Legacy, Generation::Xir] {
            let written = raw_bytes(generation, &tensors).unwrap();
            let file = RawFile::from_bytes(written.clone()).unwrap();
            let again = [
                (1, again::<i8>(&file, 1, bytes.len())),
                (2, again::<i16>(&file, 2, words.len())),
                (3, again::<i32>(&file, 3, longs.len())),
                (4, again::<f32>(&file, 4, floats.len())),
            ];
            let again: Vec<(u32, &[u8])> = again.iter().map(|(id, bytes)| (*id, &bytes[..])).collect();
            prop_assert_eq!(raw_bytes(generation, &again).unwrap(), written);
        }
    }
}

/// The payload of a tensor, by way of its elements.
fn again<T: RawElement>(file: &RawFile, id: u32, elements: usize) -> Vec<u8> {
    let view = file.view_sized::<T>(id, elements as u64).unwrap();
    assert_eq!(view.len(), elements);
    payload(&view).into_owned()
}

#[test]
fn a_written_file_has_the_bytes_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.raw");
    // Smaller and larger than a buffer.
    let large = vec![3; 100_000];
    let tensors: [(u32, &[u8]); 3] = [(1, &[1, 2, 3]), (2, &large), (3, &[4])];
    for (generation, durability) in
        [(Generation::Legacy, Durability::Synced), (Generation::Xir, Durability::Cached)]
    {
        write_raw(&path, generation, &tensors, durability).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), raw_bytes(generation, &tensors).unwrap());
        assert_eq!(names(folder.path()), ["net.raw"]);
    }
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("net.raw");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("inside"), b"kept").unwrap();
    for path in [taken, folder.path().join("absent").join("net.raw")] {
        let error = write_raw(&path, Generation::Xir, &[(1, &[1])], Durability::Cached).unwrap_err();
        assert!(matches!(error, RawError::Write { path: at, .. } if at == path));
        assert_eq!(names(folder.path()), ["net.raw"]);
    }
    assert!(matches!(write_raw("/", Generation::Xir, &[], Durability::Cached), Err(RawError::Write { .. })));
}

#[test]
fn what_no_file_can_hold_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.raw");
    let twice: [(u32, &[u8]); 3] = [(4, &[1]), (3, &[2]), (4, &[3])];
    let error = write_raw(&path, Generation::Xir, &twice, Durability::Cached).unwrap_err();
    assert!(matches!(error, RawError::DuplicateId { id: 4, first: 0, second: 2 }));
    assert!(matches!(raw_bytes(Generation::Legacy, &twice), Err(RawError::DuplicateId { .. })));

    // One block of 64 MiB that is never touched, 32 times over.
    let block = vec![0; 64 << 20];
    let many: Vec<(u32, &[u8])> = (0..32).map(|id| (id, &block[..])).collect();
    let error = write_raw(&path, Generation::Legacy, &many, Durability::Cached).unwrap_err();
    let (length, limit) = ((2 << 30) + 4 + 8 * 32, i32::MAX as u64);
    assert!(
        matches!(error, RawError::TooLarge { generation: Generation::Legacy, length: l, limit: m } if (l, m) == (length, limit))
    );
    assert!(names(folder.path()).is_empty());
}
