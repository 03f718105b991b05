//! Configurations of both generations, calibration lists, and names of files.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

use std::fs;

use icraft_raw::{
    CONFIG_KEYS, CalibrationList, Config, ConfigError, ConfigFormat, ElementKind, ForwardMode, Generation,
    Granularity, Log, MixPrecision, SaturationMethod, Section, Stage, Switch,
};

fn ini(text: &str) -> Result<Config, ConfigError> {
    Config::read(text, ConfigFormat::Ini)
}

fn toml(text: &str) -> Result<Config, ConfigError> {
    Config::read(text, ConfigFormat::Toml)
}

#[test]
fn real_configurations_are_known_in_full() {
    for (text, bits) in [(include_str!("data/yolov5s_8.toml"), 8), (include_str!("data/yolov5s_16.toml"), 16)]
    {
        let config = toml(text).unwrap();
        assert_eq!(config.warnings, []);
        let (parse, quantize) = (config.parse.unwrap(), config.quantize.unwrap());
        assert_eq!(parse.name.as_deref(), Some("yolov5s"));
        assert_eq!(parse.inputs, [[1, 640, 640, 3]]);
        assert_eq!(parse.pre_scale, [[255.0; 3]]);
        assert_eq!(parse.channel_swap, [[0, 1, 2]]);
        assert_eq!((quantize.bits, quantize.batch, quantize.bin_num), (bits, 1, 4096));
        assert_eq!((quantize.per, quantize.saturation), (Granularity::Channel, Some(SaturationMethod::Kld)));
        assert_eq!(quantize.forward_list.as_deref(), Some("./qtset/coco.txt"));
        let adapt = config.adapt.unwrap();
        assert_eq!(adapt.pass_on, ["customop.ImageMakePass", "customop.DetPostPass"]);
        let run = config.run.unwrap();
        assert!(run.log_time && run.log_io && !run.fake_qf);
        assert_eq!(run.dump_format.unwrap().to_string(), "SFB");
        assert_eq!(run.dump_format.unwrap().file_name(42), "42.ftmp");
    }
}

const LEGACY: &str = "
; YOLOv5
[parse]
name = yolov5n
framework = pytorch
frame_version = 1.9
input = 1, 640, 640, 3 ; 1, 10
network = \"./models/a=b.pt\"
weights =
pre_method = resize
pre_scale = 255, 255, 255
chann_swap = 2,1,0
[quantize]
forward_mode = image
saturation = null
bits = 16
debug = True
batch = 5
[generate]
qbits = 16
";

#[test]
fn legacy_configuration() {
    let config = ini(LEGACY).unwrap();
    assert_eq!((config.generation, config.warnings.len()), (Generation::Legacy, 0));
    assert!(config.optimize.is_none() && config.run.is_none());
    let (parse, quantize) = (config.parse.unwrap(), config.quantize.unwrap());
    assert_eq!(parse.name.as_deref(), Some("yolov5n"));
    assert_eq!(parse.frame_version.as_deref(), Some("1.9"));
    assert_eq!(parse.inputs, [vec![1, 640, 640, 3], vec![1, 10]]);
    assert_eq!((parse.network.as_deref(), parse.weights), (Some("./models/a=b.pt"), None));
    assert_eq!(parse.channel_swap, [[2, 1, 0]]);
    assert_eq!(
        (quantize.forward_mode, quantize.saturation),
        (Some(ForwardMode::Image), Some(SaturationMethod::Null))
    );
    assert_eq!((quantize.bits, quantize.batch, quantize.per), (16, 5, Granularity::Tensor));
    assert!(quantize.files.debug);
    assert_eq!(config.generate.unwrap().qbits, Some(16));
    assert_eq!(ini("[quantize]").unwrap().quantize.unwrap().bits, 8);
}

#[test]
fn values_of_the_later_generation() {
    let text = "
        [quantize]
        qdtype = 'bf16'
        per = 'group=32'
        no_imagemake = true
        no_transinput = [3, 4]
        mix_precision = 'auto'
        [parse]
        inputs = [[1, 2, 2, 3], [1, 5]]
        pre_scale = ['255,255,255', '1']
        [generate]
        rows = 4
        no_mergeops = '7,8'
        ddr_base = 0x40
        [run]
        input = 'a.bin;b.bin'
        backends = ['Host', 'Buyi']
    ";
    let config = toml(text).unwrap();
    assert_eq!(config.warnings, []);
    let (quantize, generate) = (config.quantize.unwrap(), config.generate.unwrap());
    assert_eq!((quantize.qdtype, quantize.per), (Some(ElementKind::Bf16), Granularity::Group(32)));
    assert_eq!(quantize.no_imagemake, Some(Switch::All(true)));
    assert_eq!(quantize.no_transinput, Some(Switch::Ids(vec![3, 4])));
    assert_eq!(quantize.mix_precision, Some(MixPrecision::Auto));
    assert_eq!(config.parse.as_ref().unwrap().inputs, [vec![1, 2, 2, 3], vec![1, 5]]);
    assert_eq!(config.parse.unwrap().pre_scale, [vec![255.0; 3], vec![1.0]]);
    assert_eq!((generate.rows, generate.ddr_base), (Some(4), Some(64)));
    assert_eq!(generate.no_mergeops, Some(Switch::Ids(vec![7, 8])));
    let run = config.run.unwrap();
    assert_eq!(
        (run.input, run.backends),
        (vec!["a.bin".to_owned(), "b.bin".into()], vec!["Host".to_owned(), "Buyi".into()])
    );
}

#[test]
fn unknown_names_are_warned_of() {
    let found = |config: Config| config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = "[quantise]\nbits = 7\n[quantize]\nsaturaton = kld\nqqqqqqqqqq = 1\nbin_num = 3\n";
    let expected = [
        "line 1: unknown section [quantise]; did you mean `quantize`?",
        "line 4: unknown key `saturaton` in [quantize]; did you mean `saturation`?",
        "line 5: unknown key `qqqqqqqqqq` in [quantize]",
        "line 6: unknown key `bin_num` in [quantize]",
    ];
    assert_eq!(found(ini(text).unwrap()), expected);
    let expected = [
        "line 1: `bits` stands outside of any section",
        "line 3: unknown key `qbits` in [quantize]; did you mean `bits`?",
        "line 4: unknown section [speed]",
    ];
    assert_eq!(found(toml("bits = 8\n[quantize]\nqbits = 8\n[speed]").unwrap()), expected);
}

/// Every key of the table is read by its section's struct: setting it changes the configuration.
#[test]
fn every_key_of_the_table_is_taken() {
    use icraft_raw::ValueKind as Kind;
    let mut untaken = Vec::new();
    for key in CONFIG_KEYS {
        let value = match key.kind {
            Kind::Shapes => "1, 2",
            Kind::Permutations => "1, 0",
            Kind::Numbers
            | Kind::Divisors
            | Kind::Number
            | Kind::Count
            | Kind::Positive
            | Kind::OneToFour => "3",
            Kind::Width => "16",
            Kind::Flag | Kind::FlagOrIds => "true",
            Kind::ForwardMode => "ftmp",
            Kind::Saturation => "ems",
            Kind::Granularity => "group=2",
            Kind::ElementKind => "tf32",
            Kind::DumpFormat => "HQT",
            _ => "word",
        };
        for (section, generation) in
            key.sections.iter().flat_map(|s| key.generations.iter().map(move |g| (s, g)))
        {
            let (format, line) = match generation {
                Generation::Legacy => (ConfigFormat::Ini, format!("{} = {value}", key.name)),
                Generation::Xir => (ConfigFormat::Toml, format!("{} = \"{value}\"", key.name)),
            };
            let config = Config::read(&format!("[{section}]\n{line}"), format).unwrap();
            let without = Config::read(&format!("[{section}]\n"), format).unwrap();
            if !config.warnings.is_empty() || config == without {
                untaken.push(format!("[{section}] {line}"));
            }
        }
    }
    assert!(untaken.is_empty(), "{untaken:#?}");
}

#[test]
fn damaged_configurations_are_refused_each_for_its_reason() {
    let list = |text: &str| CalibrationList::read(text)?.parts(2).map(|_| ());
    let read_ini = |text: &str| ini(text).map(|_| ());
    let read_toml = |text: &str| toml(text).map(|_| ());
    type Reader<'r> = &'r dyn Fn(&str) -> Result<(), ConfigError>;
    let (i, t, list): (Reader<'_>, Reader<'_>, Reader<'_>) = (&read_ini, &read_toml, &list);
    let deep = format!("[parse]\ninputs = {}", "[".repeat(100_000));
    let dots = format!("[parse]\n{}a = 1", "a.".repeat(100_000));
    let table: &[(Reader<'_>, &str, &str)] = &[
        (i, "[parse\n", "line 1: \"[parse\": a section is written"),
        (i, "\n\n[parse]\nname\n", "line 4: \"name\": a setting is written"),
        (i, "name = a\n", "line 1: \"name = a\": a setting must follow"),
        (i, "[parse]\n = a\n", "line 2: \"= a\": a setting needs a key"),
        (i, "[parse]\nname = a\n[parse]\nname = a\n", "line 4: `name` of [parse] is given in line 2 already"),
        (i, "[quantize]\nbits = 10\n", "line 2: `bits` of [quantize] is \"10\"; it must be 8, 12 or 16"),
        (i, "[quantize]\nbits = eight\n", "line 2: `bits` of [quantize] is \"eight\""),
        (
            i,
            "[quantize]\nbatch = 0\n",
            "line 2: `batch` of [quantize] is \"0\"; it must be an integer from 1",
        ),
        (
            i,
            "[quantize]\nsaturation = kl\n",
            "line 2: `saturation` of [quantize] is \"kl\"; it must be kld, ems",
        ),
        (i, "[quantize]\nper = layer\n", "line 2: `per` of [quantize] is \"layer\""),
        (i, "[quantize]\nforward_mode = video\n", "line 2: `forward_mode`"),
        (
            i,
            "[parse]\ninput = 1, , 3\n",
            "line 2: `input` of [parse] is \"1, , 3\"; it must be dimensions from 1",
        ),
        (i, "[parse]\ninput = 1, 0\n", "line 2: `input`"),
        (
            i,
            "[parse]\npre_scale = 0, 1, 1\n",
            "line 2: `pre_scale` of [parse] is \"0, 1, 1\"; it must be finite",
        ),
        (i, "[parse]\npre_mean = nan\n", "line 2: `pre_mean`"),
        (
            i,
            "[parse]\nchann_swap = 2, 1, 1\n",
            "line 2: `chann_swap` of [parse] is \"2, 1, 1\"; it must be a permutation",
        ),
        (
            i,
            "[generate]\nqbits = 8\n[quantize]\nbits = 16\n",
            "line 2: `qbits` is 8, `bits` of [quantize] is 16",
        ),
        (t, "[parse\n", "line 1: "),
        (t, "[parse]\nname = yolov5s\n", "line 2: "),
        (t, "[parse]\nnet_name = 'a'\nnet_name = 'b'\n", "line 3: duplicate key"),
        (t, &deep, "line 2: "),
        (t, &dots, "not usable as toml: recursion limit"),
        (t, "[parse]\nnet_name = [1]\n", "line 2: `net_name` of [parse] is a list of 1; it must be a text"),
        (t, "[parse]\nnet_name = 1979-05-27\n", "line 2: `net_name` of [parse] is a date"),
        (t, "[parse]\nnet_name.x = 1\n", "line 2: `net_name` of [parse] is a table"),
        (t, "[parse]\ninputs = true\n", "line 2: `inputs` of [parse] is true"),
        (t, "[parse]\ninputs = [1, 2.5]\n", "line 2: `inputs` of [parse] is a list of 2"),
        (t, "[parse]\ninputs = [-1]\n", "line 2: `inputs`"),
        (t, "[parse]\npre_mean = [inf]\n", "line 2: `pre_mean`"),
        (t, "[generate]\nrows = 5\n", "line 2: `rows` of [generate] is 5; it must be 1, 2, 3 or 4"),
        (
            t,
            "[quantize]\nbin_num = 99999999999999999999\n",
            "line 2: `bin_num` of [quantize] is an integer of more than 64",
        ),
        (
            t,
            "[run]\nfake_qf = 'maybe'\n",
            "line 2: `fake_qf` of [run] is \"maybe\"; it must be true or false",
        ),
        (t, "[run]\ndump_format = 'SFX'\n", "line 2: `dump_format`"),
        (t, "[run]\ndump_format = '\u{e9}F'\n", "line 2: `dump_format`"),
        (t, "[quantize]\nno_imagemake = ['x']\n", "line 2: `no_imagemake`"),
        (list, "a.jpg\nb.jpg;\n", "calibration list, line 2: an empty path"),
        (list, "a.jpg\n\nb.jpg;c.jpg\n", "calibration list, line 3: 2 paths, the lines before have 1"),
        (list, "a.jpg\nb.jpg\nc.jpg\n", "3 calibration samples cannot be split into 2 equal parts"),
        (list, "", "0 calibration samples cannot be split"),
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

#[test]
fn calibration_lists() {
    let list = CalibrationList::read("\u{feff}images/1.jpg\r\nimages/2 b.jpg\n\nc\nd").unwrap();
    assert_eq!(list.samples()[1], ["images/2 b.jpg"]);
    let parts = list.parts(2).unwrap();
    assert_eq!((parts.len(), parts[1][0][0].as_str()), (2, "c"));
    let two = CalibrationList::read("a.bin ; b.bin").unwrap();
    assert_eq!(two.samples(), [["a.bin", "b.bin"]]);
}

#[test]
fn files_tell_their_generation() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, generation) in [
        ("a.ini", "[parse]\nname = n", Generation::Legacy),
        ("b.toml", "[parse]\nnet_name = 'n'", Generation::Xir),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let config = Config::from_path(&path).unwrap();
        assert_eq!((config.generation, config.parse.unwrap().name.as_deref()), (generation, Some("n")));
    }
    assert!(matches!(Config::from_path(&folder.path().join("c.yaml")), Err(ConfigError::Extension { .. })));
    assert!(matches!(Config::from_path(&folder.path().join("c.ini")), Err(ConfigError::File { .. })));
}

#[test]
fn names_of_files() {
    assert_eq!(Stage::Normed.json_name("yolov5n"), "yolov5n_normed.json");
    assert_eq!(Stage::Buyi.raw_name("yolov5n"), "yolov5n_BY.raw");
    assert_eq!(Log::Ftmps.file_name("yolov5n", Generation::Legacy), "yolov5n_ftmps.csv");
    assert_eq!(Log::MixConfig.file_name("yolov5n", Generation::Xir), "yolov5n_quantize_mix_config.csv");
    assert_eq!(
        Section::ALL.map(Section::name),
        ["parse", "optimize", "quantize", "adapt", "generate", "run"]
    );
}

#[test]
fn settings_beside_a_configuration_take_the_place_of_its_own() {
    let texts = [
        ("[quantize]\nbits = 8\nper = tensor\n", ConfigFormat::Ini),
        ("[quantize]\nbits = 8\nper = \"tensor\"\n", ConfigFormat::Toml),
    ];
    for (text, format) in texts {
        let with = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
            Config::read_with(text, format, &settings)
        };
        let config = with(&["quantize.bits=16", "parse.input = 1, 320, 320, 3"]);
        if format == ConfigFormat::Ini {
            let config = config.unwrap();
            assert_eq!(config.parse.unwrap().inputs, [[1, 320, 320, 3]]);
        }
        let quantize = with(&["quantize.bits=16"]).unwrap().quantize.unwrap();
        assert_eq!((quantize.bits, quantize.per), (16, icraft_raw::Granularity::Tensor), "{text}");
        // The last one counts.
        assert_eq!(with(&["quantize.bits=16", "quantize.bits=8"]).unwrap().quantize.unwrap().bits, 8);
        for (setting, part) in [
            ("quantize.bits=9", "the value must be"),
            ("quantize.bit=8", "did you mean `bits`?"),
            ("quantise.bits=8", "expected SECTION.KEY=VALUE"),
            ("bits=8", "expected SECTION.KEY=VALUE"),
            ("quantize.bits", "expected SECTION.KEY=VALUE"),
        ] {
            let error = with(&[setting]).unwrap_err().to_string();
            assert!(error.contains(setting) && error.contains(part), "{error}");
        }
    }
}
