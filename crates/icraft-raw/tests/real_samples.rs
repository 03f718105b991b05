//! Files that the compiler wrote. They have no licence, so they are read only where `ICRAFT_SAMPLES` names their folder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers outside test functions")]

use std::fs;
use std::path::PathBuf;

use icraft_raw::{
    Checksum, Document, Generation, Network, Param, ParamSlot, Profile, Scale, Scales, read_ftmps,
    read_mix_config, read_raws, write_ftmps, write_mix_config, write_raws,
};

/// The text of a sample; none, with a note, where the folder is not named.
fn sample(name: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("ICRAFT_SAMPLES").map(PathBuf::from) else {
        println!("skipped: ICRAFT_SAMPLES is not set");
        return None;
    };
    Some(fs::read_to_string(folder.join(name)).unwrap())
}

const BUYI: &str = "robot-berry/yolov5s_plin_BY.json";
const ZHUGE: &str = "robot-berry/yolov5s_plin_352x640_ZG.json";

fn params(network: &Network) -> impl Iterator<Item = &Param> {
    network.operations.iter().flat_map(|operation| &operation.params)
}

#[test]
fn networks_are_given_back_byte_by_byte() {
    for name in [BUYI, ZHUGE] {
        let Some(text) = sample(name) else { return };
        let network = Network::read(&text).unwrap();
        let written = network.write(Generation::Xir).unwrap();
        let equal = text.bytes().zip(written.bytes()).take_while(|(a, b)| a == b).count();
        let [expected, found] = [&text, &written].map(|t| t.get(equal..t.len().min(equal + 80)));
        assert!(written == text, "{name} differs from byte {equal}: {found:?}, expected {expected:?}");
        let legacy = network.write(Generation::Legacy).unwrap();
        let mut again = Network::read(&legacy).unwrap();
        assert_eq!(again.generation, Generation::Legacy);
        again.generation = Generation::Xir;
        assert!(again == network, "{name} by way of the legacy form");
    }
}

#[test]
fn every_tensor_has_a_known_type() {
    // operations, parameters, file length, norm ratios, scales
    let table = [(BUYI, 89, 145, 8_066_588, 202, 262), (ZHUGE, 91, 210, 8_929_847, 0, 265)];
    for (name, operations, parameters, length, ratios, scales) in table {
        let Some(text) = sample(name) else { return };
        let network = Network::read(&text).unwrap();
        let maps = || network.operations.iter().flat_map(|o| o.inputs.iter().chain(&o.outputs));
        let elements: Vec<_> =
            maps().map(|m| &m.element).chain(params(&network).map(|p| &p.element)).collect();
        assert!(elements.iter().all(|element| element.storage().is_some()), "{name}");
        assert_eq!(network.operations.len(), operations);
        assert_eq!(params(&network).count(), parameters);
        assert_eq!(network.raw_length, Some(length));
        assert_eq!(
            elements.iter().filter(|element| element.norm_ratio().is_some()).count(),
            ratios,
            "{name}"
        );
        assert_eq!(elements.iter().filter(|element| element.scale().is_some()).count(), scales, "{name}");
    }
}

/// The raw file is 16 bytes, 12 bytes a tensor, and the tensors without gaps.
#[test]
fn parameters_add_up_to_the_length_of_the_raw_file() {
    for name in [BUYI, ZHUGE] {
        let Some(text) = sample(name) else { return };
        let network = Network::read(&text).unwrap();
        let payload: u64 = params(&network).map(|param| param.byte_length().unwrap()).sum();
        let table = 16 + 12 * params(&network).count() as u64;
        assert_eq!(network.raw_length, Some(table + payload), "{name}");
    }
}

#[test]
fn weight_scales_are_mantissas_and_shifts() {
    let Some(text) = sample(BUYI) else { return };
    let network = Network::read(&text).unwrap();
    let (mut consistent, mut padded) = (0, 0);
    for param in params(&network).filter(|param| param.slot == ParamSlot::Params) {
        let Some(Scales::Exponent(list)) = param.element.scale() else { panic!("{}", param.id) };
        for (count, scale) in list.runs() {
            match scale {
                Scale { mantissa: 1, shift: 8, value: 1.0 } => padded += count,
                scale if scale.is_consistent() => consistent += count,
                scale => panic!("parameter {}: {scale}", param.id),
            }
        }
    }
    assert_eq!((consistent, padded), (10_269, 3 * 129));
}

/// The detection block compares integers with trunc(logit(0.1) / N), which ties its thresholds to the norm ratios.
#[test]
fn thresholds_of_the_detection_block_follow_from_the_norm_ratios() {
    let Some(text) = sample(BUYI) else { return };
    let network = Network::read(&text).unwrap();
    let block = network.operations.iter().find(|operation| operation.kind == "DetPost").unwrap();
    let expected: Vec<i64> =
        block.attributes["data_thr"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
    let ratios = block.inputs.iter().map(|map| map.element.norm_ratio().unwrap().shared().unwrap());
    let logit = (0.1f64 / 0.9).ln();
    assert_eq!(ratios.map(|ratio| (logit / f64::from(ratio)) as i64).collect::<Vec<_>>(), expected);
    let outputs: Vec<f32> = network.output_ratios().unwrap().iter().map(|output| output.ratio).collect();
    assert_eq!(outputs, [0.14566712, 0.121153094, 0.11045759]);
    assert_eq!(network.norm_ratio(426).unwrap().expand(384).unwrap(), [0.14566712; 384]);
}

#[test]
fn a_document_changes_in_its_checksum_only() {
    for name in [BUYI, ZHUGE] {
        let Some(text) = sample(name) else { return };
        let network = Network::read(&text).unwrap();
        let document = Document::parse(&text).unwrap();
        assert_eq!(Some(document.checksum().unwrap()), network.checksum);
        let renewed = document.with_raw(b"abc").unwrap();
        let old = (network.checksum.unwrap().to_string(), network.raw_length.unwrap().to_string());
        let expected = text
            .replace(&old.0, "900150983cd24fb0d6963f7d28e17f72")
            .replace(&format!("\"params_bytes\":{}", old.1), "\"params_bytes\":3");
        assert!(renewed == expected, "{name}");
        assert_eq!(Document::parse(&renewed).unwrap().checksum().unwrap(), Checksum::of(b"abc"));
    }
}

#[test]
fn logs_are_given_back_byte_by_byte() {
    let Some(text) = sample("feiranshu_excerpt/raws_excerpt.csv") else { return };
    let columns = Profile::Xir.raw_columns();
    let raws = read_raws(&text, &columns).unwrap();
    assert_eq!((raws.len(), raws[0].sat.len(), raws[0].scale.len()), (2, 3, 0));
    assert_eq!(write_raws(&raws, &columns), text);
    let text = sample("feiranshu_excerpt/ftmps_excerpt.csv").unwrap();
    let columns = Profile::Xir.ftmp_columns();
    assert_eq!(write_ftmps(&read_ftmps(&text, &columns).unwrap(), &columns), text);
    let text = sample("feiranshu_excerpt/mix_config_excerpt.csv").unwrap();
    assert_eq!(write_mix_config(&read_mix_config(&text).unwrap()).unwrap(), text);
}
