//! Tensors of a raw file and the parameters of a model.

use icraft_raw::{
    Candidate, Closest, Evidence, InputChannels, LayoutError, MappingError, Match, match_parameters,
    reverse_input_channels, to_raw_layout,
};
use proptest::prelude::*;

/// A parameter that owns its values.
#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Parameter {
    /// Values that start at `seed` and go up by one.
    fn new(name: &str, shape: &[usize], seed: f32) -> Self {
        let values = (0..shape.iter().product()).map(|i: usize| seed + i as f32).collect();
        Self { name: name.to_owned(), shape: shape.to_vec(), values }
    }

    fn constant(name: &str, shape: &[usize], value: f32) -> Self {
        Self { values: vec![value; shape.iter().product()], ..Self::new(name, shape, 0.0) }
    }

    fn raw(&self) -> Vec<f32> {
        to_raw_layout(&self.values, &self.shape).unwrap()
    }

    fn raw_reversed(&self) -> Vec<f32> {
        let mut values = self.raw();
        reverse_input_channels(&mut values, &self.shape).unwrap();
        values
    }
}

fn matched(tensors: &[(u32, Vec<f32>)], parameters: &[Parameter]) -> Result<Vec<Match>, MappingError> {
    let tensors: Vec<(u32, &[f32])> = tensors.iter().map(|(id, values)| (*id, &values[..])).collect();
    let candidates: Vec<Candidate<'_>> =
        parameters.iter().map(|p| Candidate { name: &p.name, shape: &p.shape, values: &p.values }).collect();
    match_parameters(&tensors, &candidates)
}

/// Two convolutions that share their first element, and their biases.
fn model() -> Vec<Parameter> {
    vec![
        Parameter::new("model.0.conv.weight", &[4, 3, 2, 2], 1.0),
        Parameter::new("model.0.conv.bias", &[4], 1.0),
        Parameter::new("model.1.conv.weight", &[2, 4, 3, 2], 1.0),
        Parameter::new("model.1.conv.bias", &[2], 50.0),
    ]
}

fn content(id: u32, candidate: usize) -> Match {
    Match { id, candidate, input_channels: InputChannels::Kept, evidence: Evidence::Content }
}

#[test]
fn tensors_are_found_by_their_whole_content() {
    // Both weights have 48 elements and start alike.
    let model = model();
    let tensors: Vec<(u32, Vec<f32>)> = [2, 0, 3, 1].map(|i: usize| (10 + i as u32, model[i].raw())).to_vec();
    assert_eq!(
        matched(&tensors, &model).unwrap(),
        [content(12, 2), content(10, 0), content(13, 3), content(11, 1)]
    );
    assert_eq!(matched(&[], &[]).unwrap(), []);
}

#[test]
fn a_reversed_first_convolution_is_found_and_said_to_be_reversed() {
    let model = model();
    let mut tensors: Vec<(u32, Vec<f32>)> = model.iter().zip(0..).map(|(p, id)| (id, p.raw())).collect();
    tensors[0].1 = model[0].raw_reversed();
    let found = matched(&tensors, &model).unwrap();
    assert_eq!(found[0], Match { input_channels: InputChannels::Reversed, ..content(0, 0) });
    assert_eq!(found[1..], [content(1, 1), content(2, 2), content(3, 3)]);
    // Only three input channels are those of an image.
    tensors[0].1 = model[0].raw();
    tensors[2].1 = model[2].raw_reversed();
    assert!(matches!(matched(&tensors, &model), Err(MappingError::NoCandidate { id: 2, .. })));
}

#[test]
fn equal_contents_are_paired_in_order_and_said_to_be() {
    let model = vec![
        Parameter::constant("a.bias", &[8], 0.0),
        Parameter::new("a.weight", &[8, 1, 1, 1], 1.0),
        Parameter::constant("b.bias", &[8], 0.0),
        Parameter::constant("c.bias", &[8], -0.0),
    ];
    let tensors = [(9, model[0].raw()), (4, model[3].raw()), (3, model[1].raw()), (1, model[2].raw())];
    let by_order = |id, candidate| Match { evidence: Evidence::Order, ..content(id, candidate) };
    let expected = [by_order(9, 0), content(4, 3), content(3, 1), by_order(1, 2)];
    assert_eq!(matched(&tensors, &model).unwrap(), expected);
}

#[test]
fn mirrored_weights_leave_each_other_their_tensors() {
    // The second is the first in reverse; both kept and one reversed are possible.
    let first = Parameter::new("first", &[2, 3, 1, 1], 1.0);
    let second = Parameter {
        values: vec![3.0, 2.0, 1.0, 6.0, 5.0, 4.0],
        ..Parameter::new("second", &[2, 3, 1, 1], 0.0)
    };
    assert_eq!(second.raw(), first.raw_reversed());
    let found = matched(&[(1, first.raw()), (2, second.raw())], &[second.clone(), first.clone()]).unwrap();
    assert_eq!(found, [content(1, 1), content(2, 0)]);
    let found = matched(&[(1, first.raw()), (2, first.raw())], &[second, first]).unwrap();
    let order = Match { evidence: Evidence::Order, ..content(1, 1) };
    assert_eq!(
        found,
        [order, Match { id: 2, candidate: 0, input_channels: InputChannels::Reversed, ..order }]
    );
}

#[test]
fn numbers_count_by_their_bits() {
    let nan = Parameter { values: vec![f32::NAN], ..Parameter::new("nan", &[1], 0.0) };
    assert_eq!(matched(&[(1, vec![f32::NAN])], &[nan]).unwrap(), [content(1, 0)]);
    let zero = Parameter::constant("zero", &[1], 0.0);
    assert!(matches!(matched(&[(1, vec![-0.0])], &[zero]), Err(MappingError::NoCandidate { .. })));
}

#[test]
fn a_tensor_without_a_candidate_is_reported_with_the_closest() {
    let model = model();
    let mut tensors: Vec<(u32, Vec<f32>)> = model.iter().zip(20..).map(|(p, id)| (id, p.raw())).collect();
    tensors[0].1[5] += 0.25;
    tensors[3].1[0] = 0.0;
    let names = ["model.0.conv.weight", "model.1.conv.weight"].map(str::to_owned).to_vec();
    let closest = Closest { name: names[0].clone(), difference: 0.25 };
    let expected = MappingError::NoCandidate {
        id: 20,
        elements: 48,
        others: 1,
        same_size: names,
        closest: Some(closest),
    };
    let error = matched(&tensors, &model).unwrap_err();
    assert_eq!(error, expected);
    assert!(error.to_string().contains("model.0.conv.weight is closest, at most 2.5e-1 apart"), "{error}");

    // Nearest in reverse.
    tensors[0].1 = model[0].raw_reversed();
    tensors[0].1[5] += 0.5;
    let MappingError::NoCandidate { closest, .. } = matched(&tensors, &model).unwrap_err() else { panic!() };
    assert_eq!(closest, Some(Closest { name: "model.0.conv.weight".into(), difference: 0.5 }));

    let error = matched(&[(1, vec![0.0; 5])], &model).unwrap_err();
    let expected =
        MappingError::NoCandidate { id: 1, elements: 5, others: 0, same_size: vec![], closest: None };
    assert_eq!(error, expected);
}

#[test]
fn both_sides_need_as_many_of_a_content() {
    let zero = |name: &str| Parameter::constant(name, &[2], 0.0);
    let expected = |ids: &[u32], names: &[&str]| MappingError::Unpaired {
        ids: ids.to_vec(),
        elements: 2,
        names: names.iter().map(|&name| name.to_owned()).collect(),
    };
    let zeros = vec![0.0; 2];
    let more_tensors = matched(&[(1, zeros.clone()), (2, zeros.clone())], &[zero("a")]);
    assert_eq!(more_tensors, Err(expected(&[1, 2], &["a"])));
    let more_parameters = matched(&[(1, zeros)], &[zero("a"), zero("b")]);
    assert_eq!(more_parameters, Err(expected(&[1], &["a", "b"])));
}

#[test]
fn left_over_parameters_ids_twice_and_bad_shapes_are_reported() {
    let mut model = model();
    let tensors: Vec<(u32, Vec<f32>)> = model.iter().zip(0..).map(|(p, id)| (id, p.raw())).collect();
    model.push(Parameter::new("model.24.anchors", &[3, 3, 2], 0.5));
    assert_eq!(
        matched(&tensors, &model),
        Err(MappingError::LeftOver { names: vec!["model.24.anchors".into()] })
    );

    let twice = [tensors[0].clone(), tensors[1].clone(), tensors[0].clone()];
    assert_eq!(matched(&twice, &model), Err(MappingError::DuplicateId { id: 0 }));

    model[4].shape = vec![9, 2];
    let source = LayoutError::Axes { shape: vec![9, 2] };
    assert_eq!(
        matched(&tensors, &model),
        Err(MappingError::Candidate { name: "model.24.anchors".into(), source })
    );
}

fn parameters() -> impl Strategy<Value = Vec<Parameter>> {
    // Few sizes and seeds, so that equal contents and equal first elements are common.
    let shape =
        prop::sample::select(vec![vec![2], vec![6], vec![2, 3, 1], vec![2, 3, 1, 1], vec![3, 2, 1, 1]]);
    prop::collection::vec((shape, 0u8..4, any::<bool>()), 0..14).prop_map(|rows| {
        rows.iter()
            .enumerate()
            .map(|(i, (shape, seed, constant))| {
                let make = if *constant { Parameter::constant } else { Parameter::new };
                make(&format!("p{i}"), shape, f32::from(*seed))
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn a_shuffled_model_is_always_paired_with_equal_values(
        parameters in parameters(),
        shuffled in Just((0..14usize).collect::<Vec<_>>()).prop_shuffle(),
        reversed: u16,
    ) {
        let order: Vec<usize> = shuffled.into_iter().filter(|&i| i < parameters.len()).collect();
        let tensors: Vec<(u32, Vec<f32>)> = order
            .iter()
            .map(|&i| {
                let parameter = &parameters[i];
                let image = parameter.shape.get(1) == Some(&3) && reversed >> i & 1 == 1;
                (100 + i as u32, if image { parameter.raw_reversed() } else { parameter.raw() })
            })
            .collect();
        let found = matched(&tensors, &parameters).unwrap();
        let mut used: Vec<usize> = found.iter().map(|m| m.candidate).collect();
        used.sort_unstable();
        prop_assert!(used.iter().copied().eq(0..parameters.len()));
        for (found, (id, values)) in found.iter().zip(&tensors) {
            let parameter = &parameters[found.candidate];
            let expected = match found.input_channels {
                InputChannels::Kept => parameter.raw(),
                InputChannels::Reversed => parameter.raw_reversed(),
            };
            prop_assert_eq!((found.id, &expected), (*id, values));
        }
    }
}
