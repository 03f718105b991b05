use super::{SIZE, collect, image, images, model};
use ptq::{
    ChosenMethods, Error, Fusion, Method, MethodSearch, Placement, PlacementOptions, QuantConfig, Rule,
    WeightConfig, Width, lower_float, lower_integer,
};
use quant_core::{Executor, Program, Rounding, Scheme, Values};
use std::collections::BTreeMap;

fn choose(
    options: PlacementOptions,
    methods: &[Method],
    count: u64,
) -> Result<(ChosenMethods, Placement), Error> {
    let model = model("nn.SiLU()");
    let (graph, params) = (&model.folded, &model.folded_params);
    let placement = Placement::new(graph, options);
    let collection = collect(graph, params, &placement);
    let (scheme, images) = (Scheme::Affine, images(count));
    let search = MethodSearch {
        graph,
        params,
        placement: &placement,
        collection: &collection,
        methods,
        scheme,
        size: [SIZE; 2],
    };
    let choice = search.by_layers::<Error>(images, || ())?;
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

/// The sums of two convolutions that read one tensor, over two images, and a tensor whose concatenation is of its own group.
#[test]
fn convolutions_that_read_a_tensor_are_looked_at_over_all_images() {
    let (choice, placement) = choose(PlacementOptions::default(), &Method::ALL, 2).unwrap();
    let model = model("nn.SiLU()");
    let (graph, params) = (&model.folded, &model.folded_params);
    let program = lower_float(graph, params, Fusion::EveryTensor).unwrap();
    let mut executor = Executor::new(&program, SIZE, SIZE).unwrap();
    let name = "model.1.act";
    let group = choice.groups.iter().find(|g| g.tensor == name).unwrap();
    let id = graph.tensors().find(|&id| graph.node(id).name == name).unwrap();
    let readers: Vec<&str> =
        graph.consumers()[id.index()].iter().map(|&reader| graph.node(reader).name.as_str()).collect();
    assert_eq!(readers, ["model.2.cv1.conv", "model.2.cv2.conv"]);
    let mut sums = vec![[[0.0f64; 2]; 2]; group.methods.len()];
    for seed in 1..=2 {
        let (mut values, mut pixels) = (Vec::new(), 0);
        executor
            .run_with(&image(seed), |tensor, found| match found {
                Values::F32(found) if program.tensors()[tensor].name == name => {
                    (values, pixels) = (found.to_vec(), found.len() / program.tensors()[tensor].channels);
                }
                _ => {}
            })
            .unwrap();
        let channels = values.len() / pixels;
        for (method, sums) in group.methods.iter().zip(&mut sums) {
            let (quantizer, (low, high)) = (method.format.params().unwrap(), method.format.range().unwrap());
            for (reader, sums) in readers.iter().zip(sums) {
                let weight = params[&format!("{reader}.weight")].data();
                for pixel in 0..pixels {
                    for row in weight.chunks_exact(channels) {
                        let (mut real, mut error) = (0.0, 0.0);
                        for (channel, &w) in row.iter().enumerate() {
                            let x = values[channel * pixels + pixel];
                            let q = quantizer.dequantize(quantizer.quantize(
                                x.into(),
                                low,
                                high,
                                Rounding::HalfEven,
                            ));
                            real += f64::from(w) * f64::from(x);
                            error += f64::from(w) * (f64::from(q) - f64::from(x));
                        }
                        sums[0] += error * error;
                        sums[1] += real * real;
                    }
                }
            }
        }
    }
    for (method, [a, b]) in group.methods.iter().zip(sums) {
        let expected = (a[0] / a[1] + b[0] / b[1]) / 2.0;
        assert!((method.error - expected).abs() < 1e-3 * expected, "{method:?}: {expected}");
    }
    // A branch of a concatenation in its group has no reader of its own: the group's error is that of the concatenation's reader.
    let tied = |a: &str, b: &str| {
        let find = |name: &str| graph.tensors().find(|&id| graph.node(id).name == name).unwrap();
        std::ptr::eq(placement.group(find(a)), placement.group(find(b)))
    };
    assert!(tied("model.2.cat", "model.2.cv2.act"));
    let group = choice.groups.iter().find(|g| tied(&g.tensor, "model.2.cat")).unwrap();
    let mut concat = None;
    let mut watch = |seed: u64| {
        executor
            .run_with(&image(seed), |tensor, found| {
                if let (true, Values::F32(found)) = (program.tensors()[tensor].name == "model.2.cat", found) {
                    concat = Some(found.to_vec());
                }
            })
            .unwrap();
        concat.take().unwrap()
    };
    let (first, second) = (watch(1), watch(2));
    let weight = params["model.2.cv3.conv.weight"].data();
    let channels = 24;
    for method in &group.methods {
        let (quantizer, (low, high)) = (method.format.params().unwrap(), method.format.range().unwrap());
        let mut sums = [0.0f64; 2];
        for values in [&first, &second] {
            let pixels = values.len() / channels;
            for (pixel, row) in
                (0..pixels).flat_map(|p| weight.chunks_exact(channels).map(move |row| (p, row)))
            {
                let (mut real, mut error) = (0.0, 0.0);
                for (channel, &w) in row.iter().enumerate() {
                    let x = values[channel * pixels + pixel];
                    let q = quantizer.dequantize(quantizer.quantize(x.into(), low, high, Rounding::HalfEven));
                    real += f64::from(w) * f64::from(x);
                    error += f64::from(w) * (f64::from(q) - f64::from(x));
                }
                sums[0] += error * error;
                sums[1] += real * real;
            }
        }
        let expected = sums[0] / sums[1];
        assert!((method.error - expected).abs() < 1e-3 * expected, "{method:?}: {expected}");
    }
}

#[test]
fn values_that_are_not_finite_are_refused_by_name() {
    let model = model("nn.SiLU()");
    let (graph, params) = (&model.folded, &model.folded_params);
    let placement = Placement::new(graph, PlacementOptions::default());
    let collection = collect(graph, params, &placement);
    let mut bad = image(1);
    bad[40] = f32::NAN;
    let search = MethodSearch {
        graph,
        params,
        placement: &placement,
        collection: &collection,
        methods: &Method::ALL,
        scheme: Scheme::Affine,
        size: [SIZE; 2],
    };
    let refused = search.by_layers::<Error>([Ok(bad)], || ());
    assert!(matches!(&refused, Err(Error::Tensor { tensor, .. }) if tensor == "model.0.act"), "{refused:?}");
}

#[test]
fn any_number_of_threads_gives_the_same_choice() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| choose(PlacementOptions::default(), &Method::ALL, 2).unwrap().0)
    };
    assert_eq!(on(1), on(3));
}

/// The outputs of every network, and the network that is kept, from the definition.
#[test]
fn the_network_that_is_closest_at_its_outputs_is_kept() {
    let model = model("nn.SiLU()");
    let (graph, params) = (&model.folded, &model.folded_params);
    let mut kept = Vec::new();
    for options in [eight_bits(), PlacementOptions::default()] {
        let placement = Placement::new(graph, options);
        let collection = collect(graph, params, &placement);
        let (methods, scheme, weights) = (&Method::ALL, Scheme::Affine, WeightConfig::default());
        let (placement, collection) = (&placement, &collection);
        let search = MethodSearch { graph, params, placement, collection, methods, scheme, size: [SIZE; 2] };
        let by_layers = search.by_layers::<Error>(images(2), || ()).unwrap();
        let settled = search.settle::<Error>(by_layers.clone(), weights, images(2), || ()).unwrap();
        let outputs = |program: &Program, seed| {
            let mut executor = Executor::new(program, SIZE, SIZE).unwrap();
            executor.run(&image(seed)).unwrap();
            let real = |(id, values): (usize, Values<'_>)| values.to_f32(program.tensors()[id].format);
            executor.outputs().flat_map(real).collect::<Vec<f32>>()
        };
        let float = lower_float(graph, params, Fusion::Fused).unwrap();
        let mut least = (f64::INFINITY, None);
        for network in &settled.networks {
            let config = match network.method {
                None => by_layers.config.clone(),
                Some(method) => QuantConfig::calibrate(graph, placement, collection, method, scheme).unwrap(),
            };
            let program = lower_integer(graph, params, &config).unwrap();
            let (mut noise, mut signal) = (0.0, 0.0);
            for seed in 1..=2 {
                for (y, found) in outputs(&float, seed).into_iter().zip(outputs(&program, seed)) {
                    noise += f64::from(y - found).powi(2);
                    signal += f64::from(y).powi(2);
                }
            }
            assert!((network.error - noise / signal).abs() < 1e-6 * network.error, "{network:?}");
            if network.error < least.0 {
                least = (network.error, Some((network.method, config)));
            }
        }
        assert_eq!(settled.networks.len(), 1 + methods.len());
        let (method, config) = least.1.unwrap();
        assert_eq!(settled.config, config);
        assert!(settled.groups.iter().all(|group| method.is_none_or(|method| group.method == method)));
        kept.push(method);
    }
    println!("{kept:?}");
}

#[test]
fn nothing_to_choose_among_is_refused() {
    let options = PlacementOptions::default();
    assert!(matches!(choose(options, &[], 1), Err(Error::NoValues)));
    assert!(matches!(choose(options, &Method::ALL, 0), Err(Error::NoValues)));
}
