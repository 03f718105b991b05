//! TensorRT's calibration cache.
//!
//! ```text
//! TRT-8501-EntropyCalibration2
//! images: 3c010a14
//! ```
//!
//! The number is the scale's f32 bits in hexadecimal, most significant digit first, without leading zeros. Names may hold colons and
//! blanks, so a line is split at its last `": "`. Tensors that TensorRT saw nothing of have `0`.

use super::{TableError, check_unique, lines};

/// Largest magnitude per unit of scale.
const STEPS: f32 = 127.0;

/// A calibration cache: version, algorithm, and the scale of every tensor in order.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRtCache {
    version: u32,
    algorithm: String,
    entries: Vec<(String, Option<f32>)>,
}

impl TensorRtCache {
    /// A cache without tensors. TensorRT takes a cache only if `version` (see [`Self::version_of`]) and `algorithm`
    /// (`EntropyCalibration2`, `EntropyCalibration`, `MinMaxCalibration`, `LegacyCalibration`) are its own.
    ///
    /// # Errors
    /// [`TableError::Name`] if the algorithm is empty or has a line break.
    pub fn new(version: u32, algorithm: &str) -> Result<Self, TableError> {
        check_name(algorithm)?;
        Ok(Self { version, algorithm: algorithm.to_owned(), entries: Vec::new() })
    }

    /// The number of a version: `major * 1000 + minor * 100 + patch` up to TensorRT 9, `major * 10000 + minor * 100 + patch` from 10 on.
    #[must_use]
    pub fn version_of(major: u16, minor: u8, patch: u8) -> u32 {
        let per_major = if major < 10 { 1000 } else { 10_000 };
        u32::from(major) * per_major + u32::from(minor) * 100 + u32::from(patch)
    }

    /// Reads a cache. Blank lines, `\r` and capital digits are accepted.
    ///
    /// # Errors
    /// [`TableError::Header`], [`TableError::Separator`]; [`TableError::Number`] if a scale is not 1 to 8 hexadecimal digits, or
    /// negative, infinite or NaN; [`TableError::Duplicate`].
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let first = text.lines().next().unwrap_or_default();
        let (version, algorithm) =
            header(first).ok_or_else(|| TableError::Header { found: first.to_owned() })?;
        let mut entries = Vec::new();
        let mut numbers = Vec::new();
        for (line, text) in lines(text).skip(1) {
            let (name, hex) = text
                .rsplit_once(": ")
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| TableError::Separator { line, found: text.to_owned(), separator: ": " })?;
            let scale = scale_of(hex.trim()).ok_or_else(|| TableError::Number {
                line,
                found: hex.to_owned(),
                expected: "the hexadecimal bits of a finite scale",
            })?;
            entries.push((name.to_owned(), scale));
            numbers.push(line);
        }
        check_unique(numbers.into_iter().zip(entries.iter().map(|(name, _)| name.as_str())))?;
        Ok(Self { version, algorithm: algorithm.to_owned(), entries })
    }

    /// The version's number, as in the first line.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The algorithm, as in the first line.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Names and scales in order; no scale where the file has 0.
    #[must_use]
    pub fn entries(&self) -> &[(String, Option<f32>)] {
        &self.entries
    }

    /// The largest magnitude that a scale stands for, `127 scale`.
    #[must_use]
    pub fn amax_of(scale: f32) -> f32 {
        scale * STEPS
    }

    /// Sets a tensor's scale to `amax / 127`, at the end if it is new.
    ///
    /// # Errors
    /// [`TableError::Value`] unless the scale is positive and finite: TensorRT fails to build an engine with others.
    /// [`TableError::Name`] if the name is empty or has a line break.
    pub fn set(&mut self, name: &str, amax: f32) -> Result<(), TableError> {
        let scale = amax / STEPS;
        if !(scale.is_finite() && scale > 0.0) {
            let expected = "positive and finite, also as a scale";
            return Err(TableError::Value { name: name.to_owned(), value: f64::from(amax), expected });
        }
        check_name(name)?;
        match self.entries.iter_mut().find(|(n, _)| n == name) {
            Some(entry) => entry.1 = Some(scale),
            None => self.entries.push((name.to_owned(), Some(scale))),
        }
        Ok(())
    }

    /// Gives all tensors without a scale that of `amax`, for TensorRT versions that fail on 0.
    ///
    /// # Errors
    /// [`TableError::Value`] as in [`Self::set`].
    pub fn fill(&mut self, amax: f32) -> Result<(), TableError> {
        let empty: Vec<String> =
            self.entries.iter().filter(|(_, scale)| scale.is_none()).map(|(name, _)| name.clone()).collect();
        empty.iter().try_for_each(|name| self.set(name, amax))
    }

    /// The cache as TensorRT writes it. Zeros are those of the file it was read from, if [`Self::fill`] has left any.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("TRT-{}-{}\n", self.version, self.algorithm);
        for (name, scale) in &self.entries {
            text.push_str(&format!("{name}: {:x}\n", scale.map_or(0, f32::to_bits)));
        }
        text
    }
}

/// Version and algorithm of a first line.
fn header(line: &str) -> Option<(u32, &str)> {
    let (version, algorithm) = line.strip_prefix("TRT-")?.split_once('-')?;
    let algorithm = algorithm.trim_end();
    let digits = version.bytes().all(|b| b.is_ascii_digit());
    (digits && check_name(algorithm).is_ok()).then_some(())?;
    // A leading zero would be lost in writing.
    let number: u32 = version.parse().ok().filter(|number: &u32| number.to_string() == version)?;
    Some((number, algorithm))
}

/// The scale of hexadecimal bits; `Some(None)` for zero.
fn scale_of(hex: &str) -> Option<Option<f32>> {
    if !(1..=8).contains(&hex.len()) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let scale = f32::from_bits(u32::from_str_radix(hex, 16).ok()?);
    match scale {
        0.0 => Some(None),
        _ if scale.is_finite() && scale > 0.0 => Some(Some(scale)),
        _ => None,
    }
}

fn check_name(name: &str) -> Result<(), TableError> {
    let reason = if name.trim().is_empty() {
        "it is empty"
    } else if name.contains(['\n', '\r']) {
        "it has a line break"
    } else {
        return Ok(());
    };
    Err(TableError::Name { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_with_colons_and_blanks_are_split_at_the_last_colon() {
        let text = "TRT-7201-EntropyCalibration2\nonnx::Conv_329: 3c010a14\n(Unnamed Layer* 42) [Constant]_output: 0\n";
        let cache = TensorRtCache::parse(text).unwrap();
        assert_eq!((cache.version(), cache.algorithm()), (7201, "EntropyCalibration2"));
        let names: Vec<&str> = cache.entries().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["onnx::Conv_329", "(Unnamed Layer* 42) [Constant]_output"]);
        assert_eq!(cache.entries()[1].1, None);
        assert_eq!(cache.to_text(), text);
    }

    #[test]
    fn zeros_can_be_filled_but_not_set() {
        let mut cache =
            TensorRtCache::parse("TRT-8501-MinMaxCalibration\r\na: 0\r\n\r\nb: 3C010A14\r\n").unwrap();
        for amax in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
            assert!(matches!(cache.set("a", amax), Err(TableError::Value { .. })), "{amax}");
        }
        cache.fill(127.0).unwrap();
        assert_eq!(cache.to_text(), "TRT-8501-MinMaxCalibration\na: 3f800000\nb: 3c010a14\n");
    }

    #[test]
    fn errors_say_the_line() {
        let head = "TRT-8501-EntropyCalibration2\n";
        let rows = [
            ("", "line 1 is"),
            ("TRT-8.5-EntropyCalibration2", "line 1 is"),
            ("TRT-08501-EntropyCalibration2", "line 1 is"),
            ("TRT-8501-", "line 1 is"),
            (&format!("{head}\nname"), "line 3 is"),
            (&format!("{head}name:3c010a14"), "line 2 is"),
            (&format!("{head}: 3c010a14"), "line 2 is"),
            (&format!("{head}name: 3c010a140"), "line 2: "),
            (&format!("{head}name: +c010a14"), "line 2: "),
            (&format!("{head}name: 7fc00000"), "line 2: "),
            (&format!("{head}name: bc010a14"), "line 2: "),
            (&format!("{head}a: 1\nb: 2\na: 3"), "line 4: a occurs"),
        ];
        for (text, want) in rows {
            let error = TensorRtCache::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text:?}: {error}");
        }
        assert!(TensorRtCache::new(8501, "a\nb").is_err());
        assert!(TensorRtCache::new(8501, "a").unwrap().set("a\rb", 1.0).is_err());
    }

    #[test]
    fn versions_have_two_forms() {
        assert_eq!(TensorRtCache::version_of(7, 1, 3), 7103);
        assert_eq!(TensorRtCache::version_of(8, 5, 1), 8501);
        assert_eq!(TensorRtCache::version_of(10, 3, 0), 100_300);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(rows in prop::collection::vec(("[ -~é]{1,12}", 1e-30f32..1e38), 0..20)) {
            let mut cache = TensorRtCache::new(8501, "EntropyCalibration2").unwrap();
            for (name, amax) in &rows {
                if !name.trim().is_empty() {
                    cache.set(name, *amax).unwrap();
                }
            }
            prop_assert_eq!(TensorRtCache::parse(&cache.to_text()).unwrap(), cache);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(TRT-8501-E\n)?([a: 0\r\n]|.){0,60}") {
            if let Ok(cache) = TensorRtCache::parse(&text) {
                prop_assert_eq!(TensorRtCache::parse(&cache.to_text()).unwrap(), cache);
            }
        }
    }
}
