//! Networks of both generations, tables of norm ratios, and documents whose checksum is renewed.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use icraft_raw::{
    Checksum, Document, ElementType, FeatureMap, FeatureRatio, Generation, Network, NetworkError, NormRatios,
    Normalized, Operation, Param, ParamSlot, PerAxis, TensorAttributes, legacy_feature_map_ids,
};
use serde_json::{Value, json};

/// Only what published scripts use.
const SIX_KEYS: &str = r#"{
    "operations": [
        {"op_type": "Conv", "input_ftmp": [{"norm_ratio": [{"value": 1}]}], "output_ftmp": [{"norm_ratio": [{"value": 0.5}]}]},
        {"op_type": "Silu", "input_ftmp": [{"norm_ratio": [{"value": 0.5}]}], "output_ftmp": [{"norm_ratio": [{"value": 0.25}]}]},
        {"op_type": "Output", "input_ftmp": [{"norm_ratio": [{"value": 0.25}]}], "output_ftmp": []}
    ],
    "raw_md5": "D41D8CD98F00B204E9800998ECF8427E"
}"#;

#[test]
fn six_keys_are_enough() {
    let network = Network::read(SIX_KEYS).unwrap();
    assert_eq!(network.generation, Generation::Legacy);
    assert_eq!(network.checksum, Some(Checksum::of(b"")));
    let silu = network.silu_ratios().unwrap().remove(0);
    assert_eq!((silu.operation, silu.input.ratio, silu.output.ratio), (1, 0.5, 0.25));
    assert_eq!(network.output_ratios().unwrap(), [FeatureRatio { id: None, ratio: 0.25 }]);
    assert!(matches!(network.write(Generation::Xir), Err(NetworkError::MissingId { operation: 0 })));
}

fn map(id: usize) -> FeatureMap {
    let ratio = NormRatios(PerAxis::uniform(Some(-1), 8, 1.0 / (id + 1) as f32));
    FeatureMap {
        id: Some(id as i64),
        name: String::new(),
        shape: vec![1, 4, 4, 8],
        element: ElementType::Normalized(Normalized { ratio, attributes: Default::default() }),
        layout: Some("@layout(NHWC)".parse().unwrap()),
        attributes: TensorAttributes::default(),
    }
}

/// Operations of a model: kind, and positions of the operations that it reads.
#[derive(Default)]
struct Model(Vec<(&'static str, Vec<usize>)>);

impl Model {
    fn push(&mut self, kind: &'static str, inputs: &[usize]) -> usize {
        self.0.push((kind, inputs.to_vec()));
        self.0.len() - 1
    }

    fn conv(&mut self, input: usize) -> usize {
        let conv = self.push("Conv2d", &[input]);
        self.push("Silu", &[conv])
    }

    fn c3(&mut self, input: usize, depth: usize, shortcut: bool) -> usize {
        let mut x = self.conv(input);
        for _ in 0..depth {
            let branch = self.conv(x);
            let branch = self.conv(branch);
            x = if shortcut { self.push("Add", &[x, branch]) } else { branch };
        }
        let other = self.conv(input);
        let joined = self.push("Concat", &[x, other]);
        self.conv(joined)
    }

    fn sppf(&mut self, input: usize) -> usize {
        let mut maps = vec![self.conv(input)];
        for _ in 0..3 {
            maps.push(self.push("MaxPool2d", &[maps[maps.len() - 1]]));
        }
        let joined = self.push("Concat", &maps);
        self.conv(joined)
    }

    fn join(&mut self, a: usize, b: usize, depth: usize) -> usize {
        let joined = self.push("Concat", &[a, b]);
        self.c3(joined, depth, false)
    }

    /// YOLOv5 n and s of release 6: the same operations, of different widths.
    fn yolov5() -> Self {
        let mut m = Self::default();
        let mut x = m.push("Input", &[]);
        x = m.conv(x);
        let mut levels = Vec::new();
        for depth in [1, 2, 3, 1] {
            x = m.conv(x);
            x = m.c3(x, depth, true);
            levels.push(x);
        }
        x = m.sppf(x);
        let top = m.conv(x);
        let up = m.push("Upsample", &[top]);
        x = m.join(up, levels[2], 1);
        let middle = m.conv(x);
        let up = m.push("Upsample", &[middle]);
        let small = m.join(up, levels[1], 1);
        let down = m.conv(small);
        let medium = m.join(down, middle, 1);
        let down = m.conv(medium);
        let large = m.join(down, top, 1);
        let heads = [small, medium, large].map(|level| m.push("Conv2d", &[level]));
        m.push("Output", &heads);
        m
    }

    fn network(&self) -> Network {
        let ids = legacy_feature_map_ids(self.0.iter().map(|(kind, _)| *kind));
        let output = |position: usize| map(usize::try_from(ids[position].unwrap()).unwrap());
        let operation = |(position, (kind, inputs)): (usize, &(&str, Vec<usize>))| Operation {
            id: position as i64,
            kind: (*kind).to_owned(),
            namespace: String::new(),
            name: format!("op{position}"),
            inputs: inputs.iter().map(|&input| output(input)).collect(),
            params: if *kind == "Conv2d" { vec![param(position)] } else { Vec::new() },
            outputs: ids[position].iter().map(|_| output(position)).collect(),
            attributes: [("stride_h".to_owned(), json!(2))].into(),
        };
        Network {
            generation: Generation::Legacy,
            name: "yolov5s".to_owned(),
            operations: self.0.iter().enumerate().map(operation).collect(),
            checksum: Some(Checksum::of(b"raw")),
            raw_length: Some(3),
            attributes: [("target".to_owned(), json!("BUYI"))].into(),
        }
    }
}

fn param(position: usize) -> Param {
    Param {
        id: position as i64,
        name: "weight".to_owned(),
        shape: vec![3, 3, 8, 8],
        element: ElementType::Storage("@sint(8)".parse().unwrap()),
        layout: Some("@layout(HWIO)".parse().unwrap()),
        slot: ParamSlot::Input(1),
        attributes: TensorAttributes {
            tensor: [("mtype".to_owned(), json!("@etm(0)"))].into(),
            dtype: [("x".to_owned(), json!([1]))].into(),
        },
    }
}

/// Ids that the published scripts have in their code for YOLOv5 n and s.
#[test]
fn feature_maps_are_numbered_as_published() {
    let network = Model::yolov5().network();
    let adds = network.add_ratios().unwrap();
    let ids = |side: fn(&icraft_raw::AddRatios) -> FeatureRatio| -> Vec<i64> {
        adds.iter().map(|add| side(add).id.unwrap()).collect()
    };
    assert_eq!(ids(|add| add.shortcut), [6, 20, 25, 39, 44, 49, 63]);
    assert_eq!(ids(|add| add.branch), [10, 24, 29, 43, 48, 53, 67]);
    assert_eq!(ids(|add| add.sum), [11, 25, 30, 44, 49, 54, 68]);
    let outputs: Vec<i64> =
        network.output_ratios().unwrap().iter().map(|output| output.id.unwrap()).collect();
    assert_eq!(outputs, [140, 141, 142]);
    let silus = network.silu_ratios().unwrap();
    assert_eq!(silus.len(), 57);
    assert!(silus.iter().all(|silu| silu.output.id.unwrap() == silu.input.id.unwrap() + 1));
    assert!(silus.iter().all(|silu| silu.output.ratio == 1.0 / (silu.output.id.unwrap() + 1) as f32));
}

#[test]
fn the_shortcut_is_the_input_that_was_computed_earlier() {
    let mut network = Model::yolov5().network();
    let expected = network.add_ratios().unwrap();
    for operation in network.operations.iter_mut().filter(|operation| operation.kind == "Add") {
        operation.inputs.reverse();
    }
    assert_eq!(network.add_ratios().unwrap(), expected);
}

#[test]
fn both_generations_read_back() {
    let network = Model::yolov5().network();
    let legacy = network.write(Generation::Legacy).unwrap();
    assert!(Network::read(&legacy).unwrap() == network);
    let value: Value = serde_json::from_str(&legacy).unwrap();
    assert_eq!(value["raw_md5"], json!(Checksum::of(b"raw").to_string()));
    let silu = &value["operations"][2];
    assert_eq!(silu["op_type"], json!("Silu"));
    assert_eq!(silu["input_ftmp"][0]["norm_ratio"][0]["value"], json!(0.5));
    assert_eq!(silu["output_ftmp"][0]["norm_ratio"], json!([{ "count": 8, "value": 0.33333334 }]));

    let xir = network.write(Generation::Xir).unwrap();
    let value: Value = serde_json::from_str(&xir).unwrap();
    assert_eq!(value["ops"][2]["_type_key"], json!("icraft::xir::SiLU"));
    assert_eq!(value["ops"][1]["inputs"][1]["_type_key"], json!("icraft::xir::Params"));
    let mut again = Network::read(&xir).unwrap();
    assert_eq!(again.generation, Generation::Xir);
    assert_eq!(again.write(Generation::Xir).unwrap(), xir);
    again.generation = Generation::Legacy;
    for operation in &mut again.operations {
        operation.namespace.clear();
        operation.kind = operation.kind.replace("SiLU", "Silu");
    }
    assert!(again == network);
}

/// Before 3.4 ratios and scales were plain lists.
#[test]
fn lists_in_place_of_expressions() {
    let element = |element: Value| {
        let value = json!({ "_type_key": "icraft::xir::Value", "v_id": 3, "dtype": { "shape": [2], "element_dtype": element } });
        let operation =
            json!({ "_type_key": "icraft::xir::Input", "op_id": 0, "inputs": [], "outputs": [value] });
        let network = Network::read(&json!({ "name": "n", "ops": [operation] }).to_string()).unwrap();
        network.operations[0].outputs[0].element.clone()
    };
    let quantized = element(json!({
        "_type_key": "icraft::xir::NormalizedQuantizedType",
        "normratio": [0.5, 0.5], "scale": [1, 2], "storage_dtype": "@sint(8)"
    }));
    assert_eq!(quantized.norm_ratio().unwrap().runs(), [(2, 0.5)]);
    assert_eq!(quantized.scale().unwrap().expand(2).unwrap(), [1.0, 2.0]);
    let calibrated = element(
        json!({ "_type_key": "icraft::xir::CalibratedType", "min": -1, "max": [1.5], "sat": [1], "y": 0 }),
    );
    let ElementType::Calibrated(calibrated) = calibrated else { unreachable!("{calibrated:?}") };
    assert_eq!((calibrated.min, calibrated.max, calibrated.sat), (vec![-1.0], vec![1.5], vec![1.0]));
    assert_eq!(calibrated.attributes["y"], json!(0));
    let unknown = json!({ "_type_key": "icraft::xir::NewType", "z": [1] });
    assert_eq!(element(unknown.clone()), ElementType::Other(unknown));
}

#[test]
fn ratios_that_channels_do_not_share_are_refused() {
    let mut network = Model::yolov5().network();
    let ratio = NormRatios(PerAxis::from_values(None, &[0.5, 0.25]));
    network.operations[2].inputs[0].element =
        ElementType::Normalized(Normalized { ratio, attributes: Default::default() });
    assert!(matches!(
        network.silu_ratios(),
        Err(NetworkError::RatioNotShared { operation: 2, feature_map: Some(1) })
    ));
    network.operations[2].inputs[0].element = ElementType::Other(Value::Null);
    assert!(matches!(
        network.silu_ratios(),
        Err(NetworkError::NoRatio { operation: 2, feature_map: Some(1) })
    ));
    network.operations[2].inputs.clear();
    assert!(matches!(network.silu_ratios(), Err(NetworkError::Arity { operation: 2, inputs: 0, .. })));
}

#[test]
fn a_document_keeps_every_other_byte() {
    let text = "\t{ \"operations\" : [ {\"raw_md5\" : 0} ],\n\"\\u0072aw_md5\":  \"x\\u0041\" , \"raw_bytes\":1e2,\"\u{e9}\":[ ]}\n";
    let renewed = Document::parse(text).unwrap().with_raw(b"abc").unwrap();
    let expected = text.replace("\"x\\u0041\"", "\"900150983cd24fb0d6963f7d28e17f72\"").replace("1e2", "3");
    assert_eq!(renewed, expected);
    let without_length = "{\"raw_md5\":null,\"operations\":[]}";
    let renewed = Document::parse(without_length).unwrap().with_raw(b"").unwrap();
    assert_eq!(renewed, "{\"raw_md5\":\"d41d8cd98f00b204e9800998ecf8427e\",\"operations\":[]}");
}

#[test]
fn damaged_networks_are_refused_each_for_its_reason() {
    let read = |text: &str| Network::read(text).map(|_| ());
    let renew = |text: &str| Document::parse(text)?.with_raw(b"").map(|_| ());
    let checksum = |text: &str| Document::parse(text)?.checksum().map(|_| ());
    let op = |text: &str| {
        Network::read(&format!(
            r#"{{"name":"n","ops":[{{"_type_key":"a::B","op_id":1,"outputs":[],{text}}}]}}"#
        ))
        .map(|_| ())
    };
    let element = |text: &str| {
        let value = format!(
            r#"{{"_type_key":"icraft::xir::Value","v_id":1,"dtype":{{"shape":[1],"element_dtype":{text}}}}}"#
        );
        op(&format!(r#""inputs":[{value}]"#))
    };
    type Reader<'r> = &'r dyn Fn(&str) -> Result<(), NetworkError>;
    let (read, renew, checksum): (Reader<'_>, Reader<'_>, Reader<'_>) = (&read, &renew, &checksum);
    let (op, element): (Reader<'_>, Reader<'_>) = (&op, &element);
    let (deep, deep_value) =
        (format!("{}1", "[".repeat(100_000)), format!("{{\"a\":{}}}", "[".repeat(100_000)));
    let dtype = "$.ops[0].inputs[0].dtype.element_dtype";
    let at = |rest: &str| format!("{dtype}{rest}");
    let table: &[(Reader<'_>, &str, &str)] = &[
        (read, "", "not usable as JSON: EOF"),
        (read, "{\"ops\":[}", "not usable as JSON: expected value at line 1 column 9"),
        (read, &deep, "not usable as JSON: recursion limit exceeded"),
        (renew, &deep_value, "not usable as JSON: expected value"),
        (read, "[]", "$: expected an object, found a list"),
        (read, "{}", "neither `ops` nor `operations`"),
        (read, r#"{"ops":[]}"#, "$: no `name`"),
        (read, r#"{"name":"n","ops":{}}"#, "$.ops: expected a list, found an object"),
        (read, r#"{"name":7,"ops":[]}"#, "$.name: expected a string, found a number"),
        (read, r#"{"name":"n","ops":[null]}"#, "$.ops[0]: expected an object, found null"),
        (read, r#"{"name":"n","ops":[{}]}"#, "$.ops[0]: no `_type_key`"),
        (read, r#"{"name":"n","ops":[],"params_md5":"12"}"#, "$.params_md5: 12 is not an MD5 checksum"),
        (read, r#"{"name":"n","ops":[],"params_bytes":-1}"#, "$.params_bytes: -1 is not an integer from 0"),
        (
            op,
            r#""inputs":[{"_type_key":"Other"}]"#,
            "$.ops[0].inputs[0]._type_key: Other is not icraft::xir::Value",
        ),
        (
            op,
            r#""inputs":[{"_type_key":"icraft::xir::Params","v_id":1.5}]"#,
            "$.ops[0].inputs[0].v_id: 1.5 is not an integer",
        ),
        (op, r#""inputs":[],"params":[7]"#, "$.ops[0].params[0]: expected an object"),
        (element, "7", &at(": expected an element type")),
        (element, r#""@sint(99)""#, &at(": byte 6: \"99\"")),
        (element, r#"{"_type_key":"icraft::xir::NormalizedType"}"#, &at(": no `normratio`")),
        (
            element,
            r#"{"_type_key":"icraft::xir::NormalizedType","normratio":"@norm_ratios(0)"}"#,
            &at(".normratio: byte 13"),
        ),
        (
            element,
            r#"{"_type_key":"icraft::xir::NormalizedType","normratio":[1,0]}"#,
            &at(".normratio[1]: 0 is not a norm ratio"),
        ),
        (
            element,
            r#"{"_type_key":"icraft::xir::QuantizedType","scale":[-1],"storage_dtype":"@sint(8)"}"#,
            &at(".scale[0]: -1 is not a scale"),
        ),
        (
            element,
            r#"{"_type_key":"icraft::xir::QuantizedType","scale":[1e99]}"#,
            &at(".scale[0]: 1e+99 is not a finite number"),
        ),
        (element, r#"{"_type_key":"icraft::xir::CalibratedType","min":"x"}"#, &at(".min: expected a list")),
        (read, r#"{"operations":[{"op_type":"A","input_ftmp":[]}]}"#, "$.operations[0]: no `output_ftmp`"),
        (
            read,
            r#"{"operations":[{"op_type":"A","input_ftmp":[{"norm_ratio":[{"value":1,"count":0}]}],"output_ftmp":[]}]}"#,
            "$.operations[0].input_ftmp[0].norm_ratio: byte 0: a run of 0 channels",
        ),
        (
            read,
            r#"{"operations":[{"op_type":"A","input_ftmp":[{"dtype":"@fp(32)","norm_ratio":[{"value":1}]}],"output_ftmp":[]}]}"#,
            "$.operations[0].input_ftmp[0].dtype: expected an object, as there are norm ratios, found a string",
        ),
        (
            read,
            r#"{"operations":[{"op_id":1,"op_type":"A","input_ftmp":[],"output_ftmp":[]},{"op_type":"B","input_ftmp":[],"output_ftmp":[]}]}"#,
            "$.operations[1]: operation 1 is there already",
        ),
        (
            read,
            r#"{"operations":[{"op_type":"A","input_ftmp":[],"output_ftmp":[{"ftmp_id":4},{"ftmp_id":4}]}]}"#,
            "$.operations[0]: output feature map 4 is there already",
        ),
        (renew, "[]", "not usable as JSON: invalid type: sequence, expected the object of a network"),
        (renew, "{\"ops\":[]} x", "not usable as JSON: trailing characters"),
        (renew, r#"{"ops":[]}"#, "no `params_md5` at the top"),
        (renew, r#"{"raw_md5":"","operations":[],"raw_md5":""}"#, "`raw_md5` is given 2 times"),
        (checksum, r#"{"raw_md5":7,"operations":[]}"#, "\"7\" is no MD5 checksum"),
    ];
    let found = |read: &Reader<'_>, text| {
        read(text).map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    };
    let wrong: Vec<String> = table
        .iter()
        .map(|(read, text, expected)| (text, found(read, text), expected))
        .filter(|(_, found, expected)| !found.starts_with(**expected))
        .map(|(text, found, expected)| format!("{text:.60}: {found}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
