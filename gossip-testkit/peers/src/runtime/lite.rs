//! The runtime's trait, as far as there is something to choose: spawning, sleeping, waiting until a deadline.

use super::*;

/// The runtime itself.
#[derive(Debug, Copy, Clone)]
pub struct Simulated;

impl Yielder for Simulated {
    async fn yield_now() {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    async fn yield_now_local() {
        <Self as Yielder>::yield_now().await;
    }
}

impl AsyncSpawner for Simulated {
    type JoinHandle<O>
        = Handle<O>
    where
        O: Send + 'static;

    fn spawn<F>(future: F) -> Handle<F::Output>
    where
        F::Output: Send + 'static,
        F: Future + Send + 'static,
    {
        Handle::start(None, future)
    }
}

impl AsyncLocalSpawner for Simulated {
    type JoinHandle<O>
        = Handle<O>
    where
        O: 'static;

    fn spawn_local<F>(future: F) -> Handle<F::Output>
    where
        F::Output: 'static,
        F: Future + 'static,
    {
        Handle::start(None, future)
    }
}

impl AsyncBlockingSpawner for Simulated {
    type JoinHandle<R>
        = Handle<R>
    where
        R: Send + 'static;

    fn spawn_blocking<F, R>(f: F) -> Handle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        Handle::start(None, async move { f() })
    }
}

impl AsyncAfterSpawner for Simulated {
    type Instant = Tick;
    type JoinHandle<O>
        = Handle<O>
    where
        O: Send + 'static;

    fn spawn_after<F>(duration: Duration, future: F) -> Handle<F::Output>
    where
        F::Output: Send + 'static,
        F: Future + Send + 'static,
    {
        Handle::start(Some(Tick::now() + duration), future)
    }

    fn spawn_after_at<F>(instant: Tick, future: F) -> Handle<F::Output>
    where
        F::Output: Send + 'static,
        F: Future + Send + 'static,
    {
        Handle::start(Some(instant), future)
    }
}

impl RuntimeLite for Simulated {
    type Spawner = Self;
    type LocalSpawner = Self;
    type BlockingSpawner = Self;
    type Instant = Tick;
    type AfterSpawner = Self;
    type Interval = Interval;
    type LocalInterval = Interval;
    type Sleep = Sleep;
    type LocalSleep = Sleep;
    type Delay<F>
        = Delay<F, Sleep>
    where
        F: Future + Send;
    type LocalDelay<F>
        = Delay<F, Sleep>
    where
        F: Future;
    type Timeout<F>
        = Timeout<F>
    where
        F: Future + Send;
    type LocalTimeout<F>
        = Timeout<F>
    where
        F: Future;

    fn new() -> Self {
        Self
    }

    fn name() -> &'static str {
        "simulated"
    }

    fn fqname() -> &'static str {
        "simulated"
    }

    /// Runs the tasks until `f` has ended.
    ///
    /// # Panics
    /// If it waits for a time or for another process: neither comes while this one runs.
    fn block_on<F: Future>(f: F) -> F::Output {
        let mut future = pin!(f);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return output;
            }
            assert!(run_one(), "nothing that could end it happens now");
        }
    }

    async fn yield_now() {
        <Self as Yielder>::yield_now().await;
    }

    fn interval(interval: Duration) -> Interval {
        Interval::interval_local(interval)
    }

    fn interval_at(start: Tick, period: Duration) -> Interval {
        Interval::interval_local_at(start, period)
    }

    fn interval_local(interval: Duration) -> Interval {
        Interval::interval_local(interval)
    }

    fn interval_local_at(start: Tick, period: Duration) -> Interval {
        Interval::interval_local_at(start, period)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep::sleep_local(duration)
    }

    fn sleep_until(instant: Tick) -> Sleep {
        Sleep::until(instant)
    }

    fn sleep_local(duration: Duration) -> Sleep {
        Sleep::sleep_local(duration)
    }

    fn sleep_local_until(instant: Tick) -> Sleep {
        Sleep::until(instant)
    }

    fn delay<F>(duration: Duration, fut: F) -> Self::Delay<F>
    where
        F: Future + Send,
    {
        agnostic_lite::time::AsyncLocalDelayExt::delay(duration, fut)
    }

    fn delay_local<F>(duration: Duration, fut: F) -> Self::LocalDelay<F>
    where
        F: Future,
    {
        agnostic_lite::time::AsyncLocalDelayExt::delay(duration, fut)
    }

    fn delay_at<F>(deadline: Tick, fut: F) -> Self::Delay<F>
    where
        F: Future + Send,
    {
        agnostic_lite::time::AsyncLocalDelayExt::delay_at(deadline, fut)
    }

    fn delay_local_at<F>(deadline: Tick, fut: F) -> Self::LocalDelay<F>
    where
        F: Future,
    {
        agnostic_lite::time::AsyncLocalDelayExt::delay_at(deadline, fut)
    }

    fn timeout<F>(duration: Duration, future: F) -> Timeout<F>
    where
        F: Future + Send,
    {
        AsyncTimeout::timeout(duration, future)
    }

    fn timeout_at<F>(deadline: Tick, future: F) -> Timeout<F>
    where
        F: Future + Send,
    {
        AsyncTimeout::timeout_at(deadline, future)
    }

    fn timeout_local<F>(duration: Duration, future: F) -> Timeout<F>
    where
        F: Future,
    {
        AsyncLocalTimeout::timeout_local(duration, future)
    }

    fn timeout_local_at<F>(deadline: Tick, future: F) -> Timeout<F>
    where
        F: Future,
    {
        AsyncLocalTimeout::timeout_local_at(deadline, future)
    }
}
