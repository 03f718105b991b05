//! Definitions, expansion, shapes, counts and folding.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use nn_graph::{BUILTIN_MODELS, Definition, Error, Graph, Op, Params, Tensor, formula_params};

fn builtin(name: &str) -> Graph {
    Graph::from_definition(&Definition::builtin(name).unwrap()).unwrap()
}

/// A one-level model with the given backbone lines.
fn small(backbone: &str) -> Result<Graph, Error> {
    let text = format!(
        "nc: 2\nanchors: [[10, 13, 16, 30]]\nwidth_multiple: 1.0\ndepth_multiple: 1.0\nbackbone:\n{backbone}\n\
         head:\n  - [[-1], 1, Detect, [nc, anchors]]\n"
    );
    Graph::from_definition(&Definition::from_yaml("small", &text)?)
}

/// Million parameters and GFLOPs at 640x640 as YOLOv5's table of release 7.0 prints them.
#[test]
fn builtin_models_have_the_published_sizes() {
    let published = [
        (1.9, 4.5),
        (7.2, 16.5),
        (21.2, 49.0),
        (46.5, 109.1),
        (86.7, 205.7),
        (3.2, 4.6),
        (12.6, 16.8),
        (35.7, 50.0),
        (76.8, 111.4),
        (140.7, 209.8),
    ];
    let mut wrong = Vec::new();
    for (name, (millions, giga)) in BUILTIN_MODELS.iter().zip(published) {
        let graph = builtin(name);
        let found = (graph.parameter_count() as f64 * 1e-6, graph.flops(640, 640).unwrap() as f64 * 1e-9);
        if (found.0 - millions).abs() > 0.1 || (found.1 / giga - 1.0).abs() > 0.02 {
            wrong.push(format!("{name}: {found:?}, published {millions} M and {giga} GFLOPs"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_strides_and_head() {
    let graph = builtin("yolov5s6");
    assert_eq!(graph.head().unwrap().strides, [8, 16, 32, 64]);
    assert_eq!(graph.stride(), 64);
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
    for name in ["model.0.conv", "model.2.m.0.cv1.bn", "model.2.m.0.add", "model.11.m.2", "model.33.m.3"] {
        assert!(names.contains(&name), "{name}");
    }
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "names are unique");
}

#[test]
fn shapes_follow_the_image_and_wrong_sizes_are_refused() {
    let graph = builtin("yolov5n");
    let shapes = graph.infer_shapes(416, 736).unwrap();
    let heads: Vec<_> = graph.outputs().iter().map(|id| shapes[id.index()]).collect();
    assert_eq!(heads, [[255, 52, 92], [255, 26, 46], [255, 13, 23]]);
    for (height, width) in [(0, 640), (640, 100), (33, 64)] {
        let error = graph.infer_shapes(height, width).unwrap_err();
        assert!(matches!(error, Error::ImageSize { stride: 32, .. }), "{error}");
    }
}

#[test]
fn older_modules_expand() {
    let graph = small(
        "  - [-1, 1, Focus, [16, 3]]\n  - [-1, 1, DWConv, [32, 3, 2]]\n  - [-1, 2, Bottleneck, [32]]\n  - [-1, 1, SPP, [32, [3, 5]]]\n\
         \x20 - [-1, 1, Conv, [16, 3, 2, None, 2]]",
    )
    .unwrap();
    let find = |name: &str| graph.nodes().iter().find(|n| n.name == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(find("model.0.space_to_depth").channels, 12);
    assert!(matches!(&find("model.0.conv.conv").op, Op::Conv(c) if c.in_channels == 12));
    assert!(matches!(&find("model.1.conv").op, Op::Conv(c) if c.groups == 16));
    assert_eq!(find("model.2.1.add").op, Op::Add);
    assert_eq!(find("model.3.cat").channels, 48);
    assert!(
        matches!(&find("model.4.conv").op, Op::Conv(c) if c.groups == 2 && c.weight_shape() == [16, 16, 3, 3])
    );
    assert_eq!(graph.stride(), 8);
}

#[test]
fn dilation_missing_activation_and_unscaled_width() {
    let graph = small(
        "  - [-1, 1, Conv, [8, 3, 1, null, 1, 2, False]]\n  - [-1, 1, Conv, [8, 3, 1, null, 1, False]]\n  - [-1, 1, DWConv, [8, 3, 1, 3]]\n\
         \x20 - [-1, 1, Conv, [14]]",
    )
    .unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
    assert!(
        !names.contains(&"model.0.act") && !names.contains(&"model.1.act") && names.contains(&"model.2.act")
    );
    let conv = |name: &str| match &graph.nodes().iter().find(|n| n.name == name).unwrap().op {
        Op::Conv(conv) => *conv,
        other => panic!("{other:?}"),
    };
    assert_eq!((conv("model.0.conv").dilation, conv("model.0.conv").padding), ([2, 2], [2, 2]));
    assert_eq!((conv("model.2.conv").dilation, conv("model.2.conv").padding), ([3, 3], [3, 3]));
    // Two anchors and two classes make 14 outputs: a layer of that width is not rounded up.
    assert_eq!(conv("model.3.conv").out_channels, 14);
    assert_eq!(graph.infer_shapes(64, 96).unwrap().last(), Some(&[14, 64, 96]));
}

#[test]
fn bad_definitions_name_the_layer() {
    let rows = [
        (
            "unknown module",
            "  - [-1, 1, Conv, [8]]\n  - [-1, 1, Warp, [8]]",
            "layer 1: unknown module `Warp`",
        ),
        ("no channels", "  - [-1, 1, Conv, []]", "layer 0 (Conv): argument 0"),
        ("huge channels", "  - [-1, 1, Conv, [99999999]]", "layer 0 (Conv): argument 0"),
        ("zero stride", "  - [-1, 1, Conv, [8, 3, 0]]", "argument 2 (s)"),
        ("groups", "  - [-1, 1, Conv, [8, 3, 1, null, 2]]", "argument 4 (g)"),
        ("later layer", "  - [7, 1, Conv, [8]]", "layer 0: reads from 7"),
        ("before the start", "  - [-3, 1, Conv, [8]]", "layer 0: reads from -3"),
        ("three fields", "  - [-1, 1, Conv]", "layer 0: expected [from, number, module, args]"),
        ("number", "  - [-1, 0, Conv, [8]]", "layer 0: expected"),
        ("bilinear", "  - [-1, 1, nn.Upsample, [None, 2, bilinear]]", "argument 2 (mode)"),
        ("fraction", "  - [-1, 1, nn.Upsample, [None, 1.5, nearest]]", "argument 1 (scale_factor)"),
        (
            "joined sizes",
            "  - [-1, 1, Conv, [8]]\n  - [-1, 1, Conv, [8, 3, 2]]\n  - [[-1, 0], 1, Concat, [1]]",
            "inputs of different shapes",
        ),
        ("two inputs", "  - [[-1, -1], 1, Conv, [8]]", "this module reads one layer"),
        ("repeated concat", "  - [-1, 1, Conv, [8]]\n  - [[-1, 0], 2, Concat, [1]]", "number must be 1"),
        (
            "concat over rows",
            "  - [-1, 1, Conv, [8]]\n  - [[-1, 0], 1, Concat, [2]]",
            "argument 0 (dimension)",
        ),
        ("upsampled to a size", "  - [-1, 1, nn.Upsample, [64, None, nearest]]", "argument 0 (size)"),
        ("too many arguments", "  - [-1, 1, SPPF, [8, 5, 3]]", "argument 2 (beyond the last)"),
        (
            "detect twice",
            "  - [-1, 1, Detect, [nc, anchors]]\n  - [-1, 1, Conv, [8]]",
            "Detect must be the last layer",
        ),
        ("stride of three", "  - [-1, 1, Conv, [8, 3, 3]]", "not a whole power-of-two fraction"),
        (
            "output beyond input",
            "  - [-1, 1, Conv, [8]]\n  - [-1, 1, nn.Upsample, [None, 2, nearest]]",
            "not a whole power-of-two fraction",
        ),
        ("huge factor", "  - [-1, 1, nn.Upsample, [None, 100, nearest]]", "argument 1 (scale_factor)"),
        (
            "many repeats",
            "  - [-1, 1000, Conv, [8]]\n  - [-1, 1000, C3, [8]]\n  - [-1, 1000, C3, [8]]",
            "more than 16384 operators",
        ),
        ("flag", "  - [-1, 1, C3, [8, maybe]]", "argument 1 (shortcut)"),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(name, backbone, want)| match small(backbone) {
            Ok(_) => Some(format!("{name}: accepted")),
            Err(error) if !error.to_string().contains(want) => Some(format!("{name}: {error}")),
            Err(_) => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let doubled = "  - [-1, 1, Conv, [64]]\n".to_owned() + &"  - [[-1, -1], 1, Concat, [1]]\n".repeat(40);
    assert!(matches!(small(&doubled), Err(Error::TooLarge { layer: 11, .. })));
    let head = "anchors: [[1, 2]]\nbackbone: []\nhead: [[-1, 1, Detect, [nc, anchors]]]";
    for ch in ["0", "18446744073709551615", "-1", "x"] {
        assert!(Definition::from_yaml("bad", &format!("nc: 1\nch: {ch}\n{head}")).is_err(), "ch: {ch}");
    }
    for text in ["nc: [", "backbone: 3", "{}", "nc: 0\nanchors: [[1, 2]]\nbackbone: []\nhead: []"] {
        assert!(Definition::from_yaml("bad", text).is_err(), "{text}");
    }
}

#[test]
fn all_wrong_parameters_are_listed_at_once() {
    let graph = builtin("yolov5n");
    let mut params = formula_params(&graph);
    params.remove("model.0.conv.weight");
    params.remove("model.9.cv2.bn.bias");
    params.insert("model.1.conv.weight".into(), Tensor::vector(vec![0.0; 3]));
    params.insert("model.99.weight".into(), Tensor::vector(vec![0.0]));
    params.insert("model.24.anchors".into(), Tensor::vector(vec![0.0]));
    let Err(Error::Params(mismatch)) = graph.check_params(&params) else { panic!("accepted") };
    let missing: Vec<&str> = mismatch.missing.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(missing, ["model.0.conv.weight", "model.9.cv2.bn.bias"]);
    assert_eq!(mismatch.extra, ["model.99.weight"]);
    assert_eq!(mismatch.wrong_shape.len(), 1);
    let text = mismatch.to_string();
    for name in ["model.0.conv.weight", "model.9.cv2.bn.bias", "model.1.conv.weight", "model.99.weight"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn trained_anchors_replace_those_of_the_definition() {
    let mut graph = builtin("yolov5n");
    let mut params = Params::new();
    graph.adopt_anchors(&params).unwrap();
    assert_eq!(graph.head().unwrap().anchors[0][0], [10.0, 13.0]);
    let values: Vec<f32> = (0..18).map(|i| i as f32).collect();
    params.insert("model.24.anchors".into(), Tensor::new(vec![3, 3, 2], values).unwrap());
    graph.adopt_anchors(&params).unwrap();
    assert_eq!(graph.head().unwrap().anchors[1], [[96.0, 112.0], [128.0, 144.0], [160.0, 176.0]]);
    params.insert("model.24.anchors".into(), Tensor::vector(vec![0.0; 18]));
    assert!(matches!(graph.adopt_anchors(&params), Err(Error::Anchors { .. })));
}

#[test]
fn folding_is_the_affine_map_of_batch_norm() {
    let graph = small("  - [-1, 1, Conv, [8, 3, 2]]").unwrap();
    let params = formula_params(&graph);
    let (folded, new) = graph.fold_batch_norm(&params).unwrap();
    assert!(folded.nodes().iter().all(|n| !matches!(n.op, Op::BatchNorm { .. })));
    assert_eq!(folded.nodes().len() + 1, graph.nodes().len());
    folded.check_params(&new).unwrap();
    let get = |name: &str, i: usize| f64::from(params[name].data()[i]);
    for channel in 0..8 {
        let root = (get("model.0.bn.running_var", channel) + 1e-3).sqrt();
        let scale = get("model.0.bn.weight", channel) / root;
        let bias = get("model.0.bn.bias", channel) - get("model.0.bn.running_mean", channel) * scale;
        let weight = get("model.0.conv.weight", 27 * channel + 5) * scale;
        assert!((f64::from(new["model.0.conv.weight"].data()[27 * channel + 5]) - weight).abs() < 1e-6);
        assert!((f64::from(new["model.0.conv.bias"].data()[channel]) - bias).abs() < 1e-6);
    }
}

#[test]
fn parameters_that_fold_to_nan_are_refused() {
    let graph = small("  - [-1, 1, Conv, [8, 3, 2]]").unwrap();
    for (name, value) in
        [("model.0.bn.running_var", -1.0), ("model.0.conv.weight", 3e38), ("model.0.bn.bias", f32::NAN)]
    {
        let mut params = formula_params(&graph);
        params.get_mut(name).unwrap().data_mut()[0] = value;
        if name.ends_with("conv.weight") {
            params.get_mut("model.0.bn.weight").unwrap().data_mut()[0] = 3e38;
        }
        assert!(matches!(graph.fold_batch_norm(&params), Err(Error::NotFinite { .. })), "{name}");
    }
}

#[test]
fn the_dump_names_every_node_and_the_totals() {
    let graph = builtin("yolov5n");
    let text = graph.dump(640, 640).unwrap();
    for node in graph.nodes() {
        assert!(text.contains(&node.name), "{}", node.name);
    }
    assert!(text.contains("1872157 parameters"), "{text}");
}
