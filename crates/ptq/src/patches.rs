//! Sampled positions of a convolution: the patches that it reads there, and what it gives.

use nn_graph::Conv;

/// The convolution as a linear layer that is applied at many positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patches {
    conv: Conv,
}

impl Patches {
    pub(crate) fn new(conv: Conv) -> Self {
        Self { conv }
    }

    pub(crate) fn groups(&self) -> usize {
        self.conv.groups
    }

    /// Outputs per group.
    pub(crate) fn rows(&self) -> usize {
        self.conv.out_channels / self.conv.groups
    }

    /// Positions of the output for an input of a `shape`.
    pub(crate) fn pixels(&self, shape: [usize; 3]) -> usize {
        self.output_size([shape[1], shape[2]]).iter().product()
    }

    fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        let Conv { kernel, stride, padding, dilation, .. } = self.conv;
        let side = |i: usize| (input[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i] + 1;
        [side(0), side(1)]
    }

    /// Outputs at `positions` without bias and in units of `unit`, both by channel; `positions x rows` of each group after the other. `values`
    /// is `(channels, pixels)`.
    pub(crate) fn outputs(
        &self,
        values: &[f32],
        bias: &[f32],
        unit: &[f32],
        positions: &[usize],
    ) -> Vec<f32> {
        let (rows, pixels) = (self.rows(), values.len() / self.conv.out_channels);
        let mut outputs = Vec::with_capacity(positions.len() * self.conv.out_channels);
        for group in 0..self.conv.groups {
            for &position in positions {
                let channels = group * rows..(group + 1) * rows;
                outputs.extend(channels.map(|c| (values[c * pixels + position] - bias[c]) / unit[c]));
            }
        }
        outputs
    }

    /// Patches at `positions` of the output, `positions x features` of each group after the other, `border` outside of the image.
    /// `values` has the given `shape`, `(channels, height, width)`.
    pub(crate) fn inputs(
        &self,
        values: &[f32],
        shape: [usize; 3],
        border: f32,
        positions: &[usize],
    ) -> Vec<f32> {
        let [_, width] = self.output_size([shape[1], shape[2]]);
        let channels = self.conv.in_channels / self.conv.groups;
        let plane = shape[1] * shape[2];
        let features = self.conv.in_channels * self.conv.kernel.iter().product::<usize>();
        let mut inputs = Vec::with_capacity(positions.len() * features);
        for group in 0..self.conv.groups {
            for &position in positions {
                for channel in group * channels..(group + 1) * channels {
                    let plane = &values[channel * plane..(channel + 1) * plane];
                    let output = [position / width, position % width];
                    self.window((plane, border), [shape[1], shape[2]], output, &mut inputs);
                }
            }
        }
        inputs
    }

    fn window(
        &self,
        (plane, border): (&[f32], f32),
        [height, width]: [usize; 2],
        output: [usize; 2],
        inputs: &mut Vec<f32>,
    ) {
        let Conv { kernel, stride, padding, dilation, .. } = self.conv;
        // What lies before the first row or column wraps round to beyond the last.
        let at = |axis: usize, k: usize| {
            (output[axis] * stride[axis] + k * dilation[axis]).wrapping_sub(padding[axis])
        };
        for y in (0..kernel[0]).map(|k| at(0, k)) {
            for x in (0..kernel[1]).map(|k| at(1, k)) {
                inputs.push(if y < height && x < width { plane[y * width + x] } else { border });
            }
        }
    }
}

/// `wanted` positions below `count` for the image number `image`, no two alike: all if there are not more, else spread by a step near
/// the golden ratio, from another start in every image.
pub(crate) fn sampled(wanted: usize, count: usize, image: usize) -> Vec<usize> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    const OTHER: f64 = 0.754_877_666_246_692_8;
    if count <= wanted {
        return (0..count).collect();
    }
    // A step without a common divisor visits every position once before it comes back to the first.
    let near = ((count as f64 * GOLDEN) as usize).max(1);
    let step = (near..count).find(|&step| divisor(step, count) == 1).unwrap_or(1);
    let start = ((image as f64 * OTHER).fract() * count as f64) as usize;
    (0..wanted).map(|i| (start + i * step) % count).collect()
}

/// The greatest common divisor.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quant_core::{Executor, Values};

    #[test]
    fn positions_are_spread_and_differ_from_image_to_image() {
        assert_eq!(sampled(8, 5, 3), [0, 1, 2, 3, 4]);
        let (first, second) = (sampled(64, 6400, 0), sampled(64, 6400, 1));
        assert!(first.iter().all(|p| *p < 6400) && first != second);
        let mut quarters = [0; 4];
        first.iter().for_each(|p| quarters[p / 1600] += 1);
        for (wanted, count) in [(256, 400), (256, 300), (64, 65), (1, 2), (3, 4), (100, 6400)] {
            let distinct: std::collections::BTreeSet<usize> = sampled(wanted, count, 7).into_iter().collect();
            assert!(distinct.len() == wanted && distinct.iter().all(|p| *p < count), "{wanted} of {count}");
        }
        assert!(quarters.iter().all(|count| (14..=18).contains(count)), "{quarters:?}");
    }

    /// Weights times patches are what the executor computes, for every geometry that there is.
    #[test]
    fn patches_times_weights_are_the_outputs() {
        let geometries = [
            Conv { bias: true, ..Conv::same(4, 6, 3, 2) },
            Conv { bias: true, groups: 2, ..Conv::same(4, 6, 3, 1) },
            Conv { bias: true, dilation: [2, 1], padding: [0, 3], kernel: [2, 5], ..Conv::same(4, 6, 3, 1) },
            Conv { bias: true, ..Conv::same(4, 6, 1, 1) },
        ];
        for conv in geometries {
            let wave =
                |count: usize, pace: f32| (0..count).map(|i| (i as f32 * pace).sin()).collect::<Vec<_>>();
            let (weight, bias) = (wave(conv.weight_shape().iter().product(), 0.7), wave(6, 1.1));
            let input = wave(4 * 7 * 9, 0.37);
            let unit = [1.0, 0.5, 2.0, 1.0, 0.25, 4.0];
            let border = -2;
            let (outputs, pixels) = run(&conv, &weight, &bias, &input, ([7, 9], border));
            let patches = Patches::new(conv);
            let positions: Vec<usize> = (0..pixels).rev().collect();
            let inputs = patches.inputs(&input, [4, 7, 9], border as f32, &positions);
            let targets = patches.outputs(&outputs, &bias, &unit, &positions);
            let (rows, features) = (patches.rows(), weight.len() / 6);
            for group in 0..patches.groups() {
                for n in 0..pixels {
                    let x = &inputs[(group * pixels + n) * features..][..features];
                    for row in 0..rows {
                        let w = &weight[(group * rows + row) * features..][..features];
                        let sum: f32 = w.iter().zip(x).map(|(w, x)| w * x).sum();
                        let target = targets[(group * pixels + n) * rows + row] * unit[group * rows + row];
                        assert!((sum - target).abs() < 1e-4, "{conv:?} {group} {n} {row}: {sum} {target}");
                    }
                }
            }
        }
    }

    fn run(
        conv: &Conv,
        weight: &[f32],
        bias: &[f32],
        input: &[f32],
        (size, border): ([usize; 2], i32),
    ) -> (Vec<f32>, usize) {
        use quant_core::{Constant, ConvGeometry, Description, Format, Program, Step, StepOp, TensorInfo};
        let Conv { in_channels, out_channels, kernel, stride, padding, dilation, groups, .. } = *conv;
        let geometry =
            ConvGeometry { in_channels, out_channels, kernel, stride, padding, dilation, groups, border };
        let tensor =
            |name: &str, channels| TensorInfo { name: name.to_owned(), channels, format: Format::F32 };
        let op = StepOp::ConvF32 { geometry, weight: "w".into(), bias: "b".into(), activation: None };
        let description = Description {
            tensors: vec![tensor("x", in_channels), tensor("y", out_channels)],
            steps: vec![Step { name: "conv".into(), op, inputs: vec![0], output: 1 }],
            outputs: vec![1],
        };
        let constants = [
            ("w".to_owned(), Constant::F32(weight.to_vec())),
            ("b".to_owned(), Constant::F32(bias.to_vec())),
        ];
        let program = Program::new(description, constants.into()).unwrap();
        let mut executor = Executor::new(&program, size[0], size[1]).unwrap();
        executor.run(input).unwrap();
        let [_, height, width] = executor.shapes()[1];
        let Some((_, Values::F32(values))) = executor.outputs().next() else { panic!("no output") };
        (values.to_vec(), height * width)
    }
}
