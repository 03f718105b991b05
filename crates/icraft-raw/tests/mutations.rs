//! The fuzz targets' properties on texts that are mutated in a fixed way, so that they hold without a fuzzer too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers outside test functions")]

#[path = "support/properties.rs"]
mod properties;

const ROUNDS: usize = 4000;

/// Bits of splitmix64.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

/// Pieces that readers stumble over.
const PIECES: &[&str] = &[
    "",
    ",",
    ";",
    "*",
    "/",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "\r\n",
    " ",
    "-",
    "0",
    "-0",
    "1e39",
    "nan",
    "inf",
    "null",
    "true",
    "99999999999*1",
    "18446744073709551616",
    "@sint(8)",
    "@norm_ratios(",
    "[axis=-1]",
    "\\u0000",
    "\u{feff}",
    "\u{e9}",
    "#",
];

/// `text` with a few stretches replaced by pieces or by other stretches of itself.
fn mutated(text: &str, draws: &mut Draws) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=draws.below(3) {
        let start = draws.below(characters.len() + 1);
        let end = (start + draws.below(6)).min(characters.len());
        let piece: Vec<char> = if draws.below(4) == 0 {
            let from = draws.below(characters.len());
            characters.iter().skip(from).take(draws.below(40)).copied().collect()
        } else {
            PIECES[draws.below(PIECES.len())].chars().collect()
        };
        characters.splice(start..end, piece);
    }
    characters.into_iter().collect()
}

fn survive(check: fn(&str), texts: &[&str]) {
    let mut draws = Draws(7);
    for text in texts {
        check(text);
        for _ in 0..ROUNDS {
            check(&mutated(text, &mut draws));
        }
    }
}

#[test]
fn logs() {
    let raws = "raw_id,size,max,sat,scale,exp\n3,3x3x8x2,0.5 1,0.5 1,0.25 0.5,0 1,9\n4,2,,,0,0,[2*3]\n";
    let ftmps = "ftmp_id,size,max,sat,normratio,scale,exp\n0,1x8x8x3,255 254 253,3*2.5,1 2 3;,1,0\n";
    let mix = "op_id,op_type,dtype,value_range_in_bits,saturation,per,order\n0,a::B,int8,8;8,kld;null,channel;group=2,-\n";
    survive(properties::logs, &[raws, ftmps, mix]);
}

#[test]
fn networks() {
    let legacy = r#"{"operations":[{"op_type":"Silu","op_id":3,"input_ftmp":[{"ftmp_id":1,"norm_ratio":[{"value":0.5,"count":2},{"value":1}]}],
        "raws":[{"raw_id":1,"size":[2,3],"dtype":"@sint(8)"}],"output_ftmp":[{"ftmp_id":2,"norm_axis":-1,"norm_ratio":[{"value":1}]}]}],
        "raw_md5":"d41d8cd98f00b204e9800998ecf8427e","raw_bytes":10}"#;
    let xir = r#"{"_type_key":"icraft::xir::Network","name":"n","ops":[{"_type_key":"icraft::xir::HardOp","op_id":1,"inputs":[
        {"_type_key":"icraft::xir::Value","v_id":1,"dtype":{"shape":[1,2],"layout":"@layout(NHWC)","element_dtype":{
        "_type_key":"icraft::xir::NormalizedQuantizedType","normratio":"@norm_ratios([axis=-1]2*0.5,1)","scale":[1,2],
        "storage_dtype":"@sint(8)","expressed_dtype":"@fp(32)","zero_points":[]}}}],"params":[{"_type_key":"icraft::xir::Params","v_id":7,
        "dtype":{"shape":[2],"element_dtype":{"_type_key":"icraft::xir::CalibratedType","min":-1,"max":[2],"sat":[1.5]}}}],"outputs":[]}],
        "params_md5":"d41d8cd98f00b204e9800998ecf8427e","params_bytes":10}"#;
    survive(properties::networks, &[legacy, xir]);
}

#[test]
fn configurations() {
    let ini = "; c\n[parse]\nname = n\ninput = 1, 2, 3 ; 4\nchann_swap = 2,1,0\n[quantize]\nbits = 8\nbatch = 2\n[generate]\nqbits = 8\n";
    let list = "a.jpg;b.jpg\nc.jpg;d.jpg\n";
    survive(properties::configurations, &[ini, list, include_str!("data/yolov5s_8.toml")]);
}

#[test]
fn expressions() {
    let texts = [
        "@sint(8)",
        "@layout(OIHWo32i32)",
        "@norm_ratios([axis=-1]32*0.13699304,32*0.13273652)",
        "@scales([axis=4]0.5,2*6.1035156e-05)",
        "@exp_scales([axis=4]128/21/6.1035156e-05,3*185/18/0.000705719)",
    ];
    survive(properties::expressions, &texts);
}
