//! Marks: states that a machine says are worth reaching.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    /// Names reached in the run under way. A run stays on one thread.
    static REACHED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Marks a state that scenarios should sometimes reach: a sweep counts the scenarios in which `condition` was true, and a
/// hunt looks for more like the first of them. Put it where a bug would hide, in the machine or in what it calls. It
/// changes nothing else.
///
/// ```
/// use gossip_testkit::sometimes;
///
/// fn receive(known: Option<u64>, version: u64) -> bool {
///     sometimes(known == Some(version), "the same version twice");
///     known < Some(version)
/// }
/// # assert!(receive(None, 1));
/// ```
pub fn sometimes(condition: bool, name: &'static str) {
    if condition {
        REACHED.with_borrow_mut(|reached| reached.insert(name));
    }
}

/// Calls `f`, and returns the marks that were reached in it.
pub(crate) fn collect<R>(f: impl FnOnce() -> R) -> (R, BTreeSet<&'static str>) {
    REACHED.with_borrow_mut(BTreeSet::clear);
    let result = f();
    (result, REACHED.with_borrow_mut(std::mem::take))
}
