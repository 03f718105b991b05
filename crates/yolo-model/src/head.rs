//! The detection head: anchors, strides, and the tensors that a network leaves behind.

use serde::{Deserialize, Serialize};

use crate::image_size::{ImageSize, check_length};
use crate::{Error, Result};

/// Values per anchor before the class scores: x, y, width, height, objectness.
pub(crate) const BOX_VALUES: usize = 5;

/// Description of an anchor-based YOLO head (YOLOv3 to YOLOv7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Number of classes.
    pub class_count: usize,
    /// Width and height of each anchor in pixels of the network's input, level by level.
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// Pixels of the network's input per cell, level by level.
    pub strides: Vec<usize>,
}

/// Output of the last convolution of one level, before sigmoid.
///
/// Layout: `anchors * (5 + classes)` planes of `rows * columns`; plane `a * (5 + classes) + k` holds value `k` of
/// anchor `a`, in the order x, y, width, height, objectness, classes.
#[derive(Clone, Copy, Debug)]
pub struct HeadLevel<'a> {
    /// The logits.
    pub values: HeadValues<'a>,
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub columns: usize,
}

/// Logits as a network computed them: real, or quantised with `real = scale * (q - zero_point)` in f32.
#[derive(Clone, Copy, Debug)]
pub enum HeadValues<'a> {
    /// Real values.
    F32(&'a [f32]),
    /// 16-bit integers.
    I16 {
        /// The integers.
        values: &'a [i16],
        /// Real value of one step.
        scale: f32,
        /// Integer that stands for zero.
        zero_point: i32,
    },
    /// 8-bit integers.
    I8 {
        /// The integers.
        values: &'a [i8],
        /// Real value of one step.
        scale: f32,
        /// Integer that stands for zero.
        zero_point: i32,
    },
}

impl Head {
    /// Values per anchor: x, y, width, height, objectness, and one per class.
    pub fn values_per_anchor(&self) -> usize {
        self.class_count.saturating_add(BOX_VALUES)
    }

    /// Cells of each level for a network input of `input`: `height / stride x width / stride`.
    ///
    /// # Errors
    /// When the head is malformed, or `input` is empty or not a multiple of every stride.
    pub fn level_sizes(&self, input: ImageSize) -> Result<Vec<ImageSize>> {
        self.validate()?;
        let ImageSize { height, width } = input;
        input.value_count("network input", 1)?;
        let level = |&stride: &usize| {
            let whole = height % stride == 0 && width % stride == 0;
            let size = ImageSize { height: height / stride, width: width / stride };
            whole.then_some(size).ok_or(Error::NotMultipleOfStride { height, width, stride })
        };
        self.strides.iter().map(level).collect()
    }

    /// Checks the head itself: at least one class and level, anchors and strides positive and equally many levels.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<()> {
        if self.class_count == 0 {
            return Err(Error::NoClass);
        }
        if self.anchors.is_empty() {
            return Err(Error::NoLevel);
        }
        self.check_level_count("stride list", self.strides.len())?;
        for (level, (anchors, &stride)) in self.anchors.iter().zip(&self.strides).enumerate() {
            if anchors.is_empty() || stride == 0 {
                return Err(Error::EmptyLevel { level, anchors: anchors.len(), stride });
            }
            check_anchors(level, anchors)?;
        }
        Ok(())
    }

    /// Checks the head and that `levels` are tensors of it.
    pub(crate) fn check_levels(&self, levels: &[HeadLevel<'_>]) -> Result<()> {
        self.validate()?;
        self.check_level_count("network output", levels.len())?;
        for (index, (level, anchors)) in levels.iter().zip(&self.anchors).enumerate() {
            let channels = self.values_per_anchor().saturating_mul(anchors.len());
            let size = ImageSize { height: level.rows, width: level.columns };
            check_length("head level", size.value_count("head level", channels)?, level.values.len())?;
            level.values.check_scale(index)?;
        }
        Ok(())
    }

    /// Predictions of `levels`: anchors times cells, over all levels.
    pub(crate) fn prediction_count(&self, levels: &[HeadLevel<'_>]) -> usize {
        levels.iter().map(|level| level.values.len() / self.values_per_anchor()).sum()
    }

    pub(crate) fn check_level_count(&self, name: &'static str, found: usize) -> Result<()> {
        let expected = self.anchors.len();
        if found == expected { Ok(()) } else { Err(Error::LevelCount { name, expected, found }) }
    }
}

fn check_anchors(level: usize, anchors: &[[f32; 2]]) -> Result<()> {
    let positive = |side: f32| side > 0.0 && side.is_finite();
    match anchors.iter().position(|sides| !sides.iter().copied().all(positive)) {
        None => Ok(()),
        Some(anchor) => {
            let [width, height] = anchors[anchor];
            Err(Error::BadAnchor { level, anchor, width, height })
        }
    }
}

impl HeadValues<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I16 { values, .. } => values.len(),
            Self::I8 { values, .. } => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check_scale(&self, level: usize) -> Result<()> {
        match *self {
            Self::I16 { scale, .. } | Self::I8 { scale, .. } if !(scale > 0.0 && scale.is_finite()) => {
                Err(Error::BadScale { level, scale })
            }
            Self::F32(_) | Self::I16 { .. } | Self::I8 { .. } => Ok(()),
        }
    }
}

/// Read access to logits, whatever they are stored as.
pub(crate) trait Logits {
    /// The real value at `index`.
    fn at(&self, index: usize) -> f32;
}

impl Logits for &[f32] {
    #[inline]
    fn at(&self, index: usize) -> f32 {
        self[index]
    }
}

/// Integers with their scale; `at` is one subtraction in i32 and one multiplication in f32.
pub(crate) struct Quantized<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) scale: f32,
    pub(crate) zero_point: i32,
}

impl<T: Copy + Into<i32>> Logits for Quantized<'_, T> {
    #[inline]
    fn at(&self, index: usize) -> f32 {
        let steps: i32 = self.values[index].into();
        self.scale * steps.saturating_sub(self.zero_point) as f32
    }
}

/// Calls `$body` with `$logits` bound to the concrete [`Logits`] of a [`HeadValues`], so that loops are compiled
/// once per storage type.
macro_rules! with_logits {
    ($values:expr, $logits:ident => $body:expr) => {
        match $values {
            $crate::head::HeadValues::F32($logits) => $body,
            $crate::head::HeadValues::I16 { values, scale, zero_point } => {
                let $logits = $crate::head::Quantized { values, scale, zero_point };
                $body
            }
            $crate::head::HeadValues::I8 { values, scale, zero_point } => {
                let $logits = $crate::head::Quantized { values, scale, zero_point };
                $body
            }
        }
    };
}
pub(crate) use with_logits;

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { class_count: 1, anchors: vec![vec![[4.0, 6.0]]; 2], strides: vec![8, 16] }
    }

    #[test]
    fn every_broken_rule_is_named() {
        let with = |change: fn(&mut Head)| {
            let mut head = head();
            change(&mut head);
            head.validate().unwrap_err()
        };
        assert_eq!(with(|head| head.class_count = 0), Error::NoClass);
        assert_eq!(with(|head| head.anchors.clear()), Error::NoLevel);
        assert_eq!(
            with(|head| head.strides = vec![8]),
            Error::LevelCount { name: "stride list", expected: 2, found: 1 }
        );
        assert_eq!(with(|head| head.strides[1] = 0), Error::EmptyLevel { level: 1, anchors: 1, stride: 0 });
        assert_eq!(
            with(|head| head.anchors[1][0][0] = -1.0),
            Error::BadAnchor { level: 1, anchor: 0, width: -1.0, height: 6.0 }
        );
        assert!(matches!(with(|head| head.anchors[0][0][1] = f32::NAN), Error::BadAnchor { level: 0, .. }));
    }

    #[test]
    fn level_sizes_follow_the_strides() {
        let sizes = head().level_sizes(ImageSize::new(64, 96)).unwrap();
        assert_eq!(sizes, [ImageSize::new(8, 12), ImageSize::new(4, 6)]);
        let error = head().level_sizes(ImageSize::new(64, 72)).unwrap_err();
        assert_eq!(error, Error::NotMultipleOfStride { height: 64, width: 72, stride: 16 });
    }

    #[test]
    fn levels_are_checked_before_use() {
        let level = |values| HeadLevel { values, rows: 1, columns: 2 };
        let good = level(HeadValues::F32(&[0.0; 12]));
        let check = |second| head().check_levels(&[good, second]);
        assert_eq!(check(good), Ok(()));
        let short = level(HeadValues::F32(&[0.0; 11]));
        assert_eq!(check(short), Err(Error::Length { name: "head level", expected: 12, found: 11 }));
        let scaleless = level(HeadValues::I8 { values: &[0; 12], scale: 0.0, zero_point: 0 });
        assert_eq!(check(scaleless), Err(Error::BadScale { level: 1, scale: 0.0 }));
        let error = head().check_levels(&[good]).unwrap_err();
        assert_eq!(error, Error::LevelCount { name: "network output", expected: 2, found: 1 });
    }

    #[test]
    fn a_head_survives_json() {
        let json = serde_json::to_string(&head()).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&json).unwrap(), head());
    }
}
