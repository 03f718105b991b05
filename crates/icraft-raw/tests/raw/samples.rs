//! Networks that Icraft itself wrote, where they are at hand: `ICRAFT_SAMPLES` names a folder with `robot-berry/` in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use icraft_raw::{Generation, RawFile};
use serde_json::Value;

/// The bytes of every parameter by its id, found anywhere in a network's json.
fn parameter_bytes(value: &Value, sizes: &mut BTreeMap<u32, u64>) {
    if value.get("_type_key").and_then(Value::as_str) == Some("icraft::xir::Params") {
        let id = value["v_id"].as_u64().unwrap();
        let elements: u64 =
            value["dtype"]["shape"].as_array().unwrap().iter().map(|axis| axis.as_u64().unwrap()).product();
        let size = elements * bits(&value["dtype"]["element_dtype"]) / 8;
        let before = sizes.insert(u32::try_from(id).unwrap(), size);
        assert!(before.is_none_or(|before| before == size), "id {id}");
    }
    match value {
        Value::Array(values) => values.iter().for_each(|value| parameter_bytes(value, sizes)),
        Value::Object(fields) => fields.values().for_each(|value| parameter_bytes(value, sizes)),
        _ => {}
    }
}

/// Of `@sint(8)`, or of an object that stores its elements as such.
fn bits(element: &Value) -> u64 {
    let name = element.as_str().or_else(|| element["storage_dtype"].as_str()).unwrap();
    name.split(['(', ')']).nth(1).unwrap().parse().unwrap()
}

fn sample(name: &str) -> Option<Value> {
    let folder = PathBuf::from(std::env::var_os("ICRAFT_SAMPLES")?).join("robot-berry");
    Some(serde_json::from_slice(&std::fs::read(Path::new(&folder).join(name)).unwrap()).unwrap())
}

#[test]
fn a_real_network_s_parameters_make_a_file_of_the_length_it_names() {
    for (name, count) in [("yolov5s_plin_BY.json", 145), ("yolov5s_plin_352x640_ZG.json", 210)] {
        let Some(network) = sample(name) else { return eprintln!("skipped: ICRAFT_SAMPLES is not set") };
        let mut sizes = BTreeMap::new();
        parameter_bytes(&network, &mut sizes);
        assert_eq!(sizes.len(), count, "{name}");
        let length = network["params_bytes"].as_u64().unwrap();
        assert_eq!(
            Generation::Xir.payload_start(count as u32),
            length - sizes.values().sum::<u64>(),
            "{name}"
        );

        // And a file of these parameters is found to be explained by them.
        let payloads: Vec<(u32, Vec<u8>)> =
            sizes.iter().map(|(&id, &size)| (id, vec![id as u8; size as usize])).collect();
        let tensors: Vec<(u32, &[u8])> = payloads.iter().map(|(id, bytes)| (*id, &bytes[..])).collect();
        let file = RawFile::from_bytes(icraft_raw::raw_bytes(Generation::Xir, &tensors).unwrap()).unwrap();
        assert_eq!(file.as_bytes().len() as u64, length, "{name}");
        file.check_sizes(sizes).unwrap();
    }
}
