//! The program `train`, on drawn shapes.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "
nc: 6
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[12, 12, 24, 24], [40, 40, 64, 64]]
backbone:
  - [-1, 1, Conv, [8, 6, 2, 2]]
  - [-1, 1, Conv, [12, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc, anchors]]
";

/// A model and drawn pictures in a folder.
struct Task {
    folder: tempfile::TempDir,
}

impl Task {
    fn new() -> Self {
        let task = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(task.path("model.yaml"), MODEL).unwrap();
        for (name, images) in [("train", "24"), ("val", "4")] {
            let mut draw = Command::new(env!("CARGO_BIN_EXE_draw-shapes"));
            draw.arg("--out").arg(task.path(name)).args(["--images", images, "--side", "64", "--seed", name]);
            assert!(draw.stdout(Stdio::null()).status().unwrap().success());
        }
        task
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, out: &str, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.arg("--model").arg(self.path("model.yaml"));
        command.arg("--images").arg(self.path("train/images"));
        command.arg("--annotations").arg(self.path("train/annotations.json"));
        command.arg("--val-images").arg(self.path("val/images"));
        command.arg("--val-annotations").arg(self.path("val/annotations.json"));
        command.args(["--imgsz", "64", "--batch", "8"]).args(options);
        command.arg("--out").arg(self.path(out));
        command
    }

    fn run(&self, out: &str, options: &[&str]) -> Output {
        self.command(out, options).output().unwrap()
    }
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_training_that_was_killed_goes_on_to_the_bit() {
    let task = Task::new();
    let options = ["--epochs", "12"];
    let whole = task.run("whole", &options);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));

    let mut child =
        task.command("killed", &options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (state, start) = (task.path("killed/last.state"), Instant::now());
    while !state.exists() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let log: serde_json::Value =
        serde_json::from_slice(&read(&task.path("killed"), "epochs.json")).unwrap_or_default();
    assert!(log.as_array().is_none_or(|epochs| epochs.len() < 12), "it was not killed in time");

    let resumed = task.run("killed", &["--epochs", "12", "--resume"]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let [one, other] = ["whole", "killed"].map(|out| read(&task.path(out), "last.safetensors"));
    assert_eq!(one, other);
    let log: serde_json::Value = serde_json::from_slice(&read(&task.path("killed"), "epochs.json")).unwrap();
    let rows = log.as_array().unwrap();
    assert_eq!((rows.len(), &rows[11]["steps"]), (12, &serde_json::json!(36)));

    // What is there is not overwritten.
    let again = task.run("whole", &options);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--resume"));
}

#[test]
fn what_goes_wrong_is_told_and_what_was_kept_stays() {
    let task = Task::new();
    let diverged = task.run("diverged", &["--epochs", "3", "--lr0", "1e30", "--warmup", "0"]);
    assert_eq!(diverged.status.code(), Some(2));
    let text = String::from_utf8_lossy(&diverged.stderr).into_owned();
    assert!(text.contains("the loss is no number at step") && !text.contains("panicked"), "{text}");

    std::fs::create_dir(task.path("damaged")).unwrap();
    std::fs::write(task.path("damaged/last.state"), b"no state").unwrap();
    let damaged = task.run("damaged", &["--resume"]);
    assert_eq!(damaged.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("not the state of a training"));

    // Labels of more classes than the model has.
    let fewer = MODEL.replace("nc: 6", "nc: 2");
    std::fs::write(task.path("model.yaml"), fewer).unwrap();
    let wrong = task.run("classes", &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("6 classes, the model 2"));
}

/// All files of a folder, by name.
#[cfg(unix)]
fn files(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let task = Task::new();
    assert!(task.run("full", &["--epochs", "1"]).status.success());
    let before = files(&task.path("full"));
    let resumed = task.command("full", &["--epochs", "3", "--resume"]);
    // No file may become longer than some KiB: a write fails in the middle, as on a full disk.
    let limited = "trap '' XFSZ; ulimit -f 20; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited]).arg(resumed.get_program()).args(resumed.get_args());
    let ended = shell.output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{text}");
    assert!(text.contains(".safetensors") || text.contains("last.state"), "{text}");
    assert_eq!(files(&task.path("full")), before, "{text}");
    assert!(task.run("full", &["--epochs", "3", "--resume"]).status.success());
}
