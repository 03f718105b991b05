use crate::{naive, read, tensor, values};
use burn::tensor::{Device, Tensor};
use yolo_model::{BatchLabel, DetectionLoss, Error, Head, ImageSize, LossConfig, ciou};

fn head(class_count: usize) -> Head {
    let anchors = vec![vec![[10.0, 13.0], [33.0, 23.0]], vec![[30.0, 61.0], [60.0, 40.0]]];
    Head { class_count, anchors, strides: vec![8, 16] }
}

const SIZE: ImageSize = ImageSize::new(64, 96);
const BATCH: usize = 3;

/// Boxes that share no cell and anchor at a level, so that no order matters; the last image has none.
fn labels() -> Vec<BatchLabel> {
    let label = |image, class, bbox| BatchLabel { image, class, bbox };
    vec![
        label(0, 0, [4.0, 6.0, 21.0, 25.0]),
        label(0, 2, [50.0, 20.0, 89.0, 51.0]),
        label(1, 1, [10.3, 30.1, 40.7, 60.9]),
        label(1, 1, [60.0, 2.0, 70.0, 11.0]),
    ]
}

fn levels(head: &Head) -> Vec<(Vec<f32>, [usize; 4])> {
    let level = |(index, &stride): (usize, &usize)| {
        let shape = [BATCH, 2 * head.values_per_anchor(), SIZE.height / stride, SIZE.width / stride];
        (values(&format!("level {index}"), shape.iter().product(), [-3.0, 3.0]), shape)
    };
    head.strides.iter().enumerate().map(level).collect()
}

fn config(head: &Head) -> LossConfig {
    LossConfig { label_smoothing: 0.1, ..LossConfig::scaled(head, SIZE) }
}

fn evaluate(head: &Head, labels: &[BatchLabel], levels: &[(Vec<f32>, [usize; 4])]) -> (f64, [f64; 3]) {
    let outputs: Vec<Tensor<4>> =
        levels.iter().map(|(data, shape)| tensor(data, *shape, &Device::flex())).collect();
    let loss = DetectionLoss::new(head, config(head)).unwrap().evaluate(&outputs, labels, SIZE).unwrap();
    let number = |tensor: Tensor<1>| f64::from(read(tensor)[0]);
    (number(loss.total), loss.parts.map(number))
}

#[test]
fn parts_are_those_of_the_formulas() {
    for (classes, labels) in [(3, labels()), (3, Vec::new())] {
        let head = head(classes);
        let levels = levels(&head);
        let naive_levels: Vec<naive::Level<'_>> = levels
            .iter()
            .map(|(values, shape)| naive::Level { values, rows: shape[2], columns: shape[3] })
            .collect();
        let expected = naive::loss(&head, &config(&head), &naive_levels, &labels, BATCH);
        let (total, found) = evaluate(&head, &labels, &levels);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1e-3), "{found} {expected}");
        }
        let sum: f64 = expected.iter().sum::<f64>() * BATCH as f64;
        assert!((total - sum).abs() <= 1e-5 * sum, "{total} {sum}");
        assert_eq!(found[0] > 0.0, !labels.is_empty());
    }
}

#[test]
fn one_class_has_no_class_loss() {
    let head = head(1);
    let labels: Vec<BatchLabel> =
        labels().into_iter().map(|label| BatchLabel { class: 0, ..label }).collect();
    let (_, [boxes, _, classes]) = evaluate(&head, &labels, &levels(&head));
    assert!(boxes > 0.0 && classes == 0.0);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let head = head(3);
    let loss = DetectionLoss::new(&head, config(&head)).unwrap();
    let outputs: Vec<Tensor<4>> =
        levels(&head).iter().map(|(data, shape)| tensor(data, *shape, &Device::flex())).collect();
    let label = BatchLabel { image: 0, class: 3, bbox: [0.0, 0.0, 9.0, 9.0] };
    let error = loss.evaluate(&outputs, &[label], SIZE).unwrap_err();
    assert!(matches!(error, Error::Label { class: 3, .. }), "{error}");
    let label = BatchLabel { image: 3, class: 0, bbox: [0.0, 0.0, 9.0, 9.0] };
    assert!(loss.evaluate(&outputs, &[label], SIZE).is_err());
    assert!(loss.evaluate(&outputs[..1], &[], SIZE).is_err());
    assert!(loss.evaluate(&outputs, &[], ImageSize::new(64, 64)).is_err());
    let short = LossConfig { balance: vec![1.0], ..config(&head) };
    assert!(DetectionLoss::new(&head, short).is_err());
}

/// Directional differences of the naive loss, where the target of the objectness is what it was: it has no gradient.
#[test]
fn gradients_are_differences() {
    let head = head(3);
    let levels = levels(&head);
    let device = Device::flex().autodiff();
    let outputs: Vec<Tensor<4>> =
        levels.iter().map(|(data, shape)| tensor(data, *shape, &device).require_grad()).collect();
    let mut config = config(&head);
    for (part, weights) in [(0, [1.0, 0.0, 0.0]), (2, [0.0, 0.0, 1.0])] {
        [config.box_weight, config.objectness_weight, config.class_weight] = weights;
        let loss = DetectionLoss::new(&head, config.clone()).unwrap();
        let total = loss.evaluate(&outputs, &labels(), SIZE).unwrap().total;
        let gradients = total.backward();
        for (index, output) in outputs.iter().enumerate() {
            let gradient = read(output.grad(&gradients).unwrap());
            let strongest =
                (0..gradient.len()).max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
            for at in [strongest, gradient.iter().position(|g| *g != 0.0).unwrap()] {
                let moved = |by: f32| {
                    let mut changed = levels.clone();
                    changed[index].0[at] += by;
                    let naive_levels: Vec<naive::Level<'_>> = changed
                        .iter()
                        .map(|(values, shape)| naive::Level { values, rows: shape[2], columns: shape[3] })
                        .collect();
                    naive::loss(&head, &config, &naive_levels, &labels(), BATCH)[part] * BATCH as f64
                };
                let difference = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                // `alpha` of CIoU counts as constant for gradients, not for differences.
                let accepted = 0.03 * difference.abs() + 1e-4;
                assert!(
                    (f64::from(gradient[at]) - difference).abs() < accepted,
                    "{} {difference}",
                    gradient[at]
                );
            }
        }
    }
}

#[test]
fn boxes_that_are_equal_overlap_whole() {
    let rows = |data: &[f32]| tensor(data, [data.len() / 4, 4], &Device::flex());
    let a = values("boxes", 40, [0.5, 4.0]);
    let b = values("others", 40, [0.5, 4.0]);
    for (found, (a, b)) in
        read(ciou(&rows(&a), &rows(&b))).iter().zip(a.chunks_exact(4).zip(b.chunks_exact(4)))
    {
        let wide = |v: &[f32]| [0, 1, 2, 3].map(|k| f64::from(v[k]));
        let expected = naive::ciou(wide(a), wide(b));
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
    }
    assert!(read(ciou(&rows(&a), &rows(&a))).iter().all(|overlap| (overlap - 1.0).abs() < 1e-4));
    // By hand: unit squares half a side apart. IoU 1/3, distance 1/4, diagonal 1.5^2 + 1.
    let found = read(ciou(&rows(&[0.0, 0.0, 1.0, 1.0]), &rows(&[0.5, 0.0, 1.0, 1.0])))[0];
    assert!((f64::from(found) - (1.0 / 3.0 - 0.25 / 3.25)).abs() < 1e-6, "{found}");
}
