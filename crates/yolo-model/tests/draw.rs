//! Drawing never panics and never touches what it should not.

mod common;

use common::Random;
use yolo_model::{Detection, Error, ImageSize, draw_detections};

fn odd_coordinate(random: &mut Random) -> f32 {
    match random.below(8) {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => f32::from_bits(random.bits() as u32),
        4 => -0.5,
        _ => random.real(-50.0, 700.0),
    }
}

#[test]
fn any_box_on_any_image() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let size = ImageSize::new(1 + random.below(40), 1 + random.below(600));
        let mut pixels = vec![0; size.height * size.width * 3];
        let detection = |_| Detection {
            bbox: [0; 4].map(|_| odd_coordinate(&mut random)),
            score: odd_coordinate(&mut random),
            class: random.bits() as usize >> random.below(64),
        };
        let detections: Vec<_> = (0..10).map(detection).collect();
        draw_detections(&mut pixels, size, &detections, &["caf\u{e9}", ""]).unwrap();
    }
}

#[test]
fn a_wrong_length_is_an_error() {
    let found = draw_detections::<&str>(&mut [0; 5], ImageSize::new(1, 2), &[], &[]);
    assert_eq!(found, Err(Error::Length { name: "image to draw on", expected: 6, found: 5 }));
}
