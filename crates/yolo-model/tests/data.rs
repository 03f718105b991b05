//! Training data: reading of data sets, drawing of samples, batches.
#![cfg(feature = "data")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use yolo_model::data::{
    Augmentation, Batch, BatchParams, Batches, DataError, Label, LineFault, Samples, sample_random,
};
use yolo_model::{BatchLabel, COCO_CATEGORY_IDS, ImageSize, coco_category_id};

/// A folder with `count` pictures of random bytes in `images` and a label on each in `labels`.
fn data_set(count: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["images", "labels"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for index in 0..count {
        let (width, height) = (30 + index as u32 * 7 % 40, 25 + index as u32 * 11 % 50);
        let value = |x: u32, y: u32, c: u32| (x * 31 + y * 17 + c * 80 + index as u32 * 97) as u8;
        let picture =
            image::RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| value(x, y, c))));
        picture.save(folder.path().join(format!("images/{index:03}.png"))).unwrap();
        write_labels(&folder, index, &format!("{} 0.5 0.5 0.75 0.5\n", index % 3));
    }
    folder
}

fn write_labels(folder: &TempDir, index: usize, text: &str) {
    fs::write(folder.path().join(format!("labels/{index:03}.txt")), text).unwrap();
}

fn read(folder: &TempDir) -> Result<Samples, DataError> {
    Samples::from_yolo(folder.path().join("images"), 3)
}

fn params(batch: usize, epoch: u64) -> BatchParams {
    BatchParams { size: ImageSize::new(64, 96), batch, seed: 11, epoch }
}

fn batches(samples: Samples, batch: usize, epoch: u64) -> Batches {
    Batches::new(Arc::new(samples), Augmentation::default(), params(batch, epoch)).unwrap()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn labels_are_fractions_of_the_picture() {
    let folder = data_set(3);
    write_labels(&folder, 0, "1 0.5 0.5 1 0.5\r\n\n2 0 0.5 0.5 1\n1 0.5 0.5 1.0 .5\n");
    fs::remove_file(folder.path().join("labels/001.txt")).unwrap();
    let samples = read(&folder).unwrap();
    assert_eq!((samples.len(), samples.label_count(), samples.class_count()), (3, 3, 3));
    assert_eq!(samples.classes(0).collect::<Vec<_>>(), [1, 2]);
    let found = samples.picture(0).unwrap();
    assert_eq!(found.picture.size, ImageSize::new(25, 30));
    let first = Label { class: 1, bbox: [0.0, 6.25, 30.0, 18.75] };
    let clipped = Label { class: 2, bbox: [0.0, 0.0, 7.5, 25.0] };
    assert_eq!(found.labels, [first, clipped]);
    assert_eq!(samples.picture(1).unwrap().labels, []);
    assert_eq!(samples.path(2), Some(folder.path().join("images/002.png").as_path()));
    assert!(matches!(samples.picture(3), Err(DataError::UnknownSample { index: 3, count: 3 })));
}

#[test]
fn hostile_label_files_are_named_with_their_line() {
    let cases: [(&str, &[u8], usize, &str); 6] = [
        ("class", b"0 .5 .5 .1 .1\n3 .5 .5 .1 .1", 2, "class `3`"),
        ("pixels", b"\n\n0 17 25 100 100", 3, "`17` is not a number in [0, 1]"),
        ("NaN", b"0 NaN .5 .1 .1", 1, "`NaN`"),
        ("no area", b"0 .5 .5 .1 0", 1, "a box of 0.1 x 0"),
        ("polygon", b"0 .1 .1 .2 .2 .1 .2", 1, "7 values"),
        ("bytes", b"0 .5 .5 .1 .1\n\xff\xfe\0", 2, "text that is not UTF-8"),
    ];
    for (name, text, expected, message) in cases {
        let folder = data_set(2);
        fs::write(folder.path().join("labels/001.txt"), text).unwrap();
        let Err(DataError::Line { path, line, fault }) = read(&folder) else { panic!("{name} was taken") };
        assert_eq!((path, line), (folder.path().join("labels/001.txt"), expected), "{name}");
        assert!(fault.to_string().starts_with(message), "{name}: {fault}");
    }
    let folder = data_set(1);
    write_labels(&folder, 0, &"\n".repeat((8 << 20) + 1));
    assert!(matches!(read(&folder), Err(DataError::LabelsTooLong { .. })));
    fs::remove_file(folder.path().join("labels/000.txt")).unwrap();
    fs::create_dir(folder.path().join("labels/000.txt")).unwrap();
    assert!(matches!(read(&folder), Err(DataError::File { .. })));
    write_labels(&data_set(1), 0, ""); // an empty file is a picture without objects
    let fault = LineFault::ValueCount { found: 7 };
    assert_eq!(fault.to_string(), "7 values in place of five, `class cx cy width height`");
}

#[test]
fn data_sets_without_pictures_are_refused() {
    let empty = data_set(0);
    assert!(matches!(read(&empty), Err(DataError::NoImages { .. })));
    assert!(matches!(Samples::from_yolo_files(Vec::new(), 1), Err(DataError::NoImages { .. })));
    assert!(matches!(Samples::from_yolo(empty.path().join("nowhere"), 1), Err(DataError::File { .. })));
    let stray = vec![PathBuf::from("pictures/a.jpg")];
    assert!(matches!(Samples::from_yolo_files(stray, 1), Err(DataError::NoImagesFolder { .. })));
}

#[test]
fn unreadable_images_are_named_when_they_are_asked_for() {
    let folder = data_set(2);
    let path = folder.path().join("images/001.png");
    fs::write(&path, b"\x89PNG\r\n\x1a\nno more").unwrap();
    let samples = read(&folder).unwrap();
    samples.picture(0).unwrap();
    let error = samples.picture(1).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(samples.picture(1), Err(DataError::Image { .. })));
}

fn coco_json(folder: &TempDir, categories: &[u32], annotations: &str) -> PathBuf {
    let listed: Vec<String> =
        categories.iter().map(|id| format!(r#"{{"id":{id},"name":"c{id}"}}"#)).collect();
    let images = r#"[{"id":9,"file_name":"001.png"},{"id":4,"file_name":"000.png"}]"#;
    let text =
        format!(r#"{{"images":{images},"categories":[{}],"annotations":[{annotations}]}}"#, listed.join(","));
    let path = folder.path().join("annotations.json");
    fs::write(&path, text).unwrap();
    path
}

fn annotation(id: u32, image: u32, category: u32, bbox: &str, crowd: u32) -> String {
    format!(
        r#"{{"id":{id},"image_id":{image},"category_id":{category},"bbox":{bbox},"area":5,"iscrowd":{crowd}}}"#
    )
}

#[test]
fn coco_annotations_become_labels() {
    let folder = data_set(2);
    let rows = [
        annotation(1, 9, 40, "[1, 2.5, 10, 20]", 0),
        annotation(2, 9, 7, "[5, 5, 4, 4]", 0),
        annotation(3, 9, 7, "[5, 5, 4, 4]", 1),
        annotation(4, 9, 7, "[5, 5, 4, 0]", 0),
        annotation(5, 9, 12, "[20, 20, 400, 4]", 0),
    ];
    let path = coco_json(&folder, &[40, 7, 12], &rows.join(","));
    let samples = Samples::from_coco(&path, folder.path().join("images")).unwrap();
    assert_eq!(samples.category_ids(), Some([7, 12, 40].as_slice()));
    assert_eq!((samples.len(), samples.class_count(), samples.label_count()), (2, 3, 3));
    assert_eq!(samples.picture(0).unwrap().labels, []);
    let expected = [(2, [1.0, 2.5, 11.0, 22.5]), (0, [5.0, 5.0, 9.0, 9.0]), (1, [20.0, 20.0, 37.0, 24.0])];
    let expected = expected.map(|(class, bbox)| Label { class, bbox });
    assert_eq!(samples.picture(1).unwrap().labels, expected);
}

#[test]
fn classes_of_cocos_80_categories_are_the_tables() {
    let folder = data_set(2);
    let mut ids = COCO_CATEGORY_IDS;
    ids.reverse();
    let rows: Vec<String> = ids.iter().map(|&id| annotation(id, 4, id, "[1, 1, 5, 5]", 0)).collect();
    let samples = Samples::from_coco(coco_json(&folder, &ids, &rows.join(",")), folder.path()).unwrap();
    let found: Vec<_> = samples.classes(0).map(coco_category_id).collect();
    assert_eq!(found, ids.map(Some));
}

#[test]
fn hostile_coco_files_are_refused_with_a_place() {
    let folder = data_set(2);
    let cases = [
        (annotation(1, 9, 8, "[1, 1, 5, 5]", 0), "category_id"),
        (annotation(1, 5, 7, "[1, 1, 5, 5]", 0), "image_id"),
        (annotation(1, 9, 7, "[1, 1, -5, 5]", 0), "annotation id 1"),
        (annotation(1, 9, 7, "[1, 1, 5]", 0), "line 1"),
        (annotation(1, 9, 7, "[1, 1, 1e999, 5]", 0), "line 1"),
    ];
    for (row, message) in cases {
        let path = coco_json(&folder, &[7], &row);
        let error = Samples::from_coco(&path, folder.path()).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("annotations.json"), "{row}: {error}");
    }
    let path = folder.path().join("annotations.json");
    fs::write(&path, r#"{"images":[{"id":1}],"categories":[],"annotations":[]}"#).unwrap();
    assert!(matches!(Samples::from_coco(&path, "."), Err(DataError::NoFileName { image_id: 1, .. })));
    fs::write(&path, r#"{"images":[],"categories":[],"annotations":[]}"#).unwrap();
    assert!(matches!(Samples::from_coco(&path, "."), Err(DataError::NoImages { .. })));
}

#[test]
fn drawing_depends_on_seed_epoch_and_index_alone() {
    let samples = read(&data_set(6)).unwrap();
    let size = ImageSize::new(64, 96);
    let settings =
        Augmentation { degrees: 10.0, shear: 5.0, flipud: 0.5, mosaic: 0.5, ..Augmentation::default() };
    let draw = |seed, epoch, index| {
        settings
            .draw(&samples, index, size, &mut sample_random(seed, epoch, index))
            .map_err(|e| e.to_string())
    };
    assert!(draw(1, 1, 1).is_err(), "the folder is gone: pictures are decoded when they are drawn");
    let folder = data_set(6);
    let samples = read(&folder).unwrap();
    let draw = |seed, epoch, index| {
        settings.draw(&samples, index, size, &mut sample_random(seed, epoch, index)).unwrap()
    };
    let first = draw(1, 1, 1);
    assert_eq!(first.picture.size, size);
    assert_eq!(first, draw(1, 1, 1));
    for other in [draw(2, 1, 1), draw(1, 2, 1), draw(1, 1, 2)] {
        assert_ne!(first.picture, other.picture);
    }
    for seed in 0..100 {
        for Label { class, bbox: [x1, y1, x2, y2] } in draw(seed, 0, 2).labels {
            assert!(class < 3 && 0.0 <= x1 && x1 < x2 && x2 <= 96.0 && 0.0 <= y1 && y1 < y2 && y2 <= 64.0);
        }
    }
}

#[test]
fn without_gains_colours_stay() {
    let folder = data_set(1);
    image::RgbImage::from_pixel(40, 30, image::Rgb([17, 80, 200]))
        .save(folder.path().join("images/000.png"))
        .unwrap();
    let samples = read(&folder).unwrap();
    let same = Augmentation { hsv_h: 0.0, hsv_s: 0.0, hsv_v: 0.0, fliplr: 1.0, ..Augmentation::none() };
    let found = same.draw(&samples, 0, ImageSize::new(30, 40), &mut sample_random(0, 0, 0)).unwrap();
    assert_eq!(found.picture.pixels, [17, 80, 200].repeat(1200));
}

#[test]
fn flips_mirror_the_picture() {
    let folder = data_set(2);
    write_labels(&folder, 1, "0 0.25 0.375 0.5 0.25\n");
    let samples = read(&folder).unwrap();
    let size = ImageSize::new(48, 64);
    let draw = |flipud, fliplr| {
        let settings = Augmentation { flipud, fliplr, ..Augmentation::none() };
        settings.draw(&samples, 1, size, &mut sample_random(0, 0, 0)).unwrap()
    };
    let plain = draw(0.0, 0.0);
    let [x1, y1, x2, y2] = plain.labels[0].bbox;
    for (flipud, fliplr) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let flipped = draw(flipud, fliplr);
        for (place, pixel) in flipped.picture.pixels.chunks_exact(3).enumerate() {
            let [mut x, mut y] = [place % 64, place / 64];
            if fliplr == 1.0 {
                x = 63 - x;
            }
            if flipud == 1.0 {
                y = 47 - y;
            }
            assert_eq!(pixel, &plain.picture.pixels[(y * 64 + x) * 3..][..3], "{flipud} {fliplr} {place}");
        }
        let [left, right] = if fliplr == 1.0 { [64.0 - x2, 64.0 - x1] } else { [x1, x2] };
        let [top, bottom] = if flipud == 1.0 { [48.0 - y2, 48.0 - y1] } else { [y1, y2] };
        assert_eq!(flipped.labels, [Label { class: 0, bbox: [left, top, right, bottom] }]);
    }
}

#[test]
fn pictures_are_turned_as_their_exif_data_says() {
    use image::ImageEncoder;
    let folder = data_set(0);
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    let orientation_6 = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.set_exif_metadata(orientation_6.to_vec()).unwrap();
    encoder.write_image(&[90; 40 * 20 * 3], 40, 20, image::ExtendedColorType::Rgb8).unwrap();
    fs::write(folder.path().join("images/000.jpg"), bytes).unwrap();
    let picture = read(&folder).unwrap().picture(0).unwrap().picture;
    assert_eq!(picture.size, ImageSize::new(40, 20));
}

#[test]
fn an_epoch_has_every_sample_once_in_an_order_of_its_own() {
    let folder = data_set(10);
    let epoch = |epoch| {
        let made = batches(read(&folder).unwrap(), 4, epoch);
        assert_eq!(made.len(), 3);
        let made: Vec<Batch> = made.map(Result::unwrap).collect();
        assert_eq!(made.iter().map(|batch| batch.indices.len()).collect::<Vec<_>>(), [4, 4, 2]);
        for batch in &made {
            assert_eq!(batch.images.len(), batch.indices.len() * 3 * 64 * 96);
            assert!(batch.images.iter().all(|value| (0.0..=1.0).contains(value)));
            assert!(batch.labels.iter().all(|label| label.image < batch.indices.len()));
        }
        made.into_iter().flat_map(|batch| batch.indices).collect::<Vec<_>>()
    };
    let (first, second) = (epoch(0), epoch(1));
    assert_ne!(first, second);
    for mut order in [first, second] {
        order.sort_unstable();
        assert_eq!(order, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn batches_are_the_same_with_one_and_four_threads() {
    let folder = data_set(11);
    let made = |threads| {
        let samples = read(&folder).unwrap();
        pool(threads).install(|| batches(samples, 3, 5).map(Result::unwrap).collect::<Vec<Batch>>())
    };
    let [one, four] = [made(1), made(4)];
    assert_eq!(one, four);
    assert_eq!(one, batches(read(&folder).unwrap(), 3, 5).map(Result::unwrap).collect::<Vec<_>>());
    let samples = read(&folder).unwrap();
    let index = one[1].indices[2];
    let alone =
        Augmentation::default().draw(&samples, index, params(3, 5).size, &mut sample_random(11, 5, index));
    let alone = alone.unwrap();
    let area = 64 * 96;
    let planar =
        (0..3 * area).map(|value| f32::from(alone.picture.pixels[value % area * 3 + value / area]) / 255.0);
    assert_eq!(one[1].images[2 * 3 * area..], planar.collect::<Vec<f32>>());
    let of_third = one[1].labels.iter().filter(|label| label.image == 2);
    let labels: Vec<Label> = of_third.map(|&BatchLabel { class, bbox, .. }| Label { class, bbox }).collect();
    assert_eq!(labels, alone.labels);
}

#[test]
fn errors_take_the_place_of_their_batch() {
    let folder = data_set(9);
    fs::write(folder.path().join("images/004.png"), "broken").unwrap();
    let plain = Augmentation { mosaic: 0.0, ..Augmentation::default() };
    let made = Batches::new(Arc::new(read(&folder).unwrap()), plain, params(2, 0)).unwrap();
    let made: Vec<Result<Batch, DataError>> = made.collect();
    assert_eq!(made.len(), 5);
    let failures: Vec<String> =
        made.iter().filter_map(|item| item.as_ref().err()).map(ToString::to_string).collect();
    assert!(failures.len() == 1 && failures[0].contains("004.png"), "{failures:?}");
}

#[test]
fn wrong_parameters_are_refused() {
    let folder = data_set(1);
    let samples = Arc::new(read(&folder).unwrap());
    let new = |augmentation, params| {
        Batches::new(Arc::clone(&samples), augmentation, params).err().unwrap().to_string()
    };
    let default = Augmentation::default();
    assert_eq!(new(default, params(0, 0)), "`batch` is 0; it must be at least 1");
    assert_eq!(
        new(Augmentation { scale: 2.0, ..default }, params(1, 0)),
        "`scale` is 2; it must be in [0, 1)"
    );
    let nothing = BatchParams { size: ImageSize::new(0, 5), ..params(1, 0) };
    assert_eq!(new(default, nothing), "training picture is empty: 0 rows of 5 pixels");
    let huge = BatchParams { size: ImageSize::new(usize::MAX, 5), ..params(1, 0) };
    assert!(new(default, huge).starts_with("training picture is too large"));
}

/// Waits until nothing but the test holds the samples: no thread works for the iterator any more.
fn wait_until_alone(samples: &Arc<Samples>) {
    let start = Instant::now();
    while Arc::strong_count(samples) > 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "a thread still holds the samples");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_epoch_may_be_abandoned_at_any_point() {
    let folder = data_set(12);
    let samples = Arc::new(read(&folder).unwrap());
    for threads in [1, 3] {
        let pool = pool(threads);
        for taken in 0..5 {
            let mut made = Batches::new(Arc::clone(&samples), Augmentation::default(), params(3, 0)).unwrap();
            pool.install(|| {
                for _ in 0..taken {
                    assert_eq!(made.next().is_some(), taken < 5);
                }
                drop(made);
            });
        }
        drop(pool);
        wait_until_alone(&samples);
    }
}

#[test]
fn no_more_than_two_batches_are_made_ahead() {
    let folder = data_set(12);
    let samples = Arc::new(read(&folder).unwrap());
    let plain = Augmentation { mosaic: 0.0, ..Augmentation::default() };
    let mut made = Batches::new(Arc::clone(&samples), plain, params(2, 0)).unwrap();
    made.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(500)); // time enough to make far too much
    fs::remove_dir_all(folder.path().join("images")).unwrap();
    let rest: Vec<bool> = made.map(|batch| batch.is_ok()).collect();
    assert_eq!(rest.len(), 5);
    assert!(rest[2..].iter().all(|made| !made), "made too far ahead: {rest:?}");
}

fn assets() -> Option<PathBuf> {
    std::env::var_os("YOLO_ASSETS").map(PathBuf::from)
}

#[test]
fn counts_of_real_annotations_are_those_of_a_plain_reader() {
    let Some(coco) = assets().map(|folder| folder.join("coco")) else { return };
    let path = coco.join("instances_val206.json");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for image in json["images"].as_array().unwrap() {
        let name = image["file_name"].as_str().unwrap().to_owned();
        names.insert(image["id"].as_u64().unwrap(), name.clone());
        expected.insert(name, Vec::new());
    }
    for annotation in json["annotations"].as_array().unwrap() {
        if annotation["iscrowd"] == 0 {
            let name = &names[&annotation["image_id"].as_u64().unwrap()];
            expected.get_mut(name).unwrap().push(annotation["category_id"].as_u64().unwrap());
        }
    }
    let samples = Samples::from_coco(&path, coco.join("val206")).unwrap();
    assert_eq!((samples.len(), samples.label_count()), (206, 1786 - 21));
    let found = |index| {
        let name = samples.path(index).unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        (name, samples.classes(index).map(|class| coco_category_id(class).unwrap().into()).collect())
    };
    assert_eq!((0..samples.len()).map(found).collect::<BTreeMap<_, Vec<u64>>>(), expected);
    let decoded: usize = (0..samples.len()).map(|index| samples.picture(index).unwrap().labels.len()).sum();
    assert_eq!(decoded, samples.label_count());
}

/// The assets' folders have other names than YOLO's form asks for.
#[cfg(unix)]
fn linked_training_set(coco: &Path) -> (TempDir, Samples) {
    let folder = TempDir::new().unwrap();
    for (target, name) in [("train128", "images"), ("train128_labels", "labels")] {
        std::os::unix::fs::symlink(coco.join(target), folder.path().join(name)).unwrap();
    }
    let samples = Samples::from_yolo(folder.path().join("images"), 80).unwrap();
    (folder, samples)
}

#[cfg(unix)]
#[test]
fn counts_of_real_label_files_are_those_of_their_lines() {
    let Some(coco) = assets().map(|folder| folder.join("coco")) else { return };
    let (_folder, samples) = linked_training_set(&coco);
    assert_eq!(samples.len(), 128);
    for index in 0..samples.len() {
        let name = samples.path(index).unwrap().with_extension("txt");
        let path = coco.join("train128_labels").join(name.file_name().unwrap());
        let text = fs::read_to_string(path).unwrap_or_default();
        let expected: Vec<usize> =
            text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(samples.classes(index).collect::<Vec<_>>(), expected, "{}", name.display());
    }
}

/// `cargo test --release -p yolo-model --features data --test data -- --ignored --nocapture`
#[cfg(unix)]
#[test]
#[ignore = "a measurement, not a test"]
fn pictures_per_second_on_one_thread() {
    let Some(coco) = assets().map(|folder| folder.join("coco")) else { return };
    let (_folder, samples) = linked_training_set(&coco);
    let size = ImageSize::new(320, 320);
    let plain = Augmentation { mosaic: 0.0, ..Augmentation::default() };
    for (name, settings) in
        [("default", Augmentation::default()), ("without mosaic", plain), ("none", Augmentation::none())]
    {
        let start = Instant::now();
        for index in 0..samples.len() {
            settings.draw(&samples, index, size, &mut sample_random(0, 0, index)).unwrap();
        }
        println!("{name}: {:.1} pictures per second", samples.len() as f64 / start.elapsed().as_secs_f64());
    }
}
