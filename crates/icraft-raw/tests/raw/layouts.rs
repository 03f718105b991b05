//! Frameworks' layouts and that of raw files.

use icraft_raw::{LayoutError, raw_shape, reverse_input_channels, to_framework_layout, to_raw_layout};
use proptest::prelude::*;

/// Element by element, from the definition: `raw[h][w][i][o] = framework[o][i][h][w]`.
fn naive(values: &[u32], [outputs, inputs, height, width]: [usize; 4]) -> Vec<u32> {
    let mut raw = Vec::new();
    for h in 0..height {
        for w in 0..width {
            for i in 0..inputs {
                for o in 0..outputs {
                    raw.push(values[((o * inputs + i) * height + h) * width + w]);
                }
            }
        }
    }
    raw
}

fn numbered(shape: &[usize]) -> Vec<u32> {
    (0..shape.iter().product::<usize>() as u32).collect()
}

#[test]
fn a_small_weight_is_permuted_as_written_down() {
    // Two outputs, three inputs, a kernel of 1 by 2: hundreds, tens and ones are output, input and column.
    let framework = [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121];
    let mut raw = [0, 100, 10, 110, 20, 120, 1, 101, 11, 111, 21, 121];
    assert_eq!(to_raw_layout(&framework, &[2, 3, 1, 2]).unwrap(), raw);
    assert_eq!(to_framework_layout(&raw, &[2, 3, 1, 2]).unwrap(), framework);
    assert_eq!(raw_shape(&[2, 3, 1, 2]).unwrap(), [1, 2, 3, 2]);
    reverse_input_channels(&mut raw, &[2, 3, 1, 2]).unwrap();
    assert_eq!(raw, [20, 120, 10, 110, 0, 100, 21, 121, 11, 111, 1, 101]);
}

#[test]
fn a_bias_stays_and_three_axes_are_reversed_in_order() {
    assert_eq!(to_raw_layout(&[5, 6, 7], &[3]).unwrap(), [5, 6, 7]);
    assert_eq!(raw_shape(&[3]).unwrap(), [3]);
    let values = numbered(&[4, 2, 5]);
    assert_eq!(to_raw_layout(&values, &[4, 2, 5]).unwrap(), naive(&values, [4, 2, 1, 5]));
    assert_eq!(raw_shape(&[4, 2, 5]).unwrap(), [5, 2, 4]);
}

proptest! {
    #[test]
    fn the_layouts_are_inverses(shape in [0usize..40, 0usize..6, 0usize..4, 0usize..4], rank in prop::sample::select(vec![1usize, 3, 4])) {
        let shape = &shape[..rank];
        let values = numbered(shape);
        let mut raw = to_raw_layout(&values, shape).unwrap();
        prop_assert_eq!(&to_framework_layout(&raw, shape).unwrap(), &values);
        prop_assert_eq!(raw_shape(shape).unwrap().iter().product::<usize>(), values.len());
        if let [outputs, inputs, kernel @ ..] = shape && let [height, width @ ..] = kernel {
            let whole = [*outputs, *inputs, *height, width.first().copied().unwrap_or(1)];
            prop_assert_eq!(&raw, &naive(&values, whole));
            let once = raw.clone();
            reverse_input_channels(&mut raw, shape).unwrap();
            prop_assert_eq!(*inputs > 1 && !values.is_empty(), raw != once);
            reverse_input_channels(&mut raw, shape).unwrap();
            prop_assert_eq!(raw, once);
        }
    }

    #[test]
    fn reversing_is_the_permutation_of_the_framework_s_input_axis(shape in [1usize..5, 1usize..6, 1usize..4, 1usize..4]) {
        let values = numbered(&shape);
        let [outputs, inputs, height, width] = shape;
        let permuted: Vec<u32> = (0..outputs)
            .flat_map(|o| (0..inputs).rev().map(move |i| o * inputs + i))
            .flat_map(|plane| values[plane * height * width..][..height * width].to_vec())
            .collect();
        let mut raw = to_raw_layout(&values, &shape).unwrap();
        reverse_input_channels(&mut raw, &shape).unwrap();
        prop_assert_eq!(raw, to_raw_layout(&permuted, &shape).unwrap());
    }
}

#[test]
fn shapes_without_a_layout_or_of_another_size_are_refused() {
    for shape in [&[][..], &[2, 2], &[1; 5]] {
        let values = numbered(shape);
        let refused = LayoutError::Axes { shape: shape.to_vec() };
        assert_eq!(to_raw_layout(&values, shape), Err(refused.clone()));
        assert_eq!(raw_shape(shape), Err(refused));
    }
    for shape in [&[3][..], &[1, 1, 3], &[usize::MAX, 2, 1, 1], &[0, 1, 1]] {
        let refused = LayoutError::Elements { shape: shape.to_vec(), elements: 2 };
        assert_eq!(to_raw_layout(&[1, 2], shape), Err(refused.clone()));
        assert_eq!(to_framework_layout(&[1, 2], shape), Err(refused.clone()));
        assert_eq!(reverse_input_channels(&mut [1, 2], shape), Err(refused));
    }
    assert_eq!(reverse_input_channels(&mut [1, 2], &[2]), Err(LayoutError::NoInputs { shape: vec![2] }));
}

#[test]
fn empty_tensors_of_any_shape_end_at_once() {
    for shape in [&[0][..], &[usize::MAX, 0, 1], &[0, usize::MAX, 1, 1], &[usize::MAX, 1, 0, 1]] {
        assert_eq!(to_raw_layout::<f32>(&[], shape), Ok(vec![]));
    }
    assert_eq!(reverse_input_channels::<f32>(&mut [], &[usize::MAX, 0, 1]), Ok(()));
}
