//! Sizes known from elsewhere against the addresses of a file.

use icraft_raw::{Generation, RawError, RawFile};

use crate::files::{TENSORS, good, xir};

fn check(bytes: Vec<u8>, sizes: &[(u32, u64)]) -> Result<(), RawError> {
    RawFile::from_bytes(bytes).unwrap().check_sizes(sizes.iter().copied())
}

#[test]
fn true_sizes_explain_every_byte() {
    let sizes = TENSORS.map(|(id, bytes)| (id, bytes.len() as u64));
    for generation in [Generation::Legacy, Generation::Xir] {
        let bytes = good(generation);
        let total: u64 = sizes.iter().map(|(_, size)| size).sum();
        assert_eq!(generation.payload_start(3) + total, bytes.len() as u64);
        check(bytes.clone(), &sizes).unwrap();
        check(bytes, &[sizes[1], sizes[0], sizes[2], sizes[0]]).unwrap();
    }
}

#[test]
fn payloads_stored_once_count_once() {
    let shared = xir(&[(1, 52), (2, 52), (3, 54)], &[1, 2, 3]);
    check(shared.clone(), &[(1, 2), (2, 2), (3, 1)]).unwrap();
    check(shared.clone(), &[(1, 0), (2, 2), (3, 1)]).unwrap();
    let overlap = check(shared, &[(1, 1), (2, 2), (3, 1)]).unwrap_err();
    assert!(
        matches!(overlap, RawError::Overlap { id: 2, address: 52, other: 1, other_end: 53 }),
        "{overlap}"
    );
}

#[test]
fn wrong_sizes_are_named() {
    type Row = (&'static str, Generation, &'static [(u32, u64)], fn(&RawError) -> bool);
    use Generation::{Legacy, Xir};
    use RawError as E;
    let rows: [Row; 9] = [
        ("an id too many", Xir, &[(7, 5), (2, 0), (9, 3), (4, 0)], |e| matches!(e, E::UnknownId { id: 4 })),
        ("an id too few", Xir, &[(7, 5), (9, 3)], |e| matches!(e, E::NoSize { id: 2 })),
        ("two sizes", Legacy, &[(7, 5), (2, 0), (9, 3), (7, 4)], |e| {
            matches!(e, E::SizesDiffer { id: 7, first: 5, second: 4 })
        }),
        ("too long", Legacy, &[(7, 6), (2, 0), (9, 3)], |e| {
            matches!(e, E::Overlap { id: 9, address: 33, other: 7, other_end: 34 })
        }),
        ("too short", Xir, &[(7, 4), (2, 0), (9, 3)], |e| matches!(e, E::Gap { from: 56, to: 57 })),
        ("nothing at the front", Xir, &[(7, 0), (2, 0), (9, 3)], |e| {
            matches!(e, E::Gap { from: 52, to: 57 })
        }),
        ("short at the end", Xir, &[(7, 5), (2, 0), (9, 2)], |e| matches!(e, E::Gap { from: 59, to: 60 })),
        ("long at the end", Legacy, &[(7, 5), (2, 0), (9, 4)], |e| {
            matches!(e, E::PayloadBeyondEnd { id: 9, address: 33, length: 4, end: 36 })
        }),
        ("two payloads for one in a legacy file", Legacy, &[(7, 5), (2, 3), (9, 3)], |e| {
            matches!(e, E::Overlap { id: 9, address: 33, other: 2, other_end: 36 })
        }),
    ];
    let mut wrong = Vec::new();
    for (name, generation, sizes, expected) in rows {
        match check(good(generation), sizes) {
            Err(error) if expected(&error) => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn huge_sizes_do_not_overflow() {
    let error = check(good(Generation::Xir), &[(7, u64::MAX), (2, 0), (9, 3)]).unwrap_err();
    assert!(matches!(error, RawError::PayloadBeyondEnd { id: 7, length: u64::MAX, .. }), "{error}");
}
