//! Arrays in numpy's format: version 1, little endian, C order.

use std::fs;
use std::path::Path;

/// The values of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Array {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Integers(Vec<i64>),
}

impl Array {
    /// Reads a file; panics, with its name, on one that is not as described above.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        parse(&bytes).unwrap_or_else(|what| panic!("{}: {what}", path.display()))
    }

    pub(crate) fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            other => panic!("not f32: {other:?}"),
        }
    }

    pub(crate) fn into_integers(self) -> Vec<i64> {
        match self {
            Self::Integers(values) => values,
            other => panic!("not integers: {other:?}"),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00").ok_or("no numpy header of version 1")?;
    let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
    let header = std::str::from_utf8(&rest[2..2 + length]).map_err(|error| error.to_string())?;
    if !header.contains("'fortran_order': False") {
        return Err(format!("not in C order: {header}"));
    }
    let data = &rest[2 + length..];
    let dtype = header.split('\'').nth(3).unwrap_or_default();
    Ok(match dtype {
        "<f4" => Array::F32(values(data, f32::from_le_bytes)),
        "<f8" => Array::F64(values(data, f64::from_le_bytes)),
        "<i8" => Array::Integers(values(data, i64::from_le_bytes)),
        "<i4" => Array::Integers(values(data, |b| i32::from_le_bytes(b).into())),
        "<i2" => Array::Integers(values(data, |b| i16::from_le_bytes(b).into())),
        "|i1" => Array::Integers(values(data, |b| i8::from_le_bytes(b).into())),
        other => return Err(format!("values of type {other:?}")),
    })
}

fn values<const N: usize, T>(data: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).map(|chunk| value(chunk.try_into().unwrap())).collect()
}
