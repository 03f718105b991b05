//! Writes small pickles and archives, without Python.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A Python value to be pickled.
#[derive(Debug, Clone)]
pub(crate) enum Py {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Py>),
    Tuple(Vec<Py>),
    Dict(Vec<(Py, Py)>),
    OrderedDict(Vec<(Py, Py)>),
    Global(&'static str, &'static str),
    Call(Box<Py>, Vec<Py>),
    Instance(&'static str, &'static str, Box<Py>),
    Persistent(Box<Py>),
    Raw(Vec<u8>), // opcodes that leave one value
}

pub(crate) fn text(text: &str) -> Py {
    Py::Text(text.to_owned())
}

pub(crate) fn ints(values: &[i64]) -> Py {
    Py::Tuple(values.iter().map(|&value| Py::Int(value)).collect())
}

pub(crate) fn dict(items: &[(&str, Py)]) -> Py {
    Py::Dict(keyed(items))
}

pub(crate) fn ordered(items: &[(&str, Py)]) -> Py {
    Py::OrderedDict(keyed(items))
}

fn keyed(items: &[(&str, Py)]) -> Vec<(Py, Py)> {
    items.iter().map(|(key, value)| (text(key), value.clone())).collect()
}

/// A storage reference as `torch.save` writes it.
pub(crate) fn storage(class: &'static str, key: &str, count: i64) -> Py {
    let reference = [text("storage"), Py::Global("torch", class), text(key), text("cpu"), Py::Int(count)];
    Py::Persistent(Box::new(Py::Tuple(reference.to_vec())))
}

/// A tensor as `torch.save` writes it.
pub(crate) fn tensor(storage: Py, offset: i64, shape: &[i64], strides: &[i64]) -> Py {
    let arguments =
        [storage, Py::Int(offset), ints(shape), ints(strides), Py::Bool(false), Py::OrderedDict(Vec::new())];
    Py::Call(Box::new(Py::Global("torch._utils", "_rebuild_tensor_v2")), arguments.to_vec())
}

pub(crate) fn parameter(tensor: Py) -> Py {
    let arguments = [tensor, Py::Bool(true), Py::OrderedDict(Vec::new())];
    Py::Call(Box::new(Py::Global("torch._utils", "_rebuild_parameter")), arguments.to_vec())
}

/// A `torch.nn.Module` with its tables and further attributes.
pub(crate) fn module(
    parameters: &[(&str, Py)],
    buffers: &[(&str, Py)],
    modules: &[(&str, Py)],
    more: &[(&str, Py)],
) -> Py {
    let mut state = vec![
        (text("training"), Py::Bool(false)),
        (text("_parameters"), ordered(parameters)),
        (text("_buffers"), ordered(buffers)),
        (text("_modules"), ordered(modules)),
    ];
    state.extend(keyed(more));
    Py::Instance("models.yolo", "Model", Box::new(Py::Dict(state)))
}

/// Pickles a value with protocol 2.
pub(crate) fn pickle(value: &Py) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    value.write(&mut out);
    out.push(b'.');
    out
}

impl Py {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(b'N'),
            Self::Bool(value) => out.push(if *value { 0x88 } else { 0x89 }),
            Self::Int(value) => {
                out.extend([0x8a, 8]);
                out.extend(value.to_le_bytes());
            }
            Self::Float(value) => {
                out.push(b'G');
                out.extend(value.to_be_bytes());
            }
            Self::Text(text) => {
                out.push(b'X');
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
            }
            Self::List(items) => {
                out.extend(b"](");
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Self::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| item.write(out));
                out.push(b't');
            }
            Self::Dict(items) => {
                out.push(b'}');
                write_items(items, out);
            }
            Self::OrderedDict(items) => {
                out.extend(b"ccollections\nOrderedDict\n)R");
                write_items(items, out);
            }
            Self::Global(module, name) => out.extend(format!("c{module}\n{name}\n").into_bytes()),
            Self::Call(callee, arguments) => {
                callee.write(out);
                Self::Tuple(arguments.clone()).write(out);
                out.push(b'R');
            }
            Self::Instance(module, name, state) => {
                Self::Global(module, name).write(out);
                out.extend(b")\x81");
                state.write(out);
                out.push(b'b');
            }
            Self::Persistent(reference) => {
                reference.write(out);
                out.push(b'Q');
            }
            Self::Raw(opcodes) => out.extend(opcodes),
        }
    }
}

fn write_items(items: &[(Py, Py)], out: &mut Vec<u8>) {
    out.push(b'(');
    for (key, value) in items {
        key.write(out);
        value.write(out);
    }
    out.push(b'u');
}

/// A zip archive of stored entries.
pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A checkpoint archive: `data.pkl` and `data/KEY` in the folder `archive`.
pub(crate) fn archive(value: &Py, storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    archive_of_pickle(&pickle(value), storages)
}

pub(crate) fn archive_of_pickle(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<_> = storages.iter().map(|(key, _)| format!("archive/data/{key}")).collect();
    let mut entries = vec![("archive/data.pkl", pickle)];
    entries.extend(names.iter().zip(storages).map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice())));
    zip(&entries)
}

/// The same with what marks an archive as TorchScript.
pub(crate) fn script_of_pickle(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<_> = storages.iter().map(|(key, _)| format!("script/data/{key}")).collect();
    let mut entries = vec![
        ("script/data.pkl", pickle),
        ("script/constants.pkl", b"\x80\x02).".as_slice()),
        ("script/code/__torch__.py", b"class Model(Module):\n"),
    ];
    entries.extend(names.iter().zip(storages).map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice())));
    zip(&entries)
}

pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A state dict with one tensor of the values 0, 1, ... `count` and the given view on it.
pub(crate) fn one_tensor(count: usize, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
    let view = tensor(storage("FloatStorage", "0", count as i64), offset, shape, strides);
    archive(&ordered(&[("weight", view)]), &[("0", f32_bytes(&values))])
}
