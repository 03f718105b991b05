//! Weights and definitions that can't be used.

use crate::rows::{Row, check};
use crate::support::{ANNOTATIONS, IMAGES, MODEL, WEIGHTS, quantized, text, workspace};
use nn_graph::{Checkpoint, Params, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An image to detect on.
const IMAGE: &str = "fixtures/demo/images/images-00.png";

/// A checkpoint as `torch.save` writes it, with this pickle in it.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (entry, bytes) in [("archive/data.pkl", pickle), ("archive/version", b"3\n")] {
        zip.start_file(entry, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A pickle that, were it executed, would call `posix.system(command)`.
fn calls_system(command: &str) -> Vec<u8> {
    let length = (command.len() as u32).to_le_bytes();
    // Protocol 2, the global, the text, a tuple of it, the call, the end.
    [b"\x80\x02cposix\nsystem\nX".as_slice(), &length, command.as_bytes(), b"\x85R."].concat()
}

/// Rows for every program that reads weights. All but `inspect` are told the architecture, if `model` names one.
fn for_all(what: &str, weights: &str, model: Option<&str>, says: &[&str]) -> Vec<Row> {
    let quantize = ["--images", IMAGES, "--annotations", ANNOTATIONS, "--calibration", IMAGES];
    let val = &quantize[..4];
    let calls: [(&'static str, &[&str]); 4] =
        [("quantize", &quantize), ("val", val), ("detect", &["--source", IMAGE]), ("inspect", &[])];
    let model: Vec<&str> = model.into_iter().flat_map(|model| ["--model", model]).collect();
    let row = |(program, rest): (&'static str, &[&str])| {
        let arguments = [&["--weights", weights], model.as_slice(), rest].concat();
        Row::new(what, program, &arguments, says)
    };
    calls.map(row).into()
}

/// As [`for_all`], without one program.
fn for_all_but(program: &str, mut rows: Vec<Row>) -> Vec<Row> {
    rows.retain(|row| row.program != program);
    rows
}

fn write(path: &Path, bytes: &[u8]) -> String {
    std::fs::write(path, bytes).unwrap();
    text(path).to_owned()
}

#[test]
fn files_that_are_no_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = archive(&calls_system("true"));
    let truncated = write(&at("truncated.pt"), &whole[..whole.len() / 2]);
    let tensors = std::fs::read(workspace().join(WEIGHTS)).unwrap();
    let cut = write(&at("cut.safetensors"), &tensors[..tensors.len() - 1]);
    let other = write(&at("other.pt"), b"these are not weights");
    let empty = write(&at("empty.pt"), b"");
    let missing = text(&at("missing.pt")).to_owned();
    let rows = [
        for_all("truncated archive", &truncated, None, &[&truncated, "truncated or damaged"]),
        for_all("truncated safetensors", &cut, Some(MODEL), &[&cut]),
        for_all("not an archive", &other, None, &[&other, "neither a zip archive"]),
        for_all("empty file", &empty, None, &[&empty]),
        for_all("missing file", &missing, None, &[&missing, "No such file"]),
        for_all("a folder", IMAGES, None, &["directory"]),
        for_all("no architecture", WEIGHTS, None, &[WEIGHTS, "--model"]),
    ];
    check(&rows.into_iter().flatten().collect::<Vec<_>>(), folder.path());
}

#[test]
fn a_pickle_is_never_executed() {
    let folder = tempfile::tempdir().unwrap();
    let touched = folder.path().join("touched");
    let pickle = calls_system(&format!("touch '{}'", touched.display()));
    let weights = write(&folder.path().join("hostile.pt"), &archive(&pickle));
    check(&for_all("hostile pickle", &weights, None, &[&weights]), folder.path());
    assert!(!touched.exists(), "the pickle's command was run");
}

/// Writes the demonstration's parameters after a change.
fn changed_weights(path: &Path, change: impl FnOnce(&mut Params)) -> String {
    let mut params = Checkpoint::open(&workspace().join(WEIGHTS)).unwrap().params;
    change(&mut params);
    write_safetensors(path, &params, &BTreeMap::new()).unwrap();
    text(path).to_owned()
}

#[test]
fn parameters_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let nan = changed_weights(&folder.path().join("nan.safetensors"), |params| {
        params.get_mut("model.3.conv.weight").unwrap().data_mut()[5] = f32::NAN;
    });
    let unfit = changed_weights(&folder.path().join("unfit.safetensors"), |params| {
        params.remove("model.0.conv.weight").unwrap();
        params.remove("model.1.bn.bias").unwrap();
        params.insert("model.99.weight".to_owned(), Tensor::vector(vec![0.0]));
        params.insert("model.3.conv.weight".to_owned(), Tensor::vector(vec![0.0; 3]));
    });
    let all = [
        "missing model.0.conv.weight",
        "missing model.1.bn.bias",
        "extra model.99.weight",
        "model.3.conv.weight is [3]",
    ];
    // `inspect` shows names and shapes; values don't matter to it.
    let mut rows = for_all_but(
        "inspect",
        for_all(
            "NaN among the weights",
            &nan,
            Some(MODEL),
            &[&nan, "1 values of model.3.conv.weight are NaN"],
        ),
    );
    rows.extend(for_all(
        "other parameters",
        &unfit,
        Some(MODEL),
        &[&[unfit.as_str()], all.as_slice()].concat(),
    ));
    check(&rows, folder.path());
}

#[test]
fn definitions_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let yaml = std::fs::read_to_string(workspace().join(MODEL)).unwrap();
    let unknown = write(&at("unknown.yaml"), yaml.replace("SPPF", "Magic").as_bytes());
    let broken = write(&at("broken.yaml"), b"backbone: [[");
    let empty = write(&at("empty.yaml"), b"");
    let rows = [
        for_all("unknown module", WEIGHTS, Some(&unknown), &[&unknown, "layer 7", "`Magic`"]),
        for_all("not yaml", WEIGHTS, Some(&broken), &[&broken, "not valid yaml"]),
        for_all("empty yaml", WEIGHTS, Some(&empty), &[&empty]),
        for_all("unknown name", WEIGHTS, Some("yolov6x"), &["yolov6x", "yolov5n,"]),
        for_all("another architecture", WEIGHTS, Some("yolov5n"), &[WEIGHTS, "missing model.24.m.0.weight"]),
    ];
    check(&rows.into_iter().flatten().collect::<Vec<_>>(), folder.path());
}

/// The file with the lowest bit of one byte flipped.
fn flip(source: &str, path: &Path, position: impl Fn(usize) -> usize) -> String {
    let mut bytes = std::fs::read(source).unwrap();
    let position = position(bytes.len());
    bytes[position] ^= 1;
    write(path, &bytes)
}

#[test]
fn damaged_saved_networks() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let saved = quantized().network("max");
    let data = flip(&saved, &at("data.safetensors"), |length| length - 100);
    let header = flip(&saved, &at("header.safetensors"), |_| 2000);
    let length = flip(&saved, &at("length.safetensors"), |_| 1);
    let whole = std::fs::read(&saved).unwrap();
    let short = write(&at("short.safetensors"), &whole[..whole.len() - 64]);
    let rows = [
        for_all("damaged constants", &data, None, &[&data, "checksum"]),
        for_all("damaged description", &header, None, &[&header]),
        for_all("damaged length", &length, None, &[&length]),
        for_all("truncated", &short, None, &[&short]),
    ];
    // `quantize` wants a checkpoint, and says of a saved network, damaged or not, that it is none.
    let rows = rows.into_iter().flat_map(|rows| for_all_but("quantize", rows));
    check(&rows.collect::<Vec<_>>(), folder.path());
    let arguments = ["--weights", saved.as_str(), "--images", IMAGES, "--annotations", ANNOTATIONS];
    let arguments = [&arguments[..], &["--calibration", IMAGES]].concat();
    check(&[Row::new("saved network", "quantize", &arguments, &[&saved])], &folder.path().join("again"));
}
