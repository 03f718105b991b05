//! Good files: reading them by id, by size and by type.

use std::borrow::Cow;

use icraft_raw::{Generation, RawEntry, RawError, RawFile, RawType, md5_hex, payload, raw_bytes};

/// Three tensors out of order of their ids, the middle one empty.
pub(crate) const TENSORS: [(u32, &[u8]); 3] = [(7, &[1, 2, 3, 4, 5]), (2, &[]), (9, &[6, 7, 8])];

pub(crate) fn good(generation: Generation) -> Vec<u8> {
    raw_bytes(generation, &TENSORS).unwrap()
}

/// A file of the later generation from its table and what follows it.
pub(crate) fn xir(table: &[(u32, u64)], payloads: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xA5ICRAFT_RAW\xA5".to_vec();
    bytes.extend((table.len() as u32).to_le_bytes());
    for (id, address) in table {
        bytes.extend(id.to_le_bytes());
        bytes.extend(address.to_le_bytes());
    }
    bytes.extend(payloads);
    bytes
}

/// The same of the earlier one.
pub(crate) fn legacy(table: &[(u32, u32)], payloads: &[u8]) -> Vec<u8> {
    let mut bytes = (table.len() as u32).to_le_bytes().to_vec();
    for (id, address) in table {
        bytes.extend(id.to_le_bytes());
        bytes.extend(address.to_le_bytes());
    }
    bytes.extend(payloads);
    bytes
}

#[test]
fn a_dumped_file_reads_as_its_manual_says() {
    // Magic, one tensor, v_id 1 at byte 28, then the numbers 1 and 2.
    let dump = b"\xA5ICRAFT_RAW\xA5\x01\0\0\0\x01\0\0\0\x1C\0\0\0\0\0\0\0\0\0\x80\x3F\0\0\0\x40";
    let file = RawFile::from_bytes(*dump).unwrap();
    assert_eq!(file.generation(), Generation::Xir);
    assert_eq!(file.entries(), [RawEntry { id: 1, address: 28 }]);
    assert_eq!(*file.view::<f32>(1).unwrap(), [1.0, 2.0]);
    assert_eq!(raw_bytes(Generation::Xir, &[(1, &payload(&[1.0f32, 2.0]))]).unwrap(), dump);
}

#[test]
fn the_legacy_layout_is_count_table_payloads() {
    let bytes = [2, 0, 0, 0, 9, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 22, 0, 0, 0, 10, 11, 12];
    let file = RawFile::from_bytes(bytes).unwrap();
    assert_eq!(file.generation(), Generation::Legacy);
    assert_eq!(file.entries(), [RawEntry { id: 9, address: 20 }, RawEntry { id: 3, address: 22 }]);
    assert_eq!((file.bytes(9).unwrap(), file.bytes(3).unwrap()), (&[10, 11][..], &[12][..]));
}

#[test]
fn both_generations_give_back_their_tensors_in_order() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let file = RawFile::from_bytes(good(generation)).unwrap();
        let ids: Vec<u32> = file.entries().iter().map(|entry| entry.id).collect();
        assert_eq!((file.generation(), ids), (generation, vec![7, 2, 9]));
        for (id, bytes) in TENSORS {
            assert_eq!(file.sized(id, bytes.len() as u64).unwrap(), bytes, "{generation}, id {id}");
        }
        assert_eq!(file.bytes(7).unwrap(), TENSORS[0].1);
        assert_eq!(file.bytes(9).unwrap(), TENSORS[2].1);
        assert_eq!(file.md5(), md5_hex(file.as_bytes()));
    }
}

#[test]
fn derived_lengths_of_empty_tensors_are_exact_in_legacy_files_and_bounds_in_later_ones() {
    let legacy = RawFile::from_bytes(good(Generation::Legacy)).unwrap();
    assert!(legacy.bytes(2).unwrap().is_empty());
    let later = RawFile::from_bytes(good(Generation::Xir)).unwrap();
    assert_eq!(later.bytes(2).unwrap(), TENSORS[2].1);
    let at_the_end = RawFile::from_bytes(xir(&[(1, 40), (2, 42)], &[5, 6])).unwrap();
    assert_eq!((at_the_end.bytes(1).unwrap(), at_the_end.bytes(2).unwrap()), (&[5, 6][..], &[][..]));
}

#[test]
fn later_files_may_be_out_of_order_and_share_payloads() {
    let file = RawFile::from_bytes(xir(&[(1, 56), (2, 52), (3, 56)], &[1, 2, 3, 4, 5, 6])).unwrap();
    assert_eq!(file.bytes(1).unwrap(), [5, 6]);
    assert_eq!(file.bytes(2).unwrap(), [1, 2, 3, 4]);
    assert_eq!(file.bytes(3).unwrap(), [5, 6]);
}

#[test]
fn one_tensor_and_none_make_files_too() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let one = RawFile::from_bytes(raw_bytes(generation, &[(5, &[1, 2])]).unwrap()).unwrap();
        assert_eq!(one.bytes(5).unwrap(), [1, 2]);
        let none = RawFile::from_bytes(raw_bytes(generation, &[]).unwrap()).unwrap();
        assert_eq!((none.generation(), none.entries()), (generation, &[][..]));
        assert_eq!(none.as_bytes().len() as u64, generation.payload_start(0));
    }
}

#[test]
fn ids_are_opaque_keys_of_32_bits() {
    let tensors: [(u32, &[u8]); 3] = [(u32::MAX, &[1]), (0, &[2]), (0x8000_0000, &[3])];
    for generation in [Generation::Legacy, Generation::Xir] {
        let file = RawFile::from_bytes(raw_bytes(generation, &tensors).unwrap()).unwrap();
        for (id, bytes) in tensors {
            assert_eq!(file.bytes(id).unwrap(), bytes);
        }
        assert!(matches!(file.bytes(1), Err(RawError::UnknownId { id: 1 })));
        assert!(matches!(file.view::<f32>(1), Err(RawError::UnknownId { id: 1 })));
    }
}

#[test]
fn views_at_odd_addresses_are_copies_with_the_same_values() {
    let expected = [-1.5f32, 0.0, 3.25];
    for filler in 0..8 {
        let filler = vec![0xEE; filler];
        let bytes = raw_bytes(Generation::Legacy, &[(0, &filler), (1, &payload(&expected))]).unwrap();
        let file = RawFile::from_bytes(bytes).unwrap();
        let view = file.view::<f32>(1).unwrap();
        assert_eq!(*view, expected, "{} bytes before", filler.len());
        let aligned = file.bytes(1).unwrap().as_ptr().addr().is_multiple_of(4);
        let borrowed = matches!(view, Cow::Borrowed(_));
        assert_eq!(borrowed, aligned && cfg!(target_endian = "little"), "{} bytes before", filler.len());
    }
}

#[test]
fn a_mapped_file_lends_aligned_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net_parsed.raw");
    let values = [1i32, -2, i32::MAX];
    std::fs::write(&path, raw_bytes(Generation::Legacy, &[(4, &payload(&values))]).unwrap()).unwrap();
    let file = RawFile::open(&path).unwrap();
    let view = file.view_sized::<i32>(4, 2).unwrap();
    assert_eq!(*view, values[..2]);
    assert!(matches!(view, Cow::Borrowed(_)) || cfg!(target_endian = "big"));
}

#[test]
fn views_need_whole_elements_within_the_file() {
    let file = RawFile::from_bytes(good(Generation::Xir)).unwrap();
    let partial = file.view::<i16>(7).unwrap_err();
    assert!(matches!(partial, RawError::PartialElement { id: 7, length: 5, element: RawType::I16 }));
    assert_eq!(*file.view_sized::<i16>(7, 2).unwrap(), [0x0201, 0x0403]);
    let end = file.as_bytes().len() as u64;
    let address = end - 3;
    for length in [4u64, u64::MAX - address, u64::MAX] {
        let RawError::PayloadBeyondEnd { id: 9, address: at, length: asked, end: last } =
            file.sized(9, length).unwrap_err()
        else {
            panic!("{length} bytes");
        };
        assert_eq!((at, asked, last), (address, length, end));
    }
    assert!(matches!(
        file.view_sized::<f32>(9, u64::MAX),
        Err(RawError::PayloadBeyondEnd { length: u64::MAX, .. })
    ));
}

#[test]
fn absent_files_and_folders_are_refused_with_their_path() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent.raw"), folder.path().to_owned()] {
        let error = RawFile::open(&path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(matches!(error, RawError::Open { path: at, .. } if at == path));
    }
}
