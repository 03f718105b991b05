//! Feature maps as NumPy files.

use quant_core::Values;

/// The bytes of a `.npy` file (format 1.0) of an array of `shape` in C order.
#[must_use]
pub fn npy(shape: &[usize], values: Values<'_>) -> Vec<u8> {
    /// The header is padded so that the data starts at a multiple of this.
    const ALIGNMENT: usize = 64;
    /// Magic, version and header length.
    const PREFIX: usize = 10;
    let kind = match values {
        Values::F32(_) => "<f4",
        Values::I8(_) => "|i1",
        Values::I16(_) => "<i2",
    };
    let shape: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let total = (PREFIX + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.push_str(&" ".repeat(total - PREFIX - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    match values {
        Values::F32(v) => bytes.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Values::I8(v) => bytes.extend(v.iter().flat_map(|x| x.to_le_bytes())),
        Values::I16(v) => bytes.extend(v.iter().flat_map(|x| x.to_le_bytes())),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_aligned_and_data_follows() {
        let bytes = npy(&[2, 1, 2], Values::I16(&[1, -1, 256, 7]));
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        assert_eq!((bytes.len() - 8) % 64, 0);
        assert!(
            String::from_utf8_lossy(&bytes)
                .contains("'descr': '<i2', 'fortran_order': False, 'shape': (2, 1, 2, )")
        );
        assert_eq!(bytes[bytes.len() - 8..], [1, 0, 255, 255, 0, 1, 7, 0]);
    }
}
