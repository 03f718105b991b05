//! Every container, read from archives that the builder wrote.

use std::collections::BTreeMap;

use half::{bf16, f16};
use nn_graph::{
    Checkpoint, CheckpointError, CheckpointFormat, ElementType, Params, Tensor, write_safetensors,
};

use crate::builder::*;

fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
}

fn brains(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.params.keys().map(String::as_str).collect()
}

fn data<'a>(checkpoint: &'a Checkpoint, name: &str) -> &'a [f32] {
    checkpoint.params[name].data()
}

/// A model of one convolution and one normalisation.
fn model(names: Py) -> (Py, Vec<(&'static str, Vec<u8>)>) {
    let weight = parameter(tensor(storage("HalfStorage", "0", 6), 0, &[2, 3], &[1, 2])); // transposed
    let bias = parameter(tensor(storage("BFloat16Storage", "1", 2), 0, &[2], &[1]));
    let mean = tensor(storage("DoubleStorage", "2", 3), 1, &[2], &[1]);
    let batches = tensor(storage("LongStorage", "3", 1), 0, &[], &[]);
    let conv = module(&[("weight", weight), ("bias", Py::None)], &[], &[], &[]);
    let bn = module(&[("bias", bias)], &[("running_mean", mean), ("num_batches_tracked", batches)], &[], &[]);
    let block = module(&[], &[], &[("conv", conv), ("bn", bn), ("act", Py::None)], &[]);
    let layers = module(&[], &[], &[("0", block)], &[]);
    let row = Py::List(vec![Py::Int(-1), Py::Int(1), text("Conv"), Py::List(vec![Py::Int(64), Py::None])]);
    let yaml = dict(&[
        ("nc", Py::Int(2)),
        ("depth_multiple", Py::Float(0.33)),
        ("backbone", Py::List(vec![row])),
        ("odd", Py::Call(Box::new(Py::Global("numpy", "dtype")), vec![])),
    ]);
    let model = module(&[], &[], &[("model", layers)], &[("yaml", yaml), ("names", names)]);
    let storages = vec![
        ("0", halves(&[1.0, 4.0, 2.0, 5.0, 3.0, 0.1])),
        ("1", brains(&[1.5, -2.0])),
        ("2", [9.0f64, 0.1, 1e300].iter().flat_map(|value| value.to_le_bytes()).collect()),
        ("3", 7i64.to_le_bytes().to_vec()),
    ];
    (model, storages)
}

fn two_names() -> Py {
    Py::List(vec![text("cat"), text("dog")])
}

#[test]
fn a_module_gives_parameters_definition_and_names() {
    let (model, storages) = model(two_names());
    let file = archive(&dict(&[("epoch", Py::Int(-1)), ("model", model), ("ema", Py::None)]), &storages);
    let checkpoint = Checkpoint::from_bytes(&file).unwrap();
    assert_eq!(checkpoint.format, CheckpointFormat::UltralyticsModule);
    assert_eq!(names(&checkpoint), ["model.0.bn.bias", "model.0.bn.running_mean", "model.0.conv.weight"]);
    assert_eq!(checkpoint.skipped, ["model.0.bn.num_batches_tracked"]);
    assert_eq!(checkpoint.params["model.0.conv.weight"].shape(), [2, 3]);
    let tenth = f16::from_f32(0.1).to_f32();
    assert_eq!(data(&checkpoint, "model.0.conv.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, tenth]);
    assert_eq!(data(&checkpoint, "model.0.bn.bias"), [1.5, -2.0]);
    assert_eq!(data(&checkpoint, "model.0.bn.running_mean"), [0.1, f32::INFINITY]);
    assert_eq!(checkpoint.non_finite(), [("model.0.bn.running_mean".to_owned(), 1)]);
    assert_eq!(checkpoint.class_names, ["cat", "dog"]);
    let yaml = serde_yaml_ng::to_string(&checkpoint.definition.unwrap()).unwrap();
    assert_eq!(
        yaml,
        "nc: 2\ndepth_multiple: 0.33\nbackbone:\n- - -1\n  - 1\n  - Conv\n  - - 64\n    - null\n\
         odd: !numpy.dtype null\n"
    );
    let types = [ElementType::Float64, ElementType::Float16, ElementType::BFloat16, ElementType::Int64];
    assert_eq!(checkpoint.stored_types, types.map(|element| (element, 1)).into());
}

#[test]
fn class_names_may_be_numbered_but_not_with_gaps() {
    let numbered = |numbers: [i64; 2]| {
        Py::Dict(vec![(Py::Int(numbers[0]), text("dog")), (Py::Int(numbers[1]), text("cat"))])
    };
    let rows: [(&str, Py, &[&str]); 4] = [
        ("numbers in any order", numbered([1, 0]), &["cat", "dog"]),
        ("gap", numbered([0, 2]), &[]),
        ("negative", numbered([-1, 0]), &[]),
        ("not names", Py::Int(3), &[]),
    ];
    for (row, names, expected) in rows {
        let (model, storages) = model(names);
        let checkpoint = Checkpoint::from_bytes(&archive(&dict(&[("model", model)]), &storages)).unwrap();
        assert_eq!(checkpoint.class_names, expected, "{row}");
    }
}

#[test]
fn averaged_weights_come_first_and_wrappers_vanish() {
    let leaf = |key: &str| parameter(tensor(storage("FloatStorage", key, 1), 0, &[1], &[1]));
    let storages = [("0", f32_bytes(&[1.0])), ("1", f32_bytes(&[2.0]))];
    let plain = module(&[("w", leaf("0"))], &[], &[], &[]);
    let averaged = module(
        &[("w", leaf("1"))],
        &[],
        &[],
        &[("names", two_names()), ("yaml", dict(&[("nc", Py::Int(2))]))],
    );
    let wrapped = module(&[], &[], &[("module", averaged.clone())], &[]);
    let rows = [
        ("ema", dict(&[("model", plain.clone()), ("ema", averaged.clone())]), 2.0, true),
        ("ema is no module", dict(&[("model", plain.clone()), ("ema", Py::Dict(vec![]))]), 1.0, false),
        ("bare module", averaged, 2.0, true),
        ("wrapper", dict(&[("model", wrapped)]), 2.0, true),
    ];
    for (row, value, expected, described) in rows {
        let checkpoint = Checkpoint::from_bytes(&archive(&value, &storages)).unwrap();
        assert_eq!(names(&checkpoint), ["w"], "{row}");
        assert_eq!(data(&checkpoint, "w"), [expected], "{row}");
        assert_eq!(checkpoint.definition.is_some(), described, "{row}");
        assert_eq!(checkpoint.class_names.len(), if described { 2 } else { 0 }, "{row}");
    }
}

#[test]
fn state_dicts_may_be_bare_nested_or_prefixed() {
    let leaf = |offset| tensor(storage("FloatStorage", "7", 4), offset, &[2], &[1]); // two views on one storage
    let tensors = |prefix: &str| {
        Py::OrderedDict(vec![
            (text(&format!("{prefix}a.weight")), leaf(0)),
            (text(&format!("{prefix}b.weight")), leaf(2)),
            (text(&format!("{prefix}steps")), tensor(storage("IntStorage", "8", 1), 0, &[], &[])),
        ])
    };
    let rows = [
        ("bare", tensors("")),
        ("state_dict", dict(&[("epoch", Py::Int(3)), ("state_dict", tensors(""))])),
        ("model", dict(&[("model", tensors(""))])),
        ("wrapper", tensors("module.")),
    ];
    for (row, value) in rows {
        let file = archive(&value, &[("7", f32_bytes(&[1.0, 2.0, 3.0, 4.0])), ("8", vec![0; 4])]);
        let checkpoint = Checkpoint::from_bytes(&file).unwrap();
        assert_eq!(checkpoint.format, CheckpointFormat::StateDict, "{row}");
        assert_eq!(names(&checkpoint), ["a.weight", "b.weight"], "{row}");
        assert_eq!(data(&checkpoint, "b.weight"), [3.0, 4.0], "{row}");
        assert_eq!(checkpoint.skipped, ["steps"], "{row}");
        assert!(checkpoint.definition.is_none(), "{row}");
    }
}

/// Protocol 4 of the same state dict: frames, memoised short texts, STACK_GLOBAL.
#[test]
fn newer_protocols_are_read() {
    let mut opcodes = b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94(\x8c\x01w\x94".to_vec();
    opcodes.extend(b"\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94\x93\x94((\x8c\x07storage");
    opcodes.extend(
        b"\x8c\x05torch\x8c\x0cFloatStorage\x93\x8c\x010\x8c\x03cpuK\x02tQK\0K\x02\x85K\x01\x85\x89}tRu.",
    );
    let checkpoint =
        Checkpoint::from_bytes(&archive_of_pickle(&opcodes, &[("0", f32_bytes(&[1.0, 2.0]))])).unwrap();
    assert_eq!(data(&checkpoint, "w"), [1.0, 2.0]);
}

#[test]
fn torchscript_attributes_give_the_paths() {
    let script = |items: &[(&str, Py)]| Py::Instance("__torch__.models", "Model", Box::new(dict(items)));
    let leaf = tensor(storage("FloatStorage", "0", 2), 0, &[1, 2], &[2, 1]);
    let sizes = Py::Call(
        Box::new(Py::Global("torch.jit._pickle", "build_intlist")),
        vec![Py::List(vec![Py::Int(1)])],
    );
    let conv = script(&[("training", Py::Bool(false)), ("weight", leaf.clone()), ("stride", sizes)]);
    let root = script(&[("model", script(&[("0", conv)])), ("grids", Py::List(vec![leaf]))]);
    let file = zip(&[
        ("yolo/data.pkl", &pickle(&root)),
        ("yolo/data/0", &f32_bytes(&[5.0, 6.0])),
        ("yolo/constants.pkl", b"\x80\x02).".as_slice()),
        ("yolo/code/__torch__.py", b"class Model(Module):\n"),
        ("yolo/extra/config.txt", br#"{"shape": [1, 3, 640, 640], "names": {"0": "cat", "1": "dog"}}"#),
        ("yolo/byteorder", b"little"),
    ]);
    let checkpoint = Checkpoint::from_bytes(&file).unwrap();
    assert_eq!(checkpoint.format, CheckpointFormat::TorchScript);
    assert_eq!(names(&checkpoint), ["model.0.weight"]);
    assert_eq!(data(&checkpoint, "model.0.weight"), [5.0, 6.0]);
    assert_eq!(checkpoint.skipped, ["grids"]);
    assert_eq!(checkpoint.class_names, ["cat", "dog"]);
}

#[test]
fn safetensors_are_written_the_same_way_each_time_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let params = Params::from([
        ("a \"quoted\"\n".to_owned(), Tensor::new(vec![2, 1], vec![0.1, f32::MIN_POSITIVE]).unwrap()),
        ("b".to_owned(), Tensor::new(vec![], vec![-0.0]).unwrap()),
        ("c".to_owned(), Tensor::new(vec![0, 3], vec![]).unwrap()),
    ]);
    let metadata: BTreeMap<_, _> = (0..20).map(|n| (format!("key{n}"), format!("\t{n}\\"))).collect();
    std::fs::write(&path, "old").unwrap();
    write_safetensors(&path, &params, &metadata).unwrap();
    let first = std::fs::read(&path).unwrap();
    write_safetensors(&path, &params, &metadata).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.format, CheckpointFormat::Safetensors);
    assert_eq!(checkpoint.params, params);
    assert_eq!(checkpoint.metadata, metadata);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn a_failed_write_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("model");
    std::fs::create_dir_all(occupied.join("inside")).unwrap(); // a folder cannot be replaced by a file
    let params = Params::from([("w".to_owned(), Tensor::vector(vec![1.0]))]);
    let error = write_safetensors(&occupied, &params, &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let reserved = Params::from([("__metadata__".to_owned(), Tensor::vector(vec![1.0]))]);
    let error = write_safetensors(&folder.path().join("new"), &reserved, &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, CheckpointError::ReservedName), "{error}");
}

#[test]
fn safetensors_of_other_types_are_cast_or_skipped() {
    let entries = [
        r#"{"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}"#,
        r#""d":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}"#,
        r#""h":{"dtype":"F16","shape":[2],"data_offsets":[16,20]}"#,
        r#""b":{"dtype":"BF16","shape":[1,2],"data_offsets":[20,24]}}"#,
    ];
    let header = entries.join(",");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(1i64.to_le_bytes());
    file.extend(0.1f64.to_le_bytes());
    file.extend(halves(&[1.0, -0.5]));
    file.extend(brains(&[3.0, 4.0]));
    let checkpoint = Checkpoint::from_bytes(&file).unwrap();
    assert_eq!(names(&checkpoint), ["b", "d", "h"]);
    assert_eq!(data(&checkpoint, "d"), [0.1]);
    assert_eq!(data(&checkpoint, "h"), [1.0, -0.5]);
    assert_eq!(checkpoint.params["b"].shape(), [1, 2]);
    assert_eq!(checkpoint.skipped, ["i"]);
}
