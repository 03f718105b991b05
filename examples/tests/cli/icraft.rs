//! `raw2ckpt` and `ckpt2raw` on pairs made from the demonstration.

use crate::icraft_pairs::{Payloads, Stages, bare, demonstration, elements};
use crate::rows::{Row, check};
use crate::support::{MODEL, WEIGHTS, run, succeed, text};
use examples::icraft::checkpoints::to_params;
use examples::icraft::pairs::{ChecksumRule, Pair};
use examples::icraft::tensors::{Known, stored_tensors};
use icraft_raw::{
    Generation, InputTransform, Network, Profile, RawFile, RawRow, RawType, Role, describe, payload,
    payloads, reverse_input_channels, to_raw_layout, transformed, write_raws,
};
use nn_graph::{Checkpoint, Params, write_safetensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Runs a program on a pair with further options; gives its stdout.
fn on_pair(program: &str, pair: &[String], options: &[&str]) -> String {
    let arguments: Vec<&str> = pair.iter().map(String::as_str).chain(options.iter().copied()).collect();
    succeed(program, &arguments)
}

fn json_on_pair(program: &str, pair: &[String], options: &[&str]) -> Value {
    serde_json::from_str(&on_pair(program, pair, &[options, &["--json-summary"]].concat())).unwrap()
}

/// From a pair to a checkpoint and back.
fn back(made: &Stages, pair: &[String], options: &[&str]) -> (Value, [Vec<u8>; 2]) {
    let checkpoint = made.path("checkpoint.safetensors");
    on_pair("raw2ckpt", pair, &[options, &["--out", &checkpoint]].concat());
    let report = to_raw(made, pair, &[options, &["--ckpt", &checkpoint]].concat());
    (report, [made.bytes("again.json"), made.bytes("again.raw")])
}

fn to_raw(made: &Stages, pair: &[String], options: &[&str]) -> Value {
    let (json, raw) = (made.path("again.json"), made.path("again.raw"));
    json_on_pair("ckpt2raw", pair, &[options, &["--out-json", &json, "--out-raw", &raw]].concat())
}

fn params(path: &str) -> Params {
    Checkpoint::open(Path::new(path)).unwrap().params
}

#[test]
fn checkpoints_lead_back_to_the_same_bytes() {
    for generation in [Generation::Legacy, Generation::Xir] {
        for bits in [8, 12, 16] {
            let made = Stages::new(generation, bits);
            for stage in ["parsed", "normed", "quantized"] {
                for options in [&[][..], &["--csv", &made.path("raws.csv"), "--profile", "xir"]] {
                    let pair = made.pair(stage);
                    let (report, [json, raw]) = back(&made, &pair, options);
                    let what = format!("{generation:?}, {bits} bits, {stage}, {options:?}");
                    assert!(raw == made.bytes(&format!("demo_{stage}.raw")), "{what}");
                    assert!(json == made.bytes(&format!("demo_{stage}.json")), "{what}");
                    assert_eq!((&report["changed"], &report["clamped"]), (&0.into(), &0.into()), "{what}");
                    assert_eq!(report["checksum"], "matches", "{what}");
                }
            }
            let pair = made.pair("normed");
            on_pair("raw2ckpt", &pair, &["--out", &made.path("normed.safetensors")]);
            let found = params(&made.path("normed.safetensors"));
            assert!(found.iter().all(|(name, tensor)| made.normed[name] == *tensor), "{generation:?}");
            assert_eq!(found.len(), made.quantized.operations.iter().map(|o| o.params.len()).sum::<usize>());
        }
    }
}

/// Ranges of bytes that differ.
fn differing(one: &[u8], other: &[u8]) -> Vec<usize> {
    assert_eq!(one.len(), other.len());
    (0..one.len()).filter(|&index| one[index] != other[index]).collect()
}

#[test]
fn one_weight_changes_its_bytes_and_the_checksum() {
    for (generation, key) in [(Generation::Legacy, "raw_md5"), (Generation::Xir, "params_md5")] {
        for (bits, element) in [(8, RawType::I8), (12, RawType::I16), (16, RawType::I16)] {
            let made = Stages::new(generation, bits);
            let (pair, checkpoint) = (made.pair("quantized"), made.path("trained.safetensors"));
            on_pair("raw2ckpt", &pair, &["--out", &checkpoint]);
            let name = "model.1.conv.weight";
            let mut trained = params(&checkpoint);
            // [O, I, H, W] = [24, 16, 3, 3]; in the file [3, 3, 16, 24]
            let shape = trained[name].shape().to_vec();
            let (output, input, row, column) = (5, 7, 2, 1);
            let index = ((output * shape[1] + input) * shape[2] + row) * shape[3] + column;
            trained.get_mut(name).unwrap().data_mut()[index] = 1e9;
            write_safetensors(Path::new(&checkpoint), &trained, &BTreeMap::new()).unwrap();
            let report = to_raw(&made, &pair, &["--ckpt", &checkpoint]);
            assert_eq!((&report["changed"], &report["clamped"]), (&1.into(), &1.into()));
            let place = ((row * shape[3] + column) * shape[1] + input) * shape[0] + output;
            let raw = RawFile::open(made.file("demo_quantized.raw")).unwrap();
            let param =
                made.quantized.operations.iter().flat_map(|o| &o.params).find(|p| p.name == name).unwrap();
            let start =
                raw.bytes(param.id as u32).unwrap().as_ptr() as usize - raw.as_bytes().as_ptr() as usize;
            let bytes = start + place * element.bytes()..start + (place + 1) * element.bytes();
            let again = made.bytes("again.raw");
            let changed = differing(&made.bytes("demo_quantized.raw"), &again);
            assert!(
                !changed.is_empty() && changed.iter().all(|at| bytes.contains(at)),
                "{changed:?}, {bytes:?}"
            );
            let limit = (1i64 << (bits - 1)) - 1;
            assert_eq!(again[bytes], elements(&[limit], bits, Role::Weight)[..]);
            // the json has a new checksum, and nothing else
            let (before, after) = (made.bytes("demo_quantized.json"), made.bytes("again.json"));
            let sum = |json: &[u8]| {
                let value: Value = serde_json::from_slice(json).unwrap();
                value[key].as_str().unwrap().to_owned()
            };
            let text = String::from_utf8(before.clone()).unwrap();
            let expected = text.replace(&sum(&before), &icraft_raw::md5_hex(&again));
            assert!(expected.as_bytes() == after && sum(&before) != sum(&after));
        }
    }
}

#[test]
fn ranges_and_halves_are_the_users_choice() {
    let made = Stages::new(Generation::Xir, 8);
    let (pair, checkpoint) = (made.pair("quantized"), made.path("trained.safetensors"));
    on_pair("raw2ckpt", &pair, &["--out", &checkpoint]);
    let mut trained = params(&checkpoint);
    let name = "model.3.conv.bias";
    let step = crate::icraft_pairs::listed_scales(&made.quantized, name);
    let bias = trained.get_mut(name).unwrap().data_mut();
    (bias[4], bias[5], bias[6]) = (2.5 * step[4], -1e9, -2.5 * step[6]);
    write_safetensors(Path::new(&checkpoint), &trained, &BTreeMap::new()).unwrap();
    let table = [
        (["half-away", "symmetric"], [3, -32767, -3]),
        (["half-even", "symmetric"], [2, -32767, -2]),
        (["half-even", "full"], [2, -32768, -2]),
    ];
    let id = made.quantized.operations.iter().flat_map(|o| &o.params).find(|p| p.name == name).unwrap().id;
    for ([rounding, range], expected) in table {
        let options = ["--ckpt", &checkpoint, "--rounding", rounding, "--range", range];
        let report = to_raw(&made, &pair, &options);
        let raw = RawFile::open(made.file("again.raw")).unwrap();
        let found = raw.view::<i16>(id as u32).unwrap()[4..7].to_vec();
        assert_eq!(found, expected, "{rounding}, {range}");
        assert_eq!(report["clamped"], 1);
    }
}

/// The first convolution's weight with its input channels in reverse.
fn reversed_first(network: &Network, stored: &mut Payloads, params: &Params) {
    let param = network.operations.iter().flat_map(|o| &o.params).next().unwrap();
    let weight = &params[&param.name];
    let mut values = to_raw_layout(weight.data(), weight.shape()).unwrap();
    reverse_input_channels(&mut values, weight.shape()).unwrap();
    stored.iter_mut().find(|(id, _)| i64::from(*id) == param.id).unwrap().1 = payload(&values).into_owned();
}

#[test]
fn reversed_channels_are_undone_where_something_says_so() {
    let made = Stages::new(Generation::Legacy, 8);
    let plain = describe(&made.graph, "demo", [64, 64], Generation::Legacy).unwrap();
    let mut stored = payloads(&plain, &made.params).unwrap();
    reversed_first(&plain, &mut stored, &made.params);
    let mut noted = plain.clone();
    transformed(&mut noted, &InputTransform { scale: 255.0, offset: 128.0, order: vec![2, 1, 0] });
    made.write("noted", &noted, &stored);
    made.write("silent", &plain, &stored);
    let out = made.path("out.safetensors");
    let is_as_before = || params(&out).iter().all(|(name, tensor)| made.params[name] == *tensor);
    let report = json_on_pair("raw2ckpt", &made.pair("noted"), &["--out", &out]);
    assert!(is_as_before() && report["tensors"][0]["reversed_by"] == "json", "{report}");
    let report = json_on_pair("raw2ckpt", &made.pair("silent"), &["--out", &out, "--bgr"]);
    assert!(is_as_before() && report["tensors"][0]["reversed_by"] == "option", "{report}");
    let said = on_pair("raw2ckpt", &made.pair("silent"), &["--out", &out]);
    assert!(!is_as_before() && said.contains("no input channels are turned round"), "{said}");
    let like = ["--like", WEIGHTS, "--model", MODEL, "--parsed", &made.path("demo_silent.raw")];
    let report = json_on_pair("raw2ckpt", &made.pair("silent"), &[&like[..], &["--out", &out]].concat());
    assert_eq!(report["tensors"][0]["reversed_by"], "mapping");
    for (stage, options) in [("noted", &[][..]), ("silent", &["--bgr"]), ("silent", &like)] {
        let (_, [_, raw]) = back(&made, &made.pair(stage), options);
        assert!(raw == made.bytes(&format!("demo_{stage}.raw")), "{stage} {options:?}");
    }
}

/// Scale of a tensor's integers in the log of the test below.
fn jdy_scale(role: Role) -> (i32, f32) {
    match role {
        Role::Weight => (6, 1.0 / 64.0),
        Role::Bias => (9, 1.0 / 512.0),
    }
}

#[test]
fn a_json_without_parameters_is_completed_by_content_and_log() {
    let made = Stages::new(Generation::Legacy, 12);
    let mut stored = Payloads::new();
    let mut rows = Vec::new();
    for param in made.quantized.operations.iter().flat_map(|operation| &operation.params) {
        let role = if param.shape.len() == 1 { Role::Bias } else { Role::Weight };
        let count: usize = param.shape.iter().product();
        let values: Vec<i64> = (0..count as i64).map(|q| (q * 37 + param.id) % 2048).collect();
        stored.push((param.id as u32, elements(&values, 12, role)));
        let scale = if role == Role::Bias { 0.0 } else { 1.0 };
        let (size, exp) = (param.shape.clone(), vec![jdy_scale(role).0]);
        rows.push(RawRow { id: param.id, size, max: vec![1.0], sat: vec![1.0], scale: vec![scale], exp });
    }
    made.write("jdy", &made.quantized, &stored);
    let json = made.file("demo_jdy.json");
    std::fs::write(&json, bare(&json)).unwrap();
    let log = made.path("jdy.csv");
    std::fs::write(&log, write_raws(&rows, &Profile::Jdy.raw_columns())).unwrap();
    let parsed = made.path("demo_parsed.raw");
    let like = ["--like", WEIGHTS, "--model", MODEL, "--parsed", &parsed];
    let options = [&like[..], &["--bits", "12", "--csv", &log, "--profile", "jdy"]].concat();
    let pair = made.pair("jdy");
    let out = made.path("checkpoint.safetensors");
    let report = json_on_pair("raw2ckpt", &pair, &[&options[..], &["--out", &out]].concat());
    let first = &report["tensors"][0];
    assert_eq!((&first["name"], &first["scales_from"]), (&"model.0.conv.weight".into(), &"csv".into()));
    assert_eq!(
        (&first["bits"], &first["element"], &first["named_by"]),
        (&12.into(), &"i16".into(), &"content".into())
    );
    let found = params(&out);
    for copied in report["copied"].as_array().unwrap() {
        assert!(demonstration().params[copied.as_str().unwrap()] == found[copied.as_str().unwrap()]);
    }
    for (name, role) in [("model.2.cv1.conv.weight", Role::Weight), ("model.2.cv1.conv.bias", Role::Bias)] {
        let param =
            made.quantized.operations.iter().flat_map(|o| &o.params).find(|p| p.name == name).unwrap();
        let values = found[name].data();
        let integers: Vec<f32> = values.iter().map(|value| value / jdy_scale(role).1).collect();
        let raw_order = to_raw_layout(&integers, found[name].shape()).unwrap();
        assert!(
            (0..).zip(&raw_order).all(|(q, &value)| value == ((q * 37 + param.id) % 2048) as f32),
            "{name}"
        );
    }
    let (_, [json_again, raw_again]) = back(&made, &pair, &options);
    assert!(raw_again == made.bytes("demo_jdy.raw") && json_again == made.bytes("demo_jdy.json"));
    // a checkpoint that this program wrote serves as well as the one with BatchNorm
    let folded = made.path("folded.safetensors");
    on_pair("raw2ckpt", &made.pair("parsed"), &["--out", &folded]);
    let by_folded = ["--like", &folded, "--model", MODEL, "--parsed", &parsed];
    let normed = made.pair("normed");
    on_pair("raw2ckpt", &normed, &[&by_folded[..], &["--out", &out]].concat());
    assert_eq!(params(&out), params_of(&made.normed, &params(&out)));
}

/// The named ones of some parameters.
fn params_of(all: &Params, named: &Params) -> Params {
    all.iter().filter(|(name, _)| named.contains_key(*name)).map(|(n, t)| (n.clone(), t.clone())).collect()
}

#[test]
fn bad_pairs_are_one_line() {
    let made = Stages::new(Generation::Xir, 8);
    let legacy = Stages::new(Generation::Legacy, 8);
    let file = |name: &str| made.path(name);
    let (json, raw) = (file("demo_quantized.json"), file("demo_quantized.raw"));
    let good = ["--json", &json, "--raw", &raw];
    let other = file("demo_normed.raw");
    let wrong_csv = file("wrong.csv");
    let log = std::fs::read_to_string(file("raws.csv")).unwrap();
    std::fs::write(&wrong_csv, log.replacen(",0\n", ",7.5\n", 1)).unwrap();
    let half = file("half.json");
    std::fs::write(&half, &made.bytes("demo_quantized.json")[..500]).unwrap();
    let short = file("short.raw");
    std::fs::write(&short, &made.bytes("demo_quantized.raw")[..2000]).unwrap();
    let scaled = file("scaled.csv");
    let (header, body) = log.split_once('\n').unwrap();
    let (first, rest) = body.split_once('\n').unwrap();
    let mut cells: Vec<&str> = first.split(',').collect();
    cells[4] = "0.125";
    std::fs::write(&scaled, format!("{header}\n{}\n{rest}", cells.join(","))).unwrap();
    let nameless = file("nameless.json");
    let text = String::from_utf8(made.bytes("demo_quantized.json")).unwrap();
    std::fs::write(&nameless, text.replace("model.1.conv.weight", "")).unwrap();
    let twice = file("twice.json");
    std::fs::write(&twice, text.replace("model.1.conv.weight", "model.0.conv.weight")).unwrap();
    let hard = file("hard.json");
    std::fs::write(&hard, text.replacen("@layout(HWIO)", "@layout(OIHWo32i32)", 1)).unwrap();
    let (legacy_json, csv, nowhere) = (legacy.path("demo_quantized.json"), file("raws.csv"), file("nowhere"));
    let parsed = file("demo_parsed.raw");
    let normed = file("demo_normed.raw");
    let row = |what: &str, arguments: &[&str], says: &[&str]| Row::new(what, "raw2ckpt", arguments, says);
    let like = ["--like", WEIGHTS, "--model", MODEL, "--parsed"];
    let rows = [
        row("no json", &["--json", &nowhere, "--raw", &raw], &[&nowhere, "No such file"]),
        row("no raw", &["--json", &json, "--raw", &nowhere], &[&nowhere, "No such file"]),
        row("half a json", &["--json", &half, "--raw", &raw], &["half.json", "not usable as JSON"]),
        row("md5", &["--json", &json, "--raw", &other], &["its MD5 is", "--ignore-checksum"]),
        row("short", &["--json", &json, "--raw", &short], &["short.raw"]),
        row("other stage", &["--json", &json, "--raw", &other, "--ignore-checksum"], &["demo_normed.raw"]),
        row("generation", &["--json", &legacy_json, "--raw", &raw], &["generation", "Legacy"]),
        row("no log", &[&good[..], &["--csv", &nowhere]].concat(), &[&nowhere, "No such file"]),
        row(
            "profile",
            &[&good[..], &["--csv", &csv, "--profile", "jdy"]].concat(),
            &["raws.csv", "choose another profile"],
        ),
        row("log", &[&good[..], &["--csv", &wrong_csv]].concat(), &["wrong.csv", "7.5"]),
        row("scales", &[&good[..], &["--csv", &scaled]].concat(), &["model.0.conv.weight", "0.125"]),
        row("no name", &["--json", &nameless, "--raw", &raw], &["1 parameters have no name", "--parsed"]),
        row("names", &["--json", &twice, "--raw", &raw], &["are both called model.0.conv.weight"]),
        row("hardware", &["--json", &hard, "--raw", &raw], &["hardware's layout"]),
        row(
            "not parsed",
            &[&good[..], &like, &[&normed]].concat(),
            &["demo_normed.raw", "equals no parameter"],
        ),
        row("checkpoint", &[&good[..], &["--like", &nowhere, "--parsed", &parsed]].concat(), &[&nowhere]),
    ];
    check(&rows, made.folder.path());
    let ended = run("raw2ckpt", &[&good[..], &["--out", &raw]].concat());
    assert!(ended.code == Some(2) && ended.stderr.contains("is also an input"), "{}", ended.stderr);
    let half = run("raw2ckpt", &[&good[..], &["--like", WEIGHTS, "--out", &nowhere]].concat());
    assert!(half.code == Some(2) && half.stderr.contains("--parsed"), "{}", half.stderr);
}

/// Reads a pair as the programs do.
fn read(json: &Path, raw: &Path) -> examples::error::Result<Params> {
    let pair = Pair::open(json, raw, ChecksumRule::Ignore)?;
    let tensors = stored_tensors(&pair, &Known::default())?;
    to_params(&pair, &tensors)
}

#[test]
fn damaged_pairs_are_errors_or_tensors() {
    for generation in [Generation::Legacy, Generation::Xir] {
        let made = Stages::new(generation, 8);
        let (json, raw) = (made.file("damaged.json"), made.file("damaged.raw"));
        let text = String::from_utf8(made.bytes("demo_quantized.json")).unwrap();
        let stored = made.bytes("demo_quantized.raw");
        std::fs::write(&raw, &stored).unwrap();
        let digits: Vec<usize> =
            text.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
        let mut errors = 0;
        for (number, replacement) in
            (0..1200).zip(["0", "-1", "99999999999999999", "3", "\"", "4294967296"].iter().cycle())
        {
            let at = digits[number * 7919 % digits.len()];
            let damaged = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
            std::fs::write(&json, damaged).unwrap();
            errors += usize::from(read(&json, &raw).is_err());
        }
        assert!((400..1200).contains(&errors), "{errors}");
        std::fs::write(&json, &text).unwrap();
        for number in 0..400 {
            let mut damaged = stored.clone();
            damaged[number] ^= 1 << (number % 8);
            damaged.truncate(stored.len() - number % 3);
            std::fs::write(&raw, damaged).unwrap();
            let _ = read(&json, &raw);
        }
    }
}

#[test]
fn checkpoints_that_do_not_fit_leave_no_pair() {
    let made = Stages::new(Generation::Legacy, 8);
    let good = made.path("good.safetensors");
    on_pair("raw2ckpt", &made.pair("quantized"), &["--out", &good]);
    let changed = |name: &str, change: fn(&mut Params)| {
        let mut all = params(&good);
        change(&mut all);
        write_safetensors(&made.file(name), &all, &BTreeMap::new()).unwrap();
        made.path(name)
    };
    let missing = changed("missing.safetensors", |all| drop(all.remove("model.1.conv.bias")));
    let shape = changed("shape.safetensors", |all| {
        let bias = all["model.1.conv.bias"].clone();
        all.insert("model.1.conv.weight".to_owned(), bias);
    });
    let nan =
        changed("nan.safetensors", |all| all.get_mut("model.1.conv.bias").unwrap().data_mut()[0] = f32::NAN);
    let nowhere = made.path("nowhere");
    let table = [
        ("missing", &missing, &["missing.safetensors", "no tensor model.1.conv.bias"][..]),
        ("shape", &shape, &["model.1.conv.weight has shape [24]"]),
        ("NaN", &nan, &["1 values of model.1.conv.bias are NaN"]),
        ("BatchNorm", &WEIGHTS.to_owned(), &["BatchNorm has to be folded"]),
        ("nowhere", &nowhere, &["No such file"]),
    ];
    let pair = made.pair("quantized");
    let arguments = |checkpoint: &str| -> Vec<String> {
        pair.iter().cloned().chain(["--ckpt".to_owned(), checkpoint.to_owned()]).collect()
    };
    let rows: Vec<Row> = table
        .iter()
        .map(|(what, checkpoint, says)| {
            let arguments = arguments(checkpoint);
            Row::new(what, "ckpt2raw", &arguments.iter().map(String::as_str).collect::<Vec<_>>(), says)
        })
        .collect();
    check(&rows, made.folder.path());
    // a folder in place of the second file: the first must not stay either
    let (json, raw) = (made.path("new.json"), made.file("new.raw"));
    std::fs::create_dir(made.file("blocked")).unwrap();
    let blocked = made.path("blocked");
    let options = [&["--ckpt", &good, "--out-raw", text(&raw), "--out-json", &blocked][..]].concat();
    let all: Vec<&str> = pair.iter().map(String::as_str).chain(options).collect();
    let ended = run("ckpt2raw", &all);
    assert!(ended.code == Some(2) && !raw.exists() && !Path::new(&json).exists(), "{}", ended.stderr);
}
