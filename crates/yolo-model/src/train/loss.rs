//! The loss that YOLOv5 trains with.

use super::assignment::{Assignment, assign};
use super::ciou::ciou;
use crate::head::BOX_VALUES;
use crate::{BatchLabel, Error, Head, ImageSize, Result};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::sigmoid};

/// Weights and rules of the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LossConfig {
    /// Weight of the boxes.
    pub box_weight: f64,
    /// Weight of the objectness.
    pub objectness_weight: f64,
    /// Weight of the classes.
    pub class_weight: f64,
    /// How much more a missed object counts than a false one, in the objectness and in the classes.
    pub positive_weights: [f64; 2],
    /// Weight of each level's objectness; levels with small cells have many that are empty.
    pub balance: Vec<f64>,
    /// Largest factor between the sides of a box and of an anchor that is to find it.
    pub most_ratio: f32,
    /// Class targets are `1 - smoothing / 2` and `smoothing / 2`.
    pub label_smoothing: f64,
}

impl LossConfig {
    /// YOLOv5's settings for training from scratch (`hyp.scratch-low.yaml`: box 0.05, cls 0.5, obj 1, anchor_t 4), scaled as its `train.py` does to the
    /// number of levels `l`, of classes and the size of the image: box `3 / l`, cls `classes / 80 * 3 / l`, obj `(size / 640)^2 * 3 / l`.
    #[must_use]
    pub fn scaled(head: &Head, size: ImageSize) -> Self {
        let levels = head.strides.len();
        let share = 3.0 / levels.max(1) as f64;
        let side = size.height.max(size.width) as f64 / 640.0;
        let balance: &[f64] = if levels == 3 { &[4.0, 1.0, 0.4] } else { &[4.0, 1.0, 0.25, 0.06, 0.02] };
        Self {
            box_weight: 0.05 * share,
            objectness_weight: side * side * share,
            class_weight: 0.5 * head.class_count as f64 / 80.0 * share,
            positive_weights: [1.0, 1.0],
            balance: balance.iter().copied().cycle().take(levels).collect(),
            most_ratio: 4.0,
            label_smoothing: 0.0,
        }
    }
}

/// The loss of a batch.
#[derive(Debug, Clone)]
pub struct LossParts {
    /// What is minimised: the weighted sum of the parts, times the number of images.
    pub total: Tensor<1>,
    /// Boxes, objectness and classes, weighted, per image; without gradients.
    pub parts: [Tensor<1>; 3],
}

/// Loss of a head's outputs.
#[derive(Debug, Clone)]
pub struct DetectionLoss {
    head: Head,
    config: LossConfig,
}

/// Sums over levels.
struct Sums {
    boxes: Tensor<1>,
    objectness: Tensor<1>,
    classes: Tensor<1>,
}

impl DetectionLoss {
    /// For a head.
    ///
    /// # Errors
    /// If the head is malformed, or the balance has not as many levels.
    pub fn new(head: &Head, config: LossConfig) -> Result<Self> {
        head.validate()?;
        head.check_level_count("balance", config.balance.len())?;
        Ok(Self { head: head.clone(), config })
    }

    /// The loss of what a network gave for a batch, each level `(batch, anchors * (5 + classes), rows, columns)`, for images of `size`:
    ///
    /// ```text
    /// batch * (box * sum_l mean(1 - CIoU) + obj * sum_l balance_l mean(BCE(o, max(CIoU, 0))) + cls * sum_l mean(BCE(c, class)))
    /// ```
    ///
    /// Boxes and classes are looked at where [`assign`] puts a label: `xy = 2 sigmoid - 1/2`, `wh = (2 sigmoid)^2 anchor`. Objectness is looked at everywhere, 0
    /// without a label. With a single class there is no class loss. A level without labels adds nothing to boxes and classes.
    ///
    /// # Errors
    /// If the outputs are not those of the head at this size, or a label's class or image is out of range.
    pub fn evaluate(
        &self,
        outputs: &[Tensor<4>],
        labels: &[BatchLabel],
        size: ImageSize,
    ) -> Result<LossParts> {
        let batch = self.check(outputs, labels, size)?;
        let device = outputs[0].device();
        let zero = || Tensor::<1>::zeros([1], &device);
        let mut sums = Sums { boxes: zero(), objectness: zero(), classes: zero() };
        for (level, output) in outputs.iter().enumerate() {
            let assigned = assign(&self.head, level, labels, size, self.config.most_ratio);
            self.level(level, output.clone(), &assigned, &device, &mut sums);
        }
        let config = &self.config;
        let parts = [
            sums.boxes * config.box_weight,
            sums.objectness * config.objectness_weight,
            sums.classes * config.class_weight,
        ];
        let [boxes, objectness, classes] = parts.clone();
        let total = (boxes + objectness + classes) * batch as f64;
        Ok(LossParts { total, parts: parts.map(Tensor::detach) })
    }

    fn check(&self, outputs: &[Tensor<4>], labels: &[BatchLabel], size: ImageSize) -> Result<usize> {
        let cells = self.head.level_sizes(size)?;
        self.head.check_level_count("network output", outputs.len())?;
        let batch = outputs[0].dims()[0];
        for ((output, cells), anchors) in outputs.iter().zip(&cells).zip(&self.head.anchors) {
            let shape = [batch, anchors.len() * self.head.values_per_anchor(), cells.height, cells.width];
            let found = output.dims();
            if found != shape {
                let [expected, found] = [shape, found].map(|shape| shape.iter().product());
                return Err(Error::Length { name: "network output", expected, found });
            }
        }
        for label in labels {
            if label.class >= self.head.class_count || label.image >= batch {
                let (class, classes, image) = (label.class, self.head.class_count, label.image);
                return Err(Error::Label { class, classes, image, batch });
            }
        }
        Ok(batch)
    }

    fn level(
        &self,
        level: usize,
        output: Tensor<4>,
        assigned: &[Assignment],
        device: &Device,
        sums: &mut Sums,
    ) {
        let [batch, _, rows, columns] = output.dims();
        let anchors = &self.head.anchors[level];
        let values = self.head.values_per_anchor();
        // A row of values for each anchor of each cell.
        let logits: Tensor<2> = output
            .reshape([batch, anchors.len(), values, rows, columns])
            .permute([0, 1, 3, 4, 2])
            .reshape([batch * anchors.len() * rows * columns, values]);
        let place =
            |a: &Assignment| ((a.image * anchors.len() + a.anchor) * rows + a.row) * columns + a.column;
        let mut target = vec![0f32; batch * anchors.len() * rows * columns];
        if !assigned.is_empty() {
            let places: Vec<i64> = assigned.iter().map(|a| place(a) as i64).collect();
            let places = Tensor::<1, Int>::from_data(TensorData::new(places, [assigned.len()]), device);
            let found = logits.clone().select(0, places);
            let overlap = self.overlap(level, found.clone(), assigned, device);
            sums.boxes = sums.boxes.clone() + (overlap.clone().neg() + 1.0).mean();
            if self.head.class_count > 1 {
                sums.classes = sums.classes.clone() + self.class_loss(found, assigned, device);
            }
            let overlap = overlap.detach().into_data().convert::<f32>();
            for (a, overlap) in assigned.iter().zip(overlap.iter::<f32>()) {
                target[place(a)] = overlap.max(0.0);
            }
        }
        let count = target.len();
        let target = Tensor::from_data(TensorData::new(target, [count, 1]), device);
        let [positive, _] = self.config.positive_weights;
        let objectness = cross_entropy(logits.narrow(1, BOX_VALUES - 1, 1), target, positive).mean();
        sums.objectness = sums.objectness.clone() + objectness * self.config.balance[level];
    }

    /// CIoU of what was found with what should have been.
    fn overlap(&self, level: usize, found: Tensor<2>, assigned: &[Assignment], device: &Device) -> Tensor<2> {
        let stride = self.head.strides[level] as f32;
        let anchors = &self.head.anchors[level];
        let sides: Vec<f32> =
            assigned.iter().flat_map(|a| anchors[a.anchor].map(|side| side / stride)).collect();
        let boxes: Vec<f32> = assigned.iter().flat_map(|a| a.bbox).collect();
        let sides = Tensor::from_data(TensorData::new(sides, [assigned.len(), 2]), device);
        let boxes = Tensor::from_data(TensorData::new(boxes, [assigned.len(), 4]), device);
        let unit = sigmoid(found.narrow(1, 0, 4)) * 2.0;
        let centre = unit.clone().narrow(1, 0, 2) - 0.5;
        let root = unit.narrow(1, 2, 2);
        ciou(&Tensor::cat(vec![centre, root.clone() * root * sides], 1), &boxes)
    }

    fn class_loss(&self, found: Tensor<2>, assigned: &[Assignment], device: &Device) -> Tensor<1> {
        let classes = self.head.class_count;
        let half = 0.5 * self.config.label_smoothing as f32;
        let mut target = vec![half; assigned.len() * classes];
        for (row, a) in target.chunks_exact_mut(classes).zip(assigned) {
            row[a.class] = 1.0 - half;
        }
        let target = Tensor::from_data(TensorData::new(target, [assigned.len(), classes]), device);
        let [_, positive] = self.config.positive_weights;
        cross_entropy(found.narrow(1, BOX_VALUES, classes), target, positive).mean()
    }
}

/// Binary cross-entropy of logits, element by element: `-(p t ln s + (1 - t) ln(1 - s))` with `s = sigmoid(x)`, which is
/// `(1 - t) x + (1 + (p - 1) t) (max(-x, 0) + ln(1 + exp(-|x|)))`.
fn cross_entropy(x: Tensor<2>, target: Tensor<2>, positive: f64) -> Tensor<2> {
    let soft = x.clone().neg().clamp_min(0.0) + x.clone().abs().neg().exp().log1p();
    let soft = if positive == 1.0 { soft } else { soft * (target.clone() * (positive - 1.0) + 1.0) };
    (target.neg() + 1.0) * x + soft
}
