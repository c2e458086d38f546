//! The tests' interface to the runtime.

use std::future::Future;
use std::time::Duration;

pub use gossip_async_std as gossip;

pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    async_std::task::block_on(test)
}

pub async fn sleep(time: Duration) {
    async_std::task::sleep(time).await;
}

pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(async_std::task::spawn(task));
}

/// A runtime whose tasks run even while no thread waits for one.
pub struct Runtime;

impl Runtime {
    pub fn new() -> Self {
        Self
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        async_std::task::block_on(future)
    }
}
