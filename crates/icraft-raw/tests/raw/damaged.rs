//! Damaged files, each with the one thing that is wrong with it.

use icraft_raw::{Generation, RawError, RawFile};

use crate::files::{good, legacy, xir};

/// What a damaged file has to be refused with.
type Expected = fn(&RawError) -> bool;

/// A good file with some bytes replaced.
fn edited(generation: Generation, at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = good(generation);
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

fn cut(generation: Generation, length: usize) -> Vec<u8> {
    good(generation)[..length].to_vec()
}

/// A good legacy file has its table in bytes 4 to 28 and 36 bytes, a later one in 16 to 52 and 60.
fn corpus() -> Vec<(&'static str, Vec<u8>, Expected)> {
    use Generation::{Legacy, Xir};
    use RawError as E;
    vec![
        ("no byte", vec![], |e| matches!(e, E::TooShort { length: 0, needed: 4 })),
        ("half a count", vec![1, 0], |e| matches!(e, E::TooShort { length: 2, needed: 4 })),
        ("half a magic", cut(Xir, 7), |e| matches!(e, E::TooShort { length: 7, needed: 16 })),
        ("no count", cut(Xir, 15), |e| matches!(e, E::TooShort { length: 15, needed: 16 })),
        ("magic as text", edited(Xir, 10, b"\n"), |e| {
            matches!(e, E::Magic { offset: 10, found: b'\n', expected: b'W' })
        }),
        ("magic in small letters", edited(Xir, 4, b"aft"), |e| {
            matches!(e, E::Magic { offset: 4, found: b'a', expected: b'A' })
        }),
        ("magic lost", edited(Xir, 0, b"\0"), |e| {
            matches!(e, E::TableBeyondEnd { generation: Legacy, count: 0x5243_4900, length: 60, .. })
        }),
        ("legacy table cut", cut(Legacy, 27), |e| {
            matches!(e, E::TableBeyondEnd { generation: Legacy, count: 3, needed: 28, length: 27 })
        }),
        ("later table cut", cut(Xir, 51), |e| {
            matches!(e, E::TableBeyondEnd { generation: Xir, count: 3, needed: 52, length: 51 })
        }),
        ("huge legacy count", edited(Legacy, 0, &[0xFF; 4]), |e| {
            matches!(e, E::TableBeyondEnd { count: u32::MAX, needed: 0x7_FFFF_FFFC, .. })
        }),
        ("huge later count", edited(Xir, 12, &[0xFF; 4]), |e| {
            matches!(e, E::TableBeyondEnd { count: u32::MAX, needed: 0xC_0000_0004, .. })
        }),
        ("big-endian count", edited(Legacy, 0, &[0, 0, 0, 3]), |e| {
            matches!(e, E::TableBeyondEnd { count: 0x0300_0000, .. })
        }),
        ("a count too few", edited(Legacy, 0, &[2]), |e| {
            matches!(e, E::FirstAddress { id: 7, address: 28, expected: 20 })
        }),
        ("later count too few", edited(Xir, 12, &[0]), |e| matches!(e, E::NoTensors { unclaimed: 44 })),
        ("zeros", vec![0; 12], |e| matches!(e, E::NoTensors { unclaimed: 8 })),
        ("first address relative", edited(Legacy, 8, &[0]), |e| {
            matches!(e, E::FirstAddress { id: 7, address: 0, expected: 28 })
        }),
        ("legacy payloads swapped", edited(Legacy, 24, &[30]), |e| {
            matches!(e, E::AddressDescends { row: 2, id: 9, address: 30, previous: 33 })
        }),
        ("legacy payload cut", cut(Legacy, 32), |e| {
            matches!(e, E::AddressBeyondEnd { row: 1, id: 2, address: 33, length: 32 })
        }),
        ("negative legacy address", edited(Legacy, 24, &[0, 0, 0, 0x80]), |e| {
            matches!(e, E::AddressBeyondEnd { row: 2, id: 9, address: 0x8000_0000, length: 36 })
        }),
        ("address in the table", edited(Xir, 20, &[51]), |e| {
            matches!(e, E::AddressInTable { row: 0, id: 7, address: 51, payload_start: 52 })
        }),
        ("address in the magic", edited(Xir, 44, &[3]), |e| {
            matches!(e, E::AddressInTable { row: 2, id: 9, address: 3, payload_start: 52 })
        }),
        ("address behind the end", edited(Xir, 44, &[61]), |e| {
            matches!(e, E::AddressBeyondEnd { row: 2, id: 9, address: 61, length: 60 })
        }),
        ("upper word of an address", edited(Xir, 48, &[1]), |e| {
            matches!(e, E::AddressBeyondEnd { row: 2, id: 9, address: 0x1_0000_0039, length: 60 })
        }),
        ("greatest address", edited(Xir, 44, &[0xFF; 8]), |e| {
            matches!(e, E::AddressBeyondEnd { row: 2, address: u64::MAX, .. })
        }),
        ("legacy id twice", legacy(&[(5, 28), (6, 28), (5, 29)], &[0; 2]), |e| {
            matches!(e, E::DuplicateId { id: 5, first: 0, second: 2 })
        }),
        ("later id twice", xir(&[(8, 52), (5, 52), (5, 52)], &[]), |e| {
            matches!(e, E::DuplicateId { id: 5, first: 1, second: 2 })
        }),
    ]
}

#[test]
fn every_kind_of_damage_is_named() {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in corpus() {
        match RawFile::from_bytes(bytes) {
            Err(error) if expected(&error) => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_corpus_is_made_of_good_files() {
    for (generation, length) in [(Generation::Legacy, 36), (Generation::Xir, 60)] {
        assert_eq!(RawFile::from_bytes(good(generation)).unwrap().as_bytes().len(), length);
    }
}

#[test]
fn damage_is_found_in_mapped_files_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.raw");
    let mut wrong = Vec::new();
    for (name, bytes, expected) in corpus() {
        std::fs::write(&path, bytes).unwrap();
        match RawFile::open(&path) {
            Err(error) if expected(&error) => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
