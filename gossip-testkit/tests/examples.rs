//! Checks that the documentation shows the output of the examples.

#[path = "../examples/failing.rs"]
mod failing;

#[path = "../examples/folds.rs"]
mod folds;

#[path = "../examples/framing.rs"]
mod framing;

#[path = "../examples/counter.rs"]
mod counter;

#[test]
fn the_failure_in_the_documentation_is_the_one_that_is_found() {
    let shown = include_str!("../examples/failing.txt");
    assert_eq!(failing::report().trim_end(), shown.trim_end());
}
