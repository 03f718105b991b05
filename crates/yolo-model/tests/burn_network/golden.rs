//! Head outputs equal those of recorded reference passes: `fixtures/graph`, and `$QUANT_GOLDENS/graph` where it is set.

use crate::{formula_image, formula_model, image_tensor, network, to_vec};
use burn::tensor::Tensor;
use nn_graph::{Graph, Params};
use serde_json::Value;
use std::path::Path;

/// What differs from the recorded shape, l2 norm (relative 1e-4), first and last values (1e-3 of the root mean square).
fn mismatch(recorded: &Value, head: Tensor<4>) -> Option<String> {
    let numbers =
        |key: &str| recorded[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    let shape = head.dims().map(|side| side as f64);
    let values: Vec<f64> = to_vec(head).into_iter().map(f64::from).collect();
    let l2 = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let expected = recorded["l2"].as_f64().unwrap();
    let (first, last) = (numbers("first"), numbers("last"));
    let ends = values.iter().zip(&first).chain(values.iter().rev().zip(last.iter().rev()));
    let worst = ends.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
    let accepted = 1e-3 * expected / (values.len() as f64).sqrt();
    let same = numbers("shape") == shape && (l2 / expected - 1.0).abs() <= 1e-4 && worst <= accepted;
    (!same).then(|| format!("shape {shape:?}, l2 {l2} for {expected}, worst value off by {worst}"))
}

fn check(recorded: &Value, graph: &Graph, params: &Params) -> Vec<String> {
    let side = |axis: usize| recorded["input"][axis].as_u64().unwrap() as usize;
    let size = [side(2), side(3)];
    let heads = network(graph, params).forward(image_tensor(&formula_image(size), size)).unwrap();
    let recorded = recorded["heads"].as_array().unwrap();
    assert_eq!(heads.len(), recorded.len());
    recorded.iter().zip(heads).filter_map(|(recorded, head)| mismatch(recorded, head)).collect()
}

#[test]
fn heads_of_recorded_passes() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/graph");
    let shared = std::env::var_os("QUANT_GOLDENS").map(|folder| Path::new(&folder).join("graph"));
    let mut faults = Vec::new();
    let mut compared = 0;
    for (folder, model) in
        [Some(fixtures), shared].iter().flatten().flat_map(|f| [(f, "yolov5n"), (f, "yolov5s")])
    {
        let Ok(text) = std::fs::read(folder.join(model).with_extension("json")) else {
            println!("no {model} in {}", folder.display());
            continue;
        };
        let recorded: Value = serde_json::from_slice(&text).unwrap();
        let (graph, params) = formula_model(model);
        let (folded, folded_params) = graph.fold_batch_norm(&params).unwrap();
        for (form, graph, params) in [("unfolded", &graph, &params), ("folded", &folded, &folded_params)] {
            faults.extend(
                check(&recorded, graph, params).iter().map(|fault| format!("{model} {form}: {fault}")),
            );
            compared += 1;
        }
    }
    assert!(compared >= 2, "nothing was compared");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
