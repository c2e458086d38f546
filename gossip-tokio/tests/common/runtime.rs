//! The tests' interface to the runtime. One thread for everything, so that a task that starves the others is noticed.

use std::future::Future;
use std::time::Duration;

pub use gossip_tokio as gossip;

pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

pub async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

/// A runtime whose tasks run even while no thread waits for one.
pub struct Runtime(tokio::runtime::Runtime);

impl Runtime {
    pub fn new() -> Self {
        Self(tokio::runtime::Runtime::new().expect("a runtime"))
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}
