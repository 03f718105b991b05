//! What holds of any text, be it from a fuzzer or a mutated file: nothing panics, and what is read survives being written.

use icraft_raw::{
    CalibrationList, Config, ConfigFormat, Document, Layout, Network, NormRatios, Profile, Scales,
    StorageType, read_ftmps, read_mix_config, read_raws, write_ftmps, write_mix_config, write_raws,
};

/// Logs.
pub(crate) fn logs(text: &str) {
    for profile in [Profile::BuyiV2, Profile::Jdy, Profile::Xir] {
        let columns = profile.raw_columns();
        if let Ok(raws) = read_raws(text, &columns) {
            assert_eq!(read_raws(&write_raws(&raws, &columns), &columns).ok(), Some(raws));
        }
        let columns = profile.ftmp_columns();
        if let Ok(ftmps) = read_ftmps(text, &columns) {
            assert_eq!(read_ftmps(&write_ftmps(&ftmps, &columns), &columns).ok(), Some(ftmps));
        }
    }
    if let Ok(Ok((rows, written))) =
        read_mix_config(text).map(|rows| write_mix_config(&rows).map(|text| (rows, text)))
    {
        assert_eq!(read_mix_config(&written).ok(), Some(rows));
    }
}

/// Networks and documents.
pub(crate) fn networks(text: &str) {
    if let Ok(network) = Network::read(text) {
        let generation = network.generation;
        if let Ok(written) = network.write(generation) {
            let again = Network::read(&written).map(|again| again.write(generation));
            assert!(matches!(again, Ok(Ok(again)) if again == written), "{written}");
        }
        let _ = (network.silu_ratios(), network.add_ratios(), network.output_ratios());
    }
    if let Ok(renewed) = Document::parse(text).and_then(|document| document.with_raw(b"abc")) {
        let again = Document::parse(&renewed).and_then(|document| document.with_raw(b"abc"));
        assert_eq!(again.ok(), Some(renewed));
    }
}

/// Configurations and calibration lists.
pub(crate) fn configurations(text: &str) {
    for format in [ConfigFormat::Ini, ConfigFormat::Toml] {
        if let Ok(config) = Config::read(text, format) {
            assert!(config.warnings.is_sorted_by_key(|warning| warning.line));
            let _ = config.warnings.iter().map(ToString::to_string).count();
        }
    }
    if let Ok(list) = CalibrationList::read(text) {
        assert!(list.parts(1).is_ok() || list.samples().is_empty());
    }
}

/// Expressions.
pub(crate) fn expressions(text: &str) {
    if let Ok(storage) = text.parse::<StorageType>() {
        assert_eq!(storage.to_string().parse(), Ok(storage));
    }
    if let Ok(layout) = text.parse::<Layout>() {
        assert_eq!(layout.to_string().parse(), Ok(layout));
    }
    if let Ok(ratios) = text.parse::<NormRatios>() {
        assert_eq!(ratios.to_string().parse(), Ok(ratios));
    }
    if let Ok(scales) = text.parse::<Scales>() {
        assert_eq!(scales.to_string().parse(), Ok(scales));
    }
}
