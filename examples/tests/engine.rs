//! Whole networks on every instruction set and any number of threads, beside the plainest executor there is: the demonstration's, and
//! yolov5n where `YOLO_ASSETS` says where it is.

// The helpers are test code too, but the lints' exception covers only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

#[path = "../../crates/quant-core/tests/naive/mod.rs"]
mod naive;

use examples::calibration::calibrate;
use examples::demo;
use examples::images::{decode, list_images, prepare};
use examples::network::Model;
use naive::Data;
use ptq::{
    Fusion, Method, Placement, PlacementOptions, QuantConfig, WeightConfig, Width, lower_float, lower_integer,
};
use quant_core::{Executor, Isa, Program, Scheme, Values};
use std::path::{Path, PathBuf};
use yolo_model::ImageSize;

/// A model, where its images are, and the size that it runs at.
struct Case {
    model: Model,
    images: PathBuf,
    side: usize,
}

fn cases() -> Vec<Case> {
    let folder = demo::folder();
    let definition = folder.join("model.yaml");
    let model = Model::load(&folder.join("model.safetensors"), definition.to_str()).unwrap();
    let mut cases = vec![Case { model, images: folder.join("images"), side: 160 }];
    if let Some(assets) = std::env::var_os("YOLO_ASSETS") {
        let assets = Path::new(&assets);
        let model = Model::load(&assets.join("weights/yolov5n.pt"), None).unwrap();
        cases.push(Case { model, images: assets.join("coco/train128"), side: 640 });
    }
    cases
}

impl Case {
    /// Networks of integers: 8 bits with pre-activations of 16 and of 8, and 16 bits throughout.
    fn integer_programs(&self) -> Vec<Program> {
        let narrow = PlacementOptions::default();
        let options = [
            (narrow, 8),
            (PlacementOptions { preactivation: Width::Bits8, ..narrow }, 8),
            (PlacementOptions { activations: Width::Bits16, ..narrow }, 16),
        ];
        let size = ImageSize::new(self.side, self.side);
        let images = &list_images(&self.images).unwrap()[..2];
        let program = |(options, bits)| {
            let Model { graph, params, .. } = &self.model;
            let placement = Placement::new(graph, options);
            let calibration = calibrate(&self.model, &[&placement], images, size, 2, false).unwrap();
            let config = QuantConfig::calibrate(
                graph,
                &placement,
                &calibration.collection,
                Method::MinMax,
                Scheme::Affine,
            );
            let weights = WeightConfig { bits, ..WeightConfig::default() };
            lower_integer(graph, params, &QuantConfig { weights, ..config.unwrap() }).unwrap()
        };
        options.into_iter().map(program).collect()
    }

    fn image(&self, side: usize) -> Vec<f32> {
        let picture = decode(&list_images(&self.images).unwrap()[3]).unwrap();
        prepare(&picture, ImageSize::new(side, side)).unwrap().0
    }
}

/// The bits of all outputs of a run.
fn outputs(program: &Program, side: usize, image: &[f32], isa: Isa, threads: usize) -> Vec<Vec<u32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut executor = Executor::with_isa(program, side, side, isa).unwrap();
    pool.install(|| executor.run(image)).unwrap();
    bits(&executor)
}

/// Of the outputs that an executor has.
fn bits(executor: &Executor<'_>) -> Vec<Vec<u32>> {
    let bits = |(_, values): (usize, Values<'_>)| match values {
        Values::F32(v) => v.iter().map(|x| x.to_bits()).collect(),
        Values::I8(v) => v.iter().map(|&x| x as u32).collect(),
        Values::I16(v) => v.iter().map(|&x| x as u32).collect(),
    };
    executor.outputs().map(bits).collect()
}

#[test]
fn images_of_a_batch_do_not_matter_to_each_other() {
    for case in cases() {
        let side = 96;
        let mut programs = case.integer_programs();
        programs.push(lower_float(&case.model.graph, &case.model.params, Fusion::Fused).unwrap());
        let image = case.image(side);
        let turned: Vec<f32> = image.iter().rev().copied().collect();
        for (index, program) in programs.iter().enumerate() {
            let alone = [&image, &turned].map(|image| outputs(program, side, image, Isa::detect(), 1));
            assert!(alone[0] != alone[1]);
            for order in [&[0][..], &[1, 0], &[0, 0, 1, 1, 0]] {
                let batch: Vec<f32> =
                    order.iter().flat_map(|&i| [&image, &turned][i].iter().copied()).collect();
                let mut executor = Executor::new(program, side, side).unwrap();
                let mut found = Vec::new();
                executor.run_batch(&batch, |i, executor| found.push((i, bits(executor)))).unwrap();
                let expected = order.iter().map(|&i| alone[i].clone()).enumerate();
                assert!(found.into_iter().eq(expected), "program {index}, batch of {}", order.len());
            }
        }
    }
}

#[test]
fn every_tensor_of_integer_networks_is_that_of_the_definition() {
    for case in cases() {
        // The plain executor needs ten nanoseconds a product.
        let side = 64;
        let image = case.image(side);
        for program in case.integer_programs() {
            let expected = naive::run(&program, [side, side], &image);
            for isa in Isa::available() {
                let mut executor = Executor::with_isa(&program, side, side, isa).unwrap();
                executor
                    .run_with(&image, |tensor, values| {
                        let equal = match (values, &expected[tensor].data) {
                            (Values::F32(a), Data::Float(b)) => a == b,
                            (Values::I8(a), Data::Integer(b)) => {
                                a.iter().map(|&q| i64::from(q)).eq(b.iter().copied())
                            }
                            (Values::I16(a), Data::Integer(b)) => {
                                a.iter().map(|&q| i64::from(q)).eq(b.iter().copied())
                            }
                            _ => false,
                        };
                        assert!(equal, "{} on {}", program.tensors()[tensor].name, isa.name());
                    })
                    .unwrap();
                // Without anybody looking, some steps are done in one.
                let shown: Vec<(usize, Values<'_>)> = executor.outputs().collect();
                let mut plain = Executor::with_isa(&program, side, side, isa).unwrap();
                plain.run(&image).unwrap();
                assert!(plain.outputs().eq(shown), "{}", isa.name());
            }
        }
    }
}

#[test]
fn instruction_sets_and_threads_do_not_matter() {
    for case in cases() {
        let (image, Model { graph, params, .. }) = (case.image(case.side), &case.model);
        let mut programs = case.integer_programs();
        programs.push(lower_float(graph, params, Fusion::Fused).unwrap());
        for (index, program) in programs.iter().enumerate() {
            let expected = outputs(program, case.side, &image, Isa::detect(), 1);
            for isa in Isa::available() {
                let found = outputs(program, case.side, &image, isa, 2);
                assert!(found == expected, "program {index} on {}", isa.name());
            }
            let found = outputs(program, case.side, &image, Isa::detect(), 3);
            assert!(found == expected, "program {index} on 3 threads");
        }
    }
}
