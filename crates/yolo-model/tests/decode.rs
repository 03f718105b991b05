//! Decoding and the candidate search, against each other and against reference predictions.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::Random;
use yolo_model::{Detection, Error, Head, HeadLevel, HeadValues, ImageSize, candidates, decode_all};

fn head(class_count: usize) -> Head {
    let anchors = vec![vec![[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]], vec![[30.0, 61.0], [62.0, 45.0]]];
    Head { class_count, anchors, strides: vec![8, 16] }
}

/// Random logits, mostly far below zero, for each level.
fn random_levels(head: &Head, input: ImageSize, random: &mut Random) -> Vec<(Vec<f32>, ImageSize)> {
    let sizes = head.level_sizes(input).unwrap();
    let level = |(size, anchors): (ImageSize, &Vec<_>)| {
        let count = anchors.len() * head.values_per_anchor() * size.height * size.width;
        ((0..count).map(|_| random.real(-9.0, 3.0)).collect(), size)
    };
    sizes.into_iter().zip(&head.anchors).map(level).collect()
}

fn views(levels: &[(Vec<f32>, ImageSize)]) -> Vec<HeadLevel<'_>> {
    levels
        .iter()
        .map(|(values, size)| HeadLevel {
            values: HeadValues::F32(values),
            rows: size.height,
            columns: size.width,
        })
        .collect()
}

/// The simple algorithm: filter the decoded rows.
fn naive_candidates(head: &Head, levels: &[HeadLevel<'_>], confidence: f32) -> Vec<Detection> {
    let rows = decode_all(head, levels).unwrap();
    let mut found = Vec::new();
    for row in rows.chunks_exact(head.values_per_anchor()).filter(|row| row[4] > confidence) {
        let [x, y, w, h] = [row[0], row[1], row[2], row[3]];
        let bbox = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
        for (class, &probability) in row[5..].iter().enumerate() {
            let score = row[4] * probability;
            if score > confidence {
                found.push(Detection { bbox, score, class });
            }
        }
    }
    found
}

#[test]
fn the_search_finds_what_filtering_finds() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let head = head(1 + random.below(12));
        let levels = random_levels(&head, ImageSize::new(48, 64), &mut random);
        let levels = views(&levels);
        for confidence in [0.0, 0.001, 0.01, 0.25, 0.5, 0.9, 1.0, random.real(0.0, 1.0)] {
            let found = candidates(&head, &levels, confidence).unwrap();
            assert_eq!(found, naive_candidates(&head, &levels, confidence), "seed {seed}, {confidence}");
        }
    }
}

#[test]
fn quantised_logits_equal_their_real_values() {
    let head = head(3);
    let mut random = Random(7);
    let sizes = head.level_sizes(ImageSize::new(32, 32)).unwrap();
    let (scale, zero_point) = (0.0625, 40);
    for (level, size) in sizes.iter().enumerate() {
        let count = head.anchors[level].len() * 8 * size.height * size.width;
        let bytes: Vec<i8> = (0..count).map(|_| random.bits() as i8).collect();
        let words: Vec<i16> = bytes.iter().map(|&value| value.into()).collect();
        let reals: Vec<f32> = words.iter().map(|&value| scale * f32::from(value - 40)).collect();
        let head =
            Head { anchors: vec![head.anchors[level].clone()], strides: vec![head.strides[level]], ..head };
        let level = |values| [HeadLevel { values, rows: size.height, columns: size.width }];
        let expected = level(HeadValues::F32(&reals));
        for values in [
            HeadValues::I8 { values: &bytes, scale, zero_point },
            HeadValues::I16 { values: &words, scale, zero_point },
        ] {
            assert_eq!(decode_all(&head, &level(values)), decode_all(&head, &expected));
            assert_eq!(candidates(&head, &level(values), 0.01), candidates(&head, &expected, 0.01));
        }
    }
}

#[test]
fn rows_go_by_level_anchor_row_column() {
    let head =
        Head { class_count: 1, anchors: vec![vec![[8.0, 4.0]; 2], vec![[32.0, 64.0]]], strides: vec![4, 8] };
    let (fine, coarse) = (vec![0.0; 2 * 6 * 4], vec![0.0; 6]);
    let level = |values, rows, columns| HeadLevel { values: HeadValues::F32(values), rows, columns };
    let rows = decode_all(&head, &[level(&fine, 2, 2), level(&coarse, 1, 1)]).unwrap();
    let found: Vec<[f32; 4]> = rows.chunks_exact(6).map(|row| [row[0], row[1], row[2], row[3]]).collect();
    let grid = [[2.0, 2.0, 8.0, 4.0], [6.0, 2.0, 8.0, 4.0], [2.0, 6.0, 8.0, 4.0], [6.0, 6.0, 8.0, 4.0]];
    assert_eq!(found[..4], grid);
    assert_eq!(found[4..8], grid);
    assert_eq!(found[8..], [[4.0, 4.0, 32.0, 64.0]]);
    assert!(rows.chunks_exact(6).all(|row| row[4..] == [0.5, 0.5]));
}

#[test]
fn odd_logits_are_no_candidates() {
    let head = Head { class_count: 1, anchors: vec![vec![[8.0, 4.0]]], strides: vec![4] };
    for odd in [f32::NAN, f32::NEG_INFINITY] {
        for plane in [4, 5] {
            let mut values = [9.0; 6];
            values[plane] = odd;
            let level = HeadLevel { values: HeadValues::F32(&values), rows: 1, columns: 1 };
            assert_eq!(candidates(&head, &[level], 0.0), Ok(vec![]), "{odd} in plane {plane}");
        }
    }
    let level = HeadLevel { values: HeadValues::F32(&[9.0; 6]), rows: 1, columns: 1 };
    let error = candidates(&head, &[level], f32::NAN).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { name: "confidence", .. }));
}
