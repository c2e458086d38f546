//! Every example runs to its end by itself and shows what it says.

use std::process::{Command, Output};

/// Runs an example of this crate. `cargo test` builds all of them; for a single test that is done here.
fn example(name: &str) -> Output {
    let test = std::env::current_exe().expect("tests have a path");
    let built = test.parent().and_then(|deps| deps.parent()).expect("it is in target/PROFILE/deps");
    let path = built.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    if !path.exists() {
        let build = ["build", "--quiet", "--profile", "test", "-p", env!("CARGO_PKG_NAME"), "--example", name];
        assert!(Command::new(env!("CARGO")).args(build).status().expect("cargo runs").success());
    }
    Command::new(path).output().expect("it was built")
}

#[test]
fn mixed_is_one_cluster() {
    let output = example("mixed");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{failed}");
    assert_eq!(said.matches("sees 4 members").count(), 4, "{said}");
}

#[test]
fn nodes_run_inside_smol() {
    let output = example("smol");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{failed}");
    assert_eq!(said, "second has read: hello from smol\n");
}
