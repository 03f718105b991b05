//! Files that are wrong by accident or on purpose: each gives an error or inert data, never a panic.

use std::fmt::Write as _;

use nn_graph::{Checkpoint, CheckpointError, Params, Tensor, write_safetensors};
use proptest::prelude::*;

use crate::builder::*;

fn error(file: &[u8]) -> CheckpointError {
    match Checkpoint::from_bytes(file) {
        Ok(checkpoint) => panic!("accepted: {:?}", checkpoint.params.keys()),
        Err(error) => error,
    }
}

fn leaf() -> Py {
    tensor(storage("FloatStorage", "0", 2), 0, &[2], &[1])
}

fn two_values() -> [(&'static str, Vec<u8>); 1] {
    [("0", f32_bytes(&[1.0, 2.0]))]
}

fn small_model() -> Py {
    let names = Py::List(vec![text("cat")]);
    let yaml = dict(&[("nc", Py::Int(1)), ("head", Py::List(vec![Py::Float(0.5), Py::None]))]);
    let child = module(&[("weight", parameter(leaf()))], &[], &[], &[]);
    dict(&[(
        "model",
        module(&[], &[("anchors", leaf())], &[("0", child)], &[("yaml", yaml), ("names", names)]),
    )])
}

/// Each file breaks one rule; the message names it.
#[test]
fn broken_rules_are_named() {
    let good = one_tensor(4, 0, &[4], &[1]);
    let state = |value: Py| archive(&ordered(&[("w", value)]), &two_values());
    let raw = |opcodes: &[u8]| archive_of_pickle(opcodes, &[]);
    let pkl = pickle(&ordered(&[("w", leaf())]));
    let mut legacy = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    legacy.extend([0; 64]);
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty file", vec![], "neither a zip archive"),
        ("not a zip", b"hello, this is text".to_vec(), "neither a zip archive"),
        ("legacy", legacy, "before version 1.6"),
        ("truncated zip", good[..good.len() / 2].to_vec(), "truncated or damaged"),
        ("no pickle", zip(&[("archive/version", b"3")]), "no `data.pkl`"),
        ("two pickles", zip(&[("a/data.pkl", b"."), ("b/data.pkl", b".")]), "`a` and `b`"),
        ("big endian", zip(&[("a/data.pkl", &pkl), ("a/byteorder", b"big")]), "byte order `big`"),
        ("no stop", raw(b"\x80\x02}"), "at byte 3: the pickle ends"),
        ("empty pickle", raw(b""), "at byte 0: the pickle ends"),
        ("opcode", raw(b"\x80\x02}\xff."), "at byte 3: opcode 0xff"),
        ("text opcode", raw(b"I1\n."), "opcode 0x49"),
        ("protocol", raw(b"\x80\x06."), "protocol 6"),
        ("underflow", raw(b"\x80\x02."), "too few values"),
        ("underflow past a mark", raw(b"N(\x85."), "too few values"),
        ("pop below a mark", raw(b"N(."), "too few values"),
        ("no mark", raw(b"Nt."), "no mark"),
        ("memo", raw(b"h\x07."), "memo entry 7"),
        ("odd dict", raw(b"(Nd."), "even number"),
        ("append to None", raw(b"NNa."), "needs a list"),
        ("build on a list", raw(b"]}b."), "needs an object"),
        ("utf-8", raw(b"\x8c\x01\xff."), "not valid UTF-8"),
        ("long text", raw(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "exceeds the limit"),
        ("long bytes", raw(b"B\xff\xff\xff\xff."), "exceeds the limit"),
        ("text past the end", raw(b"X\xff\xff\0\0ab."), "more bytes are needed"),
        ("not a model", raw(b"K\x01."), "holds an int"),
        ("dict without tensors", archive(&dict(&[("a", Py::Int(1))]), &[]), "dict without a model"),
        ("cyclic list", raw(b"]q\0h\0a."), "holds a list"),
        ("integers only", state(tensor(storage("LongStorage", "0", 1), 0, &[1], &[1])), "no floating-point"),
        (
            "missing storage",
            state(tensor(storage("FloatStorage", "17", 2), 0, &[2], &[1])),
            "`w`: archive entry `data/17`",
        ),
        (
            "short storage",
            state(tensor(storage("DoubleStorage", "0", 2), 0, &[1], &[1])),
            "8 bytes, too few for 2 elements of float64",
        ),
        ("huge count", state(tensor(storage("FloatStorage", "0", i64::MAX), 0, &[1], &[1])), "too few for"),
        (
            "complex",
            state(tensor(storage("ComplexFloatStorage", "0", 1), 0, &[1], &[1])),
            "torch.ComplexFloatStorage",
        ),
        ("past the end", one_tensor(4, 1, &[4], &[1]), "reach outside a storage of 4"),
        ("strided past the end", one_tensor(4, 0, &[2, 2], &[3, 1]), "reach outside"),
        ("offset overflow", one_tensor(4, i64::MAX, &[2], &[i64::MAX]), "reach outside"),
        (
            "huge shape",
            one_tensor(4, 0, &[i64::MAX, 4, i64::MAX], &[0, 1, 0]),
            "file's size does not justify",
        ),
        ("repetition bomb", one_tensor(4, 0, &[1 << 30], &[0]), "file's size does not justify"),
        ("negative shape", one_tensor(4, 0, &[-1], &[1]), "malformed shape"),
        ("negative offset", one_tensor(4, -1, &[1], &[1]), "malformed offset"),
        ("negative stride", one_tensor(4, 3, &[2], &[-1]), "malformed strides"),
        ("fewer strides", one_tensor(4, 0, &[2, 2], &[1]), "malformed strides"),
        ("rank", one_tensor(4, 0, &[1; 65], &[1; 65]), "65 dimensions"),
        ("long name", archive(&ordered(&[(&"n".repeat(600), leaf())]), &two_values()), "longer than 512"),
        ("number as name", archive(&Py::Dict(vec![(Py::Int(1), leaf())]), &two_values()), "not a text"),
        (
            "twice",
            archive(&ordered(&[("w", leaf()), ("w", leaf())]), &two_values()),
            "two parameters are called `w`",
        ),
        (
            "not a tensor",
            archive(&module(&[("w", Py::Int(3))], &[], &[], &[]), &two_values()),
            "`w`: it is an int",
        ),
        (
            "no tables",
            archive(&Py::Instance("a", "B", Box::new(dict(&[("_modules", dict(&[]))]))), &[]),
            "no dict `_parameters`",
        ),
        ("wrong safetensors", b"\x02\0\0\0\0\0\0\0{]".to_vec(), "not a valid safetensors"),
    ];
    let mut failures = String::new();
    for (row, file, expected) in rows {
        let message = error(&file).to_string();
        if !message.contains(expected) {
            let _ = writeln!(failures, "{row}: {message}");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// A pickle that, run by Python, would create a file. Here it is a name and a text.
#[test]
fn nothing_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("created");
    for module in ["posix", "os", "nt"] {
        let command = format!("touch '{}'", marker.display());
        let call = || Py::Call(Box::new(Py::Global(module, "system")), vec![text(&command)]);
        let message = error(&archive(&call(), &[])).to_string();
        assert_eq!(
            message,
            format!("the checkpoint holds a {module}.system, not a model or a dict of tensors")
        );
        let beside = archive(&ordered(&[("evil", call()), ("w", leaf())]), &two_values());
        let checkpoint = Checkpoint::from_bytes(&beside).unwrap();
        assert_eq!(checkpoint.skipped, ["evil"]);
        let inside = module_with(call());
        assert!(error(&inside).to_string().contains(&format!("`evil`: it is a {module}.system")));
        assert!(!marker.exists());
    }
}

fn module_with(parameter: Py) -> Vec<u8> {
    archive(&dict(&[("model", module(&[("evil", parameter)], &[], &[], &[]))]), &two_values())
}

#[test]
fn compressed_entries_are_refused() {
    // The zip writer is built without compression, so the method is patched: in the local header at 8, in the
    // directory at 10.
    let mut file = one_tensor(4, 0, &[4], &[1]);
    for (signature, field) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let starts: Vec<_> = (0..file.len() - 4).filter(|&at| file[at..at + 4] == *signature).collect();
        for start in starts.into_iter().skip(1) {
            file[start + field] = 8; // deflate, for data/0 only
        }
    }
    let message = error(&file).to_string();
    assert_eq!(
        message,
        "parameter `weight`: archive entry `data/0` with its elements is compressed or encrypted"
    );
}

#[test]
fn damaged_weights_are_noticed() {
    let mut file = one_tensor(4, 0, &[4], &[1]);
    let place = file.windows(4).position(|window| window == 3.0f32.to_le_bytes()).unwrap();
    file[place] ^= 1;
    assert!(error(&file).to_string().contains("entry `archive/data/0` is damaged"));
}

#[test]
fn every_truncation_is_an_error() {
    let pickled = pickle(&small_model());
    for length in 0..pickled.len() {
        error(&archive_of_pickle(&pickled[..length], &two_values()));
    }
    let file = archive(&small_model(), &two_values());
    for length in 0..file.len() {
        error(&file[..length]);
    }
    Checkpoint::from_bytes(&file).unwrap();
}

/// xorshift64: the flips are the same in every run.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

type Pack = fn(&[u8], &[(&str, Vec<u8>)]) -> Vec<u8>;

/// Flips in the pickle (with fitting checksums, so that the machine and the walks see them) and in the container.
#[test]
fn flipped_bytes_never_panic() {
    let layer =
        Py::Instance("__torch__", "L", Box::new(dict(&[("weight", leaf()), ("training", Py::Bool(false))])));
    let script =
        Py::Instance("__torch__", "M", Box::new(dict(&[("0", layer), ("grid", Py::List(vec![leaf()]))])));
    let rows: [(Py, Pack); 3] = [
        (small_model(), archive_of_pickle),
        (ordered(&[("a", leaf()), ("b", parameter(leaf()))]), archive_of_pickle),
        (script, script_of_pickle),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for (value, pack) in rows {
        let pickled = pickle(&value);
        let file = pack(&pickled, &two_values());
        assert!(Checkpoint::from_bytes(&file).is_ok());
        for _ in 0..20_000 {
            let damaged = pack(&flipped(&pickled, &mut state), &two_values());
            let _ = Checkpoint::from_bytes(&damaged);
            let _ = Checkpoint::from_bytes(&flipped(&file, &mut state));
        }
    }
}

#[test]
fn flipped_safetensors_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let params = Params::from([
        ("a".to_owned(), Tensor::new(vec![2, 2], vec![1.0; 4]).unwrap()),
        ("b".to_owned(), Tensor::vector(vec![2.0])),
    ]);
    write_safetensors(&path, &params, &[("made by".to_owned(), "test".to_owned())].into()).unwrap();
    let file = std::fs::read(&path).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d;
    for _ in 0..20_000 {
        let _ = Checkpoint::from_bytes(&flipped(&file, &mut state));
    }
    for length in 0..file.len() {
        error(&file[..length]);
    }
}

/// A copy with one to three bytes replaced.
fn flipped(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..1 + next(state) % 3 {
        let place = next(state) % damaged.len();
        damaged[place] = next(state) as u8;
    }
    damaged
}

proptest! {
    #[test]
    fn any_opcodes_are_survived(opcodes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Checkpoint::from_bytes(&archive_of_pickle(&opcodes, &[]));
        let _ = Checkpoint::from_bytes(&opcodes);
    }
}

#[test]
fn deep_nesting_is_survived() {
    let lists = [b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat();
    assert!(error(&archive_of_pickle(&lists, &[])).to_string().contains("holds a list"));
    let tuples = [b"N".to_vec(), b"\x85".repeat(500_000), b".".to_vec()].concat();
    assert!(error(&archive_of_pickle(&tuples, &[])).to_string().contains("holds a tuple"));
    let deep_yaml = (0..40).fold(Py::Int(1), |inner, _| Py::List(vec![inner]));
    let model = module(&[("w", leaf())], &[], &[], &[("yaml", dict(&[("head", deep_yaml)]))]);
    assert!(matches!(error(&archive(&model, &two_values())), CheckpointError::DefinitionTooLarge { .. }));
}

#[test]
fn cyclic_modules_and_definitions_end() {
    // {"_modules": {"m": itself}} and a yaml list that holds itself, closed through the memo.
    let mut cyclic = b"\x80\x02ca\nB\n)\x81q\0}(".to_vec();
    for table in ["_parameters", "_buffers"] {
        text(table).write(&mut cyclic);
        cyclic.push(b'}');
    }
    text("_modules").write(&mut cyclic);
    cyclic.extend(b"}\x8c\x01mh\0sub.");
    assert!(matches!(error(&archive_of_pickle(&cyclic, &[])), CheckpointError::TooDeep { .. }));
    let itself = dict(&[("head", Py::Raw(b"]q\x01h\x01a".to_vec()))]);
    let model = module(&[("w", leaf())], &[], &[], &[("yaml", itself)]);
    assert!(matches!(error(&archive(&model, &two_values())), CheckpointError::DefinitionTooLarge { .. }));
}

/// Each level holds the one below twice: 2^20 modules or values from a few hundred bytes.
#[test]
fn sharing_does_not_explode() {
    let empty = module(&[], &[], &[], &[]);
    let mut previous = Py::Raw([written(&empty), b"q\0".to_vec()].concat());
    let mut value = Py::List(vec![Py::Int(0)]);
    let mut yaml = Py::Raw([written(&value), b"q\x80".to_vec()].concat());
    for level in 1..=20u8 {
        let again = Py::Raw(vec![b'h', level - 1]);
        let doubled = module(&[], &[], &[("a", previous), ("b", again)], &[]);
        previous = Py::Raw([written(&doubled), vec![b'q', level]].concat());
        value = Py::List(vec![yaml, Py::Raw(vec![b'h', 0x7f + level])]);
        yaml = Py::Raw([written(&value), vec![b'q', 0x80 + level]].concat());
    }
    let error_of = |value| error(&archive(value, &two_values()));
    assert!(matches!(error_of(&previous), CheckpointError::TooManyEntries { .. }));
    let long = module(&[("w", leaf())], &[], &[], &[("names", Py::Raw(repeated_text()))]);
    assert!(matches!(error_of(&long), CheckpointError::DefinitionTooLarge { .. }));
    let deep = module(&[("w", leaf())], &[], &[], &[("yaml", dict(&[("head", yaml)]))]);
    assert!(matches!(error_of(&deep), CheckpointError::DefinitionTooLarge { .. }));
}

fn written(value: &Py) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

/// A list of 10 000 references to one text of 100 000 bytes.
fn repeated_text() -> Vec<u8> {
    let long = [written(&text(&"x".repeat(100_000))), b"q\0".to_vec()].concat();
    [b"](".to_vec(), long, b"h\0".repeat(10_000), b"e".to_vec()].concat()
}

#[test]
fn limits_of_the_machine_hold() {
    let rows: [(&str, Vec<u8>, &str); 4] = [
        ("opcodes", b"N0".repeat(1 << 20), "more than 1048576 opcodes"),
        ("stack", b"N".repeat((1 << 17) + 1), "stack exceeds"),
        ("marks", b"(".repeat((1 << 17) + 1), "stack exceeds"),
        (
            "memo",
            [
                b"N".to_vec(),
                (0..=1u32 << 19).flat_map(|n| [b"r".as_slice(), &n.to_le_bytes()].concat()).collect(),
            ]
            .concat(),
            "memo exceeds",
        ),
    ];
    for (row, opcodes, expected) in rows {
        let message = error(&archive_of_pickle(&opcodes, &[])).to_string();
        assert!(message.contains(expected), "{row}: {message}");
    }
}
