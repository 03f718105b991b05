//! Runs programs from the workspace's folder, without assets.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The demonstration, as seen from the workspace's folder.
pub(crate) const WEIGHTS: &str = "fixtures/demo/model.safetensors";
pub(crate) const MODEL: &str = "fixtures/demo/model.yaml";
pub(crate) const IMAGES: &str = "fixtures/demo/images";
pub(crate) const ANNOTATIONS: &str = "fixtures/demo/annotations.json";
pub(crate) const CALIBRATION: &str = "fixtures/demo/calibration";

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program with arguments, not yet started.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let path = match program {
        "analyze" => env!("CARGO_BIN_EXE_analyze"),
        "bench" => env!("CARGO_BIN_EXE_bench"),
        "calibrate" => env!("CARGO_BIN_EXE_calibrate"),
        "quantize" => env!("CARGO_BIN_EXE_quantize"),
        "val" => env!("CARGO_BIN_EXE_val"),
        "detect" => env!("CARGO_BIN_EXE_detect"),
        "icraft-compile" => env!("CARGO_BIN_EXE_icraft-compile"),
        "inspect" => env!("CARGO_BIN_EXE_inspect"),
        "evaluate" => env!("CARGO_BIN_EXE_evaluate"),
        "compare" => env!("CARGO_BIN_EXE_compare"),
        "raw2ckpt" => env!("CARGO_BIN_EXE_raw2ckpt"),
        "ckpt2raw" => env!("CARGO_BIN_EXE_ckpt2raw"),
        "icraft-params" => env!("CARGO_BIN_EXE_icraft-params"),
        "icraft-plot" => env!("CARGO_BIN_EXE_icraft-plot"),
        "draw-shapes" => env!("CARGO_BIN_EXE_draw-shapes"),
        _ => panic!("no program {program}"),
    };
    let mut command = Command::new(path);
    command.args(arguments).current_dir(workspace()).env_remove("YOLO_ASSETS");
    command
}

/// What a program left behind when it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs a program, whatever comes of it.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Ended {
    command(program, arguments).output().unwrap().into()
}

/// Runs a program that has to succeed; gives its stdout.
pub(crate) fn succeed(program: &str, arguments: &[&str]) -> String {
    let ended = run(program, arguments);
    assert_eq!(ended.code, Some(0), "{program} {arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// Runs a program that has to succeed with JSON on stdout.
pub(crate) fn succeed_json(program: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(program, &[arguments, &["--json"]].concat())).unwrap()
}

/// Annotations and the results of both detectors of the assets' pair, where there are assets.
pub(crate) fn assets_pair() -> Option<[String; 3]> {
    let assets = PathBuf::from(std::env::var_os("YOLO_ASSETS")?);
    let path = |name: &str| text(&assets.join(name)).to_owned();
    let results = |name: &str| path(&format!("eval/yolov5n_val206/{name}_predictions.json"));
    let paths = [path("coco/instances_val206.json"), results("fp32_derived"), results("qdq_selfmade")];
    paths.iter().all(|path| Path::new(path).exists()).then_some(paths)
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The runs of a summary.
pub(crate) fn runs(summary: &Value) -> &[Value] {
    summary["runs"].as_array().unwrap()
}

/// Output of `quantize --json` on the demonstration, that several tests read.
pub(crate) struct Quantized {
    pub(crate) folder: PathBuf,
    pub(crate) stdout: String,
}

impl Quantized {
    pub(crate) fn summary(&self) -> Value {
        read_json(&self.folder.join("summary.json"))
    }

    /// A saved network, as an argument.
    pub(crate) fn network(&self, name: &str) -> String {
        text(&self.folder.join(format!("{name}.safetensors"))).to_owned()
    }

    /// Its detections, as an argument.
    pub(crate) fn detections(&self, name: &str) -> String {
        text(&self.folder.join(format!("{name}.detections.json"))).to_owned()
    }
}

/// Runs `quantize` once for all tests.
pub(crate) fn quantized() -> &'static Quantized {
    static ONCE: OnceLock<Quantized> = OnceLock::new();
    ONCE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-demonstration");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let options = ["--json", "--save-detections", "--preactivation", "both", "--out", text(&folder)];
        let stdout = succeed("quantize", &options);
        Quantized { folder, stdout }
    })
}
