//! Released models, where `YOLO_ASSETS` (and for shapes `QUANT_GOLDENS`) say where they are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nn_graph::{Checkpoint, CheckpointFormat, ElementType, Tensor};

fn folder(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: {variable} is not set");
    }
    folder
}

fn weights(file: &str) -> Option<Checkpoint> {
    let path = folder("YOLO_ASSETS")?.join("weights").join(file);
    Some(Checkpoint::open(&path).unwrap_or_else(|error| panic!("{file}: {error}")))
}

/// Buffers, by their last name.
fn is_buffer(name: &str) -> bool {
    ["running_mean", "running_var", "anchors", "anchor_grid"].iter().any(|buffer| name.ends_with(buffer))
}

fn learnable(checkpoint: &Checkpoint) -> usize {
    let learnable = checkpoint.params.iter().filter(|(name, _)| !is_buffer(name));
    learnable.map(|(_, tensor)| tensor.data().len()).sum()
}

#[test]
fn yolov5n_has_its_parameters_definition_and_names() {
    let Some(checkpoint) = weights("yolov5n.pt") else { return };
    assert_eq!(checkpoint.format, CheckpointFormat::UltralyticsModule);
    assert_eq!(learnable(&checkpoint), 1_872_157);
    assert!(
        checkpoint.skipped.iter().all(|name| name.ends_with(".num_batches_tracked")),
        "{:?}",
        checkpoint.skipped
    );
    assert!(checkpoint.stored_types.contains_key(&ElementType::Float16));
    assert_eq!(checkpoint.non_finite(), []);
    assert_eq!(checkpoint.class_names.len(), 80);
    assert_eq!([&checkpoint.class_names[0], &checkpoint.class_names[79]], ["person", "toothbrush"]);
    let definition = checkpoint.definition.unwrap();
    assert_eq!(definition["nc"].as_u64(), Some(80));
    assert_eq!(definition["width_multiple"].as_f64(), Some(0.25));
    assert_eq!(definition["backbone"][0][2].as_str(), Some("Conv"));
    assert_eq!(definition["head"].as_sequence().map(Vec::len), Some(15));
}

#[test]
fn yolov5n_has_the_shapes_of_the_golden_graph() {
    let (Some(checkpoint), Some(goldens)) = (weights("yolov5n.pt"), folder("QUANT_GOLDENS")) else { return };
    let golden = std::fs::read_to_string(goldens.join("graph/yolov5n.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let mut extra: BTreeSet<_> = checkpoint.params.keys().cloned().collect();
    for tensor in golden["tensors"].as_array().unwrap() {
        let name = tensor[0].as_str().unwrap();
        let shape: Vec<usize> = serde_json::from_value(tensor[1].clone()).unwrap();
        assert_eq!(checkpoint.params.get(name).map(Tensor::shape), Some(shape.as_slice()), "{name}");
        extra.remove(name);
    }
    assert!(extra.iter().all(|name| name.ends_with("anchors") || name.ends_with("anchor_grid")), "{extra:?}");
}

/// FNV-1a (64 bits) over the names and little-endian `f32` values in the order of the names.
fn digest(checkpoint: &Checkpoint) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for (name, tensor) in &checkpoint.params {
        add(name.as_bytes());
        tensor.data().iter().for_each(|value| add(&value.to_le_bytes()));
    }
    digest
}

/// The digests come from Python: its own unpickler with stub classes, its `struct` for the elements.
#[test]
fn every_value_is_what_python_reads() {
    let rows = [
        ("yolov5n.pt", 292, 0x9bec_6b70_1240_789c),
        ("yolov5n_v6.0.pt", 293, 0x827d_895b_58d7_1e07),
        ("yolov7-lite-t_face.pt", 330, 0xdad4_90dc_d2fe_8494),
    ];
    for (file, tensors, expected) in rows {
        let Some(checkpoint) = weights(file) else { return };
        assert_eq!(checkpoint.format, CheckpointFormat::UltralyticsModule, "{file}");
        assert_eq!(checkpoint.params.len(), tensors, "{file}");
        assert_eq!(digest(&checkpoint), expected, "{file}");
    }
}

#[test]
fn known_values_of_yolov5n() {
    let Some(checkpoint) = weights("yolov5n.pt") else { return };
    let first = |name: &str| checkpoint.params[name].data()[..4].to_vec();
    assert_eq!(first("model.0.conv.weight"), [-0.003_936_767_6, -0.115_966_8, -0.057_708_74, -0.025_283_813]);
    assert_eq!(first("model.24.m.0.bias"), [0.101_074_22, 0.191_284_18, 0.942_382_8, 0.699_707_03]);
    assert_eq!(first("model.24.anchors"), [1.25, 1.625, 2.0, 3.75]);
}

#[test]
fn other_releases_have_definitions() {
    for file in ["yolov5n_v6.0.pt", "yolov7-lite-t_face.pt"] {
        let Some(checkpoint) = weights(file) else { return };
        assert!(checkpoint.definition.is_some(), "{file}");
        assert!(learnable(&checkpoint) > 100_000, "{file}");
        assert_eq!(checkpoint.non_finite(), [], "{file}");
    }
}
