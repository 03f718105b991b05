use super::{SIZE, collect, image, images, model};
use ptq::{
    Choice, Error, Fusion, Method, Placement, PlacementOptions, QuantConfig, Rule, Width, lower_float,
};
use quant_core::{Executor, Rounding, Scheme, Values};
use std::collections::BTreeMap;

fn choose(options: PlacementOptions, methods: &[Method], count: u64) -> Result<(Choice, Placement), Error> {
    let model = model("nn.SiLU()");
    let (graph, params) = (&model.folded, &model.folded_params);
    let placement = Placement::new(graph, options);
    let collection = collect(graph, params, &placement);
    let (scheme, images) = (Scheme::Affine, images(count));
    let choice = QuantConfig::calibrate_by_output::<Error>(
        graph,
        params,
        &placement,
        &collection,
        methods,
        scheme,
        [SIZE; 2],
        images,
        || (),
    )?;
    Ok((choice, placement))
}

fn eight_bits() -> PlacementOptions {
    PlacementOptions { preactivation: Width::Bits8, ..PlacementOptions::default() }
}

#[test]
fn the_choice_is_the_method_with_the_least_error_and_the_configuration_follows() {
    let (choice, placement) = choose(eight_bits(), &Method::ALL, 2).unwrap();
    let eligible =
        placement.groups().iter().filter(|g| g.rule != Rule::ImageInput && g.width == Width::Bits8);
    assert_eq!(choice.groups.len(), eligible.count());
    assert_eq!(choice.images, 2);
    for group in &choice.groups {
        assert_eq!(group.methods.iter().map(|m| m.method).collect::<Vec<_>>(), Method::ALL);
        let least = group.methods.iter().map(|m| m.error).fold(f64::INFINITY, f64::min);
        let taken = group.methods.iter().find(|m| m.method == group.method).unwrap();
        assert!(taken.error == least && least > 0.0, "{group:?}");
        assert_eq!(choice.config.formats[&group.tensor], taken.format, "{}", group.tensor);
    }
    let used: BTreeMap<&str, usize> = choice.groups.iter().fold(BTreeMap::new(), |mut used, group| {
        *used.entry(group.method.name()).or_default() += 1;
        used
    });
    assert!(used.len() > 1, "one method is best everywhere: {used:?}");
}

/// The error of the network's outputs and of pre-activations, straight from the definition.
#[test]
fn errors_are_those_of_the_definition() {
    let (choice, _) = choose(eight_bits(), &Method::ALL, 1).unwrap();
    let model = model("nn.SiLU()");
    let program = lower_float(&model.folded, &model.folded_params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let mut tensors = BTreeMap::new();
    executor
        .run_with(&image(1), |tensor, values| {
            if let Values::F32(values) = values {
                tensors.insert(program.tensors()[tensor].name.clone(), values.to_vec());
            }
        })
        .unwrap();
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let readers: [(&str, &dyn Fn(f64) -> f64); 2] = [("model.15.m.0", &|x| x), ("model.1.conv", &silu)];
    for (name, reader) in readers {
        let group = choice.groups.iter().find(|g| g.tensor == name).unwrap();
        for method in &group.methods {
            let (params, (low, high)) = (method.format.params().unwrap(), method.format.range().unwrap());
            let (mut error, mut signal) = (0.0, 0.0);
            for &x in &tensors[name] {
                let q = params.dequantize(params.quantize(x.into(), low, high, Rounding::HalfEven));
                error += (reader(q.into()) - reader(x.into())).powi(2);
                signal += reader(x.into()).powi(2);
            }
            let expected = error / signal;
            assert!((method.error - expected).abs() < 1e-4 * expected, "{name} {method:?}: {expected}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_choice() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| choose(PlacementOptions::default(), &Method::ALL, 2).unwrap().0)
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn nothing_to_choose_among_is_refused() {
    let options = PlacementOptions::default();
    assert!(matches!(choose(options, &[], 1), Err(Error::NoValues)));
    assert!(matches!(choose(options, &Method::ALL, 0), Err(Error::NoValues)));
}
