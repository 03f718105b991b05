//! Outcomes: shards merged give the bits of one run, stored ones come back, damaged ones are refused.

#![allow(clippy::unwrap_used, reason = "helpers outside test functions")]

#[path = "support/sets.rs"]
mod sets;

use coco_eval::{Detections, EvalParams, Outcomes, Pooling, evaluate};
use sets::{Random, random_params, random_set};

const SETS: u64 = 300;

/// The selected images in `count` random parts, some of them empty.
fn parts(random: &mut Random, ids: &[i64], count: u64) -> Vec<Vec<i64>> {
    let mut parts = vec![Vec::new(); count as usize];
    ids.iter().for_each(|&id| parts[random.below(count) as usize].push(id));
    parts
}

#[test]
fn merged_shards_equal_one_run() {
    let mut faults = Vec::new();
    for seed in 0..SETS {
        let random = &mut Random(seed);
        let (truth, detections) = random_set(random).tables();
        let params = random_params(random);
        let whole = Outcomes::collect(&truth, &detections, &params).unwrap();
        let count = 1 + random.below(4);
        let shard = |ids: &Vec<i64>| Outcomes::collect_images(&truth, &detections, &params, ids).unwrap();
        let mut shards: Vec<Outcomes> = parts(random, whole.image_ids(), count).iter().map(shard).collect();
        let sum: usize = shards.iter().map(Outcomes::detections).sum();
        assert_eq!(sum, whole.detections(), "seed {seed}");
        if random.one_in(2) {
            shards.reverse();
        }
        let last = shards.pop().unwrap(); // merging is associative
        let merged = if shards.is_empty() {
            last
        } else {
            Outcomes::merge([last, Outcomes::merge(shards).unwrap()]).unwrap()
        };
        if merged != whole {
            faults.push(format!("seed {seed}: outcomes of {count} shards"));
        }
        if merged.accumulate() != evaluate(&truth, &detections, &params).unwrap() {
            faults.push(format!("seed {seed}: evaluation"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn shards_in_processes_of_their_own() {
    // each process knows the detections of its own images only
    let random = &mut Random(5);
    let (truth, detections) = random_set(random).tables();
    let params = EvalParams::default();
    let whole = Outcomes::collect(&truth, &detections, &params).unwrap();
    let stored: Vec<String> = whole
        .image_ids()
        .iter()
        .map(|&id| {
            let mut own = Detections::new(coco_eval::InputPolicy::PYCOCOTOOLS);
            for detection in detections.iter().filter(|detection| detection.image_id == id) {
                own.push(&detection).unwrap();
            }
            let shard = Outcomes::collect_images(&truth, &own, &params, &[id]).unwrap();
            serde_json::to_string(&shard).unwrap()
        })
        .collect();
    assert!(stored.len() > 1);
    let shards = stored.iter().map(|text| serde_json::from_str::<Outcomes>(text).unwrap());
    assert_eq!(Outcomes::merge(shards).unwrap(), whole);
}

#[test]
fn what_does_not_fit_is_refused() {
    let random = &mut Random(9);
    let (truth, detections) = random_set(random).tables();
    let params = EvalParams::default();
    let collect = |params: &EvalParams| Outcomes::collect(&truth, &detections, params).unwrap();
    let whole = collect(&params);
    let message = |parts: Vec<Outcomes>| Outcomes::merge(parts).unwrap_err().to_string();
    let id = whole.image_ids()[0];
    assert!(message(vec![whole.clone(), whole.clone()]).contains(&format!("image id {id}")));
    assert!(message(vec![]).contains("no outcomes to merge"));
    let caps = EvalParams { max_detections: vec![1, 2, 3], ..params.clone() };
    assert!(message(vec![whole.clone(), collect(&caps)]).contains("the parameters differ"));
    let pooled = EvalParams { pooling: Pooling::ClassAgnostic, ..params.clone() };
    assert!(message(vec![whole.clone(), collect(&pooled)]).contains("the parameters differ"));
    let categories = EvalParams { category_ids: Some(vec![5]), ..params.clone() };
    assert!(message(vec![whole.clone(), collect(&categories)]).contains("the parameters differ"));
    let huge = EvalParams { max_detections: vec![1; 1 << 20], ..params.clone() };
    let huge = evaluate(&truth, &detections, &huge).unwrap_err().to_string();
    assert!(huge.contains("entries, the limit is"), "{huge}");
    let strange = Outcomes::collect_images(&truth, &detections, &params, &[id, 987]).unwrap_err();
    assert!(strange.to_string().contains("image id 987 is not among"), "{strange}");
}

fn reversed(whole: &serde_json::Value, path: &str) -> serde_json::Value {
    whole.pointer(path).unwrap().as_array().unwrap().iter().rev().cloned().collect()
}

#[test]
fn damaged_outcomes_are_refused() {
    let random = &mut Random(2);
    let (truth, detections) = random_set(random).tables();
    let outcomes = Outcomes::collect(&truth, &detections, &EvalParams::default()).unwrap();
    let good = serde_json::to_value(&outcomes).unwrap();
    let category = outcomes.category_ids().iter().position(|&id| id == 5).unwrap();
    let set = |path: &str, value: serde_json::Value| {
        let mut damaged = good.clone();
        *damaged.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        damaged
    };
    let of = |field: &str| format!("/categories/{category}/{field}");
    let n = |field: &str| good.pointer(&of(field)).unwrap().as_array().unwrap().len();
    assert!(n("scores") > 3 && n("steps") > 1 && n("truth_images") > 1);
    let rows = [
        (set(&of("scores"), serde_json::json!([])), "different lengths"),
        (set(&of("scores/0"), serde_json::json!(-1e9)), "out of order"),
        (set(&of("images/0"), serde_json::json!(1_000_000)), "not listed"),
        (set(&of("ranks/0"), serde_json::json!(3)), "ranks"),
        (set(&of("inside/0"), serde_json::json!(255)), "area range"),
        (set(&of("steps/0"), serde_json::json!(4_000_000)), "ascend"),
        (set(&of("outcomes"), serde_json::json!([1, 2])), "number of outcomes"),
        (set(&of("outcomes/0"), serde_json::json!(3)), "none of 0, 1 and 2"),
        (set(&of("truth_images/0"), serde_json::json!(77)), "not listed"),
        (set(&of("truth_counts"), serde_json::json!([1])), "number of counts"),
        (set("/image_ids/0", serde_json::json!(i64::MAX)), "image ids do not ascend"),
        (set("/category_ids/0", serde_json::json!(i64::MAX)), "the categories"),
        (set("/params/iou_thresholds", serde_json::json!([2.0])), "thresholds lie in [0, 1]"),
        (set("/categories", serde_json::json!([])), "the categories"),
        (set("/version", serde_json::json!(2)), "version"),
        (set("/params/max_detections", serde_json::json!([0, 0, 0])), "largest cap"),
        (set("/params/max_detections", serde_json::json!(vec![100; 1_000_000])), "the limit is"),
        (set(&of("truth_counts"), serde_json::json!(vec![0; n("truth_counts")])), "more true positives"),
        (set(&of("truth_counts/0"), serde_json::json!(u32::MAX)), "more ground truths than can be counted"),
        (set(&of("truth_images"), reversed(&good, &of("truth_images"))), "images of ground truths"),
    ];
    let mut faults = Vec::new();
    for (damaged, clause) in rows {
        match serde_json::from_value::<Outcomes>(damaged) {
            Ok(_) => faults.push(format!("taken in, wanted {clause:?}")),
            Err(error) if error.to_string().contains(clause) => {}
            Err(error) => faults.push(format!("{error} lacks {clause:?}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Results are those of one thread whatever the pool.
#[cfg(feature = "rayon")]
#[test]
fn threads_do_not_matter() {
    let random = &mut Random(21);
    let (truth, detections) = random_set(random).tables();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let outcomes = Outcomes::collect(&truth, &detections, &EvalParams::default()).unwrap();
            let draws = coco_eval::BootstrapParams { samples: 40, seed: 1 };
            let samples = outcomes.bootstrap(draws, || ()).unwrap();
            let cells = coco_eval::cell_matches(&truth, &detections, &EvalParams::default()).unwrap();
            (evaluate(&truth, &detections, &EvalParams::default()).unwrap(), outcomes, samples, cells)
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(run(threads) == one, "{threads} threads");
    }
}
