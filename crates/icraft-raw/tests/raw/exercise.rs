//! Everything that can be asked of bytes that claim to be a raw file. Part of a test and of a fuzz target.

use icraft_raw::{RawElement, RawFile, TensorScales, decode, raw_bytes};

/// Reads a file in every way; panics when two ways disagree.
pub(crate) fn exercise(bytes: &[u8]) {
    let Ok(file) = RawFile::from_bytes(bytes) else { return };
    assert_eq!(file.as_bytes(), bytes);
    let sizes =
        file.entries().iter().map(|entry| (entry.id, file.bytes(entry.id).map_or(0, <[u8]>::len) as u64));
    let explained = file.check_sizes(sizes);
    for entry in file.entries() {
        views(&file, entry.id);
    }
    assert!(file.rewritten(&[]).is_ok_and(|copy| copy.as_bytes() == bytes));
    // Written anew, a file in which every payload is stored once and in order is the same.
    let tensors: Vec<(u32, &[u8])> =
        file.entries().iter().filter_map(|entry| Some((entry.id, file.bytes(entry.id).ok()?))).collect();
    let in_order = file.entries().windows(2).all(|pair| pair[0].address < pair[1].address);
    if explained.is_ok() && in_order {
        assert!(raw_bytes(file.generation(), &tensors).is_ok_and(|written| written == bytes));
    }
}

fn views(file: &RawFile, id: u32) {
    let bytes = file.bytes(id).map(<[u8]>::to_vec);
    let length = bytes.as_ref().map_or(0, Vec::len);
    view::<i8>(file, id, length);
    view::<i16>(file, id, length);
    view::<i32>(file, id, length);
    view::<f32>(file, id, length);
    let reals = bytes.map(|bytes| decode::<i8>(&bytes, TensorScales::PerTensor(1.0)));
    assert!(reals.is_ok_and(|reals| reals.is_ok_and(|reals| reals.len() == length)));
}

fn view<T: RawElement>(file: &RawFile, id: u32, length: usize) {
    let size = T::TYPE.bytes();
    let whole = file.view::<T>(id).map(|elements| elements.len()).ok();
    assert_eq!(whole, length.is_multiple_of(size).then_some(length / size));
    let counted = file.view_sized::<T>(id, (length / size) as u64).map(|elements| elements.len());
    assert!(counted.is_ok_and(|counted| counted == length / size));
}
